"""A server of the demo's own: started with a fresh directory and the events' clock, and stopped at the end."""

import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import thalweg as tw

START_SECONDS = 30
STOP_SECONDS = 30


class Server:
    """`thalweg serve` as a process, ready when the context is entered. What it says goes to `server.log`."""

    def __init__(self, directory: Path, port: int = 0):
        self.directory = directory
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.arguments = ["serve", "--clock", "events", "--data", str(directory), "--port", str(self.port)]
        self.log = directory.parent / "server.log"

    @property
    def command(self) -> str:
        """What to type for the same server."""
        return shlex.join(["thalweg", *self.arguments])

    def __enter__(self) -> "Server":
        self.directory.mkdir(parents=True)
        with self.log.open("wb") as log:
            command = [thalweg_command(), *self.arguments]
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            self._ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait(self) -> None:
        """Returns when the server ends, or at Ctrl-C."""
        print(f"serving at {self.url}; Ctrl-C ends it", flush=True)
        try:
            self.process.wait()
        except KeyboardInterrupt:
            print()

    def _ready(self) -> None:
        client = tw.Client(self.url, timeout=2, retries=0)
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended at once; it said:\n{self.log.read_text(errors='replace')}")
            try:
                client.health()
                return
            except tw.ServerError as error:
                if time.monotonic() > deadline:
                    late = f"the server is not ready after {START_SECONDS} s ({error}); see {self.log}"
                    raise SystemExit(late) from error
            time.sleep(0.05)


def thalweg_command() -> str:
    """The command that belongs to this Python, or else the one on the path."""
    found = shutil.which("thalweg", path=str(Path(sys.executable).parent)) or shutil.which("thalweg")
    if found is None:
        raise SystemExit("there is no command `thalweg`; install the package first: pip install 'thalweg[demo]'")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
