"""The Redis protocol by go-redis: a small program that reads keys in every way and prints what it got."""

from __future__ import annotations

import json
from typing import Any

from .. import programs
from .base import Refused
from .redis_any import RedisClient, Reply, refused


class GoRedis(RedisClient):
    def ask(self, keys: list[str], fields: list[str] | None = None) -> dict[str, Any]:
        flags = ["-address", self.world.server.redis, "-key", ",".join(keys)]
        flags += ["-fields", ",".join(fields)] if fields else []
        done = programs.run("redis_go", *flags)
        self.told(f"redis_go {' '.join(flags)}", done.stdout + done.stderr)
        if done.returncode != 0:
            # `HGETALL key: ERR why`
            line = done.stderr.decode().strip()
            start = line.find(": ") + 2
            raise refused(line[start:])
        return dict(json.loads(done.stdout))

    def send(self, commands: list[list[str]]) -> list[Reply]:
        """Pairs of commands about one key, as `read` makes them."""
        replies: list[Reply] = []
        try:
            for first, second in zip(commands[::2], commands[1::2], strict=True):
                assert first[1] == second[1] and second[0] == "HMGET"
                fields = [*first[2:], *second[2:]]
                got = self.ask([first[1]], fields)
                # What the same key says in a pipeline is the same.
                assert got["pipeline"][first[1]] == got["hgetall"], got
                asked = [got["hmget"][field] for field in fields]
                wanted = len(first) - 2
                replies += [asked[:wanted] if first[0] == "HMGET" else got["hgetall"], asked[wanted:]]
        except Refused as error:
            return [error] * len(commands)
        return replies

    def pipeline(self, keys: list[str]) -> list[dict[str, str]]:
        got = self.ask(keys)
        return [got["pipeline"][key] for key in keys]
