#!/usr/bin/env python3
"""Makes the corpora that fuzzing starts from: what other people's encoders and the package's own write.

    python fuzz/seeds.py

It needs pyarrow, protobuf, grpcio-tools and the package with its native module. The same seeds come out each time; what
a fuzzer has found beside them is left alone.
"""

import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

import thalweg

FUZZ = Path(__file__).resolve().parent
CORPUS = FUZZ / "corpus"
PROTO = FUZZ.parent / "proto"
SEED = "seed-"

Seeds = Iterator[tuple[str, bytes]]

# The rows of the targets that push: one good, the others wrong in a way each.
ROWS: list[Any] = [
    {
        "flag": True,
        "small": -1,
        "whole": 9007199254740993,
        "single": 0.1,
        "real": 1e300,
        "price": "12.50",
        "word": "ü\u0000x",
        "raw": "AAEC",
        "day": "2024-02-29",
        "at": "2024-05-01T12:00:00.5Z",
        "tags": ["a", None],
        "place": [1.5, -0.0],
    },
    {"whole": 1.0, "at": 1714564800000000, "price": 3, "real": "NaN"},
    {"whole": 1.5},
    {"place": [1]},
    {"raw": "?"},
    17,
    {"op": "u", "before": {"whole": 1}, "after": {"whole": 1, "word": "after"}, "at": "2024-05-01"},
    {"op": "d", "before": {"whole": 1}, "after": None, "at": "2024-05-01 12:00:00+02:00"},
]


def text(value: Any) -> bytes:
    """A value as JSON."""
    return json.dumps(value, ensure_ascii=False).encode()


def json_push() -> Seeds:
    yield "rows", text(ROWS)
    yield "one", text(ROWS[0])
    yield "none", b"[]"
    yield "spaces", b' [ {"whole" : 1} ,\n {"at":\t"2024-05-01"} ] '
    yield "twice", b'[{"whole":1,"whole":2},{"word":{"a":[1]}}]'
    yield "deep", b"[" * 100 + b"]" * 100


def ndjson_push() -> Seeds:
    yield "rows", b"\n".join(text(row) for row in ROWS)
    yield "windows", b"\r\n".join(text(row) for row in ROWS[:3]) + b"\r\n"
    yield "broken", text(ROWS[0])[:40] + b"\n\n" + text(ROWS[1])


def typed_values() -> Seeds:
    """The byte in front chooses the type, as `typed_values.rs` numbers them."""
    values = [
        "true",
        "-5",
        "17",
        "0.1",
        '"NaN"',
        "12.5",
        "1e3",
        '"0.5"',
        '"ü"',
        '"AAEC"',
        '"2024-02-29"',
        '"2024-05-01"',
    ]
    for kind, value in enumerate(values):
        yield f"{kind}", bytes([kind]) + value.encode()
        yield f"list-{kind}", bytes([0x80 | kind]) + f"[{value},null,{value}]".encode()
    yield "text", bytes([11]) + b"2024-05-01T12:00:00.123456+02:00"
    yield "vector", bytes([0xC0]) + b"[1.5,-0.0]"


def definition_texts() -> Seeds:
    texts = [
        *("90s", "1h30m", "7d", "2w", "500ms", "365000d", "0s", "int64", "decimal(38,38)", "decimal( 10 , 2 )"),
        *("list<timestamp>", "vector<float32,65536>", "list< list<int64> >", "[int]", "bool", "true", "-2147483648"),
        *("1e38", "1e400", "-inf", "+001.50", "0000000000000.10", "2024-02-29", "+262142-01-01", "-0001-01-01"),
        *("2024-05-01T12:00:00Z", "2024-05-01 12:00:00.123456+05:30", "2024-06-30T23:59:60Z", "0001-01-01T00:00:00"),
    ]
    for place, one in enumerate(texts):
        yield f"{place}", one.encode()


