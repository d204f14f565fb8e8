"""Clients that mean no good take neither the server nor its memory from the others: at each port, while somebody goes
on reading. The bounds are wide, for slow machines; what is held is that there are some."""

from __future__ import annotations

import json
import queue
import random
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from .asking import READ
from .clients.grpc_python import Grpc
from .hostility import Bystander, connections, flood, more_open_files, received, send
from .randomness import seeded
from .server import Server, World

MAX_BODY = 8 << 20
LONGEST_SECONDS = 5.0
# Half of what may wait for all clients of the Redis protocol, and all bodies of HTTP and messages of gRPC.
MEMORY_GROWTH = 256 << 20
IDLE_EACH = 1_200
BODY = json.dumps(READ).encode()
HEAD = b"POST /v1/features HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
COMMAND = b"*2\r\n$7\r\nHGETALL\r\n$9\r\nsimple:u1\r\n"
# Of a service whose answers are all recorded.
RECORDED = b"*2\r\n$7\r\nHGETALL\r\n$11\r\nspending:u1\r\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    more_open_files()
    with Server(tmp_path_factory.mktemp("hostile") / "data", "--max-body", str(MAX_BODY)) as server:
        loaded = World(server)
        yield loaded
        loaded.close()


@pytest.fixture(autouse=True)
def others_go_on(world: World) -> Iterator[Bystander]:
    """Beside every test somebody reads; all of that has to succeed, soon, and at a bounded cost of memory."""
    bystander = Bystander(world.server)
    with bystander:
        time.sleep(0.1)
        yield bystander
    process = world.server.process
    assert process is not None and process.poll() is None, world.server.told()
    assert not bystander.failures, f"{len(bystander.failures)} of {bystander.reads}: {bystander.failures[:3]}"
    assert bystander.reads >= 2
    assert bystander.longest < LONGEST_SECONDS, f"a read beside it took {bystander.longest:.1f} s"
    assert bystander.growth < MEMORY_GROWTH, f"the server grew by {bystander.growth >> 20} MiB"
    assert "panicked" not in world.server.told(), world.server.told()
    print(f"beside it {bystander.reads} reads, longest {bystander.longest:.2f} s, {bystander.growth >> 20} MiB more")


@pytest.fixture(params=["http", "redis"])
def port(request: pytest.FixtureRequest, world: World) -> int:
    return world.server.port if request.param == "http" else world.server.redis_port


def test_garbage(port: int) -> None:
    seed, chance = seeded()
    print(f"seed {seed}")
    for _ in range(60):
        with connections(port, 1) as (connection,):
            send(connection, noise(chance))
            if chance.random() < 0.5:
                received(connection, 0.01)


