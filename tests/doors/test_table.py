"""The cells of the table of doors, each a test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .registry import ENTRIES, OPERATIONS, cells, mark, untried
from .trying import FAILED, MISSING, Trials


@pytest.fixture(scope="module")
def trials(doors_world: Any) -> Iterator[Trials]:
    tried = Trials(doors_world)
    yield tried
    tried.close()


@pytest.mark.parametrize(("entry", "operation"), cells(), ids=lambda one: one if isinstance(one, str) else one.title)
def test_cell(trials: Trials, entry: Any, operation: str) -> None:
    outcome = trials.attempt(entry, operation)
    if outcome.result == MISSING:
        pytest.skip(outcome.why.strip())
    if outcome.result == FAILED:
        pytest.fail(f"{outcome}\n{trials.world.server.told()[-2_000:]}", pytrace=False)


def test_everything_that_a_door_has_is_tried_and_nothing_else() -> None:
    assert untried() == []


def test_every_cell_is_tried_or_says_why_not() -> None:
    tried = {(entry, operation) for entry, operation in cells()}
    for entry in ENTRIES:
        for operation in OPERATIONS:
            assert bool(mark(entry, operation)) != ((entry, operation) in tried), (entry.title, operation)
