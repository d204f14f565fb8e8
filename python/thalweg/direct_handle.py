"""Reading and writing a directly written feature, one key at a time."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from . import arguments
from .definitions import Json
from .direct import DirectFeature
from .errors import ServerError
from .values import PointInTime, decode_all, encode, moment, parse_moment

if TYPE_CHECKING:
    from .session import Session

DirectLike: TypeAlias = DirectFeature | str


@dataclass(frozen=True, slots=True)
class DirectValue:
    """What a directly written feature was at a query time."""

    value: Any
    """The value; of a windowed feature read as a whole, one for each aggregation by name."""
    status: str | dict[str, str]
    """`PRESENT`, `NULL`, `NOT_FOUND`, `STALE` or `ERROR`; keyed by aggregation as the value is."""
    event_time: datetime | None
    """When the newest write behind it happened, in UTC."""
    as_of: datetime | None
    """The query time, in UTC."""


@dataclass(frozen=True, slots=True)
class DirectWrite:
    """An acknowledged write: it is durable, and the next read sees it."""

    sequence: int
    """Its place in the log."""
    at: datetime | None
    """Its event time, in UTC."""
    repeated: bool
    """This idempotency key had been acknowledged before, and nothing was written again."""


class DirectHandle:
    """A directly written feature, by its selector. Made by `client.direct(...)`.

    Keys are given by column: `{"user": "u1"}`. A write happens now unless `at` says when; it is an event in the log,
    and so in history and in training sets. Each has an idempotency key, so that it counts once however often it is
    sent; where it fails, `ServerError.idempotency_key` is the one to send it again with.
    """

    def __init__(self, session: Session, selector: str) -> None:
        self._session = session
        self.selector = selector

    def __repr__(self) -> str:
        return f"<direct feature {self.selector}>"

    def describe(self) -> Json:
        """Its descriptor: keys, primitive, aggregations, window, previous values, freshness, staleness, timeout."""
        return self._session._descriptor(self.selector)

    def get(
        self,
        keys: Mapping[str, Any],
        *,
        aggregation: str | None = None,
        previous: int = 0,
        as_of: PointInTime | None = None,
    ) -> DirectValue:
        """Its value.

        Args:
            aggregation: of a windowed feature, the one to read, such as `"sum"`; left out, all of them.
            previous: reads so many values before the newest, as far as `keep_previous` goes.
            as_of: the query time; left out, now.
        """
        selector = f"{self.selector}+{aggregation}" if aggregation else self.selector
        selector = f"{selector}@-{previous}" if previous else selector
        body: Json = {"keys": encode(dict(keys))}
        if as_of is not None:
            body["as_of"] = moment(as_of)
        return _value(self._session._direct(selector, "get", body, None))

    def set(self, keys: Mapping[str, Any], value: Any, **options: Any) -> DirectWrite:
        """Replaces a scalar or a whole list; adds to the window of a windowed feature."""
        return self._write("set", keys, value, **options)

    def append(self, keys: Mapping[str, Any], value: Any, **options: Any) -> DirectWrite:
        """Adds an item to a list."""
        return self._write("append", keys, value, **options)

    def incr(self, keys: Mapping[str, Any], value: int | float = 1, **options: Any) -> DirectWrite:
        """Adds to a number."""
        return self._write("incr", keys, value, **options)

    def update(self, keys: Mapping[str, Any], value: Any, **options: Any) -> DirectWrite:
        """Sets a scalar, appends to a list, adds to a window."""
        return self._write("update", keys, value, **options)

    def _write(
        self,
        operation: str,
        keys: Mapping[str, Any],
        value: Any,
        *,
        at: PointInTime | None = None,
        idempotency_key: str | None = None,
    ) -> DirectWrite:
        body: Json = {"keys": encode(dict(keys)), "value": encode(value)}
        if at is not None:
            body["at"] = moment(at)
        key = key_of(idempotency_key)
        try:
            answer = self._session._direct(self.selector, operation, body, key)
        except ServerError as error:
            # It may have been written all the same: whoever sends it again needs the key.
            error.idempotency_key = key
            raise
        return DirectWrite(int(answer["sequence"]), parse_moment(answer.get("at")), bool(answer.get("repeated")))


def key_of(idempotency_key: object) -> str:
    """The idempotency key that was given, or a new one."""
    if idempotency_key is None:
        return str(uuid.uuid4())
    return arguments.text(idempotency_key, "idempotency_key", "leave it out to have one made")


def selector_of(feature: object) -> str:
    """`namespace.name` of what names a directly written feature."""
    if isinstance(feature, DirectFeature):
        return feature.selector
    return arguments.text(feature, "feature", 'pass a tw.DirectFeature, or its selector such as "users.clicks"')


def _value(answer: Json) -> DirectValue:
    values = answer["values"]
    as_of = parse_moment(answer.get("as_of"))
    if len(values) == 1:
        (one,) = values
        return DirectValue(_decoded(one), one["status"], parse_moment(one.get("event_time")), as_of)
    times = [time for one in values if (time := parse_moment(one.get("event_time"))) is not None]
    return DirectValue(
        {one["aggregation"]: _decoded(one) for one in values},
        {one["aggregation"]: one["status"] for one in values},
        max(times, default=None),
        as_of,
    )


def _decoded(one: Json) -> Any:
    return decode_all([one["value"]], one.get("type"))[0]
