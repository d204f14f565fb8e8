"""Random agreement: for any view, rows and questions, every path gives the oracle's answer, to the last bit.

`THALWEG_SEED` repeats a run (the seed is printed), `THALWEG_CASES` makes it longer. A failure names its own seed, and
comes with the smallest case that still fails. `python -m proof agreement` runs the same for as long as one likes.
"""

import os
import random

import pytest

from .trials import Trial, pool, scratch, trial

CASES = int(os.environ.get("THALWEG_CASES", "12"))
SEED = int(os.environ.get("THALWEG_SEED", random.SystemRandom().randrange(2**32)))


@pytest.fixture(scope="module")
def trials(request):
    """All cases, on their way in processes; says at the end what was compared: agreement over nothing is none."""
    total = Trial(SEED)
    with pool() as processes:
        under_way = [processes.submit(trial, SEED + number, scratch()) for number in range(CASES)]
        yield under_way
        for one in under_way:
            if one.done() and not one.exception():
                total.tally.add(one.result().tally)
            one.cancel()
    tally = total.tally
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nagreement: seed {SEED}, {CASES} cases, {tally.values} values compared, {dict(tally.statuses)}")
        print(f"by path: {dict(tally.paths)}")


@pytest.mark.parametrize("number", range(CASES))
def test_all_paths_agree(trials, number):
    """
    A value computed on two paths for the same entity and the same query time is the same value. Online state takes any
    event inside the view's retention in any order, and ends equal to a recomputation from scratch.
    """
    print(f"repeat with THALWEG_SEED={SEED + number} THALWEG_CASES=1")
    done = trials[number].result()
    assert done.broken is None, done.broken
    assert done.tally.values, "nothing was compared"
