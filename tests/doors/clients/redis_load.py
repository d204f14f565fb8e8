"""`redis-benchmark`: the load that people put on Redis, which is to come through without an error."""

from __future__ import annotations

import re

from .. import programs
from .base import Client, Refused


class RedisBenchmark(Client):
    def load(self, *command: str, requests: int = 2_000, pipelined: int = 1) -> float:
        """Requests a second; many clients send the command. An error of the server's is one of the program's."""
        flags = ["-p", str(self.world.server.redis_port), "-n", str(requests), "-c", "20", "-P", str(pipelined)]
        done = programs.run("redis-benchmark", *flags, "--csv", *command)
        told = (done.stdout + done.stderr).decode(errors="replace")
        self.told(f"redis-benchmark {' '.join([*flags, *command])}", told)
        rates = re.findall(r'^".*","([0-9.]+)"', done.stdout.decode(errors="replace"), re.MULTILINE)
        if done.returncode != 0 or re.search(r"error|WARNING", told, re.IGNORECASE) or not rates:
            raise Refused(f"redis-benchmark {done.returncode}", told)
        return float(rates[-1])
