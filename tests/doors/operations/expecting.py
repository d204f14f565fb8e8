"""Words for what the operations expect, with messages that show both sides."""

from __future__ import annotations

import itertools
import time
from typing import Any

from .. import exact
from ..clients.base import Answer, Refused

_numbers = itertools.count()


def tag(client: Any) -> str:
    """A user that nobody else writes."""
    return f"{type(client).__name__}-{next(_numbers)}"


def now() -> int:
    """A moment ago, in microseconds."""
    return time.time_ns() // 1_000 - 1_000_000


def at_the_end(client: Any) -> dict[str, int]:
    """The query time behind all rows of the beginning, for clients that can say one."""
    return {"as_of": client.world.facts.end} if client.has_as_of else {}


def equal(actual: Any, expected: Any, what: str) -> None:
    assert actual == expected, f"{what}:\n  expected {expected!r}\n  got      {actual!r}"


def cell(answer: Answer, feature: str, row: int = 0) -> tuple[Any, str]:
    """One value and its status."""
    assert feature in answer, f"`{feature}` is not among {list(answer)}"
    column = answer[feature]
    return column.values[row], column.statuses[row]


def present(answer: Answer, expected: dict[str, Any], types: dict[str, str], row: int = 0) -> None:
    """The features are there with these values, to the last bit."""
    for feature, value in expected.items():
        wanted = exact.from_python(types[feature], value)
        equal(cell(answer, feature, row), (wanted, "PRESENT"), f"`{feature}`, entity {row}")


def absent(client: Any, answer: Answer, feature: str, status: str, no_input: Any = None, row: int = 0) -> None:
    """The feature has this status; its value is that of no input, where the door shows one."""
    value = no_input if client.shows_no_input else None
    equal(cell(answer, feature, row), (value, status), f"`{feature}`, entity {row}")


def refused_with(refused: Refused, code: str, part: str) -> None:
    """Refused in the door's own form, with a message that has this in it."""
    assert refused.code == code and part in refused.message, (
        f"expected a refusal `{code}` that says `{part}`, got `{refused.code}`: {refused.message}"
    )
