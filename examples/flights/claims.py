"""What the demo says, asserted: a claim that does not hold is shown as such, and makes the demo fail at its end."""

from typing import Any

import oracle
import pyarrow as pa

SHOWN = 5


class Claims:
    """The claims so far, and whether all of them held."""

    def __init__(self) -> None:
        self.failed = 0

    @property
    def exit_code(self) -> int:
        return 1 if self.failed else 0

    def that(self, claim: str, holds: bool, otherwise: Any = "") -> None:
        """Prints the claim, and what was found instead where it does not hold."""
        print(f"{'ok    ' if holds else 'FAILED'} {claim}", flush=True)
        if not holds:
            self.failed += 1
            if otherwise:
                print(f"       found: {otherwise}", flush=True)

    def same(self, claim: str, given: pa.Table, wanted: pa.Table) -> oracle.Comparison:
        """Claims that the tables agree in every value of `wanted`, to the last bit."""
        found = oracle.compare(given, wanted)
        self.that(
            f"{claim}: {found.compared:,} values, {found.mismatches:,} differ",
            found.compared > 0 and found.mismatches == 0,
            "; ".join(found.samples[:SHOWN]),
        )
        return found
