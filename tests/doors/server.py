"""A `thalweg serve` in a process of its own, with every door open at a free loopback port."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from .project import Facts, as_json, project

STARTED_WITHIN_SECONDS = 60
STOPPED_WITHIN_SECONDS = 30
COMMAND = [sys.executable, "-m", "thalweg"]


class Server:
    """Flags are those of `thalweg serve`; the addresses come from its log."""

    def __init__(self, data: Path, *flags: str, host: str = "127.0.0.1") -> None:
        self.data, self.flags, self.host = data, flags, host
        self.log = data.with_name(data.name + ".log")
        self.url = self.redis = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        ports = ["--host", self.host, "--port", "0", "--redis-port", "0"]
        command = [*COMMAND, "serve", "--data", str(self.data), *ports, *self.flags]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment())
        deadline = time.monotonic() + STARTED_WITHIN_SECONDS
        while not self._found_its_addresses():
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.told()}"
            assert time.monotonic() < deadline, f"the server does not say where it listens:\n{self.told()}"
            time.sleep(0.02)
        return self

    def _found_its_addresses(self) -> bool:
        told = self.told()
        url, redis = re.search(r"listening.*? url=(\S+)", told), re.search(r"listening.*? redis=(\S+)", told)
        if url is None or redis is None:
            return False
        # What listens everywhere is reached here.
        self.url = url[1].replace("0.0.0.0", "127.0.0.1")
        self.redis = redis[1].replace("0.0.0.0", "127.0.0.1")
        return True

    def told(self) -> str:
        """The server's own log, without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text(errors="replace"))

    @property
    def address(self) -> str:
        """Host and port of HTTP and gRPC."""
        return self.url.partition("://")[2]

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def redis_port(self) -> int:
        return int(self.redis.rpartition(":")[2])

    @property
    def memory(self) -> int:
        """Bytes in memory now."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None, status
        return int(found[1]) * 1024

    def command(self, *arguments: str) -> str:
        """The output of a `thalweg` command on the server's data directory."""
        done = subprocess.run(
            [*COMMAND, *arguments, "--data", str(self.data)], capture_output=True, text=True, env=environment()
        )
        assert done.returncode == 0, f"thalweg {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}"
        return done.stdout

    def key(self, name: str, namespaces: str = "*", scopes: str = "admin", **options: str) -> dict[str, Any]:
        """A new API key, made beside the running server: `id`, `key` and the rest."""
        more = [part for option, value in options.items() for part in (f"--{option}", value)]
        wanted = ["--name", name, "--namespaces", namespaces, "--scopes", scopes, *more]
        made: dict[str, Any] = json.loads(self.command("keys", "create", *wanted, "--json"))
        return made

    def stop(self) -> None:
        """As a service manager does; what does not end is killed."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOPPED_WITHIN_SECONDS)
            return
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class World:
    """A server with the project of these tests in force and its first rows loaded."""

    def __init__(self, server: Server, key: str | None = None, verify: Any = True) -> None:
        import httpx

        self.server, self.key = server, key
        self.facts = Facts(time.time_ns() // 1_000)
        # The type of every feature, once somebody has asked for them.
        self.types: dict[str, str] = {}
        self.definitions = json.loads(project().to_json())
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self.http = httpx.Client(base_url=server.url, headers=headers, timeout=30, trust_env=False, verify=verify)
        self.applied = self._sent("/v1/apply", self.definitions)
        for source, rows in (("facts", self.facts.rows()), ("sales", self.facts.sales())):
            self.load(source, rows)

    def load(self, source: str, rows: list[dict[str, Any]]) -> None:
        """Rows of the past, which arrived when they happened."""
        ack = self._sent(f"/v1/sources/{source}/events?backfill=true", as_json(source, rows))
        assert ack["applied"] == len(rows), ack

    def _sent(self, path: str, body: Any) -> Any:
        answer = self.http.post(path, json=body)
        assert answer.status_code == 200, f"POST {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def close(self) -> None:
        self.http.close()


def environment() -> dict[str, str]:
    """Nothing of the machine that runs the tests: no proxies, no settings, no key."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("OTEL_", "THALWEG_")) and not name.lower().endswith("_proxy")
    }
