"""Random values of every type, with those that doors lose: signs of zeros, NaN, infinities, the ends of ranges, text
that needs escapes."""

from __future__ import annotations

import datetime
import os
import random
import struct
import time
from decimal import Decimal
from typing import Any

from .project import LEAST, MOST, ODD_KEYS, TYPES, Facts, fact

FLOATS = [0.0, -0.0, 1.0, 0.1, 5e-324, -2.2250738585072014e-308, 1.7976931348623157e308, 1e22]
NOT_FINITE = [float("nan"), float("inf"), float("-inf")]
TEXTS = [*ODD_KEYS, "NaN", "null", "0", "-1", "\u0000", "a\r\nb", "𝄞", "ﬀ", "\u2028"]
EPOCH = datetime.date(1970, 1, 1)
# From the year 1019 on, which every library writes with four digits, to the end of 9999.
FIRST, LAST = -30_000_000_000_000_000, 253_402_300_799_999_999


def seeded() -> tuple[int, random.Random]:
    """The seed, of `THALWEG_SEED` or the clock, and what it gives."""
    seed = int(os.environ.get("THALWEG_SEED", str(time.time_ns() % 1_000_000)))
    return seed, random.Random(seed)


def value(chance: random.Random, written: str) -> Any:
    """A value of a type; null now and then."""
    return None if chance.random() < 0.15 else some(chance, written)


def some(chance: random.Random, written: str) -> Any:
    pick = chance.choice
    if written in ("int32", "int64"):
        least, most = (LEAST, MOST) if written == "int64" else (-(2**31), 2**31 - 1)
        return pick([0, -1, least, most, chance.randint(least, most), chance.randint(-9, 9)])
    if written == "float64":
        return pick([pick(FLOATS), pick(NOT_FINITE), chance.uniform(-1e6, 1e6), chance.gauss(0, 1)])
    if written == "float32":
        return single(pick([0.5, -0.0, 3.4028234663852886e38, 1e-45, chance.uniform(-1e6, 1e6), pick(NOT_FINITE)]))
    if written == "string":
        return pick([pick(TEXTS), "".join(chr(chance.randrange(32, 0x2FF)) for _ in range(chance.randrange(6)))])
    if written == "bool":
        return chance.random() < 0.5
    if written == "bytes":
        return chance.randbytes(chance.randrange(5))
    if written == "date":
        return EPOCH + datetime.timedelta(days=chance.randrange(FIRST // 86_400_000_000, LAST // 86_400_000_000))
    if written == "timestamp":
        return pick([0, -1, FIRST, LAST, chance.randint(FIRST, LAST)])
    if written == "decimal(18,4)":
        return Decimal(chance.choice([0, 1, 10**18 - 1, 1 - 10**18, chance.randrange(10**9)])).scaleb(-4)
    if written == "list<string>":
        return [some(chance, "string") for _ in range(chance.randrange(4))]
    if written == "list<float64>":
        return [some(chance, "float64") for _ in range(chance.randrange(4))]
    assert written == "vector<float32,3>", written
    return [single(chance.uniform(-1e3, 1e3)) for _ in range(3)]


def single(value: float) -> float:
    (own,) = struct.unpack("f", struct.pack("f", value))
    return float(own)


def columns(chance: random.Random, make: Any = value) -> dict[str, Any]:
    return {name: make(chance, written) for name, written in TYPES.items()}


def history(chance: random.Random, facts: Facts, users: list[str], number: int) -> list[dict[str, Any]]:
    """Rows of the past in the order in which they happened, some of them at the same microsecond."""
    times = sorted(chance.randrange(facts.base, facts.end - 1) for _ in range(number))
    times = [times[n - 1] if n and chance.random() < 0.05 else at for n, at in enumerate(times)]
    return [fact(at, chance.choice(users), f"h{n}", **columns(chance)) for n, at in enumerate(times)]
