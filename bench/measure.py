"""How fast the main path is on this machine: durable ingest, live reads, a training set, a restart.

    python bench/measure.py [--entities 1000000] [--work DIR]

Figures are of one process with its load generator on the same cores, wall time beside CPU time. They are colour, not a
race: races against other systems are run side by side, with the same work on both.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy
import pyarrow as pa

import thalweg as tw

START = 1_700_000_000_000_000
BATCH = 50_000


def project():
    schema = {"user": tw.int64, "at": tw.timestamp, "amount": tw.float64, "country": tw.int32}
    events = tw.EventSource("payments", schema=schema, timestamp="at")
    user = tw.Entity("user", keys={"user": tw.int64})
    over = ["1h", "1d", "7d"]
    features = {
        "count": tw.count(over=over),
        "total": tw.sum("amount", over=over),
        "mean": tw.mean("amount", over=over),
        "least": tw.min("amount", over=over),
        "most": tw.max("amount", over=over),
    }
    view = tw.FeatureView("spend", entity=user, source=events, features=features, retention="30d")
    return tw.Project("bench", [tw.FeatureService("spending", features=[view])])


def events(count, users, chance):
    times = START + numpy.arange(count, dtype="int64") * (7 * 86_400_000_000 // count)
    return pa.table(
        {
            "user": pa.array(users),
            "at": pa.array(times, pa.timestamp("us", "UTC")),
            "amount": chance.normal(50, 20, count).round(2),
            "country": pa.array(chance.integers(0, 100, count), pa.int32()),
        }
    )


class Clock:
    def __enter__(self):
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        self.wall, self.cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu


def say(name, **figures):
    print(json.dumps({"bench": name, **{key: round(value, 6) for key, value in figures.items()}}), flush=True)


def ingest(engine, table):
    with Clock() as clock:
        for start in range(0, table.num_rows, BATCH):
            engine.push("payments", table.slice(start, BATCH))
    say(
        "ingest-arrow", rows=table.num_rows, rows_per_second=table.num_rows / clock.wall, wall=clock.wall, cpu=clock.cpu
    )


def small_pushes(engine, table, pushes=200):
    waits = []
    for number in range(pushes):
        began = time.perf_counter()
        engine.push("payments", table.slice(number, 1))
        waits.append(time.perf_counter() - began)
    say("push-one-row", median_ms=statistics.median(waits) * 1e3, p99_ms=sorted(waits)[int(pushes * 0.99)] * 1e3)


def reads(engine, entities, chance, entities_a_read, times):
    waits = []
    with Clock() as clock:
        for _ in range(times):
            users = [int(one) for one in chance.integers(0, entities, entities_a_read)]
            began = time.perf_counter()
            engine.features("spending", {"user": users})
            waits.append(time.perf_counter() - began)
    say(
        f"read-{entities_a_read}x15",
        median_ms=statistics.median(waits) * 1e3,
        p99_ms=sorted(waits)[int(times * 0.99)] * 1e3,
        values_per_second=times * entities_a_read * 15 / clock.wall,
        cpu_ms_per_read=clock.cpu / times * 1e3,
    )


def training_set(engine, table, chance, rows=200_000):
    picked = numpy.sort(chance.choice(table.num_rows, rows, replace=False))
    spine = table.take(pa.array(picked)).select(["user", "at"])
    engine.flush()
    with Clock() as clock:
        made = engine.training_set("spending", spine, timestamp="at", progress=False)
    assert made.to_arrow().num_rows == rows
    say("training-set", spine_rows=rows, events=table.num_rows, values=rows * 15, wall=clock.wall, cpu=clock.cpu)


def restart(path, entities):
    with Clock() as clock:
        engine = tw.Engine(path, clock="events", memory="4GB")
    state = engine.status()["views"]["spend"]
    say(
        "restart",
        entities=state["entities"],
        bytes_per_entity=state["memory_bytes"] / max(state["entities"], 1),
        wall=clock.wall,
    )
    assert state["entities"] == entities
    return engine


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    work = given.work or Path(tempfile.mkdtemp(prefix="thalweg-measure-"))
    chance = numpy.random.default_rng(1)
    # Every entity is seen; the rest are drawn with many for few.
    users = numpy.concatenate([numpy.arange(given.entities), chance.zipf(1.2, given.rows) % given.entities])[
        : given.rows
    ]
    chance.shuffle(users)
    table = events(given.rows, users.astype("int64"), chance)
    seen = len(numpy.unique(users))
    try:
        engine = tw.Engine(work / "data", clock="events", memory="4GB")
        engine.apply(project())
        ingest(engine, table)
        small_pushes(engine, table)
        reads(engine, given.entities, chance, 1, 2_000)
        reads(engine, given.entities, chance, 100, 200)
        training_set(engine, table, chance)
        engine.close()
        restart(work / "data", seen).close()
    finally:
        if given.work is None:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
