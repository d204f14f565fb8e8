"""The page of guarantees names tests and kinds that exist."""

import re
from functools import cache
from pathlib import Path

import pytest
from proof import kinds

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "guarantees.md"
LOOKED_IN = ("tests", "crates", "python/tests", "examples")
# Where a promise is held by more than a test.
OTHERWISE = re.compile(r"make (demo|doors)$|KIND=(\w+)$")


def held_by():
    """The promise of each row, and the names in its last column."""
    for line in PAGE.read_text().splitlines():
        if line.startswith("| **"):
            promise, _, by = [cell.strip() for cell in line.strip("|").split("|")]
            yield promise, re.findall(r"`([^`]+)`", by)


ROWS = list(held_by())


@cache
def files():
    """Every file in which a test may be."""
    found = [ROOT / folder for folder in LOOKED_IN]
    return [path for folder in found for path in sorted(folder.rglob("*")) if path.suffix in (".py", ".rs")]


def test_the_page_has_promises():
    assert len(ROWS) > 40


@pytest.mark.parametrize(("promise", "names"), ROWS, ids=[promise.split("**")[1] for promise, _ in ROWS])
def test_what_holds_a_promise_exists(promise, names):
    assert names or "demo" in promise, "nothing holds it"
    last = None
    for name in names:
        if other := OTHERWISE.match(name):
            assert other[2] is None or other[2] in kinds.NAMES, f"there is no kind {other[2]}"
            assert other[1] is None or re.search(rf"^{other[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            continue
        path, _, function = name.partition("::")
        if path:
            last = [file for file in files() if file.as_posix().endswith(f"/{path}")] or sorted(ROOT.glob(path))
        assert last, f"there is no file {path}"
        if function:
            defined = re.compile(rf"\b(def|fn) {function}\b")
            assert any(defined.search(file.read_text()) for file in last), f"{name}: no such test in {last[:3]}"


def test_every_kind_holds_a_promise():
    named = {name.removeprefix("KIND=") for _, names in ROWS for name in names if name.startswith("KIND=")}
    assert named == set(kinds.NAMES)
