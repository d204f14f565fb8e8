"""One engine, many doors: what is read through any of them is the same, to the last bit, and what is written through
any of them is seen by every other."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from . import exact
from .clients.base import Answer
from .operations.expecting import now
from .operations.writes import VALUES
from .programs import Missing, program
from .project import DAY, DIRECT, LEAST, MOST, ODD_KEYS, TYPES, fact
from .randomness import columns, history, seeded, some

ROWS = 300
TIMES = 5
ATTEMPTS = 5
USERS = [f"r{n}" for n in range(8)] + [f"r {key}" for key in ODD_KEYS[2:7]]
ASKED = [*USERS, "u1", "u2", "old", "never seen"]
TILLS: dict[str, list[Any]] = {"shop": [7, LEAST, MOST, 7, 0], "till": ["a:b%", "a:b%", "a:b%", "x", ""]}


@dataclass
class Doors:
    """A client for each door and protocol, by name."""

    world: Any
    http: Any
    quick: dict[str, Any]
    # Each read is a process of its own.
    slow: dict[str, Any]
    feast: Any

    @property
    def all(self) -> dict[str, Any]:
        return {"http+json": self.http, **self.quick, **self.slow}


@pytest.fixture(scope="module")
def doors(doors_world: Any) -> Iterator[Doors]:
    from .clients.feast_http import FeastHttp
    from .clients.grpc_go import GrpcGo
    from .clients.grpc_python import Grpc
    from .clients.http_arrow import Arrow
    from .clients.http_json import Curl, Httpx
    from .clients.redis_command import RedisCli
    from .clients.redis_go import GoRedis
    from .clients.redis_python import Redis2, Redis3

    quick = {"http+arrow": Arrow, "grpc": Grpc, "redis 2": Redis2, "redis 3": Redis3}
    slow = {"curl": Curl, "grpc_go": GrpcGo, "redis-cli": RedisCli, "redis_go": GoRedis}
    opened = Doors(
        doors_world,
        Httpx(doors_world),
        {name: made(doors_world) for name, made in quick.items()},
        {name: made(doors_world) for name, made in slow.items() if here(name)},
        FeastHttp(doors_world),
    )
    yield opened
    for client in [*opened.all.values(), opened.feast]:
        client.close()


def here(name: str) -> bool:
    try:
        return bool(program(name))
    except Missing:
        return False


def test_the_same_entities_at_the_same_time(doors: Doors) -> None:
    seed, chance = seeded()
    facts = doors.world.facts
    rows = history(chance, facts, USERS, ROWS)
    push_by_turns(doors, chance, rows)
    times = [facts.end, *(chance.randrange(facts.base, facts.end) for _ in range(TIMES - 1))]
    print(f"seed {seed}, base {facts.base}")
    compared = 0
    for number, as_of in enumerate(times):
        clients = doors.quick if number > 1 else {**doors.quick, **doors.slow}
        for service, entities in wanted():
            reference = doors.http.read(service, entities, as_of=as_of)
            for name, client in clients.items():
                answer = client.read(service, entities, as_of=as_of)
                compared += same(reference, answer, client, f"{service} by {name} as of {as_of}")
            for name in ("redis 2", "redis 3"):
                objects = doors.quick[name].read_objects(service, entities, as_of)
                compared += same_objects(reference, objects, f"{service} by {name}'s MGET as of {as_of}")
    print(f"{ROWS} rows, {len(times)} times: {compared} values compared with those of http+json, 0 differ")
    assert compared > 10_000


def test_the_same_entities_now_by_feast(doors: Doors) -> None:
    """Feast's protocol has no query time: what HTTP says before and after is what Feast has to say in between."""
    compared = 0
    for service, entities in wanted():
        for _ in range(ATTEMPTS):
            before = doors.http.read(service, entities)
            answer = doors.feast.read(service, entities)
            if before == doors.http.read(service, entities):
                break
        else:
            pytest.fail(f"`{service}` changed in each of {ATTEMPTS} attempts")
        compared += same(before, answer, doors.feast, f"{service} by Feast", doors.feast.types)
    print(f"{compared} values compared with those of http+json, 0 differ")
    assert compared > 500


def test_what_is_pushed_through_any_door_is_seen_by_every_other(doors: Doors) -> None:
    seed, chance = seeded()
    print(f"seed {seed}")
    compared = 0
    for writer, push in pushing(doors).items():
        row = fact(now(), f"w {writer} {seed}", f"w-{writer}", **columns(chance, some))
        push(row)
        wanted = {f"every.{name}": exact.from_python(written, row[name]) for name, written in TYPES.items()}
        for reader, client in {**doors.all, "feast": doors.feast}.items():
            answer = client.read("all_types", {"user": [row["user"]]})
            for name, value in wanted.items():
                seen = exact.cut(client.types[name], value) if reader == "feast" else value
                got = answer[name].values[0], answer[name].statuses[0]
                assert got == (seen, "PRESENT"), (
                    f"{writer} wrote `{name}` = {value!r}, and {reader} reads {got!r}\n{client.exchanges()}"
                )
                compared += 1
    print(f"{compared} values written through one door and read through another, 0 differ")


