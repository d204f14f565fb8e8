"""The HTTP API in Arrow, both ways: columns made and read by pyarrow."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pyarrow as pa

from .. import exact
from ..project import stream
from .base import Answer, Column, Refused
from .http_json import ARROW, Httpx


class Arrow(Httpx):
    def read(
        self,
        service: str,
        entities: dict[str, list[Any]],
        *,
        fields: list[str] | None = None,
        request: dict[str, list[Any]] | None = None,
        as_of: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        query = {"service": service} if fields is None else {"features": ",".join(fields)}
        query |= {} if as_of is None else {"as_of": exact.moment(as_of)}
        body = stream(pa.table({**entities, **(request or {})}))
        kinds = {"content-type": ARROW, "accept": ARROW}
        answer = self.http.post(f"/v1/features?{urlencode(query)}", content=body, headers=kinds | (headers or {}))
        sent = f"POST /v1/features?{urlencode(query)} Arrow of {entities} {request or ''}"
        if answer.status_code != 200:
            self.told(sent, f"{answer.status_code} {answer.text}")
            error = answer.json()["error"]
            raise Refused(f"{answer.status_code} {error['code']}", error["message"])
        table = pa.ipc.open_stream(answer.content).read_all()
        self.told(sent, table)
        assert answer.headers["content-type"] == ARROW
        return self.columns(table, list(entities))

    def columns(self, table: pa.Table, keys: list[str]) -> Answer:
        """The features are every second column after the keys, the others their statuses."""
        names = table.column_names
        assert names[: len(keys)] == keys, names
        found: Answer = {}
        for name in names[len(keys) :: 2]:
            own = name if name in self.types else name[::-1].replace("__", ".", 1)[::-1]
            kind, values = exact.from_arrow(table[name])
            assert kind == self.types[own], f"`{own}` is {self.types[own]}, and came as {table[name].type}"
            found[own] = Column(values, table[f"{name}__status"].to_pylist())
        return found
