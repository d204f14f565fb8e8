"""The types a column, a key or a feature value can have.

They are values, not Python classes: `tw.string`, `tw.float64`, `tw.decimal(10, 2)`, `tw.list_of(tw.string)`. Their
written form (`str(tw.decimal(10, 2)) == "decimal(10,2)"`) is the one in the manifest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import arguments

MAX_VECTOR = 65_536
"""The most elements that a vector may have."""


@dataclass(frozen=True, slots=True)
class DataType:
    """A type, by its written form. Use the constants and functions of this module rather than the constructor."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"thalweg.{self.source}"

    @property
    def source(self) -> str:
        """The Python that makes this type, as it follows `tw.`: `float64`, `decimal(10, 2)`, `list_of(tw.string)`."""
        if self.text in _CONSTANTS:
            return _CONSTANTS[self.text]
        name, parts = self.parts
        if name == "decimal":
            return f"decimal({parts[0]}, {parts[1]})"
        if name == "list":
            return f"list_of(tw.{parse(parts[0]).source})"
        if name == "vector":
            return f"vector({parts[1]})"
        return f"DataType({self.text!r})"

    @property
    def parts(self) -> tuple[str, tuple[str, ...]]:
        """The outer name and the arguments: `("map", ("string", "decimal(10,2)"))`."""
        opening = re.search(r"[<(]", self.text)
        if opening is None:
            return self.text, ()
        return self.text[: opening.start()], tuple(_split(self.text[opening.end() : -1]))


_CONSTANTS = {
    "bool": "bool_",
    "int32": "int32",
    "int64": "int64",
    "float32": "float32",
    "float64": "float64",
    "string": "string",
    "bytes": "bytes_",
    "date": "date",
    "timestamp": "timestamp",
}

bool_ = DataType("bool")
"""True or false."""
int32 = DataType("int32")
"""Whole numbers of 32 bits."""
int64 = DataType("int64")
"""Whole numbers of 64 bits."""
float32 = DataType("float32")
"""Floating point of 32 bits."""
float64 = DataType("float64")
"""Floating point of 64 bits."""
string = DataType("string")
"""UTF-8 text, ordered by its bytes."""
bytes_ = DataType("bytes")
"""Raw bytes; base64 in JSON."""
date = DataType("date")
"""A calendar day, as days since 1970-01-01."""
timestamp = DataType("timestamp")
"""A moment in UTC, as microseconds since 1970-01-01T00:00:00Z."""


def decimal(precision: int, scale: int = 0) -> DataType:
    """An exact decimal number.

    Args:
        precision: digits in all, 1 to 38.
        scale: digits after the point, 0 to `precision`.
    """
    arguments.natural(precision, "precision", least=1)
    arguments.natural(scale, "scale")
    if precision > 38 or scale > precision:
        raise ValueError(f"decimal({precision}, {scale}): the precision is 1 to 38, the scale 0 to the precision")
    return DataType(f"decimal({precision},{scale})")


def list_of(item: DataType) -> DataType:
    """A list of any length of plain values; not of lists or vectors."""
    data_type(item, "item")
    if item.parts[0] in ("list", "vector", "map"):
        raise ValueError(f"list_of({item.source}): a list holds plain values, not lists, vectors or maps")
    return DataType(f"list<{item}>")


def vector(length: int) -> DataType:
    """Exactly `length` (1 to 65,536) float32 values, such as an embedding."""
    if arguments.natural(length, "length", least=1) > MAX_VECTOR:
        raise ValueError(f"vector({length}): a vector has at most {MAX_VECTOR} elements")
    return DataType(f"vector<float32,{length}>")


def data_type(value: object, argument: str) -> DataType:
    """`value`, which must be a type of this module."""
    if isinstance(value, DataType):
        return value
    meant = _MEANT.get(value) if isinstance(value, type) else None
    mend = f"write tw.{meant.source}" if meant else "write a type such as tw.string, tw.int64 or tw.decimal(10, 2)"
    raise TypeError(f"`{argument}` takes a type of Thalweg, not {arguments.kind(value)}; {mend}")


def parse(text: str) -> DataType:
    """The type with this written form."""
    text = text.replace(" ", "")
    if text not in _CONSTANTS and not re.fullmatch(r"decimal\(\d+,\d+\)|(list|vector|map)<.+>", text):
        raise ValueError(f"`{text}` is not a type; see thalweg.types for those there are")
    return DataType(text)


# What people write when they mean one of ours.
_MEANT: dict[type, DataType] = {bool: bool_, int: int64, float: float64, str: string, bytes: bytes_}


def _split(text: str) -> list[str]:
    """Splits at the commas that are in no bracket."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "<(") - (letter in ">)")
        if letter == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]
