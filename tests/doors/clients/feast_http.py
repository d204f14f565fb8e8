"""Feast's HTTP API without Feast: every type in the form that travels, for what its client cannot hold."""

from __future__ import annotations

import json
from typing import Any

import httpx

from .. import exact
from ..project import as_json
from ..server import World
from .base import Ack, Answer, Client, Column, Refused
from .feast_store import STATUSES


class FeastHttp(Client):
    def __init__(self, world: World, key: str | None = None) -> None:
        super().__init__(world)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self.http = httpx.Client(base_url=world.server.url, headers=headers, timeout=30, trust_env=False)

    def close(self) -> None:
        self.http.close()

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        answer = self.http.post(path, json=body)
        self.told(f"POST {path} {json.dumps(body)}", f"{answer.status_code} {answer.text}")
        if answer.status_code != 200:
            told = answer.json()
            told = json.loads(told) if isinstance(told, str) else {"class": "detail", "message": str(told)}
            raise Refused(f"{answer.status_code} {told['class']}", told["message"])
        return answer.json() if answer.content else None

    def read(
        self, service: str, entities: dict[str, list[Any]], *, request: dict[str, list[Any]] | None = None
    ) -> Answer:
        columns = {**entities, **(request or {})}
        body = {"feature_service": service, "entities": columns, "full_feature_names": True}
        answer = self.ask("/get-online-features", body)
        found: Answer = {}
        names = answer["metadata"]["feature_names"]
        for shown, result in zip(names[len(entities) :], answer["results"][len(entities) :], strict=True):
            head, _, tail = shown.rpartition("__")
            name = f"{head}.{tail}" if head else shown
            # What has no time is at the epoch.
            times = [exact.micros(time) or None for time in result["event_timestamps"]]
            values = [exact.from_feast(self.types[name], value) for value in result["values"]]
            found[name] = Column(values, [STATUSES.get(status, status) for status in result["statuses"]], times)
        return found

    def push(self, source: str, rows: list[dict[str, Any]]) -> Ack:
        """Columns as lists; times as text, which alone has their microseconds."""
        plain = as_json(source, rows)
        columns = {name: [row.get(name) for row in plain] for name in plain[0]}
        for name in ("at", "seen"):
            if name in columns:
                columns[name] = [None if one is None else exact.moment(one) for one in columns[name]]
        self.ask("/push", {"push_source_name": source, "df": columns, "to": "online"})
        return Ack(applied=len(rows))
