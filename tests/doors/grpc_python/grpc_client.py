"""Calls of the gRPC API in the words of the tests: Python values in, Python values out, nothing decided in between."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
from grpc_generated import Generated

HEALTH = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")


class Client:
    """The stubs as they were generated (`features`, `events`, `admin`, `direct`), and calls in few words.

    Every call goes with the key, takes `timeout` in seconds and raises `grpc.RpcError`; `reason` reads one.
    """

    def __init__(self, generated: Generated, channel: grpc.Channel, key: str | None = None) -> None:
        self.generated, self.channel = generated, channel
        self.metadata = [("authorization", f"Bearer {key}")] if key else []
        self.features = generated.features_pb2_grpc.FeaturesStub(channel)
        self.events = generated.events_pb2_grpc.EventsStub(channel)
        self.admin = generated.admin_pb2_grpc.AdminStub(channel)
        self.direct = generated.direct_pb2_grpc.DirectStub(channel)

    def health(self, service: str = "") -> str:
        """`SERVING` or `NOT_SERVING`. Asked without the key."""
        check = self.channel.unary_unary("/grpc.health.v1.Health/Check")
        answer = check(text_field(1, service), timeout=10)
        return HEALTH[dict(fields(answer)).get(1, 0)]

    def services(self, version: str = "v1") -> list[str]:
        """What the server tells of itself by reflection, sorted; `version` is `v1` or `v1alpha`."""
        path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        listing = text_field(7, "*")
        answers = self.channel.stream_stream(path)(iter([listing]), metadata=self.metadata, timeout=10)
        response = dict(fields(next(answers)))
        return sorted(dict(fields(service))[1].decode() for _, service in fields(response[6]))

    def read_request(
        self,
        wanted: str | list[str],
        entities: dict[str, Any] | None = None,
        request: dict[str, Any] | None = None,
        as_of: int | None = None,
        **others: Any,
    ) -> Any:
        """A GetFeaturesRequest: a service by its name, or a list of features; columns as lists, or as `column(..)`."""
        pb2 = self.generated.features_pb2
        message = pb2.GetFeaturesRequest(as_of=as_of, **others)
        if isinstance(wanted, str):
            message.service = wanted
        else:
            message.features.names.extend(wanted)
        for place, columns in ((message.entities, entities), (message.request, request)):
            for name, values in (columns or {}).items():
                own = values if isinstance(values, pb2.ValueColumn) else self.column(values)
                place[name].CopyFrom(own)
        return message

    def read(self, *args: Any, timeout: float | None = 10, **kwargs: Any) -> Any:
        """GetFeatures; arguments as for `read_request`."""
        return self.features.GetFeatures(self.read_request(*args, **kwargs), metadata=self.metadata, timeout=timeout)

    def read_stream(self, requests: Iterable[Any], timeout: float | None = 10) -> Iterator[Any]:
        return self.features.StreamFeatures(iter(requests), metadata=self.metadata, timeout=timeout)

    def push_request(self, source: str, key: str = "", backfill: bool = False, **rows: bytes) -> Any:
        """A PushRequest: `json=`, `ndjson=` or `arrow=` with bytes."""
        return self.generated.events_pb2.PushRequest(source=source, idempotency_key=key, backfill=backfill, **rows)

    def push(self, *args: Any, timeout: float | None = 10, **kwargs: Any) -> Any:
        """Push; arguments as for `push_request`."""
        return self.events.Push(self.push_request(*args, **kwargs), metadata=self.metadata, timeout=timeout)

    def push_stream(self, pushes: Iterable[Any], timeout: float | None = 10) -> Iterator[Any]:
        """The acknowledgements, as they come."""
        return self.events.PushStream(iter(pushes), metadata=self.metadata, timeout=timeout)

    def push_all(self, pushes: Iterable[Any], timeout: float | None = 10) -> Any:
        return self.events.PushAll(iter(pushes), metadata=self.metadata, timeout=timeout)

    def column(self, values: list[Any], member: str | None = None) -> Any:
        """A ValueColumn; the member is chosen by the first value that is not None."""
        pb2 = self.generated.features_pb2
        sample = next((value for value in values if value is not None), "")
        member = member or member_for(sample)
        filler = type(sample)() if not isinstance(sample, datetime.datetime) else 0
        plain = [micros(filler if value is None else value) for value in values]
        own = pb2.ValueColumn(nulls=[value is None for value in values] if None in values else [])
        getattr(own, member).SetInParent()
        getattr(own, member).values.extend(plain)
        return own


def member_for(value: Any) -> str:
    for kind, member in (
        (bool, "bools"),
        (int, "int64s"),
        (float, "doubles"),
        (str, "strings"),
        (bytes, "binaries"),
        (datetime.datetime, "timestamps"),
    ):
        if isinstance(value, kind):
            return member
    raise TypeError(f"{value!r}: name the member of ValueColumn that it belongs in")


def micros(value: Any) -> Any:
    """Times as whole microseconds since the epoch, all else as it is."""
    if isinstance(value, datetime.datetime):
        return (value - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(microseconds=1)
    return value


def values(column: Any) -> list[Any]:
    """The values of a ValueColumn, None where it is null. Times and dates are numbers, decimals text."""
    member = column.WhichOneof("values")
    own = getattr(column, member)
    if member == "lists":
        rows: list[Any] = split(own.lengths, values(own.items))
    elif member == "maps":
        pairs = list(zip(values(own.keys), values(own.values), strict=True))
        rows = [dict(row) for row in split(own.lengths, pairs)]
    elif member == "vectors":
        width = own.dimension
        rows = [list(own.values[at : at + width]) for at in range(0, len(own.values), width)]
    else:
        rows = list(own.values)
    nulls = column.nulls or [False] * len(rows)
    return [None if null else row for null, row in zip(nulls, rows, strict=True)]


def split(lengths: Iterable[int], items: list[Any]) -> list[list[Any]]:
    rows, at = [], 0
    for length in lengths:
        rows.append(items[at : at + length])
        at += length
    return rows


def answers(response: Any) -> dict[str, dict[str, Any]]:
    """A GetFeaturesResponse by feature: `type`, `values`, `event_times`, `statuses` (as in JSON) and `errors`."""
    status = response.DESCRIPTOR.file.enum_types_by_name["FeatureStatus"]
    return {
        feature.name: {
            "type": feature.type,
            "values": values(feature.values),
            "event_times": values(feature.event_times),
            "statuses": [
                status.values_by_number[number].name.removeprefix("FEATURE_STATUS_") for number in feature.statuses
            ],
            "errors": dict(feature.errors),
        }
        for feature in response.features
    }


def reason(generated: Generated, error: grpc.RpcError) -> str:
    """The reason of an error's google.rpc.ErrorInfo, such as NOT_FOUND; empty where there is none."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    return reason_of(generated.status_pb2.Status.FromString(details)) if details else ""


def reason_of(status: Any) -> str:
    """As `reason`, for a google.rpc.Status that stands in an answer."""
    for detail in status.details:
        if detail.type_url.endswith("/google.rpc.ErrorInfo"):
            return dict(fields(detail.value))[1].decode()
    return ""


def text_field(number: int, text: str) -> bytes:
    """A message with one field of text."""
    own = text.encode()
    return bytes([number << 3 | 2, len(own)]) + own if own else b""


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The numbers and texts of a message, by field: enough to read the few that have no generated code here."""
    at = 0

    def varint() -> int:
        nonlocal at
        shift, number = 0, 0
        while True:
            byte = message[at]
            at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return number
            shift += 7

    while at < len(message):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        elif tag & 7 == 2:
            length = varint()
            yield tag >> 3, message[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {tag & 7} is not read here")
