"""Whether a figure that was sampled over a run stayed where it was: medians of two quarters, and a line through all."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Flatness:
    """`growth` is the last quarter's median over the second's, less 1; `slope` what the line rises over the run, as a
    share of the second quarter's median."""

    early: float
    late: float
    growth: float
    slope: float

    def within(self, share: float) -> bool:
        """Whether it did not grow. Both must say that it did before it counts: a median may lie on a tooth of a saw."""
        return self.growth <= share or self.slope <= share

    def text(self, unit: float = 1.0, name: str = "") -> str:
        early, late = self.early / unit, self.late / unit
        return f"{early:.0f} -> {late:.0f}{name} (medians {self.growth:+.1%}, line {self.slope:+.1%})"


def flatness(marks: Sequence[float], figures: Sequence[float], warm: float = 0.0) -> Flatness:
    """Of samples past `warm`; the quarters are of the work done, not of the time it took."""
    pairs = [(mark, figure) for mark, figure in zip(marks, figures, strict=True) if mark >= warm]
    if len(pairs) < 16:
        raise ValueError(f"{len(pairs)} samples are too few to say whether a figure is flat")
    first, last = pairs[0][0], pairs[-1][0]
    length = last - first

    def quarter(number: int) -> list[float]:
        low, high = first + length * (number - 1) / 4, first + length * number / 4
        return [figure for mark, figure in pairs if low <= mark <= high]

    early, late = statistics.median(quarter(2)), statistics.median(quarter(4))
    slope = statistics.linear_regression([mark for mark, _ in pairs], [figure for _, figure in pairs]).slope
    base = max(early, 1e-9)
    return Flatness(early, late, late / base - 1, slope * length / base)
