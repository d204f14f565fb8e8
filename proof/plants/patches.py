"""The patches: what each breaks, and who is to find it, as the lines before its diff say."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BREAKS, FOUND_BY = "Breaks: ", "Found-by: "


@dataclass(frozen=True)
class Plant:
    """A planted bug."""

    name: str
    path: Path
    breaks: str
    found_by: tuple[str, ...]


def plants() -> list[Plant]:
    """All of them, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.patch"))]


def _read(path: Path) -> Plant:
    head = path.read_text().partition("diff --git")[0].splitlines()
    breaks = next(line.removeprefix(BREAKS) for line in head if line.startswith(BREAKS))
    found_by = next(line.removeprefix(FOUND_BY) for line in head if line.startswith(FOUND_BY))
    return Plant(path.stem, path, breaks, tuple(found_by.split(", ")))
