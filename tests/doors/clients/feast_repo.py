"""A Feast repository over the views of these tests: what Feast's own client needs to know of them."""

from __future__ import annotations

import logging
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, PushSource, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Float64, Int64, String
from feast.value_type import ValueType

from ..project import SIMPLE

SIMPLE_TYPES = {"x_sum": Float64, "x_mean": Float64, "first_word": String}
EVERY = {"n64": Int64, "x64": Float64, "word": String, "flag": Bool, "tags": Array(String), "xs": Array(Float64)}


def make_store(directory: Path, url: str, key: str | None = None, certificate: str = "") -> FeatureStore:
    """A store over a new repository, whose remote online store is the server."""
    logging.getLogger("feast").setLevel(logging.CRITICAL)
    online = {"type": "remote", "path": url} | ({"cert": certificate} if certificate else {})
    config: dict[str, Any] = {
        "project": "doors",
        "provider": "local",
        "registry": str(directory / "registry.db"),
        "online_store": online,
        "offline_store": {"type": "file"},
        "entity_key_serialization_version": 3,
    }
    if key is not None:
        # Of the ways in which Feast's client can authenticate, this one sends a token as it is given.
        config["auth"] = {"type": "oidc", "token": key}
    (directory / "feature_store.yaml").write_text(yaml.safe_dump(config))
    store = FeatureStore(repo_path=str(directory))
    with warnings.catch_warnings():
        # That on-demand features are experimental in Feast.
        warnings.simplefilter("ignore", RuntimeWarning)
        store.apply(_objects(directory))
    return store


def _objects(directory: Path) -> list[Any]:
    user = Entity(name="user", join_keys=["user"], value_type=ValueType.STRING)
    shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.INT64)
    till = Entity(name="till", join_keys=["till"], value_type=ValueType.STRING)
    # Two columns that no feature is made of alone, but that the source has.
    columns = {**EVERY, "id": String, "score": Float64}
    every = _view(directory, "every", "facts", [user], columns)
    # Of the map nothing but its name is used.
    fields = {name: SIMPLE_TYPES.get(name, Int64) for name in SIMPLE} | {"newest": Array(Int64), "words": String}
    spend = _view(directory, "spend", "facts_for_spend", [user], fields)
    brief = _view(directory, "brief", "facts_for_brief", [user], {"n": Int64})
    tills = _view(directory, "till_sales", "sales", [shop, till], {"rows": Int64})
    request = RequestSource(
        name="asked_with", schema=[Field(name="amount", dtype=Float64), Field(name="extra", dtype=Int64)]
    )

    @on_demand_feature_view(
        sources=[spend, request],
        schema=[Field(name="share", dtype=Float64), Field(name="more", dtype=Int64)],
        mode="python",
    )
    def asked(inputs: dict[str, Any]) -> dict[str, Any]:
        # Feast runs it once when it is applied; what is read is the server's.
        return {"share": [0.0 for _ in inputs["amount"]], "more": [0 for _ in inputs["extra"]]}

    services = [
        FeatureService(name="simple", features=[spend[list(SIMPLE)]]),
        FeatureService(name="briefly", features=[brief]),
        FeatureService(name="tills", features=[tills]),
        FeatureService(name="scoring", features=[spend[["rows", "x_mean"]], asked]),
    ]
    return [user, shop, till, every, spend, brief, tills, asked, *services]


def _view(directory: Path, name: str, source: str, entities: list[Entity], fields: dict[str, Any]) -> FeatureView:
    # Feast looks into the file of a batch source when it is applied; nothing is read from it here.
    path = directory / f"{name}.parquet"
    keys = {entity.join_key: [0 if entity.value_type == ValueType.INT64 else ""] for entity in entities}
    times = {"event_timestamp": [pd.Timestamp("2020-01-01", tz="UTC")]}
    pd.DataFrame({**keys, **times, **{field: [None] for field in fields}}).to_parquet(path)
    batch = FileSource(name=f"{name}_file", path=str(path), timestamp_field="event_timestamp")
    kinds = {ValueType.INT64: Int64, ValueType.STRING: String}
    schema = [Field(name=entity.join_key, dtype=kinds[entity.value_type]) for entity in entities]
    return FeatureView(
        name=name,
        entities=entities,
        ttl=timedelta(days=3650),
        schema=[*schema, *(Field(name=field, dtype=dtype) for field, dtype in fields.items())],
        source=PushSource(name=source, batch_source=batch),
        online=True,
    )
