"""Random cases for the agreement test: what is declared, and what happens then, all drawn from one seeded generator.

A case is made of literals alone, so that a failing one can be made smaller and printed. What is drawn leans to where
engines go wrong: equal times, edges of windows, late and doubled rows, values at the ends of their types, questions one
microsecond to either side of everything, and a restart, a checkpoint or a new definition in between.
"""

from dataclasses import dataclass

import thalweg as tw

from .rows import BAD, KEY_TYPES, draw_rows, split
from .rows import draw_keys as draw_entities
from .times import STARTS, between, draw_times
from .values import micros

COLUMNS = {
    "f": tw.float64,
    "g": tw.float32,
    "i": tw.int64,
    "j": tw.int32,
    "d": tw.decimal(12, 2),
    "e": tw.decimal(38, 10),
    "s": tw.string,
    "c": tw.string,
    "b": tw.bool_,
    "w": tw.timestamp,
    "a": tw.date,
    "y": tw.bytes_,
    "l": tw.list_of(tw.int64),
}
# The column that a source's contract bounds, and the one that it gets later on.
BOUNDED, ADDED = "q", "z"
NUMBERS, LISTS = ("f", "g", "i", "j", "d", "e"), ("l",)
PLAIN = tuple(name for name in COLUMNS if name not in LISTS)
INPUTS = {
    **dict.fromkeys(("sum", "mean", "var", "std", "skew", "kurtosis", "approx_quantile"), NUMBERS),
    **dict.fromkeys(("min", "max", "first_k", "last_k", "top_k", "bottom_k"), PLAIN),
    **dict.fromkeys(("distinct_count", "approx_distinct", "value_counts"), PLAIN),
    **dict.fromkeys(("first", "last", "latest"), (*PLAIN, *LISTS)),
    "count": (None, *PLAIN, *LISTS),
}
# What SQL that is not a bare column means: a function of a row, and its type.
EXPRESSIONS = {
    "i > 0": (lambda row: None if row["i"] is None else row["i"] > 0, "bool"),
    "b": (lambda row: row["b"], "bool"),
    "c = 'p' OR s IS NULL": (lambda row: row["c"] == "p" or row["s"] is None, "bool"),
    "NOT b": (lambda row: None if row["b"] is None else not row["b"], "bool"),
    "j IS NOT NULL": (lambda row: row["j"] is not None, "bool"),
    "i IS NULL OR i <> 2": (lambda row: row["i"] is None or row["i"] != 2, "bool"),
    "coalesce(c, 'r')": (lambda row: "r" if row["c"] is None else row["c"], "string"),
}
CONDITIONS = ("i > 0", "b", "c = 'p' OR s IS NULL", "NOT b")
DERIVED = {"positive": "i > 0", "has_j": "j IS NOT NULL"}
WINDOWS = [
    *(f"sliding {over}" for over in ("90m", "6h", "1d", "7d", "1us", "33h", "35d")),
    *(f"hop {over} {hop}" for over, hop in (("90m", "5m"), ("6h", "1h"), ("7d", "1d"), ("2d", "6h"))),
    *(f"tumbling {over}" for over in ("1h", "1d", "2d", "7d")),
    *(f"to_date {over}" for over in ("1h", "1d", "7d")),
]
ZONES = (None, None, "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
ENTITY, VIEW, LATER, SOURCES, SERVICE = "thing", "v", "w", ("events", "more"), "s"
# Rows, entities, features, and the moments asked for after each batch and afterwards.
SHAPES = (
    {"rows": 240, "entities": 16, "features": 32, "meanwhile": 7, "afterwards": 40},
    {"rows": 400, "entities": 30, "features": 26, "meanwhile": 6, "afterwards": 24},
    # Few entities with many rows: state with chunks and groups, tiles, and what is spilled.
    {"rows": 900, "entities": 2, "features": 20, "meanwhile": 8, "afterwards": 80},
    {"rows": 3000, "entities": 1, "features": 14, "meanwhile": 8, "afterwards": 100},
)


@dataclass
class Case:
    """`settings` says what is declared beside the features; `steps` are pairs and triples, as `lives.py` reads them."""

    features: dict[str, dict]
    settings: dict
    steps: list[tuple]

    @property
    def lasting(self):
        """Whether all that was ever asked can be asked again: state older than the longest window is gone otherwise."""
        return self.settings.get("retention") is not None

    def __str__(self):
        features = "\n".join(f"    {name!r}: {spec!r}," for name, spec in self.features.items())
        steps = "\n".join(f"    {step!r}," for step in self.steps)
        return f"Case(\n  features={{\n{features}\n  }},\n  settings={self.settings!r},\n  steps=[\n{steps}\n  ],\n)"


def window(text):
    kind, *lengths = text.split()
    if kind == "hop":
        return tw.Sliding(lengths[0], hop=lengths[1])
    return {"sliding": tw.Sliding, "tumbling": tw.Tumbling, "to_date": tw.ToDate, "unbounded": tw.Unbounded}[kind](
        *lengths
    )


def project(case, wide=False, mended=False, other=False, later=False):
    """The case's declarations; with a column more, a mended contract, another definition, or the view once more."""
    settings = case.settings
    keys = {name: KEY_TYPES[kind] for name, kind in settings["keys"].items()}
    sources = [source(settings, name, keys, wide, mended) for name in settings["sources"]]
    features = {name: feature(spec) for name, spec in case.features.items()}
    if wide:
        features[f"{ADDED}_last"] = tw.last(ADDED, over="7d")
        features[f"{ADDED}_count"] = tw.count(ADDED, over="1d")
    options = {
        name: settings[name] for name in ("nan", "time_zone", "staleness", "retention", "filter") if settings.get(name)
    }
    if settings.get("derived"):
        options["derived"] = DERIVED
    if other:
        # Another state and another set of outputs, under the same name.
        features = {name: one for name, one in features.items() if len(one.windows) == 1} or {"n": tw.count(over="1h")}
        options.pop("filter", None)
    entity = tw.Entity(ENTITY, keys=keys)
    views = [
        tw.FeatureView(name, entity=entity, sources=sources, features=features, **options)
        for name in ((VIEW, LATER) if later else (VIEW,))
    ]
    return tw.Project("tiny", [tw.FeatureService(SERVICE, features=[*views, *on_demand(case, other)])])


def source(settings, name, keys, wide, mended):
    schema = {**keys, "at": tw.timestamp, **COLUMNS, "id": tw.int64}
    given = {"timestamp": "at"}
    if settings.get("arrival"):
        schema["known_at"] = tw.timestamp
        given["arrival_time"] = "known_at"
    if settings.get("contract"):
        schema[BOUNDED] = tw.Column(tw.int32) if mended else tw.Column(tw.int32, max=BAD - 1)
    if wide:
        schema[ADDED] = tw.int64
    if settings.get("change"):
        schema["op"] = tw.string
        return tw.ChangeSource(name, schema=schema, primary_key=["id"], operation="op", **given)
    if settings.get("dedup"):
        given["dedup"] = tw.Dedup(["id"], within=settings["dedup"])
    if settings.get("source_filter"):
        given["filter"] = settings["source_filter"]
    if settings.get("steps"):
        given["steps"] = [
            tw.Transform("s", "coalesce(c, 'r')"),
            tw.Validate("i IS NULL OR i <> 2", reason="two is one too many"),
        ]
    return tw.EventSource(name, schema=schema, **given)


def feature(spec):
    options = {name: value for name, value in spec.items() if name not in ("aggregation", "input", "over")}
    taken = [spec["input"]] if spec.get("input") else []
    return getattr(tw, spec["aggregation"])(*taken, over=[window(text) for text in spec["over"]], **options)


def on_demand(case, other=False):
    """Features of features: whether the first outputs are null."""
    if other or not case.settings.get("on_demand"):
        return []
    outputs = on_demand_outputs(case)
    return [tw.OnDemand(f"od_{at}", f"{VIEW}.{output} IS NULL") for at, output in enumerate(outputs)]


def on_demand_outputs(case):
    compiled = Case(case.features, {**case.settings, "on_demand": False}, [])
    features = project(compiled).manifest()["services"][0]["features"]
    return [name.split(".", 1)[1] for name in features[:3]]


def draw(chance):
    shape = chance.choice(SHAPES)
    settings = draw_settings(chance)
    features = draw_features(chance, settings, shape["features"])
    if any("unbounded" in spec["over"] for spec in features.values()):
        # A window without an end keeps everything, and does not go with a declared retention.
        settings["retention"] = None
    start = micros(chance.choice(STARTS))
    settings["keys"], entities = draw_entities(chance, shape["entities"])
    rows, bad = draw_rows(chance, shape["rows"], start, settings, entities)
    batches = split(chance, rows, settings)
    steps = happening(chance, settings, batches, entities, features, shape, bad)
    return Case(features, {name: value for name, value in settings.items() if value}, steps)


def draw_settings(chance):
    def perhaps(share, *values):
        return chance.choice(values) if chance.random() < share else None

    settings = {
        "nan": perhaps(0.3, "keep"),
        "time_zone": chance.choice(ZONES),
        "filter": perhaps(0.3, *CONDITIONS),
        "staleness": perhaps(0.3, "1h", "1d"),
        "retention": perhaps(0.75, "400d"),
        "derived": perhaps(0.5, True),
        "arrival": perhaps(0.85, True),
        "contract": perhaps(0.3, True),
        "on_demand": perhaps(0.5, True),
        "memory": perhaps(0.4, "1KB"),
        "shards": perhaps(0.5, 1, 2, 5),
        "sources": list(SOURCES if chance.random() < 0.25 else SOURCES[:1]),
        "clock": "events",
    }
    if chance.random() < 0.3:
        settings["change"] = True
    else:
        settings["dedup"] = perhaps(0.4, "1h")
        settings["source_filter"] = perhaps(0.2, *CONDITIONS)
        settings["steps"] = perhaps(0.2, True)
    if settings["arrival"] and chance.random() < 0.3:
        # By the machine's clock the rows are all long past: nothing is kept that is not asked to be.
        settings.update(clock="system", retention="36500d")
    return settings


def draw_features(chance, settings, count):
    keep_nan = settings["nan"] == "keep"
    names = [name for name in INPUTS if not (settings.get("change") and name == "approx_distinct")]
    conditions = (*CONDITIONS, *DERIVED) if settings["derived"] else CONDITIONS
    # Windows without an end are for some cases only, as they rule a retention out.
    windows = [*WINDOWS, "unbounded"] if settings["retention"] is None else WINDOWS
    features = {}
    while len(features) < count:
        name = chance.choice(names) if len(features) >= len(names) else names[len(features)]
        taken = chance.choice(INPUTS[name])
        # What a quantile among NaN is, the rule book leaves open.
        taken = "i" if name == "approx_quantile" and keep_nan else taken
        spec = {"aggregation": name, "input": taken, "over": chance.sample(windows, chance.choice((1, 1, 2)))}
        if chance.random() < 0.25:
            spec["where"] = chance.choice(conditions)
        if chance.random() < 0.2 and taken not in LISTS:
            spec["by"] = chance.choice(("c", "s", "b", "j", "i", "f", "d", "w", "a", "y"))
        if name.endswith("_k"):
            spec["k"] = chance.choice((1, 2, 5))
        if name == "approx_quantile":
            spec.update(quantile=chance.choice((0.0, 0.5, 0.9, 1.0)), relative_error=chance.choice((0.01, 0.05)))
        if name in ("var", "std"):
            spec["ddof"] = chance.choice((0, 1))
        features[f"{name}_{len(features)}"] = spec
    return features


def happening(chance, settings, batches, entities, features, shape, bad):
    """The batches with what is asked and what befalls the engine in between."""
    steps, changed = [], False
    widened = chance.randrange(len(batches)) if chance.random() < 0.3 else None
    applied_later = chance.randrange(len(batches)) if chance.random() < 0.3 else None
    for at, batch in enumerate(batches):
        if at == widened:
            steps.append(("widen",))
        if at == applied_later:
            steps.append(("later",))
        if not changed and chance.random() < 0.04:
            # More commits than it takes for history to be compacted.
            steps += [step for row in batch[:30] for step in (("push", row["source"], [row]), ("flush",))]
            batch = batch[30:]
        steps += pushes(chance, batch)
        steps.append(("ask", between(chance, settings, batches, at, entities, features, shape["meanwhile"])))
        steps += befalling(chance)
        if changed:
            steps += [("restore",), ("again",)]
        changed = not changed and chance.random() < 0.1
        if changed:
            steps.append(("change",))
    if changed:
        steps.append(("restore",))
    if bad:
        steps += [("replay", name) for name in settings["sources"]]
    rows = [row for batch in batches for row in batch]
    questions = draw_times(chance, settings, rows, entities, features, shape["afterwards"])
    if settings["retention"] is not None and settings["arrival"]:
        steps.append(("ask", questions))
    else:
        steps.append(("training", questions))
    # The last of all: every path once more over everything that was served.
    steps += [("flush",)] if chance.random() < 0.5 else []
    steps += [("reopen",), ("again",)]
    steps += [("later",), ("again",)] if applied_later is None else []
    return [*steps, ("history",)]


def pushes(chance, batch):
    """A batch, source by source; now and then one that is sent twice."""
    steps = []
    for name in sorted({row["source"] for row in batch}):
        rows = [row for row in batch if row["source"] == name]
        steps.append(("push" if chance.random() < 0.9 else "push twice", name, rows))
    return steps


def befalling(chance):
    steps = []
    if chance.random() < 0.4:
        steps.append(("flush",))
    if chance.random() < 0.2:
        steps.append(("reopen",))
    if steps and chance.random() < 0.5:
        steps.append(("again",))
    return steps
