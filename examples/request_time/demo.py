"""A decision that needs a score from a service elsewhere: fetched when it is too old, never waited for too long, and
the same in the training set. `--json` prints what was seen instead of telling it.
"""

import argparse
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import features
import pyarrow as pa
from scores import Scores

import thalweg as tw

USER = "ann"
SCORE = "risk__score.value"
START_SECONDS = 30
STOP_SECONDS = 30
# How long the server lets a key rest that could not be fetched, and a little more.
REST_SECONDS = 1.2


class Story:
    """What happens, step by step, and what was read at each."""

    def __init__(self, client: tw.Client, scores: Scores, tells: bool) -> None:
        self.client, self.scores, self.tells = client, scores, tells
        self.reads: list[tw.FeatureVector] = []
        self.seen: dict[str, Any] = {}

    def say(self, text: str) -> None:
        if self.tells:
            print(text, flush=True)

    def read(self, what: str) -> tw.FeatureVector:
        """Reads what a decision needs, and remembers how it went."""
        began, asked = time.monotonic(), self.scores.asked
        vector = self.client.features("decision", {"user": [USER]})
        took = time.monotonic() - began
        self.reads.append(vector)
        value, status = vector[SCORE][0], vector.statuses[SCORE][0]
        self.seen[what] = {
            "score": value,
            "status": status,
            "band": vector["score_band"][0],
            "asked": self.scores.asked - asked,
            "seconds": took,
        }
        self.say(f"  score {value} ({status}), band {vector['score_band'][0]}, in {took * 1000:.0f} ms")
        return vector

    def run(self) -> dict[str, Any]:
        self._push()
        self._fetch()
        self._slow()
        self._again()
        self._train()
        return self.seen

    def _push(self) -> None:
        self.say("three payments are pushed; one of them is of less than nothing")
        now = datetime.now(UTC)
        rows = [
            {"id": "p1", "user": USER, "amount": 40.0, "currency": "eur", "paid_at": now},
            {"id": "p2", "user": USER, "amount": 2.5, "currency": "Eur", "paid_at": now},
            {"id": "p3", "user": USER, "amount": -7.0, "currency": "EUR", "paid_at": now},
        ]
        ack = self.client.push("payments", rows)
        (rejected,) = self.client.quarantine("payments")
        self.say(f"  {ack.applied} taken; 1 in quarantine, as {rejected['reason']}")
        self.seen["push"] = {"applied": ack.applied, "quarantined": ack.quarantined, "reason": rejected["reason"]}

    def _fetch(self) -> None:
        self.say("the first read of the score fetches it")
        self.scores.score = 0.25
        first = self.read("first")
        self.seen["spending"] = {"paid": first["spending.paid_1h"][0], "currency": first["spending.currency"][0]}
        self.say("the next one finds it fresh enough, and does not")
        self.scores.score = 0.6
        self.read("cached")

    def _slow(self) -> None:
        self.say(f"{features.FRESHNESS_SECONDS} s later it is too old, and the service is slow: the last one is given")
        self.scores.delay = 4 * features.TIMEOUT_SECONDS
        time.sleep(features.FRESHNESS_SECONDS + 0.2)
        self.read("slow")
        self.say("later still the last one is stale, and is withheld")
        time.sleep(features.STALENESS_SECONDS - features.FRESHNESS_SECONDS)
        self.read("stale")

    def _again(self) -> None:
        self.say("the service is well again")
        self.scores.delay = 0.0
        time.sleep(REST_SECONDS)
        self.read("again")
        before = self.client.direct("risk.score").get({"user": USER}, previous=1)
        self.seen["previous"] = before.value
        self.say(f"  the score before was {before.value}")

    def _train(self) -> None:
        self.say("a training set at the times of these reads has what they were answered with")
        times = [vector.as_of for vector in self.reads]
        spine = pa.table({"user": [USER] * len(times), "timestamp": pa.array(times, pa.timestamp("us", "UTC"))})
        trained = self.client.training_set("decision", spine, as_of="arrival", statuses=True, progress=False).to_arrow()
        compared = differ = 0
        for row, vector in enumerate(self.reads):
            for name, values in vector.values.items():
                column = name.replace(".", "__")
                then = (trained[column][row].as_py(), trained[f"{column}__status"][row].as_py())
                compared += 1
                differ += then != (values[0], vector.statuses[name][0])
        check = self.client.check()
        self.seen["training"] = {"compared": compared, "differ": differ}
        self.seen["check"] = {"compared": check.compared, "mismatches": check.mismatches}
        self.say(f"  {compared} values compared, {differ} differ; by the check {check.compared} and {check.mismatches}")


@contextlib.contextmanager
def server(work: Path) -> Iterator[tw.Client]:
    """`thalweg serve` on a fresh directory, stopped at the end. What it says goes to `server.log`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [thalweg_command(), "serve", "--data", str(work / "data"), "--port", str(port)]
    log = work / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield ready(process, f"http://127.0.0.1:{port}", log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> tw.Client:
    client = tw.Client(url, retries=0)
    deadline = time.monotonic() + START_SECONDS
    while True:
        if process.poll() is not None:
            raise SystemExit(f"the server ended at once; it said:\n{log.read_text(errors='replace')}")
        try:
            client.health()
            return client
        except tw.ServerError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"the server is not ready after {START_SECONDS} s ({error}); see {log}") from error
        time.sleep(0.05)


def thalweg_command() -> str:
    """The command that belongs to this Python, or else the one on the path."""
    found = shutil.which("thalweg", path=str(Path(sys.executable).parent)) or shutil.which("thalweg")
    if found is None:
        raise SystemExit("there is no command `thalweg`; install the package first: pip install thalweg")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="A decision that needs a score from a service elsewhere.")
    parser.add_argument("--work", type=Path, help="an empty directory to work in; left out, one that is removed")
    parser.add_argument("--json", action="store_true", help="print what was seen as JSON")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        work = arguments.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        scores = stack.enter_context(Scores())
        client = stack.enter_context(server(work))
        client.apply(features.project(scores.url))
        seen = Story(client, scores, tells=not arguments.json).run()
    if arguments.json:
        print(json.dumps(seen))


if __name__ == "__main__":
    main()
