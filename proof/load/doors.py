"""One request at a time through one door: what is sent, and whether it was taken, refused as busy, or went wrong.

Each class is a connection. Bodies are made once; only the name of a push, its idempotency key, is new each time.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import pyarrow as pa

SOURCE = "orders"
CARDS = 1_000
SERVICE = "watched"
CONTENT = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "arrow": "application/vnd.apache.arrow.stream",
    "read": "application/json",
}
TAKEN, BUSY, WRONG = "taken", "busy", "wrong"
PATIENCE = 60.0


@dataclass(frozen=True)
class Told:
    """How a request ended; `rows` were acknowledged, `text` is of one that went wrong."""

    outcome: str
    rows: int = 0
    text: str = ""


class Connection(Protocol):
    async def open(self) -> None: ...
    async def send(self, name: str) -> Told: ...
    async def close(self) -> None: ...


def rows(number: int) -> list[dict[str, Any]]:
    """Rows of one push: each counts 1, at a time that has passed."""
    at = int(time.time() * 1_000_000) - 60_000_000
    return [{"card": row % CARDS, "amount": 1, "at": at + row, "note": "overload"} for row in range(number)]


def encoded(form: str, number: int) -> bytes:
    """The rows of a push in one of the forms that doors read."""
    made = rows(number)
    if form == "json":
        return json.dumps(made).encode()
    if form == "ndjson":
        return b"".join(json.dumps(row).encode() + b"\n" for row in made)
    table = pa.Table.from_pylist(made).set_column(
        2, "at", pa.array([row["at"] for row in made]).cast(pa.timestamp("us", "UTC"))
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


class Http:
    """HTTP/1.1, kept alive: a push, or a read where `form` is `read`."""

    def __init__(self, address: str, form: str, number: int) -> None:
        self.host, _, port = address.partition(":")
        self.port, self.form, self.rows = int(port), form, number
        if form == "read":
            asked = {"service": SERVICE, "entities": {"card": list(range(number))}}
            self.path, self.body = "/v1/features", json.dumps(asked).encode()
        else:
            self.path, self.body = f"/v1/sources/{SOURCE}/events", encoded(form, number)
        content = CONTENT[form]
        self.head = f"POST {self.path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {content}\r\n"
        self.head += f"content-length: {len(self.body)}\r\n"

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port, limit=1 << 24)

    async def close(self) -> None:
        self.writer.close()

    async def send(self, name: str) -> Told:
        key = "" if self.form == "read" else f"idempotency-key: {name}\r\n"
        self.writer.write(f"{self.head}{key}\r\n".encode() + self.body)
        # An answer may come before all of the body was taken.
        draining = asyncio.ensure_future(self.writer.drain())
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        finally:
            draining.cancel()
        status = int(head[9:12])
        fields = head.decode("latin-1").lower()
        length = re.search(r"content-length: (\d+)", fields)
        body = await self.reader.readexactly(int(length[1])) if length else await self.chunks()
        if "connection: close" in fields:
            await self.close()
            await self.open()
        if status == 200:
            return Told(TAKEN, self.rows)
        if status == 429 and "retry-after: " in fields and b'"OVERLOADED"' in body:
            return Told(BUSY)
        return Told(WRONG, text=f"{status} {body[:300]!r}")

    async def chunks(self) -> bytes:
        whole = b""
        while size := int(await self.reader.readline(), 16):
            whole += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return whole


class Redis:
    """The Redis protocol: counts a card's clicks up, or reads an entity where `form` is `read`."""

    def __init__(self, address: str, form: str, number: int) -> None:
        self.host, _, port = address.partition(":")
        self.port, self.form, self.rows = int(port), form, number

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)

    async def close(self) -> None:
        self.writer.close()

    async def send(self, name: str) -> Told:
        card = sum(name.encode()) % CARDS
        words = ["HGETALL", f"{SERVICE}:{card}"] if self.form == "read" else ["INCRBY", f"web.clicks:{card}", "1"]
        self.writer.write(
            f"*{len(words)}\r\n".encode() + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words)
        )
        await self.writer.drain()
        line = await self.answer()
        if line.startswith((b":", b"*")):
            return Told(TAKEN, self.rows)
        return Told(BUSY) if line.startswith(b"-TRYAGAIN ") else Told(WRONG, text=repr(line[:300]))

    async def answer(self) -> bytes:
        line = await self.reader.readline()
        if line.startswith(b"*"):
            for _ in range(int(line[1:])):
                await self.answer()
        elif line.startswith(b"$") and not line.startswith(b"$-1"):
            await self.reader.readexactly(int(line[1:]) + 2)
        if not line:
            raise ConnectionError("the server closed the connection")
        return line


class Grpc:
    """A call of `Events.Push` at a time; the connections of a process share channels."""

    SHARED = 32
    channels: ClassVar[list[Any]] = []
    opened = 0

    def __init__(self, address: str, form: str, number: int) -> None:
        self.address, self.rows = address, number
        place = {"json": 2, "ndjson": 3, "arrow": 4}[form]
        self.start = _field(1, SOURCE.encode()) + _field(place, encoded(form, number))

    async def open(self) -> None:
        import grpc

        if Grpc.opened % self.SHARED == 0:
            options = [("grpc.use_local_subchannel_pool", 1)]
            self.channels.append(grpc.aio.insecure_channel(self.address, options))
        Grpc.opened += 1
        self.push = self.channels[-1].unary_unary("/thalweg.v1.Events/Push")

    async def close(self) -> None:
        """Others use the channel as well; it finds its way back by itself."""

    async def send(self, name: str) -> Told:
        import grpc

        try:
            await self.push(self.start + _field(5, name.encode()), timeout=PATIENCE)
        except grpc.aio.AioRpcError as error:
            details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
            if error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and b"google.rpc.RetryInfo" in details:
                return Told(BUSY)
            return Told(WRONG, text=f"{error.code()} {error.details()}")
        return Told(TAKEN, self.rows)


def _field(number: int, value: bytes) -> bytes:
    """A field of the protobuf wire format, of the kind with a length."""
    length, coded = len(value), b""
    while length > 127:
        coded += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + coded + bytes([length]) + value


DOORS: dict[str, Any] = {"http": Http, "grpc": Grpc, "redis": Redis}
