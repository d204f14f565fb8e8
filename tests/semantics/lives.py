"""What befalls an engine in a case, step by step, with every answer of every path held against the oracle.

An answer that was served is held once against the oracle. Whatever comes after (a restart, a checkpoint, state on the
disk, another definition and back, the same view built from history, training sets) has to give it again, to the bit.
"""

import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import cache

import pyarrow as pa

import thalweg as tw

from .cases import EXPRESSIONS, LATER, SERVICE, VIEW, on_demand_outputs, project
from .oracle import Oracle, Read, suffix
from .values import canonical_key, form, micros, output_type
from .world import arrow_type, contains_bound, within

FUNCTIONS = {sql: function for sql, (function, _type) in EXPRESSIONS.items()}
PARTS = ("read", "applied", "deduplicated", "filtered", "quarantined")
# Answers that are asked again at each occasion, spread over all that were served.
AGAIN = 240
BEFORE_ALL = -(2**63)


class Disagreement(AssertionError):
    """Two paths differ. `feature` and `question` say where; `kind` is what a smaller case has to fail with, too."""

    def __init__(self, kind, text, feature=None, question=None):
        super().__init__(text)
        self.kind, self.feature, self.question = kind, feature, question


@dataclass
class Tally:
    """How much was compared: an answer (value, status, and event time where the path has one) counts once a path."""

    values: int = 0
    statuses: Counter = field(default_factory=Counter)
    paths: Counter = field(default_factory=Counter)

    def add(self, other):
        self.values += other.values
        self.statuses += other.statuses
        self.paths += other.paths


@dataclass(frozen=True)
class Output:
    """One output: the declared feature that gives it, its name in the view, and how its values are written."""

    feature: str
    name: str
    kind: str

    @property
    def on_demand(self):
        return self.name.startswith("od_")


def run(case, path, oracle=Oracle, tally=None):
    """Lives through a case; how much was compared. Raises a `Disagreement` at the first answer that differs."""
    life = Life(case, path, oracle, Tally() if tally is None else tally)
    try:
        for step in case.steps:
            life.step(*step)
        life.hold_ledgers()
    finally:
        life.close()
    return life.tally


