"""Answers every question of a large table at once: by differences of running sums, and by frames for extremes.

A question's window is a stretch of its entity's rows. Both ends of the stretch are found by ASOF joins; a count or a
sum is then the difference of two running ones, a first or last value that of the next row that counts. Smallest and
largest values are window functions whose frame is the window. With `as_of="arrival"` the rows that a question cannot
know yet are found by a join of their own and taken off the sums; an extreme or an end is told only if there are none.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from .declared import FLOATS, HOUR, POWERS, WHOLE, Feature, Output, Window
from .finish import Parts
from .lines import Asked, Line

ANSWERED = ("count", "sum", "mean", "min", "max", "first", "last")
# Rows that come at most so late are looked for round the question; the few others among all of their entity.
A_LITTLE_LATE = 6 * HOUR


@dataclass(frozen=True)
class Series:
    """An input and a condition: which rows of a line count."""

    column: str | None
    where: str | None

    @property
    def counts(self) -> str:
        return counting(self.column, self.where)


def counting(column: str | None, where: str | None, every: bool = False) -> str:
    """The condition for a row to count: it passes, and its value is not skipped (`every`: whatever it is)."""
    parts = [f"({where})"] if where else []
    if column is not None and not every:
        parts.append(f"{column} is not null")
        if column in FLOATS:
            parts.append(f"isfinite({column})")
    return " and ".join(parts) or "true"


@dataclass
class Running:
    """Running values of a series; place `n` is over the first `n` rows of the line."""

    count: np.ndarray
    sums: tuple[np.ndarray, np.ndarray] | None = None
    # The last row that counts among the first `n`, and the first that counts after them; 0 and a high number: none.
    last: np.ndarray | None = None
    first: np.ndarray | None = None


class RunningSums:
    """The answers of one line to one set of questions."""

    def __init__(self, asked: Asked, outputs: list[Output]):
        self.asked, self.line, self.outputs = asked, asked.line, outputs
        asked.put({output.window for output in outputs})
        self.positions: dict[str, np.ndarray] = {}
        self.running = {series: self.run(series) for series in dict.fromkeys(map(series_of, outputs))}
        self.extremes = self.find_extremes()
        self.unknown: Unknown | None = None

    def parts(self, output: Output, arrival: bool) -> Parts:
        """The parts of an output at every question."""
        feature = output.feature
        running = self.running[series_of(output)]
        low, high = (self.position(name) for name in self.asked.edges(output.window))
        known = None
        if arrival:
            self.unknown = self.unknown or Unknown(self.asked)
            known = self.unknown.rows_without()
        count = running.count[high] - running.count[low]
        if arrival:
            count = count - self.unknown.within(running.count, low, high)
        parts = Parts(count)
        if feature.aggregation in POWERS:
            sums = [half[high] - half[low] for half in running.sums]
            if arrival:
                sums = [s - self.unknown.within(half, low, high) for s, half in zip(sums, running.sums, strict=True)]
            parts.sums = [(sums[0], sums[1])]
        elif feature.aggregation == "last":
            parts.position, parts.told = np.where(running.last[high] > low, running.last[high], 0), known
        elif feature.aggregation == "first":
            parts.position, parts.told = np.where(running.first[low] <= high, running.first[low], 0), known
        elif feature.aggregation in ("min", "max"):
            parts.values, parts.told = self.extremes[output.name], known
        return parts

    def position(self, edge: str) -> np.ndarray:
        """How many rows of the line stand before an edge, those of other entities before it included."""
        if edge not in self.positions:
            found = self.line.db.execute(f"""
                select asked.row, ends.nth from asked asof join ends on asked.e = ends.e and asked.{edge} > ends.t
                """).fetchnumpy()
            position = self.line.before[self.asked.e].copy()
            position[found["row"]] = found["nth"]
            self.positions[edge] = position
        return self.positions[edge]

    def run(self, series: Series) -> Running:
        of_series = [output.feature for output in self.outputs if series_of(output) == series]
        needs = {feature.aggregation for feature in of_series}
        counts = series.counts
        columns = [f"sum(case when {counts} then 1 else 0 end) over line as count"]
        if needs & set(POWERS):
            whole = f"sum(case when {counts} then {WHOLE[series.column][0]} else 0 end) over line"
            columns.append(f"{whole} as whole")
        if "last" in needs:
            columns.append(f"coalesce(max(case when {counts} then nth end) over line, 0) as last")
        if "first" in needs:
            columns.append(f"coalesce(min(case when {counts} then nth end) over rest, {2**62}) as first")
        halves = "(whole // 4294967296)::bigint as high, (whole - whole // 4294967296 * 4294967296)::bigint as low,"
        found = self.line.db.execute(f"""
            select {halves if needs & set(POWERS) else ""} * exclude (nth{", whole" if needs & set(POWERS) else ""})
                replace (count::bigint as count)
            from (select nth, {", ".join(columns)} from line
                  window line as (order by nth rows unbounded preceding),
                         rest as (order by nth desc rows unbounded preceding))
            order by nth""").fetchnumpy()
        after_none = {
            name: np.concatenate([[0], values]).astype(np.int64) for name, values in found.items() if name != "first"
        }
        return Running(
            after_none["count"],
            (after_none["high"], after_none["low"]) if "high" in found else None,
            after_none.get("last"),
            np.concatenate([found["first"], [2**62]]).astype(np.int64) if "first" in found else None,
        )

    def find_extremes(self) -> dict[str, pa.Array]:
        """Smallest and largest values by output: questions stand among the rows, each with its window as its frame."""
        found: dict[str, pa.Array] = {}
        windows: dict[Window, list[Output]] = {}
        for output in self.outputs:
            if output.feature.aggregation in ("min", "max"):
                windows.setdefault(output.window, []).append(output)
        for window, outputs in windows.items():
            low, high = self.asked.edges(window)
            inputs = ", ".join(f"{extreme_input(output.feature)} as x_{n}" for n, output in enumerate(outputs))
            values = ", ".join(
                f"{output.feature.aggregation}(x_{n}) over frame as v_{n}" for n, output in enumerate(outputs)
            )
            table = self.line.db.sql(f"""
                with together as (
                    select e, t, null as row, 0 as back, 0 as front, {inputs} from line
                    union all by name
                    select e, q as t, row, q - {low} as back, q - {high} + 1 as front from asked)
                select * exclude (row) from (
                    select row, {values} from together
                    window frame as (partition by e order by t range between back preceding and front preceding))
                where row is not null order by row""").to_arrow_table()
            for output, column in zip(outputs, table.columns, strict=True):
                found[output.name] = column.combine_chunks()
        return found


class Unknown:
    """The rows before a question that had not arrived by then: pairs of a question and a row's number."""

    def __init__(self, asked: Asked):
        late = "v.t < a.q and v.arr >= a.q"
        found = asked.line.db.execute(f"""
            with late as (select e, t, arr, nth, (t - {asked.line.oldest}) // {A_LITTLE_LATE} as stretch
                          from line where arr > t),
            round_it as (select row, e, q, unnest([s, s - 1]) as stretch
                         from (select *, (q - {asked.line.oldest}) // {A_LITTLE_LATE} as s from asked))
            from (
                select a.row, v.nth from round_it a join late v on a.e = v.e and a.stretch = v.stretch and {late}
                where v.arr - v.t <= {A_LITTLE_LATE}
                union all
                select a.row, v.nth from asked a join late v on a.e = v.e and {late}
                where v.arr - v.t > {A_LITTLE_LATE})
            order by row""").fetchnumpy()
        self.rows, self.numbers = found["row"].astype(np.int64), found["nth"].astype(np.int64)
        self.offsets = np.searchsorted(self.rows, np.arange(len(asked) + 1))

    def rows_without(self) -> np.ndarray:
        """Where a question knows of every row before it."""
        return self.offsets[1:] == self.offsets[:-1]

    def within(self, running: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """By question, what its unknown rows put into the stretch from `low` to `high`."""
        inside = (self.numbers > low[self.rows]) & (self.numbers <= high[self.rows])
        share = np.where(inside, running[self.numbers] - running[self.numbers - 1], 0)
        so_far = np.concatenate([[0], np.cumsum(share)])
        return so_far[self.offsets[1:]] - so_far[self.offsets[:-1]]


def series_of(output: Output) -> Series:
    return Series(output.feature.column, output.feature.where)


def extreme_input(feature: Feature) -> str:
    return f"case when {counting(feature.column, feature.where)} then {feature.column} end"


def can_answer(line: Line, output: Output) -> bool:
    """Whether an output is of the kind that this file answers."""
    return line.view.staleness is None and output.feature.by is None and output.feature.aggregation in ANSWERED
