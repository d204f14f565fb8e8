"""A tiny project, its engine and its oracle side by side.

A `World` is declared in a few words, takes rows, and answers a question on every path at once: live, from the training
set in both modes, and from the oracle. A test states what it expects; that the paths agree is checked here, always.
"""

from dataclasses import dataclass

import pyarrow as pa

import thalweg as tw

from .arithmetic import Between
from .oracle import Oracle, suffix
from .values import canonical, micros, output_type

VIEW, SOURCE, SERVICE = "v", "events", "s"
# 2024-03-01T00:00:00Z, a Friday: the moment round which small tests put their rows.
T = micros("2024-03-01T00:00:00Z")


def project(features, columns=None, *, source=None, change=False, arrival_column=True, views=(VIEW,), **view):
    """One entity, one source and one view; or several equal views, where tests compare them."""
    schema = {"key": tw.string, "at": tw.timestamp, **(columns or {"x": tw.float64})}
    settings = {"timestamp": "at", **(source or {})}
    if arrival_column:
        schema["known_at"] = tw.timestamp
        settings["arrival_time"] = "known_at"
    if change:
        schema.update(id=tw.int64, op=tw.string)
        settings.update(primary_key=["id"], operation="op")
    # Long enough that a test can ask about any time; those about retention say their own. A window without an end
    # keeps everything anyway.
    if not any(isinstance(window, tw.Unbounded) for feature in features.values() for window in feature.windows):
        view = {"retention": "3650d", **view}
    entity = tw.Entity("thing", keys={"key": tw.string})
    events = (tw.ChangeSource if change else tw.EventSource)(SOURCE, schema=schema, **settings)
    made = [tw.FeatureView(name, entity=entity, source=events, features=features, **view) for name in views]
    return tw.Project("tiny", [tw.FeatureService(SERVICE, features=made)])


@dataclass(frozen=True)
class Answer:
    """What one path says, in canonical form."""

    value: object
    status: str
    # Live reads only: training sets do not carry it.
    event_time: int | None = None


