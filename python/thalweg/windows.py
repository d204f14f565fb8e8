"""Which stretch of time a feature covers at a query time `q`, and durations as people write them.

The head is exclusive everywhere: an event at exactly `q` is not seen. Edges are exact to the microsecond.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from . import arguments

Duration: TypeAlias = str | timedelta
"""A length of time: text such as `"90s"`, `"15m"`, `"1h30m"`, `"7d"`, `"2w"`, `"500ms"`, or a `timedelta`."""


@dataclass(frozen=True, init=False)
class Window(ABC):
    """The base of the windows; use one of `Sliding`, `Tumbling`, `ToDate` and `Unbounded`."""

    @property
    @abstractmethod
    def suffix(self) -> str:
        """What a feature's name gets appended for this window."""

    @abstractmethod
    def to_json(self) -> dict[str, str]:
        """The window as it stands in the manifest."""


@dataclass(frozen=True, init=False)
class Sliding(Window):
    """The time just before the query: `q - over <= t < q`. What a bare duration in `over=` means.

    With a `hop`, the tail is rounded down to a multiple of it, `floor(q - over, hop) <= t < q`: the state is cheaper,
    and the tail up to one hop longer. Outputs are named `<feature>_7d`, or `<feature>_7d_hop_1h`.
    """

    over: str
    hop: str | None

    def __init__(self, over: Duration, hop: Duration | None = None) -> None:
        object.__setattr__(self, "over", _length(over, "over"))
        object.__setattr__(self, "hop", None if hop is None else _length(hop, "hop"))

    @property
    def suffix(self) -> str:
        return f"_{self.over}" if self.hop is None else f"_{self.over}_hop_{self.hop}"

    def to_json(self) -> dict[str, str]:
        window = {"kind": "sliding", "over": self.over}
        return window if self.hop is None else {**window, "hop": self.hop}


@dataclass(frozen=True, init=False)
class Tumbling(Window):
    """The last complete window: `floor(q, over) - over <= t < floor(q, over)`.

    Aligned to the epoch, or for whole days to the view's time zone. Outputs are named `<feature>_tumbling_1d`.
    """

    over: str

    def __init__(self, over: Duration) -> None:
        object.__setattr__(self, "over", _length(over, "over"))

    @property
    def suffix(self) -> str:
        return f"_tumbling_{self.over}"

    def to_json(self) -> dict[str, str]:
        return {"kind": "tumbling", "over": self.over}


@dataclass(frozen=True, init=False)
class ToDate(Window):
    """The window under way: `floor(q, over) <= t < q`, so `ToDate("1d")` is today until now.

    Aligned as `Tumbling` is. Outputs are named `<feature>_to_date_1d`.
    """

    over: str

    def __init__(self, over: Duration) -> None:
        object.__setattr__(self, "over", _length(over, "over"))

    @property
    def suffix(self) -> str:
        return f"_to_date_{self.over}"

    def to_json(self) -> dict[str, str]:
        return {"kind": "to_date", "over": self.over}


@dataclass(frozen=True, init=False)
class Unbounded(Window):
    """All time before the query: `t < q`. What `over=None` means. Outputs are named as the feature is."""

    @property
    def suffix(self) -> str:
        return ""

    def to_json(self) -> dict[str, str]:
        return {"kind": "unbounded"}


Over: TypeAlias = Duration | Window | Iterable[Duration | Window | None] | None
"""What `over=` takes: a duration (a sliding window), a window, None (unbounded), or a list of these."""


def windows_of(over: Over) -> tuple[Window, ...]:
    """The windows that `over=` names, at least one."""
    if over is None or isinstance(over, str | timedelta | Window):
        return (_window(over),)
    if not isinstance(over, Iterable):
        raise TypeError(_NOT_A_WINDOW.format(arguments.kind(over)))
    windows = tuple(_window(item) for item in over)
    if not windows:
        raise ValueError("`over` is an empty list; name at least one window, or leave `over` out for all time")
    return windows


def micros(duration: Duration, argument: str) -> int:
    """The length of a duration in microseconds, never negative."""
    if isinstance(duration, timedelta):
        if duration < timedelta():
            raise ValueError(f"`{argument}` is negative ({duration}); a duration is zero or longer")
        total = duration // timedelta(microseconds=1)
    elif isinstance(duration, str):
        written = duration.strip()
        if not _WRITTEN.fullmatch(written):
            raise ValueError(
                f"`{argument}`: `{duration}` is not a duration; "
                "write a number and a unit, such as 90s, 15m, 1h, 7d or 1h30m"
            )
        total = sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(written))
    else:
        raise TypeError(f'`{argument}` takes a duration, not {arguments.kind(duration)}; write {argument}="7d"')
    if total > _LONGEST:
        raise ValueError(f"`{argument}` is longer than a thousand years; leave it out for all time")
    return total


def duration_text(duration: Duration, argument: str) -> str:
    """The canonical form of a duration, each unit from days down at most once: `"168h"` is `"7d"`."""
    rest, written = micros(duration, argument), ""
    for unit, size in _UNITS.items():
        count = rest // size
        if count and unit != "w":
            written += f"{count}{unit}"
            rest -= count * size
    return written or "0s"


def optional_duration(duration: Duration | None, argument: str) -> str:
    """As `duration_text`; the empty string where there is none."""
    return "" if duration is None else duration_text(duration, argument)


_NOT_A_WINDOW = '`over` takes a duration, a window or a list of these, not {}; write over="7d" or over=["1h", "7d"]'

# From the longest down, as the canonical form goes.
_UNITS = {
    "w": 7 * 86_400_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
_LONGEST = 1000 * 366 * _UNITS["d"]
_PART = re.compile(r"([0-9]+)(ms|us|[wdhms])")
_WRITTEN = re.compile(rf"(?:{_PART.pattern})+")


def _window(value: object) -> Window:
    if value is None:
        return Unbounded()
    if isinstance(value, Window):
        return value
    if isinstance(value, str | timedelta):
        return Sliding(value)
    raise TypeError(_NOT_A_WINDOW.format(arguments.kind(value)))


def _length(duration: Duration, argument: str) -> str:
    if micros(duration, argument) == 0:
        raise ValueError(f"`{argument}` is zero; a window has a length, such as 1h")
    return duration_text(duration, argument)
