"""The client of a running server, on nothing but the standard library's HTTP."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .definitions import Json
from .errors import ServerError, ThalwegError
from .frames import Rows, to_stream
from .http_connection import Exchange, HttpConnection
from .progress import Progress
from .results import TrainingSetResult
from .session import Session, TrainingSetRequest
from .values import encode

if TYPE_CHECKING:
    import pyarrow as pa

DEFAULT_URL = "http://127.0.0.1:8765"
ARROW_STREAM = "application/vnd.apache.arrow.stream"

_FIRST_POLL_SECONDS = 0.02
_LAST_POLL_SECONDS = 1.0


class Client(Session):
    """Calls a server over HTTP. Safe to share between threads: each has a connection of its own, kept alive.

    Args:
        url: the server's address; left out, that of the environment variable `THALWEG_URL`, or
            `http://127.0.0.1:8765`.
        timeout: seconds to wait for a connection and between parts of an answer.
        retries: how often a request is sent again after a lost connection or when the server is overloaded. Requests
            that change something carry an idempotency key, so that they count once.
        headers: sent with each request.
        api_key: the key that `thalweg keys create` printed; left out, that of the environment variable
            `THALWEG_API_KEY`. A server that nobody made a key for asks for none.
        ca_cert: the file of the certificate authority that signed the server's certificate, where the system does not
            know it; left out, that of the environment variable `THALWEG_CA_CERT`.

    Raises:
        ServerError: on any call, where the server refuses or cannot be reached.
        Overloaded: where it takes no more, on every retry.
    """

    def __init__(
        self,
        url: str | None = None,
        timeout: float = 30.0,
        *,
        retries: int = 4,
        headers: Mapping[str, str] | None = None,
        api_key: str | None = None,
        ca_cert: str | os.PathLike[str] | None = None,
    ) -> None:
        address = url or os.environ.get("THALWEG_URL") or DEFAULT_URL
        # A file that a key was put into ends with a line end.
        key = (api_key or os.environ.get("THALWEG_API_KEY") or "").strip()
        authority = ca_cert or os.environ.get("THALWEG_CA_CERT")
        all_headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        self._http = HttpConnection(
            address, timeout, retries, all_headers, None if authority is None else os.fspath(authority)
        )

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The server's address."""
        return self._http.url

    def close(self) -> None:
        """Closes this thread's connection. A later call opens a new one."""
        self._http.close()

    def flush(self) -> None:
        self._post("/v1/flush")

    def status(self) -> Json:
        return self._get("/v1/status")

    def health(self) -> None:
        """Raises `ServerError` unless the server is up."""
        self._http.read(Exchange("GET", "/healthz", {}))

    def _push(self, source: str, data: pa.Table | Rows, key: str, backfill: bool) -> Json:
        if isinstance(data, list):
            body, content_type = json.dumps(encode(data)).encode(), "application/json"
        else:
            body, content_type = to_stream(data), ARROW_STREAM
        query = {"backfill": "true"} if backfill else {}
        path = f"/v1/sources/{_part(source)}/events"
        answer: Json = self._http.json(
            Exchange("POST", path, query, body, content_type, idempotency_key=key, retry_timeout=True)
        )
        return answer

    def _features(self, body: Json) -> Json:
        return self._post("/v1/features", body)

    def _features_table(self, wanted: Json, columns: pa.Table, as_of: str | int | None) -> pa.Table:
        import pyarrow as pa

        query = {"service": wanted["service"]} if "service" in wanted else {"features": ",".join(wanted["features"])}
        if as_of is not None:
            query["as_of"] = str(as_of)
        exchange = Exchange("POST", "/v1/features", query, to_stream(columns), ARROW_STREAM, accept=ARROW_STREAM)
        with pa.ipc.open_stream(pa.py_buffer(self._http.read(exchange))) as reader:
            return reader.read_all()

    def _direct(self, selector: str, operation: str, body: Json, key: str | None) -> Json:
        path = f"/v1/direct/{_part(selector)}/{operation}"
        exchange = Exchange("POST", path, {}, json.dumps(body).encode(), idempotency_key=key, retry_timeout=True)
        answer: Json = self._http.json(exchange)
        return answer

    def _descriptor(self, selector: str) -> Json:
        return self._get(f"/v1/direct/{_part(selector)}")

    def _training_set(self, wanted: TrainingSetRequest, progress: Progress | None) -> TrainingSetResult:
        import pyarrow as pa

        place = f"/v1/training-sets/{_part(self._start_training_set(wanted))}"
        try:
            state = self._wait(place, progress)
        except BaseException:
            # Ctrl-C included: nobody would come for the result.
            with suppress(ThalwegError):
                self._http.read(Exchange("DELETE", place, {}))
            raise
        if state["state"] != "done":
            raise _failure(state)
        data = self._http.read(Exchange("GET", f"{place}/data", {"format": "arrow"}))
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            table = reader.read_all()
        return TrainingSetResult(id=str(state["id"]), report=state.get("report") or {}, table=table)

    def _start_training_set(self, wanted: TrainingSetRequest) -> str:
        query = {
            "service": wanted.service,
            "timestamp": wanted.timestamp,
            "as_of": wanted.as_of,
            "statuses": "true" if wanted.statuses else "false",
        }
        if wanted.recreate is not None:
            query["recreate"] = wanted.recreate
        if wanted.sql is None:
            body, content_type = to_stream(wanted.spine), ARROW_STREAM
        else:
            body, content_type = json.dumps({"sql": wanted.sql}).encode(), "application/json"
        exchange = Exchange("POST", "/v1/training-sets", query, body, content_type, str(uuid.uuid4()))
        return str(self._http.json(exchange)["id"])

    def _wait(self, place: str, progress: Progress | None) -> Json:
        wait = _FIRST_POLL_SECONDS
        while True:
            state = self._get(place)
            if progress is not None:
                progress(int(state.get("done") or 0), int(state.get("total") or 0))
            if state["state"] != "running":
                return state
            time.sleep(wait)
            wait = min(wait * 1.5, _LAST_POLL_SECONDS)

    def _plan(self, manifest: str) -> Json:
        return self._post("/v1/plan", manifest)

    def _apply(self, manifest: str, allow_breaking: bool) -> Json:
        return self._post("/v1/apply", manifest, {"allow_breaking": "true"} if allow_breaking else {})

    def _check(self, options: Json) -> Json:
        return self._post("/v1/check", options)

    def _ledger(self, source: str) -> Json:
        return self._get(f"/v1/sources/{_part(source)}")

    def _quarantine(self, source: str) -> list[Json]:
        rows: Any = self._get(f"/v1/sources/{_part(source)}/quarantine")
        # A list, or an object that holds one next to how many there are.
        return list(rows if isinstance(rows, list) else rows.get("rows", []))

    def _replay_quarantine(self, source: str) -> Json:
        return self._post(f"/v1/sources/{_part(source)}/quarantine/replay")

    def _get(self, path: str) -> Json:
        answer: Json = self._http.json(Exchange("GET", path, {}))
        return answer

    def _post(self, path: str, body: Json | str | None = None, query: dict[str, str] | None = None) -> Json:
        text = body if isinstance(body, str) else json.dumps({} if body is None else body)
        exchange = Exchange("POST", path, query or {}, text.encode(), idempotency_key=str(uuid.uuid4()))
        answer: Json = self._http.json(exchange)
        return answer or {}


def _part(name: str) -> str:
    return quote(name, safe="")


def _failure(state: Json) -> ServerError:
    error = state.get("error")
    if isinstance(error, dict):
        return ServerError(str(error.get("code", "FAILED")), str(error.get("message", "")))
    return ServerError(str(state["state"]).upper(), str(error or f"the training set was {state['state']}"))
