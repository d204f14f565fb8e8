"""What the tests share: a small project about departures, and a server that is only a script of answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

import thalweg as tw


@dataclass
class Flights:
    """The definitions of the small project."""

    carrier: tw.Entity
    departures: tw.EventSource
    view: tw.FeatureView
    gap: tw.OnDemand
    service: tw.FeatureService


@pytest.fixture
def flights() -> Flights:
    carrier = tw.Entity("carrier", keys={"carrier": tw.string})
    departures = tw.EventSource(
        "departures",
        schema={
            "id": tw.Column(tw.int64, required=True),
            "carrier": tw.string,
            "dep_delay": tw.Column(tw.float64, min=-120, max=3000),
            "cancelled": tw.bool_,
            "event_time": tw.timestamp,
            "known_at": tw.timestamp,
        },
        timestamp="event_time",
        arrival_time="known_at",
        dedup=tw.Dedup(["id"], within="48h"),
        filter="carrier IS NOT NULL",
        owner="ops@example.com",
        tags={"team": "ops", "area": "flights"},
    )
    view = tw.FeatureView(
        "carrier_delays",
        entity=carrier,
        source=departures,
        filter="NOT cancelled",
        derived={"late": "dep_delay > 15"},
        features={
            "flights": tw.count(over=["1h", "1d"]),
            "delay_mean": tw.mean("dep_delay", over=["7d", tw.Sliding("7d", hop="1h"), tw.ToDate("1d")]),
            "late_ever": tw.count(where="late"),
        },
        staleness="2d",
        time_zone="America/New_York",
        nan="keep",
    )
    gap = tw.OnDemand("gap", "carrier_delays.delay_mean_7d - request.expected", request={"expected": tw.float64})
    service = tw.FeatureService("arrival_delay", features=[view, gap], log_sample=1.0)
    return Flights(carrier, departures, view, gap, service)


@dataclass
class Request:
    """A request that the fake server got."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """An answer of the fake server; `hang_up` closes the connection instead."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False


class FakeServer:
    """Answers each request with `respond`, and remembers it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.respond: Callable[[Request], Answer] = lambda request: Answer()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                parts = urlsplit(self.path)
                request = Request(
                    self.command,
                    parts.path,
                    dict(parse_qsl(parts.query)),
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(int(self.headers.get("Content-Length") or 0)),
                    self.client_address[1],
                )
                fake.requests.append(request)
                answer = fake.respond(request)
                if answer.hang_up:
                    self.close_connection = True
                    return
                body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = _answer

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answers(self, *answers: Answer) -> None:
        """Answers in this order, the last one again and again."""
        waiting = list(answers)
        self.respond = lambda request: waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    yield fake
    fake.close()
