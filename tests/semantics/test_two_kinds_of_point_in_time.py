"""Semantics, "Two kinds of point in time": what late data does to a training set, and what serving would have said."""

import thalweg as tw

from .oracle import DAY, HOUR
from .world import SERVICE, T

LATE = [{"at": T, "x": 1.0}, {"at": T + HOUR, "x": 10.0, "known_at": T + 5 * HOUR}]


def test_by_event_time(build):
    """`as_of="event_time"` (default): events with `t < q`, however late they arrived."""
    world = build({"s": tw.sum("x", over="1d")})
    world.push(*LATE)
    assert world.values(T + 2 * HOUR, as_of="event_time") == {"s_1d": 11.0}
    assert world.values(T + HOUR, as_of="event_time") == {"s_1d": 1.0}
    assert world.default_as_of([("a", T + 2 * HOUR)]) == world.training([("a", T + 2 * HOUR)], "event_time")


def test_by_arrival(build):
    """
    `as_of="arrival"`: of those, only events whose arrival time is before `q`: what serving would have answered at that
    moment.
    """
    world = build({"s": tw.sum("x", over="1d")})
    world.push(LATE[0])
    # Serving answers before the late row is there, and the training set must say the same for ever after.
    served = world.live(T + 2 * HOUR)["a"]
    world.push(LATE[1])
    assert world.training([("a", T + 2 * HOUR)], "arrival")[0]["s_1d"].value == served["s_1d"].value
    assert world.values(T + 2 * HOUR) == {"s_1d": 1.0}
    assert world.values(T + 5 * HOUR) == {"s_1d": 1.0}
    assert world.values(T + 5 * HOUR + 1) == {"s_1d": 11.0}
    # Known before it happened: the event time still holds it back.
    world.push({"at": T + 8 * HOUR, "x": 100.0, "known_at": T + 6 * HOUR})
    assert world.values(T + 8 * HOUR) == {"s_1d": 11.0}
    assert world.values(T + 8 * HOUR + 1) == {"s_1d": 111.0}


def test_report_shows_the_difference(build):
    """
    The difference between the two is the leakage that late data would have put in the training set, and the report
    shows it.
    """
    world = build(
        {"s": tw.sum("x", over="1d"), "n": tw.count("x", where="x < 5", over="1d")},
        expressions={"x < 5": (lambda row: row["x"] is not None and row["x"] < 5, "bool")},
    )
    world.push(*LATE)
    questions = [("a", T + hours * HOUR) for hours in (1, 2, 3, 4, 5, 6, 30)]
    world.training(questions, "event_time")
    late_changed = {feature["name"]: feature.get("late_changed", 0) for feature in world.report["features"]}
    # At hours 2, 3, 4 and 5 the late row counts by event time and had not yet arrived; the count never sees it.
    assert late_changed == {"v.s_1d": 4, "v.n_1d": 0}
    assert world.report["rows"] == len(questions)
    assert world.report["service"] == SERVICE


def test_backfill_without_arrival_times(build):
    """Backfilled history without arrival times takes its event time as its arrival time, and says so."""
    world = build({"n": tw.count(over="1d")}, arrival_column=False)
    world.push({"at": T + 2 * DAY}, arrival=T + 2 * DAY, backfill=True)
    acknowledged = world.push({"at": T}, arrival=T, backfill=True)
    assert acknowledged.arrival_time == "event_time"
    assert world.values(T + HOUR) == {"n_1d": 1}
    assert world.values(T) == {"n_1d": 0}
