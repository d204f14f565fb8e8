"""Makes a wrong answer small: one feature, one question, and as few rows as give it, on a new engine each time."""

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import thalweg as tw

from .declared import Definitions, Feature, View
from .expected import by_joins, compare
from .lines import Push, Sent

SECONDS = 60.0
SHOWN_ROWS = 40


@dataclass(frozen=True)
class Case:
    """One question to one output; `mode` is `event_time` or `arrival` (of training sets) or `live`."""

    definitions: Definitions
    view: str
    output: str
    pushes: list[Push]
    keys: pa.Table
    q: int
    mode: str


def shrink(case: Case, work: Path) -> str:
    """The smallest case that was found, as text."""
    until = time.monotonic() + SECONDS
    smaller = next((each for each in (only_feature(case), only_view(case)) if fails(each, work)), None)
    if smaller is None:
        return "asked alone, on a new engine, it is what the joins say: repeat the round as a whole"
    case = smaller
    own = only_entity(case)
    if fails(own, work):
        case = own
    while time.monotonic() < until:
        less = fewer_rows(case, work, until)
        if less is case:
            break
        case = less
    return told(case, work)


def only_view(case: Case) -> Case:
    view = next(view for view in case.definitions.views if view.name == case.view)
    sources = tuple(source for source in case.definitions.sources if source.name in view.sources)
    pushes = [push for push in case.pushes if push.source in view.sources]
    return replace(case, definitions=replace(case.definitions, sources=sources, views=(view,)), pushes=pushes)


def only_feature(case: Case) -> Case:
    case = only_view(case)
    view = case.definitions.views[0]
    output = next(output for output in view.outputs if output.name == case.output)
    feature: Feature = replace(output.feature, windows=(output.window,))
    # A window without an end made it keep everything; without that, it still should.
    retention = view.retention or (None if output.window.kind == "unbounded" else "3000d")
    lone: View = replace(view, features=(feature,), retention=retention)
    return replace(case, definitions=replace(case.definitions, views=(lone,)))


def only_entity(case: Case) -> Case:
    keys = case.definitions.views[0].keys
    pushes = []
    for push in case.pushes:
        same = pa.array(np.ones(push.rows.num_rows, bool))
        for name in keys:
            same = pc.and_(same, pc.equal(push.rows[name], case.keys[name][0]).combine_chunks().fill_null(False))
        pushes.append(Push(push.source, push.rows.filter(same)))
    return replace(case, pushes=pushes)


def fewer_rows(case: Case, work: Path, until: float) -> Case:
    """The case without the first stretch of rows that it does not need, trying long ones first."""
    places = np.concatenate([push.rows["seq"].to_numpy() for push in case.pushes])
    size = len(places) // 2
    while size > 0:
        for begin in range(0, len(places), size):
            if time.monotonic() > until:
                return case
            without = pa.array(places[begin : begin + size])
            pushes = [Push(p.source, p.rows.filter(pc.invert(pc.is_in(p.rows["seq"], without)))) for p in case.pushes]
            less = replace(case, pushes=pushes)
            if fails(less, work):
                return less
        size //= 2
    return case


def fails(case: Case, work: Path) -> bool:
    return bool(answers(case, work)[0])


def answers(case: Case, work: Path) -> tuple[bool, object, object]:
    """Whether the product is wrong; what it should say, and what it says."""
    shutil.rmtree(work, ignore_errors=True)
    service = "deep" if case.definitions.views[0].deep else "wide"
    pushes = [push for push in case.pushes if push.rows.num_rows]
    with tw.Engine(work, clock="events") as engine:
        engine.apply(case.definitions.project())
        for push in pushes:
            engine.push(push.source, push.sent, backfill="known_at" not in push.rows.column_names)
        if case.mode == "live":
            moment = str(np.datetime64(case.q, "us")) + "Z"
            table = engine.features_table(service, case.keys.select(list(case.definitions.views[0].keys)), as_of=moment)
        else:
            spine = case.keys.append_column("asked_at", pa.array([case.q], pa.timestamp("us", "UTC")))
            made = engine.training_set(
                service, spine, timestamp="asked_at", as_of=case.mode, statuses=True, progress=False
            )
            table = made.to_arrow()
    line = Sent(case.definitions, case.pushes).line(case.definitions.views[0])
    asked = line.ask(case.keys, np.array([case.q]))
    for _, output, expected in by_joins(asked, [case.mode != "event_time"]):
        if output.name == case.output:
            name = f"{case.view}__{case.output}"
            wrong = compare(expected, table[name], table[f"{name}__status"]).wrong
            given = (table[name][0].as_py(), table[f"{name}__status"][0].as_py())
            return len(wrong) > 0, expected.answer(0), given
    raise LookupError(case.output)


def told(case: Case, work: Path) -> str:
    _, should, says = answers(case, work)
    view = case.definitions.views[0]
    rows = [(push.source, row) for push in case.pushes for row in push.rows.to_pylist()]
    shown = [f"  {source} {row}" for source, row in rows[:SHOWN_ROWS]]
    if len(rows) > SHOWN_ROWS:
        shown.append(f"  and {len(rows) - SHOWN_ROWS} more")
    return "\n".join(
        [
            f"should be {should}, is {says}: {case.view}.{case.output}, {case.mode}, of {case.keys.to_pylist()[0]}",
            f"at {case.q} ({np.datetime64(case.q, 'us')}Z), from {len(rows)} rows",
            f"  {view}",
            *(f"  {source}" for source in case.definitions.sources),
            *shown,
        ]
    )
