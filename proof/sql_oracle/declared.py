"""What one round computes: sources, views and windows, as the product declares them and as SQL has to say them."""

import re
from dataclasses import dataclass

import pyarrow as pa

import thalweg as tw

UNITS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}
DAY, HOUR = UNITS["d"], UNITS["h"]
INSTANT = pa.timestamp("us", "UTC")

# The values of an event: how they are declared, and how they are sent.
COLUMNS: dict[str, tuple[object, pa.DataType]] = {
    "i": (tw.int64, pa.int64()),
    "j": (tw.int32, pa.int32()),
    "big": (tw.int64, pa.int64()),
    "f": (tw.float64, pa.float64()),
    "g": (tw.float64, pa.float64()),
    "h": (tw.float32, pa.float32()),
    "d": (tw.decimal(12, 2), pa.decimal128(12, 2)),
    "s": (tw.string, pa.string()),
    "c": (tw.string, pa.string()),
    "b": (tw.bool_, pa.bool_()),
    "w": (tw.timestamp, INSTANT),
    "o": (tw.date, pa.date32()),
}
# Columns of views, in SQL that means the same in both places.
DERIVED = {
    "late": "j > 15",
    "ij": "i + j",
    "is_p": "CASE WHEN c = 'p' THEN 1 ELSE 0 END",
    "fifth": "j % 5",
}
CONTRACT_MAX = 2_000

# Numbers as whole ones: the SQL that makes them whole, and how many of these make one.
# `f`, `g` and `h` are drawn as whole numbers over a power of two, so that nothing is lost here.
WHOLE: dict[str, tuple[str, int]] = {
    **{name: (f"{name}::bigint", 1) for name in ("i", "j", "big", "ij", "is_p")},
    "f": ("try_cast(f * 1024 as bigint)", 2**10),
    "g": ("try_cast(g * 1099511627776 as bigint)", 2**40),
    "h": ("try_cast(h::double * 8 as bigint)", 2**3),
    "d": ("(d * 100)::bigint", 100),
}
FLOATS = ("f", "g", "h")

SUMS = ("sum", "mean", "var", "std", "skew", "kurtosis")
"""How many powers are summed: 1 for sum and mean, and so on."""
POWERS = {"sum": 1, "mean": 1, "var": 2, "std": 2, "skew": 4, "kurtosis": 4}
LISTS = ("first_k", "last_k", "top_k", "bottom_k")

KEY_TYPES: dict[str, tuple[object, pa.DataType]] = {
    "string": (tw.string, pa.string()),
    "int64": (tw.int64, pa.int64()),
    "int32": (tw.int32, pa.int32()),
    "date": (tw.date, pa.date32()),
    "timestamp": (tw.timestamp, INSTANT),
    "decimal": (tw.decimal(10, 3), pa.decimal128(10, 3)),
    "bool": (tw.bool_, pa.bool_()),
}


def micros(text: str) -> int:
    """`1h30m` in microseconds."""
    return sum(int(count) * UNITS[unit] for count, unit in re.findall(r"(\d+)(us|ms|[dhms])", text))


@dataclass(frozen=True)
class Window:
    """A window by the words of its declaration; durations in canonical form."""

    kind: str
    over: str = ""
    hop: str = ""

    def declared(self) -> object:
        if self.kind == "sliding":
            return tw.Sliding(self.over, hop=self.hop or None)
        if self.kind == "unbounded":
            return tw.Unbounded()
        return {"tumbling": tw.Tumbling, "to_date": tw.ToDate}[self.kind](self.over)

    @property
    def suffix(self) -> str:
        if self.kind == "unbounded":
            return ""
        if self.kind == "sliding":
            return f"_{self.over}" + (f"_hop_{self.hop}" if self.hop else "")
        return f"_{self.kind}_{self.over}"


@dataclass(frozen=True)
class Feature:
    """An aggregation of a column (none: of rows) under its name, with a window for each of its outputs."""

    name: str
    aggregation: str
    column: str | None
    windows: tuple[Window, ...]
    where: str | None = None
    by: str | None = None
    k: int | None = None
    ddof: int | None = None

    def declared(self) -> object:
        given = {"where": self.where, "by": self.by, "k": self.k, "ddof": self.ddof}
        options = {name: value for name, value in given.items() if value is not None}
        over = [window.declared() for window in self.windows]
        return getattr(tw, self.aggregation)(*([self.column] if self.column else []), over=over, **options)


@dataclass(frozen=True)
class Output:
    """One value a question: a feature in one of its windows."""

    name: str
    feature: Feature
    window: Window


@dataclass(frozen=True)
class Source:
    """An event source. Without a column of arrival times its rows are pushed as a backfill."""

    name: str
    arrives: bool = True
    within: str | None = None
    filter: str | None = None
    contract: bool = False

    def declared(self, keys: dict[str, str]) -> tw.EventSource:
        schema: dict[str, object] = {"happened_at": tw.timestamp, "id": tw.int64}
        schema.update({name: KEY_TYPES[kind][0] for name, kind in keys.items()})
        schema.update({name: kind for name, (kind, _) in COLUMNS.items()})
        if self.contract:
            schema["j"] = tw.Column(tw.int32, max=CONTRACT_MAX)
        options: dict[str, object] = {}
        if self.arrives:
            schema["known_at"] = tw.timestamp
            options["arrival_time"] = "known_at"
        if self.within:
            options["dedup"] = tw.Dedup(["id"], within=self.within)
        return tw.EventSource(self.name, schema=schema, timestamp="happened_at", filter=self.filter, **options)


@dataclass(frozen=True)
class View:
    """Features of one entity. A deep one is asked fewer questions: those of it that only joins can answer."""

    name: str
    keys: tuple[str, ...]
    sources: tuple[str, ...]
    features: tuple[Feature, ...]
    filter: str | None = None
    time_zone: str | None = None
    retention: str | None = None
    staleness: str | None = None
    deep: bool = False

    @property
    def outputs(self) -> list[Output]:
        return [Output(f.name + window.suffix, f, window) for f in self.features for window in f.windows]


@dataclass(frozen=True)
class Definitions:
    """All of a round's declarations; `keys` has the type of each key column."""

    keys: dict[str, str]
    sources: tuple[Source, ...]
    views: tuple[View, ...]

    def project(self, without: str | None = None) -> tw.Project:
        """The definitions for the product; without one view, where that is to come later."""
        sources = {source.name: source.declared(self.keys) for source in self.sources}
        entities = {
            keys: tw.Entity("of_" + "_".join(keys), keys={name: KEY_TYPES[self.keys[name]][0] for name in keys})
            for keys in sorted({view.keys for view in self.views})
        }
        made: dict[bool, list[tw.FeatureView]] = {False: [], True: []}
        for view in self.views:
            if view.name != without:
                made[view.deep].append(
                    declared_view(view, entities[view.keys], [sources[name] for name in view.sources])
                )
        services = [
            tw.FeatureService("deep" if deep else "wide", features=views) for deep, views in made.items() if views
        ]
        return tw.Project("tables", [*services, *sources.values()])


def declared_view(view: View, entity: tw.Entity, sources: list[tw.EventSource]) -> tw.FeatureView:
    return tw.FeatureView(
        view.name,
        entity=entity,
        sources=sources,
        features={feature.name: feature.declared() for feature in view.features},
        filter=view.filter,
        derived=DERIVED,
        time_zone=view.time_zone,
        retention=view.retention,
        staleness=view.staleness,
    )
