"""Feast's own client reads from Thalweg and writes to it, without a line changed."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feast.errors import (
    FeastError,
    FeastPermissionError,
    FeatureNameCollisionError,
    FeatureServiceNotFoundException,
    FeatureViewNotFoundException,
    RequestDataNotFoundInEntityRowsException,
)
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast_project import project
from feast_repo import make_store

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
STATS = [f"driver_stats:{name}" for name in ("trips", "rate", "city", "ok", "scores")]


def moves(**changed):
    """Two drivers' rows, the second with nulls, a null time among them, which the client sends as a number."""
    columns = {
        "driver_id": [1, 2],
        "trips": pd.array([40, None], dtype="Int64"),
        "rate": [0.1, None],
        "city": ['Zürich "Süd"', None],
        "ok": [True, None],
        "since": [pd.Timestamp("2020-02-29T01:02:03Z"), pd.NaT],
        "scores": [[1.5, -2.0], None],
        "event_timestamp": [NOON, NOON],
    }
    return pd.DataFrame({**columns, **changed})


def statuses(response):
    names = response.proto.metadata.feature_names.val
    return {
        name: [FieldStatus.Name(status) for status in result.statuses]
        for name, result in zip(names, response.proto.results, strict=True)
    }


def read(store, features, drivers, **options):
    rows = [{"driver_id": driver} for driver in drivers]
    return store.get_online_features(features=features, entity_rows=rows, **options)


def test_what_is_written_is_read(store):
    store.write_to_online_store("driver_stats", moves())
    response = read(store, STATS, [1, 2, 99])
    assert response.to_dict() == {
        "driver_id": [1, 2, 99],
        "trips": [40, None, None],
        "rate": [0.1, None, None],
        "city": ['Zürich "Süd"', None, None],
        "ok": [True, None, None],
        "scores": [[1.5, -2.0], None, None],
    }
    assert statuses(response) == {
        "driver_id": ["PRESENT"] * 3,
        **{name.partition(":")[2]: ["PRESENT", "NULL_VALUE", "NOT_FOUND"] for name in STATS},
    }


def test_what_is_pushed_is_read_by_its_full_name(store):
    store.push("driver_moves", moves())
    response = read(store, ["driver_stats:trips", "driver_totals:trips"], [1], full_feature_names=True)
    assert response.to_dict() == {
        "driver_id": [1],
        "driver_stats__trips": [40],
        "driver_totals__trips": [40],
    }


def test_a_later_row_counts_and_an_earlier_one_does_not_replace_it(store):
    store.write_to_online_store("driver_stats", moves(trips=[1, 1]))
    store.write_to_online_store("driver_stats", moves(trips=[2, 2], event_timestamp=[NOON + timedelta(hours=1)] * 2))
    store.write_to_online_store("driver_stats", moves(trips=[3, 3], event_timestamp=[NOON - timedelta(hours=1)] * 2))
    features = ["driver_stats:trips", "driver_totals:rows"]
    assert read(store, features, [2]).to_dict() == {"driver_id": [2], "trips": [2], "rows": [3]}


def test_times_are_whole_seconds(store):
    store.write_to_online_store("driver_stats", moves())
    # Feast's wire form of a time; its client does not look up the type of what it reads.
    expected = int(pd.Timestamp("2020-02-29T01:02:03Z").timestamp())
    assert read(store, ["driver_stats:since"], [1, 2]).to_dict()["since"] == [expected, None]


def test_a_value_that_is_too_old_is_withheld(store):
    now = datetime.now(UTC)
    times = [now - timedelta(minutes=1), now - timedelta(hours=2)]
    store.push("driver_pings", pd.DataFrame({"driver_id": [1, 2], "load": [0.5, 0.7], "event_timestamp": times}))
    response = read(store, ["driver_load:load"], [1, 2])
    assert response.to_dict()["load"] == [0.5, None]
    assert statuses(response)["load"] == ["PRESENT", "OUTSIDE_MAX_AGE"]


