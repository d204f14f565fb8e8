"""The HTTP API in JSON: by httpx, and by curl with the same bodies."""

from __future__ import annotations

import gzip
import json
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from .. import exact, programs
from ..project import as_arrow, as_json, as_lines
from ..server import World
from .base import Ack, Answer, Client, Column, Reading, Refused

ARROW = "application/vnd.apache.arrow.stream"
FORMS = {"json": "application/json", "ndjson": "application/x-ndjson", "arrow": ARROW}


class Httpx(Client):
    unknown_code = "404 NOT_FOUND"
    breaking_code = "409 BREAKING"
    encodings = ("gzip", "zstd")

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.http = httpx.Client(base_url=world.server.url, timeout=30, trust_env=False)

    def close(self) -> None:
        self.http.close()

    def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        answer = self.http.request(method, path, content=body, headers=headers)
        self.told(f"{method} {path} {headers or ''} {body!r}", f"{answer.status_code} {answer.text}")
        return answer.status_code, answer.content

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        """Sends JSON, gives back JSON, and raises what is refused."""
        content = b"" if body is None else json.dumps(body).encode()
        sent = {"content-type": FORMS["json"]} if body is not None else {}
        return self.checked(*self.send(method, path, content, sent | (headers or {})))

    def checked(self, status: int, content: bytes) -> Any:
        if status < 300:
            return json.loads(content) if content else None
        error = json.loads(content)["error"]
        raise Refused(f"{status} {error['code']}", error["message"])

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
        body: dict[str, Any] = {"entities": entities}
        body |= {"service": service} if fields is None else {"features": fields}
        body |= {} if request is None else {"request": request}
        body |= {} if as_of is None else {"as_of": exact.moment(as_of)}
        return columns(self.ask("POST", "/v1/features", body, headers))

    def read_compressed(self, encoding: str, service: str, entities: dict[str, list[Any]], as_of: int) -> Answer:
        body = json.dumps({"service": service, "entities": entities, "as_of": exact.moment(as_of)}).encode()
        headers = {"content-type": FORMS["json"], "content-encoding": encoding}
        return columns(self.checked(*self.send("POST", "/v1/features", compress(encoding, body), headers)))

    def push(
        self, source: str, rows: list[dict[str, Any]], form: str = "json", key: str | None = None, **query: str
    ) -> Ack:
        makers = {"json": lambda: json.dumps(as_json(source, rows)).encode(), "ndjson": lambda: as_lines(source, rows)}
        body = as_arrow(source, rows) if form == "arrow" else makers[form]()
        headers = {"content-type": FORMS[form]} | ({"idempotency-key": key} if key else {})
        path = f"/v1/sources/{source}/events" + (f"?{urlencode(query)}" if query else "")
        return ack(self.checked(*self.send("POST", path, body, headers)))

    def describe(self, source: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"/v1/sources/{source}"))

    def describe_view(self, view: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"/v1/views/{view}"))

    def plan(self, definitions: Any) -> dict[str, Any]:
        return dict(self.ask("POST", "/v1/plan", definitions))

    def apply(self, definitions: Any) -> dict[str, Any]:
        return dict(self.ask("POST", "/v1/apply", definitions))

    def health(self) -> str:
        statuses = [self.send("GET", path)[0] for path in ("/healthz", "/readyz")]
        return "SERVING" if statuses == [200, 200] else str(statuses)

    def status(self) -> dict[str, Any]:
        return dict(self.ask("GET", "/v1/status"))

    def direct_describe(self, selector: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"/v1/direct/{quote(selector, safe='')}"))

    def direct_get(self, selector: str, keys: dict[str, Any], as_of: int | None = None) -> dict[str | None, Reading]:
        body: dict[str, Any] = {"keys": keys} | ({} if as_of is None else {"as_of": as_of})
        answer = self.ask("POST", f"/v1/direct/{quote(selector, safe='')}/get", body)
        return {
            one["aggregation"]: Reading(exact.from_json(one["type"], one["value"]), one["status"])
            for one in answer["values"]
        }

    def direct_write(
        self, operation: str, selector: str, keys: dict[str, Any], value: Any, at: int | None = None, key: str = ""
    ) -> Ack:
        body = {"keys": keys, "value": value} | ({} if at is None else {"at": at})
        headers = {"idempotency-key": key} if key else {}
        answer = self.ask("POST", f"/v1/direct/{quote(selector, safe='')}/{operation}", body, headers)
        return Ack(repeated=answer["repeated"], first_sequence=answer["sequence"])


class Curl(Httpx):
    """The same requests, sent by curl."""

    def send(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        url = self.world.server.url + path
        flags = ["--silent", "--show-error", "--request", method, "--write-out", "\n%{http_code}"]
        flags += [part for name, value in (headers or {}).items() for part in ("--header", f"{name}: {value}")]
        flags += ["--data-binary", "@-"] if method == "POST" else []
        done = programs.run("curl", *flags, url, stdin=body)
        content, _, status = done.stdout.rpartition(b"\n")
        self.told(f"curl {' '.join(flags)} {url} <<< {body!r}", f"{status!r} {content!r} {done.stderr!r}")
        if done.returncode != 0:
            raise Refused(f"curl {done.returncode}", done.stderr.decode())
        return int(status), content


def compress(encoding: str, body: bytes) -> bytes:
    if encoding == "gzip":
        return gzip.compress(body)
    import zstandard

    return bytes(zstandard.compress(body))


def columns(answer: dict[str, Any]) -> Answer:
    return {
        result["name"]: Column(
            [exact.from_json(result["type"], value) for value in result["values"]],
            result["statuses"],
            [None if time is None else exact.micros(time) for time in result["event_times"]],
        )
        for result in answer["results"]
    }


def ack(answer: dict[str, Any]) -> Ack:
    errors = answer["errors"]
    return Ack(
        answer["applied"],
        answer["quarantined"],
        answer["repeated"],
        errors[0]["reason"] if errors else "",
        answer["first_sequence"],
    )
