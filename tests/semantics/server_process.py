"""A `thalweg serve` in a process of its own, to be killed without warning and started again on the same data."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import thalweg as tw

STARTED_WITHIN_SECONDS = 30


class ServerProcess:
    """`settings` are those of the server, by their names with underscores; they may be replaced between two starts."""

    def __init__(self, data: Path, clock: str = "events", settings: Mapping[str, object] | None = None) -> None:
        self.data, self.clock, self.port = data, clock, free_port()
        self.settings = dict(settings or {})
        self.log = data.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> tw.Client:
        """Starts the server and waits until it answers; a client of it."""
        self.spawn()
        return self.wait()

    def spawn(self) -> None:
        """Starts the server, and waits for nothing."""
        command = [sys.executable, "-m", "thalweg", "serve", "--data", str(self.data), "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--clock", self.clock]
        for name, value in self.settings.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait(self) -> tw.Client:
        """Waits until the server that was started answers; a client of it."""
        client = tw.Client(f"http://127.0.0.1:{self.port}", retries=0)
        deadline = time.monotonic() + STARTED_WITHIN_SECONDS
        while True:
            try:
                client.health()
                return client
            except tw.ThalwegError as error:
                ended = self.process is None or self.process.poll() is not None
                assert not ended, f"the server ended:\n{self.log.read_text()}"
                assert time.monotonic() < deadline, f"the server does not answer ({error}):\n{self.log.read_text()}"
                time.sleep(0.01)

    def kill(self) -> None:
        """`kill -9`: nothing is written or closed any more."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