def test_a_service_is_read_with_its_request_values(store):
    store.write_to_online_store("driver_stats", moves())
    rows = [{"driver_id": 1, "extra": 7}, {"driver_id": 99, "extra": 7}]
    service = store.get_feature_service("driver_risk")
    assert store.get_online_features(features=service, entity_rows=rows).to_dict() == {
        "driver_id": [1, 99],
        "trips": [40, None],
        "rate": [0.1, None],
        "sum_trips": [47, None],
    }
    with pytest.raises(RequestDataNotFoundInEntityRowsException, match="extra"):
        read(store, service, [1])


def test_on_demand_features_go_by_any_view_that_is_not_there(store):
    store.write_to_online_store("driver_stats", moves())
    rows = [{"driver_id": 1, "extra": 7}]
    response = store.get_online_features(features=["planned:sum_trips"], entity_rows=rows, full_feature_names=True)
    assert response.to_dict() == {"driver_id": [1], "planned__sum_trips": [47]}


def test_a_frame_of_entities_is_read(store):
    store.write_to_online_store("driver_stats", moves())
    frame = read(store, ["driver_stats:trips", "driver_stats:rate"], range(1, 301)).to_df()
    assert len(frame) == 300
    assert list(frame["driver_id"]) == list(range(1, 301))
    assert frame["rate"][0] == 0.1 and np.isnan(frame["rate"][299])


def test_errors_are_raised_by_their_classes(store):
    with pytest.raises(FeatureViewNotFoundException, match="did you mean `driver_stats`"):
        read(store, ["driver_stat:trips"], [1])
    with pytest.raises(FeastError, match=r"did you mean `driver_stats\.trips`"):
        read(store, ["driver_stats:trip"], [1])
    with pytest.raises(FeatureNameCollisionError, match="trips"):
        read(store, ["driver_stats:trips", "driver_totals:trips"], [1])
    service = store.get_feature_service("driver_risk")
    service.name = "driver_risks"
    with pytest.raises(FeatureServiceNotFoundException, match="did you mean `driver_risk`"):
        read(store, service, [1])


def test_rows_that_break_the_contract_are_an_error_and_the_others_are_taken(store):
    with pytest.raises(FeastError, match=r"set 1 of 2 rows aside.*row 1, `rate`.*below its minimum"):
        store.write_to_online_store("driver_stats", moves(rate=[0.5, -1.0]))
    response = read(store, ["driver_stats:rate"], [1, 2])
    assert response.to_dict()["rate"] == [0.5, None]
    assert statuses(response)["rate"] == ["PRESENT", "NOT_FOUND"]


def test_a_key_lets_the_client_do_what_it_allows(locked, tmp_path: Path):
    reader = locked("read")
    locked("admin").apply(project())

    def store_with(key):
        directory = tmp_path / f"repo-{key}"
        directory.mkdir()
        return make_store(directory, {"type": "remote", "path": reader.url}, key=key)

    store = store_with(reader.key)
    assert statuses(read(store, ["driver_stats:trips"], [1]))["trips"] == ["NOT_FOUND"]
    with pytest.raises(FeastPermissionError):
        store.write_to_online_store("driver_stats", moves())
    with pytest.raises(RuntimeError, match="401"):
        read(store_with(None), ["driver_stats:trips"], [1])


def test_the_client_sends_a_key_as_a_bearer_token(tmp_path: Path):
    """What docs/feast.md says of `auth`, against a server that only writes down what it is sent."""
    sent = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            sent.append(self.headers["Authorization"])
            body = json.dumps({"metadata": {"feature_names": []}, "results": []}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
    try:
        path = f"http://127.0.0.1:{listener.server_address[1]}"
        read(make_store(tmp_path, {"type": "remote", "path": path}, key="tw-secret"), ["driver_stats:trips"], [1])
    finally:
        listener.shutdown()
        listener.server_close()
    assert sent == ["Bearer tw-secret"]
