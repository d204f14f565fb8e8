"""Runs drawn cases by their seeds, in as many processes as there are cores; what fails comes back shrunk.

Files go to memory where the system has a file system there: agreement asks for many small commits, and that they are
on a disk is held by other tests.
"""

import multiprocessing
import os
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .cases import draw
from .lives import Tally
from .shrink import failure, shrink

SHRINK_SECONDS = 60
MEMORY = Path("/dev/shm")
FREE_BYTES = 1 << 30


@dataclass
class Trial:
    """What came of one seed: how much was compared, and the smallest failing case where one fails."""

    seed: int
    tally: Tally = field(default_factory=Tally)
    broken: str | None = None


def trial(seed, work=None, seconds=SHRINK_SECONDS):
    """Draws and runs the case of a seed."""
    case, tally = draw(random.Random(seed)), Tally()
    found = failure(case, work, tally=tally)
    if found is None:
        return Trial(seed, tally)
    return Trial(seed, tally, told(seed, *shrink(case, found, seconds, work)))


def told(seed, case, found):
    """A failure as it is printed: what is wrong, the line that repeats it, and the case as Python."""
    return "\n".join(
        (
            found.text,
            f"repeat with THALWEG_SEED={seed} THALWEG_CASES=1 pytest tests/semantics/test_agreement.py",
            "or, smaller:",
            "import datetime",
            "from decimal import Decimal",
            "from math import inf, nan",
            "from semantics.cases import Case",
            "from semantics.lives import run",
            f"run({case}, 'an-empty-directory')",
        )
    )


def pool(processes=None):
    """Processes of their own, started afresh: the engine has threads, which a fork would lose."""
    return ProcessPoolExecutor(processes or os.cpu_count(), multiprocessing.get_context("spawn"))


def scratch():
    """Where the directories of engines go; none: where temporary files are."""
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return None
    space = os.statvfs(MEMORY)
    return str(MEMORY) if space.f_bavail * space.f_frsize > FREE_BYTES else None
