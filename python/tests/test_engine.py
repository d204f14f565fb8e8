"""The engine in the process: what the package passes to the native one, and the whole way where it is built."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

import thalweg as tw
from thalweg import native

pa = pytest.importorskip("pyarrow")

SPINE = pa.table({"carrier": ["AA"], "at": pa.array([datetime(2024, 1, 2, tzinfo=UTC)])})


class FakeEngine:
    """Remembers the calls."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        def call(*given):
            self.calls.append((name, *given))
            if name == "push" and given[0] == "gone":
                raise RuntimeError("there is no source `gone`")
            return "{}"

        return call

    def features_table(self, *given):
        self.calls.append(("features_table", *given))
        return SPINE

    def direct(self, *given):
        self.calls.append(("direct", *given))
        value = {"aggregation": None, "value": 3, "type": "int64", "status": "PRESENT", "event_time": None}
        return json.dumps({"as_of": None, "values": [value], "sequence": 7, "at": None, "repeated": False})

    def training_set(self, *given):
        self.calls.append(("training_set", *given))
        return SPINE, '{"id": "7", "rows": 1}'


@pytest.fixture
def fake(monkeypatch):
    engine = FakeEngine()

    def open_engine(path, settings):
        engine.calls.append((path, json.loads(settings)))
        return engine

    monkeypatch.setattr(native, "open_engine", open_engine)
    return engine


def test_calls_reach_the_native_engine(fake, tmp_path):
    with tw.Engine(tmp_path, clock="events", memory="1GB", fsync=False) as engine:
        engine.push("departures", [{"x": 1}, {"y": "a"}], idempotency_key="k", backfill=True)
        engine.features("s", {"carrier": "AA"})
        engine.apply(tw.Compiled("{}", b"", "", {}), allow_breaking=True)
        engine.flush()
    assert fake.calls[0] == (str(tmp_path), {"clock": "events", "memory": "1GB", "fsync": False})
    name, source, table, *rest = fake.calls[1]
    assert (name, source, rest) == ("push", "departures", ["k", True])
    assert table.to_pydict() == {"x": [1, None], "y": [None, "a"]}
    assert fake.calls[2] == ("features", '{"service": "s", "entities": {"carrier": ["AA"]}}')
    assert fake.calls[3:] == [("apply", "{}", True), ("flush",), ("close",)]


def test_a_training_set(fake, tmp_path):
    engine = tw.Engine(tmp_path)
    result = engine.training_set("s", SPINE, timestamp="at", progress=False)
    assert (result.id, result.to_arrow()) == ("7", SPINE)
    assert json.loads(fake.calls[1][3]) == {"timestamp": "at", "as_of": "event_time", "statuses": False}
    engine.training_set("s", "SELECT 1", progress=False)
    assert fake.calls[2][2] is None
    assert json.loads(fake.calls[2][3])["sql"] == "SELECT 1"


def test_tables_and_direct_features_reach_the_native_engine(fake, tmp_path):
    engine = tw.Engine(tmp_path)
    table = engine.features_table(["v.x", "gap"], {"carrier": ["AA"]}, as_of=17)
    assert table.equals(SPINE)
    name, request, columns = fake.calls[1]
    assert (name, json.loads(request)) == ("features_table", {"features": ["v.x", "gap"], "as_of": 17})
    assert columns.to_pydict() == {"carrier": ["AA"]}
    handle = engine.direct("users.clicks")
    assert handle.get({"user": "u1"}, previous=1).value == 3
    assert handle.incr({"user": "u1"}, at=datetime(2024, 1, 1), idempotency_key="k").sequence == 7
    handle.describe()
    assert fake.calls[2:] == [
        ("direct", "users.clicks@-1", "get", '{"keys": {"user": "u1"}}', None),
        (
            "direct",
            "users.clicks",
            "incr",
            '{"keys": {"user": "u1"}, "value": 1, "at": "2024-01-01T00:00:00.000000Z"}',
            "k",
        ),
        ("direct_descriptor", "users.clicks"),
    ]


