"""A server on a disk that fills, again and again: what it refuses never happened, and with room it goes on."""

import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from semantics.server_process import STARTED_WITHIN_SECONDS

import thalweg as tw

from . import pushes
from .definitions import USERS, project
from .doors import Lost, Refused
from .expected import Push, Write
from .life import Life, Tally
from .mixture import PUSHERS
from .seen import Broken, Seen
from .volume import MIB, NoVolume, Volume
from .workers import SHARED, Address, Applier, DirectWriter, Flusher, Pusher, Reader, Worker, pushers

NEVER_HAPPENED = ("is full", "took this one with it", "more has been pushed")
"""In the message of a refusal after which nothing of the request is there."""
RECOVERED_WITHIN_SECONDS = 20
ENDS = ("room", "room", "kill", "kill and start full", "stop")


class Patient:
    """What a client does when it is refused: it sends the same again, a little later."""

    def __init__(self) -> None:
        self.refusals = 0
        self.codes: set[str] = set()
        self.certain = self.was_certain = True
        """Whether what is `lost` is known not to be there; and whether it was when it was sent the last time."""

    def note(self, error: Refused) -> None:
        self.refusals += 1
        self.codes.add(error.code)
        if error.code not in ("UNAVAILABLE", "OVERLOADED", "STORAGE"):
            raise error
        never = error.code != "STORAGE" and any(part in error.message for part in NEVER_HAPPENED)
        self.certain = self.was_certain and never


