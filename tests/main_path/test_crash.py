"""`kill -9` at random moments of a random mixture of work: what was acknowledged is there once, whole and the same."""

import os
import random
import threading
import time

import pyarrow as pa
import pytest
from semantics.server_process import ServerProcess

import thalweg as tw

from .crashing import past
from .crashing.campaign import Campaign
from .crashing.definitions import project as crash_project
from .crashing.doors import JSON, Http
from .crashing.expected import Expected
from .crashing.pushes import payments

ROUNDS = int(os.environ.get("THALWEG_CRASH_ROUNDS", "8"))
SEED = int(os.environ.get("THALWEG_SEED", str(time.time_ns() % 1_000_000)))
ROUNDS_OF_A_LIFE = 4
HOUR = 3_600_000_000
BEGAN = 1_700_000_000_000_000


def test_kills_in_a_mixture_of_work(tmp_path):
    """Held on the way: ledgers, live values, history, training sets, served answers, quarantine, manifests, keys."""
    print(f"seed {SEED}")
    campaign = Campaign(SEED, tmp_path)
    per_life = ROUNDS_OF_A_LIFE if ROUNDS < 30 else 30
    campaign.run(lambda: campaign.tally.rounds < ROUNDS, per_life)
    print(campaign.tally)
    assert not campaign.broken, campaign.broken[0]
    assert campaign.tally.rounds >= ROUNDS
    assert campaign.tally.acknowledged_rows > 0
    assert campaign.tally.in_flight.total() > 0


def test_history_has_each_row_once_while_it_is_pushed_to(tmp_path):
    """A commit to history had rows past the position that it noted, and the next commit had them again.

    It did where pushes came in while the position was looked up, which is when a process writes history first.
    """
    server = ServerProcess(tmp_path / "data")
    expected = Expected(random.Random(1), "events")
    try:
        client = server.start()
        client.apply(crash_project({}))
        for life in range(5):
            acknowledged: list[tuple] = []
            until = time.monotonic() + 0.3

            def push(slot: int, until: float, acknowledged: list[tuple]) -> None:
                http, chance = Http(server.port), random.Random(slot)
                while time.monotonic() < until:
                    push = payments(expected, chance, JSON, slot)
                    acknowledged.append((push, http.push(push.source, push.body, push.content, push.key)))

            pushing = [threading.Thread(target=push, args=(10 * life + slot, until, acknowledged)) for slot in range(3)]
            for thread in pushing:
                thread.start()
            time.sleep(0.02)
            client.flush()
            for thread in pushing:
                thread.join()
            for push_and_ack in acknowledged:
                expected.take(*push_and_ack)
            client.flush()
            server.kill()
            client = server.start()
            past.compare_history(server.data, expected, None, "under load")
    finally:
        server.kill()


def test_what_comes_after_a_restart_does_not_change_what_was_answered_before(tmp_path):
    """By the events' clock a late row, after a restart, arrived before a query time that had been answered."""
    server = ServerProcess(tmp_path / "data", clock="events")
    try:
        client = server.start()
        client.apply(_project())
        client.push("payments", _rows([1], BEGAN))
        served = client.features("spending", {"user": ["u1"]})
        server.kill()
        client = server.start()
        client.push("payments", _rows([2], BEGAN - HOUR))
        spine = pa.table({"user": ["u1"], "timestamp": pa.array([served.as_of], pa.timestamp("us", "UTC"))})
        trained = client.training_set("spending", spine, as_of="arrival", progress=False).to_arrow()
        assert trained["spend__rows"].to_pylist() == served["spend.rows"] == [1]
    finally:
        server.kill()


@pytest.mark.parametrize("clock", ["events", "system"])
def test_the_next_read_sees_what_was_acknowledged_while_others_write(tmp_path, clock):
    """By the events' clock a write in flight had the arrival time of the one acknowledged before it, and hid it."""
    server = ServerProcess(tmp_path / "data", clock=clock)
    done = threading.Event()
    try:
        client = server.start()
        client.apply(_project())

        def others() -> None:
            other = tw.Client(client.url)
            while not done.is_set():
                other.push("payments", _rows([0], BEGAN, user="other"))

        writing = threading.Thread(target=others)
        writing.start()
        try:
            for number in range(1, 200):
                client.push("payments", _rows([number], BEGAN))
                assert client.features("spending", {"user": ["u1"]})["spend.rows"] == [number]
        finally:
            done.set()
            writing.join()
    finally:
        server.kill()


@pytest.mark.parametrize("torn", [1, 7, 40])
def test_a_torn_tail_of_the_log_is_cut(tmp_path, torn):
    data = tmp_path / "data"
    with tw.Engine(data, clock="events") as engine:
        engine.apply(_project())
        engine.push("payments", _rows(range(200), BEGAN))
    segment = sorted((data / "log").glob("*.log"))[-1]
    with segment.open("ab") as log:
        log.write(os.urandom(torn))
    with tw.Engine(data, clock="events") as engine:
        assert engine.ledger("payments")["applied"] == 200
        assert engine.push("payments", _rows(range(200, 400), BEGAN)).applied == 200


def _project() -> tw.Project:
    schema = {"id": tw.int64, "user": tw.string, "at": tw.timestamp}
    events = tw.EventSource("payments", schema=schema, timestamp="at")
    user = tw.Entity("user", keys={"user": tw.string})
    view = tw.FeatureView("spend", entity=user, source=events, features={"rows": tw.count()})
    return tw.Project("shop", [tw.FeatureService("spending", features=[view])])


def _rows(ids, began: int, user: str = "u1") -> pa.Table:
    ids = list(ids)
    times = pa.array([began + one for one in ids], pa.timestamp("us", "UTC"))
    return pa.table({"id": pa.array(ids, pa.int64()), "user": [user] * len(ids), "at": times})
