"""The Redis protocol by `redis-cli`, which speaks RESP3 and prints JSON."""

from __future__ import annotations

import json
from typing import Any

from .. import programs
from .base import Refused
from .redis_any import RedisClient, Reply, refused, versions


class RedisCli(RedisClient):
    def send(self, commands: list[list[str]]) -> list[Reply]:
        """The commands as lines of standard input; one line of output for each."""
        lines = "".join(" ".join(quoted(word) for word in words) + "\n" for words in commands)
        # Not `splitlines`: text may have other ends of lines in it.
        told = self.printed(lines).removesuffix("\n").split("\n")
        if len(told) != len(commands):
            raise Refused("redis-cli", f"{len(told)} answers to {len(commands)} commands")
        return [reply(line) for line in told]

    def printed(self, lines: str) -> str:
        done = programs.run("redis-cli", "-p", str(self.world.server.redis_port), "--json", stdin=lines.encode())
        self.told(f"redis-cli --json <<< {lines}", done.stdout + done.stderr)
        if done.returncode != 0:
            raise Refused(f"redis-cli {done.returncode}", repr(done.stdout + done.stderr))
        return done.stdout.decode()

    def status(self) -> dict[str, Any]:
        """`INFO` alone is printed as it is."""
        return versions(self.printed("INFO\n"))


def quoted(word: str) -> str:
    """A word as redis-cli reads it within quotes."""
    plain = {"\\": "\\\\", '"': '\\"'}
    letters = (plain.get(chr(byte), chr(byte)) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in word.encode())
    return f'"{"".join(letters)}"'


def reply(line: str) -> Reply:
    if line.startswith("error:"):
        return refused(json.loads(line.removeprefix("error:")))
    return json.loads(line)
