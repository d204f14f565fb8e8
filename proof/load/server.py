"""A server for a trial: `thalweg serve` in a process of its own, with settings by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from doors.hostility import more_open_files
from doors.server import Server

import thalweg as tw

ARROW = "application/vnd.apache.arrow.stream"


def started(data: Path, settings: dict[str, str], **kwargs: Any) -> Server:
    """With every door open at a free port. Whoever starts it also stops it."""
    more_open_files()
    flags = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", value)]
    return Server(data, *flags, **kwargs).start()


def pid(server: Server) -> int:
    assert server.process is not None
    return server.process.pid


def define(server: Server, project: tw.Project) -> None:
    """Puts the definitions in force."""
    with tw.Client(server.url) as client:
        client.apply(project)


def complaints(server: Server) -> list[str]:
    """The lines of the server's own log that say that something went wrong."""
    return [line for line in server.told().splitlines() if " ERROR " in line or "panicked" in line]


def keep_log(server: Server, place: Path) -> None:
    """Leaves the server's own log where a failure is looked at."""
    place.write_text(server.told())
