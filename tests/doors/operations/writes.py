"""Pushing rows, and writing features directly."""

from __future__ import annotations

import copy
from typing import Any

from .. import exact
from ..clients.base import Refused, refusal
from ..project import DIRECT, LEAST, MOST, UPON, fact
from .expecting import equal, now, present, refused_with, tag

# What every client can hold, Feast's included.
SEEN = ("n64", "x64", "word", "flag", "tags", "xs")
VALUES: dict[str, Any] = {
    "clicks": MOST,
    "rating": -0.0,
    "nick": 'ü:%"\\ x',
    "member": True,
    "visited": 1_714_564_800_000_001,
    "items": [1, LEAST],
    "weights": [0.1, -0.0, 5e-324],
    "labels": ["", "x y", "日"],
    "answers": [True, False],
    "visits": [-1, 0],
}


def push_json(client: Any) -> None:
    _push(client, "json")


def push_lines(client: Any) -> None:
    _push(client, "ndjson")


def push_arrow(client: Any) -> None:
    _push(client, "arrow")


def _push(client: Any, form: str) -> None:
    """What is acknowledged, the next read sees."""
    user = tag(client)
    ack = client.push("facts", [fact(now(), user, f"{user}-0", **UPON[2])], form)
    assert ack.applied in (1, None) and ack.quarantined in (0, None), ack
    names = [f"every.{name}" for name in SEEN]
    answer = client.read("all_types", {"user": [user]}, fields=names)
    present(answer, {f"every.{name}": UPON[2][name] for name in SEEN}, client.types)


def push_repeated(client: Any) -> None:
    """Sent again with its key, a push is acknowledged again and counted once."""
    user = tag(client)
    rows = [fact(now(), user, f"{user}-{n}", n64=n) for n in range(3)]
    first, second = (client.push("facts", rows, key=f"key-{user}") for _ in range(2))
    equal((first.repeated, second.repeated), (False, True), "whether the pushes were repetitions")
    equal(second.first_sequence, first.first_sequence, "the sequence of the repeated push")
    present(client.read("simple", {"user": [user]}), {"spend.rows": 3, "spend.total": 3}, client.types)


def broken_row(client: Any) -> None:
    """A row past its bounds goes to quarantine and is told; the row beside it is taken."""
    user = tag(client)
    rows = [fact(now(), user, f"{user}-0", n64=1, score=0.5), fact(now(), user, f"{user}-1", n64=2, score=1.5)]
    try:
        ack = client.push("facts", rows)
    except Refused as refused:
        # Feast has no other place in which to tell it.
        refused_with(refused, client.broken_row_code, "score")
    else:
        equal((ack.applied, ack.quarantined), (1, 1), "applied and quarantined")
        assert "score" in ack.reason, ack
    answer = client.read("simple", {"user": [user]}, fields=["spend.rows", "spend.total"])
    present(answer, {"spend.rows": 1, "spend.total": 1}, client.types)


def plan_and_apply(client: Any) -> None:
    """What is in force changes nothing; what changes a meaning is breaking, and refused unless it is allowed."""
    definitions = client.world.definitions
    plan = client.plan(definitions)
    equal((plan["breaking"], list(plan["changes"])), (False, []), "a plan of what is in force")
    applied = client.apply(definitions)
    equal(applied["hash"], client.world.applied["hash"], "the hash of what is in force")
    other = copy.deepcopy(definitions)
    view = next(view for view in other["manifest"]["views"] if view["name"] == "brief")
    view["features"][0]["aggregation"] = "last"
    plan = client.plan(other)
    assert plan["breaking"] and "brief" in plan["text"], plan
    refused_with(refusal(lambda: client.apply(other)), client.breaking_code, "meaning")


def describe(client: Any) -> None:
    source = client.describe("facts")
    types = {column["name"]: column["type"] for column in source["columns"]}
    equal((types["n64"], types["vec"]), ("int64", "vector<float32,3>"), "the types of columns")
    assert source["applied"] > 0 and source["read"] >= source["applied"], source
    view = client.describe_view("spend")
    equal((view["name"], view["entity"]), ("spend", "user"), "the view")


