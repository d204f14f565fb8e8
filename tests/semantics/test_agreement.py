"""Random agreement: for any view, rows and questions, every path gives the oracle's answer, to the last bit.

`THALWEG_SEED` repeats a run (the seed is printed), `THALWEG_CASES` makes it longer. A failure names its own seed.
"""

import os
import random
from dataclasses import asdict

import pytest

from .cases import EXPRESSIONS, draw
from .world import SOURCE, VIEW, World

CASES = int(os.environ.get("THALWEG_CASES", "20"))
SEED = int(os.environ.get("THALWEG_SEED", random.SystemRandom().randrange(2**32)))
LATER = "w"


@pytest.fixture(scope="module")
def tally(request):
    """Counts what was compared, and says so at the end: agreement over nothing is none."""
    counts = {"values": 0, "statuses": {}}
    yield counts
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nagreement: seed {SEED}, {CASES} cases, {counts['values']} values compared, {counts['statuses']}")


@pytest.mark.parametrize("number", range(CASES))
def test_all_paths_agree(tmp_path, tally, number):
    """
    A value computed on two paths for the same entity and the same query time is the same value. Online state takes any
    event inside the view's retention in any order, and ends equal to a recomputation from scratch.
    """
    seed = SEED + number
    print(f"repeat with THALWEG_SEED={seed} THALWEG_CASES=1")
    case = draw(random.Random(seed))
    world = World(tmp_path, case.project((VIEW,)), EXPRESSIONS)
    try:
        served = serve_while_arriving(world, case)
        hold_ledger(world)
        served.update(ask_live(world, case.afterwards))
        hold_training_sets(world, served, tally)
        again = {question: answer for question, answer in served.items() if question in set(case.afterwards)}
        hold_after_reopening(world, case, again)
        hold_view_applied_later(world, case, served, again)
        tally["values"] += world.compared
    finally:
        world.close()


def serve_while_arriving(world, case):
    """Live answers given between the batches, held against the oracle at once."""
    served = {}
    for batch, questions in zip(case.batches, case.meanwhile, strict=True):
        world.push(*batch)
        served.update(ask_live(world, questions))
    return served


def ask_live(world, questions, view=VIEW):
    served = {}
    for q in sorted({q for _, q in questions}):
        keys = sorted({key for key, asked in questions if asked == q})
        for key, answer in world.live(q, keys, view).items():
            expected = world.expected(key, q, "arrival", view)
            world.hold(answer, expected, f"live of {view} for {key!r} at {q}", event_times=True, view=view)
            served[key, q] = answer
    return served


def hold_ledger(world):
    """What became of every row that was pushed."""
    expected = asdict(world.oracle.states[SOURCE].ledger)
    ledger = world.engine.ledger(SOURCE)
    assert {name: ledger[name] for name in expected} == expected
    assert expected["read"] == sum(expected.values()) - expected["read"]


def hold_training_sets(world, served, tally, view=VIEW):
    """Both training sets against the oracle, and the one by arrival against what serving said."""
    questions = sorted(served)
    for as_of in ("arrival", "event_time"):
        for (key, q), answer in zip(questions, world.training(questions, as_of, view), strict=True):
            expected = world.expected(key, q, as_of, view)
            where = f"training set of {view} by {as_of} for {key!r} at {q}"
            world.hold(answer, expected, where, view=view)
            for read in expected.values():
                tally["statuses"][read.status] = tally["statuses"].get(read.status, 0) + 1
            if as_of == "arrival":
                hold_equal(world, answer, served[key, q], where)


def hold_equal(world, answers, others, where):
    """Two paths against each other: sketches too, to the last bit."""
    for name, other in others.items():
        world.compared += 1
        same = (answers[name].value, answers[name].status) == (other.value, other.status)
        assert same, f"{where}: {name}: {answers[name]} is not {other}, which was served"


def hold_after_reopening(world, case, again):
    world.reopen()
    last = ask_live(world, case.meanwhile[-1])
    assert last
    for (key, q), answer in ask_live(world, case.afterwards).items():
        hold_equal(world, answer, again[key, q], f"live after reopening for {key!r} at {q}")


def hold_view_applied_later(world, case, served, again):
    """A view that is declared when all rows are in history answers as the one that saw them come."""
    world.apply(case.project((VIEW, LATER)))
    for (key, q), answer in ask_live(world, case.afterwards, LATER).items():
        hold_equal(world, answer, again[key, q], f"live of the view applied later for {key!r} at {q}")
    questions = sorted(served)
    for (key, q), answer in zip(questions, world.training(questions, "arrival", LATER), strict=True):
        hold_equal(world, answer, served[key, q], f"training set of the view applied later for {key!r} at {q}")
