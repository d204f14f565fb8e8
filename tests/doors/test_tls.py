"""Encryption at every port: who trusts the authority reads, who does not is told so, and a certificate that is replaced
on the disk is shown to new connections while the open ones go on."""

from __future__ import annotations

import http.client
import json
import queue
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import redis
import trustme

from . import programs
from .asking import READ, eventually, once
from .clients.grpc_python import Grpc
from .project import U1_SPEND
from .server import COMMAND, Server, World, environment

ROWS = U1_SPEND["spend.rows"]


class Authority:
    """A certificate authority of these tests' own, and the files that the server reads."""

    def __init__(self, directory: Path) -> None:
        self.certificate, self.key = directory / "server.pem", directory / "server.key"
        self.trusted = directory / "authority.pem"
        self.issue()

    def issue(self) -> None:
        """A new authority and a new certificate, written over the old ones, one file after the other."""
        self.own = trustme.CA()
        issued = self.own.issue_cert("localhost", "127.0.0.1")
        self.own.cert_pem.write_to_path(self.trusted)
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(self.key)

    @property
    def flags(self) -> list[str]:
        return ["--tls-cert", str(self.certificate), "--tls-key", str(self.key)]

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.trusted))


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Authority]]:
    directory = tmp_path_factory.mktemp("encrypted")
    authority = Authority(directory)
    with Server(directory / "data", *authority.flags) as server:
        assert server.url.startswith("https://"), server.url
        world = World(server, verify=authority.context)
        yield world, authority
        world.close()


Encrypted = tuple[World, Authority]


def secure(world: World, authority: Authority) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(authority.trusted.read_bytes())
    return grpc.secure_channel(world.server.address, credentials)


def rediss(world: World, authority: Authority, **options: Any) -> redis.Redis:
    return redis.Redis(
        port=world.server.redis_port, ssl=True, ssl_ca_certs=str(authority.trusted), decode_responses=True, **options
    )


def rows(answer: Any) -> Any:
    named = {result["name"]: result["values"] for result in answer["results"]}
    return named["spend.rows"][0]


@pytest.mark.parametrize("http2", [False, True])
def test_https_in_both_versions(encrypted: Encrypted, http2: bool) -> None:
    world, authority = encrypted
    with httpx.Client(base_url=world.server.url, verify=authority.context, http2=http2, trust_env=False) as client:
        answer = client.post("/v1/features", json=READ)
    assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1"), "the version is agreed on in the handshake"
    assert rows(answer.json()) == ROWS


def test_grpc(encrypted: Encrypted) -> None:
    with secure(*encrypted) as channel:
        answer = Grpc(encrypted[0], channel).read("simple", {"user": ["u1"]})
    assert answer["spend.rows"].values == [ROWS]


@pytest.mark.parametrize("protocol", [2, 3])
def test_rediss(encrypted: Encrypted, protocol: int) -> None:
    with rediss(*encrypted, protocol=protocol) as client:
        assert client.hget("simple:u1", "rows") == str(ROWS)


def test_curl_and_redis_cli(encrypted: Encrypted) -> None:
    world, authority = encrypted
    try:
        flags = ["--silent", "--show-error", "--cacert", str(authority.trusted)]
        flags += ["--header", "content-type: application/json", "--data", json.dumps(READ)]
        asked = programs.run("curl", *flags, f"{world.server.url}/v1/features")
        assert asked.returncode == 0 and rows(json.loads(asked.stdout)) == ROWS, asked
        flags = ["--tls", "--cacert", str(authority.trusted), "-p", str(world.server.redis_port)]
        asked = programs.run("redis-cli", *flags, "HGET", "simple:u1", "rows")
        assert asked.stdout.strip() == str(ROWS).encode(), asked
    except programs.Missing as missing:
        pytest.skip(str(missing))


def test_feasts_client(encrypted: Encrypted, tmp_path: Path) -> None:
    from .clients.feast_repo import make_store

    world, authority = encrypted
    store = make_store(tmp_path, world.server.url, certificate=str(authority.trusted))
    service = store.get_feature_service("simple")
    assert store.get_online_features(features=service, entity_rows=[{"user": "u1"}]).to_dict()["rows"] == [ROWS]


