"""Makes values of parts: whole sums become means, positions become the values of rows, and all of it Arrow columns.

Sums arrive as two halves, `high * 2**32 + low`, of whole numbers that nothing was lost of. The one rounding is done by
Python's division of integers, which is correctly rounded; where a sum is below 2**53 a conversion to a double loses
nothing, and numpy's division by a power of two is the same.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from .declared import LISTS, POWERS, WHOLE, Feature

HALF = 2**32
SAFE = 2**53


@dataclass
class Parts:
    """What SQL says of one output, a row each: how many values counted, and what the aggregation needs besides."""

    count: np.ndarray
    # By power: the two halves of a sum.
    sums: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    # The row that is taken, counted from 1; 0: none.
    position: np.ndarray | None = None
    values: pa.Array | None = None
    # Of maps: where each row's keys begin, the keys, and the parts of their values.
    starts: np.ndarray | None = None
    keys: pa.Array | None = None
    by_key: "Parts | None" = None
    newest: np.ndarray | None = None
    # Rows for which this is told; none: all.
    told: np.ndarray | None = None


@dataclass
class Values:
    """A column as it should be, and where it cannot be told (`ERROR`)."""

    column: pa.Array
    failed: np.ndarray


def finish(feature: Feature, parts: Parts, taken: pa.ChunkedArray | None) -> Values:
    """The values of an output; `taken` is its column over all rows of the view, in their order."""
    if feature.by is not None and parts.by_key is not None:
        return finish_map(feature, parts, taken)
    if feature.aggregation == "value_counts":
        counts = Values(pa.array(parts.by_key.count), np.zeros(len(parts.by_key.count), bool))
        return as_map(parts, counts)
    return finish_plain(feature, parts, taken)


def finish_map(feature: Feature, parts: Parts, taken: pa.ChunkedArray | None) -> Values:
    return as_map(parts, finish_plain(feature, parts.by_key, taken))


def as_map(parts: Parts, items: Values) -> Values:
    column = pa.MapArray.from_arrays(pa.array(parts.starts, pa.int32()), parts.keys, items.column)
    failed = np.zeros(len(parts.starts) - 1, bool)
    failed[np.searchsorted(parts.starts, np.flatnonzero(items.failed), side="right") - 1] = True
    return Values(column, failed)


def finish_plain(feature: Feature, parts: Parts, taken: pa.ChunkedArray | None) -> Values:
    aggregation, none = feature.aggregation, np.zeros(len(parts.count), bool)
    if aggregation in ("count", "distinct_count"):
        return Values(pa.array(parts.count), none)
    if aggregation in POWERS:
        return finish_sums(feature, parts)
    if aggregation in ("first", "last", "latest"):
        return Values(at_positions(taken, parts.position), none)
    assert aggregation in ("min", "max", *LISTS), aggregation
    return Values(parts.values, none)


def at_positions(taken: pa.ChunkedArray, position: np.ndarray) -> pa.Array:
    column = taken.take(pa.array(position - 1, mask=position == 0))
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def finish_sums(feature: Feature, parts: Parts) -> Values:
    aggregation, scale = feature.aggregation, WHOLE[feature.column][1]
    empty, failed = parts.count == 0, np.zeros(len(parts.count), bool)
    whole = together(*parts.sums[0])
    if aggregation == "sum":
        if scale == 1:
            if isinstance(whole, list):
                failed = np.array([not -(2**63) <= total < 2**63 for total in whole], bool)
                whole = np.array([0 if bad else total for total, bad in zip(whole, failed, strict=True)], np.int64)
            return Values(pa.array(whole, mask=empty | failed), failed)
        if feature.column == "d":
            return Values(decimals(whole, empty), failed)
        return Values(pa.array(divided(whole, scale), mask=empty), failed)
    if aggregation == "mean":
        with np.errstate(invalid="ignore", divide="ignore"):
            means = divided(whole, scale) / parts.count
        return Values(pa.array(means, mask=empty), failed)
    sums = [whole, *(together(*halves) for halves in parts.sums[1:])]
    return Values(pa.array(moments(feature, parts.count, sums, scale), pa.float64()), failed)


def together(high: np.ndarray, low: np.ndarray) -> np.ndarray | list[int]:
    """The sums: as integers of 64 bits if all of them fit, else as Python's."""
    if not len(high) or np.abs(high).max() < 2**30:
        return high * HALF + low
    return [above * HALF + below for above, below in zip(high.tolist(), low.tolist(), strict=True)]


def divided(whole: np.ndarray | list[int], scale: int) -> np.ndarray:
    """Each whole number over the scale, rounded once; of decimals, as the rule book has it: first to a double."""
    if isinstance(whole, np.ndarray) and (scale in (1, 100) or not len(whole) or np.abs(whole).max() < SAFE):
        return whole.astype(np.float64) / float(scale)
    return np.array([total / scale for total in (whole.tolist() if isinstance(whole, np.ndarray) else whole)])


def decimals(whole: np.ndarray, empty: np.ndarray) -> pa.Array:
    """decimal(38,2) of hundredths: 128 bits, the lower half first."""
    words = np.stack([whole, whole >> 63], axis=1).astype(np.int64)
    valid = pa.array(~empty).buffers()[1]
    return pa.Array.from_buffers(pa.decimal128(38, 2), len(whole), [valid, pa.py_buffer(words.tobytes())])


def moments(feature: Feature, counts: np.ndarray, sums: list, scale: int) -> list[float | None]:
    """One value a row, by exact fractions that are rounded once."""
    rows = zip(counts.tolist(), *(list(map(int, each)) for each in sums), strict=True)
    if feature.aggregation in ("var", "std"):
        ddof = 1 if feature.ddof is None else feature.ddof
        spread = [variance(n, s1, s2, ddof, scale) for n, s1, s2 in rows]
        if feature.aggregation == "var":
            return spread
        return [None if value is None else math.sqrt(value) for value in spread]
    form = skew if feature.aggregation == "skew" else kurtosis
    return [form(n, *powers, scale) for n, *powers in rows]


def variance(n: int, s1: int, s2: int, ddof: int, scale: int) -> float | None:
    if n <= ddof:
        return None
    return (n * s2 - s1 * s1) / (n * (n - ddof) * scale**2)


def skew(n: int, s1: int, s2: int, s3: int, _s4: int, scale: int) -> float | None:
    spread = variance(n, s1, s2, 0, scale) if n else 0
    if spread == 0:
        return None
    third = (n * n * s3 - 3 * n * s1 * s2 + 2 * s1**3) / (n**3 * scale**3)
    return third / (spread * math.sqrt(spread))


def kurtosis(n: int, s1: int, s2: int, s3: int, s4: int, scale: int) -> float | None:
    spread = variance(n, s1, s2, 0, scale) if n else 0
    if spread == 0:
        return None
    fourth = (n**3 * s4 - 4 * n * n * s1 * s3 + 6 * n * s1 * s1 * s2 - 3 * s1**4) / (n**4 * scale**4)
    return fourth / (spread * spread) - 3.0
