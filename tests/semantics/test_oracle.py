"""Tests of the oracle itself, worked out by hand: it needs no engine, and a wrong oracle proves nothing."""

import math
import random
import statistics
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from .arithmetic import AggregationError, Between, Input, aggregate, no_input
from .oracle import DAY, HOUR, MINUTE, SECOND, Oracle, Read, bounds, duration, floor, reach


def inputs(*values):
    return [Input(at, at, value) for at, value in enumerate(values)]


def value(aggregation, *values, keep_nan=False, **parameters):
    feature = {"aggregation": aggregation, "input": "x", **parameters}
    return aggregate(feature, inputs(*values), keep_nan)[0]


def instant(text):
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        ("count", 6),
        ("sum", 18.0),
        ("mean", 3.0),
        ("min", 1.0),
        ("max", 6.0),
        ("first", 2.0),
        ("last", 6.0),
        ("distinct_count", 5),
        ("latest", None),
        ("value_counts", {2.0: 2, 1.0: 1, 3.0: 1, 4.0: 1, 6.0: 1}),
    ],
)
def test_plain_aggregations(aggregation, expected):
    assert value(aggregation, 2.0, None, 1.0, 3.0, 4.0, 2.0, 6.0, None) == expected


def test_moments_against_the_standard_library():
    numbers = [3.5, -1.25, 8.0, 0.1, 0.2, 7.75]
    assert value("var", *numbers, ddof=1) == statistics.variance(numbers)
    assert value("var", *numbers) == statistics.pvariance(numbers)
    assert value("std", *numbers, ddof=1) == math.sqrt(statistics.variance(numbers))
    # 1, 2, 6: mean 3, m2 = 14/3, m3 = (-8 - 1 + 27)/3 = 6, m4 = (16 + 1 + 81)/3 = 98/3.
    assert value("skew", 1, 2, 6) == 6.0 / (14 / 3 * math.sqrt(14 / 3))
    assert value("kurtosis", 1, 2, 6) == (98 / 3) / (14 / 3 * (14 / 3)) - 3.0


def test_moments_of_too_few_or_equal_values():
    assert value("var", 1.0, ddof=1) is None
    assert value("var", 1.0) == 0.0
    assert value("var", 5, 5, 5, ddof=1) == 0.0
    assert value("skew", 5, 5, 5) is None
    assert value("kurtosis", 5) is None


def test_float_sums_are_rounded_once():
    numbers = [1e308, 1.0, 1e-300, -1e308, 0.1, 0.2, 2.0**53, 1.0]
    assert value("sum", *numbers) == math.fsum(numbers)
    assert value("sum", 1e308, 1e308) == math.inf
    assert value("sum", 1e308, 1e308, -1e308) == 1e308
    assert math.copysign(1, value("sum", -0.0, -0.0)) == 1.0


def test_integer_and_decimal_sums():
    top = 2**63 - 1
    assert value("sum", top, 1, -1) == top
    assert value("mean", top, top) == 2.0**64 / 2
    with pytest.raises(AggregationError):
        value("sum", top, 1)
    cents = [Decimal("0.10"), Decimal("99.95"), Decimal("-0.05")]
    assert value("sum", *cents) == Decimal("100.00")
    assert value("mean", *cents) == 10000.0 / 100.0 / 3
    with pytest.raises(AggregationError):
        value("sum", Decimal(10**38 - 1), Decimal(1))


def test_nan_is_skipped_or_kept():
    numbers = [1.0, math.nan, math.inf, 2.0]
    assert value("sum", *numbers) == 3.0
    assert value("count", *numbers) == 2
    assert math.isnan(value("sum", *numbers, keep_nan=True))
    assert math.isnan(value("sum", math.inf, -math.inf, keep_nan=True))
    assert value("mean", 1.0, -math.inf, keep_nan=True) == -math.inf
    assert math.isnan(value("max", *numbers, keep_nan=True))
    assert value("min", *numbers, keep_nan=True) == 1.0
    assert math.isnan(value("latest", 1.0, math.nan))
    assert value("distinct_count", math.nan, math.nan, 0.0, -0.0, keep_nan=True) == 2