def noise(chance: random.Random) -> bytes:
    """Bytes of any kind, some of which begin as somebody who means well would."""
    beginnings = [b"", b"GET / HTTP/1.1\r\n", b"*3\r\n$", b"\x16\x03\x01", b"HELLO 3\r\n"]
    beginnings.append(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    return chance.choice(beginnings) + chance.randbytes(chance.randrange(1, 65_536))


@pytest.mark.parametrize("part", [b"", b"P", HEAD[:40], HEAD % 10 + b"{", b"*2\r\n$7\r\nHGET"], ids=repr)
def test_a_client_that_stops_in_the_middle_is_let_go(port: int, part: bytes) -> None:
    with connections(port, 20) as opened:
        for connection in opened:
            send(connection, part)
            connection.shutdown(socket.SHUT_WR)
        ended = [received(connection, 5)[1] for connection in opened]
    assert all(ended), f"{ended.count(False)} of {len(ended)} are still open"


def test_bytes_that_drip(port: int, world: World) -> None:
    whole = HEAD % len(BODY) + BODY if port == world.server.port else COMMAND * 3
    with connections(port, 100) as opened:
        for byte in whole[:25]:
            for connection in opened:
                send(connection, bytes([byte]))
            time.sleep(0.05)


def test_somebody_who_never_reads_gets_no_more(port: int, world: World) -> None:
    """Past what may wait for one client, nothing more is taken from it."""
    redis = port == world.server.redis_port
    many = json.dumps({"service": "simple", "entities": {"user": ["u1"] * 500}}).encode()
    data = COMMAND * 1_000 if redis else HEAD % len(many) + many
    sent: list[int] = []
    most = 128 << 20
    with connections(port, 6) as opened:
        threads = [
            threading.Thread(target=lambda own=connection: sent.append(flood(own, data, most))) for connection in opened
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(sent) == 6 and max(sent) < most, f"of {most} bytes of commands {max(sent)} were taken"


def test_a_stream_that_is_never_read_takes_no_more(world: World) -> None:
    calls = Grpc(world, grpc.insecure_channel(world.server.address))
    message = calls.message("simple", {"user": ["u1"] * 500})
    taken = 0

    def requests() -> Iterator[Any]:
        nonlocal taken
        while True:
            taken += 1
            yield message

    stream = calls.stubs.read_stream(requests(), timeout=60)
    time.sleep(1.5)
    before = taken
    time.sleep(0.5)
    stream.cancel()
    calls.close()
    assert taken - before < 50, f"after 1.5 s, another {taken - before} requests went"


@pytest.mark.parametrize(
    "declared",
    [b"*1000000000\r\n", b"*99999999999999999999\r\n", b"*2\r\n$4\r\nPING\r\n$9999999999\r\n", b"*1\r\n$-7\r\n"],
    ids=repr,
)
def test_huge_lengths_of_the_redis_protocol(world: World, declared: bytes) -> None:
    with connections(world.server.redis_port, 1) as (connection,):
        send(connection, declared)
        got, ended = received(connection, 5)
    assert got.startswith(b"-ERR Protocol error") and ended, (got, ended)


@pytest.mark.parametrize(
    ("head", "statuses"),
    [
        (b"content-length: 1000000000000000\r\n\r\n", (413,)),
        (b"content-length: 99999999999999999999999\r\n\r\n", (400,)),
        (b"transfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nx", (400, 413)),
        (b"x: " + b"y" * (1 << 20) + b"\r\n\r\n", (400, 431)),
        (b"".join(b"x%d: y\r\n" % n for n in range(5_000)) + b"\r\n", (400, 431)),
    ],
    ids=lambda one: repr(one)[:40],
)
def test_huge_lengths_of_http(world: World, head: bytes, statuses: tuple[int, ...]) -> None:
    """Refused, or closed at once: nothing is waited for that is too much anyway."""
    first = b"POST /v1/features HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    with connections(world.server.port, 1) as (connection,):
        send(connection, first + head)
        got, _ = received(connection, 1)
    status = int(got.split(b" ", 2)[1]) if got else None
    assert status is None or status in statuses, got


def test_huge_lengths_of_grpc(world: World) -> None:
    headers = {"content-type": "application/grpc", "te": "trailers"}
    with httpx.Client(http1=False, http2=True, trust_env=False, timeout=10) as http:
        url = f"{world.server.url}/thalweg.v1.Features/GetFeatures"
        answer = http.post(url, content=b"\x00\xff\xff\xff\xff" + b"x" * 100, headers=headers)
    # OUT_OF_RANGE, or RESOURCE_EXHAUSTED.
    assert answer.headers.get("grpc-status") in ("11", "8"), answer.headers


def test_bodies_that_are_declared_and_never_come_leave_room_for_others(world: World) -> None:
    """The memory for bodies is taken as they come."""
    with connections(world.server.port, 40) as opened:
        for connection in opened:
            send(connection, HEAD % MAX_BODY)
        time.sleep(1)


def test_answers_that_are_recorded_take_a_bounded_memory(world: World) -> None:
    """Whoever reads fast makes the server record fast: what waits to be written is bounded in bytes."""

    def read(connection: socket.socket) -> None:
        for _ in range(1_500):
            send(connection, RECORDED)
            connection.settimeout(10)
            assert connection.recv(65_536)

    with connections(world.server.redis_port, 6) as opened:
        threads = [threading.Thread(target=read, args=(connection,)) for connection in opened]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def test_thousands_of_idle_connections(world: World) -> None:
    began = time.monotonic()
    with (
        connections(world.server.port, IDLE_EACH) as over_http,
        connections(world.server.redis_port, IDLE_EACH) as over_redis,
    ):
        # The last of them is served like the first.
        send(over_http[-1], HEAD % len(BODY) + BODY)
        assert received(over_http[-1], 5, enough=12)[0].startswith(b"HTTP/1.1 200"), "the last connection over HTTP"
        send(over_redis[-1], b"PING\r\n")
        assert received(over_redis[-1], 5, enough=7)[0] == b"+PONG\r\n"
    print(f"{2 * IDLE_EACH} connections in {time.monotonic() - began:.1f} s")


def test_streams_that_are_opened_and_left(world: World) -> None:
    """Calls that say nothing, on one connection: others have their own."""
    calls = Grpc(world, grpc.insecure_channel(world.server.address))
    silent: list[queue.Queue[Any]] = [queue.Queue() for _ in range(90)]
    streams = [calls.stubs.read_stream(iter(own.get, None), timeout=60) for own in silent]
    time.sleep(0.5)
    assert calls.read("simple", {"user": ["u1"]})["spend.rows"].values == [3]
    for own, stream in zip(silent, streams, strict=True):
        stream.cancel()
        own.put(None)
    calls.close()
