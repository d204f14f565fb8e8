"""How values cross JSON: NaN and infinity as words, decimals as text, times as ISO-8601 in UTC, bytes as base64."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeAlias

from .types import DataType, parse

PointInTime: TypeAlias = datetime | str | int
"""A moment: a `datetime` (without a time zone: UTC), ISO-8601 text, or microseconds since the epoch."""

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode(value: Any) -> Any:
    """`value` in a form that JSON has."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else _word(value)
        case datetime():
            # pandas writes a missing time as NaT, which is a datetime that differs from itself.
            return None if value != value else moment_text(value)
        case date():
            return value.isoformat()
        case Decimal():
            return str(value)
        case bytes() | bytearray():
            return base64.b64encode(value).decode("ascii")
        case Mapping():
            return {str(encode(key)): encode(item) for key, item in value.items()}
        case list() | tuple():
            return [encode(item) for item in value]
    if type(value).__name__ == "datetime64":  # NumPy's nanoseconds would come out as a bare number
        value = value.astype("datetime64[us]")
    for convert in ("as_py", "tolist", "item"):  # Arrow scalars; NumPy arrays and scalars
        if hasattr(value, convert):
            return encode(getattr(value, convert)())
    if type(value).__name__ == "NAType":
        return None
    raise TypeError(f"a {type(value).__name__} cannot be sent as a value; use numbers, text, bytes, dates or lists")


def moment_text(value: datetime) -> str:
    """A time in ISO-8601 with microseconds, in UTC."""
    moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(value: PointInTime) -> str | int:
    """A point in time as a request carries it."""
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(
            f"`as_of` takes a datetime, ISO-8601 text or microseconds since the epoch, not {type(value).__name__}"
        )
    return value


def parse_moment(text: str | None) -> datetime | None:
    """A time of a response."""
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def decode_all(values: list[Any], type_text: str | None) -> list[Any]:
    """The values of a feature, as JSON holds them, in Python. Without a type, only the words for floats are known."""
    if type_text:
        data_type = parse(type_text)
        return [decode(value, data_type) for value in values]
    words = [value for value in values if isinstance(value, str)]
    if words and all(word in _NOT_FINITE for word in words):
        return [_NOT_FINITE[value] if isinstance(value, str) else value for value in values]
    return values


def decode(value: Any, data_type: DataType) -> Any:
    """A value as JSON holds it, in Python."""
    if value is None:
        return None
    name, parts = data_type.parts
    match name:
        case "float32" | "float64":
            # As the key of a map a number is text, too.
            return _NOT_FINITE.get(value) if value in _NOT_FINITE else float(value)
        case "int32" | "int64":
            return int(value)
        case "bool":
            return value if isinstance(value, bool) else value == "true"
        case "decimal":
            return Decimal(str(value))
        case "bytes":
            return base64.b64decode(value)
        case "date":
            return date.fromisoformat(value)
        case "timestamp":
            return parse_moment(value)
        case "list":
            return [decode(item, parse(parts[0])) for item in value]
        case "vector":
            return [decode(item, parse(parts[0])) for item in value]
        case "map":
            keys, items = parse(parts[0]), parse(parts[1])
            return {decode(key, keys): decode(item, items) for key, item in value.items()}
    return value


def _word(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
