"""The shrinker finds the few rows and the one feature that it takes, in a case that fails for a known reason.

The reason is planted in the oracle: its sliding windows end one microsecond late at the tail. The engine is right, so
every row that lies exactly at the tail of a window is a disagreement.
"""

import datetime
import math
import random
from decimal import Decimal
from functools import cache

import pytest

from .cases import Case, draw
from .lives import Disagreement, run
from .oracle import Oracle
from .shrink import ROWS, failure, shrink
from .trials import scratch, told

HOUR = 3_600_000_000


class OffByOne(Oracle):
    """An oracle whose windows leave out what lies exactly at their tail."""

    def covered(self, rows, low, high):
        return super().covered(rows, None if low is None else low + 1, high)


@cache
def planted():
    """The first drawn case in which the planted mistake shows, and how."""
    for seed in range(100):
        case = draw(random.Random(seed))
        if found := failure(case, scratch(), OffByOne):
            return seed, case, found
    raise AssertionError("no drawn case has a row at the tail of a window")


def rows_of(case):
    return sum(len(step[-1]) for step in case.steps if step[0] in ROWS)


def test_a_planted_mistake_is_shrunk_to_one_feature_and_few_rows():
    seed, case, found = planted()
    assert rows_of(case) > 200 and len(case.features) > 10
    smaller, found = shrink(case, found, 60, scratch(), OffByOne)
    assert len(smaller.features) == 1
    assert rows_of(smaller) <= 3
    assert len(smaller.steps) <= 6
    assert failure(smaller, scratch()) is None, "the engine is right, and only the planted oracle is not"
    text = told(seed, smaller, found)
    assert f"THALWEG_SEED={seed}" in text and str(smaller) in text


def test_what_is_printed_can_be_run(tmp_path):
    """The smallest case is Python that gives the case back."""
    _seed, case, _found = planted()
    names = {"Case": Case, "datetime": datetime, "Decimal": Decimal, "nan": math.nan, "inf": math.inf}
    again = eval(str(case), names)
    assert str(again) == str(case)
    with pytest.raises(Disagreement):
        run(again, tmp_path, OffByOne)


@pytest.mark.parametrize("clock", ["events", "system"])
def test_a_step_that_nothing_needs_is_left_out(clock):
    """Restarts, checkpoints and definitions go too, where the failure does not need them."""
    rows = [{"k": 1, "at": at * HOUR, "known_at": at * HOUR, "id": at, "source": "events", "i": at} for at in range(40)]
    features = {name: {"aggregation": name, "input": "i", "over": ["sliding 6h"]} for name in ("sum", "max", "last")}
    settings = {"keys": {"k": "int64"}, "sources": ["events"], "clock": clock, "arrival": True, "retention": "36500d"}
    steps = [
        ("push", "events", rows[:20]),
        ("flush",),
        ("reopen",),
        ("later",),
        ("push", "events", rows[20:]),
        ("ask", [((1,), 45 * HOUR), ((1,), 39 * HOUR + 1), ((1,), 200 * HOUR)]),
        ("again",),
        ("history",),
    ]
    case = Case(features, settings, steps)
    assert failure(case, scratch()) is None
    found = failure(case, scratch(), OffByOne)
    smaller, _found = shrink(case, found, 60, scratch(), OffByOne)
    assert [step[0] for step in smaller.steps] == ["push", "ask"]
    assert list(smaller.features) == ["sum"]
    assert rows_of(smaller) == 1
