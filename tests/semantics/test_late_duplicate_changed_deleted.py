"""Semantics, "Late, duplicate, changed and deleted rows"."""

import itertools
import json

import pytest

import thalweg as tw

from .oracle import DAY, HOUR, SECOND
from .values import canonical
from .world import T, World, project

REVERSIBLE = {
    "n": tw.count(),
    "sum": tw.sum("x"),
    "mean": tw.mean("x"),
    "min": tw.min("x"),
    "max": tw.max("x"),
    "var": tw.var("x"),
    "std": tw.std("x"),
    "skew": tw.skew("x"),
    "kurtosis": tw.kurtosis("x"),
    "first": tw.first("x"),
    "last": tw.last("x"),
    "first_k": tw.first_k("x", k=2),
    "last_k": tw.last_k("x", k=2),
    "top_k": tw.top_k("x", k=2),
    "bottom_k": tw.bottom_k("x", k=2),
    "distinct": tw.distinct_count("x"),
    "counts": tw.value_counts("x"),
    "median": tw.approx_quantile("x", quantile=0.5),
    "latest": tw.latest("x"),
}


def test_any_order_inside_the_retention(build):
    """
    Online state takes any event inside the view's retention in any order, and ends equal to a recomputation from
    scratch.
    """
    rows = [{"at": T + days * DAY, "x": float(days)} for days in (0, 1, 6, 6, 20)]
    # All arrive together and at last, so that the order in which they are taken is the only difference.
    rows = [{**row, "known_at": T + 20 * DAY, "x": row["x"] + at / 8} for at, row in enumerate(rows)]
    answers = []
    for order in itertools.islice(itertools.permutations(rows), 0, None, 24):
        world = build(
            {"n": tw.count(over="7d"), "s": tw.sum("x", over="7d"), "top": tw.top_k("x", k=3, over="25d")},
            retention="30d",
        )
        for row in order:
            world.push(row)
        answers.append([world.values(q) for q in (T + 20 * DAY + 1, T + 25 * DAY, T + 31 * DAY)])
    assert all(answer == answers[0] for answer in answers)


def test_first_row_wins(build):
    """
    A source may declare `dedup(key, within)`: the first row in log order wins, later ones are counted and dropped;
    duplicates may carry a different event time.
    """
    columns = {"id": tw.int64, "x": tw.float64}
    world = build({"s": tw.sum("x")}, columns, source={"dedup": tw.Dedup(["id"], within="2s")})
    first = world.push({"at": T + 5 * SECOND, "id": 1, "x": 1.0}, {"at": T + 5 * SECOND, "id": 1, "x": 10.0})
    assert (first.read, first.applied, first.deduplicated) == (2, 1, 1)
    second = world.push({"at": T + 7 * SECOND, "id": 1, "x": 100.0}, {"at": T + 3 * SECOND, "id": 1, "x": 1000.0})
    assert second.deduplicated == 2
    third = world.push({"at": T + 7 * SECOND + 1, "id": 1, "x": 1e4}, {"at": T + 5 * SECOND, "id": 2, "x": 1e5})
    assert third.applied == 2
    assert world.values(T + HOUR) == {"s": 110001.0}
    world.reopen()
    assert world.push({"at": T + 6 * SECOND, "id": 1, "x": 1e6}).deduplicated == 1
    assert world.values(T + HOUR) == {"s": 110001.0}