class World:
    """`expressions` says what SQL that is not a bare column means: a function of a row, and its type."""

    def __init__(self, path, project, expressions=None, clock="events"):
        self.path, self.clock, self.expressions = path, clock, expressions or {}
        functions = {sql: function for sql, (function, _type) in self.expressions.items()}
        self.oracle = Oracle(project.manifest(), functions)
        self.compared = 0
        self.engine = tw.Engine(path, clock=clock)
        try:
            self.apply(project)
        except tw.ThalwegError:
            self.engine.close()
            raise

    def apply(self, project):
        """Declares the project anew, for rows already pushed as well."""
        self.columns = project.manifest()["sources"][0]["columns"]
        self.oracle.declare(project.manifest())
        self.types = self.output_types()
        self.engine.apply(project)

    def output_types(self):
        types = {column["name"]: column["type"] for column in self.columns}
        types.update({name: kind for name, (_function, kind) in self.expressions.items()})
        return {
            (view["name"], one["name"] + suffix(window)): output_type(one, types)
            for view in self.oracle.views.values()
            for one in view["features"]
            for window in one["windows"]
        }

    def reopen(self):
        self.engine.close()
        self.engine = tw.Engine(self.path, clock=self.clock)

    def close(self):
        self.engine.close()

    # Rows

    def push(self, *rows, arrival=None, **options):
        """Pushes rows as one batch: `key` is "a" and `known_at` is `at` unless a row says otherwise."""
        rows = [self.complete(row) for row in rows]
        acknowledged = self.push_to_engine(rows, **options)
        self.oracle.push(SOURCE, rows, arrival)
        return acknowledged

    def push_to_engine(self, rows, **options):
        """Pushes rows that the oracle is not to count."""
        return self.engine.push(SOURCE, self.table([self.complete(row) for row in rows]), **options)

    def complete(self, row):
        row = {"key": "a", **row}
        names = [column["name"] for column in self.columns]
        if "known_at" in names:
            row.setdefault("known_at", row["at"])
        return {name: row.get(name) for name in names}

    def table(self, rows):
        arrays = {
            column["name"]: pa.array([row[column["name"]] for row in rows], arrow_type(column["type"]))
            for column in self.columns
        }
        return pa.table(arrays)

    # Questions

    def live(self, q, keys=("a",), view=VIEW):
        """The live answers at `q` (none: by the clock), by key and output."""
        vector = self.vector(q, keys, view)
        answers = {key: {} for key in keys}
        for (of, output), kind in self.types.items():
            if of != view:
                continue
            name = f"{view}.{output}"
            columns = (vector.values[name], vector.statuses[name], vector.event_times[name])
            for key, value, status, event_time in zip(keys, *columns, strict=True):
                answers[key][output] = Answer(canonical(value, kind), status, micros(event_time))
        return answers

    def vector(self, q, keys=("a",), view=VIEW):
        """The response as the engine gives it; what it says it was asked for is kept."""
        references = [f"{view}.{output}" for of, output in self.types if of == view]
        response = self.engine.features(references, {"key": list(keys)}, as_of=q)
        self.asked_at = micros(response.as_of)
        return response

    def training(self, questions, as_of, view=VIEW):
        """The training set over `questions`, pairs of key and time: a list of answers by output."""
        spine = pa.table(
            {
                "key": pa.array([key for key, _ in questions], pa.string()),
                "asked_at": pa.array([q for _, q in questions], pa.timestamp("us", "UTC")),
            }
        )
        options = {"as_of": as_of} if as_of else {}
        result = self.engine.training_set(
            SERVICE, spine, timestamp="asked_at", statuses=True, progress=False, **options
        )
        self.report = result.report
        rows = result.to_arrow().to_pylist()
        assert [(row["key"], micros(row["asked_at"])) for row in rows] == list(questions), "the spine came back changed"
        names = [output for of, output in self.types if of == view]
        return [
            {
                name: Answer(canonical(row[f"{view}__{name}"], self.types[view, name]), row[f"{view}__{name}__status"])
                for name in names
            }
            for row in rows
        ]

    def default_as_of(self, questions):
        """The training set for which nobody said which point in time is meant."""
        return self.training(questions, None)

    def ask(self, q, key="a", as_of="arrival"):
        """The oracle's answers at `q`, after every path has been held against them."""
        q = micros(q)
        live = self.live(q, (key,))[key]
        by_arrival = self.expected(key, q, "arrival")
        by_event_time = self.expected(key, q, "event_time")
        self.hold(live, by_arrival, f"live at {q}", event_times=True)
        self.hold(self.training([(key, q)], "arrival")[0], by_arrival, f"training set by arrival at {q}")
        self.hold(self.training([(key, q)], "event_time")[0], by_event_time, f"training set by event time at {q}")
        return by_arrival if as_of == "arrival" else by_event_time

    def values(self, q, key="a", as_of="arrival"):
        return {name: read.value for name, read in self.ask(q, key, as_of).items()}

    def expected(self, key, q, as_of, view=VIEW):
        return self.oracle.read(view, (key,), q, q if as_of == "arrival" else None)

    def hold(self, answers, expected, where, event_times=False, view=VIEW):
        """Fails unless the answers of one path are the oracle's."""
        assert set(answers) == set(expected), where
        for name, read in expected.items():
            answer, kind = answers[name], self.types[view, name]
            self.compared += 1
            assert answer.status == read.status, f"{where}: {name}: {answer} is not {read}"
            assert same(answer.value, read, kind), f"{where}: {name}: {answer} is not {read}"
            if event_times and read.status != "ERROR":
                assert answer.event_time == read.event_time, f"{where}: {name}: {answer} is not {read}"


def same(value, read, kind):
    """Whether a canonical value is the oracle's, or within the bound that a sketch states."""
    if contains_bound(read.value):
        return within(value, read.value)
    return value == canonical(read.value, kind)


def contains_bound(value):
    return isinstance(value, Between) or (isinstance(value, dict) and any(map(contains_bound, value.values())))


def within(value, bound):
    if isinstance(bound, dict):
        return len(value) == len(bound) and all(map(within, value.values(), by_canonical_key(bound)))
    # Floats are canonical as their digits followed by their bits.
    return bound.allows(float(value.split()[0]) if isinstance(value, str) else value)


def by_canonical_key(bounds):
    return [bounds[key] for key in sorted(bounds, key=repr)]


def arrow_type(kind):
    if kind.startswith("decimal"):
        return pa.decimal128(*map(int, kind[8:-1].split(",")))
    if kind.startswith("list<"):
        return pa.list_(arrow_type(kind[5:-1]))
    plain = {
        "bool": pa.bool_(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float32": pa.float32(),
        "float64": pa.float64(),
        "string": pa.string(),
        "bytes": pa.binary(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", "UTC"),
    }
    return plain[kind]
