"""Random views, rows and questions for the agreement test, all drawn from one seeded generator.

What is drawn leans to where engines go wrong: equal times, edges of windows, late and doubled rows, values at the
ends of their types, and questions one microsecond to either side of everything.
"""

import math
from dataclasses import dataclass
from decimal import Decimal

import thalweg as tw

from .oracle import DAY, HOUR, MINUTE, duration
from .values import micros
from .world import project

COLUMNS = {
    "f": tw.float64,
    "g": tw.float32,
    "i": tw.int64,
    "j": tw.int32,
    "d": tw.decimal(12, 2),
    "s": tw.string,
    "c": tw.string,
    "b": tw.bool_,
    "w": tw.timestamp,
}
NUMBERS, ORDERED = ("f", "g", "i", "j", "d"), tuple(COLUMNS)
INPUTS = {
    **dict.fromkeys(("sum", "mean", "var", "std", "skew", "kurtosis", "approx_quantile"), NUMBERS),
    **dict.fromkeys(("min", "max", "first", "last", "latest"), ORDERED),
    **dict.fromkeys(("first_k", "last_k", "top_k", "bottom_k"), ORDERED),
    "count": (None, *ORDERED),
    **dict.fromkeys(("distinct_count", "approx_distinct"), ORDERED),
    "value_counts": ("i", "j", "s", "c", "b"),
}
EXPRESSIONS = {
    "i > 0": (lambda row: None if row["i"] is None else row["i"] > 0, "bool"),
    "b": (lambda row: row["b"], "bool"),
    "c = 'p' OR s IS NULL": (lambda row: row["c"] == "p" or row["s"] is None, "bool"),
    "NOT b": (lambda row: None if row["b"] is None else not row["b"], "bool"),
}
WINDOWS = [
    *(tw.Sliding(over) for over in ("90m", "6h", "1d", "7d", "1us", "33h")),
    *(tw.Sliding(over, hop=hop) for over, hop in (("90m", "5m"), ("6h", "1h"), ("7d", "1d"), ("2d", "6h"))),
    *(tw.Tumbling(over) for over in ("1h", "1d", "2d", "7d")),
    *(tw.ToDate(over) for over in ("1h", "1d", "7d")),
    tw.Unbounded(),
]
ZONES = (None, None, "Europe/Berlin", "America/New_York", "Asia/Kathmandu")
# Round changes of the clocks in those zones, and round the epoch, where times turn negative.
STARTS = ("2024-03-28T00:00:00Z", "2024-11-01T00:00:00Z", "1969-12-29T00:00:00Z", "2013-01-01T00:00:00Z")
KEYS = ("", "a", "ключ", "日本 🗾")
STRANGER = "nobody"


@dataclass
class Case:
    """A view, its rows in the order of their arrival, and what is asked while they arrive and afterwards."""

    features: dict
    settings: dict
    batches: list[list[dict]]
    # Questions after each batch, all before the next one arrives: pairs of key and time.
    meanwhile: list[list[tuple[str, int]]]
    afterwards: list[tuple[str, int]]

    def project(self, views):
        return project(self.features, COLUMNS | self.settings.get("columns", {}), views=views, **self.rest())

    def rest(self):
        return {name: value for name, value in self.settings.items() if name != "columns"}


def draw(chance, rows=120, questions=40):
    settings = draw_settings(chance)
    features = draw_features(chance, settings.get("change", False), settings.get("nan") == "keep")
    if any(isinstance(window, tw.Unbounded) for feature in features.values() for window in feature.windows):
        # A window without an end keeps everything, and does not go with a declared retention.
        settings["retention"] = None
    start = micros(chance.choice(STARTS))
    drawn = draw_rows(chance, rows, start, settings)
    batches = split(chance, drawn)
    meanwhile = [between(chance, batches, at) for at in range(len(batches))]
    # Without a declared retention, state older than the longest window is gone, and only the present can be asked for.
    declared = settings["retention"] is not None
    afterwards = draw_questions(chance, questions, drawn, features) if declared else []
    return Case(features, settings, batches, meanwhile, afterwards)


def draw_settings(chance):
    settings = {"nan": chance.choice(("skip", "skip", "keep")), "time_zone": chance.choice(ZONES)}
    if chance.random() < 0.3:
        settings["change"] = True
    elif chance.random() < 0.4:
        settings["columns"] = {"id": tw.int64}
        settings["source"] = {"dedup": tw.Dedup(["id"], within="1h")}
    if chance.random() < 0.3:
        settings["filter"] = chance.choice(list(EXPRESSIONS))
    if chance.random() < 0.3:
        settings["staleness"] = chance.choice(("1h", "1d"))
    settings["retention"] = "400d"
    if chance.random() < 0.3:
        settings["retention"] = None
    return {name: value for name, value in settings.items() if value is not None or name == "retention"}


