"""A client generated from the protobuf files, against a server: definitions, pushes, reads, errors."""

from __future__ import annotations

import json
import math
from typing import Any

import grpc
import pytest
from grpc_client import answers, reason, reason_of, values

DEFINITIONS = {
    "project": "payments",
    "entities": [{"name": "card", "keys": [{"name": "card", "type": "string"}]}],
    "sources": [
        {
            "name": "payments",
            "kind": "SOURCE_KIND_EVENT",
            "columns": [
                {"name": "card", "type": "string", "required": True},
                {"name": "amount", "type": "float64", "min": "0"},
                {"name": "paid_at", "type": "timestamp", "required": True},
            ],
            "timestamp": "paid_at",
        }
    ],
    "views": [
        {
            "name": "spent",
            "entity": "card",
            "sources": ["payments"],
            "features": [
                {"name": "count", "aggregation": "count", "windows": [{"kind": "unbounded"}]},
                {"name": "total", "aggregation": "sum", "input": "amount", "windows": [{"kind": "unbounded"}]},
            ],
        }
    ],
    "services": [{"name": "risk", "features": ["spent.count", "spent.total"]}],
}


def row(card: str, amount: float, second: int) -> dict[str, Any]:
    return {"card": card, "amount": amount, "paid_at": f"2024-05-01T10:00:{second:02}Z"}


@pytest.fixture
def defined(client: Any) -> Any:
    apply = client.generated.admin_pb2.ApplyRequest(manifest=json.dumps(DEFINITIONS))
    assert client.admin.Apply(apply, timeout=30).version == 1
    return client


def test_health_and_reflection(client: Any) -> None:
    assert client.health() == "SERVING"
    assert client.health("thalweg.v1.Features") == "SERVING"
    with pytest.raises(grpc.RpcError) as caught:
        client.health("thalweg.v1.Feature")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    expected = {f"thalweg.v1.{name}" for name in ("Features", "Events", "Admin", "Direct")}
    for version in ("v1", "v1alpha"):
        assert expected | {"grpc.health.v1.Health"} <= set(client.services(version))


def test_what_is_pushed_is_read(defined: Any) -> None:
    ack = defined.push("payments", json=json.dumps([row("c1", 40.5, 0), row("c1", -1, 1)]).encode())
    assert (ack.read, ack.applied, ack.quarantined) == (2, 1, 1)
    assert "minimum" in ack.errors[0].reason
    response = defined.read("risk", {"card": ["c1", "c9"]})
    read = answers(response)
    features = read["spent.count"], read["spent.total"]
    assert [feature["type"] for feature in features] == ["int64", "float64"]
    assert features[0]["values"] == [1, 0]
    assert features[1]["values"] == [40.5, None]
    assert features[1]["statuses"] == ["PRESENT", "NOT_FOUND"]
    assert features[1]["event_times"] == [1_714_557_600_000_000, None]
    before = defined.read(["spent.count"], {"card": ["c1"]}, as_of=1_714_557_600_000_000)
    assert answers(before)["spent.count"]["values"] == [0], "an event at the query time is not seen"


def test_a_stream_of_pushes_is_acknowledged_in_order_and_survives_a_bad_one(defined: Any) -> None:
    pushes = [defined.push_request("payments", json=json.dumps(row("c1", at, at)).encode()) for at in range(40)]
    pushes.insert(7, defined.push_request("payment", json=b"[]"))
    acks = list(defined.push_stream(pushes))
    assert [ack.push for ack in acks] == list(range(41))
    assert reason_of(acks.pop(7).error) == "NOT_FOUND"
    sequences = [ack.taken.first_sequence for ack in acks]
    assert sequences == sorted(sequences) and len(set(sequences)) == 40
    assert answers(defined.read("risk", {"card": ["c1"]}))["spent.total"]["values"] == [sum(range(40))]


def test_a_summary_or_the_first_error(defined: Any) -> None:
    good = [defined.push_request("payments", key=f"k{at}", json=json.dumps(row("c2", 1, at)).encode()) for at in (1, 2)]
    summary = defined.push_all([*good, good[0]])
    assert (summary.pushes, summary.read, summary.applied, summary.repeated_pushes) == (3, 2, 2, 1)
    bad = defined.push_request("payments", json=b"no json")
    later = defined.push_request("payments", json=json.dumps(row("c2", 1, 3)).encode())
    with pytest.raises(grpc.RpcError) as caught:
        defined.push_all([bad, later])
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith("push 0 of the stream: ")
    assert answers(defined.read("risk", {"card": ["c2"]}))["spent.count"]["values"] == [2], "none behind it is taken"


def test_a_stream_of_reads_answers_in_order(defined: Any) -> None:
    defined.push("payments", ndjson=b"\n".join(json.dumps(row("c1", 2, at)).encode() for at in (1, 2)))
    requests = [defined.read_request("risk", {"card": [f"c{at % 2}"]}) for at in range(50)]
    requests[3] = defined.read_request("rsik", {"card": ["c1"]})
    responses = list(defined.read_stream(requests))
    assert reason_of(responses.pop(3).error) == "NOT_FOUND"
    counts = [answers(response)["spent.count"]["values"] for response in responses]
    assert counts == [[2 if at % 2 else 0] for at in range(50) if at != 3]


def test_errors_have_a_code_a_reason_and_a_mend(defined: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        defined.read("risk", {"crad": ["c1"]})
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "`entities` has no key column `crad`: did you mean `card`?"
    assert reason(defined.generated, caught.value) == "INVALID"


def test_values_are_columns(generated: Any) -> None:
    client = generated.client(grpc.insecure_channel("127.0.0.1:1"))
    for own in ([True, None], [1, None, -(2**63)], [0.5, -math.inf], ["a", None, ""], [b"\0", None]):
        assert values(client.column(own)) == own