class Life:
    def __init__(self, case, path, oracle, tally):
        self.case, self.path, self.tally = case, path, tally
        self.wide = self.mended = self.other = self.twice = False
        self.keys = tuple(case.settings["keys"])
        self.key_types = [arrow_type(kind) for kind in case.settings["keys"].values()]
        outputs = on_demand_outputs(case) if case.settings.get("on_demand") else ()
        # The output that each on-demand feature is about.
        self.on_demand = {f"od_{at}": output for at, output in enumerate(outputs)}
        # Each question with its answers by output: form of the value, status, event time.
        self.served = {}
        self.opened, self.asked_until, self.pushes = 0, BEFORE_ALL, 0
        self.oracle = oracle(project(case).manifest(), FUNCTIONS)
        self.engine = self.open()
        try:
            self.declare()
        except BaseException:
            self.engine.close()
            raise

    def open(self):
        """The engine; with another size of memory and another layout each time, where the case says so."""
        settings, options = self.case.settings, {}
        if settings.get("memory") and self.opened % 2 == 0:
            options["memory"] = settings["memory"]
        if settings.get("shards") and state_shards_can_be_set():
            options["state_shards"] = settings["shards"] + self.opened
        self.opened += 1
        return tw.Engine(self.path, clock=settings.get("clock", "events"), **options)

    def close(self):
        self.engine.close()

    def declare(self):
        made = project(self.case, wide=self.wide, mended=self.mended, other=self.other, later=self.twice)
        manifest = made.manifest()
        self.engine.apply(made, allow_breaking=True)
        self.oracle.declare(manifest)
        self.columns = {source["name"]: source["columns"] for source in manifest["sources"]}
        types = {column["name"]: column["type"] for column in manifest["sources"][0]["columns"]}
        types |= {sql: kind for sql, (_function, kind) in EXPRESSIONS.items()}
        self.outputs = [
            Output(one["name"], one["name"] + suffix(window), output_type(one, types))
            for one in manifest["views"][0]["features"]
            for window in one["windows"]
        ]
        if not self.other:
            self.outputs += [Output(of, name, "bool") for name, of in self.on_demand.items()]

    def step(self, name, *given):
        getattr(self, name.replace(" ", "_"))(*given)

    # Steps

    def push(self, source, rows):
        if rows:
            self.engine.push(source, self.table(source, rows))
            self.oracle.push(source, self.known(source, rows), self.asked_until)

    def push_twice(self, source, rows):
        """The same push once more, with its key: it counts once."""
        if rows:
            self.pushes += 1
            for _ in range(2):
                self.engine.push(source, self.table(source, rows), idempotency_key=str(self.pushes))
            self.oracle.push(source, self.known(source, rows), self.asked_until)

    def flush(self):
        self.engine.flush()

    def reopen(self):
        self.engine.close()
        self.engine = self.open()

    def widen(self):
        """The sources get a column, and the view a feature of it."""
        self.wide = True
        self.declare()

    def change(self):
        self.other = True
        self.declare()

    def restore(self):
        self.other = False
        self.declare()

    def later(self):
        """The same view under another name, built from history."""
        self.twice = True
        self.declare()

    def replay(self, source):
        """The contract is mended, and what waits in quarantine is tried again."""
        self.mended = True
        self.declare()
        self.engine.replay_quarantine(source)
        self.oracle.replay(source, self.asked_until)
        self.hold_ledgers()

    def ask(self, questions):
        """Asks live what was not asked before, held against the oracle."""
        if self.oracle.clock is None:
            return
        for q, entities in by_time(questions):
            if q is not None and not self.reachable(q):
                continue
            columns, q = self.live(entities, q)
            if not self.case.settings.get("arrival"):
                # What comes from now on arrives at this time or after it.
                self.asked_until = max(q, self.asked_until)
            of = [(entity, q) for entity in entities]
            for view in columns:
                self.hold(f"live, view {view}", of, columns[view], self.expected(of, "arrival"))
            if not self.other:
                self.serve(of, columns[VIEW])

    def again(self):
        """Asks live again what was served, as far as state reaches."""
        if self.other:
            return
        possible = [question for question, _ in self.served.values() if self.reachable(question[1])]
        times = list(by_time(possible))
        every = 1 + len(possible) // AGAIN
        for at, (q, entities) in enumerate(times):
            if at % every and q != times[-1][0]:
                continue
            of = [(entity, q) for entity in entities]
            columns = self.live_table(entities, q) if at % 2 else self.live(entities, q)[0]
            for view in columns:
                self.hold(f"live again, view {view}", of, columns[view], self.answers(of))

    def reachable(self, q):
        """Whether online state has to have an answer: without a declared retention it has one only for the present."""
        return self.case.lasting or q > self.oracle.clock

    def training(self, questions):
        """Training sets over questions that nobody was asked."""
        modes = ("arrival", "event_time") if self.case.settings.get("arrival") else ("event_time",)
        for as_of in modes:
            columns = self.training_set(questions, as_of)
            expected = self.expected(questions, as_of)
            for view in columns:
                self.hold(f"training set by {as_of}, view {view}", questions, columns[view], expected)

    def history(self):
        """The training sets over all that was served: by arrival it is the same, by event time what the oracle says."""
        questions = [question for question, _ in self.served.values()]
        if not questions:
            return
        columns = self.training_set(questions, "arrival")
        for view in columns:
            self.hold(f"training set by arrival, view {view}", questions, columns[view], self.answers(questions))
        columns = self.training_set(questions, "event_time")
        expected = self.expected(questions, "event_time")
        for view in columns:
            self.hold(f"training set by event time, view {view}", questions, columns[view], expected)

    # What is expected

    def expected(self, questions, as_of):
        """The oracle's answers by output, in the order of the questions: form of the value, status, event time."""
        answers = {output.name: [] for output in self.outputs}
        for entity, q in questions:
            reads = self.oracle.read(VIEW, entity, q, q if as_of == "arrival" else None)
            for output in self.outputs:
                read = is_null(reads[self.on_demand[output.name]]) if output.on_demand else reads[output.name]
                value = read.value
                if contains_bound(value):
                    value = bounds_by_form(value, output.kind)
                elif value is not None:
                    value = form(output.kind)(value)
                answers[output.name].append((value, read.status, read.event_time))
        return answers

    def serve(self, questions, columns):
        """Remembers what was served."""
        for at, question in enumerate(questions):
            _, answers = self.served.setdefault(repr(question), (question, {}))
            for name, (values, statuses, times) in columns.items():
                answers[name] = (values[at], statuses[at], times[at])

    def answers(self, questions):
        """What was served, by output; none where the output was not there then."""
        served = [self.served[repr(question)][1] for question in questions]
        return {output.name: [answers.get(output.name) for answers in served] for output in self.outputs}

    def hold(self, path, questions, columns, expected):
        """Holds the answers of one path: columns of values, statuses and (of JSON) event times, by output."""
        held, statuses = 0, Counter()
        for output in self.outputs:
            values, found, times = columns[output.name]
            for at, want in enumerate(expected[output.name]):
                if want is None:
                    continue
                held += 1
                statuses[want[1]] += 1
                if (values[at], found[at]) == want[:2] and (times is None or times[at] == want[2]):
                    continue
                answer = (values[at], found[at], want[2] if times is None else times[at])
                if not agree(answer, want):
                    told = f"{path}: {output.name} for {questions[at]}: {answer} is not {want}"
                    raise Disagreement(path.split(",")[0], told, output.feature, questions[at])
        self.tally.values += held
        self.tally.statuses += statuses
        self.tally.paths[path.split(",")[0]] += held

    def hold_ledgers(self):
        """What became of every row that was pushed."""
        for name, state in self.oracle.states.items():
            ledger, expected = self.engine.ledger(name), asdict(state.ledger)
            found = {part: ledger[part] for part in PARTS}
            if found != expected or expected["read"] != sum(expected[part] for part in PARTS[1:]):
                raise Disagreement("ledger", f"the ledger of {name} is {found}, not {expected}")

    # The paths

    def live(self, entities, q):
        """Columns of answers by view and output, from a read as JSON; and the time that was asked for."""
        given = {
            name: pa.array(values, kind).to_pylist()
            for name, kind, values in zip(self.keys, self.key_types, zip(*entities, strict=True), strict=True)
        }
        vector = self.engine.features(SERVICE, given, as_of=q)
        columns = {}
        for view in self.views():
            columns[view] = {}
            for output in self.outputs:
                name = output.name if output.on_demand else f"{view}.{output.name}"
                times = [micros(time) for time in vector.event_times[name]]
                columns[view][output.name] = (formed(vector.values[name], output.kind), vector.statuses[name], times)
        return columns, micros(vector.as_of)

    def live_table(self, entities, q):
        """As `live`, as Arrow, which has no event times."""
        return self.columns_of(self.engine.features_table(SERVICE, self.spine(entities), as_of=q))

    def training_set(self, questions, as_of):
        spine = self.spine([entity for entity, _ in questions])
        times = pa.array([q for _, q in questions], pa.timestamp("us", "UTC"))
        spine = spine.append_column("asked_at", times)
        result = self.engine.training_set(
            SERVICE, spine, timestamp="asked_at", statuses=True, progress=False, as_of=as_of
        ).to_arrow()
        if not result.column("asked_at").cast(pa.int64()).equals(spine.column("asked_at").cast(pa.int64())):
            raise Disagreement("spine", "the spine came back changed")
        return self.columns_of(result)

    def columns_of(self, table):
        columns = {}
        for view in self.views():
            columns[view] = {}
            for output in self.outputs:
                name = output.name if output.on_demand else f"{view}__{output.name}"
                values = formed(table.column(name).to_pylist(), output.kind)
                columns[view][output.name] = (values, table.column(f"{name}__status").to_pylist(), None)
        return columns

    def views(self):
        return (VIEW, LATER) if self.twice else (VIEW,)

    def spine(self, entities):
        arrays = [
            pa.array(values, kind) for kind, values in zip(self.key_types, zip(*entities, strict=True), strict=True)
        ]
        return pa.table(dict(zip(self.keys, arrays, strict=True)))

    def known(self, source, rows):
        """The rows with the columns that are declared by now: no others are sent."""
        names = [column["name"] for column in self.columns[source]]
        return [{name: row[name] for name in names if name in row} for row in rows]

    def table(self, source, rows):
        return pa.table(
            {
                column["name"]: pa.array([row.get(column["name"]) for row in rows], arrow_type(column["type"]))
                for column in self.columns[source]
            }
        )


