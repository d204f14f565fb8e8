"""What the engine promises holds in a simulation: real code on a disk, a clock and a network that fail on purpose.

Runs `simulate` (crates/simulation), which draws worlds and faults from seeds, loses power at any change of the disk,
and compares every acknowledgement, answer, ledger and file with a naive model.
"""

import json
import os
import subprocess
import threading
from pathlib import Path
from typing import IO

from proof.budget import Budget
from proof.outcome import Outcome

UNIT = "crashes survived"
SECONDS, LONG_SECONDS = 120, 3600
# What finishing the run at hand and shrinking what broke may take.
GRACE = 300.0
FAREWELL = 10.0
BUILD = "cargo build --release -p thalweg-simulation"


def binary() -> Path | None:
    """The optimized `simulate`: the one that is named, else the one that was built."""
    named = os.environ.get("THALWEG_SIMULATE")
    if named:
        return Path(named) if Path(named).is_file() else None
    target = Path(os.environ.get("CARGO_TARGET_DIR") or Path.home() / ".cache/thalweg/target")
    built = target / "release" / "simulate"
    return built if built.is_file() else None


def run(budget: Budget) -> Outcome:
    """Seeds from the budget's on, until its time is up."""
    outcome = Outcome(0, UNIT)
    simulate = binary()
    if simulate is None:
        outcome.skipped = f"`simulate` is not built: {BUILD}, or name it in THALWEG_SIMULATE"
        return outcome
    command = [str(simulate), "--seed", str(budget.seed), "--seconds", f"{budget.left():.0f}"]
    told: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        listener = threading.Thread(target=_listen, args=(process.stderr, budget, told), daemon=True)
        listener.start()
        overdue = threading.Timer(budget.left() + GRACE, process.kill)
        overdue.start()
        try:
            lines = process.stdout.read().splitlines()
            process.wait()
        finally:
            overdue.cancel()
            _end(process)
            listener.join(FAREWELL)
    _read(lines, process.returncode, told, outcome)
    return outcome


def _listen(stream: IO[str], budget: Budget, told: list[str]) -> None:
    for line in stream:
        told.append(line.rstrip())
        budget.say(line.rstrip().removeprefix("simulate: "))


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            process.kill()


def _read(lines: list[str], code: int, told: list[str], outcome: Outcome) -> None:
    """The last line is the account of the run; where there is none, that is what broke."""
    try:
        account = json.loads(lines[-1])
    except (IndexError, json.JSONDecodeError):
        last = "\n".join(told[-10:])
        outcome.broken.append(f"`simulate` ended with {code} and without its account:\n{last}")
        return
    outcome.count = account["crashes"]
    outcome.broken += account["broken"]
    if code != 0 and not outcome.broken:
        outcome.broken.append(f"`simulate` ended with {code}, and its account has no broken promise")
    names = ("seed_first", "runs", "steps", "values", "checked")
    outcome.notes |= {name: account[name] for name in names}
