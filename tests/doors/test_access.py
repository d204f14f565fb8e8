"""Who is let in, at every door alike: keys that are missing, wrong, expired, revoked, rotated, for something else, or
used too often. What is denied is denied in the door's own form, and stands in the audit log."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import redis

from .asking import (
    DIRECT_WRITES,
    FORBIDDEN,
    OK,
    RATE_LIMITED,
    READ,
    READS,
    UNAUTHENTICATED,
    WRITES,
    Http,
    denials,
    eventually,
    once,
    outcome,
    redis_outcome,
)
from .clients.grpc_python import Grpc
from .server import COMMAND, Server, World, environment

DOORS = list(READS)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server that asks for keys."""
    with Server(tmp_path_factory.mktemp("keyed") / "data") as server:
        world = World(server)
        world.types |= types(world)
        admin = server.key("ops")
        world.http.headers["authorization"] = f"Bearer {admin['key']}"
        world.key = admin["key"]
        # It notices within a second that there is a key now.
        eventually(lambda: world.http.get("/v1/audit").status_code == 200)
        eventually(lambda: READS["http"](world, None) == UNAUTHENTICATED["http"])
        yield world
        world.close()


def types(world: World) -> dict[str, str]:
    from .clients.base import types_of

    return types_of(world)


@pytest.fixture(scope="module")
def keys(keyed: World) -> dict[str, Any]:
    """A key for each case, and none for the first."""
    server = keyed.server
    made: dict[str, Any] = {"no key": None, "nonsense": {"key": "hello", "id": None}}
    reader = server.key("reader", "payments,web", "read")
    made["reader"] = reader
    made["writer"] = server.key("writer", "payments,web", "write")
    made["elsewhere"] = server.key("elsewhere", "shops", "read,write")
    made["revoked"] = server.key("revoked", "payments,web", "read,write")
    made["expired"] = server.key("expired", "payments,web", "read,write", expires="3s")
    last = "1" if reader["key"][-1] != "1" else "2"
    made["wrong secret"] = {"id": reader["id"], "key": reader["key"][:-1] + last}
    server.command("keys", "revoke", made["revoked"]["id"])
    expired = made["expired"]["key"]
    eventually(lambda: READS["http"](keyed, expired) == OK)
    eventually(lambda: READS["http"](keyed, expired) == UNAUTHENTICATED["http"])
    eventually(lambda: READS["http"](keyed, made["elsewhere"]["key"]) == FORBIDDEN["http"])
    return made


CASES = [
    *((case, READS, UNAUTHENTICATED) for case in ("no key", "nonsense", "wrong secret", "expired", "revoked")),
    *((case, WRITES, UNAUTHENTICATED) for case in ("no key", "nonsense", "wrong secret", "expired", "revoked")),
    ("elsewhere", READS, FORBIDDEN),
    ("elsewhere", WRITES, FORBIDDEN),
    ("elsewhere", DIRECT_WRITES, FORBIDDEN),
    ("writer", READS, FORBIDDEN),
    ("reader", WRITES, FORBIDDEN),
    ("reader", DIRECT_WRITES, FORBIDDEN),
]
NAMES = {id(READS): "read", id(WRITES): "write", id(DIRECT_WRITES): "direct write"}


@pytest.mark.parametrize(
    ("case", "asks", "door", "denied"),
    [
        pytest.param(case, asks, door, denied, id=f"{case}, {NAMES[id(asks)]}, {door}")
        for case, asks, denied in CASES
        for door in asks
    ],
)
def test_denied_in_the_doors_own_form_and_audited(
    keyed: World, keys: dict[str, Any], case: str, asks: dict[str, Any], door: str, denied: dict[str, str]
) -> None:
    key = keys[case]
    before = {json.dumps(entry, sort_keys=True) for entry in denials(keyed)}
    expected = denied[door]
    if door == "redis" and case == "no key":
        expected = "NOAUTH"
    assert asks[door](keyed, key and key["key"]) == expected
    code = "FORBIDDEN" if denied is FORBIDDEN else "UNAUTHENTICATED"
    new = [entry for entry in denials(keyed) if json.dumps(entry, sort_keys=True) not in before]
    wanted = {"door": door, "code": code, "outcome": "denied", "key": key and key["id"]}
    matching = [entry for entry in new if {name: entry[name] for name in wanted} == wanted]
    assert matching, f"none of the new lines of the audit log is {wanted}:\n{new}"
    if code == "FORBIDDEN":
        assert matching[0]["name"] == case and matching[0]["operation"] in ("read", "push", "direct_write"), matching
    assert all(entry["peer"] == "127.0.0.1" for entry in matching), matching


