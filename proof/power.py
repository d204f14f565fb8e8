"""Acknowledged is durable, once and on every path, through power loss: a server at its work is killed, what it had not
synced is forgotten, and it is started again on what is left."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from semantics.server_process import free_port

import thalweg as tw
from proof.budget import Budget
from proof.lossy.disk import LossyDisk, why_not
from proof.outcome import Outcome

UNIT = "power losses"
SECONDS, LONG_SECONDS = 120, 3600

STARTED_WITHIN_SECONDS = 60
BATCH = 100
USERS = [f"u{number}" for number in range(20)]
PUSHERS = 3
# Batches of text this long fill a segment of the log, so that it is cut and history is all there is of its rows.
NOTES = (0, 0, 300, 20_000)
MOST_ROUNDS = 12
BEGIN = 1_700_000_000_000_000


def run(budget: Budget) -> Outcome:
    outcome = Outcome(0, UNIT)
    if reason := why_not():
        outcome.skipped = reason
        return outcome
    notes: Counter[str] = Counter()
    try:
        disk = LossyDisk(budget.work / "disk")
    except OSError as error:
        outcome.skipped = str(error)
        return outcome
    with disk:
        number = 0
        while not budget.over() and not outcome.broken:
            number += 1
            story = Story(disk, number, budget, notes)
            try:
                story.play()
            except (Broken, tw.ThalwegError) as broken:
                story.server.kill()
                kept = budget.work / f"broken-{number}"
                shutil.copytree(story.server.data, kept, dirs_exist_ok=True)
                repeat = f"python -m proof power --seed {budget.seed}"
                found = f"story {number}, round {story.round}: {broken}"
                outcome.broken.append(f"{found}\n  {repeat}; what was left is in {kept}\n{story.tail()}")
            finally:
                story.server.kill()
                outcome.count += story.losses
    outcome.notes |= {"data directories": number, **notes}
    return outcome


class Broken(Exception):
    """A promise did not hold."""


class Server:
    """A `thalweg serve` with everything that happens in the background happening all the time."""

    def __init__(self, data: Path, log: Path, clock: str) -> None:
        self.data, self.log, self.clock, self.port = data, log, clock, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = {
            "THALWEG_HISTORY_INTERVAL": "300ms",
            "THALWEG_CHECKPOINT_INTERVAL": "400ms",
            "THALWEG_HISTORY_ROWS": "1000",
            "THALWEG_LOG_RETENTION_BYTES": "1B",
            "THALWEG_SERVE_LOG": "1.0",
            "THALWEG_LOG_LEVEL": "warn,thalweg_server=info,thalweg_server::http=error",
        }
        command = [sys.executable, "-m", "thalweg", "serve", "--data", str(self.data), "--clock", self.clock]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)], stdout=log, stderr=log, env=os.environ | settings
            )

    def wait_until_ready(self, key: str | None) -> tw.Client:
        """A client of it, once reads can be answered."""
        client = tw.Client(f"http://127.0.0.1:{self.port}", retries=0, timeout=30, api_key=key)
        deadline = time.monotonic() + STARTED_WITHIN_SECONDS
        while True:
            try:
                client._get("/readyz")
                return client
            except tw.ThalwegError as error:
                if self.process is None or self.process.poll() is not None:
                    raise Broken("the server does not start again") from error
                if time.monotonic() > deadline:
                    raise Broken(f"the server is not ready in {STARTED_WITHIN_SECONDS} s: {error}") from error
                time.sleep(0.02)

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@dataclass
class Sent:
    """What was sent to a source, by number: what was acknowledged, and what is in doubt since the server died."""

    acknowledged: set[int] = field(default_factory=set)
    doubtful: set[int] = field(default_factory=set)

    def settle(self) -> None:
        self.acknowledged |= self.doubtful
        self.doubtful.clear()


class Story:
    """One data directory through several power losses."""

    def __init__(self, disk: LossyDisk, number: int, budget: Budget, notes: Counter[str]) -> None:
        self.disk, self.budget, self.notes = disk, budget, notes
        self.chance = budget.random(f"story {number}")
        self.number, self.round, self.losses = number, 0, 0
        self.note = "n" * self.chance.choice(NOTES)
        # Below the mount a level may be missing too: its name has to become durable as well.
        data = disk.mount / f"story{number}" / "data"
        self.server = Server(data, budget.work / f"server-{number}.log", self.chance.choice(("events", "system")))
        self.batches, self.clicks = Sent(), Sent()
        self.manifests: set[str] = set()
        self.keys: dict[str, str] = {}
        self.applied = 0
        self.applying: int | None = None
        self.lock = threading.Lock()

    def play(self) -> None:
        self.server.start()
        client = self.server.wait_until_ready(None)
        self.keys["operator"] = self._create_key(client, "operator")
        client = self.client()
        self._apply(client, 1)
        # With the clock of events there is no time before the first one.
        self._pusher()(client)
        for number in range(1, self.chance.randint(2, MOST_ROUNDS) + 1):
            self.round = number
            self.work_until_the_power_goes()
            self.restart()
            self.check(self.server.wait_until_ready(self.keys["operator"]))
            self.budget.say(f"{self.number}: {self.round} rounds, {len(self.batches.acknowledged)} batches")
            if self.budget.over():
                break

    def client(self) -> tw.Client:
        return tw.Client(f"http://127.0.0.1:{self.server.port}", retries=0, timeout=30, api_key=self.keys["operator"])

    def tail(self) -> str:
        """What the server said last."""
        lines = self.server.log.read_text(errors="replace").splitlines() if self.server.log.exists() else []
        return "\n".join(f"  | {line[:300]}" for line in lines[-15:])

    # -- the work --------------------------------------------------------------------------------------------------

    def work_until_the_power_goes(self) -> None:
        dying = threading.Event()
        workers = [Worker(self, dying, self._pusher()) for _ in range(PUSHERS)]
        workers.append(Worker(self, dying, self._clicker()))
        workers.append(Worker(self, dying, self._operator(random.Random(self.chance.random()))))
        for worker in workers:
            worker.start()
        # Mostly soon, so that first files and first directories are hit; at times late enough for compactions.
        time.sleep(self.chance.uniform(0.02, self.chance.choice((0.3, 1.5, 1.5, 6.0))))
        dying.set()
        killed_first = self.chance.random() < 0.3
        if killed_first:
            self.server.kill()
        else:
            self._cut_the_power()
        for worker in workers:
            worker.join(STARTED_WITHIN_SECONDS)
        for worker in workers:
            if worker.refused is not None:
                raise Broken(f"a server that lived refused: {worker.refused}")
        if killed_first:
            self._repeat_then_cut_the_power()

    def _repeat_then_cut_the_power(self) -> None:
        """After a kill the system still has what was not synced. What a retry is told of it has to last too."""
        self.notes["kills before"] += 1
        self.server.start()
        client = self.server.wait_until_ready(self.keys["operator"])
        if self.applying is not None:
            self._apply(client, self.applying)
        self._send_again(client, None, None)
        self._cut_the_power()

    def _cut_the_power(self) -> None:
        self.server.kill()
        self.losses += 1
        for what, many in self.disk.crash(self.chance.getrandbits(48)).items():
            self.notes[what] += many

    def restart(self) -> None:
        """Starts the server again; at times the power goes in the middle of that too."""
        self.server.start()
        while self.chance.random() < 0.25:
            time.sleep(self.chance.uniform(0, 1.0))
            self._cut_the_power()
            self.server.start()

    def _pusher(self) -> Callable[[tw.Client], None]:
        def push(client: tw.Client) -> None:
            with self.lock:
                number = self._next(self.batches)
                self.batches.doubtful.add(number)
            client.push("payments", self.batch(number), idempotency_key=f"batch-{number}")
            with self.lock:
                self.batches.doubtful.remove(number)
                self.batches.acknowledged.add(number)

        return push

    def _clicker(self) -> Callable[[tw.Client], None]:
        def click(client: tw.Client) -> None:
            with self.lock:
                number = self._next(self.clicks)
                self.clicks.doubtful.add(number)
            self._click(client, number)
            with self.lock:
                self.clicks.doubtful.remove(number)
                self.clicks.acknowledged.add(number)

        return click

    def _operator(self, chance: random.Random) -> Callable[[tw.Client], None]:
        def operate(client: tw.Client) -> None:
            time.sleep(chance.uniform(0, 0.4))
            match chance.randrange(4):
                case 0:
                    client.flush()
                case 1:
                    self._apply(client, (self.applying or self.applied) + 1)
                case 2:
                    name = f"key{len(self.keys)}"
                    self.keys[name] = self._create_key(client, name)
                case 3:
                    client.features("spending", {"user": USERS})

        return operate

    @staticmethod
    def _next(sent: Sent) -> int:
        return len(sent.acknowledged) + len(sent.doubtful)

    def _apply(self, client: tw.Client, number: int) -> None:
        self.applying = number
        self.manifests.add(client.apply(project(number), allow_breaking=True).hash)
        self.applied, self.applying = number, None

    @staticmethod
    def _create_key(client: tw.Client, name: str) -> str:
        return str(client._post("/v1/keys", {"name": name, "namespaces": ["*"], "scopes": ["admin"]})["key"])

    @staticmethod
    def _click(client: tw.Client, number: int) -> bool:
        user = {"user": USERS[number % len(USERS)]}
        written = client.direct("web.clicks").incr(user, number, idempotency_key=f"click-{number}")
        return written.repeated

    def batch(self, number: int) -> pa.Table:
        ids = range(number * BATCH, (number + 1) * BATCH)
        times = [BEGIN + one * 50_000_000 for one in ids]
        return pa.table(
            {
                "id": pa.array(ids, pa.int64()),
                "user": [USERS[one % len(USERS)] for one in ids],
                "at": pa.array(times, pa.timestamp("us", "UTC")),
                "amount": pa.array(ids, pa.int64()),
                "note": [self.note] * BATCH,
            }
        )

    # -- the judgement ---------------------------------------------------------------------------------------------

    def check(self, client: tw.Client) -> None:
        self._check_administration(client)
        client.flush()
        payments = self._history("payments", "id")
        clicks = self._history("web__clicks", "operand")
        landed = self._whole(payments, self.batches, BATCH, "batch")
        clicked = self._whole(clicks, self.clicks, 1, "click")
        ledgers = {"payments": payments, "web__clicks": clicks}
        for source, rows in ledgers.items():
            ledger = client.ledger(source)
            _demand(ledger["applied"] == len(rows), f"history of {source} has {len(rows)} rows, its ledger is {ledger}")
            parts = sum(ledger[part] for part in ("applied", "deduplicated", "filtered", "quarantined"))
            _demand(ledger["read"] == parts, f"the ledger of {source} does not add up: {ledger}")
        self._check_values(client, payments, clicks)
        self._send_again(client, landed, clicked)

    def _check_administration(self, client: tw.Client) -> None:
        known = {manifest["hash"] for manifest in client._get("/v1/manifests")}
        _demand(self.manifests <= known, f"{len(self.manifests - known)} applied manifests are gone")
        listed = {key["name"] for key in client._get("/v1/keys")}
        _demand(self.keys.keys() <= listed, f"API keys are gone: {sorted(self.keys.keys() - listed)}")
        # A torn last line is one that nobody was told of.
        audited: Counter[str] = Counter()
        for file in sorted((self.server.data / "audit").glob("*.jsonl")):
            for line in file.read_text(errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    audited[entry["operation"]] += entry["outcome"] == "ok"
        for operation, many in {"apply": len(self.manifests), "change_keys": len(self.keys)}.items():
            found = audited[operation]
            _demand(found >= many, f"the audit log has {found} lines of {operation}, of {many} that were answered")

    def _history(self, source: str, column: str) -> list[int]:
        """The numbers in a source's table, as another engine reads them."""
        try:
            table = DeltaTable(str(self.server.data / "history" / source)).to_pyarrow_table(
                columns=[column, "__sequence"]
            )
        except TableNotFoundError:
            return []
        sequences = table["__sequence"].to_pylist()
        _demand(len(set(sequences)) == len(sequences), f"sequences occur twice in the history of {source}")
        return [int(number) for number in table[column].to_pylist()]

    @staticmethod
    def _whole(numbers: list[int], sent: Sent, size: int, what: str) -> set[int]:
        """Which batches are in history; each is there wholly and once, or was never acknowledged and is not there."""
        _demand(len(set(numbers)) == len(numbers), f"{what}: rows are in history twice")
        parts = Counter(number // size for number in numbers)
        torn = sorted(number for number, count in parts.items() if count != size)
        _demand(not torn, f"{what} {torn[:3]} is there in part")
        lost = sorted(sent.acknowledged - parts.keys())
        _demand(not lost, f"{what}: {len(lost)} that were acknowledged are gone, such as {lost[:5]}")
        unknown = sorted(parts.keys() - sent.acknowledged - sent.doubtful)
        _demand(not unknown, f"{what} {unknown[:3]} was never sent")
        return set(parts)

    def _check_values(self, client: tw.Client, payments: list[int], clicks: list[int]) -> None:
        rows, totals, clicked = Counter(), Counter(), Counter()
        for number in payments:
            rows[USERS[number % len(USERS)]] += 1
            totals[USERS[number % len(USERS)]] += number
        for number in clicks:
            clicked[USERS[number % len(USERS)]] += number
        live = client.features("spending", {"user": USERS})
        values = live.to_dict()
        wanted = {"rows": rows, "ids": rows, "total": totals, "value": clicked}
        for name, column in values.items():
            if (counted := wanted.get(name.rpartition(".")[2])) is not None:
                expected = [counted[user] for user in USERS]
                found = [value or 0 for value in column]
                _demand(found == expected, f"{name} is {found}, history says {expected}")
        moments = pa.array([live.as_of] * len(USERS), pa.timestamp("us", "UTC"))
        spine = pa.table({"user": USERS, "timestamp": moments})
        trained = client.training_set("spending", spine, as_of="arrival", progress=False).to_arrow()
        for name, column in values.items():
            if "." in name:
                again = trained[name.replace(".", "__")].to_pylist()
                _demand(again == column, f"{name} is {column} live and {again} in the training set")

    def _send_again(self, client: tw.Client, landed: set[int] | None, clicked: set[int] | None) -> None:
        """What was in doubt is sent again with its key: repeated where it had landed, else taken now."""
        # Without the two sets nobody has looked what had landed.
        for number in sorted(self.batches.doubtful):
            repeated = client.push("payments", self.batch(number), idempotency_key=f"batch-{number}").repeated
            _demand(
                landed is None or repeated == (number in landed), f"batch {number} sent again: repeated is {repeated}"
            )
        for number in sorted(self.clicks.doubtful):
            repeated = self._click(client, number)
            _demand(
                clicked is None or repeated == (number in clicked), f"click {number} sent again: repeated is {repeated}"
            )
        self.batches.settle()
        self.clicks.settle()


class Worker(threading.Thread):
    """Does its work again and again until the server dies; remembers a refusal that came before."""

    def __init__(self, story: Story, dying: threading.Event, work: Callable[[tw.Client], None]) -> None:
        super().__init__(daemon=True)
        self.client, self.dying, self.work = story.client(), dying, work
        self.refused: Exception | None = None

    def run(self) -> None:
        try:
            while not self.dying.is_set():
                self.work(self.client)
        except tw.ThalwegError as error:
            if not self.dying.is_set():
                self.refused = error
        finally:
            self.client.close()


def project(number: int) -> tw.Project:
    """What is defined; each number has a view of its own besides, which is filled from history."""
    schema: dict[str, Any] = {"id": tw.int64, "user": tw.string, "at": tw.timestamp, "amount": tw.int64}
    schema["note"] = tw.string
    if number > 2:
        schema["later"] = tw.float64
    payments = tw.EventSource("payments", schema=schema, timestamp="at")
    user = tw.Entity("user", keys={"user": tw.string})
    features = {"rows": tw.count(), "total": tw.sum("amount"), "ids": tw.distinct_count("id"), "newest": tw.last("id")}
    spend = tw.FeatureView("spend", entity=user, source=payments, features=features)
    added = {"rows": tw.count(), "total": tw.sum("amount")}
    own = tw.FeatureView(f"added_{number}", entity=user, source=payments, features=added)
    clicks = tw.DirectFeature("clicks", entity=user, primitive=int, namespace="web")
    return tw.Project("power", [tw.FeatureService("spending", features=[spend, own, clicks])])


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)
