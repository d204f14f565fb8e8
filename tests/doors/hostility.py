"""Clients that mean no good, and somebody who goes on reading beside them."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import redis

from .asking import READ
from .server import Server

OPEN_FILES = 16_384


def more_open_files() -> None:
    """As many as may be, for this process and for what it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


class Bystander:
    """Reads over HTTP and the Redis protocol, on a kept connection and on new ones, and remembers how that went."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.reads, self.longest, self.failures = 0, 0.0, list[str]()
        self.memory = [server.memory]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=own, daemon=True) for own in (self._by_http, self._by_redis)]

    def __enter__(self) -> Bystander:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def growth(self) -> int:
        """Bytes by which the server has grown at most."""
        return max(self.memory) - self.memory[0]

    def _by_http(self) -> None:
        def read(client: httpx.Client) -> None:
            answer = client.post("/v1/features", json=READ)
            assert answer.status_code == 200, answer.text

        kept = httpx.Client(base_url=self.server.url, timeout=30, trust_env=False)
        while not self._stop.wait(0.05):
            self._timed(lambda: read(kept))
            with httpx.Client(base_url=self.server.url, timeout=30, trust_env=False) as new:
                self._timed(lambda client=new: read(client))
            self.memory.append(self.server.memory)
        kept.close()

    def _by_redis(self) -> None:
        def read(client: Any) -> None:
            assert client.hget("simple:u1", "rows") == b"3"

        kept = redis.Redis(port=self.server.redis_port, socket_timeout=30)
        while not self._stop.wait(0.05):
            self._timed(lambda: read(kept))
            with redis.Redis(port=self.server.redis_port, socket_timeout=30) as new:
                self._timed(lambda client=new: read(client))
        kept.close()

    def _timed(self, read: Any) -> None:
        began = time.monotonic()
        try:
            read()
        except Exception as error:
            self.failures.append(repr(error))
        self.reads += 1
        self.longest = max(self.longest, time.monotonic() - began)


@contextlib.contextmanager
def connections(port: int, number: int) -> Iterator[list[socket.socket]]:
    """Open connections to a port, closed again at the end."""
    opened: list[socket.socket] = []
    try:
        for _ in range(number):
            opened.append(socket.create_connection(("127.0.0.1", port), timeout=10))
        yield opened
    finally:
        for connection in opened:
            connection.close()


def send(connection: socket.socket, data: bytes) -> bool:
    """Sends; whether the other side still wanted it."""
    try:
        connection.sendall(data)
    except OSError:
        return False
    return True


def received(connection: socket.socket, within: float, enough: int = 1 << 62) -> tuple[bytes, bool]:
    """What comes until the other side closes, or that is enough bytes, or the time is over; and whether it closed."""
    deadline, got = time.monotonic() + within, b""
    while len(got) < enough and (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        try:
            part = connection.recv(65_536)
        except TimeoutError:
            return got, False
        except OSError:
            return got, True
        if not part:
            return got, True
        got += part
    return got, False


def flood(connection: socket.socket, data: bytes, most: int, blocked: float = 0.7) -> int:
    """Sends the same again and again without reading, until nothing goes any more; how many bytes went."""
    connection.setblocking(False)
    sent, last, place = 0, time.monotonic(), 0
    while sent < most and time.monotonic() - last < blocked:
        try:
            number = connection.send(data[place:])
        except BlockingIOError:
            time.sleep(0.005)
            continue
        except OSError:
            break
        sent, place, last = sent + number, (place + number) % len(data), time.monotonic()
    return sent
