"""A server that runs for long at work takes no more than it did: with retention in force, memory, handles and disk stay
where they were however many events have passed, every row is accounted for, and every value is that of a plain count.

Event time passes at a thousand times its pace, so that all that is kept for a while is let go again many times over:
rows and entities, repeated keys, checkpoints, segments of the log, tables of history, recorded answers.
"""

from __future__ import annotations

import http.client
import json
import queue
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from proof.budget import Budget
from proof.load import events, plot, server
from proof.load.flatness import flatness
from proof.load.process import MEBIBYTE, Sample, Watch, available
from proof.outcome import Outcome

UNIT = "events"
SECONDS, LONG_SECONDS = 120, 1800
SHORT_EVENTS, LONG_EVENTS = 10_000_000, 50_000_000
# Batches that the newest may be ahead of a read: less than the day by which retention is longer than the windows.
LAG_OF_READS = 8
# From so many reads on, some have to be in time.
ENOUGH_READS = 10
SETTINGS = {
    "clock": "events",
    "memory": "256MB",
    "checkpoint_interval": "2s",
    "history_interval": "2s",
    "history_rows": "500000",
    "history_vacuum_age": "5s",
    "log_retention_bytes": "64MB",
    "log_retention_age": "1s",
    "served_retention_bytes": "16MB",
    "served_retention_age": "1m",
    "agreement_interval": "off",
}
PUSHERS = 3
# Of the events, until everything that is kept for a while has been let go of once: of the repeated keys, after 8 days.
WARM_EVENTS = 2_000_000
# Until the allocator has split what it got from the system as finely as it ever will: each thread fills arenas of its
# own. From there on memory may grow by this share, between the second and the last quarter.
SETTLED_EVENTS, FLAT = 15_000_000, 0.05
# At any time: entities, the queue, keys of a million rows, rows of a commit to history, and what the allocator splits.
MEMORY_MOST = 2048 * MEBIBYTE
HANDLES = 8
# Segments of 64 MiB: two of the log behind the one being written, and a state that is rewritten at 256 MiB.
DISK_MOST = {"log": 4 * 64 * MEBIBYTE, "state": (256 + 4 * 64) * MEBIBYTE, "served": 64 * MEBIBYTE}
# Of a part without a bound of its own: commits of the tables of history stay for a month of the machine's time.
SLACK = 16 * MEBIBYTE
CARDS_OF_READ = 2_000
# Batches of a day before the oldest that is still on its way, and those of the pushers.
REMEMBERED = 12 + 8 * PUSHERS
CLICKED = 1_000


def run(budget: Budget) -> Outcome:
    outcome = Outcome(0, UNIT)
    if not available():
        outcome.skipped = "this system shows no processes under /proc"
        return outcome
    soak = Soak(budget, outcome)
    try:
        soak.run()
    finally:
        soak.server.stop()
        server.keep_log(soak.server, budget.work / "soak-server.log")
    return outcome


