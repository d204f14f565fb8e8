"""The example's features once more, in SQL that knows nothing of Thalweg: what the platform says is held against it.

Each view is one select list, written by hand: `mean(late, d7)` is the mean of `late` over the seven days before the
question, which itself is excluded. The list is carried out in one of two ways that have nothing in common:

* `by_running_sums`, for a year: every key has running counts and sums, read just before the question and just before
  the window's beginning; the difference is the window's. Only extremes and distinct counts use window functions.
* `by_joins`, for a sample: every question is joined with its rows, which are then grouped. Slow, and it can also leave
  out what was not known yet: that is `as_of="arrival"`.

The comparison is exact. Delays are whole minutes, so that sums are exact in any order; a mean is the sum over the
count, in doubles; a standard deviation comes from whole sums of squares, far below 2**53, with one division
and one root.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from data import Year

HOUR = 3_600_000_000
WINDOWS = {"h1": HOUR, "h6": 6 * HOUR, "d1": 24 * HOUR, "d7": 7 * 24 * HOUR, "d30": 30 * 24 * HOUR}

# The sources as sent, without what was sent twice: the first to come counts. `nth` is the order of the rows in time,
# and among rows of one instant the order in which they came.
EVENTS = {
    "departures": """
        select *, epoch_us(departed_at) as t, epoch_us(known_at) as known, (dep_delay > 15)::int as late,
               cancelled::int as gone, row_number() over (order by departed_at, position) as nth
        from (from sent_departures qualify row_number() over (partition by flight_id order by position) = 1)""",
    "arrivals": """
        select *, epoch_us(arrived_at) as t, epoch_us(known_at) as known, (arr_delay > 15)::int as late,
               row_number() over (order by arrived_at, position) as nth
        from (from sent_arrivals qualify row_number() over (partition by flight_id order by position) = 1)""",
    "weather": """
        select *, epoch_us(observed_at) as t, epoch_us(known_at) as known,
               row_number() over (order by observed_at, position) as nth
        from (from sent_weather qualify row_number() over (partition by origin, observed_at order by position) = 1)""",
}


@dataclass(frozen=True)
class View:
    """A view's key, the source that it reads, the columns of it that it needs, and its features as a select list.

    The list has calls on a column and a window: `rows`, `mean`, `std` (of the sample), `max`, `min`, `newest` (the last
    value that is not null) and `different` (how many distinct values).
    """

    name: str
    source: str
    key: str
    needs: str
    features: str

    @property
    def columns(self) -> list[str]:
        return self.needs.split(", ")


VIEWS = [
    View(
        "carrier_departures",
        "departures",
        "carrier",
        "dep_delay, late, gone",
        """
        rows(h1) as flights_1h,
        rows(d1) as flights_1d,
        rows(d7) as flights_7d,
        mean(dep_delay, h1) as dep_delay_mean_1h,
        mean(dep_delay, d1) as dep_delay_mean_1d,
        mean(dep_delay, d7) as dep_delay_mean_7d,
        mean(dep_delay, d30) as dep_delay_mean_30d,
        max(dep_delay, h1) as dep_delay_max_1h,
        max(dep_delay, d1) as dep_delay_max_1d,
        mean(late, h1) as late_share_1h,
        mean(late, d1) as late_share_1d,
        mean(late, d7) as late_share_7d,
        mean(late, d30) as late_share_30d,
        mean(gone, d1) as cancelled_share_1d,
        mean(gone, d7) as cancelled_share_7d""",
    ),
    View(
        "carrier_arrivals",
        "arrivals",
        "carrier",
        "arr_delay, late",
        """
        mean(arr_delay, h1) as arr_delay_mean_1h,
        mean(arr_delay, d1) as arr_delay_mean_1d,
        mean(arr_delay, d7) as arr_delay_mean_7d,
        mean(arr_delay, d30) as arr_delay_mean_30d,
        max(arr_delay, d1) as arr_delay_max_1d,
        std(arr_delay, d7) as arr_delay_std_7d,
        mean(late, h1) as late_share_1h,
        mean(late, d1) as late_share_1d,
        mean(late, d7) as late_share_7d,
        mean(late, d30) as late_share_30d""",
    ),
    View(
        "origin_departures",
        "departures",
        "origin",
        "dep_delay, late, gone, dest",
        """
        rows(h1) as flights_1h,
        rows(d1) as flights_1d,
        mean(dep_delay, h1) as dep_delay_mean_1h,
        mean(dep_delay, d1) as dep_delay_mean_1d,
        mean(dep_delay, d7) as dep_delay_mean_7d,
        max(dep_delay, h1) as dep_delay_max_1h,
        mean(late, h1) as late_share_1h,
        mean(late, d1) as late_share_1d,
        mean(late, d7) as late_share_7d,
        mean(gone, d1) as cancelled_share_1d,
        different(dest, h1) as destinations_1h,
        different(dest, d1) as destinations_1d""",
    ),
    View(
        "aircraft_departures",
        "departures",
        "tailnum",
        "dep_delay, dest",
        """
        rows(d1) as flights_1d,
        rows(d7) as flights_7d,
        newest(dep_delay, d1) as last_dep_delay_1d,
        newest(dest, d7) as last_dest_7d,
        mean(dep_delay, d1) as dep_delay_mean_1d,
        mean(dep_delay, d7) as dep_delay_mean_7d,
        mean(dep_delay, d30) as dep_delay_mean_30d,
        different(dest, d7) as destinations_7d,
        different(dest, d30) as destinations_30d""",
    ),
    View(
        "aircraft_arrivals",
        "arrivals",
        "tailnum",
        "arr_delay, late",
        """
        newest(arr_delay, d1) as last_arr_delay_1d,
        newest(arr_delay, d7) as last_arr_delay_7d,
        mean(arr_delay, d7) as arr_delay_mean_7d,
        mean(arr_delay, d30) as arr_delay_mean_30d,
        max(arr_delay, d7) as arr_delay_max_7d,
        mean(late, d30) as late_share_30d""",
    ),
    View(
        "route_arrivals",
        "arrivals",
        "origin, dest",
        "arr_delay, late, carrier, air_time",
        """
        rows(d7) as flights_7d,
        rows(d30) as flights_30d,
        mean(arr_delay, d1) as arr_delay_mean_1d,
        mean(arr_delay, d7) as arr_delay_mean_7d,
        mean(arr_delay, d30) as arr_delay_mean_30d,
        max(arr_delay, d7) as arr_delay_max_7d,
        mean(late, d1) as late_share_1d,
        mean(late, d7) as late_share_7d,
        mean(late, d30) as late_share_30d,
        mean(air_time, d30) as air_time_mean_30d,
        different(carrier, d30) as carriers_30d""",
    ),
    View(
        "origin_weather",
        "weather",
        "origin",
        "wind_speed, visib, precip",
        """
        max(wind_speed, h6) as wind_speed_max_6h,
        min(visib, h6) as visib_min_6h,
        max(precip, h6) as precip_max_6h""",
    ),
]

# The newest observation, nulls and all, unless it is more than six hours old.
NEWEST_WEATHER = """
    select s.row as row, {columns}
    from spine s left join lateral (
        select * from weather e where e.origin = s.origin and e.t < s.q and e.t >= s.q - {six_hours} {known}
        order by e.nth desc limit 1) w on true"""
NEWEST_WEATHER_ASOF = """
    select s.row as row, {columns}
    from spine s asof left join weather w on s.origin = w.origin and s.q > w.t"""
OBSERVED = ("temp", "wind_speed", "precip", "visib", "pressure")

ON_DEMAND = """
    carrier_arrivals__late_share_1d / nullif(carrier_arrivals__late_share_30d, 0) as carrier_trend,
    origin_departures__late_share_1h / nullif(origin_departures__late_share_7d, 0) as origin_trend,
    route_arrivals__late_share_30d / nullif(origin_departures__late_share_7d, 0) as route_vs_origin,
    aircraft_arrivals__arr_delay_mean_7d - carrier_arrivals__arr_delay_mean_7d as aircraft_vs_carrier,
    route_arrivals__arr_delay_mean_30d * 100 / distance as route_delay_per_100_miles"""


class Oracle:
    """The events in a DuckDB of their own, and the two ways to ask it."""

    def __init__(self, year: Year, threads: int = 2):
        self.db = duckdb.connect(config={"threads": threads})
        self.db.execute("set timezone = 'UTC'")
        for name, events in EVENTS.items():
            sent = year.source(name)
            sent = sent.append_column("position", pa.array(np.arange(sent.num_rows)))
            self.db.register(f"sent_{name}", sent)
            self.db.execute(f"create table {name} as {events}")

    def by_running_sums(self, spine: pa.Table, timestamp: str = "ask_at") -> pa.Table:
        """All features for all rows of the spine, in its order, over all events with `t < q`."""
        self._ask(spine, timestamp)
        for view in VIEWS:
            self.db.execute(f"create or replace temp table running as {running_sums(view)}")
            self.db.execute(f"create or replace temp table extremes as {extremes(view)}")
            self.db.execute(f"create or replace temp table {view.name} as {from_running_sums(view)}")
        columns = ", ".join(f"case when s.q - w.t <= {6 * HOUR} then w.{each} end as {each}" for each in OBSERVED)
        self.db.execute(f"create or replace temp table newest_weather as {NEWEST_WEATHER_ASOF.format(columns=columns)}")
        return self._answer()

    def by_joins(self, spine: pa.Table, timestamp: str = "ask_at", as_of: str = "event_time") -> pa.Table:
        """The same, row by row; with `as_of="arrival"` only over events with `known < q` as well."""
        self._ask(spine, timestamp)
        known = "and e.known < s.q" if as_of == "arrival" else ""
        for view in VIEWS:
            self.db.execute(f"create or replace temp table {view.name} as {from_joins(view, known)}")
        columns = ", ".join(f"w.{each}" for each in OBSERVED)
        newest = NEWEST_WEATHER.format(columns=columns, six_hours=6 * HOUR, known=known)
        self.db.execute(f"create or replace temp table newest_weather as {newest}")
        return self._answer()

    def _ask(self, spine: pa.Table, timestamp: str) -> None:
        rows = spine.select(["carrier", "origin", "dest", "tailnum", "distance"])
        rows = rows.append_column("row", pa.array(np.arange(spine.num_rows)))
        self.db.register("asked", rows.append_column("instant", spine[timestamp]))
        self.db.execute("create or replace temp table spine as select *, epoch_us(instant) as q from asked")

    def _answer(self) -> pa.Table:
        parts = [(view.name, view.name) for view in VIEWS] + [("newest_weather", "origin_weather")]
        columns = [
            f"{table}.{name} as {view}__{name}"
            for table, view in parts
            for name in self.db.table(table).columns
            if name != "row"
        ]
        joins = " ".join(f"join {table} using (row)" for table, _ in parts)
        return self.db.sql(f"""
            with features as (select row, distance, {", ".join(columns)} from spine {joins})
            select * exclude (row, distance), {ON_DEMAND} from features order by row""").to_arrow_table()


JOINED = {
    "rows": "count(nth) {in_window}",
    "mean": "sum({x}) {in_window} / count({x}) {in_window}",
    "std": "sqrt((count({x}) {in_window} * sum({x} * {x}) {in_window} - sum({x}) {in_window} * sum({x}) {in_window})"
    " / nullif(count({x}) {in_window} * (count({x}) {in_window} - 1), 0))",
    "max": "max({x}) {in_window}",
    "min": "min({x}) {in_window}",
    "newest": "arg_max({x}, nth) {in_window}",
    "different": "count(distinct {x}) {in_window}",
}


def from_joins(view: View, known: str) -> str:
    """The view's features by grouping the rows that each question may see."""
    features = carried_out(
        view, lambda call, x, window: JOINED[call].format(x=x, in_window=f"filter (where t >= q - {WINDOWS[window]})")
    )
    needs = ", ".join(f"e.{column}" for column in view.columns)
    return f"""
        select row, {features}
        from (select s.row, s.q, e.t, e.nth, {needs} from spine s left join {view.source} e
              on {same_key(view, "e", "s")} and e.t < s.q and e.t >= s.q - {WINDOWS["d30"]} {known})
        group by row"""


