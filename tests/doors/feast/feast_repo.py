"""A Feast repository that declares what `feast_project.py` does, for Feast's own client and for its own server."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    RequestSource,
    ValueType,
)
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Float64, Int64, String, UnixTimestamp


def make_store(directory: Path, online_store: dict[str, Any], key: str | None = None) -> FeatureStore:
    """A store over a new repository in a directory. `key` is sent with every request."""
    config: dict[str, Any] = {
        "project": "drivers",
        "provider": "local",
        "registry": str(directory / "registry.db"),
        "online_store": online_store,
        "offline_store": {"type": "file"},
        "entity_key_serialization_version": 3,
    }
    if key is not None:
        # Of the ways in which Feast's client can authenticate, this one sends a token as it is given.
        config["auth"] = {"type": "oidc", "token": key}
    (directory / "feature_store.yaml").write_text(yaml.safe_dump(config))
    store = FeatureStore(repo_path=str(directory))
    store.apply(_objects(directory))
    return store


def _objects(directory: Path) -> list[Any]:
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    stats = _view(
        directory,
        driver,
        "driver_stats",
        "driver_moves",
        [
            Field(name="trips", dtype=Int64),
            Field(name="rate", dtype=Float64),
            Field(name="city", dtype=String),
            Field(name="ok", dtype=Bool),
            Field(name="since", dtype=UnixTimestamp),
            Field(name="scores", dtype=Array(Float64)),
        ],
    )
    fields = [Field(name="trips", dtype=Int64), Field(name="rows", dtype=Int64)]
    totals = _view(directory, driver, "driver_totals", "driver_totals", fields)
    load = _view(directory, driver, "driver_load", "driver_pings", [Field(name="load", dtype=Float64)])
    request = RequestSource(name="trip", schema=[Field(name="extra", dtype=Int64)])

    @on_demand_feature_view(sources=[stats, request], schema=[Field(name="sum_trips", dtype=Int64)], mode="python")
    def planned(inputs: dict[str, Any]) -> dict[str, Any]:
        pairs = zip(inputs["trips"], inputs["extra"], strict=True)
        return {"sum_trips": [None if trips is None else trips + extra for trips, extra in pairs]}

    risk = FeatureService(name="driver_risk", features=[stats[["trips", "rate"]], planned])
    return [driver, stats, totals, load, planned, risk]


def _view(directory: Path, driver: Entity, name: str, source: str, fields: list[Field]) -> FeatureView:
    # Feast looks into the file of a batch source when it is applied; nothing is read from it here.
    path = directory / f"{name}.parquet"
    columns = {"driver_id": [0], "event_timestamp": [pd.Timestamp("2020-01-01", tz="UTC")]}
    pd.DataFrame({**columns, **{field.name: [None] for field in fields}}).to_parquet(path)
    batch = FileSource(name=f"{name}_file", path=str(path), timestamp_field="event_timestamp")
    return FeatureView(
        name=name,
        entities=[driver],
        ttl=timedelta(days=3650),
        schema=[Field(name="driver_id", dtype=Int64), *fields],
        source=PushSource(name=source, batch_source=batch),
        online=True,
    )
