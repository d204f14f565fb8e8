"""The client: what it sends, how it retries, and what it makes of the answers. The server is a script."""

from __future__ import annotations

import asyncio
import math
import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest

import thalweg as tw
from thalweg import session
from thalweg.frames import rows_to_table, to_stream

from .conftest import Answer

pa = pytest.importorskip("pyarrow")

ACK = {"source": "departures", "read": 2, "applied": 1, "quarantined": 1, "repeated": False, "arrival_time": "clock"}


@pytest.fixture
def client(server):
    with tw.Client(server.url, timeout=5) as client:
        yield client


def sent_table(request):
    assert request.headers["content-type"] == "application/vnd.apache.arrow.stream"
    return pa.ipc.open_stream(request.body).read_all()


def test_frames_are_pushed_as_arrow(server, client, flights):
    pd = pytest.importorskip("pandas")
    pl = pytest.importorskip("polars")
    server.answers(Answer(ACK))
    columns = {"carrier": ["AA", "UA"], "dep_delay": [1.5, None]}
    for frame in (
        pa.table(columns),
        pa.RecordBatch.from_pydict(columns),
        pd.DataFrame(columns),
        pd.DataFrame(columns).astype({"carrier": "category"}),
        pl.DataFrame(columns),
        pl.LazyFrame(columns),
        columns,
    ):
        result = client.push(flights.departures, frame, backfill=True)
        request = server.requests[-1]
        assert (request.method, request.path) == ("POST", "/v1/sources/departures/events")
        assert request.query == {"backfill": "true"}
        assert sent_table(request).to_pydict() == columns
        assert (result.read, result.applied, result.quarantined) == (2, 1, 1)


def test_rows_are_pushed_as_json(server, client):
    server.answers(Answer(ACK))
    client.push(
        "departures",
        [{"at": datetime(2024, 1, 1, tzinfo=UTC), "x": math.nan, "d": Decimal("1.10"), "b": b"\x00"}, {"x": None}],
    )
    request = server.requests[0]
    assert request.headers["content-type"] == "application/json"
    assert request.query == {}
    assert request.json == [{"at": "2024-01-01T00:00:00.000000Z", "x": "NaN", "d": "1.10", "b": "AA=="}, {"x": None}]


def test_a_long_table_is_pushed_in_pieces_and_acknowledged_as_one(server, client, monkeypatch):
    monkeypatch.setattr(session, "MAX_PUSH_ROWS", 2)
    error = {"row": 1, "column": "x", "reason": "null"}
    server.respond = lambda request: Answer({**ACK, "first_sequence": len(server.requests), "errors": [error]})
    result = client.push("departures", pa.table({"x": [1, 2, 3, 4, 5]}), idempotency_key="mine")
    assert [sent_table(request).num_rows for request in server.requests] == [2, 2, 1]
    assert [request.headers["idempotency-key"] for request in server.requests] == ["mine-0", "mine-1", "mine-2"]
    assert (result.read, result.first_sequence, result.idempotency_key) == (6, 1, "mine")
    assert [row.row for row in result.errors] == [1, 3, 5]


def test_a_lost_connection_is_retried_under_the_same_key(server, client):
    server.answers(Answer(hang_up=True), Answer(ACK))
    client.push("departures", [{"x": 1}])
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_each_push_has_a_key_of_its_own(server, client):
    server.answers(Answer(ACK))
    keys = {client.push("departures", [{"x": 1}]).idempotency_key for _ in range(3)}
    assert keys == {request.headers["idempotency-key"] for request in server.requests}
    assert len(keys) == 3


def test_an_overloaded_server_is_asked_again_after_the_time_it_names(server, client, monkeypatch):
    waits = []
    monkeypatch.setattr("thalweg.http_connection.time.sleep", waits.append)
    busy = Answer({"error": {"code": "OVERLOADED", "message": "the log is full"}}, 429, {"Retry-After": "7"})
    server.answers(busy, Answer(ACK))
    client.push("departures", [{"x": 1}])
    assert waits == [7.0]
    server.answers(Answer(busy.body, 429, {"Retry-After": "3600"}))
    with pytest.raises(tw.Overloaded, match="the log is full") as caught:
        client.push("departures", [{"x": 1}], idempotency_key="k")
    assert caught.value.retry_after == 3600
    assert caught.value.idempotency_key == "k"
    assert waits[1:] == [30.0] * 4


def test_a_server_that_is_not_there(server, monkeypatch):
    monkeypatch.setattr("thalweg.http_connection.time.sleep", lambda seconds: None)
    server.close()
    with pytest.raises(tw.ServerError, match="is `thalweg serve` running") as caught:
        tw.connect(server.url)
    assert caught.value.code == "UNREACHABLE"


def test_a_read_that_takes_too_long_is_not_started_twice(server):
    release = threading.Event()
    server.respond = lambda request: Answer({"waited": release.wait(5)})
    with pytest.raises(tw.ServerError) as caught:
        tw.Client(server.url, timeout=0.05).status()
    release.set()
    assert caught.value.code == "TIMEOUT"
    assert len(server.requests) == 1


