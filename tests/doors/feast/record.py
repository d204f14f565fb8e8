"""Asks Feast's own server the questions of `recorded.json`, and writes down its answers: `python record.py`.

Run it where the version of Feast is installed whose answers are wanted.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from feast_repo import make_store

RECORDED = Path(__file__).with_name("recorded.json")
STARTED_WITHIN_SECONDS = 60


def main() -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    recorded["feast"] = version("feast")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        make_store(directory, {"type": "sqlite", "path": str(directory / "online.db")})
        port = free_port()
        command = [str(Path(sys.executable).with_name("feast")), "-c", name, "serve", "-h", "127.0.0.1"]
        server = subprocess.Popen([*command, "-p", str(port), "--no-access-log"])
        try:
            wait_for(f"http://127.0.0.1:{port}/health")
            for step in recorded["steps"]:
                step["status"], step["answer"] = ask(f"http://127.0.0.1:{port}{step['path']}", step["request"])
        finally:
            server.terminate()
            server.wait()
    RECORDED.write_text(written(recorded), encoding="utf-8")


def written(recorded: dict[str, Any]) -> str:
    """A line for each step."""
    steps = ",\n  ".join(json.dumps(step, ensure_ascii=False) for step in recorded["steps"])
    return f'{{\n "feast": {json.dumps(recorded["feast"])},\n "steps": [\n  {steps}\n ]\n}}\n'


def ask(
    url: str, body: object, key: str | None = None, content_type: str | None = "application/json"
) -> tuple[int, object]:
    """The status and the answer. A body of none makes it a GET."""
    address = urlsplit(url)
    connection = HTTPConnection(address.netloc, timeout=60)
    headers = {} if content_type is None or body is None else {"Content-Type": content_type}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    try:
        if body is None:
            connection.request("GET", address.path, headers=headers)
        else:
            connection.request("POST", address.path, json.dumps(body).encode(), headers)
        response = connection.getresponse()
        return response.status, parsed(response.read())
    finally:
        connection.close()


def parsed(body: bytes) -> object:
    return json.loads(body) if body else ""


def wait_for(url: str) -> None:
    deadline = time.monotonic() + STARTED_WITHIN_SECONDS
    while True:
        try:
            ask(url, None)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