class FullLife(Life):
    """A data directory on a small file system."""

    def __init__(self, volume: Volume, folder: Path, chance: random.Random, tally: Tally) -> None:
        super().__init__(volume.path, chance, tally)
        self.volume = volume
        self.keyed = self.bulky = False
        self.server.settings["log_retention_bytes"] = "10GB"
        # What the server says of itself has room.
        self.server.log = folder / "server.log"
        self.refusals = 0

    def cycle(self) -> None:
        """Fills the disk while it is written to, looks, and makes room."""
        end = self.chance.choice(ENDS)
        free = self.chance.choice((20_000, 100_000, MIB // 2, 2 * MIB))
        self.rounds += 1
        self.volume.leave(round(free * self.chance.uniform(0.2, 1.5)))
        workers, patients = self.full_workers()
        self.doing = f"{self.volume.kind}, {self.volume.free()} bytes left, then {end}; {self.server.clock} clock, "
        self.doing += f"{self.server.settings}"
        for worker in workers:
            worker.start()
        self.until_full(patients)
        if end == "kill" and self.chance.random() < 0.5:
            self.server.kill()
        for worker in workers:
            worker.halt.set()
        for worker in workers:
            worker.join(60)
            if worker.is_alive():
                raise Broken(f"{worker.kind} does not come to an end on a full disk")
            if worker.failure:
                raise Broken(worker.failure)
        filled = any(patient.refusals for patient in patients.values())
        self.tally.found["disks filled" if filled else "disks that were not filled in time"] += 1
        for patient in patients.values():
            self.refusals += patient.refusals
            self.tally.found.update(f"refused as {code}" for code in patient.codes)
        self.take_acknowledged(workers)
        if self.server.process is not None:
            self.look_while_full(patients)
        self.make_room(end)
        self.check_with_room(workers, patients)
        self.tally.rounds += 1

    def full_workers(self) -> tuple[list[Worker], dict[Worker, Patient]]:
        address = Address(self.server.port, self.redis_port, None)

        def own() -> random.Random:
            return random.Random(self.chance.getrandbits(64))

        wanted = [self.chance.choice(PUSHERS) for _ in range(self.chance.randint(1, 3))]
        workers: list[Worker] = [*pushers(address, self.chance, self.expected, wanted)]
        filler = random.Random(self.chance.getrandbits(64))
        size = self.chance.choice((500, 5_000, 40_000))
        workers.append(Pusher("blobs", address, own(), lambda: pushes.blobs(self.expected, filler, 9, size)))
        if self.chance.random() < 0.6:
            users = [user for user in USERS if user != SHARED]
            workers.append(DirectWriter(address, own(), self.expected, users))
        patients = {worker: _patient(worker) for worker in workers}
        workers.append(Reader(address, own()))
        if self.chance.random() < 0.5:
            workers.append(Flusher(address, own(), False))
            _let(workers[-1])
        if self.chance.random() < 0.3:
            extra = self.next_extra()
            applier = Applier(address, own(), extra, project(extra).compile())
            _let(applier)
            workers.append(applier)
        return workers, patients

    def until_full(self, patients: dict[Worker, Patient]) -> None:
        """Until what is large enough was refused a few times."""
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            if any(patient.refusals > 3 for patient in patients.values()):
                break
            time.sleep(0.01)
        time.sleep(self.chance.uniform(0, 0.2))

    def look_while_full(self, patients: dict[Worker, Patient]) -> None:
        """Reads go on, and say exactly what was acknowledged."""
        seen = Seen.read(self.http(), self.quarantine_known)
        uncertain = [worker.kind for worker, patient in patients.items() if worker.lost and not patient.certain]
        if uncertain:
            self.tally.found["looks at a full disk with a request in doubt"] += 1
            return
        # A view that was added just now may wait for room to be filled, and be in force or not.
        for answer in (seen.of_users, seen.of_regions):
            base = [one for one in answer["results"] if not one["name"].startswith("extra_")]
            answer["results"] = base
        seen.compare(self.expected, {}, self.quarantine_known, "while the disk is full")
        self.tally.values_compared += seen.compared

    def make_room(self, end: str) -> None:
        if end == "room":
            self.volume.make_room()
            self.tally.found["room made while it ran"] += 1
            return
        if end == "stop" and self.server.process is not None:
            self.server.process.send_signal(signal.SIGTERM)
            self.server.process.wait(60)
            self.server.process = None
        self.server.kill()
        self.tally.kills += 1
        if end == "kill and start full":
            self.start_full()
        self.volume.make_room()
        self.start()

    def start_full(self) -> None:
        """Starts on the full disk. It may refuse to, and says why; where it answers, it answers right."""
        since = self.server.log.stat().st_size
        self.server.spawn()
        deadline = time.monotonic() + STARTED_WITHIN_SECONDS
        while True:
            if self.server.process.poll() is not None:
                with self.server.log.open("rb") as log:
                    log.seek(since)
                    said = log.read().decode("utf-8", "replace")
                if "full" not in said:
                    ended = self.server.process.returncode
                    raise Broken(f"on a full disk it does not start ({ended}), and does not say why:\n{said[-600:]}")
                self.tally.found["starts refused on a full disk"] += 1
                self.server.process = None
                return
            try:
                self.http().bytes("GET", "/healthz")
                break
            except Lost:
                if time.monotonic() > deadline:
                    raise Broken("on a full disk it neither starts nor ends") from None
                time.sleep(0.01)
        self.tally.found["starts on a full disk"] += 1
        Seen.read(self.http(), self.quarantine_known)
        self.server.kill()

    def check_with_room(self, workers: list[Worker], patients: dict[Worker, Patient]) -> None:
        """By itself, and without what was refused, it goes on."""
        self.recovers(lambda: self.http().post("/v1/flush", {}), "a flush")
        http = self.http()
        self.recovers(lambda: http.bytes("GET", "/readyz"), "the filling of a view")
        for worker in workers:
            if isinstance(worker, Applier) and worker.sent.is_set():
                adopted = self.paperwork.check_apply(http, worker)
                self.extra = adopted if adopted is not None else self.extra
        seen = Seen.read(http, self.quarantine_known)
        later: list[tuple[Push | Write, dict]] = []
        for worker, patient in patients.items():
            if worker.lost is None:
                continue
            before = len(later)
            self.recovers(lambda worker=worker: self.resolve_one(worker, seen, later), f"a push of {worker.kind}")
            if patient.certain and len(later) == before:
                raise Broken(f"{worker.kind}: what was refused for a full disk had happened")
        seen.compare(self.expected, self.extra, self.quarantine_known, "with room again")
        for lost, ack in later:
            if isinstance(lost, Push):
                self.take(lost, ack)
            else:
                self.expected.write(lost, ack)
        self.send_again(http)
        again = Seen.read(http, self.quarantine_known)
        again.compare(self.expected, self.extra, self.quarantine_known, "after what was refused was sent again")
        self.tally.values_compared += seen.compared + again.compared
        for source, rows in again.quarantine.items():
            self.quarantine_known[source] = self.quarantine_known.get(source, 0) + len(rows)
        self.check_past()

    def resolve_one(self, worker: Worker, seen: Seen, later: list[tuple[Push | Write, dict]]) -> None:
        """As after a crash, but of one worker, so that a refusal lets the rest be."""
        later += self.resolve(self.http(), [worker], seen)

    def recovers(self, attempt: Callable[[], object], what: str) -> None:
        """Tries until it is taken; the time is bounded."""
        deadline = time.monotonic() + RECOVERED_WITHIN_SECONDS
        while True:
            try:
                attempt()
                return
            except (Refused, tw.ThalwegError) as error:
                if time.monotonic() > deadline or "writing has stopped" in str(error):
                    raise Broken(f"with {self.volume.free()} bytes of room {what} is still refused: {error}") from error
                time.sleep(0.1)


def _patient(worker: Worker) -> Patient:
    patient = Patient()

    def refused(error: Refused) -> None:
        patient.note(error)
        worker.halt.wait(0.03)

    taken = worker.step

    def step() -> None:
        again = worker.lost is not None
        patient.was_certain = patient.certain or not again
        # Until it is answered nobody knows.
        patient.certain = False
        taken()
        if again and patient.was_certain and worker.acknowledged[-1][1].get("repeated"):
            raise AssertionError("what was refused for a full disk had happened")
        patient.certain = True

    worker.refused, worker.step = refused, step
    return patient


def _let(worker: Worker) -> None:
    """Refusals are this worker's lot, and no more."""

    def refused(error: Refused) -> None:
        if error.code not in ("UNAVAILABLE", "STORAGE", "OVERLOADED", "INTERNAL"):
            raise error
        if isinstance(worker, Applier):
            worker.halt.set()
        worker.halt.wait(0.05)

    worker.refused = refused


class Disks:
    """Small disks one after the other, each filled until its data alone fill it."""

    def __init__(self, seed: int, work: Path, kinds: list[str]) -> None:
        self.seed, self.work, self.kinds, self.tally = seed, work, kinds, Tally()
        self.broken: list[str] = []
        self.refusals = 0

    def run(self, go_on: Callable[[], bool]) -> None:
        number = 0
        while go_on() and not self.broken:
            number += 1
            chance = random.Random(f"{self.seed}:disk:{number}")
            kind = self.kinds[number % len(self.kinds)]
            folder = self.work / f"disk-{number}"
            volume = Volume(folder, chance.randint(24, 48), kind)
            life = FullLife(volume, folder, chance, self.tally)
            try:
                life.begin()
                while go_on() and volume.free() > 6 * MIB:
                    life.cycle()
            except (AssertionError, Refused, Lost, tw.ThalwegError, NoVolume) as error:
                life.end()
                kept = self.work / f"disk-{number}-kept"
                shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("image", "ballast", "lost+found"))
                self.broken.append(self._report(life, number, kept, error))
            finally:
                life.end()
                self.refusals += life.refusals
                volume.close()

    def _report(self, life: FullLife, number: int, kept: Path, error: Exception) -> str:
        kind = "" if isinstance(error, Broken) else f"{type(error).__name__}: "
        lines = [
            f"disk {number}, filled {life.rounds} times: {kind}{error}",
            f"  in {life.doing}",
            f"  what was on the disk, and the server's log, are kept in {kept}",
            f"  to repeat: python -m proof full --seed {self.seed}",
        ]
        return "\n".join(lines)
