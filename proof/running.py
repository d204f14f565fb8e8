"""Runs a kind in a process of its own, so that a crash of it is an outcome, and ends whatever it leaves behind."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from proof.outcome import Outcome

REPOSITORY = Path(__file__).resolve().parent.parent
# What a kind may take beyond its budget, to finish the case at hand and to tidy up.
GRACE = 900.0
# What a kind has for tidying up after an interruption.
FAREWELL = 20.0
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Makes this process the parent of whatever its children leave behind, so that it can be found. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def environment() -> dict[str, str]:
    """This process's, with the tests and the repository where Python looks."""
    before = os.environ.get("PYTHONPATH", "")
    paths = [*filter(None, before.split(os.pathsep)), str(REPOSITORY / "tests"), str(REPOSITORY)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def run(kind: str, seconds: float, seed: int, long: bool, work: Path) -> Outcome:
    """Runs one kind. An interruption ends its processes and is raised again."""
    work.mkdir(parents=True, exist_ok=True)
    answer = work.parent / f"{kind}.json"
    answer.unlink(missing_ok=True)
    arguments = [kind, str(seconds), str(seed), "long" if long else "short", str(work), str(answer)]
    # A group of its own: Ctrl-C reaches the runner alone, which then tells the kind.
    process = subprocess.Popen(
        [sys.executable, "-m", "proof.child", *arguments],
        start_new_session=True,
        env=environment(),
        cwd=REPOSITORY,
    )
    overrun = False
    try:
        process.wait(timeout=seconds + GRACE)
    except subprocess.TimeoutExpired:
        overrun = True
        _interrupt(process)
    except BaseException:
        _interrupt(process)
        end_what_is_left(process.pid)
        raise
    left = end_what_is_left(process.pid)
    if overrun:
        return Outcome(
            0, "cases", broken=[f"did not end within {seconds + GRACE:.0f} s of a budget of {seconds:.0f} s"]
        )
    if not answer.exists():
        return Outcome(0, "cases", broken=[f"ended with {process.returncode} and without an outcome"])
    outcome = Outcome(**json.loads(answer.read_text()))
    if left:
        outcome.notes["processes left behind, and ended"] = left
    return outcome


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Asks a kind to end, as Ctrl-C would, and ends it where it does not."""
    for wanted in (signal.SIGINT, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(wanted)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=FAREWELL)
            return


def end_what_is_left(group: int) -> list[str]:
    """Kills the kind's group and every orphan that came to this process, and says what they were."""
    ended = _orphans()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    until = time.monotonic() + FAREWELL
    while time.monotonic() < until:
        orphans = _orphans()
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        # The dead are to be waited for, or they stay in the table.
        for pid in orphans:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if not orphans:
            break
        time.sleep(0.05)
    return list(ended.values())


def _orphans() -> dict[int, str]:
    """This process's children by id, with the command of each; it waits for its own before it asks."""
    if sys.platform != "linux":
        return {}
    found = {}
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state == "Z":
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(int(pid), os.WNOHANG)
                continue
            found[int(pid)] = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    return found
