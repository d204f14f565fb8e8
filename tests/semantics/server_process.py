"""A `thalweg serve` in a process of its own, to be killed without warning and started again on the same data."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import thalweg as tw

STARTED_WITHIN_SECONDS = 30


class ServerProcess:
    def __init__(self, data, clock="events"):
        self.data, self.clock, self.port = data, clock, free_port()
        self.log = data.with_suffix(".log")
        self.process = None

    def start(self):
        """Starts the server and waits until it answers; a client of it."""
        command = [sys.executable, "-m", "thalweg", "serve", "--data", str(self.data), "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--clock", self.clock]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        client = tw.Client(f"http://127.0.0.1:{self.port}", retries=0)
        deadline = time.monotonic() + STARTED_WITHIN_SECONDS
        while True:
            try:
                client.health()
                return client
            except tw.ThalwegError as error:
                assert self.process.poll() is None, f"the server ended:\n{self.log.read_text()}"
                assert time.monotonic() < deadline, f"the server does not answer ({error}):\n{self.log.read_text()}"
                time.sleep(0.05)

    def kill(self):
        """`kill -9`: nothing is written or closed any more."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
