"""One form for the values of every path, so that they can be compared to the last bit.

JSON, Arrow and the oracle write the same value differently: a NaN, a time, a decimal, a map. `canonical` gives
each its one form by its type; two values are the same exactly when their forms are equal.
"""

import base64
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NUMBERS_AS_FLOAT = ("mean", "var", "std", "skew", "kurtosis", "approx_quantile")
LISTS = ("first_k", "last_k", "top_k", "bottom_k")
COUNTS = ("count", "distinct_count", "approx_distinct")


def micros(time):
    """An instant as microseconds since the epoch: of an integer, an ISO string or a datetime (naive: UTC)."""
    if time is None or isinstance(time, int):
        return time
    if isinstance(time, str):
        time = datetime.fromisoformat(time.replace("Z", "+00:00"))
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return (time - EPOCH) // timedelta(microseconds=1)


def output_type(feature, types):
    """The type of a feature's value, given the types of columns and expressions."""
    aggregation = feature["aggregation"]
    taken = types[feature["input"]] if feature.get("input") else None
    inner = taken
    if aggregation in COUNTS:
        inner = "int64"
    elif aggregation in NUMBERS_AS_FLOAT:
        inner = "float64"
    elif aggregation in LISTS:
        inner = f"list<{taken}>"
    elif aggregation == "value_counts":
        inner = f"map<{taken}|int64>"
    elif aggregation == "sum":
        inner = sum_type(taken)
    return f"map<{types[feature['by']]}|{inner}>" if feature.get("by") else inner


def sum_type(taken):
    if taken.startswith("decimal"):
        return f"decimal(38,{taken[:-1].split(',')[1]})"
    return "int64" if taken.startswith("int") else "float64"


def canonical(value, kind):
    return None if value is None else form(kind)(value)


@cache
def form(kind):
    """What gives values of a type, nulls aside, their one form."""
    if kind.startswith("list<"):
        inner = kind[5:-1]
        return lambda value: [canonical(item, inner) for item in value]
    if kind.startswith("map<"):
        key_kind, inner = kind[4:-1].split("|", 1)
        return lambda value: canonical_map(value, key_kind, inner)
    if kind.startswith("decimal"):
        scale = int(kind[:-1].split(",")[1])
        return lambda value: canonical_decimal(value, scale)
    return PLAIN[kind]


def canonical_map(value, key_kind, inner):
    pairs = value.items() if isinstance(value, dict) else value
    entries = {repr(canonical_key(key, key_kind)): canonical(item, inner) for key, item in pairs}
    return dict(sorted(entries.items()))


def canonical_key(key, kind):
    """Keys of maps are strings in JSON."""
    if kind == "bool" and isinstance(key, str):
        key = {"true": True, "false": False}[key]
    if kind in ("int32", "int64") and isinstance(key, str):
        key = int(key)
    return canonical(key, kind)


def canonical_decimal(value, scale):
    number = Decimal(value) if not isinstance(value, float) else None
    assert number is not None, f"a decimal came as the float {value!r}"
    sign, digits, exponent = number.as_tuple()
    assert -exponent <= scale, f"{value!r} has more than {scale} digits after the point"
    unscaled = int("".join(map(str, digits))) * 10 ** (scale + exponent)
    return f"{-unscaled if sign else unscaled}e-{scale}"


def bits(value):
    """The shortest digits that give the float back: as good as its bits, and all NaN are one."""
    return repr(float(value))


def integer(value):
    assert isinstance(value, int) and not isinstance(value, bool), f"{value!r} is not an integer"
    return value


def boolean(value):
    assert isinstance(value, bool), f"{value!r} is not a boolean"
    return value


def text(value):
    assert isinstance(value, str), f"{value!r} is not a string"
    return value


def octets(value):
    return bytes(value) if isinstance(value, (bytes, bytearray)) else base64.b64decode(value)


def day(value):
    return value.isoformat() if isinstance(value, date) else str(value)


PLAIN = {
    "bool": boolean,
    "int32": integer,
    "int64": integer,
    "float32": bits,
    "float64": bits,
    "string": text,
    "bytes": octets,
    "date": day,
    "timestamp": micros,
}