RUNNING = {
    "rows": "{rows}",
    "mean": "{sum} / nullif({count}, 0)",
    "std": "sqrt(({count} * {squares} - {sum} * {sum}) / nullif({count} * ({count} - 1), 0))",
    "max": "extremes.max_{x}_{window}",
    "min": "extremes.min_{x}_{window}",
    "newest": "case when now.time_of_{x} >= s.q - {length} then now.newest_{x} end",
    "different": "extremes.different_{x}_{window}",
}
EXTREME = {"max": "max({x})", "min": "min({x})", "different": "count(distinct {x})"}


def running_sums(view: View) -> str:
    """For each instant at which a key has events: counts and sums of its events until then, itself included."""
    columns = ["count(*) over line as rows"]
    for x in sorted({x for call, x, _ in calls(view) if call in ("mean", "std")}):
        columns += [
            f"count({x}) over line as count_{x}",
            f"sum({x}) over line as sum_{x}",
            f"sum({x} * {x}) over line as squares_{x}",
        ]
    for x in sorted({x for call, x, _ in calls(view) if call == "newest"}):
        columns += [
            f"last_value({x} ignore nulls) over line as newest_{x}",
            f"last_value(case when {x} is not null then t end ignore nulls) over line as time_of_{x}",
        ]
    return f"""
        select {view.key}, t, {", ".join(columns)} from {view.source}
        window line as (partition by {view.key} order by nth rows unbounded preceding)
        qualify nth = max(nth) over (partition by {view.key}, t)"""