def draw_features(chance, change, keep_nan):
    names = [name for name in INPUTS if not (change and name == "approx_distinct")]
    features = {}
    for at, name in enumerate(chance.sample(names, 9)):
        taken = chance.choice(INPUTS[name])
        # What a quantile among NaN is, the rule book leaves open.
        taken = "i" if name == "approx_quantile" and keep_nan else taken
        options = {"over": chance.sample(WINDOWS, chance.choice((1, 1, 2)))}
        if chance.random() < 0.25:
            options["where"] = chance.choice(list(EXPRESSIONS))
        if chance.random() < 0.2:
            options["by"] = chance.choice(("c", "s", "b", "j"))
        if name.endswith("_k"):
            options["k"] = chance.choice((1, 2, 5))
        if name == "approx_quantile":
            options.update(quantile=chance.choice((0.0, 0.5, 0.9, 1.0)), relative_error=chance.choice((0.01, 0.05)))
        if name in ("var", "std"):
            options["ddof"] = chance.choice((0, 1))
        features[f"{name}_{at}"] = getattr(tw, name)(*([taken] if taken else []), **options)
    return features


def draw_rows(chance, count, start, settings):
    """Rows by arrival. Times fall on few moments, so that many are equal and many lie on an edge."""
    extremes = chance.random() < 0.5
    rows = []
    for _ in range(count):
        time = (
            start
            + chance.choice((5 * MINUTE, HOUR, 6 * HOUR, DAY)) * chance.randrange(40)
            + chance.choice((0, 0, -1, 1))
        )
        late = chance.choice((0, 0, 1, MINUTE, HOUR, 2 * DAY, -HOUR))
        rows.append({"key": chance.choice(KEYS), "at": time, "known_at": time + late, **draw_values(chance, extremes)})
    if "columns" in settings:
        for row in rows:
            row["id"] = chance.randrange(30)
    rows += [dict(row) for row in chance.sample(rows, count // 10)]
    chance.shuffle(rows)
    rows.sort(key=lambda row: row["known_at"])
    return with_changes(chance, rows) if settings.get("change") else rows


def with_changes(chance, rows):
    """The same rows as a table's changes: each inserts a new identity, or updates or deletes one that is there."""
    alive, changes = [], []
    for at, row in enumerate(rows):
        op = chance.choice(("insert", "insert", "update", "delete")) if alive else "insert"
        identity = at if op == "insert" else chance.choice(alive)
        if op == "insert":
            alive.append(identity)
        if op == "delete":
            alive.remove(identity)
        changes.append({**row, "id": identity, "op": op})
    return changes


def draw_values(chance, extremes):
    def some(*values):
        return None if chance.random() < 0.1 else chance.choice(values)

    far = (1e308, -1e308, 5e-324) if extremes else (1e6,)
    ends = (2**63 - 1, 2**63 - 1, -(2**63), -(2**63), 2**53 + 1) if extremes else (1000,)
    cents = (Decimal("9999999999.99"), Decimal("-9999999999.99")) if extremes else (Decimal("12.34"),)
    return {
        "f": some(
            0.1, 0.2, -0.3, 0.0, -0.0, chance.gauss(0, 100), chance.gauss(0, 100), math.nan, math.inf, -math.inf, *far
        ),
        "g": some(0.5, -1.25, 0.0, math.nan, 3.0, 16777216.0),
        "i": some(0, 1, 2, -3, chance.randrange(-50, 50), *ends),
        "j": some(0, 7, -(2**31), 2**31 - 1),
        "d": some(Decimal("0.10"), Decimal("-0.05"), Decimal(chance.randrange(10000)) / 100, *cents),
        "s": some("", "a", "é", "ﬀ", "日本", "🗾", "a\u0000b", ' "quoted\\" '),
        "c": some("p", "q", ""),
        "b": some(True, False),
        "w": some(0, -1, micros("2024-02-29T12:00:00.000001Z")),
    }


def split(chance, rows):
    cuts = sorted(chance.sample(range(1, len(rows)), 3))
    batches = [rows[low:high] for low, high in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    for batch in batches[:-1]:
        # Changes stay in their order, which is what they mean.
        if "op" not in batch[0]:
            chance.shuffle(batch)
    return batches


def between(chance, batches, at):
    """Questions that serving can be asked between two batches: not before its clock, not after the next arrival."""
    seen = [row for batch in batches[: at + 1] for row in batch]
    now = max(max(row["at"], row["known_at"]) for row in seen)
    until = min((row["known_at"] for batch in batches[at + 1 :] for row in batch), default=now + 30 * DAY)
    moments = {time for time in (now, now + 1, now + 90 * MINUTE, now + DAY, until - 1, until) if now <= time <= until}
    return [(chance.choice((*KEYS, STRANGER)), time) for time in sorted(moments) for _ in range(2)]


def draw_questions(chance, count, rows, features):
    """Questions at, just before and just after the moments at which an answer can change."""
    reaches = [
        duration(window.over) for feature in features.values() for window in feature.windows if hasattr(window, "over")
    ]
    questions = []
    for _ in range(count):
        row = chance.choice(rows)
        moment = chance.choice((row["at"], row["known_at"]))
        moment += chance.choice((0, 0, *reaches))
        moment -= chance.choice((0, 0, moment % HOUR, moment % DAY))
        key = chance.choice((row["key"], row["key"], row["key"], chance.choice((*KEYS, STRANGER))))
        questions.append((key, moment + chance.choice((-1, 0, 1))))
    return questions
