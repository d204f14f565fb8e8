"""Checks the arguments of the public constructors, so that a wrong one is refused on the user's own line.

A wrong type is a `TypeError` that says what to write. Rules that need more than one object (does the column exist, does
the aggregation take its type) are the compiler's, which reports all of them together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any


def text(value: object, argument: str, mend: str) -> str:
    """`value`, which must be a string that is not blank."""
    if not isinstance(value, str):
        raise TypeError(f"`{argument}` takes text, not {kind(value)}; {mend}")
    if not value.strip():
        raise ValueError(f"`{argument}` is empty; {mend}")
    return value


def optional_text(value: object, argument: str, mend: str) -> str:
    """As `text`; None and the empty string both mean: not given."""
    return "" if value is None or value == "" else text(value, argument, mend)


def texts(value: object, argument: str, mend: str) -> tuple[str, ...]:
    """A list of strings. A lone string is refused: its letters are never what was meant."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"`{argument}` takes a list of names, not {kind(value)}; {mend}")
    return tuple(text(item, argument, mend) for item in value)


def mapping(value: object, argument: str, mend: str) -> Mapping[str, Any]:
    """A mapping whose keys are strings."""
    if not isinstance(value, Mapping):
        raise TypeError(f"`{argument}` takes a dict, not {kind(value)}; {mend}")
    for key in value:
        text(key, argument, mend)
    return MappingProxyType(dict(value))


def flag(value: object, argument: str) -> bool:
    """True or False, nothing that is merely truthy."""
    if not isinstance(value, bool):
        raise TypeError(f"`{argument}` takes True or False, not {kind(value)}")
    return value


def natural(value: object, argument: str, least: int = 0) -> int:
    """A whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"`{argument}` takes a whole number, not {kind(value)}; write {argument}={max(least, 1)}")
    if not least <= value < 2**32:
        raise ValueError(f"`{argument}` is {value}; it must be a whole number of at least {least}")
    return value


def number(value: object, argument: str, low: float, high: float) -> float:
    """A finite number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"`{argument}` takes a number, not {kind(value)}; write {argument}={high}")
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"`{argument}` is {value}; it must lie between {low:g} and {high:g}")
    return float(value)


def choice(value: object, argument: str, allowed: tuple[str, ...]) -> str:
    """One of a few words."""
    if value in allowed and isinstance(value, str):
        return value
    words = " or ".join(f'"{word}"' for word in allowed)
    error = ValueError if isinstance(value, str) else TypeError
    raise error(f"`{argument}` takes {words}, not {value!r}")


def kind(value: object) -> str:
    """How an error names what it was given."""
    return "None" if value is None else f"{type(value).__name__} ({_short(value)})"


def _short(value: object, most: int = 40) -> str:
    shown = repr(value)
    return shown if len(shown) <= most else f"{shown[:most]}..."