def extremes(view: View) -> str:
    """What differences cannot tell, by window functions over events and questions on one line of time."""
    wanted = sorted({each for each in calls(view) if each[0] in EXTREME})
    functions = [f"{EXTREME[call].format(x=x)} over {window} as {call}_{x}_{window}" for call, x, window in wanted]
    line = f"partition by {view.key} order by t"
    windows = ", ".join(
        f"{name} as ({line} range between {length} preceding and 1 preceding)" for name, length in WINDOWS.items()
    )
    return f"""
        with line as (
            select {view.key}, t, {", ".join(view.columns)}, false as asked from {view.source}
            union all by name
            select distinct {view.key}, q as t, true as asked from spine)
        select * exclude (asked) from (
            select {view.key}, t as q, asked, {", ".join(functions)} from line window {windows}) where asked"""


def from_running_sums(view: View) -> str:
    """The view's features as differences between the question and the beginning of each window."""

    def difference(call: str, x: str, window: str) -> str:
        sums = {
            name: f"(coalesce(now.{column}, 0) - coalesce({window}.{column}, 0))"
            for name, column in (
                ("rows", "rows"),
                ("count", f"count_{x}"),
                ("sum", f"sum_{x}"),
                ("squares", f"squares_{x}"),
            )
        }
        return RUNNING[call].format(x=x, window=window, length=WINDOWS[window], **sums)

    used = {window for call, _, window in calls(view) if call in ("rows", "mean", "std")}
    edges = [("now", 0)] + [(window, WINDOWS[window]) for window in sorted(used)]
    asof = " ".join(
        f"asof left join running {edge} on {same_key(view, 's', edge)} and s.q - {length} > {edge}.t"
        for edge, length in edges
    )
    return f"""
        select s.row, {carried_out(view, difference)} from spine s {asof}
        join extremes on {same_key(view, "s", "extremes")} and s.q = extremes.q"""


