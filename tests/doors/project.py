"""What the server of these tests serves: every type, several namespaces, keys of one and of two columns, features that
are written directly, and rows whose answers can be said without computing them."""

from __future__ import annotations

import base64
import datetime
import json
import math
from decimal import Decimal
from typing import Any

import pyarrow as pa

import thalweg as tw

HOUR = 3_600_000_000
DAY = 24 * HOUR
# The columns of `facts` that are there to be every type.
TYPES = {
    "n32": "int32",
    "n64": "int64",
    "x32": "float32",
    "x64": "float64",
    "word": "string",
    "flag": "bool",
    "raw": "bytes",
    "on_day": "date",
    "seen": "timestamp",
    "price": "decimal(18,4)",
    "tags": "list<string>",
    "xs": "list<float64>",
    "vec": "vector<float32,3>",
}
FACTS = {"id": "string", "user": "string", "at": "timestamp", "score": "float64", **TYPES}
SALES = {"shop": "int64", "till": "string", "at": "timestamp", "amount": "decimal(12,2)", "pieces": "int64"}
COLUMNS = {"facts": FACTS, "sales": SALES}
ARROW = {
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
    "bytes": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "decimal(18,4)": pa.decimal128(18, 4),
    "decimal(12,2)": pa.decimal128(12, 2),
    "list<string>": pa.list_(pa.string()),
    "list<float64>": pa.list_(pa.float64()),
    "vector<float32,3>": pa.list_(pa.float32(), 3),
}
# The features that applications write: primitive and what a value of it is in a view.
DIRECT = {
    "clicks": (int, "int64"),
    "rating": (float, "float64"),
    "nick": (str, "string"),
    "member": (bool, "bool"),
    "visited": (datetime.datetime, "timestamp"),
    "items": (list[int], "list<int64>"),
    "weights": (list[float], "list<float64>"),
    "labels": (list[str], "list<string>"),
    "answers": (list[bool], "list<bool>"),
    "visits": (list[datetime.datetime], "list<timestamp>"),
}
# Of the service that every client reads, Feast's included, whose own types are few.
SIMPLE = ("rows", "total", "x_sum", "x_mean", "first_word", "kinds")
WINDOWED = ("count", "sum", "mean", "min", "max")
# Keys that a door may trip over.
ODD_KEYS = ["", " ", "a:b", "100%", "%3A", "ü:%25 @?&=+#/", 'q"\\', "日本語", "a\nb\tc", "@-1", "x" * 300]
LEAST, MOST = -(2**63), 2**63 - 1


def project() -> tw.Project:
    user = tw.Entity("user", keys={"user": tw.string})
    till = tw.Entity("till", keys={"shop": tw.int64, "till": tw.string}, namespace="shops")
    facts, sales = sources()
    every = tw.FeatureView("every", entity=user, source=facts, features=every_type(), namespace="payments")
    spend = tw.FeatureView("spend", entity=user, source=facts, features=spending(), namespace="payments")
    kept = tw.FeatureView(
        "kept",
        entity=user,
        source=facts,
        features={name: getattr(tw, name)("x64") for name in ("last", "sum", "mean", "min", "max")},
        nan="keep",
        namespace="payments",
    )
    brief = tw.FeatureView(
        "brief", entity=user, source=facts, features={"n": tw.latest("n64")}, staleness="1d", namespace="payments"
    )
    tills = tw.FeatureView(
        "till_sales",
        entity=till,
        source=sales,
        features={"rows": tw.count(), "amount": tw.sum("amount"), "pieces": tw.last_k("pieces", k=3)},
        namespace="shops",
    )
    share = tw.OnDemand("share", "spend.x_mean / request.amount", request={"amount": tw.float64}, namespace="payments")
    more = tw.OnDemand("more", "spend.rows + request.extra", request={"extra": tw.int64}, namespace="payments")
    direct = [*direct_features(user), *windowed_and_short(user)]
    clicks = direct[0]
    services = [
        tw.FeatureService("all_types", [every], namespace="payments", log_sample=1.0),
        tw.FeatureService("spending", [spend, kept], namespace="payments", log_sample=1.0),
        tw.FeatureService("simple", [f"spend.{name}" for name in SIMPLE], namespace="payments"),
        tw.FeatureService("scoring", [spend["rows"], spend["x_mean"], share, more], namespace="payments"),
        tw.FeatureService("briefly", [brief], namespace="payments"),
        tw.FeatureService("tills", [tills], namespace="shops", log_sample=1.0),
        tw.FeatureService(
            "written", [*direct, clicks.previous(1), clicks.previous(2)], namespace="web", log_sample=1.0
        ),
    ]
    return tw.Project("doors", services)


def sources() -> tuple[tw.EventSource, tw.EventSource]:
    schema: dict[str, Any] = {name: tw.types.parse(written) for name, written in FACTS.items()}
    schema |= {"user": tw.Column(tw.string, required=True), "score": tw.Column(tw.float64, min=0, max=1)}
    facts = tw.EventSource("facts", schema=schema, timestamp="at", namespace="payments")
    schema = {name: tw.types.parse(written) for name, written in SALES.items()}
    return facts, tw.EventSource("sales", schema=schema, timestamp="at", namespace="shops")


def every_type() -> dict[str, tw.Feature]:
    """The newest of each column, and maps with each type of key."""
    features = {name: tw.latest(name) for name in TYPES}
    plain = ("n32", "n64", "x64", "word", "flag", "raw", "on_day", "seen", "price")
    return features | {f"by_{name}": tw.count(by=name) for name in plain}


