"""Random rows: values at the ends of their types, many equal times, late and doubled ones, and a table's changes."""

import datetime
import math
from decimal import Decimal

import thalweg as tw

from .oracle import DAY, HOUR, MINUTE
from .values import micros

KEY_TYPES = {
    "string": tw.string,
    "int64": tw.int64,
    "int32": tw.int32,
    "bool": tw.bool_,
    "date": tw.date,
    "timestamp": tw.timestamp,
    "bytes": tw.bytes_,
    "float64": tw.float64,
    "decimal(12,2)": tw.decimal(12, 2),
}
KEY_VALUES = {
    "string": ("", "a", "ключ", "日本 🗾", "a\u0000b", "z" * 300),
    "int64": (0, 1, -1, 2**63 - 1, -(2**63)),
    "int32": (0, 7, -(2**31), 2**31 - 1),
    "bool": (True, False),
    "date": (datetime.date(1970, 1, 1), datetime.date(2024, 2, 29), datetime.date(1900, 12, 31)),
    "timestamp": (0, -1, micros("2024-02-29T12:00:00.000001Z")),
    "bytes": (b"", b"\x00", b"\xff\xfe", b"abc"),
    "float64": (0.0, -0.0, math.nan, 0.1, 1e308),
    "decimal(12,2)": (Decimal("0.00"), Decimal("0.10"), Decimal("-9999999999.99")),
}
# The least value that a contract refuses, and when such a row says it arrived: after all that is ever asked.
BAD = 100
AT_LAST = 300 * DAY
HUGE = 100_000


def draw_keys(chance, count):
    """The key columns with their types, and entities, of which the last is one without rows."""
    if chance.random() < 0.5:
        columns = {"key": "string"}
    else:
        kinds = chance.sample(list(KEY_TYPES), chance.choice((1, 2, 2, 3)))
        columns = {f"k{at}": kind for at, kind in enumerate(kinds)}
    entities = []
    for _ in range(count * 3):
        entity = tuple(chance.choice(KEY_VALUES[kind]) for kind in columns.values())
        if len(entities) <= count and repr(entity) not in map(repr, entities):
            entities.append(entity)
    return columns, entities


def draw_rows(chance, count, start, settings, entities):
    """Rows by arrival, and whether some break the contract. Times fall on few moments: many are equal or on an edge."""
    extremes, huge = chance.random() < 0.5, chance.random() < 0.1
    of_rows = entities[:-1] or entities
    rows = []
    for _ in range(count):
        time = start + chance.choice((5 * MINUTE, HOUR, 6 * HOUR, DAY)) * chance.randrange(40)
        time += chance.choice((0, 0, -1, 1))
        late = chance.choice((0, 0, 1, MINUTE, HOUR, 2 * DAY, -HOUR))
        if chance.random() < 0.01 and not settings.get("dedup"):
            late = chance.choice((35 * DAY, 100 * DAY))
        row = dict(zip(settings["keys"], chance.choice(of_rows), strict=True))
        if chance.random() < 0.01:
            row[chance.choice(list(row))] = None
        row.update(at=time, known_at=time + late, id=chance.randrange(count // 4), source=settings["sources"][0])
        rows.append(row | draw_values(chance, extremes))
        if len(settings["sources"]) > 1:
            row = rows[-1]
            row["source"] = chance.choice(settings["sources"])
    if huge:
        for row in chance.sample(rows, 3):
            row["s"] = chance.choice(("x", "é", "🗾")) * HUGE
    rows += [dict(row) for row in chance.sample(rows, count // 10)]
    chance.shuffle(rows)
    rows.sort(key=lambda row: row["known_at"])
    if settings.get("change"):
        rows = with_changes(chance, rows)
    # A change that is set aside would change the meaning of those behind it.
    bad = bool(settings.get("contract")) and not settings.get("change") and not settings.get("dedup")
    if bad:
        for row in chance.sample(rows, count // 10):
            row.update(q=BAD, known_at=start + AT_LAST)
    return [{name: value for name, value in row.items() if value is not None} for row in rows], bad


def with_changes(chance, rows):
    """The same rows as tables' changes: each inserts a new identity, or updates or deletes one that is there."""
    alive = {row["source"]: [] for row in rows}
    changes = []
    for at, row in enumerate(rows):
        there = alive[row["source"]]
        op = chance.choice(("insert", "insert", "update", "delete")) if there else "insert"
        identity = at if op == "insert" else chance.choice(there)
        if chance.random() < 0.02:
            # Of an identity that is not there an update is an insert, and a delete is refused.
            op, identity = chance.choice(("update", "delete", "insert")), chance.randrange(len(rows))
        if op == "delete":
            there[:] = [one for one in there if one != identity]
        elif identity not in there:
            there.append(identity)
        changes.append({**row, "id": identity, "op": op})
    return changes


def draw_values(chance, extremes):
    def some(*values):
        return None if chance.random() < 0.1 else chance.choice(values)

    far = (1e308, -1e308, 5e-324, 1.7976931348623157e308) if extremes else (1e6,)
    far32 = (3.4028234663852886e38, -3.4028234663852886e38, 1.401298464324817e-45) if extremes else (2.5,)
    ends = (2**63 - 1, 2**63 - 1, -(2**63), -(2**63), 2**53 + 1) if extremes else (1000,)
    cents = (Decimal("9999999999.99"), Decimal("-9999999999.99")) if extremes else (Decimal("12.34"),)
    # Spelled out, as a minus before a Decimal rounds it to 28 digits.
    most, least = (Decimal((sign, (9,) * 38, -10)) for sign in (0, 1))
    return {
        "f": some(
            0.1, 0.2, -0.3, 0.0, -0.0, chance.gauss(0, 100), chance.gauss(0, 100), math.nan, math.inf, -math.inf, *far
        ),
        "g": some(0.5, -1.25, 0.0, -0.0, math.nan, math.inf, 3.0, 16777216.0, *far32),
        "i": some(0, 1, 2, -3, chance.randrange(-50, 50), *ends),
        "j": some(0, 7, -(2**31), 2**31 - 1),
        "d": some(Decimal("0.10"), Decimal("-0.05"), Decimal(chance.randrange(10000)) / 100, *cents),
        "e": some(Decimal(0), Decimal("0.3"), *((most, least) if extremes else ()), Decimal("0.0000000001")),
        "s": some("", "a", "é", "ﬀ", "日本", "🗾", "a\u0000b", ' "quoted\\" '),
        "c": some("p", "q", ""),
        "b": some(True, False),
        "w": some(0, -1, micros("2024-02-29T12:00:00.000001Z")),
        "a": some(datetime.date(1970, 1, 1), datetime.date(2024, 2, 29), datetime.date(1, 1, 1)),
        "y": some(b"", b"\x00\xff", b"abc"),
        "l": some([], [1], [3, -(2**63), 2**63 - 1], [0, 0]),
        "z": some(1, -5, 2**40),
    }


def split(chance, rows, settings):
    """Batches of uneven length. Within one the order is any where it means nothing."""
    cuts = sorted(chance.sample(range(1, len(rows)), min(len(rows) - 1, chance.choice((3, 6, 9)))))
    batches = [rows[low:high] for low, high in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    for batch in batches[:-1]:
        # Changes stay in their order, which is what they mean.
        if settings.get("dedup"):
            # Not by more than two days: a key that is long past may have been forgotten.
            batch.sort(key=lambda row: row["known_at"] + chance.randrange(2 * DAY))
        elif not settings.get("change"):
            chance.shuffle(batch)
    return batches