CALL = re.compile(r"(\w+)\((?:(\w+), )?(\w+)\) as")


def calls(view: View) -> list[tuple[str, str, str]]:
    """The calls in the view's list: what, of which column (empty for rows), over which window."""
    return [match.groups(default="") for match in CALL.finditer(view.features)]


def carried_out(view: View, sql: Callable[[str, str, str], str]) -> str:
    """The view's list with each call written out."""
    return CALL.sub(lambda match: sql(*match.groups(default="")) + " as", view.features)


def same_key(view: View, left: str, right: str) -> str:
    return " and ".join(f"{left}.{key} = {right}.{key}" for key in view.key.split(", "))


@dataclass
class Comparison:
    """How many values were held against each other, and which differ, a few of each feature."""

    compared: int = 0
    mismatches: int = 0
    samples: list[str] = field(default_factory=list)


def compare(given: pa.Table, wanted: pa.Table) -> Comparison:
    """Every value of `wanted` against the same column of `given`: nulls as nulls, floats to the last bit."""
    result = Comparison()
    for name in wanted.column_names:
        left, right = comparable(given[name], wanted[name])
        assert len(left) == len(right), f"{name}: {len(left)} rows against {len(right)}"
        unlike = pc.invert(pc.equal(left, right).fill_null(False))
        differs = pc.and_(unlike, pc.invert(pc.and_(left.is_null(), right.is_null())))
        result.compared += len(left)
        result.mismatches += pc.sum(differs).as_py() or 0
        for row in pc.indices_nonzero(differs).to_pylist()[:3]:
            result.samples.append(f"{name}, row {row}: {left[row]} against {right[row]}")
    return result


def comparable(left: pa.ChunkedArray, right: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Both columns in the widest type that holds either exactly: int64, double or string. A column of nulls has any."""
    types = [column.type for column in (left, right)]
    if any(pa.types.is_floating(each) for each in types):
        shared = pa.float64()
    elif any(pa.types.is_integer(each) or pa.types.is_decimal(each) for each in types):
        shared = pa.int64()
    else:
        shared = pa.string()
    return left.cast(shared), right.cast(shared)
