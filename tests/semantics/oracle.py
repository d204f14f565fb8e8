"""A naive oracle: what a feature value is, by the rule book alone, over plain lists of rows.

It keeps every row it was ever given and computes each answer from scratch. It reads the manifest, so that it and
the engine answer for the same declarations, and shares no code with the product. SQL expressions that are not the
bare name of a column are looked up in `expressions`, as functions of a row.
"""

import re
import struct
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from zoneinfo import ZoneInfo

from .arithmetic import AggregationError, Input, aggregate, decimal, exact, identity, no_input

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
FOR_EVER = None

UNITS = {"w": 7 * DAY, "d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": 1000, "us": 1}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def duration(text):
    """`1h30m` in microseconds."""
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([a-z]+)", text))


# Windows


def floor(time, unit, zone):
    """The start of the stretch of `unit` that holds `time`."""
    if zone is None or unit % DAY:
        return time - time % unit
    local_day = (EPOCH + timedelta(microseconds=time)).astimezone(zone).date()
    days = (local_day - EPOCH.date()).days
    begun = days - days % (unit // DAY)
    # Where clocks are put back over midnight the date before comes again, but its stretch has ended.
    return max(start for start in (midnight(begun, zone), midnight(begun + unit // DAY, zone)) if start <= time)


def midnight(days, zone):
    """When a day begins in a zone, counted in days from the epoch."""
    day = EPOCH.date() + timedelta(days=days)
    return (datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) - EPOCH) // timedelta(microseconds=1)


def bounds(window, q, zone):
    """From when (none: the beginning) until before when the window reaches at query time `q`."""
    kind = window.get("kind") or "unbounded"
    if kind == "unbounded":
        return None, q
    over = duration(window["over"])
    if kind == "sliding":
        return (floor(q - over, duration(window["hop"]), zone) if window.get("hop") else q - over), q
    start = floor(q, over, zone)
    if kind == "to_date":
        return start, q
    assert kind == "tumbling"
    return floor(start - 1, over, zone), start


def reach(window):
    """The farthest back that the window can ever look; a local day can last longer than 24 hours."""
    kind = window.get("kind") or "unbounded"
    if kind == "unbounded":
        return FOR_EVER
    over = duration(window["over"])
    unit = duration(window["hop"]) if window.get("hop") else over if kind != "sliding" else 0
    slack = unit + (2 * HOUR if unit and unit % DAY == 0 else 0)
    return slack if kind == "to_date" else over + slack


def suffix(window):
    """What a window adds to a feature's name."""
    kind, over = window.get("kind") or "unbounded", window.get("over")
    if kind == "unbounded":
        return ""
    if kind == "sliding":
        return f"_{over}" + (f"_hop_{window['hop']}" if window.get("hop") else "")
    return f"_{kind}_{over}"


# Rows


@dataclass
class Row:
    """An accepted row, and when it was taken back, if it was."""

    columns: dict
    event_time: int
    arrival: int
    sequence: int
    retraction: tuple[int, int] | None = None
    # What expressions were over it, once they were asked for.
    evaluated: dict = field(default_factory=dict)

    def visible(self, q, cut):
        seen = self.event_time < q and (cut is None or self.arrival < cut)
        if not seen or self.retraction is None:
            return seen
        taken_back, known = self.retraction
        return not (taken_back < q and (cut is None or known < cut))


@dataclass
class Ledger:
    read: int = 0
    applied: int = 0
    deduplicated: int = 0
    filtered: int = 0
    quarantined: int = 0


@dataclass
class SourceState:
    rows: list[Row] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)
    # Of a change source: the row that is current under each primary key.
    current: dict = field(default_factory=dict)
    # By the key of the dedup rule, so that a row is not held against every other.
    seen: dict = field(default_factory=dict)
    # Rows that broke the contract, as they came.
    quarantine: list[dict] = field(default_factory=list)


@dataclass(frozen=True)
class Read:
    """One answer: a value, the event time it stems from, and a status."""

    value: object
    event_time: int | None
    status: str


class Oracle:
    def __init__(self, manifest, expressions=None):
        self.expressions = expressions or {}
        self.states = {}
        self.sequence = 0
        # The latest event or arrival time that was accepted.
        self.clock = None
        self.declare(manifest)

    def declare(self, manifest):
        """Takes declarations; rows of sources that were known before stay."""
        self.views = {view["name"]: view for view in manifest["views"]}
        self.entities = {entity["name"]: entity for entity in manifest["entities"]}
        self.sources = {source["name"]: source for source in manifest["sources"]}
        self.states = {name: self.states.get(name) or SourceState() for name in self.sources}
        # What was computed over the same rows before, and the rows of each entity.
        self.computed, self.by_entity = {}, {}

    def push(self, name, rows, arrival=None):
        """Takes rows in log order. `arrival` is theirs where the source declares no column for it."""
        source, state = self.sources[name], self.states[name]
        for given in rows:
            state.ledger.read += 1
            self.take(source, state, given, arrival)

    def replay(self, name, arrival=None):
        """Pushes again what is in quarantine; what is still bad comes back to it."""
        waiting, self.states[name].quarantine = self.states[name].quarantine, []
        self.push(name, waiting, arrival)

    def take(self, source, state, given, arrival):
        columns = {column["name"]: typed(given.get(column["name"]), column) for column in source["columns"]}
        if not (keeps_contract(columns, source) and is_known(columns, source, state) and self.step(source, columns)):
            state.ledger.quarantined += 1
            state.quarantine.append(given)
        elif not self.passes(source.get("filter"), columns):
            state.ledger.filtered += 1
        elif is_duplicate(columns, source, state):
            state.ledger.deduplicated += 1
        else:
            state.ledger.applied += 1
            self.accept(source, state, columns, arrival)

    def step(self, source, columns):
        """Does the source's steps to a row; whether it is still good."""
        for step in sorted(source.get("steps", ()), key=lambda step: (step.get("priority", 0), step["name"])):
            if "validate" in step:
                if not self.passes(step["validate"]["expression"], columns):
                    return False
            else:
                name = step["transform"]["column"]
                columns[name] = self.evaluate(step["transform"]["expression"], columns)
        return True

    def accept(self, source, state, columns, arrival):
        if source.get("arrival_time"):
            arrival = columns[source["arrival_time"]]
        self.sequence += 1
        row = Row(columns, columns[source["timestamp"]], arrival, self.sequence)
        self.clock = max(time for time in (self.clock, row.event_time, arrival) if time is not None)
        if source.get("dedup"):
            state.seen.setdefault(dedup_key(columns, source), []).append(row.event_time)
        if source.get("kind") == "SOURCE_KIND_CHANGE":
            key = tuple(columns[name] for name in source["primary_key"])
            if key in state.current:
                state.current.pop(key).retraction = (row.event_time, row.arrival)
            if columns[source["operation"]] == "delete":
                return
            state.current[key] = row
        state.rows.append(row)
        for (name, keys), entities in self.by_entity.items():
            if name == source["name"]:
                entities.setdefault(entity_of(columns, keys), []).append(row)

    # Reading

    def read(self, view_name, entity, q, cut=None):
        """Every output of a view for one entity (the tuple of its keys) at `q`, from what had arrived before `cut`."""
        view = self.views[view_name]
        rows = self.rows_of(view, entity, q, cut)
        longest = retention(view)
        seen = any(longest is FOR_EVER or row.event_time >= q - longest for row in rows)
        zone = ZoneInfo(view["time_zone"]) if view.get("time_zone") else None
        answers, inside = {}, {}
        for feature in view["features"]:
            for window in feature.get("windows") or [{"kind": "unbounded"}]:
                added = suffix(window)
                if added not in inside:
                    inside[added] = self.covered(rows, *self.bounds(window, q, zone))
                answers[feature["name"] + added] = self.read_one(view, feature, *inside[added], q, seen)
        return answers

    def rows_of(self, view, entity, q, cut):
        keys = tuple(key["name"] for key in self.entities[view["entity"]]["keys"])
        entity = tuple(map(identity, entity))
        return [
            row
            for name in view["sources"]
            for row in self.entity_rows(name, keys).get(entity, ())
            if row.visible(q, cut) and self.passes_row(view, view.get("filter"), row)
        ]

    def entity_rows(self, name, keys):
        """The rows of a source by entity; those of which part of the key is null are in none."""
        if (name, keys) not in self.by_entity:
            entities = self.by_entity[name, keys] = {}
            for row in self.states[name].rows:
                entities.setdefault(entity_of(row.columns, keys), []).append(row)
            entities.pop(None, None)
        return self.by_entity[name, keys]

    def bounds(self, window, q, zone):
        return bounds(window, q, zone)

    def covered(self, rows, low, high):
        """The rows inside a window, and what tells them from any others."""
        inside = [row for row in rows if (low is None or low <= row.event_time) and row.event_time < high]
        return inside, tuple([row.sequence for row in inside])

    def read_one(self, view, feature, inside, sequences, q, seen):
        if not seen:
            return Read(no_input(feature), None, "NOT_FOUND")
        # The same rows have the same value, whenever and by whichever window they are asked for.
        key = (view["name"], feature["name"], sequences)
        if key not in self.computed:
            self.computed[key] = self.compute(view, feature, inside)
        value, event_time, failed = self.computed[key]
        if failed:
            return Read(None, None, "ERROR")
        limit = view.get("staleness")
        if limit and event_time is not None and q - event_time > duration(limit):
            return Read(None, event_time, "STALE")
        return Read(value, event_time, "NULL" if value is None else "PRESENT")

    def compute(self, view, feature, rows):
        rows = [row for row in rows if self.passes_row(view, feature.get("where"), row)]
        try:
            return *self.value(view, feature, rows), False
        except AggregationError:
            return None, None, True

    def value(self, view, feature, rows):
        """The value, and the newest event time among the rows that made it."""
        keep_nan = view.get("keep_nan", False)
        if not feature.get("by"):
            value, made_of = aggregate(feature, [self.input(view, feature, row) for row in rows], keep_nan)
            return value, newest(made_of)
        groups = {}
        for row in rows:
            key = self.of_row(view, feature["by"], row)
            if key is not None:
                groups.setdefault(identity(key), []).append(self.input(view, feature, row))
        parts = {key: aggregate(feature, group, keep_nan) for key, group in groups.items()}
        made_of = [row for _, rows in parts.values() for row in rows]
        return {key: value for key, (value, rows) in parts.items() if rows}, newest(made_of)

    def input(self, view, feature, row):
        value = self.of_row(view, feature["input"], row) if feature.get("input") else None
        return Input(row.event_time, row.sequence, value)

    def passes_row(self, view, expression, row):
        return not expression or self.of_row(view, expression, row) is True

    def of_row(self, view, expression, row):
        """An expression, or a derived column, over an accepted row."""
        if expression not in row.evaluated:
            derived = {column["name"]: column["expression"] for column in view.get("derived", ())}
            row.evaluated[expression] = self.evaluate(derived.get(expression, expression), row.columns)
        return row.evaluated[expression]

    def passes(self, expression, columns):
        return not expression or self.evaluate(expression, columns) is True

    def evaluate(self, expression, columns):
        return self.expressions[expression](columns) if expression in self.expressions else columns.get(expression)


def entity_of(columns, keys):
    """The entity whose row it is; none where part of its key is null."""
    entity = tuple(identity(columns[key]) for key in keys)
    return None if None in entity else entity


def newest(rows):
    return max((row.event_time for row in rows), default=None)


def retention(view):
    """How far back an entity counts as seen."""
    if view.get("retention"):
        return duration(view["retention"])
    windows = [window for feature in view["features"] for window in feature.get("windows") or [{}]]
    reaches = [reach(window) for window in windows]
    return FOR_EVER if FOR_EVER in reaches else max(reaches)


# The door


def typed(value, column):
    """The value as its column holds it."""
    kind = column["type"]
    if value is None:
        return None
    if kind == "float64":
        return float(value)
    if kind == "float32":
        return struct.unpack("f", struct.pack("f", value))[0]
    if kind.startswith("decimal"):
        return decimal(exact(value), int(kind[:-1].split(",")[1]))
    return value


def keeps_contract(columns, source):
    required = {
        source["timestamp"],
        *source.get("primary_key", []),
        source.get("operation"),
        source.get("arrival_time"),
    }
    for column in source["columns"]:
        name, value = column["name"], columns[column["name"]]
        if value is None:
            if column.get("required") or name in required:
                return False
            continue
        if column.get("min") and value < literal(column["min"], value):
            return False
        if column.get("max") and value > literal(column["max"], value):
            return False
        if column.get("allowed") and value not in [literal(text, value) for text in column["allowed"]]:
            return False
    return True


def is_known(columns, source, state):
    """Whether a change has something to change: a delete of a row that is not there is broken."""
    if source.get("kind") != "SOURCE_KIND_CHANGE" or columns[source["operation"]] != "delete":
        return True
    return tuple(columns[name] for name in source["primary_key"]) in state.current


def literal(text, like):
    return (
        Decimal(text)
        if isinstance(like, (int, float, Decimal))
        else date.fromisoformat(text)
        if isinstance(like, date)
        else text
    )


def dedup_key(columns, source):
    return tuple(identity(columns[name]) for name in source["dedup"]["key"])


def is_duplicate(columns, source, state):
    """Whether an accepted row with the same key lies within the declared time, either way."""
    if not source.get("dedup") or None in (key := dedup_key(columns, source)):
        return False
    time, within = columns[source["timestamp"]], duration(source["dedup"]["within"])
    return any(abs(seen - time) <= within for seen in state.seen.get(key, ()))