def spending() -> dict[str, tw.Feature]:
    return {
        "rows": tw.count(over=[None, "1h", "1d"]),
        "total": tw.sum("n64"),
        "x_sum": tw.sum("x64"),
        "x_mean": tw.mean("x64"),
        "x_std": tw.std("x64", over="7d"),
        "paid": tw.sum("price"),
        "most": tw.max("seen"),
        "first_word": tw.first("word"),
        "newest": tw.last_k("n64", k=3),
        "top": tw.top_k("x32", k=3),
        "words": tw.value_counts("word"),
        "kinds": tw.distinct_count("word"),
        "about": tw.approx_distinct("word"),
        "middle": tw.approx_quantile("x64", quantile=0.5),
        "by_flag": tw.mean("x64", by="flag"),
    }


def direct_features(user: tw.Entity) -> list[tw.DirectFeature]:
    return [
        tw.DirectFeature(
            name, entity=user, primitive=primitive, namespace="web", keep_previous=2 if name == "clicks" else 0
        )
        for name, (primitive, _) in DIRECT.items()
    ]


def windowed_and_short(user: tw.Entity) -> list[tw.DirectFeature]:
    return [
        tw.DirectFeature("paid", entity=user, primitive=float, aggregations=WINDOWED, over="1h", namespace="web"),
        tw.DirectFeature("short", entity=user, primitive=int, staleness="1d", namespace="web"),
    ]


def service_features() -> dict[str, list[str]]:
    """The features of each service, in their order, as it was declared."""
    return {item.name: list(item.features) for item in project() if isinstance(item, tw.FeatureService)}


class Facts:
    """The rows that are there from the beginning. Times count from `base`, in microseconds."""

    def __init__(self, now: int) -> None:
        self.base = now // HOUR * HOUR - 6 * DAY
        # Past all rows of the beginning, and past what is pushed meanwhile.
        self.end = self.base + 6 * DAY

    def rows(self) -> list[dict[str, Any]]:
        """`u1` has three rows an hour apart, `u2` one with nulls only, each odd key one, `old` one of long ago."""
        rows = [fact(self.base + (n + 1) * HOUR, "u1", f"u1-{n}", **UPON[n]) for n in range(3)]
        rows.append(fact(self.base + HOUR, "u2", "u2-0"))
        rows.append(fact(self.base + HOUR, "old", "old-0", n64=5))
        rows.append(fact(self.end - HOUR, "young", "young-0", n64=6))
        return rows + [fact(self.base + HOUR, key, f"odd-{n}", n64=n) for n, key in enumerate(ODD_KEYS)]

    def sales(self) -> list[dict[str, Any]]:
        """A till whose name is a key's worst, in three shops."""
        shops = [(7, "2.50", 1), (7, "2.50", 2), (LEAST, "0.01", 3), (MOST, "-3.00", 4)]
        return [
            {
                "shop": shop,
                "till": "a:b%",
                "at": self.base + HOUR * (n + 1),
                "amount": Decimal(amount),
                "pieces": pieces,
            }
            for n, (shop, amount, pieces) in enumerate(shops)
        ]


def fact(at: int, user: str, identity: str, **columns: Any) -> dict[str, Any]:
    return {"id": identity, "user": user, "at": at, **dict.fromkeys(["score", *TYPES]), **columns}


# The rows of `u1`.
UPON: list[dict[str, Any]] = [
    {"n32": 1, "n64": 10, "x32": 0.5, "x64": 0.1, "word": "a", "flag": True, "price": Decimal("1.2345")},
    {"n32": 2, "n64": 20, "x32": 0.25, "x64": 0.2, "word": "b:ü", "flag": False, "price": Decimal("0.0005")},
    {
        "n32": -(2**31),
        "n64": MOST - 30,
        "x32": 3.4028234663852886e38,
        "x64": 0.3,
        "word": 'b:ü"\\',
        "flag": True,
        "raw": b"\x00\xff\x80",
        "on_day": datetime.date(2024, 2, 29),
        "seen": -1,
        "price": Decimal("-99999999999999.9999"),
        "tags": ["", "x y", "日"],
        "xs": [-0.0, 5e-324, 1.7976931348623157e308],
        "vec": [0.5, -1.5, 16777216.0],
        "score": 1.0,
    },
]
# What that makes, for those features of which it can be said.
U1_SPEND: dict[str, Any] = {
    "spend.rows": 3,
    "spend.total": MOST,
    "spend.x_sum": math.fsum([0.1, 0.2, 0.3]),
    "spend.x_mean": math.fsum([0.1, 0.2, 0.3]) / 3,
    "spend.first_word": "a",
    "spend.newest": [10, 20, MOST - 30],
    "spend.kinds": 3,
    "kept.last": 0.3,
}


def as_json(source: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as JSON has them."""
    return [{name: json_value(COLUMNS[source][name], value) for name, value in row.items()} for row in rows]


def json_value(written: str, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal | datetime.date):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [json_value(written, item) for item in value]
    return value


def as_lines(source: str, rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in as_json(source, rows))


def as_arrow(source: str, rows: list[dict[str, Any]]) -> bytes:
    """Rows as an Arrow IPC stream."""
    arrays = {
        name: pa.array([row.get(name) for row in rows], ARROW[written]) for name, written in COLUMNS[source].items()
    }
    return stream(pa.table(arrays))


def stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