def test_order_of_values():
    assert math.copysign(1, value("min", 0.0, -0.0)) == -1.0
    assert math.copysign(1, value("max", -0.0, 0.0)) == 1.0
    assert value("max", "a", "é", "z") == "é"
    assert value("top_k", 1, 3, 2, k=2) == [3, 2]
    assert value("bottom_k", True, False, k=2) == [False, True]
    assert value("first_k", 5, None, 4, 3, k=2) == [5, 4]
    assert value("last_k", 5, None, 4, 3, k=2) == [4, 3]


def test_total_order_breaks_ties_by_sequence():
    rows = [Input(10, 2, "second"), Input(10, 1, "first"), Input(5, 3, "earliest")]
    assert aggregate({"aggregation": "first", "input": "x"}, rows, False)[0] == "earliest"
    assert aggregate({"aggregation": "last", "input": "x"}, rows, False)[0] == "second"


def test_sketches_answer_within_their_bounds():
    bounds = value("approx_quantile", 10.0, 20.0, 30.0, quantile=0.5, relative_error=0.01)
    assert bounds.allows(20.19)
    assert not bounds.allows(20.3)
    assert not bounds.allows(None)
    assert value("approx_distinct", "a", "b", "a", lg_k=12) == Between(1.0, 3.0)


def test_no_input():
    assert no_input({"aggregation": "count"}) == 0
    assert no_input({"aggregation": "top_k"}) == []
    assert no_input({"aggregation": "sum", "by": "c"}) == {}
    assert no_input({"aggregation": "sum"}) is None


def test_durations_and_floors():
    assert duration("1h30m") == 90 * MINUTE
    assert duration("2w") == 14 * DAY
    assert duration("500ms") == 500_000
    assert floor(-1, HOUR, None) == -HOUR
    berlin = ZoneInfo("Europe/Berlin")
    # 31 March 2024 has 23 hours in Berlin: it starts at 23:00 UTC and the next day at 22:00 UTC.
    assert floor(instant("2024-03-31T21:59:59+00:00"), DAY, berlin) == instant("2024-03-30T23:00:00+00:00")
    assert floor(instant("2024-03-31T22:00:00+00:00"), DAY, berlin) == instant("2024-03-31T22:00:00+00:00")
    assert floor(instant("2024-03-31T21:30:00+00:00"), HOUR, berlin) == instant("2024-03-31T21:00:00+00:00")


def test_window_bounds():
    q = 10 * DAY + 5 * HOUR
    assert bounds({"kind": "sliding", "over": "7d"}, q, None) == (3 * DAY + 5 * HOUR, q)
    assert bounds({"kind": "sliding", "over": "7d", "hop": "1d"}, q, None) == (3 * DAY, q)
    assert bounds({"kind": "tumbling", "over": "1d"}, q, None) == (9 * DAY, 10 * DAY)
    assert bounds({"kind": "to_date", "over": "1d"}, q, None) == (10 * DAY, q)
    assert bounds({"kind": "unbounded"}, q, None) == (None, q)
    berlin = ZoneInfo("Europe/Berlin")
    monday = instant("2024-04-01T12:00:00+02:00")
    whole_sunday = (instant("2024-03-31T00:00:00+01:00"), instant("2024-04-01T00:00:00+02:00"))
    assert bounds({"kind": "tumbling", "over": "1d"}, monday, berlin) == whole_sunday
    assert reach({"kind": "tumbling", "over": "1d"}) == 2 * DAY + 2 * HOUR


def manifest(features, *, source=None, view=None):
    columns = [
        ("key", "string"),
        ("at", "timestamp"),
        ("known_at", "timestamp"),
        ("id", "int64"),
        ("op", "string"),
        ("x", "int64"),
    ]
    return {
        "entities": [{"name": "thing", "keys": [{"name": "key", "type": "string"}]}],
        "sources": [
            {
                "name": "events",
                "timestamp": "at",
                "arrival_time": "known_at",
                "columns": [{"name": name, "type": kind} for name, kind in columns],
                **(source or {}),
            }
        ],
        "views": [{"name": "v", "entity": "thing", "sources": ["events"], "features": features, **(view or {})}],
    }


def event(at, x, known_at=None, **more):
    return {"key": "a", "at": at, "known_at": at if known_at is None else known_at, "x": x, **more}


SUM = {"name": "s", "aggregation": "sum", "input": "x", "windows": [{"kind": "sliding", "over": "10s"}]}