def test_a_refusal_has_its_code_and_is_not_retried(server, client):
    server.answers(Answer({"error": {"code": "NOT_FOUND", "message": "no source `x`"}}, 404))
    with pytest.raises(tw.ServerError, match="no source `x`") as caught:
        client.push("x", [{"a": 1}])
    assert (caught.value.code, caught.value.status, len(server.requests)) == ("NOT_FOUND", 404, 1)
    server.answers(Answer(b"<html>", 502))
    with pytest.raises(tw.ServerError) as caught:
        client.status()
    assert caught.value.code == "HTTP_502"


def test_a_connection_is_kept_for_each_thread(server, client):
    for _ in range(3):
        client.status()
    thread = threading.Thread(target=client.status)
    thread.start()
    thread.join()
    assert [request.connection for request in server.requests[:3]] == [server.requests[0].connection] * 3
    assert len({request.connection for request in server.requests}) == 2


RESPONSE = {
    "as_of": "2013-01-01T00:00:00.000000Z",
    "entities": {"carrier": ["AA", "UA"]},
    "results": [
        {
            "name": "carrier_delays.delay_mean_7d",
            "values": [1.5, "NaN"],
            "event_times": ["2012-12-31T00:00:00.000000Z", None],
            "statuses": ["PRESENT", "PRESENT"],
        },
        {
            "name": "carrier_delays.total",
            "type": "map<string,decimal(38,2)>",
            "values": [{"a": "1.25"}, None],
            "event_times": [None, None],
            "statuses": ["PRESENT", "ERROR"],
            "errors": [None, "overflow"],
        },
    ],
}


def test_features_are_read(server, client, flights):
    server.answers(Answer(RESPONSE))
    vector = client.features(
        flights.service, {"carrier": ["AA", "UA"]}, request={"expected": [1, math.inf]}, as_of=datetime(2013, 1, 1)
    )
    assert server.requests[0].json == {
        "service": "arrival_delay",
        "entities": {"carrier": ["AA", "UA"]},
        "request": {"expected": [1, "Infinity"]},
        "as_of": "2013-01-01T00:00:00.000000Z",
    }
    assert len(vector) == 2
    assert vector.as_of == datetime(2013, 1, 1, tzinfo=UTC)
    mean = vector["carrier_delays.delay_mean_7d"]
    assert mean[0] == 1.5
    assert math.isnan(mean[1])
    assert vector.event_times["carrier_delays.delay_mean_7d"] == [datetime(2012, 12, 31, tzinfo=UTC), None]
    assert vector["carrier_delays.total"] == [{"a": Decimal("1.25")}, None]
    assert vector.statuses["carrier_delays.total"] == ["PRESENT", "ERROR"]
    assert vector.errors == {"carrier_delays.total": [None, "overflow"]}
    assert list(vector.to_dict()) == ["carrier", "carrier_delays.delay_mean_7d", "carrier_delays.total"]


def test_a_vector_as_a_table_has_the_columns_of_a_training_set(server, client):
    pytest.importorskip("pandas")
    server.answers(Answer(RESPONSE))
    vector = client.features("arrival_delay", {"carrier": ["AA", "UA"]})
    assert vector.to_arrow(statuses=True).column_names == [
        "carrier",
        "carrier_delays__delay_mean_7d",
        "carrier_delays__delay_mean_7d__status",
        "carrier_delays__total",
        "carrier_delays__total__status",
    ]
    assert vector.to_pandas()["carrier_delays__delay_mean_7d"][0] == 1.5


def test_ways_to_say_what_is_asked_for(server, client, flights):
    pd = pytest.importorskip("pandas")
    server.answers(Answer({"results": []}))
    for asked, sent in [
        ("s", {"service": "s"}),
        ("v.x", {"features": ["v.x"]}),
        (flights.view["flights"], {"features": ["carrier_delays.flights_1h", "carrier_delays.flights_1d"]}),
        ([flights.gap, "v.x"], {"features": ["gap", "v.x"]}),
    ]:
        client.features(asked, {"carrier": "AA"})
        assert server.requests[-1].json == {**sent, "entities": {"carrier": ["AA"]}}
    frame = pd.DataFrame({"carrier": ["AA", "UA"], "day": pd.to_datetime(["2024-01-01", None])})
    for entities in (frame, dict(frame.items()), frame.to_dict("records")):
        client.features("s", entities)
        assert server.requests[-1].json["entities"]["carrier"] == ["AA", "UA"]
        assert server.requests[-1].json["entities"]["day"] == ["2024-01-01T00:00:00.000000Z", None]
    with pytest.raises(ValueError, match="different lengths"):
        client.features("s", {"a": [1], "b": [1, 2]})


class Jobs:
    """The part of a server that computes training sets: three looks until it is done."""

    def __init__(self, result):
        self.result = result
        self.looks = 0

    def __call__(self, request):
        if request.method == "DELETE":
            return Answer({})
        if request.path == "/v1/training-sets":
            return Answer({"id": "7"}, 202)
        if request.path.endswith("/data"):
            return Answer(to_stream(self.result))
        self.looks += 1
        state = "done" if self.looks == 3 else "running"
        return Answer({"id": "7", "state": state, "done": self.looks, "total": 3, "report": {"rows": 1}})


