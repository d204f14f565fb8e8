"""One data directory and its server, killed round after round, and held after each against what it had acknowledged."""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from semantics.server_process import ServerProcess, free_port

import thalweg as tw

from . import past, pushes
from .definitions import BASE_VIEWS, BY_REGION, BY_USER, SOURCES, USERS, project
from .doors import JSON, Http, Refused
from .expected import COUNTS, Expected, Push, Write
from .mixture import COMMITS_BEFORE_COMPACTION, Mixture, settings
from .paperwork import Paperwork
from .seen import Broken, Seen
from .workers import (
    SHARED,
    Address,
    Applier,
    DirectWriter,
    Flusher,
    KeyMaker,
    Pusher,
    Reader,
    RedisWriter,
    Trainer,
    Worker,
    pushers,
    send,
)

MOST_EXTRA_VIEWS = 3
OLD_ANSWERS = 24
READY_WITHIN_SECONDS = 30


@dataclass
class Tally:
    """What was tried, over all lives."""

    rounds: int = 0
    kills: int = 0
    kills_while_starting: int = 0
    acknowledged_rows: int = 0
    values_compared: int = 0
    in_flight: Counter = field(default_factory=Counter)
    found: Counter = field(default_factory=Counter)
    """What kills left behind, and what starts made of it."""


