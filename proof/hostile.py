"""Clients that mean no good, and requests made at random out of the OpenAPI document, take the server from nobody.

Runs `tests/doors/test_hostile.py` and `test_openapi.py` again and again, each time with another seed.
"""

import re

from proof.budget import Budget
from proof.outcome import Outcome
from proof.testing import pytest

UNIT = "hostile cases"
SECONDS, LONG_SECONDS = 120, 3600
# Of a round, what schemathesis has; the rest takes about a minute on two cores.
LEAST_OPENAPI_SECONDS, MOST_OPENAPI_SECONDS = 10, 600
FILES = ("tests/doors/test_hostile.py", "tests/doors/test_openapi.py")


def run(budget: Budget) -> Outcome:
    """At least one round, and further ones while there is time."""
    outcome = Outcome(0, UNIT)
    chance = budget.random("hostile")
    rounds = requests = reads = 0
    while not rounds or (not budget.over() and not outcome.broken):
        rounds += 1
        seed = chance.randrange(1_000_000)
        openapi = max(LEAST_OPENAPI_SECONDS, min(MOST_OPENAPI_SECONDS, budget.left() / 2))
        budget.say(f"round {rounds}, seed {seed}")
        settings = {"THALWEG_SEED": str(seed), "THALWEG_OPENAPI_SECONDS": str(int(openapi))}
        tested = pytest(budget, FILES, settings)
        outcome.broken += tested.broken
        requests += sum(map(int, re.findall(r"(\d+) generated", tested.told)))
        reads += sum(map(int, re.findall(r"beside it (\d+) reads", tested.told)))
        outcome.count += tested.passed
        outcome.notes["tests left out"] = tested.skipped
    outcome.count += requests
    outcome.notes |= {"rounds": rounds, "requests of schemathesis": requests, "reads beside the hostile": reads}
    return outcome
