"""The generated client, once for the whole run, and a server for each test that asks for one.

Collected only where grpcio-tools is installed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if importlib.util.find_spec("grpc_tools") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from grpc_generated import generate

    return generate(tmp_path_factory.mktemp("grpc_python"))


@pytest.fixture
def client(generated: Any, tmp_path: Path) -> Iterator[Any]:
    """A client of a server of its own, in which nothing is defined yet."""
    import grpc
    from semantics.server_process import ServerProcess

    process = ServerProcess(tmp_path / "data", clock="system")
    process.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{process.port}") as channel:
            yield generated.client(channel)
    finally:
        process.kill()
