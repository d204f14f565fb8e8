"""How long the demo's parts take, so that nobody has to guess where the time goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds by part, in the order in which the parts were first met. Begins when it is made."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.parts: dict[str, float] = {}

    @contextmanager
    def time(self, part: str) -> Iterator[None]:
        """Adds what the block takes to a part; a part may be timed more than once."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.parts[part] = self.parts.get(part, 0.0) + time.perf_counter() - begun

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.begun

    def __str__(self) -> str:
        return ", ".join(f"{part} {seconds:.1f}" for part, seconds in self.parts.items())
