"""Which cells there are: what each protocol has, and which client tries it.

A cell is tried, or the protocol has no such thing (`-`, from `DOORS`), or another client of the same protocol tries it
(`.`). What a door has is tried by at least one client: `untried` says where it is not.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .operations import reads, wires, writes

READS: dict[str, Callable[[Any], None]] = {
    "read service": reads.service,
    "read by two keys": reads.two_key_columns,
    "read feature list": reads.feature_list,
    "read many entities": reads.many_entities,
    "read with as_of": reads.as_of,
    "event time": reads.event_time,
    "request values": reads.request_values,
    "every type": reads.every_type,
    "odd keys": reads.odd_keys,
    "missing entity": reads.missing_entity,
    "null": reads.null,
    "empty list and map": reads.empty_values,
    "stale": reads.stale,
    "unknown name": reads.unknown_name,
}
PUSHES: dict[str, Callable[[Any], None]] = {
    "push JSON": writes.push_json,
    "push lines": writes.push_lines,
    "push Arrow": writes.push_arrow,
    "push repeated": writes.push_repeated,
    "broken row": writes.broken_row,
}
DEFINITIONS: dict[str, Callable[[Any], None]] = {
    "describe": writes.describe,
    "plan and apply": writes.plan_and_apply,
}
ABOUT: dict[str, Callable[[Any], None]] = {
    "health": wires.health,
    "status": wires.status,
    "metrics": wires.metrics,
    "OpenAPI": wires.openapi,
    "reflection": wires.reflection,
    "command table": wires.command_table,
    "protocol version": wires.protocol_version,
}
DIRECT: dict[str, Callable[[Any], None]] = {
    "direct describe": writes.direct_describe,
    "direct type": writes.direct_type,
    "direct set, get": writes.direct_set_and_get,
    "direct append": writes.direct_append,
    "direct incr": writes.direct_incr,
    "direct update": writes.direct_update,
    "direct previous": writes.direct_previous,
    "direct windowed": writes.direct_windowed,
    "direct repeated": writes.direct_repeated,
}
WIRES: dict[str, Callable[[Any], None]] = {
    "pipelining": wires.pipelining,
    "stream of reads": wires.stream_of_reads,
    "stream of pushes": wires.stream_of_pushes,
    "deadline": wires.deadline,
    "compression": wires.compression,
    "load": wires.load,
}
OPERATIONS = {**READS, **PUSHES, **DEFINITIONS, **ABOUT, **DIRECT, **WIRES}

_DIRECT_OF_REDIS = set(DIRECT) - {"direct describe", "direct update", "direct repeated"}
_STREAMS = {"stream of reads", "stream of pushes", "deadline", "reflection"}
# What each protocol has.
DOORS: dict[str, set[str]] = {
    "http+json": set(OPERATIONS)
    - _STREAMS
    - {"push Arrow", "direct type", "pipelining", "load", "command table", "protocol version"},
    # The answers to pushes and everything that is not rows or values are JSON there too. Event times are not in it.
    "http+arrow": (set(READS) - {"event time"}) | {"push Arrow"},
    # There is no query time, and no second form of rows.
    "feast": (set(READS) - {"read with as_of", "event time", "every type"}) | {"push JSON", "broken row", "health"},
    "grpc": set(OPERATIONS)
    - {"metrics", "OpenAPI", "direct type", "pipelining", "load", "command table", "protocol version"},
    # Rows are not pushed by it, and definitions are not in it.
    "redis": set(READS)
    | _DIRECT_OF_REDIS
    | {"health", "status", "pipelining", "load", "command table", "protocol version"},
}
_GO_GRPC = set(READS) | set(PUSHES) | {"health", "reflection", "stream of pushes", "deadline", "compression"}
_REDIS_PY = DOORS["redis"] - {"load"}


@dataclass(frozen=True)
class Entry:
    """A column of the table: a client at a door, and what it tries."""

    door: str
    client: str
    # Module and class in `clients`; loaded when it is used, so that a package that is missing costs its own column.
    where: tuple[str, str]
    tries: frozenset[str]
    # Operations that this client says in its own way.
    own: tuple[tuple[str, Callable[[Any], None]], ...] = ()

    @property
    def title(self) -> str:
        return f"{self.door} by {self.client}"

    def make(self, world: Any) -> Any:
        module, name = self.where
        return getattr(importlib.import_module(f"{__package__}.clients.{module}"), name)(world)

    def check(self, operation: str) -> Callable[[Any], None]:
        return dict(self.own).get(operation, OPERATIONS[operation])


ENTRIES = [
    Entry("http+json", "httpx", ("http_json", "Httpx"), frozenset(DOORS["http+json"] - {"metrics"})),
    Entry("http+json", "curl", ("http_json", "Curl"), frozenset(DOORS["http+json"] - {"metrics"})),
    Entry("http+json", "prometheus", ("metrics", "Prometheus"), frozenset({"metrics"})),
    Entry("http+arrow", "pyarrow", ("http_arrow", "Arrow"), frozenset(DOORS["http+arrow"])),
    Entry(
        "feast",
        "feast",
        ("feast_store", "Feast"),
        frozenset(DOORS["feast"]),
        (("empty list and map", reads.empty_values_of_nobody),),
    ),
    Entry("grpc", "grpcio", ("grpc_python", "Grpc"), frozenset(DOORS["grpc"])),
    Entry("grpc", "go", ("grpc_go", "GrpcGo"), frozenset(_GO_GRPC)),
    Entry("redis", "redis-py 2", ("redis_python", "Redis2"), frozenset(_REDIS_PY)),
    Entry("redis", "redis-py 3", ("redis_python", "Redis3"), frozenset(_REDIS_PY)),
    Entry(
        "redis",
        "redis-cli",
        ("redis_command", "RedisCli"),
        frozenset(DOORS["redis"] - {"pipelining", "load", "command table", "protocol version"}),
    ),
    Entry(
        "redis",
        "go-redis",
        ("redis_go", "GoRedis"),
        frozenset(set(READS) | {"pipelining"}),
        (("pipelining", wires.go_pipelining),),
    ),
    Entry(
        "redis",
        "benchmark",
        ("redis_load", "RedisBenchmark"),
        frozenset({"load", "pipelining"}),
        (("pipelining", wires.pipelined_load),),
    ),
]


def mark(entry: Entry, operation: str) -> str:
    """What stands in a cell that is not tried: `-` or `.`; empty where it is tried."""
    if operation in entry.tries:
        return ""
    return "." if operation in DOORS[entry.door] else "-"


def cells() -> list[tuple[Entry, str]]:
    """Every cell that is tried, column by column."""
    return [(entry, operation) for entry in ENTRIES for operation in OPERATIONS if operation in entry.tries]


def untried() -> list[tuple[str, str]]:
    """What a door has and no client tries; and what a client tries and its door has not."""
    tried = {(entry.door, operation) for entry in ENTRIES for operation in entry.tries}
    had = {(door, operation) for door, operations in DOORS.items() for operation in operations}
    return sorted(tried ^ had)