class Soak:
    """One run: pushers, a reader, a writer of direct features, and an observer beside them."""

    def __init__(self, budget: Budget, outcome: Outcome) -> None:
        self.budget, self.outcome = budget, outcome
        self.events = LONG_EVENTS if budget.long else SHORT_EVENTS
        self.server = server.started(budget.work / "soak", SETTINGS)
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        # Batches that were sent, newest last, and how far all of them are acknowledged.
        self.sent: deque[events.Batch] = deque(maxlen=REMEMBERED)
        self.waiting: set[int] = set()
        self.next = self.taken = self.repeats = self.clicks = 0
        self.sums = dict.fromkeys(("read", "applied", "deduplicated", "filtered", "quarantined"), 0)
        self.values = self.reads = self.late_reads = 0
        self.latencies: list[float] = []
        self.again = f"python -m proof soak --seed {budget.seed}{' --long' if budget.long else ''}"

    def broken(self, text: str) -> None:
        with self.lock:
            self.outcome.broken.append(f"{text}; repeat: {self.again}")
        if len(self.outcome.broken) >= 20:
            self.stopping.set()

    def run(self) -> None:
        server.define(self.server, events.project())
        ready: queue.Queue[tuple[events.Batch, bytes]] = queue.Queue(PUSHERS * 2)
        work = [lambda: self.generate(ready), self.read, self.click]
        work += [lambda: self.push(ready)] * PUSHERS
        began = time.monotonic()
        watch = Watch(server.pid(self.server), self.server.data, lambda: self.taken * events.ROWS, 0.5)
        with watch:
            threads = [threading.Thread(target=self.guarded, args=(one,), daemon=True) for one in work]
            for thread in threads:
                thread.start()
            for thread in (threads[0], *threads[3:]):
                thread.join()
            elapsed = time.monotonic() - began
            self.stopping.set()
            for thread in threads:
                thread.join()
        rows = self.taken * events.ROWS
        self.outcome.count = rows
        self.outcome.notes |= {
            "events a second": round(rows / elapsed),
            "days of event time": round(self.next * events.STRETCH / events.DAY),
            "values compared": self.values,
            "reads": self.reads,
            "reads too late to be answered": self.late_reads,
            "direct writes": self.clicks,
            "repeated pushes": self.repeats,
        }
        self.judge_accounts()
        self.judge_samples(watch.samples)
        for line in server.complaints(self.server)[:3]:
            self.broken(f"the server complained: {line}")

    def guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.broken(f"{type(error).__name__}: {error}")
            self.stopping.set()

    def generate(self, ready: queue.Queue[tuple[events.Batch, bytes]]) -> None:
        """Makes the batches in their order, for as long as there are events to come, and time."""
        while self.next * events.ROWS < self.events and not self.budget.over() and not self.stopping.is_set():
            one = events.batch(self.budget.seed, self.next)
            body = one.as_arrow()
            with self.lock:
                self.sent.append(one)
                self.waiting.add(one.number)
                self.next += 1
            self.offer(ready, (one, body))
        for _ in range(PUSHERS):
            self.offer(ready, None)

    def offer(self, ready: queue.Queue, item: object) -> None:
        while not self.stopping.is_set():
            try:
                ready.put(item, timeout=0.2)
            except queue.Full:
                continue
            return

    def push(self, ready: queue.Queue[tuple[events.Batch, bytes]]) -> None:
        post = Posting(self.server)
        while not self.stopping.is_set():
            try:
                item = ready.get(timeout=0.2)
            except queue.Empty:
                continue
            if item is None:
                return
            one, body = item
            path, key = f"/v1/sources/{events.SOURCE}/events", f"batch {one.number}"
            ack = post.json(path, body, key)
            meant = {
                "read": events.ROWS,
                "applied": one.count(events.PLAIN),
                "deduplicated": one.count(events.REPEATED),
                "filtered": one.count(events.FILTERED),
                "quarantined": one.count(events.BROKEN),
            }
            if any(ack[name] != count for name, count in meant.items()):
                self.broken(f"batch {one.number}: acknowledged {ack}, counted {meant}")
            if one.number % 50 == 0:
                if not post.json(path, body, key)["repeated"]:
                    self.broken(f"batch {one.number} was taken twice under one key")
                self.repeats += 1
            with self.lock:
                for name, count in meant.items():
                    self.sums[name] += count
                self.waiting.discard(one.number)
                self.taken += 1
            self.budget.say(f"{self.taken * events.ROWS:,} events, {self.values:,} values compared")

    def click(self) -> None:
        """Counts clicks of the same cards up, directly, each under a key of its own."""
        post = Posting(self.server)
        while not self.stopping.wait(0.02):
            if self.taken == 0:
                # The clock of events stands still before the first of them.
                continue
            body = {"keys": {"card": self.clicks % CLICKED}, "value": 1}
            post.json(
                "/v1/direct/web.clicks/incr", json.dumps(body).encode(), f"click {self.clicks}", "application/json"
            )
            self.clicks += 1

    def read(self) -> None:
        """Reads cards that are active, that are gone, and that never were, where everything before is acknowledged."""
        post, random = Posting(self.server), self.budget.random("reads")
        rng = np.random.default_rng(random.getrandbits(32))
        while not self.stopping.wait(0.1):
            until, held = self.acknowledged()
            begin = until - 12
            known = [one for one in held if begin <= one.number < until]
            if until < 12 or len(known) < 12:
                continue
            # Where one sender lags behind the others, the time that all is acknowledged for may be past what is held.
            if max(one.number for one in held) - until > LAG_OF_READS:
                continue
            at = events.BEGIN + until * events.STRETCH
            newest = until * events.ENTITIES_OF_BATCH
            cards = rng.integers(newest - 60_000, newest + 200, CARDS_OF_READ)
            began = time.monotonic()
            body = {"service": events.SERVICE, "entities": {"card": cards.tolist()}, "as_of": at}
            answer = post.json("/v1/features", json.dumps(body).encode(), None, "application/json")
            self.latencies.append(time.monotonic() - began)
            self.compare(answer, events.expected(known, cards, at), cards, at)

    def acknowledged(self) -> tuple[int, list[events.Batch]]:
        """The first batch that is not acknowledged yet, and the newest ones that were made."""
        with self.lock:
            return min(self.waiting, default=self.next), list(self.sent)

    def compare(self, answer: dict, meant: dict[str, list[int | None]], cards: np.ndarray, at: int) -> None:
        self.reads += 1
        # What came so late that the state no longer reaches back to its time is told so, and is not compared.
        late = any(status == "ERROR" for result in answer["results"] for status in result["statuses"])
        self.late_reads += late
        for result in answer["results"]:
            values = meant[result["name"].partition(".")[2].removesuffix("_1d")]
            self.values += len(values)
            if result["values"] == values:
                continue
            told, statuses = result["values"], result["statuses"]
            places = [each for each, value in enumerate(values) if told[each] != value and statuses[each] != "ERROR"]
            if not places:
                continue
            place = places[0]
            self.broken(
                f"{result['name']} of card {cards[place]} at {at}: answered {result['values'][place]}"
                f" ({result['statuses'][place]}), counted {values[place]}; {len(places)} of {len(values)} differ"
            )

    def judge_accounts(self) -> None:
        """The ledger has every row, the clicks are as many as were acknowledged, and reads were answered."""
        if self.reads >= ENOUGH_READS and self.late_reads == self.reads:
            self.broken(f"all of {self.reads} reads came too late to be answered")
        post = Posting(self.server)
        ledger = post.json(f"/v1/sources/{events.SOURCE}")
        for name, count in self.sums.items():
            if ledger[name] != count:
                self.broken(f"the ledger says {ledger[name]} {name}, counted {count}")
        body = {"features": ["web__clicks.value"], "entities": {"card": list(range(CLICKED))}}
        answer = post.json("/v1/features", json.dumps(body).encode(), None, "application/json")
        counted = sum(value or 0 for value in answer["results"][0]["values"])
        if counted != self.clicks:
            self.broken(f"the clicks add up to {counted}, acknowledged {self.clicks}")

    def judge_samples(self, samples: list[Sample]) -> None:
        """Memory, handles and disk did not grow."""
        notes = self.outcome.notes
        if self.taken * events.ROWS < 2 * WARM_EVENTS:
            self.broken(f"only {self.taken * events.ROWS:,} events in {self.budget.spent():.0f} s: too few to judge by")
            return
        picture = plot.over_events(samples, self.budget.work / "soak.png", "soak: one server over its events")
        notes["picture"] = str(picture) if picture else "matplotlib is not there"
        (self.budget.work / "soak.json").write_text(json.dumps([vars(sample) for sample in samples]))
        marks = [sample.mark for sample in samples]
        settled = SETTLED_EVENTS if marks[-1] > 2 * SETTLED_EVENTS else WARM_EVENTS
        memory = flatness(marks, [sample.memory for sample in samples], settled)
        notes["memory, MiB"] = memory.text(MEBIBYTE)
        notes["peak of memory, MiB"] = samples[-1].peak // MEBIBYTE
        if settled == SETTLED_EVENTS and not memory.within(FLAT):
            self.broken(f"memory grew: {memory.text(MEBIBYTE, ' MiB')}, past {FLAT:.0%}")
        if samples[-1].peak > MEMORY_MOST:
            self.broken(f"memory came to {samples[-1].peak // MEBIBYTE} MiB, past {MEMORY_MOST // MEBIBYTE}")
        for name in ("handles", "threads"):
            flat = flatness(marks, [getattr(sample, name) for sample in samples], WARM_EVENTS)
            notes[name] = flat.text()
            # The threads that the lake may have are bounded, and a short run is over before they are all there.
            if flat.late > flat.early + HANDLES and (name == "handles" or settled == SETTLED_EVENTS):
                self.broken(f"{name} grew: {flat.text()}")
        self.judge_disk([sample for sample in samples if sample.mark >= WARM_EVENTS])

    def judge_disk(self, samples: list[Sample]) -> None:
        half = (samples[0].mark + samples[-1].mark) / 2
        for part in sorted({part for sample in samples for part in sample.disk}):
            sizes = [sample.disk.get(part, 0) for sample in samples]
            early = max(size for sample, size in zip(samples, sizes, strict=True) if sample.mark < half)
            late = max(size for sample, size in zip(samples, sizes, strict=True) if sample.mark >= half)
            self.outcome.notes[f"disk, {part}, MiB"] = (
                f"{early / MEBIBYTE:.1f} -> {late / MEBIBYTE:.1f} (most of halves)"
            )
            # The teeth of some saws are as long as a short run; what grows with the events grows past any bound.
            most = DISK_MOST.get(part, early * 1.25 + SLACK)
            if late > most:
                self.broken(
                    f"{part} takes {late / MEBIBYTE:.0f} MiB of disk, after {early / MEBIBYTE:.0f} in the half before"
                )


class Posting:
    """Requests of one thread, over one connection."""

    def __init__(self, target: server.Server) -> None:
        self.connection = http.client.HTTPConnection(target.address, timeout=60)

    def json(self, path: str, body: bytes | None = None, key: str | None = None, content: str = server.ARROW) -> dict:
        headers = {"content-type": content} | ({"idempotency-key": key} if key else {})
        self.connection.request("GET" if body is None else "POST", path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {text[:500]!r}")
        return json.loads(text)
