"""What each released version wrote is read by today's, value by value, and by a reader made from the description alone.

Runs `tests/formats`, where data directories of every version are kept. Nothing in it is random, so that it runs once.
"""

import re

from proof.budget import Budget
from proof.outcome import Outcome
from proof.testing import pytest

UNIT = "values and statuses of old files compared"
SECONDS, LONG_SECONDS = 60, 60


def run(budget: Budget) -> Outcome:
    """One round."""
    tested = pytest(budget, ["tests/formats"], {})
    compared = sum(map(int, re.findall(r"(\d+) values and statuses compared", tested.told)))
    if not compared and not tested.broken:
        tested.broken.append("no value was compared")
    notes: dict[str, object] = {"tests passed": tested.passed, "tests left out": tested.skipped}
    return Outcome(compared, UNIT, tested.broken, notes)
