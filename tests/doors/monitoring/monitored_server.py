"""A `thalweg serve` with settings of the test's choice, a small project in it, and plain HTTP to ask it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

import thalweg as tw

STARTED_WITHIN_SECONDS = 60
STOPPED_WITHIN_SECONDS = 60
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@dataclass
class Answer:
    status: int
    headers: dict
    text: str

    def json(self):
        return json.loads(self.text)


class Server:
    """Settings are given by name, and go the way of environment variables."""

    def __init__(self, data, **settings):
        self.data, self.settings = data, settings
        self.log = data.with_suffix(".log")
        self.process = self.url = self.client = None

    def start(self):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        # Nothing of the machine that runs the tests: no proxies, and no collector of its own.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith(("OTEL_", "THALWEG_")) and not name.lower().endswith("_proxy")
        }
        own = {"data": self.data, "port": port, "clock": "system", **self.settings}
        environment = kept | {f"THALWEG_{name.upper()}": str(value) for name, value in own.items()}
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "thalweg", "serve"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + STARTED_WITHIN_SECONDS
        while not self._answers():
            assert self.process.poll() is None, f"the server ended:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"the server does not answer:\n{self.log.read_text()}"
            time.sleep(0.05)
        self.client = tw.Client(self.url, retries=0)
        return self

    def stop(self):
        """As a service manager does: what is under way is finished, and what waits to be sent is sent."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOPPED_WITHIN_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        self.process = None

    def send(self, method, path, body=None, **headers):
        data = None if body is None else json.dumps(body).encode()
        named = {"content-type": "application/json"} if data else {}
        named.update(headers)
        request = urllib.request.Request(self.url + path, data=data, headers=named, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as response:
                return Answer(response.status, lower(response.headers), response.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, lower(error.headers), error.read().decode())

    def push(self, rows, **headers):
        return self.send("POST", "/v1/sources/payments/events", rows, **headers)

    def read(self, service="spending", users=("u1",), **headers):
        return self.send("POST", "/v1/features", {"service": service, "entities": {"user": list(users)}}, **headers)

    def metrics(self, accept=OPENMETRICS):
        answer = self.send("GET", "/metrics", accept=accept)
        assert answer.status == 200, answer.text
        return answer

    def objective(self, name, view=None):
        every = self.send("GET", "/v1/objectives").json()["objectives"]
        return next(one for one in every if one["objective"] == name and one["view"] == view)

    def _answers(self):
        try:
            return self.send("GET", "/healthz").status == 200
        except OSError:
            return False


def project():
    schema = {
        "id": tw.Column(tw.string, required=True),
        "user": tw.Column(tw.string, required=True),
        "at": tw.timestamp,
        "amount": tw.Column(tw.int64, min=0),
    }
    dedup = tw.Dedup(["id"], within="30d")
    payments = tw.EventSource("payments", schema=schema, timestamp="at", dedup=dedup, filter="user <> 'robot'")
    user = tw.Entity("user", keys={"user": tw.string})
    features = {"rows": tw.count(), "total": tw.sum("amount", over="1h")}
    view = tw.FeatureView("spend", entity=user, source=payments, features=features, freshness="1d")
    return tw.Project("shop", [tw.FeatureService("spending", features=[view])])


def rows(first, number, user="u1", amount=5):
    """Rows of now, with identifiers from `first` on."""
    now = int(time.time() * 1_000_000)
    numbers = range(first, first + number)
    return [{"id": f"p{one}", "user": user, "at": now - 1_000_000, "amount": amount} for one in numbers]


def lower(headers):
    return {name.lower(): value for name, value in headers.items()}


def wait_until(what, within=30, every=0.1):
    """Waits for something to become true, and gives it back."""
    deadline = time.monotonic() + within
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(every)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
