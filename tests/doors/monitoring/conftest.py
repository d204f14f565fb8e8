"""Servers and sinks for the tests of monitoring; all of them end with their test."""

import pytest
from monitored_server import Server, project, rows
from monitoring_sinks import Sink


@pytest.fixture
def serve(tmp_path):
    """Starts servers with settings by name; each has the project of the tests in it."""
    servers = []

    def start(**settings):
        server = Server(tmp_path / f"data-{len(servers)}", **settings)
        servers.append(server)
        server.start().client.apply(project())
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def sink():
    """Starts sinks; the statuses given are answered before 200."""
    sinks = []

    def start(*statuses):
        sinks.append(Sink(*statuses))
        return sinks[-1]

    yield start
    for one in sinks:
        one.close()


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """A server that has seen some of everything: rows of every outcome, reads of every kind, a check, a flush."""
    server = Server(tmp_path_factory.mktemp("busy") / "data", serve_log=1.0)
    try:
        server.start().client.apply(project())
        assert server.push(rows(0, 10)).json()["applied"] == 10
        mixed = [*rows(8, 4), *rows(100, 3, user="robot"), *rows(200, 2, amount=-1)]
        ack = server.push(mixed).json()
        outcome = {name: ack[name] for name in ("read", "applied", "deduplicated", "filtered", "quarantined")}
        assert outcome == {"read": 9, "applied": 2, "deduplicated": 2, "filtered": 3, "quarantined": 2}
        for _ in range(5):
            assert server.read(users=["u1", "nobody"]).status == 200
        listed = {"features": ["spend.rows"], "entities": {"user": ["u1"]}}
        assert server.send("POST", "/v1/features", listed).status == 200
        assert server.read(service="guessed_by_a_caller").status == 404
        server.client.flush()
        assert server.client.check().mismatches == 0
        yield server
    finally:
        server.stop()
