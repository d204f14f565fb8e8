"""One request at each door with a key or without: what came of it, in the door's own words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from .clients.base import Refused
from .clients.feast_http import FeastHttp
from .clients.grpc_python import Grpc
from .clients.http_json import Httpx
from .clients.redis_python import of_error
from .operations.expecting import now
from .project import fact
from .server import World

READ: dict[str, Any] = {"service": "simple", "entities": {"user": ["u1"]}}
OK = "ok"
Ask = Callable[[World, str | None], str]


def outcome(call: Callable[[], Any]) -> str:
    """`ok`, or the code that it was refused with."""
    try:
        call()
    except Refused as refused:
        return refused.code
    return OK


class Http(Httpx):
    def __init__(self, world: World, key: str | None) -> None:
        super().__init__(world)
        if key is not None:
            self.http.headers["authorization"] = f"Bearer {key}"


def by_http(call: Callable[[Any], Any]) -> Ask:
    return lambda world, key: used(Http(world, key), call)


def by_feast(call: Callable[[Any], Any]) -> Ask:
    return lambda world, key: used(FeastHttp(world, key), call)


def by_grpc(call: Callable[[Any], Any]) -> Ask:
    return lambda world, key: used(Grpc(world, grpc.insecure_channel(world.server.address), key), call)


def used(client: Any, call: Callable[[Any], Any]) -> str:
    try:
        return outcome(lambda: call(client))
    finally:
        client.close()


def by_redis(*words: str) -> Ask:
    def ask(world: World, key: str | None) -> str:
        with redis.Redis(port=world.server.redis_port, password=key, retry=once()) as client:
            return redis_outcome(client, *words)

    return ask


def once() -> Retry:
    """redis-py tries again after a refusal, ten times, which the audit log would have to fold."""
    return Retry(NoBackoff(), 0)


def redis_outcome(client: Any, *words: str) -> str:
    try:
        client.execute_command(*words)
    except RedisError as error:
        return of_error(error).code
    return OK


def row() -> dict[str, Any]:
    return fact(now(), "asked", "asked", n64=1)


DIRECT = ("set", "web.clicks", {"user": "asked"}, 1)
# Door and what is asked: reads of the namespace `payments`, writes to `payments` and `web`.
READS: dict[str, Ask] = {
    "http": by_http(lambda client: client.read("simple", {"user": ["u1"]})),
    "feast": by_feast(lambda client: client.read("simple", {"user": ["u1"]})),
    "grpc": by_grpc(lambda client: client.read("simple", {"user": ["u1"]})),
    "redis": by_redis("HGETALL", "simple:u1"),
}
WRITES: dict[str, Ask] = {
    "http": by_http(lambda client: client.push("facts", [row()])),
    "feast": by_feast(lambda client: client.push("facts", [row()])),
    "grpc": by_grpc(lambda client: client.push("facts", [row()])),
    "redis": by_redis("SET", "web.clicks:asked", "1"),
}
DIRECT_WRITES: dict[str, Ask] = {
    "http": by_http(lambda client: client.direct_write(*DIRECT)),
    "grpc": by_grpc(lambda client: client.direct_write(*DIRECT)),
}
UNAUTHENTICATED = {
    "http": "401 UNAUTHENTICATED",
    "feast": "401 detail",
    "grpc": "UNAUTHENTICATED UNAUTHENTICATED",
    "redis": "WRONGPASS",
}
FORBIDDEN = {
    "http": "403 FORBIDDEN",
    "feast": "403 FeastPermissionError",
    "grpc": "PERMISSION_DENIED FORBIDDEN",
    "redis": "NOPERM",
}
RATE_LIMITED = {
    "http": "429 RATE_LIMITED",
    "feast": "429 FeastError",
    "grpc": "RESOURCE_EXHAUSTED RATE_LIMITED",
    "redis": "TRYAGAIN",
}


def eventually(what: Callable[[], bool], within: float = 10, every: float = 0.1) -> None:
    """Waits for something that a server notices by itself."""
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline, f"not within {within} s"
        time.sleep(every)


def denials(world: World) -> list[dict[str, Any]]:
    """The newest denials of the audit log, as the server tells them."""
    answer: httpx.Response = world.http.get("/v1/audit?denied=true&limit=1000")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["entries"])