def by_time(questions):
    """Entities by the time that is asked for, in the order of time."""
    times = {}
    for entity, q in questions:
        times.setdefault(q, []).append(entity)
    return sorted(times.items(), key=lambda one: one[0] or 0)


def formed(values, kind):
    make = form(kind)
    return [None if value is None else make(value) for value in values]


def is_null(read):
    """What `output IS NULL` says of a read: it sees the value and not the status."""
    if read.status == "ERROR":
        return Read(None, None, "ERROR")
    return Read(read.value is None, read.event_time, "PRESENT")


def agree(answer, want):
    """Whether an answer is what was wanted, or within the bound that a sketch states."""
    if answer[1] != want[1] or (answer[2] != want[2] and want[1] != "ERROR"):
        return False
    bounds, value = want[0], answer[0]
    if not contains_bound(bounds):
        return value == bounds
    if not isinstance(bounds, dict):
        return within(value, bounds)
    return value.keys() == bounds.keys() and all(within(value[key], bound) for key, bound in bounds.items())


def bounds_by_form(bounds, kind):
    """The bounds of a map of sketches under the keys as the map's form has them."""
    if not isinstance(bounds, dict):
        return bounds
    key_kind = kind.removeprefix("map<").split("|", 1)[0]
    return {repr(canonical_key(key, key_kind)): bound for key, bound in bounds.items()}


@cache
def state_shards_can_be_set():
    """Whether the product at hand lets the layout of its state be chosen."""
    page = subprocess.run([sys.executable, "-m", "thalweg", "config-reference"], capture_output=True, check=True)
    return b"state_shards" in page.stdout
