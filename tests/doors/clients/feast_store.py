"""Feast's own client, unchanged, with the server as its remote online store."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from feast.errors import FeastError
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

from .. import exact
from ..server import World
from .base import Ack, Answer, Client, Column, Refused
from .feast_repo import EVERY, make_store

STATUSES = {"NULL_VALUE": "NULL", "OUTSIDE_MAX_AGE": "STALE", "INVALID": "ERROR"}
# What comes through Feast's own types unchanged.
PLAIN = ("bool", "int32", "int64", "float64", "string", "list")


class Feast(Client):
    has_as_of = False
    unknown_code = "FeatureServiceNotFoundException"
    broken_row_code = "FeastError"

    def __init__(self, world: World, key: str | None = None) -> None:
        super().__init__(world)
        self.directory = tempfile.TemporaryDirectory(prefix="thalweg-doors-feast-")
        self.store = make_store(Path(self.directory.name), world.server.url, key)

    def close(self) -> None:
        self.directory.cleanup()

    def read(
        self,
        service: str,
        entities: dict[str, list[Any]],
        *,
        fields: list[str] | None = None,
        request: dict[str, list[Any]] | None = None,
    ) -> Answer:
        columns = {**entities, **(request or {})}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        wanted: Any = [field.replace(".", ":") for field in fields] if fields else self.service(service)
        return self.columns(self.ask(wanted, rows), list(entities))

    def service(self, name: str) -> Any:
        """One that the repository does not know is asked for all the same."""
        known = {service.name: service for service in self.store.list_feature_services()}
        if name in known:
            return known[name]
        service = known["simple"]
        service.name = name
        return service

    def ask(self, wanted: Any, rows: list[dict[str, Any]]) -> Any:
        try:
            answer = self.store.get_online_features(features=wanted, entity_rows=rows, full_feature_names=True)
        except (FeastError, RuntimeError) as error:
            self.told(f"get_online_features({wanted}, {rows})", repr(error))
            raise Refused(type(error).__name__, str(error)) from error
        self.told(f"get_online_features({wanted}, {rows})", answer.proto)
        return answer

    def columns(self, answer: Any, keys: list[str]) -> Answer:
        values = answer.to_dict()
        found: Answer = {}
        for shown, result in zip(answer.proto.metadata.feature_names.val, answer.proto.results, strict=True):
            if shown in keys:
                continue
            name = shown.replace("__", ".", 1)
            names = [FieldStatus.Name(status) for status in result.statuses]
            kind = exact.parts(self.types[name])[0]
            own = [exact.from_feast(self.types[name], value) if kind in PLAIN else value for value in values[shown]]
            found[name] = Column(own, [STATUSES.get(status, status) for status in names])
        return found

    def push(self, source: str, rows: list[dict[str, Any]], form: str = "json", key: str | None = None) -> Ack:
        """By the push source of that name; each column in the types that Feast knows."""
        names = ["user", "id", "score", *EVERY]
        frame = pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype="object") for name in names})
        frame["score"] = frame["score"].astype("float64")
        frame["event_timestamp"] = pd.to_datetime([row["at"] for row in rows], unit="us", utc=True)
        try:
            self.store.push(source, frame)
        except (FeastError, RuntimeError) as error:
            self.told(f"push({source}, {rows})", repr(error))
            raise Refused(type(error).__name__, str(error)) from error
        self.told(f"push({source}, {rows})", None)
        return Ack()

    def health(self) -> str:
        """What Feast's server has for balancers; its client has no call for it."""
        answer = self.world.http.get("/health")
        self.told("GET /health", f"{answer.status_code} {answer.text}")
        return "SERVING" if answer.status_code == 200 else str(answer.status_code)
