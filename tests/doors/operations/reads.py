"""Reading features."""

from __future__ import annotations

from typing import Any

from .. import exact
from ..clients.base import refusal
from ..project import HOUR, LEAST, MOST, ODD_KEYS, SIMPLE, TYPES, U1_SPEND, UPON
from .expecting import absent, at_the_end, cell, equal, present, refused_with

SIMPLE_U1 = {f"spend.{name}": U1_SPEND[f"spend.{name}"] for name in SIMPLE}


def service(client: Any) -> None:
    answer = client.read("simple", {"user": ["u1"]}, **at_the_end(client))
    equal(sorted(answer), sorted(SIMPLE_U1), "the features of the service")
    present(answer, SIMPLE_U1, client.types)


def two_key_columns(client: Any) -> None:
    keys = {"shop": [7, 7, LEAST, MOST], "till": ["a:b%", "x", "a:b%", "a:b%"]}
    answer = client.read("tills", keys, fields=["till_sales.rows"], **at_the_end(client))
    for row, rows in ((0, 2), (2, 1), (3, 1)):
        present(answer, {"till_sales.rows": rows}, client.types, row)
    absent(client, answer, "till_sales.rows", "NOT_FOUND", 0, row=1)


def feature_list(client: Any) -> None:
    wanted = ["spend.x_mean", "spend.rows"]
    answer = client.read("simple", {"user": ["u1"]}, fields=wanted, **at_the_end(client))
    equal(list(answer), wanted, "the features, in the order asked for")
    present(answer, {name: SIMPLE_U1[name] for name in wanted}, client.types)


def many_entities(client: Any) -> None:
    users = [f"nobody-{n}" for n in range(100)]
    users[0], users[50], users[99] = "u1", "u2", "u1"
    answer = client.read("simple", {"user": users}, **at_the_end(client))
    for row in (0, 99):
        present(answer, SIMPLE_U1, client.types, row)
    present(answer, {"spend.rows": 1}, client.types, 50)
    for row in (1, 49, 51, 98):
        absent(client, answer, "spend.rows", "NOT_FOUND", 0, row=row)


def as_of(client: Any) -> None:
    """An event at the query time is not seen; one a microsecond before it is."""
    second = client.world.facts.base + 2 * HOUR
    for moment, rows in ((second, 1), (second + 1, 2)):
        answer = client.read("simple", {"user": ["u1"]}, as_of=moment)
        present(answer, {"spend.rows": rows}, client.types)


def event_time(client: Any) -> None:
    answer = client.read("simple", {"user": ["u1", "nobody"]}, **at_the_end(client))
    newest = client.world.facts.base + 3 * HOUR
    equal(answer["spend.rows"].event_times, [newest, None], "the event times")


def request_values(client: Any) -> None:
    request = {"amount": [2.0, 0.5], "extra": [40, LEAST]}
    answer = client.read("scoring", {"user": ["u1", "u1"]}, request=request, **at_the_end(client))
    mean = U1_SPEND["spend.x_mean"]
    for row, amount, more in ((0, 2.0, 43), (1, 0.5, LEAST + 3)):
        present(answer, {"spend.rows": 3, "share": mean / amount, "more": more}, client.types, row)


def every_type(client: Any) -> None:
    answer = client.read("all_types", {"user": ["u1"]}, **at_the_end(client))
    newest = {f"every.{name}": UPON[2][name] for name in TYPES}
    present(answer, newest, client.types)
    for name in ("flag", "word", "n64", "price"):
        counted: dict[Any, int] = {}
        for row in UPON:
            key = exact.from_python(TYPES[name], row[name])
            counted[key] = counted.get(key, 0) + 1
        present(answer, {f"every.by_{name}": counted}, client.types)
    present(answer, {"every.by_raw": {UPON[2]["raw"]: 1}, "every.by_seen": {-1: 1}}, client.types)


def odd_keys(client: Any) -> None:
    answer = client.read("all_types", {"user": ODD_KEYS}, fields=["every.n64"], **at_the_end(client))
    for row, key in enumerate(ODD_KEYS):
        equal(answer["every.n64"].values[row], row, f"the value of user {key!r}")


def missing_entity(client: Any) -> None:
    answer = client.read("simple", {"user": ["never seen"]}, **at_the_end(client))
    absent(client, answer, "spend.rows", "NOT_FOUND", 0)
    absent(client, answer, "spend.total", "NOT_FOUND")


def empty_values(client: Any) -> None:
    """Lists and maps of no input are empty, for somebody who was never seen as for somebody with nulls alone."""
    names = ["spend.newest", "spend.words"]
    answer = client.read("spending", {"user": ["u2", "never seen"]}, fields=names, **at_the_end(client))
    for name in names:
        present(answer, {name: {} if name == "spend.words" else []}, client.types)
        absent(client, answer, name, "NOT_FOUND", [], row=1)


def empty_values_of_nobody(client: Any) -> None:
    """Feast's client cannot hold an empty list, so it is not to get one of somebody who was never seen."""
    names = ["spend.newest", "spend.words"]
    answer = client.read("spending", {"user": ["never seen"]}, fields=names)
    for name in names:
        equal(cell(answer, name), (None, "NOT_FOUND"), f"`{name}`")


def null(client: Any) -> None:
    answer = client.read("simple", {"user": ["u2"]}, **at_the_end(client))
    absent(client, answer, "spend.total", "NULL")
    present(answer, {"spend.rows": 1, "spend.kinds": 0}, client.types)


def stale(client: Any) -> None:
    answer = client.read("briefly", {"user": ["old", "young"]})
    absent(client, answer, "brief.n", "STALE", row=0)
    present(answer, {"brief.n": 6}, client.types, 1)


def unknown_name(client: Any) -> None:
    refused = refusal(lambda: client.read("simpel", {"user": ["u1"]}))
    refused_with(refused, client.unknown_code, "`simple`")