def manifest() -> dict[str, Any]:
    """One with an object of every kind."""
    key = {"name": "card", "type": "string", "required": True}
    columns = [
        {"name": "id", "type": "int64", "min": "0"},
        key,
        {"name": "amount", "type": "decimal(10,2)", "min": "-1.5", "max": "100"},
        {"name": "at", "type": "timestamp"},
        {"name": "seen", "type": "timestamp"},
        {"name": "place", "type": "vector<float32,2>"},
        {"name": "flag", "type": "bool"},
        {"name": "word", "type": "string", "allowed": ["a", "b"]},
    ]
    over = [{"kind": "sliding", "over": "7d"}, {"kind": "sliding", "over": "7d", "hop": "1h"}]
    aligned = [{"kind": "tumbling", "over": "1d"}, {"kind": "to_date", "over": "1w"}, {"kind": "unbounded"}]
    step = {"name": "check", "priority": 3, "validate": {"expression": "flag", "reason": "it is none"}}
    return {
        "project": "shop",
        "entities": [{"name": "card", "keys": [key], "about": {"tags": ["b=2", "a=1"], "namespace": "users"}}],
        "sources": [
            {
                "name": "events", "kind": "SOURCE_KIND_EVENT", "timestamp": "at", "arrival_time": "seen",
                "columns": columns, "dedup": {"key": ["id"], "within": "24h"},
                "steps": [step, {"name": "cut", "priority": -1, "transform": {"column": "word", "expression": "word"}}],
            },
            {
                "name": "changes", "kind": "SOURCE_KIND_CHANGE", "timestamp": "at", "primary_key": ["id"],
                "operation": "op", "columns": [*columns, {"name": "op", "type": "string"}],
            },
        ],
        "views": [
            {
                "name": "spend", "entity": "card", "sources": ["events"], "time_zone": "America/New_York",
                "staleness": "30d", "freshness": "1m", "keep_nan": True,
                "derived": [{"name": "double", "expression": "amount"}],
                "features": [
                    {"name": "total", "aggregation": "sum", "input": "amount", "windows": over},
                    {"name": "counts", "aggregation": "value_counts", "input": "word", "windows": aligned},
                    {"name": "half", "aggregation": "approx_quantile", "input": "id", "quantile": 0.1},
                    {"name": "many", "aggregation": "approx_distinct", "input": "word", "lg_k": 4},
                    {"name": "top", "aggregation": "top_k", "input": "id", "k": 3, "by": "word"},
                    {"name": "std", "aggregation": "std", "input": "double", "ddof": 1},
                ],
            },
            {
                "name": "current", "entity": "card", "sources": ["changes"], "retention": "90d",
                "features": [{"name": "rows", "aggregation": "count", "windows": [{"kind": "sliding", "over": "90d"}]}],
            },
        ],
        "on_demand": [{"name": "ratio", "expression": "request.x", "request": [{"name": "x", "type": "float64"}]}],
        "services": [{"name": "s", "features": ["spend.total_7d", "ratio"], "log_sample": 0.1}],
        "training_sets": [{"name": "t", "service": "s", "as_of": "arrival", "spine": "x.parquet", "timestamp": "at"}],
        "direct_features": [
            {"name": "score", "entity": "card", "primitive": "float", "keep_previous": 2, "timeout": "1s",
             "fetch": {"url": "https://h/{card}", "field": "/s", "headers": [{"name": "k", "value": "env:K"}]}},
            {"name": "spent", "entity": "card", "primitive": "int", "aggregations": ["sum"], "over": "1h"},
        ],
    }  # fmt: skip


def manifest_json() -> Seeds:
    whole = manifest()
    yield "whole", text(whole)
    yield "wrapped", text({"manifest": whole, "origins": {"view:spend": "features.py:3"}})
    yield "events", text({**whole, "views": whole["views"][:1], "sources": whole["sources"][:1]})
    yield "wrong", text({"entities": [{"name": "a", "keys": [{"name": "k", "type": "list<list<int64>>"}]}]})
    yield "empty", b"{}"


