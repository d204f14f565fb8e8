"""Remembers which line of the user's code made an object, so that a broken rule can name the line to mend."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = __package__


@dataclass(frozen=True, slots=True)
class Origin:
    """A line of a file."""

    file: str
    line: int

    def within(self, root: Path) -> str:
        """`file:line`, with the file relative to `root` where it lies below it."""
        file = self.file
        if os.path.isabs(file) and Path(file).is_relative_to(root):
            file = Path(file).relative_to(root).as_posix()
        return f"{file}:{self.line}"


def caller() -> Origin:
    """The nearest line outside this package on the stack."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__")):
        frame = frame.f_back
    file = frame.f_code.co_filename
    # Interactive code has names such as `<stdin>`, which are no paths.
    return Origin(file if file.startswith("<") else os.path.abspath(file), frame.f_lineno)


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and (module == _PACKAGE or module.startswith(f"{_PACKAGE}."))
