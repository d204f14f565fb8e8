"""Training sets and live reads over large random tables are what DuckDB says they are, value for value, to the bit."""

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

import thalweg as tw
from proof.budget import Budget
from proof.outcome import Outcome
from proof.sql_oracle.declared import Definitions, Output, View
from proof.sql_oracle.drawing import draw_definitions
from proof.sql_oracle.expected import Expected, by_joins, by_running_sums, compare, equal
from proof.sql_oracle.lines import Asked, Sent
from proof.sql_oracle.rows import Drawn, Size, draw_live, draw_pushes, draw_spine
from proof.sql_oracle.shrinking import Case, shrink

UNIT = "values compared"
SECONDS, LONG_SECONDS = 120, 3600

LARGE = Size(
    events=(50_000, 300_000),
    questions=(20_000, 100_000),
    outputs=(10, 40),
    wide=(2, 4),
    pushes=(20, 60),
    pairs=1_500_000,
    live=20_000,
)
SMALL = Size(
    events=(3_000, 8_000),
    questions=(3_000, 6_000),
    outputs=(10, 30),
    wide=(2, 3),
    pushes=(6, 12),
    pairs=100_000,
    live=1_000,
)
# Later than this a view still holds every row that was drawn, so that reads at past times are answered.
KEEPS_ALL = ("400d", "3000d")
MOST_SHRUNK = 3


@dataclass
class Tally:
    """What was compared, and what was not as it should be."""

    values: int = 0
    broken: list[str] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)

    def note(self, name: str, count: int = 1) -> None:
        self.notes[name] = self.notes.get(name, 0) + count


@dataclass(frozen=True)
class Reading:
    """Answers of the product: of a service, for the keys and query times of each row, from the log up to a place."""

    service: str
    mode: str
    keys: pa.Table
    q: np.ndarray
    answers: pa.Table
    before: int | None = None

    @property
    def arrival(self) -> bool:
        return self.mode != "event_time"


@dataclass(frozen=True)
class Manner:
    """How the engine is treated while it is asked."""

    memory: str | None
    reopen: bool
    flush: bool
    later: str | None


def run(budget: Budget) -> Outcome:
    """Plays rounds until the time is up, one at least."""
    tally, number = Tally(), 0
    # A round that would for the most part lie behind the end is not begun.
    while number == 0 or (budget.left() > budget.spent() / number / 2 and not tally.broken):
        seed = budget.seed + number
        repeat = f"python -m proof tables --seed {seed} --seconds 1"
        play(seed, LARGE, budget.work / f"round-{number}", tally, repeat, budget.say)
        number += 1
        budget.say(f"{tally.values} values compared in {number} rounds, {len(tally.broken)} broken")
    return Outcome(tally.values, UNIT, tally.broken, {"rounds": number, **tally.notes})


def play(
    seed: int, size: Size, work: Path, tally: Tally, repeat: str, say: Callable[[str], None] = lambda _: None
) -> None:
    """One round: draws, pushes, asks on every path, and compares."""
    work.mkdir(parents=True, exist_ok=True)
    one = Round(seed, size, work, tally, repeat, say)
    try:
        one.play()
    finally:
        one.close()
        shutil.rmtree(work, ignore_errors=True)


