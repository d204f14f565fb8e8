"""gRPC by grpcio, with the code that it generates from the protobuf files."""

from __future__ import annotations

import json
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import httpx

from .. import exact
from ..project import as_arrow, as_json, as_lines
from ..server import World
from .base import Ack, Answer, Client, Column, Reading, Refused

HELPERS = Path(__file__).resolve().parents[1] / "grpc_python"
SECONDS = 20
# Gone when the process ends.
_code = tempfile.TemporaryDirectory(prefix="thalweg-doors-grpc-")


@cache
def generated() -> Any:
    """The generated code, once for the process."""
    if str(HELPERS) not in sys.path:
        sys.path.append(str(HELPERS))
    from grpc_generated import generate

    return generate(Path(_code.name))


class Grpc(Client):
    unknown_code = "NOT_FOUND NOT_FOUND"
    breaking_code = "FAILED_PRECONDITION BREAKING"
    encodings = ("gzip",)
    sends_raw = True

    def __init__(self, world: World, channel: grpc.Channel | None = None, key: str | None = None) -> None:
        super().__init__(world)
        self.channel = channel or grpc.insecure_channel(world.server.address)
        self.generated = generated()
        self.stubs = self.generated.client(self.channel, key)
        import grpc_client

        self.helpers = grpc_client

    def close(self) -> None:
        self.channel.close()

    def call(self, method: Any, message: Any, **options: Any) -> Any:
        try:
            answer = method(message, metadata=self.stubs.metadata, **{"timeout": SECONDS, **options})
        except grpc.RpcError as error:
            self.told(f"{type(message).__name__} {message}", f"{error.code()} {error.details()}")
            raise self.refused(error) from error
        self.told(f"{type(message).__name__} {message}", answer)
        return answer

    def refused(self, error: Any) -> Refused:
        reason = self.helpers.reason(self.generated, error)
        return Refused(f"{error.code().name} {reason}".strip(), error.details())

    def message(
        self,
        service: str,
        entities: dict[str, list[Any]],
        *,
        fields: list[str] | None = None,
        request: dict[str, list[Any]] | None = None,
        as_of: int | None = None,
    ) -> Any:
        wanted = service if fields is None else fields
        return self.stubs.read_request(wanted, entities, request, as_of)

    def read(self, service: str, entities: dict[str, list[Any]], **options: Any) -> Answer:
        return self.columns(self.call(self.stubs.features.GetFeatures, self.message(service, entities, **options)))

    def read_within(self, seconds: float, service: str, entities: dict[str, list[Any]]) -> Answer:
        message = self.message(service, entities)
        return self.columns(self.call(self.stubs.features.GetFeatures, message, timeout=seconds))

    def raw_status(self, timeout: str) -> str:
        """The status of a call with this `grpc-timeout`, which no client would send."""
        message = self.message("simple", {"user": ["u1"]}).SerializeToString()
        body = b"\x00" + len(message).to_bytes(4, "big") + message
        headers = {"content-type": "application/grpc", "te": "trailers", "grpc-timeout": timeout}
        with httpx.Client(http1=False, http2=True, trust_env=False, timeout=SECONDS) as http:
            url = f"{self.world.server.url}/thalweg.v1.Features/GetFeatures"
            answer = http.post(url, content=body, headers=headers)
        self.told(f"POST {url} {headers}", f"{answer.status_code} {answer.headers}")
        return answer.headers.get("grpc-status", f"none, with HTTP status {answer.status_code}")

    def read_compressed(self, encoding: str, service: str, entities: dict[str, list[Any]], as_of: int) -> Answer:
        codec = {"gzip": grpc.Compression.Gzip}[encoding]
        message = self.message(service, entities, as_of=as_of)
        return self.columns(self.call(self.stubs.features.GetFeatures, message, compression=codec))

    def columns(self, response: Any) -> Answer:
        found: Answer = {}
        for name, one in self.helpers.answers(response).items():
            values = [exact.from_python(one["type"], value) for value in one["values"]]
            found[name] = Column(values, one["statuses"], one["event_times"])
        return found

    def read_stream(self, messages: list[Any]) -> list[Answer | Refused]:
        """One answer for each message, in their order."""
        found: list[Answer | Refused] = []
        for response in self.stubs.read_stream(messages, timeout=SECONDS):
            self.told("StreamFeatures", response)
            if response.HasField("error"):
                reason = self.helpers.reason_of(response.error)
                found.append(Refused(f"{grpc_name(response.error.code)} {reason}", response.error.message))
            else:
                found.append(self.columns(response))
        return found

    def push(
        self, source: str, rows: list[dict[str, Any]], form: str = "json", key: str | None = None, **options: Any
    ) -> Ack:
        return ack(self.call(self.stubs.events.Push, self.push_message(source, rows, form, key, **options)))

    def push_message(
        self, source: str, rows: list[dict[str, Any]], form: str = "json", key: str | None = None, **options: Any
    ) -> Any:
        body = {"json": lambda: json.dumps(as_json(source, rows)).encode(), "ndjson": lambda: as_lines(source, rows)}
        content = as_arrow(source, rows) if form == "arrow" else body[form]()
        return self.stubs.push_request(source, key or "", **options, **{form: content})

    def push_stream(self, messages: list[Any]) -> list[Ack | Refused]:
        """The acknowledgements in the order in which they came, which is that of the pushes."""
        found: list[Ack | Refused] = []
        for place, one in enumerate(self.stubs.push_stream(messages, timeout=SECONDS)):
            self.told("PushStream", one)
            assert one.push == place, f"acknowledgement {place} is of push {one.push}"
            if one.WhichOneof("outcome") == "error":
                reason = self.helpers.reason_of(one.error)
                found.append(Refused(f"{grpc_name(one.error.code)} {reason}", one.error.message))
            else:
                found.append(ack(one.taken))
        return found

    def describe(self, source: str) -> dict[str, Any]:
        pb2 = self.generated.admin_pb2
        answer = self.call(self.stubs.admin.DescribeSource, pb2.DescribeSourceRequest(name=source))
        columns = [{"name": column.name, "type": column.type} for column in answer.columns]
        return {"name": answer.name, "columns": columns, "applied": answer.applied, "read": answer.read}

    def describe_view(self, view: str) -> dict[str, Any]:
        pb2 = self.generated.admin_pb2
        answer = self.call(self.stubs.admin.DescribeView, pb2.DescribeViewRequest(name=view))
        return dict(answer)

    def plan(self, definitions: Any) -> dict[str, Any]:
        pb2 = self.generated.admin_pb2
        return planned(self.call(self.stubs.admin.Plan, pb2.PlanRequest(manifest=json.dumps(definitions))))

    def apply(self, definitions: Any) -> dict[str, Any]:
        pb2 = self.generated.admin_pb2
        return planned(self.call(self.stubs.admin.Apply, pb2.ApplyRequest(manifest=json.dumps(definitions))))

    def health(self) -> str:
        """By the health service, with its own generated client."""
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        health = health_pb2_grpc.HealthStub(self.channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
        self.told("grpc.health.v1.Health/Check", answer)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    def services(self) -> list[str]:
        """By reflection, with its own generated client and descriptor database."""
        from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

        database = ProtoReflectionDescriptorDatabase(self.channel)
        names = list(database.get_services())
        self.told("reflection: services", names)
        method = database.FindFileContainingSymbol("thalweg.v1.Features").service[0].method[0]
        assert method.name == "GetFeatures", method
        return names

    def status(self) -> dict[str, Any]:
        return dict(self.call(self.stubs.admin.Status, self.generated.admin_pb2.StatusRequest()))

    def direct_describe(self, selector: str) -> dict[str, Any]:
        pb2 = self.generated.direct_pb2
        answer = self.call(self.stubs.direct.FeatureDescriptor, pb2.FeatureDescriptorRequest(selector=selector))
        keys = [{"name": key.name, "type": key.type} for key in answer.keys]
        own = {name: getattr(answer, name) for name in ("selector", "primitive", "keep_previous", "entity")}
        return own | {"keys": keys, "aggregations": list(answer.aggregations)}

    def direct_get(self, selector: str, keys: dict[str, Any], as_of: int | None = None) -> dict[str | None, Reading]:
        message = self.generated.direct_pb2.DirectGetRequest(selector=selector, as_of=as_of)
        self.put_keys(message, keys)
        answer = self.call(self.stubs.direct.Get, message)
        if answer.WhichOneof("answer") == "value":
            name = selector.partition("+")[2] or None
            return {name: self.reading(answer.value)}
        return {name: self.reading(one) for name, one in answer.aggregations.readings.items()}

    def direct_write(
        self, operation: str, selector: str, keys: dict[str, Any], value: Any, at: int | None = None, key: str = ""
    ) -> Ack:
        pb2 = self.generated.direct_pb2
        message = pb2.DirectWriteRequest(selector=selector, timestamp=at, idempotency_key=key)
        self.put_keys(message, keys)
        self.put_value(message.value, value)
        answer = self.call(getattr(self.stubs.direct, operation.capitalize()), message)
        return Ack(repeated=answer.was_repeated, first_sequence=answer.sequence)

    def put_keys(self, message: Any, keys: dict[str, Any]) -> None:
        for name, value in keys.items():
            member = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}[type(value)]
            setattr(message.keys[name], member, value)

    def put_value(self, message: Any, value: Any) -> None:
        """Times are sent as whole microseconds, as an integer's are: the server knows the type."""
        names = {bool: "bool", int: "int", float: "double", str: "string"}
        if isinstance(value, list):
            member = f"{names[type(value[0])]}s" if value else "ints"
            getattr(message, member).SetInParent()
            getattr(message, member).values.extend(value)
        elif value is not None:
            setattr(message, f"{names[type(value)]}_value", value)

    def reading(self, one: Any) -> Reading:
        enum = one.DESCRIPTOR.fields_by_name["status"].enum_type
        status = enum.values_by_number[one.status].name.removeprefix("FEATURE_STATUS_")
        member = one.value.WhichOneof("value")
        if member is None:
            return Reading(None, status)
        value = getattr(one.value, member)
        items = list(value.values) if hasattr(value, "values") else value
        floats = {"doubles": "list<float64>", "double_value": "float64"}
        return Reading(exact.from_python(floats.get(member, "int64"), items), status)


def ack(answer: Any) -> Ack:
    reason = answer.errors[0].reason if answer.errors else ""
    return Ack(answer.applied, answer.quarantined, answer.was_repeated, reason, answer.first_sequence)


def planned(answer: Any) -> dict[str, Any]:
    return {"breaking": answer.breaking, "changes": list(answer.changes), "text": answer.text, "hash": answer.hash}


def grpc_name(number: int) -> str:
    return next(code.name for code in grpc.StatusCode if code.value[0] == number)
