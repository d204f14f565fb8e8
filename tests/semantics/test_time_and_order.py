"""Semantics, the opening and "Time and order": one value on every path, UTC, the total order, and whose clock."""

from datetime import UTC, datetime, timedelta, timezone

import pyarrow as pa
import pytest

import thalweg as tw

from .oracle import DAY, HOUR, SECOND
from .values import micros
from .world import SOURCE, T


def test_one_rule_book(build):
    """
    One rule book for every path: online, training set, SQL, Spark, Flink. A value computed on two paths for the
    same entity and the same query time is the same value, to the last bit for integers, strings and booleans,
    and to the last bit for floats too (see Sums).
    """
    columns = {"x": tw.float64, "i": tw.int64, "s": tw.string, "b": tw.bool_}
    features = {"x": tw.sum("x", over="1h"), "i": tw.sum("i", over="1h"), "s": tw.max("s"), "b": tw.last("b")}
    world = build(features, columns)
    values = [(0.1, 2**53 + 1, "", True), (0.2, 1, "Ωmega", False), (1e300, -7, "z", True), (-1e300, 3, None, None)]
    world.push(*({"at": T + at, "x": x, "i": i, "s": s, "b": b} for at, (x, i, s, b) in enumerate(values)))
    # The bits are compared in here, live against training sets and oracle; the hand's own numbers come after.
    assert world.values(T + 4) == {"x_1h": 0.1 + 0.2, "i_1h": 2**53 - 2, "s": "Ωmega", "b": True}


def test_refused_at_plan_time(build):
    """Where a path cannot keep a rule, it refuses at plan time."""
    with pytest.raises(tw.DefinitionError, match="approx_distinct"):
        build({"u": tw.approx_distinct("x")}, change=True)
    with pytest.raises(tw.DefinitionError):
        build({"s": tw.sum("x")}, {"x": tw.string})


def test_times_are_microseconds(build):
    """Times are UTC, int64 microseconds since the epoch."""
    world = build({"n": tw.count(over="1s"), "newest": tw.last("at")})
    for at in (T + 1, -5 * DAY - 1, micros("2199-12-31T23:59:59.999999Z")):
        world.push({"key": str(at), "at": at})
        answers = world.ask(at + 1, str(at))
        assert (answers["n_1s"].value, answers["newest"].value, answers["newest"].event_time) == (1, at, at)


def test_other_units_and_zones_are_converted(build):
    """Input in other units or zones is converted once, at the door."""
    world = build({"newest": tw.last("at"), "n": tw.count()}, arrival_column=False)
    moment = datetime(2024, 3, 1, 1, 0, tzinfo=timezone(timedelta(hours=1)))
    kinds = [
        pa.timestamp("s", "UTC"),
        pa.timestamp("ms", "Europe/Berlin"),
        pa.timestamp("ns", "UTC"),
        pa.timestamp("us"),
    ]
    for at, kind in enumerate(kinds):
        naive = kind.tz is None
        time = moment.astimezone(UTC).replace(tzinfo=None) if naive else moment
        rows = {"key": [f"k{at}"], "at": pa.array([time], kind), "x": [1.0]}
        world.engine.push(SOURCE, pa.table(rows))
        # A second later: what came after a read did not arrive before its query time.
        assert world.live(T + SECOND, (f"k{at}",))[f"k{at}"]["newest"].value == T
    world.engine.push(SOURCE, [{"key": "text", "at": "2024-03-01T05:30:00+05:30", "x": 1.0}])
    assert world.live(T + SECOND, ("text",))["text"]["newest"].value == T
    assert world.live(T, ("text",))["text"]["n"].value == 0


def test_event_time_arrival_time_and_sequence(build):
    """
    Every event has an *event time* (from the data), an *arrival time* and a *sequence* (both given when the log
    accepts it).
    """
    world = build({"n": tw.count(), "last": tw.last("x")}, arrival_column=False)
    first = world.push_to_engine([{"at": T, "x": 1.0}, {"at": T, "x": 2.0}])
    second = world.push_to_engine([{"at": T - HOUR, "x": 3.0}])
    assert first.arrival_time == second.arrival_time == "clock"
    assert second.first_sequence >= first.first_sequence + 2
    assert world.live(T + 1)["a"]["n"].event_time == T


def test_total_order(build):
    """The total order of an entity's events is (event time, sequence): ties are never left to chance."""
    features = {"first": tw.first("x"), "last": tw.last("x"), "latest": tw.latest("x"), "all": tw.last_k("x", k=9)}
    world = build(features)
    world.push({"at": T + 1, "x": 10.0}, {"at": T + 1, "x": 20.0}, {"at": T, "x": 30.0})
    world.push({"at": T + 1, "x": 15.0}, {"at": T, "x": 35.0})
    expected = {"first": 30.0, "last": 15.0, "latest": 15.0, "all": [30.0, 35.0, 10.0, 20.0, 15.0]}
    assert world.values(T + 2) == expected
    world.reopen()
    assert world.values(T + 2) == expected


def test_query_time(build):
    """
    The query time `q` is the clock for a live read, the row's own timestamp for a training set, or an explicit `as_of`.
    """
    world = build({"n": tw.count(over="1h")})
    world.push({"at": T}, {"at": T + 2 * HOUR})
    assert world.live(None)["a"]["n_1h"].value == 1
    assert world.asked_at > T + 2 * HOUR
    answers = world.training([("a", T), ("a", T + 1), ("a", T + HOUR + 1)], "event_time")
    assert [answer["n_1h"].value for answer in answers] == [0, 1, 0]
    assert [world.live(q)["a"]["n_1h"].value for q in (T, T + 1, T + HOUR + 1)] == [0, 1, 0]
    assert world.asked_at == T + HOUR + 1


def test_clocks(build):
    """
    The clock is the system's; or, to replay history as if it were live, the events' own (`--clock=events`: the latest
    event time accepted so far, never going back).
    """
    replay = build({"n": tw.count(over="1h")}, arrival_column=False)
    replay.push_to_engine([{"at": T + HOUR}])
    replay.live(None)
    latest = replay.asked_at
    assert T + HOUR < latest <= T + HOUR + SECOND
    replay.push_to_engine([{"at": T}])
    assert replay.live(None)["a"]["n_1h"].value == 1
    assert replay.asked_at >= latest
    system = build({"n": tw.count(over="1h")}, clock="system", arrival_column=False)
    before = micros(datetime.now(UTC))
    system.push_to_engine([{"at": before}])
    assert system.live(None)["a"]["n_1h"].value == 1
    assert before < system.asked_at <= micros(datetime.now(UTC)) + SECOND


def test_arrival_times(build):
    """
    Arrival times are read from the same clock, or from a column where the source declares one
    (`arrival_time="created_at"`).
    """
    clock = build({"n": tw.count()}, arrival_column=False)
    clock.push_to_engine([{"at": T + HOUR}])
    # By the clock of the events it is one o'clock: this row is an hour late.
    assert clock.push_to_engine([{"at": T}]).arrival_time == "clock"
    by_arrival, by_event_time = (
        clock.training([("a", T + HOUR)], as_of)[0]["n"] for as_of in ("arrival", "event_time")
    )
    assert (by_arrival.value, by_event_time.value) == (0, 1)
    column = build({"n": tw.count()})
    column.push({"at": T + HOUR})
    assert column.push({"at": T, "known_at": T + 1}).arrival_time == "column"
    assert column.values(T + HOUR) == {"n": 1}