class Life:
    """A data directory from its first start to its removal."""

    def __init__(self, folder: Path, chance: random.Random, tally: Tally) -> None:
        self.chance, self.tally = chance, tally
        clock = chance.choice(("events", "events", "system"))
        self.keyed, self.bulky = chance.random() < 0.3, chance.random() < 0.25
        self.server = ServerProcess(folder / "data", clock, settings(chance, self.bulky))
        self.redis_port = free_port()
        self.server.settings["redis_port"] = self.redis_port
        self.expected = Expected(chance, clock)
        self.extra: dict[str, str] = {}
        self.views_made = 0
        self.api_key: str | None = None
        self.paperwork = Paperwork()
        self.answers: list[tuple[str, dict]] = []
        self.old_answers: list[tuple[str, dict]] = []
        self.quarantine_known: dict[str, int] = {}
        self.rounds = 0
        self.doing = "the first start"

    @property
    def data(self) -> Path:
        return self.server.data

    def begin(self) -> None:
        """The first start: definitions, maybe a key, and the first rows."""
        self.start()
        http = self.http()
        if self.keyed:
            body = {"name": "ops", "namespaces": ["*"], "scopes": ["admin"]}
            made = http.post("/v1/keys", body)
            self.api_key = made["key"]
            self.paperwork.changed("change_keys")
            http = self.http()
        compiled = project({}).compile()
        http.bytes("POST", "/v1/apply", compiled.json.encode())
        self.paperwork.applied(compiled.hash)
        for make in (
            lambda: pushes.payments(self.expected, self.chance, JSON, 0),
            lambda: pushes.clicks(self.expected, self.chance, []),
            lambda: pushes.changes(self.expected, self.chance, {}, 0, 1),
        ):
            push = make()
            self.take(push, http.push(push.source, push.body, push.content, push.key))

    def end(self) -> None:
        self.server.kill()

    def http(self) -> Http:
        return Http(self.server.port, self.api_key)

    def client(self) -> tw.Client:
        return tw.Client(f"http://127.0.0.1:{self.server.port}", retries=0, api_key=self.api_key)

    def take(self, push: Push, ack: dict) -> None:
        """A push is acknowledged: the figures it was answered with are those it should have had."""
        if (given := {name: ack[name] for name in COUNTS}) != push.counts:
            raise Broken(f"a push to {push.source} was acknowledged with {given} and not {push.counts}")
        self.expected.take(push, ack)
        self.tally.acknowledged_rows += ack["applied"]

    def start(self, kills: tuple[float, ...] = ()) -> None:
        """Starts the server, which is killed at first, some seconds after each start; then waits until it is ready."""
        for seconds in kills:
            self.server.spawn()
            time.sleep(seconds)
            self.server.kill()
            self.tally.kills += 1
            self.tally.kills_while_starting += 1
        self.server.start()
        http = Http(self.server.port, self.api_key)
        deadline, waited = time.monotonic() + READY_WITHIN_SECONDS, False
        while True:
            try:
                http.bytes("GET", "/readyz")
                break
            except Refused as error:
                waited = True
                if time.monotonic() > deadline:
                    raise Broken(f"it does not become ready: {error}") from error
                time.sleep(0.005)
        self.tally.found["views filled after the restart"] += waited
        self.commits_at_start = self.commits()

    def commits(self) -> int:
        return sum(1 for _ in (self.data / "history" / "payments" / "_delta_log").glob("*.json"))

    # A round

    def round(self) -> None:
        mixture = Mixture.draw(self.chance, keyed=self.keyed, bulky=self.bulky)
        self.rounds += 1
        self.doing = f"{mixture.text()}; {self.server.clock} clock, {self.server.settings}"
        workers = self.workers(mixture)
        oldest_log = min(self.data.glob("log/*.log"), default=None)
        for worker in workers:
            worker.start()
        self.aim(mixture, workers)
        killed = time.monotonic()
        self.server.kill()
        self.tally.kills += 1
        for worker in workers:
            worker.halt.set()
            worker.join(60)
            if worker.is_alive():
                raise Broken(f"{worker.kind} goes on without a server")
            if worker.failure:
                raise Broken(worker.failure)
            self.tally.in_flight[worker.kind] += worker.began is not None and worker.began < killed
        self.take_acknowledged(workers)
        self.look_while_dead(workers)
        self.server.settings |= settings(self.chance, self.bulky)
        log_before = self.server.log.stat().st_size
        self.start(mixture.kills_while_starting)
        self.tally.found["torn end of the log cut"] += self.said("cut_bytes=", log_before)
        if oldest_log is not None and not oldest_log.exists():
            self.tally.found["log cut by retention"] += 1
        self.check(workers, mixture)
        self.tally.rounds += 1

    def workers(self, mixture: Mixture) -> list[Worker]:
        address = Address(self.server.port, self.redis_port, self.api_key)

        def own() -> random.Random:
            return random.Random(self.chance.getrandbits(64))

        wanted = [*mixture.pushers, *(["blobs"] if mixture.blobs else [])]
        workers: list[Worker] = [*pushers(address, self.chance, self.expected, wanted)]
        writers = mixture.direct + mixture.redis
        shares = [[user for user in USERS[place::writers] if user != SHARED] for place in range(writers)]
        workers += [DirectWriter(address, own(), self.expected, users) for users in shares[: mixture.direct]]
        workers += [RedisWriter(address, own(), self.expected, users) for users in shares[mixture.direct :]]
        workers += [Reader(address, own()) for _ in range(mixture.readers)]
        eager = mixture.aim in ("compaction", "checkpoint")
        workers += [Flusher(address, own(), eager) for _ in range(mixture.flushers)]
        workers += [Trainer(address, own()) for _ in range(mixture.trainers)]
        if mixture.apply:
            extra = self.next_extra()
            workers.append(Applier(address, own(), extra, project(extra).compile()))
        if mixture.keys:
            workers.append(KeyMaker(address, own(), f"round-{self.rounds}"))
        return workers

    def next_extra(self) -> dict[str, str]:
        """The views of the next manifest: one more, or one less."""
        extra = dict(self.extra)
        if len(extra) == MOST_EXTRA_VIEWS or (extra and self.chance.random() < 0.4):
            del extra[self.chance.choice(sorted(extra))]
            return extra
        self.views_made += 1
        return {**extra, f"extra_{self.views_made}": self.chance.choice(sorted(BASE_VIEWS))}

    def aim(self, mixture: Mixture, workers: list[Worker]) -> None:
        """Waits for the moment of the kill."""

        def until(seen: Callable[[], bool], seconds: float, every: float = 0.002) -> None:
            deadline = time.monotonic() + seconds
            while not seen() and time.monotonic() < deadline:
                time.sleep(every)

        if mixture.aim == "acknowledgements":
            loads = [worker for worker in workers if isinstance(worker, Pusher | DirectWriter)]
            until(lambda: sum(len(load.acknowledged) for load in loads) >= mixture.acknowledgements, 1.5)
            return
        if mixture.aim == "compaction":
            before = self.commits_at_start + COMMITS_BEFORE_COMPACTION - 1
            until(lambda: self.commits() >= before, 4)
            self.tally.found["kills aimed at a compaction"] += self.commits() >= before
        elif mixture.aim == "apply":
            (applier,) = (worker for worker in workers if isinstance(worker, Applier))
            applier.sent.wait(5)
        elif mixture.aim == "checkpoint":
            time.sleep(self.chance.uniform(0.05, 0.3))
            until(lambda: any((self.data / "state").glob("*.tmp")), 0.5, 0)
        time.sleep(mixture.seconds)

    # What is there afterwards

    def take_acknowledged(self, workers: list[Worker]) -> None:
        for worker in workers:
            match worker:
                case Pusher():
                    for push, ack in worker.acknowledged:
                        self.take(push, ack)
                case DirectWriter():
                    for write, ack in worker.acknowledged:
                        self.expected.write(write, ack)
                    self.tally.acknowledged_rows += len(worker.acknowledged)
                case Reader():
                    self.answers += worker.answers
        self.paperwork.take(workers)

    def look_while_dead(self, workers: list[Worker]) -> None:
        """What other programs read while no server runs."""
        self.tally.found["checkpoint half written"] += any((self.data / "state").glob("*.tmp"))
        self.paperwork.check_audit(self.data)
        if self.chance.random() < 0.3:
            possible: dict[str, set[int]] = {source: set() for source in SOURCES}
            for worker in workers:
                if isinstance(worker, Pusher) and worker.lost:
                    possible[worker.lost.source].update(worker.lost.marks)
            self.tally.values_compared += past.compare_history(self.data, self.expected, possible, "after the kill")

    def said(self, what: str, since: int) -> bool:
        """Whether the server's log says it of more than nothing."""
        with self.server.log.open("rb") as log:
            log.seek(since)
            text = log.read().decode("utf-8", "replace")
        return any(what in line and f"{what}0" not in line for line in text.splitlines())

    def check(self, workers: list[Worker], mixture: Mixture) -> None:
        http = self.http()
        if mixture.late_first:
            push = pushes.late(self.expected, self.chance)
            self.take(push, http.push(push.source, push.body, push.content, push.key))
        adopted = self.paperwork.check(http, workers)
        if adopted is not None:
            self.extra = adopted
        seen = Seen.read(http, self.quarantine_known)
        later = self.resolve(http, workers, seen)
        seen.compare(self.expected, self.extra, self.quarantine_known, "after the restart")
        for lost, ack in later:
            if isinstance(lost, Push):
                self.take(lost, ack)
            else:
                self.expected.write(lost, ack)
        self.send_again(http)
        again = Seen.read(http, self.quarantine_known)
        again.compare(self.expected, self.extra, self.quarantine_known, "after what was in flight was sent again")
        for source, rows in again.quarantine.items():
            self.quarantine_known[source] = self.quarantine_known.get(source, 0) + len(rows)
        if self.chance.random() < 0.05:
            # All of it, for once, and not only what is new.
            self.quarantine_known = {}
        self.tally.values_compared += seen.compared + again.compared
        self.answers += [(BY_USER, again.of_users), (BY_REGION, again.of_regions)]
        if self.chance.random() < 0.5:
            self.check_past()

    def resolve(self, http: Http, workers: list[Worker], seen: Seen) -> list[tuple[Push | Write, dict]]:
        """Sends again what was in flight: what had been taken counts at once, the rest is returned."""
        later: list[tuple[Push | Write, dict]] = []
        for worker in workers:
            lost = getattr(worker, "lost", None)
            if lost is None:
                continue
            if isinstance(worker, RedisWriter):
                there = seen.value(lost.feature, lost.user) == lost.after
                if there:
                    self.expected.write(lost, None)
            elif isinstance(lost, Write):
                ack = send(http, lost)
                there = ack["repeated"]
                self.expected.write(lost, ack) if there else later.append((lost, ack))
            else:
                there = self.resolve_push(http, lost, later)
            self.tally.found[f"{worker.kind} in flight {'was' if there else 'was not'} taken"] += 1
        return later

    def resolve_push(self, http: Http, lost: Push, later: list[tuple[Push | Write, dict]]) -> bool:
        ack = http.push(lost.source, lost.body, lost.content, lost.key)
        if lost.key is not None:
            there = bool(ack["repeated"])
            if there:
                self.take(lost, ack)
            else:
                later.append((lost, ack))
            return there
        # Without a key the source's own rule tells what had come before: all of it, or nothing.
        given = {name: ack[name] for name in COUNTS}
        new = lost.counts["applied"]
        twice = {**lost.counts, "applied": 0, "deduplicated": lost.counts["deduplicated"] + new}
        if new and given == twice:
            self.expected.take(lost, ack)
            later.append((_nothing_new(lost, twice), ack))
            return True
        if given != lost.counts:
            raise Broken(f"a push to {lost.source} in flight, sent again, was acknowledged with {given}")
        later.append((lost, ack))
        return False

    def send_again(self, http: Http) -> None:
        """What was acknowledged, in this life or an earlier one, is answered as it was and counts no more."""
        for taken in self.chance.sample(self.expected.remembered, min(3, len(self.expected.remembered))):
            if isinstance(taken, Push):
                again = http.push(taken.source, taken.body, taken.content, taken.key)
                same = {**again, "repeated": False} == {**taken.ack, "repeated": False}
            else:
                again = send(http, taken)
                same = again["sequence"] == taken.ack["sequence"]
            if not again["repeated"] or not same:
                raise Broken(f"sent again, {taken.key} is answered {again} and not as repeated with {taken.ack}")
            self.tally.values_compared += 1

    def check_past(self) -> None:
        """History and training sets against all that was acknowledged and served."""
        client = self.client()
        old = self.chance.sample(self.old_answers, min(4, len(self.old_answers)))
        for service in (BY_USER, BY_REGION):
            asked = [answer for of, answer in [*self.answers, *old] if of == service]
            when = "an answer that was served"
            self.tally.values_compared += past.compare_answers(client, service, asked, when)
        self.old_answers += self.chance.sample(self.answers, min(2, len(self.answers)))
        self.old_answers = self.old_answers[-OLD_ANSWERS:]
        self.answers = []
        client.flush()
        self.paperwork.changed("flush")
        self.tally.values_compared += past.compare_history(self.data, self.expected, None, "after a flush")


def _nothing_new(push: Push, counts: dict[str, int]) -> Push:
    return Push(push.source, push.body, push.content, None, counts, [], [])
