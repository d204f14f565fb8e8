"""`make doors`: starts a server, tries every cell, prints the table; exit code 1 where a cell fails.

PYTHONPATH=tests python -m doors [--door grpc] [--operation "read service"]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from .registry import DOORS, ENTRIES, OPERATIONS, Entry, cells, mark
from .server import Server, World
from .trying import FAILED, MISSING, OK, Outcome, Trials


def main() -> int:
    parser = argparse.ArgumentParser(prog="doors", description="Tries every operation at every door.")
    parser.add_argument("--door", choices=sorted(DOORS), help="only this door")
    parser.add_argument("--operation", choices=list(OPERATIONS), help="only this operation")
    chosen = parser.parse_args()
    began = time.monotonic()
    wanted = [
        (entry, operation)
        for entry, operation in cells()
        if chosen.door in (None, entry.door) and chosen.operation in (None, operation)
    ]
    with tempfile.TemporaryDirectory(prefix="thalweg-doors-") as directory:
        server = Server(Path(directory) / "data")
        try:
            outcomes = attempt(server.start(), wanted)
        finally:
            server.stop()
        failed = [outcome for outcome in outcomes if outcome.result != OK]
        print(table(outcomes))
        for outcome in failed:
            print(f"\n{outcome}")
        if failed:
            print(f"\nthe server's log ends with:\n{server.told()[-4_000:]}")
    seconds = time.monotonic() - began
    print(f"doors: {len(outcomes)} cells, {len(failed)} failed, seconds={seconds:.1f}")
    return 1 if failed or not outcomes else 0


def attempt(server: Server, wanted: list[tuple[Entry, str]]) -> list[Outcome]:
    world = World(server)
    trials = Trials(world)
    try:
        return [trials.attempt(entry, operation) for entry, operation in wanted]
    finally:
        trials.close()
        world.close()


def table(outcomes: list[Outcome]) -> str:
    """Operations by clients. What was not asked for is blank."""
    shown = {(outcome.entry, outcome.operation): outcome.result for outcome in outcomes}
    first = max(len(name) for name in OPERATIONS) + 2
    widths = [max(len(entry.door), len(entry.client), len(MISSING), len(FAILED)) + 2 for entry in ENTRIES]

    def line(title: str, words: list[str]) -> str:
        return (title.ljust(first) + "".join(map(str.ljust, words, widths))).rstrip()

    lines = [line("", [entry.door for entry in ENTRIES]), line("", [entry.client for entry in ENTRIES])]
    for operation in OPERATIONS:
        words = [mark(entry, operation) or shown.get((entry, operation), "") for entry in ENTRIES]
        lines.append(line(operation, words))
    lines.append("-  the protocol has no such thing    .  tried by another client of this protocol")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
