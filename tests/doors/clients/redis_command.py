"""The Redis protocol by `redis-cli`, which speaks RESP3 and prints JSON."""

from __future__ import annotations

import json

from .. import programs
from .base import Refused
from .redis_any import RedisClient, Reply, refused


class RedisCli(RedisClient):
    def send(self, commands: list[list[str]]) -> list[Reply]:
        """The commands as lines of standard input; one line of output for each."""
        lines = "".join(" ".join(quoted(word) for word in words) + "\n" for words in commands)
        done = programs.run("redis-cli", "-p", str(self.world.server.redis_port), "--json", stdin=lines.encode())
        self.told(f"redis-cli --json <<< {lines}", done.stdout + done.stderr)
        told = done.stdout.decode().splitlines()
        if done.returncode != 0 or len(told) != len(commands):
            raise Refused(f"redis-cli {done.returncode}", f"{len(told)} answers: {done.stdout!r} {done.stderr!r}")
        return [reply(line) for line in told]


def quoted(word: str) -> str:
    """A word as redis-cli reads it within quotes."""
    plain = {"\\": "\\\\", '"': '\\"'}
    letters = (plain.get(chr(byte), chr(byte)) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in word.encode())
    return f'"{"".join(letters)}"'


def reply(line: str) -> Reply:
    if line.startswith("error:"):
        return refused(json.loads(line.removeprefix("error:")))
    return json.loads(line)
