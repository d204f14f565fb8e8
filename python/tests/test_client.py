"""The client: what it sends, how it retries, and what it makes of the answers. The server is a script."""

from __future__ import annotations

import asyncio
import math
import ssl
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address

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


def test_an_api_key_goes_with_every_request(server, monkeypatch):
    def sent(client):
        client.status()
        return server.requests[-1].headers.get("authorization")

    monkeypatch.delenv("THALWEG_API_KEY", raising=False)
    assert sent(tw.Client(server.url)) is None
    monkeypatch.setenv("THALWEG_API_KEY", "tw_of_the_environment\n")
    assert sent(tw.Client(server.url)) == "Bearer tw_of_the_environment"
    client = tw.Client(server.url, api_key="tw_given")
    assert sent(client) == "Bearer tw_given"
    client.push("departures", [{"x": 1}])
    assert server.requests[-1].headers["authorization"] == "Bearer tw_given"
    assert sent(tw.connect(server.url, api_key="tw_given")) == "Bearer tw_given"
    # What was named for each request comes before what was meant for all.
    assert sent(tw.Client(server.url, api_key="tw_given", headers={"Authorization": "Basic x"})) == "Basic x"
    assert "tw_given" not in repr(client)


def test_a_key_that_is_refused_is_not_sent_again(server, client):
    for status, code in [(401, "UNAUTHENTICATED"), (403, "FORBIDDEN"), (504, "DEADLINE")]:
        server.requests.clear()
        server.answers(Answer({"error": {"code": code, "message": "no"}}, status))
        with pytest.raises(tw.ServerError, match=f"{code}: no") as caught:
            client.features("s", {"carrier": "AA"})
        assert (caught.value.code, caught.value.status, len(server.requests)) == (code, status, 1)


