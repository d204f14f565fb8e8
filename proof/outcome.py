"""What came of a run of a kind: how much was tried, and which promises broke."""

from dataclasses import asdict, dataclass, field


@dataclass
class Outcome:
    """`broken` has one text for each broken promise, with the line that repeats it; `skipped` says why nothing ran."""

    count: int
    unit: str
    broken: list[str] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)
    skipped: str | None = None

    def line(self, kind: str, seed: int, seconds: float) -> str:
        """The last line of a kind: `proof: agreement: 1234567 values compared, 0 broken (seed 7, 121 s)`."""
        if self.skipped is not None:
            return f"proof: {kind}: skipped: {self.skipped}"
        return f"proof: {kind}: {self.count} {self.unit}, {len(self.broken)} broken (seed {seed}, {seconds:.0f} s)"

    def as_json(self) -> dict[str, object]:
        """All of it, for the report."""
        return asdict(self)
