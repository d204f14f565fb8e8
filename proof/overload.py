"""A server that is asked for far more than it can do refuses the rest in each door's own words, and stays well: what it
takes it answers in time, its memory stays within its bounds, readers go on, nothing acknowledged is lost or counted
twice, and soon after the load has ended it is as it was.

The load is open-loop: requests begin when they are due, however those before them fare, through HTTP with Arrow, JSON
and lines, gRPC and the Redis protocol at once, over hundreds of connections. After the flood come spikes, and one
client that sends the largest bodies there may be while others send small ones.
"""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass

import thalweg as tw
from proof.budget import Budget
from proof.load import doors, server
from proof.load.flood import Flood, Plan, Stretch
from proof.load.process import MEBIBYTE, Watch, available, look
from proof.outcome import Outcome

UNIT = "requests"
SECONDS, LONG_SECONDS = 90, 900
SETTINGS = {
    "memory": "64MB",
    "max_body": "2MB",
    "max_queue": "8MB",
    "checkpoint_interval": "2s",
    "history_interval": "2s",
    "agreement_interval": "off",
}
# Bytes of bodies that may be in memory at a time, over HTTP and again over gRPC, and the queue before the log.
BODIES = 4 * 2_000_000 + 8 * MEBIBYTE
QUEUE = 8_000_000
ENTITIES = 64_000_000
# What a server of these settings takes without any load, its program and pages of it included, with room for history:
# rows of a commit, which are in memory a few times over while they are sorted and written.
STANDING = 400 * MEBIBYTE
# A byte of a body is several in work: as text, decoded, packed for the log and as cells of an entity.
UNFOLDED = 10
MEMORY_MOST = STANDING + ENTITIES + UNFOLDED * (2 * BODIES + QUEUE)
# Fixed, and generous: two processors are shared with five generators.
TAKEN_P99, READ_P99 = 10.0, 5.0
# Of reads, the share that is answered: they compete for the memory of bodies with everything else.
READS_ANSWERED = 0.5
RECOVERED_SECONDS, RECOVERED_LATENCY = 10.0, 0.5
BIG_ROWS = 45_000
CALM, REST, SPIKES = 4.0, 6.0, 5


@dataclass(frozen=True)
class Load:
    """A generator: its rate while the load is on, and whether it goes on while it is off."""

    name: str
    door: str
    form: str
    rows: int
    connections: int
    rate: float
    when: tuple[str, ...] = ("flood", "spike")


LOADS = (
    Load("http-arrow", "http", "arrow", 5_000, 150, 600),
    Load("http-json", "http", "json", 500, 100, 400),
    Load("http-lines", "http", "ndjson", 500, 100, 400),
    Load("grpc-arrow", "grpc", "arrow", 5_000, 128, 500),
    Load("redis-incr", "redis", "incr", 1, 100, 2_000),
    Load("huge", "http", "arrow", BIG_ROWS, 16, 60, ("huge",)),
    Load("small", "http", "json", 1, 40, 40, ("calm", "flood", "spike", "rest", "huge")),
    Load("read-http", "http", "read", 100, 40, 40, ("calm", "flood", "spike", "rest", "huge")),
    Load("read-redis", "redis", "read", 1, 40, 40, ("calm", "flood", "spike", "rest", "huge")),
)
READERS = ("read-http", "read-redis")
FLOODS = ("http-arrow", "http-json", "http-lines", "grpc-arrow", "redis-incr")


def project() -> tw.Project:
    card = tw.Entity("card", keys={"card": tw.int64})
    schema = {"card": tw.Column(tw.int64, required=True), "amount": tw.int64, "at": tw.timestamp, "note": tw.string}
    orders = tw.EventSource(doors.SOURCE, schema=schema, timestamp="at")
    features = {"n": tw.count(), "total": tw.sum("amount")}
    spend = tw.FeatureView("spend", entity=card, source=orders, features=features)
    clicks = tw.DirectFeature("clicks", entity=card, primitive=int, namespace="web")
    return tw.Project("overload", [tw.FeatureService(doors.SERVICE, [spend]), clicks])


