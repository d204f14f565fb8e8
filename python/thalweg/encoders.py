"""Encodings of features for models, as on-demand features: the same live and in training sets, since it is one SQL."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any, TypeAlias

from . import arguments
from .definitions import Json
from .direct import DirectFeature
from .services import OnDemand, references
from .views import FeatureRef

Encodable: TypeAlias = FeatureRef | DirectFeature | OnDemand | str
"""One feature: `view["country"]`, a direct feature, an on-demand feature, or a reference as text."""

Plain: TypeAlias = bool | int | float | str | date | datetime
"""A value that can be written in an expression. A `datetime` without a time zone is taken as UTC."""

MAX_EXPRESSION_BYTES = 8192
"""The longest expression that is compiled."""


def one_hot(name: str, feature: Encodable, *, categories: Iterable[Plain], **about: Any) -> OnDemand:
    """A list with a 1 at the place of the feature's category and 0 elsewhere, of type list<int64>.

    A value that is none of the categories, and null, give a list of zeros.

    Args:
        name: of the feature that is made.
        feature: what is encoded.
        categories: its values, in the order of the list.
        about: `description`, `owner`, `tags` and `namespace` of the feature that is made.
    """
    values = _several(categories, "categories", 'write categories=["NL", "DE"]')
    if len(set(map(sql_literal, values))) < len(values):
        raise ValueError(f"`categories` of `{name}` names one twice; name each once")
    column = _column(feature)
    places = [f"CAST({column} IS NOT DISTINCT FROM {sql_literal(value)} AS BIGINT)" for value in values]
    return _made(name, f"make_array({', '.join(places)})", feature, about)


def bucketize(name: str, feature: Encodable, *, boundaries: Iterable[float], **about: Any) -> OnDemand:
    """The number of the bucket that a number lies in, of type int64: how many boundaries are at or below it.

    With boundaries 10 and 20 a value below 10 is in bucket 0, 10 itself in bucket 1, and 20 and NaN in bucket 2. Null
    is in no bucket: it stays null.

    Args:
        name, feature, about: as those of `one_hot`.
        boundaries: finite numbers, each above the one before.
    """
    values = [_finite(value, "boundaries") for value in _several(boundaries, "boundaries", "write boundaries=[10, 20]")]
    if any(low >= high for low, high in pairwise(values)):
        raise ValueError(f"`boundaries` of `{name}` are not ascending; write each above the one before")
    column = _column(feature)
    below = " ".join(f"WHEN {column} < {sql_literal(value)} THEN {place}" for place, value in enumerate(values))
    # Without an ELSE, null stays null.
    last = f"WHEN {column} >= {sql_literal(values[-1])} THEN {len(values)}"
    return _made(name, f"CASE {below} {last} END", feature, about)


def standardize(name: str, feature: Encodable, *, mean: float, std: float, **about: Any) -> OnDemand:
    """A number's distance from the mean in standard deviations, of type float64; null stays null.

    Args:
        name, feature, about: as those of `one_hot`.
        mean, std: those of the rows that the model was trained on; `std` is above zero.
    """
    centre, width = float(_finite(mean, "mean")), float(_finite(std, "std"))
    if width <= 0:
        raise ValueError(f"`std` of `{name}` is {std}; it must be above zero")
    sql = f"(CAST({_column(feature)} AS DOUBLE) - {sql_literal(centre)}) / {sql_literal(width)}"
    return _made(name, sql, feature, about)


def fill(name: str, feature: Encodable, value: Plain, **about: Any) -> OnDemand:
    """The feature's value, or `value` where it is null: not there, withheld as stale, or null itself.

    Args:
        name, feature, about: as those of `one_hot`.
        value: of the feature's type.
    """
    return _made(name, f"coalesce({_column(feature)}, {sql_literal(value)})", feature, about)


def sql_literal(value: object) -> str:
    """A value as SQL that reads back to it, whatever is in it."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            if not -(2**63) < value < 2**63:
                raise ValueError(f"{value} does not fit in 64 bits; use a float")
            return str(value) if value >= 0 else f"({value})"
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{value} cannot be written in an expression; use a finite number")
            return repr(value) if math.copysign(1.0, value) > 0 else f"({value!r})"
        case str():
            # Quotes are doubled, and nothing else is special: there are no backslash escapes.
            return "'" + value.replace("'", "''") + "'"
        case datetime():
            moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            return f"TIMESTAMP '{moment.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}'"
        case date():
            return f"DATE '{value.isoformat()}'"
    raise TypeError(
        f"an expression takes text, a number, True or False, a date or a datetime, not {arguments.kind(value)}"
    )


def _made(name: str, sql: str, feature: Encodable, about: Json) -> OnDemand:
    if len(sql.encode()) > MAX_EXPRESSION_BYTES:
        raise ValueError(
            f"`{name}` would be an expression of {len(sql.encode())} bytes, and one has at most "
            f"{MAX_EXPRESSION_BYTES}; encode the values in two features"
        )
    made = OnDemand(name, sql, **about)
    if isinstance(feature, FeatureRef):
        made._set(_made_from=(feature.view,))
    elif not isinstance(feature, str):
        made._set(_made_from=(feature,))
    return made


def _column(feature: object) -> str:
    """The feature's reference as a name in SQL."""
    names = references(feature)
    if len(names) != 1:
        raise ValueError(f"`feature` names {len(names)} features ({', '.join(names)}); encode one at a time")
    quoted = (part.replace('"', '""') for part in names[0].split("."))
    return ".".join(f'"{part}"' for part in quoted)


def _several(values: object, argument: str, mend: str) -> list[object]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"`{argument}` takes a list of values, not {arguments.kind(values)}; {mend}")
    given = list(values)
    if not given:
        raise ValueError(f"`{argument}` is empty; {mend}")
    return given


def _finite(value: object, argument: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"`{argument}` takes numbers, not {arguments.kind(value)}")
    if not math.isfinite(value):
        raise ValueError(f"`{argument}` is {value}; use a finite number")
    return value
