"""The states of entities, read from `docs/formats.md` alone: rows, and what was folded of them."""

import struct
from dataclasses import dataclass, field
from fractions import Fraction

from .reader import NEVER, Postcard, hold


@dataclass
class Layout:
    """Where everything is in a packed row; it follows from the view's definition."""

    slots: list[tuple[str, str]]
    filters: list[str]
    change: bool

    @property
    def flags(self):
        return 5 if self.change else 3

    @property
    def words(self):
        wide = sum(2 if kind.startswith("decimal") else 1 for _, kind in self.slots)
        return self.flags + -(-(len(self.slots) + len(self.filters)) // 64) + wide


@dataclass
class Row:
    time: int
    sequence: int
    arrival: int
    retraction: tuple[int, int] | None
    values: dict[str, object]
    passes: dict[str, bool]


@dataclass
class Entity:
    applied: int
    dropped_through: int
    base: tuple[int, int, list] | None
    rows: list[Row] = field(default_factory=list)
    chunks: int = 0


def layout_of(view, types, change):
    """`types` has those of columns and of expressions."""
    slots, filters = [], []
    for feature in view["features"]:
        for expression in (feature.get("input"), feature.get("by")):
            if expression and (expression, types[expression]) not in slots:
                slots.append((expression, types[expression]))
        if feature.get("where") and feature["where"] not in filters:
            filters.append(feature["where"])
    return Layout(slots, filters, change)


def read_entity(data, layout):
    version, applied, dropped, length = struct.unpack_from("<BQqI", data)
    hold(version == 1, f"an entity state of version {version}")
    at = 21
    base = read_base(data[at : at + length]) if length else None
    at += length
    entity = Entity(applied, dropped, base)
    (entity.chunks,) = struct.unpack_from("<I", data, at)
    at += 4
    for _ in range(entity.chunks):
        words, heap_length = struct.unpack_from("<II", data, at)
        hold(words > 0 and words % layout.words == 0, f"a chunk of {words} words for rows of {layout.words}")
        at += 8
        numbers = struct.unpack_from(f"<{words}Q", data, at)
        at += 8 * words
        heap = data[at : at + heap_length]
        at += heap_length
        for start in range(0, words, layout.words):
            entity.rows.append(_row(numbers[start : start + layout.words], heap, layout))
    hold(at == len(data), "bytes behind the last chunk")
    order = [(row.time, row.sequence) for row in entity.rows]
    hold(order == sorted(order), "rows out of order")
    return entity


def _row(words, heap, layout):
    flags = layout.flags
    retraction = None
    if layout.change and signed(words[3]) != NEVER:
        retraction = (signed(words[3]), signed(words[4]))
    at = flags + -(-(len(layout.slots) + len(layout.filters)) // 64)
    values = {}
    for slot, (expression, kind) in enumerate(layout.slots):
        wide = 2 if kind.startswith("decimal") else 1
        null = words[flags + slot // 64] >> slot % 64 & 1
        values[expression] = None if null else _value(words[at : at + wide], heap, kind)
        at += wide
    passes = {}
    for number, expression in enumerate(layout.filters):
        bit = len(layout.slots) + number
        passes[expression] = bool(words[flags + bit // 64] >> bit % 64 & 1)
    return Row(signed(words[0]), words[1], signed(words[2]), retraction, values, passes)


def _value(words, heap, kind):
    if kind == "bool":
        return bool(words[0])
    if kind.startswith("float"):
        return struct.unpack("<d", struct.pack("<Q", words[0]))[0]
    if kind.startswith("decimal"):
        return int.from_bytes(struct.pack("<QQ", *words), "little", signed=True)
    if kind in ("int32", "int64", "date", "timestamp"):
        return signed(words[0])
    offset, length = words[0] >> 32, words[0] & 0xFFFFFFFF
    hold(offset + length <= len(heap), "a place behind the heap")
    data = heap[offset : offset + length]
    if kind.startswith("vector"):
        return list(struct.unpack(f"<{length // 4}f", data))
    if kind.startswith("list"):
        given = Postcard(data)
        items = given.many(given.value)
        given.end()
        return items
    return data.decode() if kind == "string" else data


def signed(word):
    return word - 2**64 if word >> 63 else word


# What was folded


def read_base(data):
    given = Postcard(data)
    base = (given.signed(), given.signed(), given.many(lambda: accumulator(given)))
    given.end()
    return base


def accumulator(given):
    """(newest event time, name, fields)."""
    newest = given.signed()
    name, read = ACCUMULATORS[given.unsigned()]
    return newest, name, read(given)


def exact(given):
    mantissa, exponent = given.signed(), given.signed()
    wide = given.option(lambda: _big(given))
    return Fraction(mantissa if wide is None else wide) * Fraction(2) ** exponent


def _big(given):
    # The sign is one byte, as it is of 8 bits.
    sign = struct.unpack("b", given.take(1))[0]
    return sign * sum(digit << 32 * place for place, digit in enumerate(given.many(given.unsigned)))


def _bins(given):
    return dict(given.many(given.signed, given.unsigned))


def _registers(given):
    if given.unsigned() == 0:
        return dict(given.many(given.unsigned, given.byte))
    return {place: value for place, value in enumerate(given.octets()) if value}


ACCUMULATORS = (
    ("count", lambda given: given.unsigned()),
    ("integers", lambda given: (given.unsigned(), given.signed())),
    ("decimals", lambda given: (given.unsigned(), exact(given))),
    ("floats", lambda given: (*(given.unsigned() for _ in range(4)), exact(given))),
    ("powers", lambda given: (given.unsigned(), given.unsigned(), [exact(given) for _ in range(4)])),
    ("ends", lambda given: given.many(given.signed, given.unsigned, given.value)),
    ("ranked", lambda given: given.many(given.value, given.signed, given.unsigned)),
    ("distinct", lambda given: given.many(given.value, given.unsigned)),
    ("registers", _registers),
    (
        "quantiles",
        lambda given: (_bins(given), given.unsigned(), _bins(given), *(given.unsigned() for _ in range(3))),
    ),
    ("by", lambda given: given.many(given.value, lambda: accumulator(given))),
)