@pytest.fixture
def authority(server, tmp_path):
    """Makes the fake server speak TLS, with a certificate of an authority of its own; the authority's file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    own, of_server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("authority", "server")]
    now = datetime.now(UTC)

    def certificate(name, key, *extensions):
        builder = x509.CertificateBuilder(names[0], name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(own.public_key())
        for extension in (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), signer, *extensions):
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(own, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    usage = dict.fromkeys(
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement crl_sign "
        "encipher_only decipher_only".split(),
        False,
    )
    file = tmp_path / "authority.pem"
    is_authority = x509.BasicConstraints(ca=True, path_length=None), x509.KeyUsage(key_cert_sign=True, **usage)
    file.write_bytes(certificate(names[0], own, *is_authority))
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    pem = of_server.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain = tmp_path / "server.pem"
    chain.write_bytes(pem + certificate(names[1], of_server, address))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
    server.url = server.url.replace("http:", "https:")
    return file


def test_a_server_whose_authority_is_ones_own(server, authority, monkeypatch):
    monkeypatch.delenv("THALWEG_CA_CERT", raising=False)
    server.answers(Answer(ACK))
    with tw.connect(server.url, ca_cert=authority) as client:
        assert client.push("departures", [{"x": 1}]).read == 2
    monkeypatch.setenv("THALWEG_CA_CERT", str(authority))
    tw.Client(server.url).status()
    assert [request.path for request in server.requests] == ["/healthz", "/v1/sources/departures/events", "/v1/status"]


def test_a_server_that_is_not_trusted(server, authority, monkeypatch):
    monkeypatch.delenv("THALWEG_CA_CERT", raising=False)
    waits = []
    monkeypatch.setattr("thalweg.http_connection.time.sleep", waits.append)
    with pytest.raises(tw.ServerError, match=r"is not trusted .*; pass ca_cert=") as caught:
        tw.Client(server.url, api_key="tw_secret").status()
    assert caught.value.code == "UNREACHABLE"
    assert (waits, server.requests) == ([], [])
    with pytest.raises(ValueError, match=r"`ca_cert` is 'gone.pem', and no certificate can be read there"):
        tw.Client(server.url, ca_cert="gone.pem")
    with pytest.raises(ValueError, match="no certificate can be read there"):
        tw.Client(server.url, ca_cert=__file__)


def test_what_is_for_servers_is_refused_for_a_directory(tmp_path):
    with pytest.raises(ValueError, match="are for servers, and"):
        tw.connect(tmp_path / "data", api_key="tw_given")
    assert not (tmp_path / "data").exists()


TABLE = pa.table({"carrier": ["AA", "UA"], "carrier_delays__flights_1h": [3, 0]})


def test_tables_of_features_are_arrow_both_ways(server, client, flights):
    pl = pytest.importorskip("polars")
    answer = TABLE.replace_schema_metadata({"as_of": "2013-01-01T00:00:00.000000Z", "manifest_hash": "h"})
    server.answers(Answer(to_stream(answer)))
    columns = {"carrier": ["AA", "UA"], "expected": [1.5, 2.0]}
    for entities in (columns, pa.table(columns), pl.DataFrame(columns), [{"carrier": "AA", "expected": 1.5}]):
        table = client.features_table(flights.service, entities, as_of=datetime(2013, 1, 1))
        request = server.requests[-1]
        assert (request.method, request.path) == ("POST", "/v1/features")
        assert request.query == {"service": "arrival_delay", "as_of": "2013-01-01T00:00:00.000000Z"}
        assert request.headers["accept"] == "application/vnd.apache.arrow.stream"
        assert sent_table(request).column_names == ["carrier", "expected"]
        assert table.equals(TABLE)
        assert table.schema.metadata[b"as_of"] == b"2013-01-01T00:00:00.000000Z"
    client.features_table([flights.view["flights"], flights.gap], columns, as_of=7)
    assert server.requests[-1].query == {
        "features": "carrier_delays.flights_1h,carrier_delays.flights_1d,gap",
        "as_of": "7",
    }


USER = tw.Entity("user", keys={"user": tw.string})
CLICKS = tw.DirectFeature("clicks", entity=USER, primitive=int, namespace="users", keep_previous=2)
WRITTEN = {"selector": "users.clicks", "sequence": 7, "at": "2024-05-01T12:30:00.000000Z", "repeated": False}


def one(value, type_text, status="PRESENT", aggregation=None, time=None):
    return {"aggregation": aggregation, "value": value, "type": type_text, "status": status, "event_time": time}


def test_a_direct_feature_is_read(server, client):
    time = "2024-05-01T12:29:58.000000Z"
    body = {"selector": "users.clicks", "as_of": "2024-05-01T12:30:00.000000Z", "values": [one(3, "int64", time=time)]}
    server.answers(Answer(body))
    found = client.direct(CLICKS).get({"user": "u1"})
    assert (found.value, found.status) == (3, "PRESENT")
    assert found.event_time == datetime(2024, 5, 1, 12, 29, 58, tzinfo=UTC)
    assert found.as_of == datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
    client.direct("users.clicks").get({"user": "u1"}, previous=1, as_of=datetime(2024, 5, 1))
    client.direct("users.spend").get({"user": "u1", "day": date(2024, 5, 1)}, aggregation="sum")
    assert [(request.path, request.json) for request in server.requests] == [
        ("/v1/direct/users.clicks/get", {"keys": {"user": "u1"}}),
        (
            "/v1/direct/users.clicks%40-1/get",
            {"keys": {"user": "u1"}, "as_of": "2024-05-01T00:00:00.000000Z"},
        ),
        ("/v1/direct/users.spend%2Bsum/get", {"keys": {"user": "u1", "day": "2024-05-01"}}),
    ]


def test_direct_values_have_the_types_that_the_server_names(server, client):
    handle = client.direct("users.anything")
    time = "2024-05-01T12:00:00.000000Z"
    for value, type_text, meant in [
        (time, "timestamp", datetime(2024, 5, 1, 12, tzinfo=UTC)),
        ([time, None], "list<timestamp>", [datetime(2024, 5, 1, 12, tzinfo=UTC), None]),
        (time, "string", time),
        ("Infinity", "float64", math.inf),
        ("Infinity", "string", "Infinity"),
        (2, "float64", 2.0),
        (None, "int64", None),
        (["a", "b"], "list<string>", ["a", "b"]),
    ]:
        server.answers(Answer({"as_of": time, "values": [one(value, type_text)]}))
        found = handle.get({"user": "u1"}).value
        assert (found, type(found)) == (meant, type(meant))


def test_a_windowed_feature_is_read_by_its_aggregations(server, client):
    times = ["2024-05-01T12:29:58.000000Z", "2024-05-01T12:29:59.000000Z", None]
    values = [
        one(2, "int64", aggregation="count", time=times[0]),
        one(14.5, "float64", aggregation="sum", time=times[1]),
        one(None, "float64", "NULL", "min", times[2]),
    ]
    server.answers(Answer({"as_of": "2024-05-01T12:30:00.000000Z", "values": values}))
    found = client.direct("users.spend").get({"user": "u1"})
    assert found.value == {"count": 2, "sum": 14.5, "min": None}
    assert found.status == {"count": "PRESENT", "sum": "PRESENT", "min": "NULL"}
    assert found.event_time == datetime(2024, 5, 1, 12, 29, 59, tzinfo=UTC)


def test_a_direct_feature_is_written(server, client):
    server.answers(Answer(WRITTEN))
    handle = client.direct(CLICKS)
    keys = {"user": "u1"}
    written = handle.set(keys, 5, at=datetime(2024, 5, 1, 12, 30), idempotency_key="mine")
    assert (written.sequence, written.repeated) == (7, False)
    assert written.at == datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
    handle.append(keys, datetime(2024, 5, 1), at=17)
    handle.incr(keys)
    handle.incr(keys, 2.5)
    handle.update(keys, [1, None])
    assert [(request.path.rpartition("/")[2], request.json) for request in server.requests] == [
        ("set", {"keys": keys, "value": 5, "at": "2024-05-01T12:30:00.000000Z"}),
        ("append", {"keys": keys, "value": "2024-05-01T00:00:00.000000Z", "at": 17}),
        ("incr", {"keys": keys, "value": 1}),
        ("incr", {"keys": keys, "value": 2.5}),
        ("update", {"keys": keys, "value": [1, None]}),
    ]
    sent = [request.headers["idempotency-key"] for request in server.requests]
    assert sent[0] == "mine"
    assert len(set(sent)) == 5
    assert all(request.path.startswith("/v1/direct/users.clicks/") for request in server.requests)


def test_a_write_is_retried_under_its_key(server, client, monkeypatch):
    monkeypatch.setattr("thalweg.http_connection.time.sleep", lambda seconds: None)
    busy = Answer({"error": {"code": "UNAVAILABLE", "message": "starting"}}, 503)
    server.answers(Answer(hang_up=True), busy, Answer({**WRITTEN, "repeated": True}))
    assert client.direct(CLICKS).incr({"user": "u1"}).repeated
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_a_write_that_failed_says_under_which_key_to_send_it_again(server, client):
    late = {"error": {"code": "DEADLINE", "message": "not durable within its timeout"}}
    server.answers(Answer(late, 504))
    with pytest.raises(tw.ServerError, match="DEADLINE") as caught:
        client.direct(CLICKS).incr({"user": "u1"})
    assert caught.value.idempotency_key == server.requests[0].headers["idempotency-key"]
    server.answers(Answer(WRITTEN))
    client.direct(CLICKS).incr({"user": "u1"}, idempotency_key=caught.value.idempotency_key)
    assert server.requests[1].headers["idempotency-key"] == caught.value.idempotency_key
    with pytest.raises(ValueError, match="`idempotency_key` is empty; leave it out"):
        client.direct(CLICKS).incr({"user": "u1"}, idempotency_key="")


def test_a_write_that_takes_too_long_is_sent_again_under_its_key(server, monkeypatch):
    monkeypatch.setattr("thalweg.http_connection.time.sleep", lambda seconds: None)
    release = threading.Event()
    server.respond = lambda request: Answer(WRITTEN) if len(server.requests) > 1 else Answer(release.wait(5))
    assert tw.Client(server.url, timeout=0.2).direct(CLICKS).set({"user": "u1"}, 1).sequence == 7
    release.set()
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


def test_direct_features_are_described_and_referred_to(server, client):
    server.answers(Answer({"selector": "users.clicks", "primitive": "int"}))
    assert client.direct(CLICKS).describe()["primitive"] == "int"
    assert server.requests[0].path == "/v1/direct/users.clicks"
    server.answers(Answer({"results": []}))
    client.features([CLICKS, CLICKS.previous(1)], {"user": "u1"})
    client.features(CLICKS, {"user": "u1"})
    assert [request.json["features"] for request in server.requests[1:]] == [
        ["users__clicks.value", "users__clicks.previous_1"],
        ["users__clicks.value"],
    ]
    assert repr(client.direct(CLICKS)) == "<direct feature users.clicks>"
    with pytest.raises(TypeError, match=r"pass a tw\.DirectFeature"):
        client.direct(USER)


def test_the_client_for_asyncio(server):
    server.answers(Answer(RESPONSE))

    async def read_twice():
        async with tw.AsyncClient(server.url) as client:
            return await asyncio.gather(*(client.features("s", {"carrier": ["AA", "UA"]}) for _ in range(2)))

    assert [len(vector) for vector in asyncio.run(read_twice())] == [2, 2]


def test_every_call_can_be_awaited(server, flights):
    def respond(request):
        if request.headers["accept"] != "*/*":
            return Answer(to_stream(TABLE))
        if request.path.startswith("/v1/direct/"):
            read = {"as_of": None, "values": [one(3, "int64")]}
            return Answer(read if request.path.endswith("/get") else WRITTEN)
        return Answer([]) if request.path.endswith("/quarantine") else Answer({**ACK, **RESPONSE})

    server.respond = respond
    compiled = tw.Compiled("{}", b"", "h", {})
    columns = {"carrier": ["AA", "UA"]}

    async def call_all():
        async with tw.AsyncClient(server.url, api_key="tw_given", connections=1) as client:
            clicks = client.direct(CLICKS)
            await client.health()
            assert (await client.push("departures", [{"x": 1}], idempotency_key="k")).idempotency_key == "k"
            assert len(await client.features("s", columns)) == 2
            assert (await client.features_table("s", columns)).equals(TABLE)
            assert (await clicks.get({"user": "u1"})).value == 3
            for write in (clicks.set, clicks.append, clicks.incr, clicks.update):
                assert (await write({"user": "u1"}, 1, idempotency_key="k")).sequence == 7
            assert (await clicks.describe())["selector"] == "users.clicks"
            await client.plan(compiled)
            await client.apply(compiled, allow_breaking=True)
            await client.check(service="s")
            await client.flush()
            await client.status()
            assert (await client.ledger("departures"))["read"] == 2
            assert await client.quarantine("departures") == []
            assert (await client.replay_quarantine(flights.departures)).applied == 1
            return repr(client), repr(clicks)

    assert asyncio.run(call_all()) == (f"AsyncClient('{server.url}')", "<direct feature users.clicks>")
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer tw_given"}
    writes = [request for request in server.requests if request.path.endswith(("/set", "/append", "/incr", "/update"))]
    assert [request.headers["idempotency-key"] for request in writes] == ["k"] * 4
    # One connection was asked for.
    assert len({request.connection for request in server.requests}) == 1


def test_as_many_requests_are_under_way_as_there_are_connections(server):
    both = threading.Barrier(2)

    def respond(request):
        both.wait(5)
        return Answer({})

    server.respond = respond

    async def ask(count):
        client = tw.AsyncClient(server.url, connections=2)
        await asyncio.gather(*(client.status() for _ in range(count)))
        await client.close()
        with pytest.raises(RuntimeError, match="shutdown"):
            await client.status()

    # Each answer waits for another request, so that fewer at a time would never end.
    asyncio.run(ask(4))
    assert len({request.connection for request in server.requests}) == 2


def test_a_cancelled_task_cancels_the_computation_on_the_server(server):
    running = threading.Event()
    cancelled = threading.Event()

    def respond(request):
        if request.method == "DELETE":
            cancelled.set()
        if request.method == "GET":
            running.set()
        return Answer({"id": "7", "state": "running", "done": 1, "total": 2})

    server.respond = respond

    async def start_and_cancel():
        async with tw.AsyncClient(server.url) as client:
            task = asyncio.create_task(client.training_set("s", SPINE, timestamp="at"))
            await asyncio.get_running_loop().run_in_executor(None, running.wait, 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(start_and_cancel())
    # Closing waits for the thread, which has told the server by then.
    assert cancelled.is_set()


def test_rows_of_mixed_types_become_text_in_a_table():
    table = rows_to_table([{"x": 1, "y": 1}, {"x": "one"}])
    assert table.to_pydict() == {"x": ["1", "one"], "y": [1, None]}


def test_a_thing_that_is_no_table(client):
    with pytest.raises(TypeError, match="pass a pandas or polars DataFrame"):
        client.push("departures", 3)
