"""Answers questions literally: each is joined with the rows that it may see, which are then grouped.

Slow, and so close to the rule book that it can be read beside it: `t >= low and t < high` is the window, `t < q` the
head, `arr < q` what was known. Every aggregation is here; lists by DuckDB's k-forms, maps by one more grouping each.
"""

import numpy as np
import pyarrow as pa

from .declared import POWERS, WHOLE, Feature, Output
from .finish import HALF, Parts
from .lines import Asked
from .running_sums import counting

VALUE = {
    "min": "min({x}) {seen}",
    "max": "max({x}) {seen}",
    "first_k": "coalesce(min_by({x}, nth, {k}) {seen}, [])",
    "last_k": "coalesce(list_reverse(max_by({x}, nth, {k}) {seen}), [])",
    # Equal values cannot be told apart, so that the order of ties does not show in these two.
    "top_k": "coalesce(max({x}, {k}) {seen}, [])",
    "bottom_k": "coalesce(min({x}, {k}) {seen}, [])",
}
POSITION = {"first": "min(nth) {seen}", "last": "max(nth) {seen}", "latest": "max(nth) {seen}"}


class Joins:
    """The answers of one line to a few questions."""

    def __init__(self, asked: Asked, outputs: list[Output], arrival: bool):
        self.asked, self.db = asked, asked.line.db
        self.visible = "a.e = v.e and v.t < a.q" + (" and v.arr < a.q" if arrival else "")
        asked.put({output.window for output in outputs})
        self.numbers = {output.name: number for number, output in enumerate(outputs)}
        self.plain = self.group(outputs)

    def parts(self, output: Output) -> Parts:
        """The parts of an output at every question."""
        number = self.numbers[output.name]
        parts = parts_from(self.plain, output, number)
        # Where no row counted there is no newest one, and so none that is too old.
        parts.newest = integers(self.plain, f"newest_{number}", without=2**62)
        if is_map(output.feature):
            self.add_map(output, parts)
        return parts

    def group(self, outputs: list[Output]) -> pa.Table:
        """All that takes one value a question, in one pass over the pairs."""
        inner, outer = ["a.row"], ["row"]
        for number, output in enumerate(outputs):
            seen = f"filter (where {self.seen(output)})"
            inner.append(f"max(v.t) {seen} as newest_{number}")
            outer.append(f"newest_{number}")
            made, shown = aggregates(output.feature, number, seen, mapped=is_map(output.feature))
            inner += made
            outer += shown
        return self.db.sql(f"""
            select {", ".join(outer)}
            from (select {", ".join(inner)} from asked a left join line v on {self.visible} group by a.row)
            order by row""").to_arrow_table()

    def seen(self, output: Output) -> str:
        """The condition for a row to be in the output's window and to count there."""
        low, high = self.asked.edges(output.window)
        feature = output.feature
        counts = counting(feature.column, feature.where, every=feature.aggregation == "latest")
        by = f" and {feature.by} is not null" if feature.by else ""
        return f"v.t >= a.{low} and v.t < a.{high} and {counts}{by}"

    def add_map(self, output: Output, parts: Parts) -> None:
        """Groups once more by key; keys stand in their order, which for text is that of its bytes."""
        feature = output.feature
        made, shown = aggregates(feature, 0, "", mapped=not feature.by)
        grouped = self.db.sql(f"""
            select row, key, {", ".join(shown)} from (
                select a.row, {feature.by or feature.column} as key, {", ".join(made)}
                from asked a join line v on {self.visible} where {self.seen(output)} group by all)
            order by row, key""").to_arrow_table()
        parts.starts = np.searchsorted(grouped["row"].to_numpy(), np.arange(len(self.asked) + 1))
        parts.keys = grouped["key"].combine_chunks()
        parts.by_key = parts_from(grouped, output, 0)


def aggregates(feature: Feature, number: int, seen: str, mapped: bool) -> tuple[list[str], list[str]]:
    """What SQL computes of an aggregation, and how it shows that; of a map, whose keys come later, only counts."""
    form = {"x": feature.column, "k": feature.k, "seen": seen}
    counted = f"distinct {feature.column}" if feature.aggregation == "distinct_count" and not mapped else "v.nth"
    made, shown = [f"count({counted}) {seen} as count_{number}"], [f"count_{number}"]
    if mapped:
        return made, shown
    if feature.aggregation in VALUE:
        made.append(f"{VALUE[feature.aggregation].format(**form)} as value_{number}")
        shown.append(f"value_{number}")
    if feature.aggregation in POSITION:
        made.append(f"coalesce({POSITION[feature.aggregation].format(**form)}, 0) as position_{number}")
        shown.append(f"position_{number}")
    for power in range(1, POWERS.get(feature.aggregation, 0) + 1):
        name = f"whole_{number}_{power}"
        product = " * ".join([f"{WHOLE[feature.column][0]}::hugeint"] * power)
        made.append(f"sum({product}) {seen} as {name}")
        shown += [
            f"({name} // {HALF})::bigint as high_{number}_{power}",
            f"({name} - {name} // {HALF} * {HALF})::bigint as low_{number}_{power}",
        ]
    return made, shown


def parts_from(table: pa.Table, output: Output, number: int) -> Parts:
    parts = Parts(integers(table, f"count_{number}"))
    if f"value_{number}" in table.column_names:
        parts.values = table[f"value_{number}"].combine_chunks()
    if f"position_{number}" in table.column_names:
        parts.position = integers(table, f"position_{number}")
    if f"high_{number}_1" in table.column_names:
        powers = range(1, POWERS[output.feature.aggregation] + 1)
        halves = [[f"{half}_{number}_{power}" for half in ("high", "low")] for power in powers]
        parts.sums = [(integers(table, high), integers(table, low)) for high, low in halves]
    return parts


def integers(table: pa.Table, name: str, without: int = 0) -> np.ndarray:
    """A column of whole numbers, with another for nulls."""
    return table[name].cast(pa.int64()).combine_chunks().fill_null(without).to_numpy()


def is_map(feature: Feature) -> bool:
    return feature.by is not None or feature.aggregation == "value_counts"
