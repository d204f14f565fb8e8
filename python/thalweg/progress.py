"""Shows how far a long computation is, on one line of a terminal or notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO, TypeAlias

Progress: TypeAlias = Callable[[int, int], object]
"""Called with the rows done and the rows in all (0 while that is not known)."""

_EVERY_SECONDS = 0.2


class ProgressLine:
    """Writes `<title>: 45 % (45,000 of 100,000 rows)` to stderr, only where somebody is looking."""

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self._title = title
        self._stream = sys.stderr if stream is None else stream
        self._seen = self._stream.isatty() or "ipykernel" in sys.modules
        self._last = 0.0
        self._line = ""

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if not self._seen or (done < total and now - self._last < _EVERY_SECONDS):
            return
        share = f"{100 * done // total} % ({done:,} of {total:,} rows)" if total else "starting"
        line = f"{self._title}: {share}"
        if line != self._line:
            self._last = now
            self._write(line)

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._line:
            self._stream.write("\n")
            self._stream.flush()

    def _write(self, line: str) -> None:
        self._stream.write("\r" + line.ljust(len(self._line)))
        self._stream.flush()
        self._line = line
