"""The rows of the data directories of v1. Kept as they were when `v1/` was written."""

import math
import random
import struct
from datetime import date, timedelta
from decimal import Decimal

import pyarrow as pa
from semantics.values import micros
from semantics.world import arrow_type

import thalweg as tw

from .declared import ACCOUNTS, CLICKS, PAYMENTS

START = micros("2024-03-01T00:00:00Z")
MINUTE = 60_000_000
HOUR, DAY = 60 * MINUTE, 1440 * MINUTE
USERS = ("u1", "u2", "u3")
# The far ends of doubles: their sum needs a mantissa of more than 128 bits.
EXTREMES = (1e300, -1e300, 5e-324, math.nan, math.inf, -math.inf, -0.0, 0.1)


def table(name, rows, later=False):
    """Rows of a source as an Arrow table of its types."""
    schema = {"payments": PAYMENTS, "accounts": ACCOUNTS, "clicks": CLICKS}[name]
    columns = {column: getattr(declared, "type", declared) for column, declared in schema.items()}
    if later and name == "payments":
        columns["country"] = tw.string
    return pa.table(
        {column: pa.array([row.get(column) for row in rows], arrow(kind)) for column, kind in columns.items()}
    )


def arrow(kind):
    written = str(kind)
    if written.startswith("list<"):
        return pa.list_(arrow(written[5:-1]))
    if written.startswith("vector<"):
        return pa.list_(pa.float32(), int(written[:-1].split(",")[1]))
    return arrow_type(written)


def payments(part):
    """Rows of each of two parts: many of two users, so that their states have chunks and groups, few of others."""
    chance = random.Random(part)
    start = START + part * 30 * HOUR
    rows = []
    for number in range(220 if part == 0 else 40):
        user = "u1" if number % 10 else chance.choice(("u2", "u3", None))
        rows.append(_payment(chance, part, number, user, start + number * 5 * MINUTE + chance.randrange(MINUTE)))
    for number in range(0 if part else 160):
        rows.append(_payment(chance, part, 1000 + number, "u2", start + number * 5 * MINUTE))
    for number, amount in enumerate(EXTREMES):
        row = _payment(chance, part, 900 + number, "u2", start + number * HOUR)
        rows.append(row | {"amount": amount})
    chance.shuffle(rows)
    # By arrival, so that the events' clock is where it was at each.
    return sorted(rows, key=lambda row: row["known_at"])


def _payment(chance, part, number, user, at):
    def some(*values):
        return None if chance.random() < 0.08 else chance.choice(values)

    return {
        "id": f"p{part}-{number:04}",
        "user": user,
        "at": at,
        "known_at": at + chance.choice((0, 1, MINUTE, 3 * HOUR)),
        "amount": some(chance.gauss(20, 30), 0.1, 12.5, -3.75),
        "cents": some(Decimal(chance.randrange(-5000, 100_000)) / 100, Decimal("9999999999.99")),
        "n": some(chance.randrange(-50, 1_000_000), 2**62, 7),
        "small": some(1, 2, 3, -4, 100),
        "ratio": some(_single(chance.uniform(-1, 1)), 0.5),
        "kind": some("book", "größer", "", "🗾"),
        "flag": some(True, False),
        "day": some(*(date(2024, 2, 28) + timedelta(days=more) for more in range(4)), date(1969, 12, 31)),
        "seen": some(at - at % HOUR, -1, 0),
        "blob": some(b"", b"\x00\xff", bytes([number % 256])),
        "tags": some([], ["a"], ["a", "ü", "a"]),
        "place": some([0.0, 1.0, -1.5], [float(number % 7), 0.25, 1e10]),
        "currency": some("eur", "usd", "Chf"),
        "test": some(False, False, False, True),
    }


def _single(value):
    return struct.unpack("f", struct.pack("f", value))[0]


def wrong(part):
    """Rows that are set aside: one breaks the contract of a column, one a step, one lacks what is required."""
    chance = random.Random(100 + part)
    at = START + part * 30 * HOUR + 20 * HOUR
    good = _payment(chance, part, 990, "u3", at) | {"test": False, "known_at": at, "n": 1, "small": 1}
    return [
        good | {"id": f"w{part}-0001", "small": 101},
        good | {"id": f"w{part}-0002", "n": -5000},
        good | {"id": f"w{part}-0003", "at": None},
    ]


def accounts(part):
    """Changes: inserts, updates that move a row to another user, deletes, and a delete of nothing."""
    chance = random.Random(200 + part)
    start = START + part * 30 * HOUR
    # What the first part left, by the same draw.
    alive = _alive_after(0) if part else set()
    rows = []
    for number in range(90):
        op = chance.choice(("insert", "insert", "update", "delete")) if alive else "insert"
        identity = 1000 * part + number if op == "insert" else chance.choice(sorted(alive))
        alive = alive - {identity} if op == "delete" else alive | {identity}
        at = start + number * 7 * MINUTE
        rows.append(
            {
                "id": identity,
                "op": op,
                "at": at,
                "known_at": at + chance.choice((0, MINUTE)),
                "user": chance.choice(USERS),
                "balance": chance.choice((0.1, 0.2, -5.5, 1e10, None)),
                "cents": Decimal(chance.randrange(10_000)) / 100,
                "plan": chance.choice(("free", "pro", "größer")),
                "active": chance.choice((True, False, None)),
            }
        )
    lost = rows[-1] | {"id": 999_999, "op": "delete"}
    return [*rows, lost]


def _alive_after(part):
    alive = set()
    for row in accounts(part)[:-1]:
        alive = alive - {row["id"]} if row["op"] == "delete" else alive | {row["id"]}
    return alive


def clicks(part, number):
    """A few rows a commit, so that many commits have small files."""
    at = START + (26 + 19 * part) * HOUR + number * MINUTE
    return [{"user": f"u{1 + number % 3}", "at": at + one, "page": f"/{number}/{one}"} for one in range(3)]
