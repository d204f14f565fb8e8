"""Semantics, "What a read returns": a value, the event time it stems from, and a status."""

import thalweg as tw

from .oracle import HOUR, SECOND, Read
from .world import T

TOP = 2**63 - 1


def test_value_event_time_and_status(build):
    """
    Per feature: a value, the event time it stems from, and a status:
    `PRESENT`, `NULL` (computed, and null), `NOT_FOUND` (the entity was never seen), `STALE` (older than the view's
    `staleness`; the value is withheld), `ERROR` (with its reason).
    """
    features = {
        "n": tw.count(over="1h"),
        "x": tw.last("x", over="1h"),
        "s": tw.sum("x", over="1h"),
        "c": tw.value_counts("x", over="1h"),
    }
    world = build(features, {"x": tw.int64}, staleness="10s", retention="1h")
    world.push({"at": T, "x": None}, {"at": T + SECOND, "x": TOP}, {"at": T + 2 * SECOND, "x": 1})
    assert world.ask(T + 1) == {
        "n_1h": Read(1, T, "PRESENT"),
        "x_1h": Read(None, None, "NULL"),
        "s_1h": Read(None, None, "NULL"),
        "c_1h": Read({}, None, "PRESENT"),
    }
    answers = world.ask(T + 3 * SECOND)
    assert answers["x_1h"] == Read(1, T + 2 * SECOND, "PRESENT")
    assert answers["s_1h"].status == "ERROR"
    assert world.ask(T + 12 * SECOND)["n_1h"] == Read(3, T + 2 * SECOND, "PRESENT")
    assert world.ask(T + 12 * SECOND + 1)["n_1h"] == Read(None, T + 2 * SECOND, "STALE")
    never = {"n_1h": Read(0, None, "NOT_FOUND"), "x_1h": Read(None, None, "NOT_FOUND")}
    assert never.items() <= world.ask(T + 3 * SECOND, "never seen").items()
    assert never.items() <= world.ask(T).items()
    # Past the retention an entity is as if it had never been.
    assert world.ask(T + 2 * SECOND + HOUR)["n_1h"].status == "STALE"
    assert never.items() <= world.ask(T + 2 * SECOND + HOUR + 1).items()


def test_an_error_has_its_reason(build):
    """ERROR (with its reason): what went wrong is said in words."""
    world = build({"s": tw.sum("x")}, {"x": tw.int64})
    world.push({"at": T, "x": TOP}, {"at": T + 1, "x": TOP})
    assert "int64" in world.vector(T + SECOND).errors["v.s"][0]


def test_errors_stay_alone(build):
    """One feature's error never fails the others."""
    world = build({"s": tw.sum("x"), "m": tw.mean("x"), "n": tw.count()}, {"x": tw.int64})
    world.push({"at": T, "x": TOP}, {"at": T + 1, "x": TOP}, {"key": "b", "at": T, "x": 5})
    answers = world.ask(T + SECOND)
    assert {name: read.status for name, read in answers.items()} == {"s": "ERROR", "m": "PRESENT", "n": "PRESENT"}
    assert answers["m"].value == 2.0**63
    # Nor does it fail the same feature of another entity in the same request.
    both = world.live(T + SECOND, ("a", "b"))
    assert (both["a"]["s"].status, both["b"]["s"].status, both["b"]["s"].value) == ("ERROR", "PRESENT", 5)
