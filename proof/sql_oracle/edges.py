"""From when until when a window reaches at each of many query times: the edges, as the rule book draws them."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from .declared import DAY, Window, micros

Times = np.ndarray
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def edges(window: Window, q: Times, zone: str | None, beginning: Times) -> tuple[Times, Times]:
    """Of each query time, the first moment that the window covers and the first after it; `beginning` is before all."""
    if window.kind == "unbounded":
        return beginning, q
    over = micros(window.over)
    if window.kind == "sliding":
        low = q - over
        return (floor(low, micros(window.hop), zone) if window.hop else low), q
    start = floor(q, over, zone)
    if window.kind == "to_date":
        return start, q
    return floor(start - 1, over, zone), start


def floor(times: Times, unit: int, zone: str | None) -> Times:
    """The start of the stretch of `unit` that holds each time."""
    if zone is None or zone == "UTC" or unit % DAY or not len(times):
        return times - times % unit
    first, last = int(times.min()), int(times.max())
    starts = local_starts(zone, unit // DAY, first // DAY - 2 * (unit // DAY) - 2, last // DAY + 2)
    return starts[np.searchsorted(starts, times, side="right") - 1]


@lru_cache(maxsize=256)
def local_starts(zone: str, days: int, first: int, last: int) -> Times:
    """When each stretch of so many local days begins; days are counted from 1970-01-01."""
    begin = first - first % days
    return np.array([midnight(day, zone) for day in range(begin, last + 1, days)], dtype=np.int64)


def midnight(day: int, zone: str) -> int:
    """The first moment of a local day: of two midnights the earlier, and of none the moment the clocks were put on."""
    local = date(1970, 1, 1) + timedelta(days=day)
    moment = datetime(local.year, local.month, local.day, tzinfo=ZoneInfo(zone))
    return (moment.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)