def messages(folder: Path) -> Any:
    """The modules of the protobuf files."""
    from grpc_tools import protoc

    include = Path(protoc.__file__).parent / "_proto"
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    if protoc.main(["protoc", f"-I{PROTO}", f"-I{include}", f"--python_out={folder}", *files]) != 0:
        raise RuntimeError("the protobuf files do not compile")
    # The messages are in a package of the same name as ours.
    thalweg.__path__.append(str(folder / "thalweg"))
    from thalweg.v1 import direct_pb2, events_pb2, features_pb2, manifest_pb2

    return features_pb2, events_pb2, direct_pb2, manifest_pb2


def manifest_protobuf(manifest_pb2: Any) -> Seeds:
    from google.protobuf import json_format

    for name, value in manifest_json():
        if name in ("whole", "events", "wrong"):
            yield name, json_format.Parse(value, manifest_pb2.Manifest()).SerializeToString()


def grpc_columns(features_pb2: Any) -> Seeds:
    """The byte in front chooses the type, as `grpc_columns.rs` numbers them; 0x80 makes it a list of that."""
    column, own = features_pb2.ValueColumn, features_pb2.ValueColumn
    columns = [
        column(bools=own.Bools(values=[True, False]), nulls=[False, True]),
        column(int32s=own.Int32s(values=[-1, 2])),
        column(int64s=own.Int64s(values=[-(2**63), 7])),
        column(floats=own.Floats(values=[0.1, float("nan")])),
        column(doubles=own.Doubles(values=[1e300, -0.0])),
        column(decimals=own.Decimals(values=["-1.05", "3"])),
        column(decimals=own.Decimals(values=["0." + "9" * 38])),
        column(strings=own.Strings(values=["ü", ""]), nulls=[False, False]),
        column(binaries=own.Binaries(values=[b"\x00\xff"])),
        column(dates=own.Dates(values=[-1, 20000])),
        column(timestamps=own.Timestamps(values=[0, 2**63 - 1])),
        column(vectors=own.Vectors(dimension=2, values=[1.5, -0.0, 3.0, 4.0]), nulls=[False, True]),
    ]
    for kind, one in enumerate(columns):
        yield f"{kind}", bytes([kind]) + one.SerializeToString()
        if kind < 11:
            several = column(lists=own.Lists(lengths=[1, 0], items=column(**{one.WhichOneof("values"): first(one)})))
            yield f"list-{kind}", bytes([0x80 | kind]) + several.SerializeToString()
    yield "texts", bytes([10]) + column(strings=own.Strings(values=["2024-05-01T12:00:00Z"])).SerializeToString()


def first(column: Any) -> Any:
    """The values of a column without all but the first of them."""
    values = getattr(column, column.WhichOneof("values"))
    return type(values)(values=list(values.values)[:1])


def stream(table: pa.Table, compression: str | None = None) -> bytes:
    """A table as an Arrow IPC stream."""
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


def arrow_stream() -> Seeds:
    rows = {
        "whole": pa.array([1, None, 3]),
        "word": pa.array(["a", None, "ü"]),
        "at": pa.array([0, 1, None], pa.timestamp("us", "UTC")),
        "tags": pa.array([["a"], [], None]),
        "place": pa.array([[1.0, 2.0], None, [3.0, 4.0]], pa.list_(pa.float32(), 2)),
    }
    yield "rows", stream(pa.table(rows))
    yield "zstd", stream(pa.table(rows), "zstd")
    yield "lz4", stream(pa.table(rows), "lz4")
    yield "cast", stream(pa.table({"whole": [1.5, 2.0], "price": ["1.5", "x"], "day": [0, 1], "flag": [0, 1]}))
    yield "dictionary", stream(pa.table({"word": pa.array(["a", "b", "a"]).dictionary_encode(), "op": ["insert"] * 3}))
    yield (
        "views",
        stream(pa.table({"word": pa.array(["a" * 20, "b"], pa.string_view()), "raw": pa.array([b"a", b"b"])})),
    )
    yield "null", stream(pa.table({"whole": pa.nulls(3), "real": pa.array([1, 2, 3], pa.float16())}))
    yield (
        "runs",
        stream(pa.table({"whole": pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([7]))})),
    )
    yield (
        "nested",
        stream(
            pa.table({"word": pa.array([{"a": [1, None]}]), "tags": pa.array([[("k", 1)]], pa.map_("string", "int64"))})
        ),
    )
    yield "none", stream(pa.table({"whole": pa.array([], pa.int64())}))


