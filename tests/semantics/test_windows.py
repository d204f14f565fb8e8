"""Semantics, "Windows": which rows each kind covers, to the microsecond."""

import thalweg as tw

from .oracle import DAY, HOUR, MINUTE
from .values import micros
from .world import T


def counts(world, *questions):
    """What the only feature says at each of the times, on all paths."""
    return [next(iter(world.values(q).values())) for q in questions]


def test_sliding(build):
    """sliding `over="7d"` (the default) | `q - 7d <= t < q`, exact to the microsecond"""
    world = build({"n": tw.count(over="7d")})
    world.push({"at": T})
    assert list(world.types.values()) == ["int64"]
    assert counts(world, T, T + 1, T + 7 * DAY, T + 7 * DAY + 1) == [0, 1, 1, 0]


def test_sliding_with_hop(build):
    """sliding with `hop="1h"` | `floor(q - 7d, hop) <= t < q`: cheaper state, the tail is up to one hop longer"""
    world = build({"n": tw.count(over=tw.Sliding("7d", hop="1h"))})
    world.push({"at": T}, {"at": T + 1}, {"at": T + HOUR})
    # The tail stays at T until q - 7d is a whole hour later, then leaves both rows of that hour at once.
    assert counts(world, T + 7 * DAY, T + 7 * DAY + 1, T + 7 * DAY + HOUR - 1, T + 7 * DAY + HOUR) == [3, 3, 3, 1]


def test_tumbling(build):
    """tumbling `Tumbling("1d")` | the last complete window: `floor(q,1d) - 1d <= t < floor(q,1d)`"""
    world = build({"n": tw.count(over=tw.Tumbling("1d"))})
    world.push({"at": T - 1}, {"at": T}, {"at": T + DAY - 1}, {"at": T + DAY})
    assert counts(world, T + DAY - 1, T + DAY, T + 2 * DAY - 1, T + 2 * DAY) == [1, 2, 2, 1]


def test_to_date(build):
    """to date `ToDate("1d")` | `floor(q,1d) <= t < q`"""
    world = build({"n": tw.count(over=tw.ToDate("1d"))})
    world.push({"at": T - 1}, {"at": T}, {"at": T + HOUR})
    assert counts(world, T, T + 1, T + HOUR, T + HOUR + 1, T + DAY - 1, T + DAY) == [0, 1, 1, 2, 2, 0]


def test_unbounded(build):
    """unbounded (no window) | `t < q`"""
    world = build({"n": tw.count()})
    world.push({"at": T - 3000 * DAY}, {"at": T})
    assert counts(world, T - 3000 * DAY, T, T + 1) == [0, 1, 2]


def test_head_is_exclusive(build):
    """The head is exclusive everywhere: an event at exactly `q` is not seen."""
    windows = ["1h", tw.Sliding("1h", hop="5m"), tw.ToDate("1h"), None]
    world = build({"n": tw.count(over=windows)})
    world.push({"at": T + MINUTE})
    assert set(world.values(T + MINUTE).values()) == {0}
    assert set(world.values(T + MINUTE + 1).values()) == {1}
    tumbling = build({"n": tw.count(over=tw.Tumbling("1h"))})
    tumbling.push({"at": T})
    assert counts(tumbling, T, T + HOUR) == [0, 1]


def test_transaction_does_not_see_itself(build):
    """A transaction never sees itself."""
    world = build({"spent": tw.sum("x", over="1d")})
    transactions = [{"at": T + minute * MINUTE, "x": float(minute)} for minute in (1, 2, 3)]
    world.push(*transactions)
    questions = [("a", row["at"]) for row in transactions]
    for as_of in ("event_time", "arrival"):
        answers = world.training(questions, as_of)
        for question, answer in zip(questions, answers, strict=True):
            world.hold(answer, world.expected(*question, as_of), as_of)
    assert [world.values(q)["spent_1d"] for _, q in questions] == [None, 1.0, 3.0]


def test_floor_is_aligned(build):
    """
    `floor` is aligned to the epoch, or to the view's named time zone for windows of whole days or more.
    """
    features = {"n": tw.count(over=[tw.ToDate("1d"), tw.ToDate("1h"), tw.Tumbling("1d"), tw.ToDate("7d")])}
    rows = [{"at": micros(f"2024-03-30T{hour:02}:30:00Z") + HOUR * day} for day in (0, 24, 48) for hour in range(24)]
    epoch, berlin = build(features), build(features, time_zone="Europe/Berlin")
    epoch.push(*rows)
    berlin.push(*rows)
    # On 31 March the clocks of Berlin went forward: the day lasted from 23:00 UTC to 22:00 UTC.
    evening = "2024-03-31T22:00:00Z"
    assert epoch.values(evening)["n_to_date_1d"] == 22
    assert epoch.values(evening)["n_tumbling_1d"] == 24
    assert berlin.values(evening)["n_to_date_1d"] == 0
    assert berlin.values(evening)["n_tumbling_1d"] == 23
    assert berlin.values("2024-03-31T21:59:59.999999Z")["n_to_date_1d"] == 23
    # Hours are no whole days; weeks are counted from the epoch, a Thursday.
    assert berlin.values("2024-03-31T21:45:00Z")["n_to_date_1h"] == 1
    assert berlin.values("2024-04-01T12:00:00Z")["n_to_date_7d"] == epoch.values("2024-04-01T12:00:00Z")["n_to_date_7d"]