def test_errors_of_the_engine_are_those_of_the_package(fake, tmp_path):
    with pytest.raises(tw.ThalwegError, match="no source `gone`"):
        tw.Engine(tmp_path).push("gone", [{"x": 1}])
    with pytest.raises(ValueError, match='"system" or "events"'):
        tw.Engine(tmp_path, clock="wall")
    with pytest.raises(ValueError, match="neither a server"):
        tw.connect("ftp://x")
    assert isinstance(tw.connect(tmp_path), tw.Engine)


def test_the_whole_way(tmp_path):
    pytest.importorskip("thalweg._native")
    card = tw.Entity("card", keys={"card": tw.string})
    payments = tw.EventSource(
        "payments", schema={"card": tw.string, "amount": tw.float64, "at": tw.timestamp}, timestamp="at"
    )
    view = tw.FeatureView(
        "spend", entity=card, source=payments, features={"n": tw.count(over="1d"), "total": tw.sum("amount", over="1d")}
    )
    service = tw.FeatureService("risk", features=[view])
    with tw.Engine(tmp_path / "data", clock="events") as engine:
        engine.apply(tw.Project("shop", [service]))
        rows = [
            {"card": "a", "amount": 0.1, "at": datetime(2024, 1, 1, 10)},
            {"card": "a", "amount": 0.2, "at": datetime(2024, 1, 1, 11)},
            {"card": "b", "amount": 5.0, "at": datetime(2024, 1, 1, 12)},
        ]
        assert engine.push(payments, rows, backfill=True).applied == 3
        at = datetime(2024, 1, 1, 11)
        vector = engine.features(service, {"card": ["a", "c"]}, as_of=at)
        # The head of a window is exclusive: the payment at 11:00 is not seen at 11:00.
        assert vector["spend.n_1d"] == [1, 0]
        assert vector.statuses["spend.total_1d"] == ["PRESENT", "NOT_FOUND"]
        spine = pa.table({"card": ["a"], "timestamp": pa.array([at])})
        assert engine.training_set(service, spine, progress=False).to_arrow()["spend__total_1d"].to_pylist() == [0.1]


def test_direct_features_and_tables_the_whole_way(tmp_path):
    pytest.importorskip("thalweg._native")
    user = tw.Entity("user", keys={"user": tw.string})
    clicks = tw.DirectFeature("clicks", entity=user, primitive=int, namespace="users", keep_previous=1)
    seen = tw.DirectFeature("seen", entity=user, primitive=datetime, namespace="users")
    spend = tw.DirectFeature(
        "spend", entity=user, primitive=float, namespace="users", aggregations=["count", "sum"], over="1h"
    )
    service = tw.FeatureService("profile", features=[clicks, spend.aggregation("sum")])
    with tw.Engine(tmp_path / "data") as engine:
        engine.apply(tw.Project("shop", [service, seen]))
        handle = engine.direct(clicks)
        first = handle.incr({"user": "u1"}, 2, idempotency_key="k")
        again = handle.incr({"user": "u1"}, 2, idempotency_key="k")
        assert (again.sequence, again.at, again.repeated) == (first.sequence, first.at, True)
        handle.set({"user": "u1"}, 7)
        assert (handle.get({"user": "u1"}).value, handle.get({"user": "u1"}, previous=1).value) == (7, 2)
        engine.direct(seen).set({"user": "u1"}, datetime(2024, 5, 1))
        assert engine.direct(seen).get({"user": "u1"}).value == datetime(2024, 5, 1, tzinfo=UTC)
        engine.direct(spend).update({"user": "u1"}, 2.5)
        assert engine.direct(spend).get({"user": "u1"}).value == {"count": 1, "sum": 2.5}
        assert engine.direct(spend).get({"user": "u9"}, aggregation="sum").status == "NOT_FOUND"
        assert engine.direct(clicks).describe()["keep_previous"] == 1
        table = engine.features_table(service, {"user": ["u1", "u9"]})
        assert table["users__clicks__value"].to_pylist() == [7, None]
        assert table["users__spend__sum_1h__status"].to_pylist() == ["PRESENT", "NOT_FOUND"]
        assert set(table.schema.metadata) == {b"as_of", b"manifest_hash"}
        with pytest.raises(tw.ThalwegError, match="only a list can be appended to"):
            handle.append({"user": "u1"}, 1)
