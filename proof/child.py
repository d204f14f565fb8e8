"""Runs one kind in this process and writes what came of it to a file: the inside of a process of `running.py`."""

import json
import sys
import traceback
from pathlib import Path

from proof.budget import Budget
from proof.kinds import lacking, load
from proof.outcome import Outcome


def main(arguments: list[str]) -> None:
    """`KIND SECONDS SEED long|short WORK ANSWER`, where ANSWER is the file to write."""
    name, seconds, seed, length, work, answer = arguments
    began = Budget(float(seconds), int(seed), length == "long", Path(work), name)
    try:
        outcome = load(name).run(began)
    except ModuleNotFoundError as error:
        outcome = lacking(error)
    except Exception:
        outcome = Outcome(0, "cases", broken=[f"the kind {name} itself failed:\n{traceback.format_exc()}"])
    written = json.dumps(outcome.as_json(), default=str)
    Path(answer).write_text(written)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
