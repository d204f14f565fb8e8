"""The OpenAPI document holds for the server: schemathesis makes requests out of it, right ones and wrong ones, and each
answer has a status that the document has, none of them the server's own fault."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .asking import eventually
from .randomness import seeded
from .server import Server, World, environment

SECONDS = int(os.environ.get("THALWEG_OPENAPI_SECONDS", "45"))
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
SHOWN_CHARACTERS = 12_000
# A training set that is still being made is the one thing that is honestly not there yet.
SETTINGS = """
[[operations]]
include-path = "/v1/training-sets/{id}/data"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]
"""


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server that asks for keys from the beginning, so that a key made by chance shuts nobody out."""
    server = Server(tmp_path_factory.mktemp("openapi") / "data", "--max-body", "8MB")
    key = server.key("schemathesis")["key"]
    with server:
        world = World(server, key)
        yield world
        world.close()


def test_the_document_is_there_without_a_key_and_complete(keyed: World) -> None:
    answer = httpx.get(keyed.server.url + "/openapi.json", trust_env=False)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    paths = set(answer.json()["paths"])
    # The server's own tests hold it to the routes, both ways.
    named = {
        "/v1/features",
        "/v1/sources/{name}/events",
        "/get-online-features",
        "/v1/direct/{selector}/set",
        "/metrics",
    }
    assert len(paths) > 30, sorted(paths)
    assert named <= paths, f"not in the document: {sorted(named - paths)}"


def test_every_answer_is_one_that_the_document_has(keyed: World, tmp_path: Path) -> None:
    seed, _ = seeded()
    print(f"seed {seed}")
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    done, told = run(keyed, seed, tmp_path)
    if done.returncode and only_its_own_error(told):
        # Every case passed, and schemathesis failed at something of its own, which is shown: once more.
        seed += 1
        done, told = run(keyed, seed, tmp_path)
    assert done.returncode == 0, f"seed {seed}:\n{told[-SHOWN_CHARACTERS:]}\n{keyed.server.told()[-2_000:]}"
    process = keyed.server.process
    assert process is not None and process.poll() is None, keyed.server.told()
    assert "panicked" not in keyed.server.told(), keyed.server.told()
    # What was read by chance may have been slow to begin with; the server is not to stay so.
    eventually(lambda: keyed.http.get("/v1/status").status_code == 200)


def run(world: World, seed: int, directory: Path) -> tuple[subprocess.CompletedProcess[str], str]:
    done = subprocess.run(command(world, seed), cwd=directory, capture_output=True, text=True, env=environment())
    told = done.stdout + done.stderr
    print(told[-SHOWN_CHARACTERS:])
    return done, told


def only_its_own_error(told: str) -> bool:
    """Whether all cases passed, and none was left untried for want of the server."""
    counts = re.search(r"(\d+) generated, (\d+) passed\s*$", told, re.MULTILINE)
    return counts is not None and counts[1] == counts[2] and "Runtime Error: 1" in told and "Failures:" not in told


def command(world: World, seed: int) -> list[str]:
    own: dict[str, Any] = {
        "checks": CHECKS,
        "header": f"Authorization: Bearer {world.key}",
        "max-time": SECONDS,
        "seed": seed,
        # Python 3.11 counts the depth of syntax trees for all threads together, and fails where two parse at once.
        "workers": 1,
        "suppress-health-check": "all",
        "warnings": "off",
        "generation-database": "none",
        # That key is the one that the tests themselves need.
        "exclude-path-regex": "^/v1/keys/",
    }
    flags = [part for name, value in own.items() for part in (f"--{name}", str(value))]
    document = f"{world.server.url}/openapi.json"
    # The program beside this Python.
    return [str(Path(sys.executable).with_name("schemathesis")), "run", document, "--no-color", *flags]
