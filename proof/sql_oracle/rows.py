"""Draws rows and questions from a seed: equal times, edges of windows, late and doubled rows, a few busy entities."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .declared import COLUMNS, DAY, HOUR, INSTANT, KEY_TYPES, Definitions, Source, Window, micros
from .edges import floor
from .lines import Push

# Before changes of the clocks in the zones that are drawn, and round the epoch, where times turn negative.
STARTS = ("2024-02-20", "2023-10-01", "2023-04-10", "1969-12-01", "2011-12-10", "2010-10-20")
WORDS = ("", "a", "ab", "é", "ﬀ", "日本", "🗾", "z z", "Z", "a\u0000b")
HIDDEN = 0.07


@dataclass(frozen=True)
class Size:
    """How large a round is: from the least to the most of each."""

    events: tuple[int, int]
    questions: tuple[int, int]
    outputs: tuple[int, int]
    wide: tuple[int, int]
    pushes: tuple[int, int]
    # Keys in a live read.
    live: int
    # Pairs of a question and a row of its entity that one join may look at.
    pairs: int


Rng = np.random.Generator


@dataclass(frozen=True)
class Drawn:
    """What is sent in a round, and the keys that could have been."""

    pushes: list[Push]
    pools: dict[str, pa.Array]


def draw_pushes(rng: Rng, definitions: Definitions, size: Size) -> Drawn:
    """Rows in the order of the log, pushed source by source in turns."""
    count = log_uniform(rng, *size.events)
    start = moment(rng.choice(STARTS))
    span = int(rng.integers(20, 120)) * DAY
    pools = {name: key_pool(kind, 20 + count // 40 if name == "k1" else 30) for name, kind in definitions.keys.items()}
    share = rng.random(count) < (0.5 if len(definitions.sources) > 1 else 1.0)
    parts = [
        draw_source(rng, source, int((share == (n == 0)).sum()), start, span, pools)
        for n, source in enumerate(definitions.sources)
    ]
    logged = [part["order"].to_numpy() for part in parts]
    cuts = np.sort(rng.choice(np.concatenate(logged), int(rng.integers(*size.pushes)), replace=False))
    pushes: list[Push] = []
    place = 0
    for low, high in zip([np.iinfo(np.int64).min, *cuts], [*cuts, np.iinfo(np.int64).max], strict=True):
        for source, part, order in zip(definitions.sources, parts, logged, strict=True):
            rows = part.slice(*stretch(order, low, high)).drop_columns(["order"])
            if rows.num_rows:
                pushes.append(Push(source.name, rows.append_column("seq", pa.array(np.arange(rows.num_rows) + place))))
                place += rows.num_rows
    return Drawn(pushes, pools)


def stretch(order: np.ndarray, low: int, high: int) -> tuple[int, int]:
    begin, end = np.searchsorted(order, [low, high])
    return int(begin), int(end - begin)


def draw_source(rng: Rng, source: Source, count: int, start: int, span: int, pools: dict[str, pa.Array]) -> pa.Table:
    """A source's rows, with the column `order` by which they ascend in the log."""
    t = draw_times(rng, count, start, span)
    late = draw_lateness(rng, count)
    identity = np.arange(count)
    first = np.arange(count)
    if source.within:
        # Rows are sent again while their keys are remembered, as far away in time as duplicates may be, or just past.
        within = micros(source.within)
        first = rng.choice(np.flatnonzero(late < DAY), count // 20, replace=False)
        apart = rng.choice([0, 0, within // 3, within, within + 1], len(first)) * rng.choice([-1, 1], len(first))
        t = np.concatenate([t, t[first] + apart])
        late = np.concatenate([late, late[first] + rng.integers(0, HOUR, len(first))])
        identity = np.concatenate([identity, first])
        first = np.concatenate([np.arange(count), first])
    arrival = t + late
    rows = {"happened_at": pa.array(t, INSTANT), "id": nulls(rng, pa.array(identity), 0.01)}
    for name, pool in pools.items():
        rows[name] = pool.take(nulls(rng, pa.array(zipf(rng, count, used(pool))[first]), 0.003))
    rows.update(draw_values(rng, len(t), source.contract))
    if source.arrives:
        rows["known_at"] = pa.array(arrival, INSTANT)
    order = arrival + rng.integers(0, HOUR, len(t))
    rows["order"] = pa.array(order)
    return pa.table(rows).take(pa.array(np.argsort(order, kind="stable")))


def draw_times(rng: Rng, count: int, start: int, span: int) -> np.ndarray:
    t = start + rng.integers(0, span, count)
    grid = rng.choice([1, 1, 1_000_000, 300_000_000, HOUR, DAY], count)
    t = t - t % grid + rng.choice([0, 0, 0, 0, -1, 1], count)
    # Some at the very moment of another, or a microsecond from it.
    others = rng.integers(0, count, count)
    return np.where(rng.random(count) < 0.15, t[others] + rng.choice([0, 0, 1, -1], count), t)


def draw_lateness(rng: Rng, count: int) -> np.ndarray:
    """Half of the rows arrive at once, some before their time, most others within hours, and a few after weeks."""
    kinds = rng.choice(5, count, p=[0.52, 0.05, 0.33, 0.09, 0.01])
    return np.choose(
        kinds,
        [
            np.zeros(count, np.int64),
            -rng.integers(1, HOUR, count),
            rng.choice([1, 2, 1_000_000, 60_000_000], count),
            rng.integers(0, 6 * HOUR, count),
            rng.integers(0, 60 * DAY, count),
        ],
    )


def draw_values(rng: Rng, count: int, contract: bool) -> dict[str, pa.Array]:
    small = np.where(rng.random(count) < 0.5, rng.integers(-5, 6, count), rng.integers(-2000, 2001, count))
    if contract:
        small = np.where(rng.random(count) < 0.002, 2001 + rng.integers(0, 9, count), small)
    near = rng.integers(-1000, 1000, count)
    values = {
        "i": np.where(rng.random(count) < 0.6, near, rng.integers(-(2**40), 2**40, count)),
        "j": small,
        "big": np.where(rng.random(count) < 0.5, near, rng.integers(-(2**62), 2**62, count)),
        "f": odd(rng, np.where(rng.random(count) < 0.5, near * 1024, rng.integers(-(2**30), 2**30, count)) / 2**10),
        # Of any size and with all of their 53 digits, so that sums have to be rounded.
        "g": (rng.integers(-(2**53), 2**53, count) >> rng.integers(0, 45, count)) / 2**40,
        "h": odd(rng, rng.integers(-(2**20), 2**20, count) / 2**3).astype(np.float32),
        "s": np.array(WORDS, object)[zipf(rng, count, len(WORDS))],
        "c": np.array(["p", "q", "r", ""], object)[rng.integers(0, 4, count)],
        "b": rng.random(count) < 0.5,
        "w": moment("2024-02-29") + rng.integers(-3, 4, count) * DAY,
        "o": rng.integers(-10, 20_000, count) // 500 * 500,
    }
    made = {
        name: nulls(rng, pa.array(column).cast(COLUMNS[name][1]), HIDDEN)
        for name, column in values.items()
        if name != "o"
    }
    made["o"] = nulls(rng, pa.array(values["o"].astype(np.int32)).cast(pa.date32()), HIDDEN)
    made["d"] = nulls(rng, hundredths(rng.integers(-(10**7), 10**7, count)), HIDDEN)
    return made


def odd(rng: Rng, values: np.ndarray) -> np.ndarray:
    """The same with some that are no numbers."""
    chance = rng.random(len(values))
    values = np.where(chance < 0.01, np.nan, values)
    return np.where(chance > 0.99, np.where(chance > 0.995, np.inf, -np.inf), values)


def used(pool: pa.Array) -> int:
    """How many keys of a pool have rows; the last few are strangers."""
    return max(1, len(pool) * 19 // 20)


def hundredths(cents: np.ndarray, digits: int = 12, scale: int = 2) -> pa.Array:
    words = np.stack([cents, cents >> 63], axis=1).astype(np.int64)
    return pa.Array.from_buffers(pa.decimal128(digits, scale), len(cents), [None, pa.py_buffer(words.tobytes())])


def nulls(rng: Rng, values: pa.Array, share: float) -> pa.Array:
    hidden = pa.array(rng.random(len(values)) < share)
    return pc.if_else(hidden, pa.scalar(None, values.type), values)


def key_pool(kind: str, count: int) -> pa.Array:
    """Distinct keys of a type; the first are the busy ones."""
    numbers = np.arange(count)
    if kind == "string":
        return pa.array([*WORDS[:count], *(f"key {n}" for n in numbers[len(WORDS) :])])
    if kind == "int64":
        ends = [2**63 - 1, -(2**63), 0]
        return pa.array([*ends[:count], *(numbers[3:] * 7_919_000_001).tolist()], pa.int64())
    if kind == "decimal":
        return hundredths(numbers * 37 - 500, 10, 3)
    if kind == "bool":
        return pa.array([True, False])
    if kind == "timestamp":
        return pa.array(moment("1999-12-31") + numbers * 500_000_001, INSTANT)
    return pa.array((numbers - count // 2).astype(np.int32)).cast(KEY_TYPES[kind][1])


def draw_spine(rng: Rng, definitions: Definitions, drawn: Drawn, size: Size) -> pa.Table:
    """Questions at, before and after the moments at which an answer can change, for busy and for rare entities."""
    rows = pa.concat_tables([push.rows.select([*definitions.keys, "happened_at"]) for push in drawn.pushes])
    count = log_uniform(rng, *size.questions)
    rows = rows.take(pa.array(rng.integers(0, rows.num_rows, count)))
    q = rows["happened_at"].cast(pa.int64()).to_numpy()
    windows = [window for view in definitions.views for feature in view.features for window in feature.windows]
    q = q + np.where(rng.random(count) < 0.3, draw_lateness(rng, count), 0) + shift(rng, windows, count)
    zones = [view.time_zone for view in definitions.views]
    aligned = rng.random(count)
    q = np.where(aligned < 0.1, floor(q, HOUR, None), q)
    q = np.where(aligned > 0.85, floor(q, DAY, zones[int(rng.integers(len(zones)))]), q) + rng.choice([-1, 0, 1], count)
    spine = {}
    for name, pool in drawn.pools.items():
        others = pool.take(pa.array(rng.integers(0, len(pool), count)))
        spine[name] = pc.if_else(pa.array(rng.random(count) < 0.1), others, rows[name].combine_chunks())
    spine["asked_at"] = pa.array(q, INSTANT)
    spine["place"] = pa.array(np.arange(count))
    return pa.table(spine)


def draw_live(rng: Rng, drawn: Drawn, most: int) -> pa.Table:
    """Keys to be read live: of all rows, and some of strangers."""
    rows = pa.concat_tables([push.rows.select(list(drawn.pools)) for push in drawn.pushes])
    known = rows.group_by(rows.column_names).aggregate([])
    known = known.take(pa.array(rng.permutation(known.num_rows)[:most]))
    strangers = pa.table({name: pool.take(pa.array([len(pool) - 1] * 3)) for name, pool in drawn.pools.items()})
    return pa.concat_tables([known, strangers])


def shift(rng: Rng, windows: list[Window], count: int) -> np.ndarray:
    """By nothing, or by the length of a window: where a row leaves it."""
    lengths = np.array([0, 0, 0, *(micros(window.over) for window in windows if window.over)])
    return lengths[rng.integers(0, len(lengths), count)]


def zipf(rng: Rng, count: int, kinds: int) -> np.ndarray:
    """Places from 0, the first ones far more often than the last."""
    weights = 1.0 / np.arange(1, kinds + 1) ** 0.9
    return np.searchsorted(np.cumsum(weights) / weights.sum(), rng.random(count)).clip(0, kinds - 1)


def log_uniform(rng: Rng, least: int, most: int) -> int:
    return round(float(np.exp(rng.uniform(np.log(least), np.log(most)))))


def moment(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000