@pytest.mark.parametrize("door", DOORS)
def test_a_key_opens_what_it_is_for(keyed: World, keys: dict[str, Any], door: str) -> None:
    assert READS[door](keyed, keys["reader"]["key"]) == OK
    assert WRITES[door](keyed, keys["writer"]["key"]) == OK
    assert READS[door](keyed, keyed.key) == OK
    assert WRITES[door](keyed, keyed.key) == OK


def test_health_is_open(keyed: World) -> None:
    for path in ("/healthz", "/readyz"):
        assert httpx.get(keyed.server.url + path, trust_env=False).status_code == 200, path
    with grpc.insecure_channel(keyed.server.address) as channel:
        assert Grpc(keyed, channel).health() == "SERVING"


def test_the_command_and_the_server_tell_the_same_audit_log(keyed: World, keys: dict[str, Any]) -> None:
    told = json.loads(keyed.server.command("audit", "--denied", "--limit", "1000", "--json"))
    assert told == denials(keyed)[: len(told)] and told
    changes = keyed.http.get("/v1/audit?limit=1000").json()["entries"]
    revoked = [entry for entry in changes if entry["object"] == keys["revoked"]["id"] and entry["outcome"] == "ok"]
    assert [entry["operation"] for entry in revoked] == ["change_keys", "change_keys"], revoked
    assert {entry["door"] for entry in revoked} == {"command"}, revoked
    secrets = [key["key"].rpartition("_")[2] for key in keys.values() if key and key["id"]]
    text = json.dumps(changes)
    assert not any(secret in text for secret in secrets), "the audit log has a secret in it"


@pytest.mark.parametrize("door", DOORS)
def test_a_key_is_rotated_while_the_server_runs(keyed: World, door: str) -> None:
    process = keyed.server.process
    assert process is not None
    key = keyed.server.key(f"rotated by {door}", "payments", "read")
    eventually(lambda: READS[door](keyed, key["key"]) == OK)
    graceful = json.loads(keyed.server.command("keys", "rotate", key["id"], "--grace", "1h", "--json"))
    eventually(lambda: READS[door](keyed, graceful["key"]) == OK)
    assert READS[door](keyed, key["key"]) == OK, "the old secret has its grace"
    sudden = json.loads(keyed.server.command("keys", "rotate", key["id"], "--json"))
    eventually(lambda: READS[door](keyed, sudden["key"]) == OK)
    for old in (key, graceful):
        assert READS[door](keyed, old["key"]) == UNAUTHENTICATED[door], "an old secret is none any more"
    assert process.poll() is None


def test_an_open_connection_notices_that_its_key_was_revoked(keyed: World) -> None:
    key = keyed.server.key("open", "payments", "read")
    eventually(lambda: READS["http"](keyed, key["key"]) == OK)
    http = Http(keyed, key["key"])
    channel = grpc.insecure_channel(keyed.server.address)
    calls = Grpc(keyed, channel, key["key"])
    client = redis.Redis(port=keyed.server.redis_port, password=key["key"], retry=once(), single_connection_client=True)
    sent: queue.Queue[Any] = queue.Queue()
    stream = calls.stubs.read_stream(iter(sent.get, None), timeout=60)
    request = calls.message("simple", {"user": ["u1"]})

    def codes() -> list[str]:
        sent.put(request)
        answer = next(stream)
        streamed = calls.helpers.reason_of(answer.error) if answer.HasField("error") else OK
        return [
            outcome(lambda: http.read(READ["service"], READ["entities"])),
            outcome(lambda: calls.read("simple", {"user": ["u1"]})),
            redis_outcome(client, "HGETALL", "simple:u1"),
            streamed,
        ]

    assert codes() == [OK] * 4
    connection = client.connection
    keyed.server.command("keys", "revoke", key["id"])
    denied = [UNAUTHENTICATED["http"], UNAUTHENTICATED["grpc"], "NOAUTH", "UNAUTHENTICATED"]
    eventually(lambda: codes() == denied)
    assert client.connection is connection, "the same connection is told so"
    sent.put(None)
    client.close()
    channel.close()


