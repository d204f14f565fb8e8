"""Small rounds of the proof's `tables`: training sets and live reads against DuckDB, by two formulations of it.

`THALWEG_SEED` repeats a run (the seed is printed). `python -m proof tables` plays large rounds, as long as it is told.
"""

import os
import random

import numpy as np
import pytest

pytest.importorskip("duckdb")

from proof.sql_oracle.expected import by_joins, by_running_sums, equal
from proof.tables import SMALL, Round, Tally, play

SEED = int(os.environ.get("THALWEG_SEED", random.SystemRandom().randrange(2**32)))
ENOUGH = 700_000
MOST_ROUNDS = 5


def repeat(seed):
    return f"repeat with THALWEG_SEED={seed} pytest tests/main_path/test_tables_agree.py"


def test_random_tables_are_what_duckdb_says(tmp_path, capsys):
    """
    A value computed on two paths for the same entity and the same query time is the same value, to the last bit for
    integers, strings and booleans, and to the last bit for floats too.
    """
    tally = Tally()
    for seed in range(SEED, SEED + MOST_ROUNDS):
        print(repeat(seed))
        play(seed, SMALL, tmp_path / str(seed), tally, repeat(seed))
        assert not tally.broken, "\n\n".join(tally.broken)
        if tally.values >= ENOUGH:
            break
    with capsys.disabled():
        print(f"\ntables: seed {SEED}, {tally.values} values compared, {tally.notes}")
    assert tally.values >= ENOUGH
    assert tally.notes["PRESENT"] > tally.values // 10
    assert tally.notes["rows of training sets"] and tally.notes["live reads"] and tally.notes["sets made twice"]


def test_both_formulations_say_the_same(tmp_path):
    """What running sums tell is what plain joins tell, of each question to which both have an answer."""
    one = Round(SEED, SMALL, tmp_path, Tally(), repeat(SEED), print)
    one.close()
    compared = 0
    for view in one.definitions.views:
        line = one.sent.line(view)
        spine = one.spine.slice(0, 300)
        asked = line.ask(spine, spine["asked_at"].cast("int64").to_numpy())
        literal = {(arrival, output.name): e for arrival, output, e in by_joins(asked, [False, True])}
        for arrival, output, scaled in by_running_sums(asked, [False, True]):
            expected = literal[arrival, output.name]
            same = equal(scaled.values, expected.values) & (scaled.statuses == expected.statuses)
            told = np.ones(len(asked), bool) if scaled.told is None else scaled.told
            assert same[told].all(), f"{repeat(SEED)}: {view.name}.{output.name}"
            compared += int(told.sum())
    assert compared > 5_000
