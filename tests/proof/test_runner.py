"""The runner of the proof, with kinds made for these tests in a copy of it: what it counts, says and leaves behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "proof"
RUNNER = ("__init__", "__main__", "budget", "child", "kinds", "outcome", "running")
KINDS = {
    "passes": """
        def run(budget):
            numbers = [budget.random("a").random() for _ in range(2)]
            assert numbers[0] == numbers[1] and numbers[0] != budget.random("b").random()
            assert budget.work.is_dir() and budget.left() <= budget.seconds and not budget.over()
            budget.say("at it")
            return Outcome(3, UNIT, notes={"number": numbers[0], "seconds": budget.seconds, "long": budget.long})
    """,
    "breaks": """
        def run(budget):
            return Outcome(5, UNIT, broken=["a row was lost: python -m proof breaks --seed 7"])
    """,
    "crashes": """
        def run(budget):
            raise RuntimeError("of its own")
    """,
    "dies": """
        import os
        def run(budget):
            os.kill(os.getpid(), 9)
    """,
    "lacks": """
        def run(budget):
            import a_package_that_is_not_installed
    """,
    "leaves": """
        import subprocess, sys
        def run(budget):
            # A session of its own, as a server might be started in.
            started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
            (budget.work / "pid").write_text(str(started.pid))
            return Outcome(1, UNIT)
    """,
    "waits": """
        import subprocess, sys, time
        def run(budget):
            started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
            (budget.work / "pid").write_text(str(started.pid))
            time.sleep(600)
    """,
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    package = root / "proof"
    package.mkdir()
    for name in RUNNER:
        shutil.copy(PACKAGE / f"{name}.py", package)
    for name, body in KINDS.items():
        lines = [line.removeprefix("        ") for line in body.splitlines()]
        head = ['"""A kind for a test."""', "from proof.outcome import Outcome"]
        head += ['UNIT = "things"', "SECONDS, LONG_SECONDS = 7, 70"]
        (package / f"{name}.py").write_text("\n".join([*head, *lines, ""]))
    kinds = package / "kinds.py"
    names = f"NAMES = {tuple(KINDS)!r}"
    kinds.write_text(re.sub(r"^NAMES = \(.*?^\)", names, kinds.read_text(), flags=re.DOTALL | re.MULTILINE))
    return root


def command(repository: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "proof", "--work", str(repository / "work"), *arguments],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(repository: Path, *arguments: str) -> tuple[int, list[str], str, dict]:
    process = command(repository, *arguments)
    told, errors = process.communicate(timeout=60)
    report = json.loads((repository / "work" / "report.json").read_text())
    return process.returncode, told.splitlines(), errors, report


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_kind_that_passes(repository: Path) -> None:
    code, told, errors, report = ran(repository, "passes", "--seed", "7")
    assert code == 0
    assert re.fullmatch(r"proof: passes: 3 things, 0 broken \(seed 7, \d+ s\)", told[-1]), told
    assert "passes: at it" in errors
    entry = report["kinds"]["passes"]
    assert (entry["count"], entry["unit"], entry["broken"], entry["budget"]) == (3, "things", [], 7)
    assert report["seed"] == 7 and report["versions"]["python"]


def test_the_seed_repeats_and_another_does_not(repository: Path) -> None:
    numbers = [
        ran(repository, "passes", *("--seed", str(seed)))[3]["kinds"]["passes"]["notes"]["number"] for seed in (1, 1, 2)
    ]
    assert numbers[0] == numbers[1] != numbers[2]


def test_budgets(repository: Path) -> None:
    for flags, seconds in (([], 7), (["--long"], 70), (["--seconds", "2.5"], 2.5)):
        notes = ran(repository, "passes", *flags)[3]["kinds"]["passes"]["notes"]
        assert (notes["seconds"], notes["long"]) == (seconds, bool(flags == ["--long"]))


def test_a_broken_promise_is_shown_and_ends_with_1(repository: Path) -> None:
    code, told, errors, report = ran(repository, "passes", "breaks", "--seed", "7")
    assert code == 1
    assert [line.split(" (")[0] for line in told[-2:]] == [
        "proof: passes: 3 things, 0 broken",
        "proof: breaks: 5 things, 1 broken",
    ]
    assert "a row was lost: python -m proof breaks --seed 7" in errors
    assert report["kinds"]["breaks"]["broken"]


@pytest.mark.parametrize(("kind", "why"), [("crashes", "of its own"), ("dies", "without an outcome")])
def test_a_kind_that_fails_itself_is_broken_and_stops_no_other(repository: Path, kind: str, why: str) -> None:
    code, told, _, report = ran(repository, kind, "passes")
    assert code == 1 and "1 broken" in told[-2] and "0 broken" in told[-1]
    assert why in report["kinds"][kind]["broken"][0]


def test_a_kind_whose_package_is_missing_is_skipped_and_says_so(repository: Path) -> None:
    code, told, _, _ = ran(repository, "lacks")
    assert code == 0 and told[-1].startswith("proof: lacks: skipped: No module named 'a_package_that_is_not_installed'")


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are found on Linux")
def test_what_a_kind_leaves_behind_is_ended(repository: Path) -> None:
    code, _, _, report = ran(repository, "leaves")
    assert code == 0 and len(report["kinds"]["leaves"]["notes"]["processes left behind, and ended"]) == 1
    assert not alive(int((repository / "work" / "leaves" / "pid").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are found on Linux")
@pytest.mark.parametrize("wanted", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_with_130_and_leaves_nothing(repository: Path, wanted: signal.Signals) -> None:
    pid = repository / "work" / "waits" / "pid"
    pid.unlink(missing_ok=True)
    process = command(repository, "waits")
    until = time.monotonic() + 30
    while not pid.exists() or not pid.read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(wanted)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and "interrupted" in errors, errors
    assert not alive(int(pid.read_text()))
    assert json.loads((repository / "work" / "report.json").read_text())["interrupted"]


def test_an_unknown_kind_is_refused(repository: Path) -> None:
    process = command(repository, "agreemnt")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 2 and "agreemnt" in errors
