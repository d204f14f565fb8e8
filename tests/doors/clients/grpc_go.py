"""gRPC by the Go code that is generated from the protobuf files: a program that prints what it got."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

from .. import exact, programs
from ..project import as_arrow, as_json, as_lines
from .base import Ack, Answer, Client, Column, Refused

# The forms of protobuf's JSON, which writes numbers of 64 bits as text.
MEMBERS = {bool: "bools", int: "int64s", float: "doubles", str: "strings"}


class GrpcGo(Client):
    unknown_code = "NotFound NOT_FOUND"
    encodings = ("gzip",)

    def ask(self, *flags: str) -> dict[str, Any]:
        done = programs.run("grpc_go", "-address", self.world.server.address, *flags)
        self.told(f"grpc_go {' '.join(flags)}", done.stdout + done.stderr)
        if done.returncode != 0:
            raise Refused(f"grpc_go {done.returncode}", done.stderr.decode())
        # A zero with a sign is written `-0`, which Python takes for a whole number.
        got: dict[str, Any] = json.loads(done.stdout, parse_int=lambda text: -0.0 if text == "-0" else int(text))
        if got.get("error"):
            raise Refused(f"{got['error']['code']} {got['error']['reason']}".strip(), got["error"]["message"])
        return got

    def read(
        self,
        service: str,
        entities: dict[str, list[Any]],
        *,
        fields: list[str] | None = None,
        request: dict[str, list[Any]] | None = None,
        as_of: int | None = None,
        flags: tuple[str, ...] = (),
    ) -> Answer:
        message: dict[str, Any] = {"service": service} if fields is None else {"features": {"names": fields}}
        message["entities"] = {name: column(values) for name, values in entities.items()}
        message["request"] = {name: column(values) for name, values in (request or {}).items()}
        message |= {} if as_of is None else {"as_of": str(as_of)}
        return columns(self.ask(*flags, "-read", json.dumps(message))["answer"])

    def read_within(self, seconds: float, service: str, entities: dict[str, list[Any]]) -> Answer:
        return self.read(service, entities, flags=("-timeout", f"{seconds * 1e6:.0f}us"))

    def read_compressed(self, encoding: str, service: str, entities: dict[str, list[Any]], as_of: int) -> Answer:
        assert encoding == "gzip"
        return self.read(service, entities, as_of=as_of, flags=("-gzip",))

    def push(
        self, source: str, rows: list[dict[str, Any]], form: str = "json", key: str | None = None, **options: Any
    ) -> Ack:
        (only,) = self.push_stream([self.push_message(source, rows, form, key, **options)])
        if isinstance(only, Refused):
            raise only
        return only

    def push_message(
        self, source: str, rows: list[dict[str, Any]], form: str = "json", key: str | None = None, **options: Any
    ) -> dict[str, Any]:
        body = {"json": lambda: json.dumps(as_json(source, rows)).encode(), "ndjson": lambda: as_lines(source, rows)}
        content = as_arrow(source, rows) if form == "arrow" else body[form]()
        own = {"source": source, form: base64.b64encode(content).decode(), "idempotency_key": key or ""}
        return own | options

    def push_stream(self, messages: list[Any]) -> list[Ack | Refused]:
        got = self.ask("-pushes", json.dumps(messages))
        found: list[Ack | Refused] = []
        for place, one in enumerate(got["acks"]):
            assert int(one["push"]) == place, got["acks"]
            found.append(Refused("error", one["error"]["message"]) if one.get("error") else ack(one["taken"]))
        return found

    def health(self) -> str:
        return str(self.ask()["health"])

    def services(self) -> list[str]:
        return list(self.ask()["services"])


def column(values: list[Any]) -> dict[str, Any]:
    kind = type(values[0])
    return {MEMBERS[kind]: {"values": [str(value) if kind is int else value for value in values]}}


def columns(answer: dict[str, Any]) -> Answer:
    found: Answer = {}
    for feature in answer["features"]:
        values = [exact.from_python(feature["type"], value) for value in plain(feature["values"])]
        statuses = [status.removeprefix("FEATURE_STATUS_") for status in feature["statuses"]]
        found[feature["name"]] = Column(values, statuses, plain(feature["event_times"]))
    return found


def plain(own: dict[str, Any]) -> list[Any]:
    """The values of a ValueColumn in protobuf's JSON."""
    (member,) = (name for name in own if name != "nulls")
    held = own[member]
    if member in ("lists", "maps"):
        parts = [plain(held[name]) for name in (("items",) if member == "lists" else ("keys", "values"))]
        items = parts[0] if member == "lists" else list(zip(*parts, strict=True))
        rows, at = [], 0
        for length in held["lengths"]:
            rows.append(items[at : at + length] if member == "lists" else dict(items[at : at + length]))
            at += length
    elif member == "vectors":
        width = held["dimension"]
        floats = [single_precision(value) for value in held["values"]]
        rows = [floats[at : at + width] for at in range(0, len(floats), width)]
    else:
        rows = [single(member, value) for value in held["values"]]
    nulls = own["nulls"] or [False] * len(rows)
    return [None if null else row for null, row in zip(nulls, rows, strict=True)]


def single(member: str, value: Any) -> Any:
    if member in ("int64s", "timestamps"):
        return int(value)
    if member == "doubles":
        return float(value)
    if member == "floats":
        return single_precision(value)
    return base64.b64decode(value) if member == "binaries" else value


def single_precision(value: Any) -> float:
    """The digits of a float32 are the fewest that read back to it as such, and not as a double."""
    (own,) = struct.unpack("f", struct.pack("f", float(value)))
    return float(own)


def ack(taken: dict[str, Any]) -> Ack:
    reason = taken["errors"][0]["reason"] if taken["errors"] else ""
    numbers = [int(taken[name]) for name in ("applied", "quarantined", "first_sequence")]
    return Ack(numbers[0], numbers[1], taken["was_repeated"], reason, numbers[2])
