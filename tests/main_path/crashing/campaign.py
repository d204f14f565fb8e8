"""Rounds of crashes by the hundred: short lives that begin with an empty directory, and one that goes on."""

import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import thalweg as tw

from .doors import Lost, Refused
from .life import Life, Tally
from .seen import Broken

ROUNDS_OF_A_LIFE = 30


class Campaign:
    """All of it follows from the seed, but for the machine's own timing."""

    def __init__(self, seed: int, work: Path) -> None:
        self.seed, self.work, self.tally = seed, work, Tally()
        self.broken: list[str] = []

    def run(self, go_on: Callable[[], bool], rounds_of_a_life: int = ROUNDS_OF_A_LIFE) -> None:
        """Runs rounds while `go_on` says so, and none after the first promise that was not kept."""
        lives = self._lives()
        number = 0
        while go_on() and not self.broken:
            life, fresh, passing = next(lives)
            try:
                if fresh:
                    life.begin()
                else:
                    life.start()
                for _ in range(rounds_of_a_life):
                    number += 1
                    life.round()
                    if not go_on():
                        break
            except (AssertionError, Refused, Lost, tw.ThalwegError) as error:
                self.broken.append(self._report(life, number, error))
            finally:
                life.end()
            if passing and not self.broken:
                shutil.rmtree(life.data.parent)
        if not self.broken:
            shutil.rmtree(self.work / "life-0", ignore_errors=True)

    def _lives(self) -> Iterator[tuple[Life, bool, bool]]:
        """A life, whether it is new, and whether it is over after its rounds."""
        enduring: Life | None = None
        number = 0
        while True:
            number += 1
            yield self._life(number), True, True
            if enduring is None:
                enduring = self._life(0)
                yield enduring, True, False
            else:
                yield enduring, False, False

    def _life(self, number: int) -> Life:
        folder = self.work / f"life-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        return Life(folder, random.Random(f"{self.seed}:life:{number}"), self.tally)

    def _report(self, life: Life, number: int, error: Exception) -> str:
        kind = "" if isinstance(error, Broken) else f"{type(error).__name__}: "
        lines = [
            f"round {number} (round {life.rounds} of {life.data.parent.name}): {kind}{error}",
            f"  in {life.doing}",
            f"  the data directory is kept: {life.data} (at {time.strftime('%H:%M:%S')})",
            f"  to repeat: THALWEG_SEED={self.seed} THALWEG_CRASH_ROUNDS={number} "
            "pytest tests/main_path/test_crash.py -k mixture",
            f"  or, as often as it takes: python -m proof kill --seed {self.seed}",
        ]
        return "\n".join(lines)