SPINE = pa.table({"carrier": ["AA"], "at": pa.array([datetime(2024, 1, 1)], pa.timestamp("us"))})


def test_a_training_set(server, client, flights, tmp_path):
    pytest.importorskip("pandas")
    server.respond = Jobs(SPINE.append_column("x", pa.array([1.5])))
    seen = []
    result = client.training_set(
        flights.service,
        SPINE,
        timestamp="at",
        as_of="arrival",
        statuses=True,
        progress=lambda done, total: seen.append((done, total)),
    )
    start = server.requests[0]
    assert start.query == {"service": "arrival_delay", "timestamp": "at", "as_of": "arrival", "statuses": "true"}
    assert sent_table(start).equals(SPINE)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert (result.id, result.report, len(result)) == ("7", {"rows": 1}, 1)
    assert result.to_pandas()["x"][0] == 1.5
    assert result.to_polars()["x"][0] == 1.5
    result.write_parquet(tmp_path / "t.parquet")
    assert pa.parquet.read_table(tmp_path / "t.parquet").equals(result.to_arrow())


def test_ways_to_give_a_spine(server, client, flights, tmp_path):
    import pyarrow.parquet as pq

    pq.write_table(SPINE, tmp_path / "spine.parquet")
    for spine in (str(tmp_path / "spine.parquet"), tmp_path / "spine.parquet"):
        server.requests.clear()
        server.respond = Jobs(SPINE)
        client.training_set("s", spine, timestamp="at", progress=False)
        assert sent_table(server.requests[0]).equals(SPINE)
    server.requests.clear()
    server.respond = Jobs(SPINE)
    named = tw.TrainingSet("t", flights.service, "  select * from departures", timestamp="at")
    client.training_set(named)
    assert server.requests[0].json == {"sql": "  select * from departures"}
    assert server.requests[0].query["timestamp"] == "at"
    with pytest.raises(ValueError, match="no column `timestamp`"):
        client.training_set("s", SPINE)
    with pytest.raises(FileNotFoundError, match="no file gone"):
        client.training_set("s", "gone.parquet")


def test_an_interrupt_cancels_the_computation_on_the_server(server, client):
    server.respond = Jobs(SPINE)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.training_set("s", SPINE, timestamp="at", progress=interrupt)
    assert (server.requests[-1].method, server.requests[-1].path) == ("DELETE", "/v1/training-sets/7")


def test_a_training_set_that_fails(server, client):
    server.respond = lambda request: Answer({"id": "7", "state": "failed", "error": "no table `x`"})
    with pytest.raises(tw.ServerError, match="no table `x`"):
        client.training_set("s", SPINE, timestamp="at", progress=False)


def test_the_other_calls(server, client):
    compiled = tw.Compiled('{"project":"p"}', b"", "h", {})
    server.answers(Answer({"text": "+ view v", "changes": [1], "breaking": True, "hash": "h", "version": 3}))
    plan = client.apply(compiled, allow_breaking=True)
    assert (str(plan), plan.breaking, plan.version) == ("+ view v", True, 3)
    assert client.plan(compiled).changes == (1,)
    server.answers(Answer({"compared": 5, "mismatches": 0, "rows": 2, "samples": []}))
    assert client.check(service="s").ok
    server.answers(Answer([{"row": 1}]))
    assert client.quarantine("departures") == [{"row": 1}]
    server.answers(Answer(ACK))
    assert client.replay_quarantine("departures").applied == 1
    assert client.ledger("departures")["read"] == 2
    client.flush()
    assert [(request.method, request.path) for request in server.requests] == [
        ("POST", "/v1/apply"),
        ("POST", "/v1/plan"),
        ("POST", "/v1/check"),
        ("GET", "/v1/sources/departures/quarantine"),
        ("POST", "/v1/sources/departures/quarantine/replay"),
        ("GET", "/v1/sources/departures"),
        ("POST", "/v1/flush"),
    ]
    assert server.requests[0].query == {"allow_breaking": "true"}
    assert server.requests[0].json == {"project": "p"}
    assert server.requests[2].json == {"service": "s"}
    with pytest.raises(TypeError, match=r"tw\.Project"):
        client.plan("features.py")


def test_the_client_for_asyncio(server):
    server.answers(Answer(RESPONSE))

    async def read_twice():
        async with tw.AsyncClient(server.url) as client:
            return await asyncio.gather(*(client.features("s", {"carrier": ["AA", "UA"]}) for _ in range(2)))

    assert [len(vector) for vector in asyncio.run(read_twice())] == [2, 2]


def test_rows_of_mixed_types_become_text_in_a_table():
    table = rows_to_table([{"x": 1, "y": 1}, {"x": "one"}])
    assert table.to_pydict() == {"x": ["1", "one"], "y": [1, None]}


def test_a_thing_that_is_no_table(client):
    with pytest.raises(TypeError, match="pass a pandas or polars DataFrame"):
        client.push("departures", 3)
