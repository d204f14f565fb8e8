"""Every path gives the same value: live reads, training sets, restarts, checkpoints, spilled and rebuilt state.

Draws cases of `tests/semantics` (definitions, rows, questions, and what befalls the engine in between) and holds each
answer against the naive Python oracle, or against what was served before, to the last bit. What fails is shrunk.
"""

import os
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool

from semantics.lives import Tally
from semantics.trials import Trial, pool, scratch, trial

from proof.budget import Budget
from proof.outcome import Outcome

UNIT = "values compared"
SECONDS, LONG_SECONDS = 120, 3600
# After so many broken cases further ones tell nothing more.
ENOUGH_BROKEN = 5
SHRINK_SECONDS, LONG_SHRINK_SECONDS = 60, 600


def run(budget: Budget) -> Outcome:
    """New seeds until the budget is over, in as many processes as there are cores."""
    outcome = Outcome(0, UNIT)
    chance, tally, cases = budget.random("agreement"), Tally(), 0
    shrinking = LONG_SHRINK_SECONDS if budget.long else SHRINK_SECONDS
    work = scratch() or str(budget.work)
    processes = os.cpu_count() or 1
    with pool(processes) as workers:
        under_way: dict[Future[Trial], int] = {}
        try:
            while under_way or cases == 0 or not finished(budget, outcome):
                while len(under_way) < processes and (cases == 0 or not finished(budget, outcome)):
                    seed = chance.randrange(2**32)
                    under_way[workers.submit(trial, seed, work, shrinking)] = seed
                    cases += 1
                for done in wait(under_way, return_when=FIRST_COMPLETED).done:
                    take(done, under_way.pop(done), tally, outcome)
                budget.say(f"{tally.values} values compared in {cases} cases, {len(outcome.broken)} broken")
        except BrokenProcessPool:
            seeds = ", ".join(map(str, under_way.values()))
            outcome.broken.append(f"a process with the engine in it died, with one of THALWEG_SEED={seeds}")
        finally:
            workers.shutdown(cancel_futures=True)
    outcome.count = tally.values
    outcome.notes |= {"cases": cases, "statuses": dict(tally.statuses), "paths": dict(tally.paths)}
    return outcome


def finished(budget: Budget, outcome: Outcome) -> bool:
    return budget.over() or len(outcome.broken) >= ENOUGH_BROKEN


def take(done: Future[Trial], seed: int, tally: Tally, outcome: Outcome) -> None:
    """What came of one case. One that could not be drawn or run is broken, too."""
    error = done.exception()
    if isinstance(error, BrokenProcessPool):
        raise error
    if error is not None:
        outcome.broken.append(f"the case of THALWEG_SEED={seed} could not be run: {error!r}")
        return
    result = done.result()
    tally.add(result.tally)
    if result.broken is not None:
        outcome.broken.append(result.broken)
