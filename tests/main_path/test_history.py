"""History is an open table: other engines read it, on the local disk and on an object store, and find the same rows."""

import socket
import subprocess
import sys
import time

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable

import thalweg as tw

ROWS = 5_000


def project(more=None):
    schema = {"id": tw.int64, "user": tw.string, "at": tw.timestamp, "amount": tw.float64, "note": tw.string}
    schema |= more or {}
    events = tw.EventSource("payments", schema=schema, timestamp="at", dedup=tw.Dedup(["id"], within="1d"))
    user = tw.Entity("user", keys={"user": tw.string})
    view = tw.FeatureView("spend", entity=user, source=events, features={"total": tw.sum("amount", over="7d")})
    return tw.Project("shop", [tw.FeatureService("spending", features=[view])])


def payments(count=ROWS, first=0):
    ids = list(range(first, first + count))
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "user": [f"user-{number % 37}" for number in ids],
            "at": pa.array([1_700_000_000_000_000 + number * 60_000_000 for number in ids], pa.timestamp("us", "UTC")),
            "amount": [number * 0.01 for number in ids],
            "note": ["größer" if number % 3 else None for number in ids],
        }
    )


def as_rows(table):
    names = ["id", "user", "at", "amount", "note"]
    return sorted(zip(*(table[name].to_pylist() for name in names), strict=True))


def test_other_engines_read_the_same_rows(tmp_path):
    with tw.Engine(tmp_path / "data", clock="events") as engine:
        engine.apply(project())
        sent = payments()
        engine.push("payments", sent)
        # Sent twice: dropped at the door, so it is not in history twice either.
        assert engine.push("payments", payments(100)).deduplicated == 100
        engine.flush()
        path = engine.history_path("payments")
    delta = DeltaTable(path)
    assert as_rows(delta.to_pyarrow_table()) == as_rows(sent)
    assert delta.metadata().partition_columns == ["__date"]
    files = delta.file_uris()
    count, total = duckdb.sql(f"SELECT count(*), sum(amount) FROM read_parquet({files!r})").fetchall()[0]
    assert (count, pytest.approx(total)) == (ROWS, sum(sent["amount"].to_pylist()))
    sequences = duckdb.sql(f"SELECT count(DISTINCT __sequence) FROM read_parquet({files!r})").fetchall()[0][0]
    assert sequences == ROWS


def test_a_flush_writes_each_row_once(tmp_path):
    with tw.Engine(tmp_path / "data", clock="events") as engine:
        engine.apply(project())
        for part in range(5):
            engine.push("payments", payments(200, first=part * 200))
            engine.flush()
            engine.flush()
        path = engine.history_path("payments")
    assert DeltaTable(path).to_pyarrow_table().num_rows == 1_000


def test_columns_can_be_added(tmp_path):
    with tw.Engine(tmp_path / "data", clock="events") as engine:
        engine.apply(project())
        engine.push("payments", payments(10))
        engine.flush()
        engine.apply(project({"country": tw.string}))
        engine.push("payments", payments(10, first=10).append_column("country", pa.array(["NL"] * 10)))
        engine.flush()
        path = engine.history_path("payments")
    table = DeltaTable(path).to_pyarrow_table()
    assert sorted(table["country"].to_pylist(), key=str) == ["NL"] * 10 + [None] * 10


@pytest.fixture
def object_store():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    import boto3

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    url = f"http://127.0.0.1:{port}"
    client = boto3.client("s3", endpoint_url=url, **keys)
    for _ in range(200):
        try:
            client.create_bucket(Bucket="lake")
            break
        except Exception:
            time.sleep(0.1)
    yield {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    server.kill()
    server.wait()


def test_history_on_an_object_store(tmp_path, object_store):
    settings = {"history": "s3://lake/history", "history_options": object_store}
    with tw.Engine(tmp_path / "data", clock="events", **settings) as engine:
        engine.apply(project())
        engine.push("payments", payments(1_000))
        engine.flush()
        spine = pa.table({"user": ["user-1", "user-2"], "timestamp": payments(1_000)["at"].slice(998, 2)})
        trained = engine.training_set("spending", spine).to_arrow()
        path = engine.history_path("payments")
    with tw.Engine(tmp_path / "data", clock="events", **settings) as engine:
        again = engine.training_set("spending", spine).to_arrow()
    assert path == "s3://lake/history/payments"
    assert trained["spend__total_7d"].to_pylist() == again["spend__total_7d"].to_pylist()
    assert all(value > 0 for value in trained["spend__total_7d"].to_pylist())
    read = DeltaTable(path, storage_options=object_store).to_pyarrow_table()
    assert as_rows(read) == as_rows(payments(1_000))
