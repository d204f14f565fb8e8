"""Replays the year as if it were happening, and asks for features all the while.

The platform's clock is the events' own (`--clock events`). After each step all sources stand at the same point of the
year; the flights that leave next are looked up there, all in one request, as a service in front of passengers would.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import ceil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from data import Step

from thalweg import Client, Engine

KEYS = ["carrier", "origin", "dest", "tailnum"]
Progress = Callable[[int, int, str], None]


@dataclass
class Replayed:
    """What was acknowledged and what was answered."""

    acknowledged: dict[str, int] = field(default_factory=dict)
    # One row for each flight that was looked up: its keys and features, and `served_at`, the moment of the answer.
    served: pa.Table | None = None
    lookups: int = 0
    seconds: float = 0.0
    lookup_seconds: float = 0.0
    slowest_lookup: float = 0.0


def flights_per_lookup(steps: int, features: int, values: int, least: int = 40) -> int:
    """How many flights to look up after each step, so that at least so many values are served over all steps."""
    return max(least, ceil(values / (steps * features)))


def replay(
    platform: Client | Engine, steps: list[Step], flights: pa.Table, service: str, per_lookup: int, progress: Progress
) -> Replayed:
    """Pushes every step, in order, and looks up the flights that leave next after each."""
    departing = Departing(flights, per_lookup)
    result, answers, done = Replayed(), [], 0
    total = sum(step.events for step in steps)
    begun = time.perf_counter()
    with ThreadPoolExecutor(max_workers=3) as pool:
        for step in steps:
            # The sources of a step are pushed side by side; the next step waits for all of them.
            for ack in pool.map(lambda batch: platform.push(*batch), step.batches):
                result.acknowledged[ack.source] = result.acknowledged.get(ack.source, 0) + ack.read
            next_out = departing.after(step)
            if next_out.num_rows:
                asked = time.perf_counter()
                answers.append(looked_up(platform, service, next_out))
                took = time.perf_counter() - asked
                result.lookup_seconds += took
                result.slowest_lookup = max(result.slowest_lookup, took)
            done += step.events
            progress(done, total, f"{step.until:%d %b}")
    result.lookups = len(answers)
    result.served = pa.concat_tables(answers, promote_options="permissive").combine_chunks()
    result.seconds = time.perf_counter() - begun
    return result


def looked_up(platform: Client | Engine, service: str, flights: pa.Table) -> pa.Table:
    """These flights with their features now, and the moment of the answer."""
    request = {"distance": flights["distance"].to_pylist()}
    answer = platform.features(service, flights.select(KEYS).to_pydict(), request=request)
    moment = pa.array([answer.as_of] * flights.num_rows, pa.timestamp("us", tz="UTC"))
    table = flights.select([*KEYS, "distance"]).append_column("served_at", moment)
    features = answer.to_arrow()
    for name in features.column_names:
        if name not in KEYS:
            table = table.append_column(name, features[name])
    return table


class Departing:
    """The flights in the order in which they are due to leave, without those that never had an aircraft."""

    def __init__(self, flights: pa.Table, at_once: int):
        self.flights = flights.filter(pc.is_valid(flights["tailnum"]))
        self.scheduled = self.flights["scheduled_at"].cast(pa.int64()).to_numpy()
        self.at_once = at_once

    def after(self, step: Step) -> pa.Table:
        start = np.searchsorted(self.scheduled, step.until.value // 1000)
        return self.flights.slice(start, self.at_once)


class ProgressLine:
    """How far the replay is: one line that is written over on a terminal, a line for every tenth elsewhere."""

    def __init__(self, title: str):
        self.title = title
        self.begun = time.perf_counter()
        self.tenth = 0

    def __call__(self, done: int, total: int, where: str) -> None:
        tenth, over = done * 10 // total, sys.stdout.isatty()
        if not over and tenth == self.tenth:
            return
        self.tenth = tenth
        rate = done / (time.perf_counter() - self.begun)
        text = f"{self.title}: {where}, {done:,} of {total:,} events, {rate:,.0f} a second"
        print(f"\r{text:<78}" if over else text, end="\n" if done == total or not over else "", flush=True)
