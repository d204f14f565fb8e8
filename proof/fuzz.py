"""No bytes that anybody sends, and none that stand in a file, break a decoder: each is fuzzed under libFuzzer, and
asked for more than that it does not panic.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from proof.budget import Budget
from proof.outcome import Outcome

UNIT = "executions"
SECONDS = 300
LONG_SECONDS = 6 * 3600

ROOT = Path(__file__).resolve().parent.parent
RUNNER = ROOT / "scripts/fuzz"
# A target that runs shorter only reads its corpus.
LEAST_SECONDS = 5


def run(budget: Budget) -> Outcome:
    """Shares the time over the targets, those that had least so far first. Building is not counted against it."""
    outcome = Outcome(count=0, unit=UNIT)
    if shutil.which("cargo") is None:
        outcome.skipped = "there is no cargo to build the fuzzers with"
        return outcome
    budget.say("building the fuzzers")
    built = subprocess.run([sys.executable, RUNNER, "--build-only"], capture_output=True, text=True, check=False)
    if built.returncode != 0:
        outcome.skipped = f"the fuzzers were not built: {built.stderr.strip()[-600:]}"
        return outcome
    budget.work.mkdir(parents=True, exist_ok=True)
    ledger_file = budget.work / "fuzz-ledger.json"
    ledger: dict[str, dict[str, float]] = json.loads(ledger_file.read_text()) if ledger_file.exists() else {}
    names = targets()
    due = sorted(names, key=lambda name: (ledger.get(name, {}).get("cpu_seconds", 0), name))
    due = due[: max(1, int(budget.seconds // LEAST_SECONDS))]
    share = budget.seconds / len(due)
    for target in due:
        budget.say(f"{target} for {share:.0f} s; {outcome.count} executions so far")
        told = one(target, share, budget)
        if isinstance(told, str):
            outcome.broken.append(told)
            continue
        outcome.count += told["executions"]
        outcome.broken += [f"{target}: {crash['cause']}; {crash['repeat']}" for crash in told["broken"]]
        entry = ledger.setdefault(target, {"cpu_seconds": 0, "executions": 0, "edges": 0})
        entry["cpu_seconds"] = round(entry["cpu_seconds"] + told["cpu_seconds"], 1)
        entry["executions"] += told["executions"]
        entry["edges"] = told["edges"]
        ledger_file.write_text(json.dumps(ledger, indent=2, sort_keys=True) + "\n")
    outcome.notes["cpu_seconds"] = {name: ledger.get(name, {}).get("cpu_seconds", 0) for name in names}
    outcome.notes["not run for want of time"] = [name for name in names if name not in due]
    return outcome


def targets() -> list[str]:
    """Their names, in the order of `fuzz/targets.toml`."""
    lines = (ROOT / "fuzz/targets.toml").read_text().splitlines()
    return [line[1:-1] for line in lines if line.startswith("[") and line.endswith("]")]


def one(target: str, seconds: float, budget: Budget) -> dict[str, Any] | str:
    """Fuzzes one target; what was counted, or why it could not be."""
    seed = budget.random(target).randrange(1, 1 << 31)
    options = ["--no-build", "--json", f"--seconds={seconds:.0f}", f"--seed={seed}", target]
    environment = os.environ | {"THALWEG_FUZZ_WORK": str(budget.work / "fuzz")}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, RUNNER, *options], stdout=pipe, stderr=pipe, text=True, env=environment
    ) as runner:
        try:
            told, errors = runner.communicate()
        except BaseException:
            # It ends its fuzzer, and then itself.
            runner.send_signal(signal.SIGINT)
            raise
    lines = told.strip().splitlines()
    if not lines:
        return f"{target} did not run: {errors.strip()[-600:]}; repeat with scripts/fuzz {' '.join(options)}"
    counted: dict[str, Any] = json.loads(lines[-1])
    return counted
