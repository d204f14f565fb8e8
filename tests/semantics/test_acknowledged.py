"""Semantics, "Acknowledged means durable and visible": a server is killed at its work and loses nothing."""

import threading
import time

import pytest

import thalweg as tw

from .oracle import SECOND
from .server_process import ServerProcess
from .world import SOURCE, T, project

TINY = {"n": tw.count(), "s": tw.sum("x"), "u": tw.distinct_count("x")}
FEATURES = [f"v.{name}" for name in TINY]


@pytest.fixture
def server(tmp_path):
    server = ServerProcess(tmp_path / "data")
    yield server
    server.kill()


def rows_of(numbers):
    return [
        {"key": "a", "at": moment(T + number), "known_at": moment(T + number), "x": float(number)} for number in numbers
    ]


def moment(micros):
    seconds, rest = divmod(micros, SECOND)
    return time.strftime(f"%Y-%m-%dT%H:%M:%S.{rest:06}Z", time.gmtime(seconds))


def read(client):
    """Count, sum and number of different values, by the server's clock."""
    vector = client.features(FEATURES, {"key": ["a"]})
    return tuple(vector[name][0] for name in FEATURES)


def expected(numbers):
    return (len(numbers), float(sum(numbers)) if numbers else None, len(set(numbers)))


def test_survives_and_is_seen(server):
    """
    When a push is acknowledged, its rows survive `kill -9` and power loss, and the next read on that server sees them.
    """
    client = server.start()
    client.apply(project(TINY))
    taken = []
    for batch in ([1], [2, 3], list(range(4, 500))):
        assert client.push(SOURCE, rows_of(batch)).applied == len(batch)
        taken += batch
        assert read(client) == expected(taken), "the next read does not see what was acknowledged"
        server.kill()
        client = server.start()
        assert read(client) == expected(taken), "acknowledged rows did not survive"
    # After a checkpoint and without one since: both ways to recover meet.
    client.flush()
    client.push(SOURCE, rows_of([1000]))
    server.kill()
    assert read(server.start()) == expected([*taken, 1000])


def test_survives_in_the_middle_of_pushes(server):
    """
    When a push is acknowledged, its rows survive `kill -9`: at whatever moment that comes. A retry with the same
    idempotency key is acknowledged again and counted once, also where the first answer was lost with the server.
    """
    client = server.start()
    client.apply(project(TINY))
    acknowledged, started = [], 0
    for moment_of_death in (0.05, 0.2, 0.35):
        death = threading.Timer(moment_of_death, server.kill)
        death.start()
        try:
            while True:
                client.push(SOURCE, rows_of([started]), idempotency_key=f"row {started}")
                acknowledged.append(started)
                started += 1
        except tw.ThalwegError:
            death.join()
        client = server.start()
        count, _, different = read(client)
        assert count == different, "a row counts twice"
        assert count - len(acknowledged) in (0, 1), "only the push that was under way may be in doubt"
        client.push(SOURCE, rows_of([started]), idempotency_key=f"row {started}")
        acknowledged.append(started)
        started += 1
        assert read(client) == expected(acknowledged)


def test_retry_counts_once(server):
    """A retry with the same idempotency key is acknowledged again and counted once."""
    client = server.start()
    client.apply(project(TINY))
    first = client.push(SOURCE, rows_of([1, 2]), idempotency_key="k")
    again = client.push(SOURCE, rows_of([1, 2]), idempotency_key="k")
    assert (first.repeated, again.repeated) == (False, True)
    assert (again.read, again.applied) == (first.read, first.applied)
    assert read(client) == expected([1, 2])
    server.kill()
    client = server.start()
    assert client.push(SOURCE, rows_of([1, 2]), idempotency_key="k").repeated
    assert read(client) == expected([1, 2])
    assert client.ledger(SOURCE)["applied"] == 2
    # Equal rows under another key are other rows.
    assert not client.push(SOURCE, rows_of([1, 2]), idempotency_key="another").repeated
    assert read(client) == (4, 6.0, 2)


def test_retry_counts_once_in_the_process(build):
    """A retry with the same idempotency key is acknowledged again and counted once: in the process as on a server."""
    world = build(TINY)
    row = {"at": T, "x": 1.0}
    world.push(row, idempotency_key="k")
    assert world.push_to_engine([row], idempotency_key="k").repeated
    assert world.values(T + 1)["n"] == 1
    world.reopen()
    assert world.push_to_engine([row], idempotency_key="k").repeated
    assert world.values(T + 1) == {"n": 1, "s": 1.0, "u": 1}