@pytest.mark.parametrize("door", DOORS)
def test_a_rate_is_kept(keyed: World, door: str) -> None:
    key = keyed.server.key(f"slow by {door}", "payments", "read", rate="3/s")["key"]
    eventually(lambda: READS[door](keyed, key) in (OK, RATE_LIMITED[door]))
    time.sleep(1.1)
    codes = [READS[door](keyed, key) for _ in range(20)]
    assert codes[:3] == [OK] * 3, "it may send as many at once as it may a second"
    assert set(codes) == {OK, RATE_LIMITED[door]}, codes
    time.sleep(1.1)
    assert READS[door](keyed, key) == OK, "and again after a while"


def test_whoever_is_too_fast_is_told_when_to_come_again(keyed: World) -> None:
    key = keyed.server.key("waits", "payments", "read", rate="1/s")["key"]
    eventually(lambda: READS["http"](keyed, key) == RATE_LIMITED["http"], every=0)
    answer = httpx.post(keyed.server.url + "/v1/features", json=READ, headers={"x-api-key": key}, trust_env=False)
    assert answer.status_code == 429, answer.text
    assert int(answer.headers["retry-after"]) >= 1, answer.headers
    with grpc.insecure_channel(keyed.server.address) as channel:
        calls = Grpc(keyed, channel, key)
        with pytest.raises(grpc.RpcError) as caught:
            read_on(calls)
    details = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    assert b"google.rpc.RetryInfo" in details


def test_a_refusal_keeps_the_connection_or_says_that_it_ends(keyed: World) -> None:
    """Who is refused before the body has come must not find a connection closed that it was to keep."""
    body = json.dumps(READ).encode()
    head = f"POST /v1/features HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", keyed.server.port), timeout=10) as connection:
        for turn in range(3):
            connection.sendall(head)
            time.sleep(0.05)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(body)
            time.sleep(0.05)
            try:
                answer = connection.recv(65_536)
            except ConnectionResetError:
                answer = b""
            assert answer.startswith(b"HTTP/1.1 401 "), f"request {turn} on one connection got {answer!r}"
            if b"connection: close" in answer.lower():
                break


def read_on(calls: Grpc) -> None:
    for _ in range(20):
        calls.stubs.read("simple", {"user": ["u1"]})


def test_feasts_client_is_refused_as_it_expects(keyed: World, keys: dict[str, Any], tmp_path: Path) -> None:
    from feast.errors import FeastPermissionError

    from .clients.feast_repo import make_store

    rows = [{"user": "u1"}]
    for case in ("reader", "elsewhere", "nonsense"):
        (tmp_path / case).mkdir()
    store = make_store(tmp_path / "reader", keyed.server.url, keys["reader"]["key"])
    service = store.get_feature_service("simple")
    assert store.get_online_features(features=service, entity_rows=rows).to_dict()["rows"] == [3]
    store = make_store(tmp_path / "elsewhere", keyed.server.url, keys["elsewhere"]["key"])
    with pytest.raises(FeastPermissionError):
        store.get_online_features(features=service, entity_rows=rows)
    store = make_store(tmp_path / "nonsense", keyed.server.url, "hello")
    with pytest.raises(Exception, match="401"):
        store.get_online_features(features=service, entity_rows=rows)


Listen = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def listen_everywhere(tmp_path: Path) -> Listen:
    """Starts a server that would be reached from other machines, and gives back how it ended."""

    def listen(*flags: str) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, "serve", "--data", str(tmp_path / "data"), "--host", "0.0.0.0", "--port", "0", *flags]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment())

    return listen


def test_other_machines_are_not_let_in_without_key_and_encryption(listen_everywhere: Listen, tmp_path: Path) -> None:
    mends = ("--tls-cert", "thalweg keys create", "--insecure-listen")
    refused = listen_everywhere()
    assert refused.returncode == 1, refused
    assert all(mend in refused.stderr for mend in mends), refused.stderr
    Server(tmp_path / "data").key("first")
    refused = listen_everywhere()
    assert refused.returncode == 1, refused
    assert "--tls-cert" in refused.stderr and "keys create" not in refused.stderr, refused.stderr


def test_other_machines_are_let_in_where_that_is_said_by_name(doors_server: Any) -> None:
    server = doors_server("--insecure-listen", host="0.0.0.0")
    world = World(server)
    world.types |= types(world)
    assert [READS[door](world, None) for door in DOORS] == [OK] * 4
    world.close()
