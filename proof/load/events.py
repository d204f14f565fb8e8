"""The rows of the soak: a stream that can be made again from its seed, and what has to come of it, counted naively.

Batch `n` has all events of its own stretch of event time, and rows arrive when they happen, so that batches may be
taken in any order. New entities keep coming, and each is active for a while only. Among the rows are repeated ones,
some that the source filters out, and some that break its contract.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

import thalweg as tw

HOUR = 3_600_000_000
DAY = 24 * HOUR
BEGIN = 1_700_000_000_000_000 // DAY * DAY
ROWS = 10_000
# Event time that a batch covers.
STRETCH = 2 * HOUR
WINDOW = DAY
# Rows after which an entity is no longer drawn, and how many of them there are at a time.
ENTITIES_OF_BATCH = 2_000
ENTITY_AGE = 4
SOURCE = "payments"
SERVICE = "watched"
FEATURES = ("n", "total", "most", "newest")
PLAIN, REPEATED, FILTERED, BROKEN = 0, 1, 2, 3
AT = pa.timestamp("us", "UTC")


def project() -> tw.Project:
    """What the soak defines: windows of a day, and retention that is a little longer."""
    card = tw.Entity("card", keys={"card": tw.int64})
    payments = tw.EventSource(
        SOURCE,
        schema={
            "id": tw.int64,
            "card": tw.Column(tw.int64, required=True),
            "amount": tw.Column(tw.int64, min=0),
            "test": tw.bool_,
            "at": tw.timestamp,
        },
        timestamp="at",
        arrival_time="at",
        dedup=tw.Dedup(["id"], within="1h"),
        filter="NOT test",
        retention="3d",
    )
    spend = tw.FeatureView(
        "spend",
        entity=card,
        source=payments,
        features={
            "n": tw.count(over="1d"),
            "total": tw.sum("amount", over="1d"),
            "most": tw.max("amount", over="1d"),
            "newest": tw.last("amount", over="1d"),
        },
        retention="2d",
    )
    clicks = tw.DirectFeature("clicks", entity=card, primitive=int, namespace="web")
    return tw.Project("soak", [tw.FeatureService(SERVICE, [spend], log_sample=1.0), clicks])


@dataclass(frozen=True)
class Batch:
    """Rows, and which of them count: `kinds` says what becomes of each."""

    number: int
    cards: np.ndarray
    times: np.ndarray
    amounts: np.ndarray
    kinds: np.ndarray
    ids: np.ndarray

    def count(self, kind: int) -> int:
        return int((self.kinds == kind).sum())

    def as_arrow(self) -> bytes:
        amounts = np.where(self.kinds == BROKEN, -1, self.amounts)
        columns = {
            "id": pa.array(self.ids),
            "card": pa.array(self.cards),
            "amount": pa.array(amounts),
            "test": pa.array(self.kinds == FILTERED),
            "at": pa.array(self.times).cast(AT),
        }
        table = pa.table(columns)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue().to_pybytes()


def batch(seed: int, number: int) -> Batch:
    """The batch of this number."""
    rng = np.random.default_rng([seed, number])
    times = np.sort(rng.integers(0, STRETCH, ROWS)) + BEGIN + number * STRETCH
    newest = (number + 1) * ENTITIES_OF_BATCH
    cards = newest - rng.integers(1, ENTITIES_OF_BATCH * ENTITY_AGE + 1, ROWS)
    ids = np.arange(ROWS, dtype=np.int64) + number * ROWS
    draw = rng.random(ROWS)
    kinds = np.full(ROWS, PLAIN, dtype=np.int8)
    kinds[draw < 0.02] = FILTERED
    kinds[draw < 0.000_02] = BROKEN
    # Repeated rows have the key of an earlier row of the batch, less than an hour before, and a time of their own.
    back = rng.integers(1, 1_000, ROWS)
    meant = np.arange(ROWS) - back
    repeats = (draw > 0.99) & (meant >= 0)
    repeats[repeats] &= (kinds[meant[repeats]] == PLAIN) & (draw[meant[repeats]] <= 0.99)
    kinds[repeats] = REPEATED
    ids[repeats] = ids[meant[repeats]]
    return Batch(number, cards, times, rng.integers(0, 1_000_000, ROWS), kinds, ids)


def expected(batches: list[Batch], cards: np.ndarray, at: int) -> dict[str, list[int | None]]:
    """The features of these cards at a query time, from all rows of the day before it, by plain counting."""
    times = np.concatenate([one.times for one in batches])
    counts = np.concatenate([one.kinds for one in batches]) == PLAIN
    inside = counts & (times < at) & (times >= at - WINDOW)
    known = np.concatenate([one.cards for one in batches])[inside]
    amounts = np.concatenate([one.amounts for one in batches])[inside]
    order = np.argsort(known, kind="stable")
    known, amounts = known[order], amounts[order]
    low, high = np.searchsorted(known, cards, "left"), np.searchsorted(known, cards, "right")
    found: dict[str, list[int | None]] = {name: [] for name in FEATURES}
    for begin, end in zip(low.tolist(), high.tolist(), strict=True):
        own = amounts[begin:end]
        found["n"].append(end - begin)
        found["total"].append(int(own.sum()) if end > begin else None)
        found["most"].append(int(own.max()) if end > begin else None)
        found["newest"].append(int(own[-1]) if end > begin else None)
    return found