def test_what_is_written_directly_through_any_door_is_seen_by_every_other(doors: Doors) -> None:
    direct = {name: client for name, client in doors.all.items() if name not in ("http+arrow", "grpc_go", "redis_go")}
    compared = 0
    for writer, client in direct.items():
        user = f"d {writer}"
        for name, value in VALUES.items():
            client.direct_write("set", f"web.{name}", {"user": user}, value)
        client.direct_write("set", "web.short", {"user": user}, 7, at=now() - 2 * DAY)
        wanted = {name: exact.from_python(DIRECT[name][1], value) for name, value in VALUES.items()}
        for reader, other in direct.items():
            for name, value in wanted.items():
                (reading,) = other.direct_get(f"web.{name}", {"user": user}).values()
                assert (reading.value, reading.status) == (value, "PRESENT"), (
                    f"{writer} wrote `web.{name}` = {value!r}, and {reader} gets {reading}\n{other.exchanges()}"
                )
                compared += 1
        compared += seen_as_features(doors, writer, user, wanted)
    print(f"{compared} values written directly through one door and read through another, 0 differ")


def seen_as_features(doors: Doors, writer: str, user: str, wanted: dict[str, Any]) -> int:
    for reader, client in {**doors.all, "feast": doors.feast}.items():
        answer = client.read("written", {"user": [user]})
        for name, value in wanted.items():
            seen = exact.cut(DIRECT[name][1], value) if reader == "feast" else value
            got = answer[f"web__{name}.value"].values[0], answer[f"web__{name}.value"].statuses[0]
            assert got == (seen, "PRESENT"), (
                f"{writer} wrote `web.{name}` = {value!r}, and {reader} reads {got!r}\n{client.exchanges()}"
            )
        stale = answer["web__short.value"].values[0], answer["web__short.value"].statuses[0]
        assert stale == (None, "STALE"), f"{writer} wrote `web.short` of long ago, and {reader} reads {stale}"
    return len(wanted) * (len(doors.all) + 1)


def test_the_answers_agree_with_history(doors: Doors) -> None:
    """What every door answered is what history gives."""
    doors.http.ask("POST", "/v1/flush")
    check = doors.http.ask("POST", "/v1/check", {})
    assert check["mismatches"] == 0, check
    assert check["compared"] > 1_000, check
    print(f"{check['compared']} recorded values computed again from history, {check['mismatches']} differ")


def wanted() -> list[tuple[str, dict[str, list[Any]]]]:
    users = {"user": ASKED}
    return [("all_types", users), ("spending", users), ("simple", users), ("briefly", users), ("tills", TILLS)]


def push_by_turns(doors: Doors, chance: random.Random, rows: list[dict[str, Any]]) -> None:
    """The history in parts, each by another door and in another form."""
    grpc = doors.quick["grpc"]
    ways: list[Callable[[Any], Any]] = []
    for form in ("json", "ndjson", "arrow"):
        ways.append(lambda part, form=form: doors.http.push("facts", part, form, backfill="true"))
        ways.append(lambda part, form=form: grpc.push("facts", part, form, backfill=True))
    for first in range(0, len(rows), 25):
        part = rows[first : first + 25]
        ack = ways[chance.randrange(len(ways))](part)
        assert ack.applied == len(part), ack


def pushing(doors: Doors) -> dict[str, Callable[[Any], Any]]:
    """Every way in which rows come in."""
    ways: dict[str, Callable[[Any], Any]] = {"feast": lambda row: doors.feast.push("facts", [row])}
    for form in ("json", "ndjson", "arrow"):
        for name in ("http+json", "grpc", "grpc_go", "curl"):
            if client := doors.all.get(name):
                ways[f"{name} {form}"] = lambda row, client=client, form=form: client.push("facts", [row], form)
    return ways


def same(reference: Answer, answer: Answer, client: Any, what: str, cut: dict[str, str] | None = None) -> int:
    """Holds an answer against another; how many values that were. `cut` has types where times have no fraction."""
    assert set(answer) == set(reference), f"{what}: {sorted(answer)}"
    compared = 0
    for name, expected in reference.items():
        got = answer[name]
        assert got.statuses == expected.statuses, f"{what}: `{name}`: {got.statuses} are not {expected.statuses}"
        if got.event_times is not None:
            assert got.event_times == expected.event_times, f"{what}: the event times of `{name}`"
        for row, value in enumerate(expected.values):
            if expected.statuses[row] != "PRESENT" and not client.shows_no_input:
                value = None
            # Feast has null for who was never seen; only what is no list and no map has a value here all the same.
            if cut and expected.statuses[row] == "NOT_FOUND" and value in ([], {}):
                value = None
            value = exact.cut(cut[name], value) if cut else value
            assert got.values[row] == value, (
                f"{what}: `{name}` of entity {row}: {got.values[row]!r} is not {value!r}\n{client.exchanges()}"
            )
            compared += 1
    return compared


def same_objects(reference: Answer, objects: list[dict[str, Any] | None], what: str) -> int:
    """The JSON of a whole entity: null where nothing is present."""
    compared = 0
    for row, found in enumerate(objects):
        expected = {
            name: column.values[row] if column.statuses[row] == "PRESENT" else None
            for name, column in reference.items()
        }
        nobody = all(column.statuses[row] != "PRESENT" for column in reference.values())
        assert found == (None if nobody else expected), f"{what}: entity {row}: {found} is not {expected}"
        compared += len(expected)
    return compared
