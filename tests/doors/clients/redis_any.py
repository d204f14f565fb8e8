"""The Redis protocol, whatever speaks it: keys as they are written, and answers read by the features' types."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from .. import exact
from ..project import DIRECT
from .base import SERVICE_FEATURES, Ack, Answer, Client, Column, Reading, Refused

Reply = Any


class RedisClient(Client):
    """A subclass sends commands, and gives back text, numbers, None, lists and dicts, or the `Refused` of each."""

    shows_no_input = False
    unknown_code = "ERR"

    def send(self, commands: list[list[str]]) -> list[Reply]:
        raise NotImplementedError

    def one(self, *words: str) -> Reply:
        return checked(self.send([list(words)])[0])

    def read(
        self,
        service: str,
        entities: dict[str, list[Any]],
        *,
        fields: list[str] | None = None,
        request: dict[str, list[Any]] | None = None,
        as_of: int | None = None,
    ) -> Answer:
        names = fields or SERVICE_FEATURES.get(service, ["none"])
        commands: list[list[str]] = []
        keys = keys_of(service, entities, request, as_of)
        for key in keys:
            commands.append(["HGETALL", key] if fields is None else ["HMGET", key, *names])
            commands.append(["HMGET", key, *(f"{name}{end}" for name in names for end in ("__status", "__event_time"))])
        replies = [checked(reply) for reply in self.send(commands)]
        rows = []
        for found, about in zip(replies[::2], replies[1::2], strict=True):
            values = dict(zip(names, found, strict=True)) if fields else mapping(found)
            unknown = set(values) - set(names)
            assert not unknown, f"{sorted(unknown)} were not asked for: {found}"
            rows.append((values, about))
        return {name: self.column(name, place, rows) for place, name in enumerate(names)}

    def column(self, name: str, place: int, rows: list[tuple[dict[str, Any], list[Any]]]) -> Column:
        written = self.types[name]
        times = [about[2 * place + 1] for _, about in rows]
        return Column(
            [exact.from_text(written, values.get(name)) for values, _ in rows],
            [about[2 * place] for _, about in rows],
            [None if time is None else exact.micros(time) for time in times],
        )

    def read_objects(self, service: str, entities: dict[str, list[Any]], as_of: int) -> list[dict[str, Any] | None]:
        """The JSON objects of `MGET`, each value in its exact form."""
        found = self.one("MGET", *keys_of(service, entities, None, as_of))
        objects = [None if text is None else json.loads(text) for text in found]
        return [
            one and {name: exact.from_json(self.types[name], value) for name, value in one.items()} for one in objects
        ]

    def health(self) -> str:
        return {"PONG": "SERVING"}.get(self.one("PING"), "?")

    def status(self) -> dict[str, Any]:
        return versions(self.one("INFO"))

    def kind(self, key: str) -> str:
        return str(self.one("TYPE", key))

    def direct_get(self, selector: str, keys: dict[str, Any], as_of: int | None = None) -> dict[str | None, Reading]:
        key = direct_key(selector, keys, as_of)
        feature, _, aggregation = selector.partition("+")
        name = feature.partition(".")[2].partition("@")[0]
        written = DIRECT.get(name, (None, "json"))[1]
        if written.startswith("list"):
            items = self.one("LRANGE", key, "0", "-1")
            value = [exact.from_text(written[5:-1], item) for item in items] if items else None
            return {None: Reading(value, "PRESENT" if items else "NOT_FOUND")}
        text = self.one("GET", key)
        status = "NOT_FOUND" if text is None else "PRESENT"
        if written == "json" and text is not None and text.startswith("{"):
            values = json.loads(text)
            kinds = {"count": "int64"}
            return {
                own: Reading(exact.from_json(kinds.get(own, "float64"), value), status) for own, value in values.items()
            }
        if written == "json":
            written = "int64" if name == "short" or aggregation == "count" else "float64"
        return {aggregation or None: Reading(exact.from_text(written, text), status)}

    def direct_write(
        self, operation: str, selector: str, keys: dict[str, Any], value: Any, at: int | None = None, key: str = ""
    ) -> Ack:
        assert not key, "the Redis protocol has no idempotency keys"
        own = direct_key(selector, keys, at)
        commands = {
            "set": ["SET", own, plain(value)],
            "append": ["RPUSH", own, plain(value)],
            "incr": ["INCRBYFLOAT" if isinstance(value, float) else "INCRBY", own, plain(value)],
        }
        self.one(*commands[operation])
        return Ack()


def keys_of(
    service: str, entities: dict[str, list[Any]], request: dict[str, list[Any]] | None, as_of: int | None
) -> list[str]:
    """One key for each entity."""
    name = service if as_of is None else f"{service}@{as_of}"
    rows = zip(*entities.values(), strict=True)
    keys = [":".join([name, *(part(value) for value in row)]) for row in rows]
    if not request:
        return keys
    values = zip(*request.values(), strict=True)
    queries = ["&".join(f"{own}={part(one)}" for own, one in zip(request, row, strict=True)) for row in values]
    return [f"{key}?{query}" for key, query in zip(keys, queries, strict=True)]


def direct_key(selector: str, keys: dict[str, Any], at: int | None) -> str:
    return ":".join([selector if at is None else f"{selector}@{at}", *(part(value) for value in keys.values())])


def part(value: Any) -> str:
    return quote(plain(value), safe="")


def plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | list) else repr(value)


def versions(info: str) -> dict[str, Any]:
    """The server's own version, of the lines of `INFO`."""
    pairs = (line.partition(":") for line in info.splitlines())
    return {"version": {name: value for name, _, value in pairs}["thalweg_version"]}


def mapping(found: Any) -> dict[str, Any]:
    """What RESP2 has as a flat list and RESP3 as a map."""
    return found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))


def checked(reply: Reply) -> Reply:
    if isinstance(reply, Refused):
        raise reply
    return reply


def refused(line: str) -> Refused:
    """An error's first word says what kind it is."""
    word, _, message = line.partition(" ")
    return Refused(word, message)
