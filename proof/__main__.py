"""`python -m proof [KIND ...]`: runs the kinds one after the other, says what came of each, and writes a report.

Ends with 1 where a promise broke, with 130 where it was interrupted, else with 0.
"""

import argparse
import json
import os
import platform
import secrets
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from proof import kinds, running

DEFAULT_WORK = Path(".thalweg/proof")
# Of a broken promise, what is shown on the terminal; the report has all of it.
SHOWN_BROKEN = 20


def main(arguments: list[str] | None = None) -> int:
    """Runs what was asked for and gives the exit code."""
    asked = _parser().parse_args(arguments)
    seed = secrets.randbelow(2**32) if asked.seed is None else asked.seed
    work = asked.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    report: dict[str, object] = {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "long": asked.long,
        "versions": _versions(),
        "kinds": {},
    }
    print(f"proof: seed {seed}, in {work}", flush=True)
    running.adopt_orphans()
    signal.signal(signal.SIGTERM, _interrupted)
    done: dict[str, dict[str, object]] = {}
    try:
        for name in asked.kinds or kinds.NAMES:
            done[name] = _run_one(name, asked, seed, work)
    except KeyboardInterrupt:
        report["interrupted"] = True
        print("\nproof: interrupted", file=sys.stderr)
        return 130
    finally:
        report["kinds"] = {name: {key: entry[key] for key in entry if key != "line"} for name, entry in done.items()}
        (work / "report.json").write_text(json.dumps(report, indent=2, default=str) + "\n")
        _conclude(done)
    return 1 if any(entry["broken"] for entry in done.values()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m proof", description="Tries to break what is promised.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", choices=(*kinds.NAMES, []), help=", ".join(kinds.NAMES))
    parser.add_argument("--long", action="store_true", help="hours instead of minutes")
    parser.add_argument("--seconds", type=float, help="the budget of each kind, instead of its own")
    parser.add_argument("--seed", type=int, help="repeats a run; printed by each")
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help=f"for files and the report ({DEFAULT_WORK})")
    return parser


def _run_one(name: str, asked: argparse.Namespace, seed: int, work: Path) -> dict[str, object]:
    """Runs a kind, shows what broke, and gives its entry of the report."""
    began = time.monotonic()
    try:
        kind = kinds.load(name)
    except ImportError as error:
        outcome = kinds.lacking(error)
        budget = 0.0
    else:
        budget = asked.seconds or (kind.long_seconds if asked.long else kind.seconds)
        print(f"\n== {name}: {kind.promise} ({budget:.0f} s)", file=sys.stderr, flush=True)
        outcome = running.run(name, budget, seed, asked.long, work / name)
    seconds = time.monotonic() - began
    if sys.stderr.isatty():
        print("\r\x1b[2K", end="", file=sys.stderr)
    for text in outcome.broken[:SHOWN_BROKEN]:
        print(f"BROKEN {name}: {text}", file=sys.stderr, flush=True)
    line = outcome.line(name, seed, seconds)
    print(line, flush=True)
    return outcome.as_json() | {"budget": budget, "seconds": round(seconds, 1), "line": line}


def _conclude(done: dict[str, dict[str, object]]) -> None:
    """The last lines, one a kind, where they are not the last already."""
    if len(done) > 1:
        print()
        for entry in done.values():
            print(entry["line"], flush=True)


def _versions() -> dict[str, str]:
    """What was tried, and on what."""
    found = {"python": platform.python_version(), "system": platform.platform(), "processors": str(os.cpu_count())}
    for package in ("thalweg", "pyarrow", "duckdb", "deltalake", "pytest", "schemathesis"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "missing"
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=running.REPOSITORY, capture_output=True, text=True, check=False
    )
    if described.returncode == 0:
        found["commit"] = described.stdout.strip()
    return found


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