def resp_parse() -> Seeds:
    """Eight bytes of cuts, then what a client says."""
    cuts = bytes([3, 1, 4, 1, 5, 9, 2, 6])
    commands = [
        *("HGETALL cards:c1", "HMGET cards:c1 attempts_7d card_payments.amount_mean_7d__status nothing", "PING"),
        *(
            "HGET card_risk:c1?amount=80.5 amount_ratio",
            "MGET visits:7:a%3Ab%25 visits:7:later",
            "LRANGE users.seen:7:u 0 -1",
        ),
        *("SET users.clicks:c1 5", "INCRBY users.clicks:c1 3", "GET users.clicks@-1:c1", "GET users.spend+sum:c1"),
        *("RPUSH users.seen:7:u a b", "TYPE cards:c1", "EXISTS cards:c1 nothing:x", "HLEN cards:c1", "HKEYS cards:c1"),
        *(
            "COMMAND DOCS hget",
            "CONFIG GET *",
            "INFO",
            "CLIENT SETNAME me",
            "CLIENT LIST",
            "DBSIZE",
            "SELECT 1",
            "FOO a",
        ),
        *("GET cards@2024-03-01T11:00:00Z:c1", "ECHO x", "HELLO 3 SETNAME me", "HGETALL cards:c1", "RESET", "AUTH a b"),
    ]
    arrays = [bulk(command.split()) for command in commands]
    yield "arrays", cuts + b"".join(arrays[:12])
    yield "more", cuts + b"".join(arrays[12:])
    yield "lines", cuts + "\r\n".join(commands).encode() + b"\r\n"
    yield (
        "reads",
        cuts + b"".join(bulk(command.split()) for command in commands if command.startswith(("H", "GET", "M"))),
    )
    yield "quoted", cuts + b"GET \"a b\\x41\\n\" 'c\\'d'\r\n*0\r\n*-1\r\n*1\r\n$0\r\n\r\nECHO \"\n"
    yield "quit", cuts + b"PING\r\nQUIT\r\nPING\r\n"
    yield "hostile", cuts + b"*2147483647\r\n"
    yield "http", cuts + b"PING\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    yield "large", cuts + bulk(["MGET", *["cards:c1"] * 40])