def test_changes_retract_exactly(build):
    """
    A change source (CDC: insert, update with before/after, delete) retracts exactly: every aggregation either handles a
    retraction correctly, min, max, first, last, distinct and top-k included, or the plan refuses the pair by name.
    """
    world = build(REVERSIBLE, change=True)
    world.push({"at": T, "id": 1, "op": "insert", "x": 9.0}, {"at": T + SECOND, "id": 2, "op": "insert", "x": 0.1})
    world.push({"at": T + 2 * SECOND, "id": 3, "op": "insert", "x": -4.0})
    whole = world.values(T + 3 * SECOND)
    assert (whole["max"], whole["min"], whole["first"], whole["last"]) == (9.0, -4.0, 9.0, -4.0)
    world.push(
        {"at": T + 4 * SECOND, "id": 1, "op": "update", "x": 0.2}, {"at": T + 5 * SECOND, "id": 3, "op": "delete"}
    )
    assert world.values(T + 3 * SECOND) == whole
    changed = world.values(T + 5 * SECOND)
    assert (changed["max"], changed["first"], changed["last"], changed["sum"]) == (0.2, 0.1, 0.2, -3.7)
    after = world.values(T + 6 * SECOND)
    assert (after["n"], after["min"], after["top_k"], after["distinct"]) == (2, 0.1, [0.2, 0.1], 2)
    # An update may move a row to another entity.
    world.push({"key": "b", "at": T + 7 * SECOND, "id": 2, "op": "update", "x": 7.0})
    assert (world.values(T + 8 * SECOND)["sum"], world.values(T + 8 * SECOND, "b")["sum"]) == (0.2, 7.0)


def test_retractions_arrive_late_too(build):
    """A change source retracts exactly: a deletion that is not known yet has not happened, by arrival."""
    world = build({"n": tw.count()}, change=True)
    world.push({"at": T, "id": 1, "op": "insert"})
    world.push({"at": T + SECOND, "known_at": T + HOUR, "id": 1, "op": "delete"})
    assert world.values(T + 2 * SECOND) == {"n": 1}
    assert world.values(T + 2 * SECOND, as_of="event_time") == {"n": 0}
    assert world.values(T + HOUR + 1) == {"n": 0}


def test_the_plan_refuses_what_cannot_be_taken_back(tmp_path):
    """... or the plan refuses the pair by name. Where a path cannot keep a rule, it refuses at plan time."""
    with pytest.raises(tw.DefinitionError) as refused:
        World(tmp_path, project({"u": tw.approx_distinct("x")}, change=True))
    assert "view:v.u" in str(refused.value)
    assert "approx_distinct" in str(refused.value)
    assert "distinct_count" in str(refused.value), "the mend"


def test_every_row_is_accounted_for(build):
    """
    Every row is accounted for: `read = applied + deduplicated + filtered + quarantined`, per source, always, and a row
    in quarantine keeps its raw bytes, its position and the reason, and can be replayed.
    """
    columns = {"id": tw.int64, "x": tw.Column(tw.float64, required=True, max=100.0)}
    source = {"dedup": tw.Dedup(["id"], within="1h"), "filter": "x >= 0"}
    world = build(
        {"s": tw.sum("x")},
        columns,
        source=source,
        expressions={"x >= 0": (lambda row: row["x"] is not None and row["x"] >= 0, "bool")},
    )
    values = [1.0, 2.0, None, -1.0, 101.0, 3.0]
    identities = [1, 1, 2, 3, 4, 5]
    acknowledged = world.push(
        *({"at": T + at, "id": of, "x": x} for at, (of, x) in enumerate(zip(identities, values, strict=True)))
    )
    parts = ("read", "applied", "deduplicated", "filtered", "quarantined")
    assert [getattr(acknowledged, part) for part in parts] == [6, 2, 1, 1, 2]
    assert [(error.row, error.column) for error in acknowledged.errors] == [(2, "x"), (4, "x")]
    ledger = world.engine.ledger("events")
    assert [ledger[part] for part in parts] == [6, 2, 1, 1, 2]
    assert world.values(T + HOUR) == {"s": 4.0}
    for row in (kept := world.engine.quarantine("events")):
        assert row["reason"], row
        assert row["raw"], row
        assert "position" in row, row
    assert "101" in json.dumps(kept[1], default=str)
    # With the contract as it is a replay changes nothing; once it is mended, the row counts.
    assert world.engine.replay_quarantine("events").applied == 0
    assert len(world.engine.quarantine("events")) == 2
    mended = {**columns, "x": tw.Column(tw.float64, required=True, max=1000.0)}
    world.apply(project({"s": tw.sum("x")}, mended, source=source))
    assert world.engine.replay_quarantine("events").applied == 1
    assert len(world.engine.quarantine("events")) == 1
    assert world.live(T + HOUR)["a"]["s"].value == canonical(105.0, "float64")
    ledger = world.engine.ledger("events")
    assert ledger["read"] == sum(ledger[part] for part in parts[1:])
