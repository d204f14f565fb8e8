"""A process seen from outside, through /proc and its directory: memory, handles, threads and bytes on disk."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Sample:
    """One look. `mark` is how far the work was, in its own unit; `disk` is bytes by part of the data directory."""

    at: float
    mark: int
    memory: int
    peak: int
    handles: int
    threads: int
    disk: dict[str, int] = field(default_factory=dict)

    @property
    def on_disk(self) -> int:
        return sum(self.disk.values())


def available() -> bool:
    """Whether this system shows processes as files."""
    return Path("/proc/self/status").exists()


def look(pid: int, data: Path | None = None, mark: int = 0) -> Sample:
    """How the process is now."""
    status = Path(f"/proc/{pid}/status").read_text()

    def number(name: str) -> int:
        found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
        return int(found[1]) if found else 0

    return Sample(
        at=time.monotonic(),
        mark=mark,
        memory=number("VmRSS") * 1024,
        peak=number("VmHWM") * 1024,
        handles=len(os.listdir(f"/proc/{pid}/fd")),
        threads=number("Threads"),
        disk={} if data is None else by_part(data),
    )


def by_part(data: Path) -> dict[str, int]:
    """Bytes of files by the first part of their path; those at the top count as one."""
    found: dict[str, int] = {}
    for folder, _, names in os.walk(data):
        inside = Path(folder).relative_to(data).parts
        part = inside[0] if inside else "top"
        for name in names:
            try:
                size = os.stat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                continue
            found[part] = found.get(part, 0) + size
    return found


class Watch:
    """Looks at a process again and again until it is left; a process that ended ends it as well."""

    def __init__(self, pid: int, data: Path | None, mark: Callable[[], int] = lambda: 0, every: float = 0.5) -> None:
        self.samples: list[Sample] = []
        self._pid, self._data, self._mark, self._every = pid, data, mark, every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while True:
            try:
                self.samples.append(look(self._pid, self._data, self._mark()))
            except (FileNotFoundError, ProcessLookupError):
                return
            if self._stop.wait(self._every):
                return

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
