"""One form for a value, whatever door it came through: equal here means the same value, floats to the last bit.

Floats are their hexadecimal text, so that -0.0 and 0.0 differ and NaN equals itself; times are microseconds, dates
days since the epoch; decimals are text; lists are lists; maps are sorted lists of pairs.
"""

from __future__ import annotations

import base64
import datetime
import json
import re
from typing import Any

import pyarrow as pa

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)
WHOLE = ("int32", "int64")
FLOATS = ("float32", "float64")


def parts(written: str) -> tuple[str, list[str]]:
    """`map<decimal(18,4),int64>` is `map` of `decimal(18,4)` and `int64`."""
    found = re.fullmatch(r"(\w+)[<(](.*)[>)]", written)
    if found is None:
        return written, []
    own, depth = [""], 0
    for letter in found[2]:
        depth += (letter in "<(") - (letter in ">)")
        if letter == "," and depth == 0:
            own.append("")
        else:
            own[-1] += letter
    return found[1], own


def from_json(written: str, value: Any) -> Any:
    """A value as the JSON of the HTTP API has it."""
    if value is None:
        return None
    kind, of = parts(written)
    if kind in ("bool", "string"):
        return value
    if kind in WHOLE:
        assert isinstance(value, int) and not isinstance(value, bool), f"{value!r} is not the JSON of an {kind}"
        return value
    if kind in FLOATS:
        return hexadecimal(value)
    if kind == "decimal":
        assert isinstance(value, str), f"{value!r} is not the JSON of a decimal"
        return value
    if kind == "bytes":
        return base64.b64decode(value, validate=True)
    if kind == "date":
        return (datetime.date.fromisoformat(value) - EPOCH.date()).days
    if kind == "timestamp":
        return micros(value)
    if kind == "list":
        return [from_json(of[0], item) for item in value]
    if kind == "vector":
        return [hexadecimal(item) for item in value]
    assert kind == "map", f"there is no type {written}"
    return pairs((from_text(of[0], key), from_json(of[1], one)) for key, one in value.items())


def from_text(written: str, text: str | None) -> Any:
    """A value as text, as the Redis protocol has it and as keys of JSON's maps are."""
    if text is None:
        return None
    kind, _ = parts(written)
    if kind in ("list", "vector", "map"):
        return from_json(written, json.loads(text))
    if kind in WHOLE:
        return int(text)
    if kind in FLOATS:
        return hexadecimal(text)
    if kind == "bool":
        return {"true": True, "false": False}[text]
    return from_json(written, text)


def from_feast(written: str, value: Any) -> Any:
    """As JSON, except that times are whole seconds."""
    if value is None:
        return None
    kind, of = parts(written)
    if kind == "timestamp":
        assert isinstance(value, int), f"{value!r} is not a time as Feast has it"
        return value * 1_000_000
    if kind == "list":
        return [from_feast(of[0], item) for item in value]
    if kind == "map":
        return pairs((from_text(of[0], key), from_feast(of[1], one)) for key, one in value.items())
    return from_json(written, value)


def cut(written: str, value: Any) -> Any:
    """What Feast can hold of a value that is in the one form: times without their fraction of a second."""
    if value is None:
        return None
    kind, of = parts(written)
    if kind == "timestamp":
        return value // 1_000_000 * 1_000_000
    if kind == "list":
        return [cut(of[0], item) for item in value]
    if kind == "map":
        return pairs((key, cut(of[1], one)) for key, one in value)
    return value


def from_python(written: str, value: Any) -> Any:
    """A value as generated protobuf code or a row of the tests has it: bytes, numbers for times and dates."""
    if value is None:
        return None
    kind, of = parts(written)
    if kind in FLOATS:
        return hexadecimal(value)
    if kind == "decimal":
        return str(value)
    if kind == "date" and isinstance(value, datetime.date):
        return (value - EPOCH.date()).days
    if kind in ("list", "vector"):
        return [from_python((of or ["float32"])[0], item) for item in value]
    if kind == "map":
        return pairs((from_python(of[0], key), from_python(of[1], one)) for key, one in dict(value).items())
    return value


def from_arrow(array: pa.Array) -> tuple[str, list[Any]]:
    """The type and the values of an Arrow column, read from its buffers' own types and never by way of a date."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    own = array.type
    if pa.types.is_timestamp(own):
        assert own.unit == "us" and own.tz == "UTC", own
        return "timestamp", array.cast(pa.int64()).to_pylist()
    if pa.types.is_date32(own):
        return "date", array.cast(pa.int32()).to_pylist()
    if pa.types.is_decimal(own):
        texts = [None if one is None else format(one, "f") for one in array.to_pylist()]
        return f"decimal({own.precision},{own.scale})", texts
    if pa.types.is_fixed_size_list(own):
        floats = [None if one is None else [hexadecimal(item) for item in one] for one in array.to_pylist()]
        return f"vector<float32,{own.list_size}>", floats
    if pa.types.is_map(own):
        keys, items = from_arrow(array.keys), from_arrow(array.items)
        rows = nested(array, list(zip(keys[1], items[1], strict=True)))
        return f"map<{keys[0]},{items[0]}>", [None if row is None else pairs(row) for row in rows]
    if pa.types.is_list(own):
        kind, items = from_arrow(array.values)
        return f"list<{kind}>", nested(array, items)
    plain = {"double": "float64", "float": "float32", "binary": "bytes", "int32": "int32", "int64": "int64"}
    kind = plain.get(str(own), str(own))
    return kind, [from_python(kind, value) for value in array.to_pylist()]


def nested(array: Any, items: list[Any]) -> list[Any]:
    """The items of each row of a list or map, by its offsets."""
    ends = array.offsets.to_pylist()
    valid = array.is_valid().to_pylist()
    return [items[ends[row] : ends[row + 1]] if valid[row] else None for row in range(len(array))]


def pairs(entries: Any) -> list[tuple[Any, Any]]:
    return sorted(entries, key=repr)


def hexadecimal(value: Any) -> str:
    """A float to the last bit: `nan`, `inf`, `-0x0.0p+0`, .."""
    return float(value).hex()


def micros(text: str) -> int:
    """Microseconds of a time as the API writes it."""
    moment = datetime.datetime.fromisoformat(text)
    assert moment.tzinfo is not None, f"{text} has no zone"
    return (moment - EPOCH) // MICROSECOND


def moment(value: int) -> str:
    """The API's text of a time."""
    return (EPOCH + value * MICROSECOND).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
