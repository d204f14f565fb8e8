"""A `thalweg serve` with the drivers' definitions in force, and Feast's client pointed at it.

Collected only where the package `feast` is installed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
from semantics.server_process import ServerProcess

import thalweg as tw

# By its metadata: the name alone would find this directory.
try:
    version("feast")
except PackageNotFoundError:
    collect_ignore_glob = ["test_*.py"]


class Server:
    """A running server as these tests need it."""

    def __init__(self, client: tw.Client, key: str | None = None) -> None:
        self._client, self.url, self.key = client, client.url, key

    def apply(self, project: tw.Project) -> None:
        self._client.apply(project)

    def push(self, source: str, table: Any) -> None:
        self._client.push(source, table)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    process = ServerProcess(tmp_path / "data", clock="system")
    try:
        yield Server(process.start())
    finally:
        process.kill()


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    """A server that asks for keys, as whoever has a key of a scope sees it: `locked("read")`."""
    data = tmp_path / "locked"
    keys = {scope: make_key(data, scope) for scope in ("admin", "read")}
    process = ServerProcess(data, clock="system")
    try:
        url = process.start().url
        yield lambda scope: Server(tw.Client(url, api_key=keys[scope]), keys[scope])
    finally:
        process.kill()


def make_key(data: Path, scope: str) -> str:
    command = [sys.executable, "-m", "thalweg", "keys", "create", "--data", str(data)]
    command += ["--name", f"feast-{scope}", "--namespaces", "*", "--scopes", scope]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@pytest.fixture
def store(server: Any, tmp_path: Path) -> Any:
    """Feast's store, unmodified, with the server as its remote online store."""
    from feast_project import project
    from feast_repo import make_store

    server.apply(project())
    directory = tmp_path / "repo"
    directory.mkdir()
    return make_store(directory, {"type": "remote", "path": server.url}, key=getattr(server, "key", None))
