"""Runs tests of the repository through pytest for a kind, and counts what they did."""

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from proof.budget import Budget

REPOSITORY = Path(__file__).resolve().parent.parent
SHOWN_CHARACTERS = 6_000


@dataclass
class Tested:
    """What came of one run of pytest. `told` is all that the tests printed."""

    passed: int = 0
    broken: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    told: str = ""


def pytest(budget: Budget, files: Iterable[str], settings: dict[str, str]) -> Tested:
    """Runs these tests with these environment variables."""
    report = budget.work / "tests.xml"
    report.unlink(missing_ok=True)
    files = list(files)
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *files]
    command += [f"--junitxml={report}", "-o", "junit_logging=all", f"--basetemp={budget.work / 'pytest'}"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | settings, capture_output=True, text=True, check=False
    )
    line = " ".join([*(f"{name}={value}" for name, value in settings.items()), "python -m pytest", *files])
    if not report.exists():
        return Tested(broken=[f"pytest ended with {done.returncode}: {line}\n{(done.stdout + done.stderr)[-4_000:]}"])
    tested = Tested()
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        told = "\n".join(part.text or "" for part in case if part.tag.startswith("system-"))
        tested.told += told
        bad = [part for part in case if part.tag in ("failure", "error")]
        left_out = case.find("skipped")
        if bad:
            said = (bad[0].text or bad[0].get("message") or "")[-SHOWN_CHARACTERS:]
            tested.broken.append(f"{name}: {line}\n{said}")
        elif left_out is not None:
            tested.skipped.append(f"{name}: {left_out.get('message')}")
        else:
            tested.passed += 1
    if done.returncode not in (0, 1):
        tested.broken.append(f"pytest ended with {done.returncode}: {line}\n{done.stdout[-4_000:]}")
    return tested