class Round:
    """A round's definitions, rows and questions, all from its seed, and the engine that is asked."""

    def __init__(self, seed: int, size: Size, work: Path, tally: Tally, repeat: str, say: Callable[[str], None]):
        self.size, self.work, self.tally, self.repeat, self.say = size, work, tally, repeat, say
        chance = random.Random(f"tables {seed}")
        self.rng = np.random.default_rng(seed)
        self.definitions: Definitions = draw_definitions(chance, size.outputs, size.wide)
        self.drawn: Drawn = draw_pushes(self.rng, self.definitions, size)
        self.spine = draw_spine(self.rng, self.definitions, self.drawn, size)
        self.manner = draw_manner(chance, self.definitions)
        self.sent = Sent(self.definitions, self.drawn.pushes)
        self.engine: tw.Engine | None = None
        self.open()

    def open(self) -> None:
        self.close()
        self.engine = tw.Engine(self.work / "data", clock="events", memory=self.manner.memory)

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()
            self.engine = None

    def play(self) -> None:
        readings = [*self.push_and_read(), *self.read_live(), *self.make_training_sets()]
        self.hold_ledgers()
        for view in self.definitions.views:
            self.say(f"round of {self.sent.total} rows: {view.name}, {self.tally.values} values compared so far")
            for before in {reading.before for reading in readings}:
                line = self.sent.line(view, before)
                for reading in readings:
                    if reading.before == before and reading.service == service_of(view) and self.has(reading, view):
                        self.hold(view, reading, line.ask(reading.keys, reading.q))

    # What the product says

    def push_and_read(self) -> Iterator[Reading]:
        """Pushes everything; half-way, the engine is read, and perhaps opened anew."""
        self.engine.apply(self.definitions.project(without=self.manner.later))
        half = len(self.drawn.pushes) // 2
        for number, push in enumerate(self.drawn.pushes):
            backfill = "known_at" not in push.rows.column_names
            self.engine.push(push.source, push.sent, backfill=backfill)
            if self.manner.flush:
                self.engine.flush()
            if number == half:
                yield from self.read_halfway(int(push.rows["seq"][-1].as_py()) + 1)
                if self.manner.reopen:
                    self.open()
        if self.manner.later:
            self.engine.apply(self.definitions.project())
            self.tally.note("views applied later")

    def read_halfway(self, before: int) -> Iterator[Reading]:
        keys = draw_live(self.rng, self.drawn, self.size.live // 4)
        for service in ("wide", "deep"):
            yield self.live(service, keys, None, before)

    def read_live(self) -> Iterator[Reading]:
        """All entities now and later; and at a time that has passed, where no view has let go of rows."""
        newest = self.sent.newest()
        moments: list[int | None] = [None, newest + 1 + int(self.rng.integers(0, 40)) * 3_600_000_000]
        # A window without an end folds old rows, and then says `ERROR` of times before what it has folded.
        if all(view.retention in KEEPS_ALL for view in self.definitions.views):
            moments.append(newest - int(self.rng.integers(1, 20 * 86_400)) * 1_000_000)
        for moment in moments:
            keys = draw_live(self.rng, self.drawn, self.size.live)
            for service in ("wide", "deep"):
                reading = self.live(service, keys, moment)
                if moment is None:
                    self.hold_clock(reading, newest)
                yield reading

    def live(self, service: str, keys: pa.Table, moment: int | None, before: int | None = None) -> Reading:
        as_of = None if moment is None else as_text(moment)
        views = [view for view in self.definitions.views if service_of(view) == service]
        needed = {key for view in views if before is None or view.name != self.manner.later for key in view.keys}
        answers = self.engine.features_table(service, keys.select(sorted(needed)), as_of=as_of)
        asked_at = as_micros(answers.schema.metadata[b"as_of"].decode())
        if moment is not None and asked_at != moment:
            self.tally.broken.append(f"{self.repeat}: a read as of {moment} was answered as of {asked_at}")
        self.tally.note("live reads", keys.num_rows)
        return Reading(service, "live", keys, np.full(keys.num_rows, asked_at), answers, before)

    def make_training_sets(self) -> Iterator[Reading]:
        deep = self.spine.take(pa.array(self.deep_rows()))
        twice = int(self.rng.integers(4))
        late: dict[str, tuple[dict[str, int], pa.Table]] = {}
        for number, (service, mode) in enumerate(
            (service, mode) for service in ("wide", "deep") for mode in ("event_time", "arrival")
        ):
            spine = self.spine if service == "wide" else deep
            made = self.training_set(service, mode, spine)
            if number == twice:
                self.hold_made_twice(service, mode, spine, made)
            answers = made.to_arrow()
            if not answers.select(spine.column_names).equals(spine):
                self.tally.broken.append(f"{self.repeat}: {service} by {mode}: the spine came back changed")
            late[mode] = ({each["name"]: each["late_changed"] for each in made.report["features"]}, answers)
            if mode == "arrival":
                self.hold_late_changed(*late["event_time"], *late["arrival"])
            yield Reading(service, mode, spine, spine["asked_at"].cast(pa.int64()).to_numpy(), answers)
            self.tally.note("rows of training sets", spine.num_rows)

    def training_set(self, service: str, mode: str, spine: pa.Table) -> tw.TrainingSetResult:
        return self.engine.training_set(service, spine, timestamp="asked_at", as_of=mode, statuses=True, progress=False)

    def deep_rows(self) -> np.ndarray:
        """The rows of the spine that deep views are asked at: as many as joins can answer, rare entities and busy."""
        q = self.spine["asked_at"].cast(pa.int64()).to_numpy()
        costs = np.ones(len(q), np.int64)
        for view in self.definitions.views:
            if view.deep:
                line = self.sent.line(view)
                costs += line.sizes[line.ask(self.spine, q).e]
        return affordable(self.rng, costs, self.size.pairs)

    # What they should say

    def has(self, reading: Reading, view: View) -> bool:
        """Whether the view was declared when the reading was made."""
        return reading.before is None or view.name != self.manner.later

    def hold(self, view: View, reading: Reading, asked: Asked) -> None:
        """Compares all outputs of a view in a reading: everywhere by running sums, at some rows literally."""
        every = np.arange(len(asked))
        for _, output, expected in by_running_sums(asked, [reading.arrival]):
            self.compare(view, output, reading, every, expected)
        some = affordable(self.rng, line_costs(asked), self.size.pairs // 2)
        for _, output, expected in by_joins(asked.part(some), [reading.arrival]):
            self.compare(view, output, reading, some, expected)

    def compare(self, view: View, output: Output, reading: Reading, rows: np.ndarray, expected: Expected) -> None:
        name = f"{view.name}__{output.name}"
        given = (reading.answers[name], reading.answers[f"{name}__status"])
        if len(rows) < reading.answers.num_rows:
            given = tuple(column.take(pa.array(rows)) for column in given)
        compared = compare(expected, *given)
        self.tally.values += compared.count
        for status, count in compared.statuses.items():
            self.tally.note(status, count)
        if len(compared.wrong):
            self.report(view, output, reading, rows, compared.wrong, expected)

    def report(
        self, view: View, output: Output, reading: Reading, rows: np.ndarray, bad: np.ndarray, expected: Expected
    ) -> None:
        if len(self.tally.broken) >= MOST_SHRUNK:
            return
        case = Case(
            self.definitions,
            view.name,
            output.name,
            self.drawn.pushes if reading.before is None else until(self.drawn.pushes, reading.before),
            reading.keys.select(list(self.definitions.keys)).slice(int(rows[bad[0]]), 1),
            int(reading.q[rows[bad[0]]]),
            reading.mode,
        )
        self.say(f"shrinking {view.name}.{output.name}")
        name, row = f"{view.name}__{output.name}", int(rows[bad[0]])
        given = reading.answers[name][row].as_py(), reading.answers[f"{name}__status"][row].as_py()
        self.tally.broken.append(
            f"{self.repeat}\n{len(bad)} values of {view.name}.{output.name}, {reading.mode}, {self.manner}\n"
            + f"first: should be {expected.answer(int(bad[0]))}, is {given}\n"
            + shrink(case, self.work / "shrinking")
        )

    def hold_made_twice(self, service: str, mode: str, spine: pa.Table, made: tw.TrainingSetResult) -> None:
        """The same inputs give the same bytes, also where the file is gone and the engine was opened anew."""
        file = self.work / "data" / "training" / f"{made.report['id']}.parquet"
        first = file.read_bytes()
        file.unlink()
        self.open()
        again = self.training_set(service, mode, spine)
        if again.report["id"] != made.report["id"] or file.read_bytes() != first:
            self.tally.broken.append(f"{self.repeat}: {service} by {mode}, made twice, is not the same bytes")
        self.tally.note("sets made twice")

    def hold_late_changed(
        self, says: dict[str, int], by_event_time: pa.Table, also_says: dict[str, int], by_arrival: pa.Table
    ) -> None:
        """Both reports say in how many rows late data makes a difference."""
        for name, count in says.items():
            column = name.replace(".", "__")
            same = equal(by_event_time[column].combine_chunks(), by_arrival[column].combine_chunks())
            found = int((~same).sum())
            if (found, found) != (count, also_says[name]):
                text = f"late data changes {found} rows of {name}; the reports say {count} and {also_says[name]}"
                self.tally.broken.append(f"{self.repeat}: {text}")
            self.tally.note("values that late data changed", found)

    def hold_ledgers(self) -> None:
        for source in self.definitions.sources:
            expected, ledger = self.sent.ledger(source.name), self.engine.ledger(source.name)
            given = {name: ledger[name] for name in expected}
            if given != expected:
                self.tally.broken.append(f"{self.repeat}: the ledger of {source.name} is {given}, not {expected}")

    def hold_clock(self, reading: Reading, newest: int) -> None:
        if reading.q[0] != newest + 1:
            text = f"a read of now was of {reading.q[0]}, not of one microsecond past {newest}"
            self.tally.broken.append(f"{self.repeat}: {text}")


def draw_manner(chance: random.Random, definitions: Definitions) -> Manner:
    by_service = [[view.name for view in definitions.views if view.deep == deep] for deep in (False, True)]
    # A service with one view would be gone without it.
    spared = [name for names in by_service if len(names) > 1 for name in names]
    return Manner(
        memory=chance.choice((None, None, "1MB", "8MB")),
        reopen=chance.random() < 0.4,
        flush=chance.random() < 0.3,
        later=chance.choice(spared) if spared and chance.random() < 0.4 else None,
    )


def affordable(rng: np.random.Generator, costs: np.ndarray, pairs: int) -> np.ndarray:
    """Rows whose costs come to less than `pairs`: half of that for cheap ones, half for whatever comes."""
    order = rng.permutation(len(costs))
    cheap = order[costs[order] <= 200]
    chosen = [each[np.cumsum(costs[each]) <= pairs // 2] for each in (cheap, order)]
    return np.unique(np.concatenate(chosen))


def line_costs(asked: Asked) -> np.ndarray:
    return asked.line.sizes[asked.e] + 1


def until(pushes: list, before: int) -> list:
    return [push for push in pushes if push.rows["seq"][-1].as_py() < before]


def service_of(view: View) -> str:
    return "deep" if view.deep else "wide"


def as_text(moment: int) -> str:
    return str(np.datetime64(moment, "us")) + "Z"


def as_micros(text: str) -> int:
    return int(np.datetime64(text.removesuffix("Z"), "us").astype(np.int64))