def test_visibility_by_event_time_and_arrival():
    oracle = Oracle(manifest([SUM]))
    oracle.push("events", [event(1 * SECOND, 1), event(2 * SECOND, 2, known_at=5 * SECOND)])
    assert oracle.read("v", ("a",), 5 * SECOND)["s_10s"] == Read(3, 2 * SECOND, "PRESENT")
    assert oracle.read("v", ("a",), 5 * SECOND, 5 * SECOND)["s_10s"] == Read(1, 1 * SECOND, "PRESENT")
    assert oracle.read("v", ("a",), 5 * SECOND + 1, 5 * SECOND + 1)["s_10s"].value == 3
    assert oracle.read("v", ("a",), 11 * SECOND, None)["s_10s"].value == 3
    assert oracle.read("v", ("a",), 11 * SECOND + 1, None)["s_10s"].value == 2
    assert oracle.read("v", ("a",), 12 * SECOND + 1, None)["s_10s"] == Read(None, None, "NOT_FOUND")
    assert oracle.read("v", ("b",), 5 * SECOND, None)["s_10s"] == Read(None, None, "NOT_FOUND")


def test_statuses():
    latest = {"name": "l", "aggregation": "latest", "input": "x"}
    oracle = Oracle(manifest([SUM, latest], view={"staleness": "5s"}))
    oracle.push("events", [event(SECOND, 2**63 - 1), event(2 * SECOND, 1), event(3 * SECOND, None)])
    assert oracle.read("v", ("a",), 4 * SECOND)["s_10s"] == Read(None, None, "ERROR")
    assert oracle.read("v", ("a",), 4 * SECOND)["l"] == Read(None, 3 * SECOND, "NULL")
    assert oracle.read("v", ("a",), 8 * SECOND)["l"] == Read(None, 3 * SECOND, "NULL")
    assert oracle.read("v", ("a",), 8 * SECOND + 1)["l"] == Read(None, 3 * SECOND, "STALE")


def test_changes_are_taken_back():
    change = {"kind": "SOURCE_KIND_CHANGE", "primary_key": ["id"], "operation": "op"}
    oracle = Oracle(manifest([SUM], source=change))
    oracle.push("events", [event(1 * SECOND, 10, id=1, op="insert"), event(2 * SECOND, 5, id=2, op="insert")])
    oracle.push("events", [event(3 * SECOND, 20, known_at=6 * SECOND, id=1, op="update")])
    oracle.push("events", [event(8 * SECOND, None, id=2, op="delete")])
    values = {q: oracle.read("v", ("a",), q, q)["s_10s"].value for q in (x * SECOND for x in range(2, 11))}
    assert [values[q * SECOND] for q in (2, 3, 6, 7, 8, 9)] == [10, 15, 15, 25, 25, 20]
    assert oracle.read("v", ("a",), 4 * SECOND)["s_10s"].value == 25


def test_duplicates_are_dropped_and_counted():
    oracle = Oracle(manifest([SUM], source={"dedup": {"key": ["id"], "within": "2s"}}))
    oracle.push("events", [event(5 * SECOND, 1, id=1), event(7 * SECOND, 10, id=1), event(3 * SECOND, 100, id=1)])
    oracle.push("events", [event(7 * SECOND + 1, 1000, id=1), event(5 * SECOND, 10000, id=2)])
    assert oracle.read("v", ("a",), 10 * SECOND)["s_10s"].value == 11001
    ledger = oracle.states["events"].ledger
    assert (ledger.read, ledger.applied, ledger.deduplicated) == (5, 3, 2)


def test_by_and_where():
    by = {"name": "b", "aggregation": "count", "input": "x", "by": "op", "where": "x > 1"}
    oracle = Oracle(manifest([by]), {"x > 1": lambda row: row["x"] is not None and row["x"] > 1})
    rows = [
        event(1, 1, op="p"),
        event(2, 2, op="p"),
        event(3, 3, op="q"),
        event(4, 3, op="p"),
        event(5, 9),
        event(6, None, op="z"),
    ]
    oracle.push("events", rows)
    assert oracle.read("v", ("a",), 10)["b"] == Read({"p": 2, "q": 1}, 4, "PRESENT")


def test_answers_do_not_depend_on_the_order_of_the_log():
    rows = [event(random.Random(1).randrange(100) + at, at) for at in range(50)]
    forward, backward = Oracle(manifest([SUM])), Oracle(manifest([SUM]))
    forward.push("events", rows)
    backward.push("events", rows[::-1])
    assert forward.read("v", ("a",), 200) == backward.read("v", ("a",), 200)
