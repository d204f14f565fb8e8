"""Servers for the tests of the doors. What they share is started once, and ends with the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session")
def doors_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server with every door open, in which the project of these tests is in force."""
    from .server import Server, World

    with Server(tmp_path_factory.mktemp("doors") / "data") as server:
        world = World(server)
        yield world
        world.close()


@pytest.fixture
def doors_server(tmp_path: Any) -> Iterator[Callable[..., Any]]:
    """Starts servers of a test's own: `doors_server("--max-body", "8MB")`."""
    from .server import Server

    servers: list[Any] = []

    def start(*flags: str, **options: Any) -> Any:
        server = Server(tmp_path / f"data-{len(servers)}", *flags, **options)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.stop()
