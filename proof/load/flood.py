"""An open-loop generator of load in a process of its own: requests begin when the schedule says so, however the ones
before fare; one that finds every connection taken is counted as not sent.

`python -m proof.load.flood` reads a plan as JSON and writes what became of it, stretch by stretch.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

from .doors import BUSY, DOORS, PATIENCE, TAKEN, Connection, Told

SAMPLES = 20_000
LISTED = 5


@dataclass
class Plan:
    """`schedule` is a list of stretches: seconds, and requests a second."""

    name: str
    door: str
    address: str
    form: str
    rows: int
    connections: int
    schedule: list[tuple[float, float]]
    seed: int


@dataclass
class Stretch:
    """What became of the requests that began in one part of the schedule."""

    sent: int = 0
    unsent: int = 0
    taken: int = 0
    rows: int = 0
    busy: int = 0
    wrong: int = 0
    texts: list[str] = field(default_factory=list)
    # Seconds, of those that were taken.
    latencies: list[float] = field(default_factory=list)
    # Names of pushes of which it is not known what became of them.
    doubtful: list[str] = field(default_factory=list)

    def note(self, name: str, told: Told, seconds: float, random: random.Random) -> None:
        if told.outcome == TAKEN:
            self.taken += 1
            self.rows += told.rows
            if len(self.latencies) < SAMPLES:
                self.latencies.append(seconds)
            elif (place := random.randrange(self.taken)) < SAMPLES:
                self.latencies[place] = seconds
        elif told.outcome == BUSY:
            self.busy += 1
        else:
            self.wrong += 1
            self.texts = [*self.texts, told.text][:LISTED]
            self.doubtful.append(name)

    def quantile(self, share: float) -> float:
        """Seconds within which this share of the requests was answered that were taken; 0 where none was."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Flood:
    """A running generator: made ready first, so that all of them can begin at one moment."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.process = subprocess.Popen(
            [sys.executable, "-m", "proof.load.flood"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.orders, self.answers = self.process.stdin, self.process.stdout
        self.order(asdict(plan))

    def order(self, what: object) -> None:
        self.orders.write(json.dumps(what) + "\n")
        self.orders.flush()

    def answer(self) -> Any:
        line = self.answers.readline()
        if not line:
            raise RuntimeError(f"the generator {self.plan.name} ended with {self.process.wait()}")
        return json.loads(line)

    def wait_until_ready(self) -> None:
        self.answer()

    def begin(self, at: float) -> None:
        """The first stretch of the schedule begins then, in seconds since the epoch."""
        self.order(at)

    def result(self) -> list[Stretch]:
        """Waits for its end."""
        return [Stretch(**one) for one in self.answer()]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


async def connected(plan: Plan) -> deque[Connection]:
    """The connections of a plan; what they send is made once, and they share it."""
    make = DOORS[plan.door]
    model = make(plan.address, plan.form, plan.rows)
    free: deque[Connection] = deque()
    for _ in range(plan.connections):
        one = copy.copy(model)
        await one.open()
        free.append(one)
    return free


async def carried_out(plan: Plan) -> list[Stretch]:
    free = await connected(plan)
    print("true", flush=True)
    begins = json.loads(await asyncio.to_thread(sys.stdin.readline))
    chance = random.Random(plan.seed)
    stretches = [Stretch() for _ in plan.schedule]
    under_way: set[asyncio.Task[None]] = set()
    number = 0
    for stretch, (seconds, rate) in zip(stretches, plan.schedule, strict=True):
        due, ends = begins, begins + seconds
        while rate > 0 and due < ends:
            # Also where it is late: answers have to be read.
            await asyncio.sleep(max(0.0, due - time.time()))
            number += 1
            if free:
                stretch.sent += 1
                work = asyncio.ensure_future(
                    one_request(free, free.popleft(), f"{plan.name} {number}", stretch, chance)
                )
                under_way.add(work)
                work.add_done_callback(under_way.discard)
            else:
                stretch.unsent += 1
            due += chance.expovariate(rate)
        begins = ends
    if under_way:
        await asyncio.wait(under_way, timeout=2 * PATIENCE)
    for one in free:
        await one.close()
    return stretches


async def one_request(
    free: deque[Connection], connection: Connection, name: str, stretch: Stretch, chance: random.Random
) -> None:
    began = time.monotonic()
    try:
        told = await asyncio.wait_for(connection.send(name), PATIENCE)
    except Exception as error:
        told = Told("wrong", text=f"{type(error).__name__}: {error}")
    stretch.note(name, told, time.monotonic() - began, chance)
    if told.outcome == "wrong":
        try:
            await connection.close()
            await connection.open()
        except OSError:
            return
    free.append(connection)


def main() -> None:
    # Behind the server, where both want the processor.
    os.nice(2)
    stretches = asyncio.run(carried_out(Plan(**json.loads(sys.stdin.readline()))))
    print(json.dumps([asdict(stretch) for stretch in stretches]), flush=True)


if __name__ == "__main__":
    main()