def test_who_does_not_trust_the_authority_and_who_does_not_encrypt_gets_nothing(encrypted: Encrypted) -> None:
    world, _ = encrypted
    with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
        httpx.post(f"{world.server.url}/v1/features", json=READ, trust_env=False)
    with pytest.raises(httpx.HTTPError):
        httpx.get(world.server.url.replace("https", "http") + "/healthz", trust_env=False)
    with pytest.raises(redis.exceptions.RedisError):
        redis.Redis(port=world.server.redis_port, retry=once()).ping()
    with (
        grpc.insecure_channel(world.server.address) as channel,
        pytest.raises(Exception, match="UNAVAILABLE"),
    ):
        Grpc(world, channel).read("simple", {"user": ["u1"]})


def test_a_replaced_certificate_is_taken_and_open_connections_stay(encrypted: Encrypted) -> None:
    world, authority = encrypted
    ports = [world.server.port, world.server.redis_port]
    before = [shown(port) for port in ports]
    assert before[0] == before[1]
    talk = conversations(world, authority)
    assert [say() for say in talk.values()] == [str(ROWS)] * len(talk)
    process = world.server.process
    authority.issue()
    eventually(lambda: all(shown(port) != before[0] for port in ports), every=0.2)
    assert shown(ports[0]) == shown(ports[1])
    for name, say in talk.items():
        assert say() == str(ROWS), f"the open connection of {name} goes on"
    with rediss(world, authority) as client:
        assert client.hget("simple:u1", "rows") == str(ROWS), "who trusts the new authority comes in"
    assert world.server.process is process and process is not None and process.poll() is None


def test_a_certificate_that_does_not_work_is_not_taken(encrypted: Encrypted) -> None:
    world, authority = encrypted
    before = shown(world.server.port)
    good = authority.certificate.read_bytes()
    authority.certificate.write_text("no certificate")
    try:
        eventually(lambda: "the certificate stays as it was" in world.server.told())
        assert shown(world.server.port) == before
    finally:
        authority.certificate.write_bytes(good)


def shown(port: int) -> str:
    """The certificate that a new connection is shown."""
    return ssl.get_server_certificate(("127.0.0.1", port))


def conversations(world: World, authority: Authority) -> dict[str, Callable[[], str]]:
    """Something to say again and again on one open connection each; it is an error where another would be needed."""
    https = http.client.HTTPSConnection("127.0.0.1", world.server.port, context=authority.context)
    https.connect()
    # Without these it would open another one by itself.
    https.auto_open = 0

    def by_https() -> str:
        https.request("POST", "/v1/features", json.dumps(READ), {"content-type": "application/json"})
        return str(rows(json.loads(https.getresponse().read())))

    client = rediss(world, authority, single_connection_client=True)
    number = client.client_id()

    def by_redis() -> str:
        assert client.client_id() == number, "it is another connection"
        return str(client.hget("simple:u1", "rows"))

    calls = Grpc(world, secure(world, authority))
    sent: queue.Queue[Any] = queue.Queue()
    stream = calls.stubs.read_stream(iter(sent.get, None), timeout=60)

    def by_stream() -> str:
        sent.put(calls.message("simple", {"user": ["u1"]}))
        return str(calls.columns(next(stream))["spend.rows"].values[0])

    return {"https": by_https, "rediss": by_redis, "a stream of gRPC": by_stream}


def test_other_machines_are_let_in_with_encryption_and_a_key(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = Server(tmp_path / "data", *authority.flags, host="0.0.0.0")
    command = [*COMMAND, "serve", "--data", str(server.data), "--host", "0.0.0.0", "--port", "0", *authority.flags]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment())
    assert refused.returncode == 1 and "keys create" in refused.stderr, refused
    assert "--tls-cert" not in refused.stderr, refused.stderr
    key = server.key("first")
    with server:
        url = f"{server.url}/v1/status"
        assert httpx.get(url, verify=authority.context, trust_env=False).status_code == 401
        headers = {"x-api-key": key["key"]}
        assert httpx.get(url, headers=headers, verify=authority.context, trust_env=False).status_code == 200
