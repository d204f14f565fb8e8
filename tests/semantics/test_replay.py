"""A row that is replayed from quarantine is the row that was pushed, to the last bit, whatever its values are.

The raw form of rows that came as Arrow was JSON as arrow-json writes it, which replay then read by the rules of pushes:
NaN and infinities had become null, bytes were hexadecimal and read as base64 (refused, or other bytes), and decimals
were JSON numbers, which are read as float64 (refused, or another decimal).
"""

import datetime
import math
from decimal import Decimal

import pytest

from .cases import Case
from .lives import run

TIME = 1_711_821_600_000_001
VALUES = [
    *(("f", value) for value in (math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308, 0.1)),
    *(("g", value) for value in (math.nan, math.inf, -0.0, 0.1, 3.4028234663852886e38, 1.401298464324817e-45)),
    *(("i", value) for value in (2**63 - 1, -(2**63))),
    ("j", -(2**31)),
    ("d", Decimal("-9999999999.99")),
    *(
        ("e", Decimal(text))
        for text in ("9999999999999999999999999999.9999999999", "0.0000000001", "12345678901234567.89")
    ),
    *(("s", value) for value in ("a\u0000b", "🗾", ' "quoted\\" ', "\n\r\u2028", "é" * 100_000)),
    ("b", False),
    *(("w", value) for value in (-1, 0, TIME)),
    *(("a", datetime.date(year, 1, 1)) for year in (1, 1970, 9999)),
    *(("y", value) for value in (b"", b"abc", b"\xff\x00")),
    *(("l", value) for value in ([], [1, -(2**63)], [None, 1])),
]


@pytest.mark.parametrize(("column", "value"), VALUES, ids=lambda one: repr(one)[:40])
def test_a_replayed_row_has_the_values_it_came_with(tmp_path, column, value):
    """... and a row in quarantine keeps its raw bytes, its position and the reason, and can be replayed."""
    row = {"k": 1, "at": TIME, "known_at": TIME, "id": 1, "source": "events", "q": 100, column: value}
    case = Case(
        features={"x": {"aggregation": "latest", "input": column, "over": ["sliding 7d"]}},
        settings={
            "keys": {"k": "int64"},
            "sources": ["events"],
            "clock": "events",
            "arrival": True,
            "contract": True,
            "nan": "keep",
        },
        steps=[("push", "events", [row]), ("replay", "events"), ("ask", [((1,), TIME + 1)]), ("history",)],
    )
    run(case, tmp_path)
