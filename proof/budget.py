"""What a kind of trial may use: seconds, a seed, a folder. And how it says how far it is."""

import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Budget:
    """The time, the seed and the folder of one run of one kind. The clock starts when it is made."""

    seconds: float
    seed: int
    long: bool
    work: Path
    kind: str = ""
    began: float = field(default_factory=time.monotonic)
    _voice: "_Voice" = field(default_factory=lambda: _Voice(), repr=False, compare=False)

    def spent(self) -> float:
        """Seconds since the kind began."""
        return time.monotonic() - self.began

    def left(self) -> float:
        """Seconds that are left, 0 where none are."""
        return max(0.0, self.seconds - self.spent())

    def over(self) -> bool:
        """Whether the time is up: begin no other case."""
        return self.left() <= 0

    def say(self, text: str) -> None:
        """Shows how far the kind is: one line that is written over on a terminal, else a line a second at most."""
        self._voice.say(f"{self.kind or 'proof'}: {text}")

    def random(self, name: str) -> random.Random:
        """Random numbers that follow from the seed and the name, and from nothing else."""
        return random.Random(f"{self.seed}:{name}")


class _Voice:
    """Progress on standard error, so that the last lines on standard output stay alone."""

    def __init__(self) -> None:
        self._last = 0.0

    def say(self, text: str) -> None:
        terminal = sys.stderr.isatty()
        now = time.monotonic()
        if now - self._last < (0.1 if terminal else 1.0):
            return
        self._last = now
        if terminal:
            print(f"\r\x1b[2K{text[:110]}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)
