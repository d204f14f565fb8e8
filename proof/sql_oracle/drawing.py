"""Draws definitions from a seed: sources, views and features, leaning to where engines go wrong."""

import random

from .declared import KEY_TYPES, Definitions, Feature, Source, View, Window

NUMBERS = ("i", "j", "big", "f", "g", "h", "d", "ij", "is_p")
ANY = ("i", "j", "big", "f", "g", "h", "d", "s", "c", "b", "w", "o", "ij")
# Zeros have one sign here, but floats with many digits are ordered and rounded as any others.
WIDE_INPUTS = {
    "count": (None, None, *ANY),
    "sum": NUMBERS,
    "mean": NUMBERS,
    "min": tuple(name for name in ANY if name != "b"),
    "max": tuple(name for name in ANY if name != "b"),
    "first": ANY,
    "last": ANY,
}
WIDE_WEIGHTS = {"count": 4, "sum": 6, "mean": 5, "min": 2, "max": 2, "first": 2, "last": 3}
DEEP_INPUTS = {
    "first_k": ("i", "f", "s", "d", "w"),
    "last_k": ("i", "g", "s", "b", "o"),
    "top_k": ("i", "f", "s", "d", "w"),
    "bottom_k": ("j", "g", "s", "o", "big"),
    "distinct_count": ("j", "s", "c", "b", "o", "d", "f"),
    "value_counts": ("s", "c", "b", "fifth"),
    "var": ("f", "j", "d", "h"),
    "std": ("f", "j", "d", "i"),
    "skew": ("j", "is_p"),
    "kurtosis": ("j", "is_p"),
    "latest": ANY,
    **{name: WIDE_INPUTS[name] for name in ("sum", "mean", "min", "last", "count")},
}
MAPPED = ("sum", "mean", "min", "max", "last", "count", "distinct_count", "var")
BY = ("c", "b", "s", "fifth", "o")
CONDITIONS = (
    "i > 0",
    "b",
    "NOT b",
    "late",
    "c = 'p' OR s IS NULL",
    "j % 3 = 0",
    "s LIKE 'a%'",
    "CASE WHEN b THEN i > 10 ELSE j < 0 END",
    "c IN ('q', 'r') AND d IS NOT NULL",
)
WINDOWS = (
    *(Window("sliding", over) for over in ("1us", "1ms", "1m", "1h30m", "6h", "1d", "1d9h", "7d", "30d")),
    *(Window("sliding", over, hop) for over, hop in (("1h30m", "5m"), ("6h", "1h"), ("7d", "1d"), ("30d", "7m"))),
    *(Window("tumbling", over) for over in ("1h", "1d", "2d", "7d")),
    *(Window("to_date", over) for over in ("1h", "1d", "7d", "30d")),
)
UNBOUNDED = Window("unbounded")
# With clocks that are put on at midnight, put back to midnight, by half an hour, and past a whole day.
ZONES = (
    "America/St_Johns",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Africa/Cairo",
    "America/Havana",
    "Australia/Lord_Howe",
    "Pacific/Apia",
)
SUFFICIENT = ("32d", "40d", "400d", "3000d")


def draw_definitions(chance: random.Random, outputs: tuple[int, int], wide: tuple[int, int]) -> Definitions:
    """`outputs` are the least and the most of a view, `wide` of views that are asked at every row of the spine."""
    keys = {"k1": chance.choice([name for name in KEY_TYPES if name != "bool"]), "k2": chance.choice(list(KEY_TYPES))}
    sources = tuple(draw_source(chance, name) for name in ("one", "two")[: chance.choice((1, 2, 2))])
    names = [source.name for source in sources]
    views = [draw_view(chance, f"wide_{n}", names, outputs, deep=False) for n in range(chance.randint(*wide))]
    views += [draw_view(chance, f"deep_{n}", names, (8, 16), deep=True) for n in range(chance.choice((1, 2)))]
    return Definitions(keys, sources, tuple(views))


def draw_source(chance: random.Random, name: str) -> Source:
    return Source(
        name,
        arrives=chance.random() < 0.85,
        within=chance.choice((None, "1m", "1h", "1d")),
        filter=chance.choice((None, None, "i > -900", "c <> 'r' OR b")),
        contract=chance.random() < 0.4,
    )


def draw_view(chance: random.Random, name: str, sources: list[str], outputs: tuple[int, int], deep: bool) -> View:
    windows = chance.sample(WINDOWS, chance.randint(3, 8)) + ([UNBOUNDED] if chance.random() < 0.4 else [])
    wanted, features = chance.randint(*outputs), []
    while wanted > 0:
        feature = draw_feature(chance, len(features), windows, deep)
        features.append(feature)
        wanted -= len(feature.windows)
    endless = any(UNBOUNDED in feature.windows for feature in features)
    return View(
        name,
        keys=chance.choice((("k1",), ("k1",), ("k1", "k2"), ("k2",))),
        sources=tuple(sources if chance.random() < 0.4 else [chance.choice(sources)]),
        features=tuple(features),
        filter=chance.choice((None, None, *CONDITIONS)),
        time_zone=chance.choice((None, *ZONES)),
        # A window without an end keeps everything, and does not go with a declared retention.
        retention=None if endless else chance.choice(SUFFICIENT),
        staleness=chance.choice((None, None, "1h", "3d")) if deep else None,
        deep=deep,
    )


def draw_feature(chance: random.Random, number: int, windows: list[Window], deep: bool) -> Feature:
    if deep:
        aggregation = chance.choice(list(DEEP_INPUTS))
    else:
        aggregation = chance.choices(list(WIDE_WEIGHTS), list(WIDE_WEIGHTS.values()))[0]
    column = chance.choice((DEEP_INPUTS if deep else WIDE_INPUTS)[aggregation])
    mapped = deep and aggregation in MAPPED and chance.random() < 0.6
    return Feature(
        f"{aggregation}_{number}",
        aggregation,
        column,
        windows=tuple(chance.sample(windows, min(len(windows), chance.choice((1, 1, 2, 3))))),
        where=chance.choice(CONDITIONS) if chance.random() < 0.3 else None,
        by=chance.choice(BY) if mapped else None,
        k=chance.choice((1, 3, 10)) if aggregation.endswith("_k") else None,
        ddof=chance.choice((0, 1, 2)) if aggregation in ("var", "std") else None,
    )