def run(budget: Budget) -> Outcome:
    outcome = Outcome(0, UNIT)
    if not available():
        outcome.skipped = "this system shows no processes under /proc"
        return outcome
    running = server.started(budget.work / "overload", SETTINGS)
    try:
        Trial(budget, outcome, running).run()
    finally:
        running.stop()
        server.keep_log(running, budget.work / "overload-server.log")
    return outcome


class Trial:
    """One server under load, and what is held against it."""

    def __init__(self, budget: Budget, outcome: Outcome, running: server.Server) -> None:
        self.budget, self.outcome, self.server = budget, outcome, running
        self.phases = phases(max(8.0, budget.seconds - 50))
        self.again = f"python -m proof overload --seed {budget.seed} --seconds {budget.seconds:.0f}"

    def broken(self, text: str) -> None:
        self.outcome.broken.append(f"{text}; repeat: {self.again}")

    def run(self) -> None:
        server.define(self.server, project())
        before = look(server.pid(self.server)).memory
        floods: list[Flood] = []
        found: dict[str, list[Stretch]] = {}
        with Watch(server.pid(self.server), None, every=0.1) as watch:
            try:
                floods.extend(Flood(self.plan(load)) for load in LOADS)
                for flood in floods:
                    flood.wait_until_ready()
                begins = time.time() + 0.5
                for flood in floods:
                    flood.begin(begins)
                for flood in floods:
                    found[flood.plan.name] = flood.result()
                    self.budget.say(f"{flood.plan.name} is done")
            finally:
                for flood in floods:
                    flood.stop()
            recovered = self.recovery()
        self.count(found)
        self.judge_doors(found)
        self.judge_latencies(found)
        self.judge_accounts(found)
        self.judge_memory(before, [sample.memory for sample in watch.samples])
        if recovered is None:
            self.broken(f"{RECOVERED_SECONDS:.0f} s after the load a write and its read still take too long")
        self.outcome.notes["recovered after, s"] = recovered
        if complaints := server.complaints(self.server):
            self.broken(f"the server complained {len(complaints)} times: {complaints[0]}")

    def plan(self, load: Load) -> Plan:
        address = self.server.redis if load.door == "redis" else self.server.address
        schedule = [(seconds, load.rate if kind in load.when else 0.0) for kind, seconds in self.phases]
        seed = self.budget.random(load.name).getrandbits(32)
        address = address.partition("://")[2] or address
        return Plan(load.name, load.door, address, load.form, load.rows, load.connections, schedule, seed)

    def count(self, found: dict[str, list[Stretch]]) -> None:
        self.outcome.count = sum(stretch.sent for stretches in found.values() for stretch in stretches)
        for name, stretches in found.items():
            said = {
                field: sum(getattr(one, field) for one in stretches)
                for field in ("sent", "taken", "busy", "wrong", "unsent")
            }
            self.outcome.notes[name] = " ".join(f"{field} {number}" for field, number in said.items())

    def judge_doors(self, found: dict[str, list[Stretch]]) -> None:
        """Each door refused in its own words, took something, and nothing else came of a request."""
        for name, stretches in found.items():
            wrong = [text for stretch in stretches for text in stretch.texts]
            if wrong:
                number = sum(stretch.wrong for stretch in stretches)
                self.broken(f"{name}: {number} requests were neither taken nor refused as busy, such as {wrong[0]}")
        for name in FLOODS:
            if not any(stretch.busy for stretch in found[name]):
                self.broken(f"{name}: nothing was refused: the load was not past what the server can do")
            if not any(stretch.taken for stretch in found[name]):
                self.broken(f"{name}: nothing was taken")

    def judge_latencies(self, found: dict[str, list[Stretch]]) -> None:
        for name, stretches in found.items():
            for (kind, _), stretch in zip(self.phases, stretches, strict=True):
                p99, most = stretch.quantile(0.99), READ_P99 if name in READERS else TAKEN_P99
                if stretch.taken:
                    key = f"{kind}, {name}, p50 and p99, ms"
                    text = f"{stretch.quantile(0.5) * 1e3:.1f} {p99 * 1e3:.1f} ({stretch.taken} of {stretch.sent})"
                    self.outcome.notes.setdefault(key, text)
                if p99 > most:
                    self.broken(f"{name}: p99 of what was taken in a {kind} is {p99:.2f} s, past {most:.0f} s")
                if name in READERS and stretch.taken < READS_ANSWERED * stretch.sent:
                    self.broken(f"{name}: {stretch.taken} of {stretch.sent} reads were answered in a {kind}")

    def judge_accounts(self, found: dict[str, list[Stretch]]) -> None:
        """Acknowledged rows are in the ledger and in the sums, each once."""
        pushes = [name for name in found if name not in READERS and name != "redis-incr"]
        acknowledged = sum(stretch.rows for name in pushes for stretch in found[name])
        settled = acknowledged + sum(self.settle(name, found[name]) for name in pushes)
        ledger = self.asked(f"/v1/sources/{doors.SOURCE}")
        if ledger["applied"] != settled or ledger["read"] != settled:
            self.broken(f"the ledger has {ledger['applied']} of {ledger['read']} rows, acknowledged are {settled}")
        for feature in ("spend.n", "spend.total"):
            if (total := self.summed(feature)) != settled:
                self.broken(f"{feature} adds up to {total}, acknowledged are {settled}")
        clicks = sum(stretch.rows for stretch in found["redis-incr"])
        doubtful = sum(len(stretch.doubtful) for stretch in found["redis-incr"])
        if not clicks <= (total := self.summed("web__clicks.value")) <= clicks + doubtful:
            self.broken(f"the clicks add up to {total}, acknowledged are {clicks}, in doubt {doubtful}")
        self.outcome.notes["rows acknowledged"] = settled + clicks

    def settle(self, name: str, stretches: list[Stretch]) -> int:
        """Sends what is in doubt again under its name, so that it counts once; the rows that this makes sure of."""
        load = next(load for load in LOADS if load.name == name)
        rows, content = 0, doors.CONTENT[load.form]
        for push in (push for stretch in stretches for push in stretch.doubtful):
            body = doors.encoded(load.form, load.rows)
            self.asked(f"/v1/sources/{doors.SOURCE}/events", body, {"idempotency-key": push, "content-type": content})
            rows += load.rows
        return rows

    def summed(self, feature: str) -> int:
        body = {"features": [feature], "entities": {"card": list(range(doors.CARDS))}}
        answer = self.asked("/v1/features", json.dumps(body).encode())
        return sum(value or 0 for value in answer["results"][0]["values"])

    def judge_memory(self, before: int, during: list[int]) -> None:
        most, after = max(during), look(server.pid(self.server)).memory
        figures = {"before": before, "most": most, "after": after, "bound": MEMORY_MOST}
        text = ", ".join(f"{name} {size // MEBIBYTE}" for name, size in figures.items())
        self.outcome.notes["memory, MiB"] = text
        if most > MEMORY_MOST:
            self.broken(f"memory went past its bound: {text} MiB")

    def recovery(self) -> float | None:
        """Seconds until writes and their reads are quick again; none where that takes too long."""
        began, quick = time.monotonic(), 0
        body = json.dumps({"value": 0, "keys": {"card": 0}}).encode()
        while time.monotonic() - began < RECOVERED_SECONDS:
            at = time.monotonic()
            try:
                self.asked("/v1/direct/web.clicks/incr", body)
                self.summed("spend.n")
            except RuntimeError:
                quick = 0
                continue
            quick = quick + 1 if time.monotonic() - at < RECOVERED_LATENCY else 0
            if quick == 5:
                return round(time.monotonic() - began, 2)
        return None

    def asked(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> dict:
        connection = http.client.HTTPConnection(self.server.address, timeout=doors.PATIENCE)
        headers = {"content-type": "application/json"} | (headers or {})
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {text[:300]!r}")
        return json.loads(text)


def phases(seconds: float) -> list[tuple[str, float]]:
    """The parts of the trial and their lengths: half of the time is a flood without a pause."""
    spike = seconds / 4 / SPIKES / 2
    spikes = [part for _ in range(SPIKES) for part in (("spike", spike), ("rest", spike))]
    return [("calm", CALM), ("flood", seconds / 2), ("rest", REST), *spikes, ("huge", seconds / 4), ("rest", REST)]
