"""`kill -9` while rows are being loaded: what was acknowledged is there once, and live reads equal history."""

import contextlib
import os
import random
import threading
import time

import pyarrow as pa
import pytest
from semantics.server_process import ServerProcess

import thalweg as tw

ROUNDS = int(os.environ.get("THALWEG_CRASH_ROUNDS", "5"))
USERS = 50
BATCH = 200


def project():
    schema = {"id": tw.int64, "user": tw.string, "at": tw.timestamp, "amount": tw.int64}
    events = tw.EventSource("payments", schema=schema, timestamp="at")
    user = tw.Entity("user", keys={"user": tw.string})
    features = {
        "rows": tw.count(),
        "total": tw.sum("amount"),
        "ids": tw.distinct_count("id"),
        "recent": tw.sum("amount", over="1h"),
    }
    view = tw.FeatureView("spend", entity=user, source=events, features=features)
    return tw.Project("shop", [tw.FeatureService("spending", features=[view])])


def batch(number):
    ids = range(number * BATCH, (number + 1) * BATCH)
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "user": [f"u{one % USERS}" for one in ids],
            "at": pa.array([1_700_000_000_000_000 + one * 1_000 for one in ids], pa.timestamp("us", "UTC")),
            "amount": pa.array(ids, pa.int64()),
        }
    )


class Pusher(threading.Thread):
    """Pushes batches one after the other, and remembers which were acknowledged."""

    def __init__(self, url, first):
        super().__init__(daemon=True)
        self.client = tw.Client(url, retries=0, timeout=5)
        self.next, self.acknowledged = first, []

    def run(self):
        while True:
            try:
                self.client.push("payments", batch(self.next), idempotency_key=f"batch-{self.next}")
            except tw.ThalwegError:
                return
            self.acknowledged.append(self.next)
            self.next += 1


def test_kill_while_loading(tmp_path):
    seed = int(os.environ.get("THALWEG_SEED", str(time.time_ns() % 1_000_000)))
    print(f"seed {seed}")
    chance = random.Random(seed)
    server = ServerProcess(tmp_path / "data", clock="events")
    acknowledged, first = set(), 0
    try:
        client = server.start()
        client.apply(project())
        for round_number in range(ROUNDS):
            pusher = Pusher(client.url, first)
            pusher.start()
            time.sleep(chance.uniform(0.05, 0.6))
            if chance.random() < 0.5:
                threading.Thread(target=_flush_quietly, args=(client.url,), daemon=True).start()
                time.sleep(chance.uniform(0, 0.15))
            server.kill()
            pusher.join()
            acknowledged.update(pusher.acknowledged)
            client = server.start()
            # The one in flight may be there or not; sent again with its key it is there once.
            client.push("payments", batch(pusher.next), idempotency_key=f"batch-{pusher.next}")
            acknowledged.add(pusher.next)
            first = pusher.next + 1
            check(client, acknowledged, round_number)
    finally:
        server.kill()
    assert len(acknowledged) >= ROUNDS


def check(client, acknowledged, round_number):
    ledger = client.ledger("payments")
    assert ledger["applied"] == len(acknowledged) * BATCH, f"round {round_number}"
    assert ledger["read"] == ledger["applied"] + ledger["deduplicated"] + ledger["filtered"] + ledger["quarantined"]
    users = [f"u{one}" for one in range(USERS)]
    live = client.features("spending", {"user": users})
    expected = dict.fromkeys(users, 0)
    for number in acknowledged:
        for one in range(number * BATCH, (number + 1) * BATCH):
            expected[f"u{one % USERS}"] += one
    values = live.to_dict()
    assert values["spend.total"] == [expected[user] for user in users], f"round {round_number}"
    assert values["spend.rows"] == values["spend.ids"], f"round {round_number}: a row was counted twice"
    spine = pa.table({"user": users, "timestamp": pa.array([live.as_of] * len(users), pa.timestamp("us", "UTC"))})
    trained = client.training_set("spending", spine, as_of="arrival", progress=False).to_arrow()
    for name, column in values.items():
        if name.startswith("spend."):
            assert trained[name.replace(".", "__")].to_pylist() == column, f"round {round_number}: {name}"


def _flush_quietly(url):
    with contextlib.suppress(tw.ThalwegError):
        tw.Client(url, retries=0).flush()


@pytest.mark.parametrize("torn", [1, 7, 40])
def test_a_torn_tail_of_the_log_is_cut(tmp_path, torn):
    data = tmp_path / "data"
    with tw.Engine(data, clock="events") as engine:
        engine.apply(project())
        engine.push("payments", batch(0))
    segment = sorted((data / "log").glob("*.log"))[-1]
    with segment.open("ab") as log:
        log.write(os.urandom(torn))
    with tw.Engine(data, clock="events") as engine:
        assert engine.ledger("payments")["applied"] == BATCH
        assert engine.push("payments", batch(1)).applied == BATCH
