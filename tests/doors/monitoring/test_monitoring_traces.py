"""Traces, as a collector gets them: one trace from the caller through the door into the engine."""

import secrets

from monitored_server import lower, rows
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


class Caller:
    """What a caller says of its own trace."""

    def __init__(self, sampled=True):
        self.trace, self.span = secrets.token_bytes(16), secrets.token_bytes(8)
        self.headers = {"traceparent": f"00-{self.trace.hex()}-{self.span.hex()}-{'01' if sampled else '00'}"}


def spans(sink):
    """What was sent, and the resource that it came from."""
    found = []
    for path, body in zip(sink.paths, sink.bodies, strict=True):
        assert path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
            assert attributes["service.name"] == "thalweg"
            found.extend(span for scope in resource.scope_spans for span in scope.spans)
    return found


def attribute(span, key):
    return next((one.value.string_value for one in span.attributes if one.key == key), None)


def descends(span, ancestor, all_spans):
    by_id = {one.span_id: one for one in all_spans}
    while span is not None and span.span_id != ancestor.span_id:
        span = by_id.get(span.parent_span_id)
    return span is not None


def only(found, name):
    named = [span for span in found if span.name == name]
    assert len(named) == 1, [span.name for span in found]
    return named[0]


def test_a_push_and_a_read_are_part_of_what_their_caller_does(serve, sink):
    collector = sink()
    server = serve(trace_endpoint=collector.url)
    pusher, reader = Caller(), Caller()
    assert server.push(rows(0, 3), **pusher.headers).json()["applied"] == 3
    assert server.read(**reader.headers, tracestate="shop=1").status == 200
    server.stop()
    found = spans(collector)
    assert all("protobuf" in headers["content-type"] for headers in map(lower, collector.headers))

    of_push = [span for span in found if span.trace_id == pusher.trace]
    push, log, apply = only(of_push, "push"), only(of_push, "log"), only(of_push, "apply")
    assert push.parent_span_id == pusher.span and push.kind == Span.SPAN_KIND_SERVER
    assert descends(log, push, of_push) and descends(apply, push, of_push)
    assert attribute(push, "thalweg.door") == "http" and attribute(push, "thalweg.object") == "payments"
    assert push.start_time_unix_nano <= log.start_time_unix_nano <= apply.start_time_unix_nano
    assert log.end_time_unix_nano <= apply.end_time_unix_nano <= push.end_time_unix_nano

    of_read = [span for span in found if span.trace_id == reader.trace]
    read, serve_span = only(of_read, "read"), only(of_read, "serve")
    assert read.parent_span_id == reader.span and descends(serve_span, read, of_read)
    assert read.trace_state == "shop=1"


def test_a_caller_without_a_trace_begins_one(serve, sink):
    collector = sink()
    server = serve(trace_endpoint=f"{collector.url}/v1/traces")
    server.push(rows(0, 1))
    server.push(rows(1, 1), traceparent="not a trace")
    server.stop()
    pushes = [span for span in spans(collector) if span.name == "push"]
    assert len(pushes) == 2 and len({span.trace_id for span in pushes}) == 2
    assert all(span.parent_span_id == b"" for span in pushes)


def test_what_the_caller_does_not_sample_is_not_sent(serve, sink):
    collector = sink()
    server = serve(trace_endpoint=collector.url)
    silent, heard = Caller(sampled=False), Caller()
    server.push(rows(0, 1), **silent.headers)
    server.push(rows(1, 1), **heard.headers)
    server.stop()
    traces = {span.trace_id for span in spans(collector)}
    assert heard.trace in traces and silent.trace not in traces


def test_a_share_of_none_leaves_the_callers_traces(serve, sink):
    collector = sink()
    server = serve(trace_endpoint=collector.url, trace_sample=0)
    caller = Caller()
    for number in range(20):
        server.push(rows(number, 1))
    server.push(rows(100, 1), **caller.headers)
    server.stop()
    assert {span.trace_id for span in spans(collector)} == {caller.trace}


def test_a_refusal_has_its_code_and_is_no_error_of_the_server(serve, sink):
    collector = sink()
    server = serve(trace_endpoint=collector.url)
    caller = Caller()
    assert server.send("POST", "/v1/sources/missing/events", rows(0, 1), **caller.headers).status == 404
    server.stop()
    push = only([span for span in spans(collector) if span.trace_id == caller.trace], "push")
    assert attribute(push, "thalweg.code") == "NOT_FOUND"
    assert push.status.code == Status.STATUS_CODE_UNSET


def test_a_collector_that_takes_nothing_hinders_nobody(serve, sink):
    collector = sink(*[400] * 1000)
    server = serve(trace_endpoint=collector.url)
    for number in range(5):
        assert server.push(rows(number, 1)).status == 200
    server.stop()
    assert "takes no spans" in server.log.read_text()