def direct_describe(client: Any) -> None:
    told = client.direct_describe("web.clicks")
    equal((told["primitive"], told["keep_previous"]), ("int", 2), "primitive and keep_previous")
    equal([dict(key) for key in told["keys"]], [{"name": "user", "type": "string"}], "the keys")


def direct_type(client: Any) -> None:
    """What Redis can tell of a key: what it holds."""
    user = tag(client)
    for name in ("nick", "labels"):
        client.direct_write("set", f"web.{name}", {"user": user}, VALUES[name])
    kinds = [client.kind(f"web.{name}:{user}") for name in ("nick", "labels", "member")]
    equal(kinds, ["string", "list", "none"], "what the keys hold")


def direct_set_and_get(client: Any) -> None:
    user = tag(client)
    for name, value in VALUES.items():
        client.direct_write("set", f"web.{name}", {"user": user}, value)
        wanted = exact.from_python(DIRECT[name][1], value)
        equal(_one(client, f"web.{name}", user), (wanted, "PRESENT"), f"`web.{name}`")
    equal(_one(client, "web.nick", "nobody"), (None, "NOT_FOUND"), "what was never written")


def direct_append(client: Any) -> None:
    user = tag(client)
    for item in ("a", "b:ü"):
        client.direct_write("append", "web.labels", {"user": user}, item)
    equal(_one(client, "web.labels", user), (["a", "b:ü"], "PRESENT"), "the list")


def direct_incr(client: Any) -> None:
    user = tag(client)
    for name, steps, total in (("clicks", (2, 3), 5), ("rating", (0.5, 0.25), 0.75)):
        for step in steps:
            client.direct_write("incr", f"web.{name}", {"user": user}, step)
        wanted = exact.from_python(DIRECT[name][1], total)
        equal(_one(client, f"web.{name}", user), (wanted, "PRESENT"), f"`web.{name}`")


def direct_update(client: Any) -> None:
    """What suits the feature: a scalar is set, a list appended to."""
    user = tag(client)
    for name, values in (("nick", ("a", "b")), ("labels", ("a", "b"))):
        for value in values:
            client.direct_write("update", f"web.{name}", {"user": user}, value)
    equal(_one(client, "web.nick", user), ("b", "PRESENT"), "the scalar")
    equal(_one(client, "web.labels", user), (["a", "b"], "PRESENT"), "the list")


def direct_previous(client: Any) -> None:
    user = tag(client)
    for value in (1, 2, 3):
        client.direct_write("set", "web.clicks", {"user": user}, value)
    found = [_one(client, f"web.clicks{back}", user) for back in ("", "@-1", "@-2")]
    equal(found, [(3, "PRESENT"), (2, "PRESENT"), (1, "PRESENT")], "the value and those before it")


def direct_windowed(client: Any) -> None:
    user = tag(client)
    for value in (1.5, 2.5):
        client.direct_write("set", "web.paid", {"user": user}, value)
    found = {name: reading.value for name, reading in client.direct_get("web.paid", {"user": user}).items()}
    floats = {"sum": 4.0, "mean": 2.0, "min": 1.5, "max": 2.5}
    equal(found, {"count": 2} | {name: value.hex() for name, value in floats.items()}, "the aggregations")
    equal(_one(client, "web.paid+mean", user), ((2.0).hex(), "PRESENT"), "one of them")


def direct_repeated(client: Any) -> None:
    user = tag(client)
    acks = [client.direct_write("incr", "web.clicks", {"user": user}, 1, key=f"key-{user}") for _ in range(2)]
    equal([ack.repeated for ack in acks], [False, True], "whether the writes were repetitions")
    equal(_one(client, "web.clicks", user), (1, "PRESENT"), "what was counted once")


def _one(client: Any, selector: str, user: str) -> tuple[Any, str]:
    (reading,) = client.direct_get(selector, {"user": user}).values()
    return reading.value, reading.status
