"""The Redis protocol by redis-py, in either version."""

from __future__ import annotations

from typing import Any

import redis
from redis.exceptions import AuthenticationError, RedisError

from ..server import World
from .base import Refused, refusal
from .redis_any import RedisClient, Reply, refused


class Redis2(RedisClient):
    protocol = 2

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.redis = redis.Redis(
            port=world.server.redis_port, protocol=self.protocol, decode_responses=True, socket_timeout=20
        )

    def close(self) -> None:
        self.redis.close()

    def send(self, commands: list[list[str]]) -> list[Reply]:
        """All commands in one pipeline."""
        with self.redis.pipeline(transaction=False) as pipeline:
            for words in commands:
                pipeline.execute_command(*words)
            try:
                replies = pipeline.execute(raise_on_error=False)
            except RedisError as error:
                self.told(commands, repr(error))
                raise of_error(error) from error
        self.told(commands, replies)
        return [self.plain(reply) for reply in replies]

    def plain(self, reply: Any) -> Reply:
        if isinstance(reply, Exception):
            return of_error(reply)
        if reply is True:
            return "PONG"
        return reply

    def status(self) -> dict[str, Any]:
        """redis-py takes `INFO` apart itself."""
        told = self.redis.info()
        self.told("INFO", told)
        return {"version": told["thalweg_version"]}

    def documented(self) -> dict[str, Any]:
        """The commands that the server tells of."""
        return dict(self.redis.command())

    def session(self) -> dict[str, Any]:
        """What the connection says of itself."""
        told = self.redis.client_info()
        self.told("CLIENT INFO", told)
        return dict(told)

    def wrong_version(self) -> Refused:
        return refusal(lambda: self.one("HELLO", "9"))


class Redis3(Redis2):
    protocol = 3


def of_error(error: Exception) -> Refused:
    """The error's line; redis-py takes the first word off where it has a class for it, and so it is put back."""
    line = str(error)
    if isinstance(error, AuthenticationError):
        return Refused("WRONGPASS" if "invalid username-password" in line else "NOAUTH", line)
    words = {"BusyLoadingError": "LOADING", "NoPermissionError": "NOPERM", "TryAgainError": "TRYAGAIN"}
    word = words.get(type(error).__name__)
    if word is not None:
        return Refused(word, line.removeprefix(f"{word} "))
    first = line.partition(" ")[0]
    return refused(line) if first.isupper() and first.isalpha() else Refused("ERR", line)