def bulk(words: list[str]) -> bytes:
    """A command as an array of bulk strings."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)


def resp_key() -> Seeds:
    keys = [
        *("s:c1", "s@17:c1", "s@2024-05-01T12:00:00Z:a:b", "n.f@-1@17:c1", "s:a%3Ab:2?x=1&y=%26", "n.f+sum:c1", "s?x"),
        *("s:100%", "s:%FF", "s@-17:", "users.spend+sum@-1", "s@@:c"),
    ]
    for place, key in enumerate(keys):
        yield f"{place}", bytes([key.split("?")[0].count(":") % 4]) + key.encode()


def sql_expression() -> Seeds:
    texts = [
        *("amount > 10 AND Note = 'x'", "qty + 1", "CAST(amount AS INT)", "coalesce(amount, 0) / request.x", "tags[1]"),
        *("CASE WHEN qty > 1 THEN 'many' ELSE Note END", "upper(Note) || '!'", "extract(hour FROM at)", "price * 2.50"),
        *(
            "at > TIMESTAMP '2013-01-01T00:00:00Z'",
            "qty IN (1, 2, 3) OR amount BETWEEN 1 AND 2",
            "day + INTERVAL '1 day'",
        ),
        *(
            "Note LIKE '%1_'",
            "substr(Note, 2, 3)",
            "small % qty",
            "-small",
            "power(amount, 2)",
            "date_trunc('month', at)",
        ),
        *(
            "regexp_replace(Note, '[0-9]+', 'n')",
            "TRY_CAST(Note AS BIGINT)",
            "make_array(qty, small)[1]",
            "nullif(qty, 0)",
        ),
        *("flag IS NOT TRUE", "(((1)))", "random()", "(SELECT 1)", "sum(qty)", "$1", "repeat(Note, qty)", "NULL"),
        *("CAST(small AS " + "ARRAY<" * 40 + "INT" + ">" * 40 + ") IS NULL", "a" + "::int" * 50, "qty" + "+1" * 100),
    ]
    for place, one in enumerate(texts):
        yield f"{place}", one.encode()


def feature_request() -> Seeds:
    asked = [
        {"service": "cards", "entities": {"card": ["c1", "c3"]}, "as_of": "2024-03-01T11:30:00Z"},
        {"service": "card_risk", "entities": {"card": ["c1", "c2"]}, "request": {"amount": [1.5, None]}},
        {
            "features": ["customer_visits.visits_7d"],
            "entities": {"shop": [7], "user": ["later"]},
            "as_of": 1709290000000000,
        },
        {
            "features": ["amount_ratio", "card_payments.place"],
            "entities": {"card": ["c1"]},
            "request": {"amount": ["NaN"]},
        },
        {"service": "crads", "entities": {}},
        {"features": ["card_payments.by_price_7d"], "entities": {"card": []}},
    ]
    for place, one in enumerate(asked):
        yield f"{place}", text(one)


def feast_push() -> Seeds:
    frame = {
        "whole": [1, "2"],
        "event_timestamp": [1714564800, 0.5],
        "word": ["a", 7],
        "tags": [["x"], None],
        "x": [0, 0],
    }
    yield "columns", text({"push_source_name": "events", "df": frame, "to": "online"})
    yield (
        "labels",
        text({"push_source_name": "e", "df": {"whole": {"0": 1, "1": 2}, "word": {"1": "b", "0": "a"}, "at": "x"}}),
    )
    yield "wrong", text({"push_source_name": 3, "df": [], "features": ["x", 1], "entities": {"k": 1}, "to": "offline"})
    yield (
        "read",
        text({"feature_service": None, "features": ["v:f"], "entities": {"card": ["c1"]}, "full_feature_names": "yes"}),
    )
    yield "nulls", text({"df": {"at": [-9223372036854775808, 9223372036854775807, None], "place": [[1, 2], None, [3]]}})


def audit_log() -> Seeds:
    line = text({"at": "2024-05-01T12:00:00Z", "operation": "apply", "outcome": "ok"})
    yield "lines", b"\x01" + b"\n".join([line] * 3) + b"\n"
    yield "torn", b"\x02" + line + b"\n\n" + line[:20]
    yield "place", b"\x001-17"


def framed(route: int, body: bytes, flags: int = 0) -> bytes:
    """An input of `http_door.rs`: the route by its place, the flags, the body."""
    return bytes([route, flags]) + body


def http_door(features_pb2: Any, events_pb2: Any, direct_pb2: Any) -> Seeds:
    import gzip

    payments = [{"card": "c1", "amount": 1.5, "paid_at": "2024-03-01T10:00:00Z", "place": [1, 2]}, {"card": 3}]
    visits = [{"shop": 7, "user": "u", "at": 1709290000000000}]
    table = pa.table(
        {"card": ["c1"], "amount": [2.5], "paid_at": pa.array([1709290000000000], pa.timestamp("us", "UTC"))}
    )
    yield "json", framed(0, text(payments))
    yield "gzip", framed(0, gzip.compress(text(payments), mtime=0), 1)
    yield "lines", framed(1, b"\n".join(text(row) for row in payments))
    yield "arrow", framed(2, stream(table))
    yield "visits", framed(3, text(visits))
    for name, value in feature_request():
        yield f"read-{name}", framed(4, value, 4 * (int(name) % 2))
    yield "read-arrow", framed(5, stream(pa.table({"card": ["c1", "c2"]})), 4)
    yield "plan", framed(6, text(manifest()))
    features = {"features": ["card_payments:attempts_7d"], "entities": {"card": ["c1"]}, "full_feature_names": True}
    yield "feast-read", framed(7, text(features))
    frame = {"card": ["c1"], "amount": [1], "event_timestamp": [1709290000]}
    yield "feast-push", framed(8, text({"push_source_name": "payments", "df": frame}))
    yield "feast-write", framed(9, text({"feature_view_name": "card_payments", "df": frame}))
    card, customer = {"card": "c1"}, {"shop": 7, "user": "u"}
    yield "get", framed(10, text({"keys": card, "as_of": "2024-03-01T11:00:00Z"}))
    yield "set", framed(11, text({"keys": card, "value": 5, "at": 1709290000000000}))
    yield "append", framed(12, text({"keys": customer, "value": "x"}))
    yield "incr", framed(13, text({"keys": card, "value": 2}))
    yield "update", framed(14, text({"keys": card, "value": 2.5}))
    column = features_pb2.ValueColumn(strings=features_pb2.ValueColumn.Strings(values=["c1"]))
    asked = features_pb2.GetFeaturesRequest(service="cards", entities={"card": column}, as_of=1709290000000000)
    yield "grpc-read", framed(15, asked.SerializeToString())
    arrow = features_pb2.GetFeaturesRequest(
        service="cards", arrow=stream(pa.table({"card": ["c1"]})), answer_as_arrow=True
    )
    yield "grpc-arrow", framed(16, arrow.SerializeToString())
    yield "grpc-push", framed(17, events_pb2.PushRequest(source="payments", json=text(payments)).SerializeToString())
    lines = events_pb2.PushRequest(source="visits", ndjson=text(visits[0]), idempotency_key="k", backfill=True)
    yield "grpc-push-all", framed(18, lines.SerializeToString())
    scalar, value = direct_pb2.KeyScalar(string_value="c1"), direct_pb2.DirectValue(double_value=2.5)
    got = direct_pb2.DirectGetRequest(selector="users.spend+sum", keys={"card": scalar})
    yield "grpc-get", framed(19, got.SerializeToString())
    wrote = direct_pb2.DirectWriteRequest(selector="users.spend", keys={"card": scalar}, value=value)
    yield "grpc-update", framed(20, wrote.SerializeToString())
    for place, path in enumerate(
        ["metrics", "v1/status", "v1/audit?limit=2&before=1-17", "v1/sources/payments", "openapi.json"]
    ):
        yield f"path-{place}", framed(21, path.encode())


def write(target: str, seeds: Seeds) -> int:
    """Writes the seeds of a target in place of those before."""
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{SEED}*"):
        old.unlink()
    count = 0
    for name, data in seeds:
        (folder / f"{SEED}{name}").write_bytes(data)
        count += 1
    return count


def main() -> None:
    from stored_seeds import accumulators, entity_state, log_segment, log_torn, logged_batch, state_store

    plain: list[Callable[[], Seeds]] = [
        *(json_push, ndjson_push, typed_values, definition_texts, manifest_json, arrow_stream, resp_parse, resp_key),
        *(sql_expression, feature_request, feast_push, audit_log, accumulators, entity_state, log_segment, log_torn),
        *(logged_batch, state_store),
    ]
    for seeds in plain:
        print(f"{seeds.__name__}: {write(seeds.__name__, seeds())}")
    print(f"resp_connection: {write('resp_connection', resp_parse())}")
    with tempfile.TemporaryDirectory() as folder:
        features_pb2, events_pb2, direct_pb2, manifest_pb2 = messages(Path(folder))
        print(f"manifest_protobuf: {write('manifest_protobuf', manifest_protobuf(manifest_pb2))}")
        print(f"grpc_columns: {write('grpc_columns', grpc_columns(features_pb2))}")
        print(f"http_door: {write('http_door', http_door(features_pb2, events_pb2, direct_pb2))}")


if __name__ == "__main__":
    sys.path.insert(0, str(FUZZ))
    main()
