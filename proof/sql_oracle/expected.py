"""What a column of answers should be, value and status, and where one that was given is not: to the last bit."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .declared import Feature, Output, View, Window, micros
from .finish import Parts, finish
from .joins import Joins
from .lines import Asked
from .running_sums import RunningSums, can_answer

TAKES_ROWS = ("first", "last", "latest")
STATUSES = ("PRESENT", "NULL", "STALE", "ERROR", "NOT_FOUND")
PRESENT, NULL, STALE, ERROR, NOT_FOUND = range(5)


@dataclass
class Expected:
    """The answers of one output, statuses as places in `STATUSES`; `told`: which rows are known here, none for all."""

    values: pa.Array
    statuses: np.ndarray
    told: np.ndarray | None

    def answer(self, row: int) -> tuple[object, str]:
        return self.values[row].as_py(), STATUSES[self.statuses[row]]


def by_running_sums(asked: Asked, arrivals: list[bool]) -> Iterator[tuple[bool, Output, Expected]]:
    """The answers of all outputs that differences can tell, for each kind of point in time (True: by arrival)."""
    outputs = [output for output in asked.line.view.outputs if can_answer(asked.line, output)]
    if not outputs:
        return
    seen = was_seen(asked.line.view)
    running = RunningSums(asked, [*outputs, seen])
    for arrival in arrivals:
        known = running.parts(seen, arrival)
        for output in outputs:
            yield arrival, output, conclude(asked, output, running.parts(output, arrival), known)


def by_joins(asked: Asked, arrivals: list[bool]) -> Iterator[tuple[bool, Output, Expected]]:
    """The answers of all outputs, literally."""
    outputs, seen = asked.line.view.outputs, was_seen(asked.line.view)
    for arrival in arrivals:
        joins = Joins(asked, [*outputs, seen], arrival)
        known = joins.parts(seen)
        for output in outputs:
            yield arrival, output, conclude(asked, output, joins.parts(output), known)


def was_seen(view: View) -> Output:
    """Whether an entity is known at all: a count of the view's rows within its retention."""
    window = Window("sliding", view.retention) if view.retention else Window("unbounded")
    return Output("?", Feature("?", "count", None, (window,)), window)


def conclude(asked: Asked, output: Output, parts: Parts, seen: Parts) -> Expected:
    """The value and the status: not found, else an error, else stale, else null or present."""
    takes = output.feature.aggregation in TAKES_ROWS
    values = finish(output.feature, parts, asked.line.column(output.feature.column) if takes else None)
    column, missing = values.column, seen.count == 0
    withheld = values.failed
    statuses = pc.is_null(column).to_numpy(zero_copy_only=False).astype(np.int8)
    if asked.line.view.staleness and parts.newest is not None:
        stale = asked.q - parts.newest > micros(asked.line.view.staleness)
        statuses[stale] = STALE
        withheld = withheld | stale
    statuses[values.failed] = ERROR
    statuses[missing] = NOT_FOUND
    withheld = withheld & ~missing
    if withheld.any():
        column = pc.if_else(pa.array(withheld), pa.scalar(None, column.type), column)
    return Expected(column, statuses, parts.told)


@dataclass
class Compared:
    """How many answers could be compared, the rows of those that are wrong, and how often each status was due."""

    count: int
    wrong: np.ndarray
    statuses: dict[str, int]


def compare(expected: Expected, values: pa.ChunkedArray, statuses: pa.ChunkedArray) -> Compared:
    """Holds a column and its statuses against what they should be."""
    due = pa.DictionaryArray.from_arrays(pa.array(expected.statuses), pa.array(STATUSES)).cast(pa.string())
    right = equal(expected.values, whole(values)) & equal(due, whole(statuses))
    told = np.ones(len(right), bool) if expected.told is None else expected.told
    counts = np.bincount(expected.statuses[told], minlength=len(STATUSES)).tolist()
    return Compared(int(told.sum()), np.flatnonzero(~right & told), dict(zip(STATUSES, counts, strict=True)))


def whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def equal(ours: pa.Array, theirs: pa.Array) -> np.ndarray:
    """Whether two columns are the same, row by row: nulls equal nulls, floats equal by their bits, all NaN are one."""
    if pa.types.is_map(theirs.type) or pa.types.is_list(theirs.type):
        return equal_lists(ours, theirs)
    if ours.type != theirs.type:
        ours = ours.cast(theirs.type)
    valid, valid_theirs = (pc.is_valid(each).to_numpy(zero_copy_only=False) for each in (ours, theirs))
    if pa.types.is_floating(theirs.type):
        left, right = (each.fill_null(0).to_numpy(zero_copy_only=False) for each in (ours, theirs))
        bits = np.int64 if left.dtype == np.float64 else np.int32
        same = (left.view(bits) == right.view(bits)) | (np.isnan(left) & np.isnan(right))
    else:
        same = pc.equal(ours, theirs).fill_null(True).to_numpy(zero_copy_only=False)
    return (valid == valid_theirs) & (same | ~valid)


def equal_lists(ours: pa.Array, theirs: pa.Array) -> np.ndarray:
    valid, valid_theirs = (pc.is_valid(each).to_numpy(zero_copy_only=False) for each in (ours, theirs))
    starts, lengths = spans(ours)
    starts_theirs, lengths_theirs = spans(theirs)
    same = (valid == valid_theirs) & ((lengths == lengths_theirs) | ~valid)
    rows = np.flatnonzero(same & valid)
    of = np.repeat(rows, lengths[rows])
    within = np.arange(len(of)) - np.repeat(np.cumsum(lengths[rows]) - lengths[rows], lengths[rows])
    for left, right in zip(children(ours), children(theirs), strict=True):
        ours_items = left.take(pa.array(starts[of] + within))
        theirs_items = right.take(pa.array(starts_theirs[of] + within))
        same[of[~equal(ours_items, theirs_items)]] = False
    return same


def spans(lists: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.asarray(lists.offsets).astype(np.int64)
    return offsets[:-1], np.diff(offsets)


def children(lists: pa.Array) -> list[pa.Array]:
    """The items of lists, or the keys and the items of maps, as the offsets count them."""
    if pa.types.is_map(lists.type):
        return [lists.keys, lists.items]
    return [lists.values]
