"""Where rows come from and what they are about: entities, columns with their contract, event and change sources."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeAlias

from . import arguments
from .definitions import Definition, Immutable, Json, compact
from .origins import Origin
from .steps import Step
from .types import DataType, data_type
from .windows import Duration, duration_text, optional_duration

Literal: TypeAlias = bool | int | float | str | bytes | Decimal | date | datetime
"""A value of a column, in Python. A `datetime` without a time zone is taken as UTC."""

Schema: TypeAlias = Mapping[str, "DataType | Column"]
"""Columns by name: a type, or a `Column` where there is more to say."""


class Column(Immutable):
    """A column and its contract. A row that breaks it goes to quarantine, with the reason, and can be replayed.

    Args:
        type: such as `tw.float64`.
        required: a null breaks the contract. A bare type in a schema means `required=False`.
        min: the smallest value allowed, itself included.
        max: the largest value allowed, itself included.
        allowed: the only values allowed.
        description: what it holds, and in which unit.
    """

    type: DataType
    required: bool
    min: Literal | None
    max: Literal | None
    allowed: tuple[Literal, ...]
    description: str

    def __init__(
        self,
        type: DataType,
        *,
        required: bool = False,
        min: Literal | None = None,
        max: Literal | None = None,
        allowed: Iterable[Literal] = (),
        description: str = "",
    ) -> None:
        if isinstance(allowed, str | bytes) or not isinstance(allowed, Iterable):
            raise TypeError(
                f'`allowed` takes a list of values, not {arguments.kind(allowed)}; write allowed=["a", "b"]'
            )
        values = tuple(allowed)
        for argument, value in [("min", min), ("max", max), *(("allowed", value) for value in values)]:
            if value is not None or argument == "allowed":
                _literal(value, argument)
        self._set(
            type=data_type(type, "type"),
            required=arguments.flag(required, "required"),
            min=min,
            max=max,
            allowed=values,
            description=arguments.optional_text(description, "description", "say in a sentence what it holds"),
        )

    def __repr__(self) -> str:
        return f"Column({self.type!r}{', required=True' if self.required else ''})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Column) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((self.type, self.required, self.min, self.max, self.allowed, self.description))

    def to_json(self, name: str) -> Json:
        """The column as it stands in the manifest; literals are written as text."""
        return compact(
            {
                "name": name,
                "type": str(self.type),
                "required": self.required,
                "min": "" if self.min is None else _literal(self.min, "min"),
                "max": "" if self.max is None else _literal(self.max, "max"),
                "allowed": [_literal(value, "allowed") for value in self.allowed],
                "description": self.description,
            }
        )


@dataclass(frozen=True, init=False)
class Dedup:
    """Drops repeated rows: of rows with the same key, the first in log order wins, and later ones are counted.

    Args:
        key: the columns that identify an event. Duplicates may carry a different event time.
        within: how far apart, before or after, the event times of two rows with one key may lie, such as `"2d"`.
    """

    key: tuple[str, ...]
    within: str

    def __init__(self, key: Iterable[str], within: Duration) -> None:
        object.__setattr__(self, "key", arguments.texts(key, "key", 'write tw.Dedup(["id"], within="2d")'))
        object.__setattr__(self, "within", duration_text(within, "within"))


class Entity(Definition):
    """A thing that features describe, identified by one or more key columns.

    A view's sources have columns of the same names and types: `tw.Entity("carrier", keys={"carrier": tw.string})`.
    """

    KIND = "entity"
    keys: Mapping[str, Column]

    def __init__(
        self,
        name: str,
        keys: Schema,
        *,
        description: str = "",
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        namespace: str = "default",
    ) -> None:
        super().__init__(name, description, owner, tags, namespace)
        self._set(keys=schema_columns(keys, "keys"))

    def to_json(self) -> Json:
        keys = [column.to_json(name) for name, column in self.keys.items()]
        return compact({"name": self.name, "keys": keys, "about": self._about()})


class Source(Definition):
    """The base of `EventSource` and `ChangeSource`."""

    KIND = "source"
    schema: Mapping[str, Column]
    timestamp: str
    arrival_time: str
    dedup: Dedup | None
    filter: str
    steps: tuple[Step, ...]
    retention: str

    def __init__(
        self,
        name: str,
        schema: Schema,
        timestamp: str,
        arrival_time: str | None,
        dedup: Dedup | None,
        filter: str | None,
        steps: Iterable[Step],
        retention: Duration | None,
        description: str,
        owner: str,
        tags: Mapping[str, str] | None,
        namespace: str,
    ) -> None:
        super().__init__(name, description, owner, tags, namespace)
        if dedup is not None and not isinstance(dedup, Dedup):
            raise TypeError(
                f'`dedup` takes a tw.Dedup, not {arguments.kind(dedup)}; write dedup=tw.Dedup(["id"], within="2d")'
            )
        self._set(
            schema=schema_columns(schema, "schema"),
            timestamp=arguments.text(timestamp, "timestamp", "name the column that holds the event time"),
            arrival_time=arguments.optional_text(
                arrival_time, "arrival_time", "name the column that holds the arrival time, or leave it out"
            ),
            dedup=dedup,
            filter=arguments.optional_text(filter, "filter", 'write SQL, such as filter="amount > 0"'),
            steps=_steps(steps),
            retention=optional_duration(retention, "retention"),
        )

    def origins(self) -> Mapping[str, Origin]:
        steps = {f"{self.key}.steps.{step.named(at)}": step.origin for at, step in enumerate(self.steps)}
        return {self.key: self.origin, **steps}

    def to_json(self) -> Json:
        dedup = {} if self.dedup is None else {"key": list(self.dedup.key), "within": self.dedup.within}
        return compact(
            {
                "name": self.name,
                "kind": "SOURCE_KIND_EVENT",
                "columns": [column.to_json(name) for name, column in self.schema.items()],
                "timestamp": self.timestamp,
                "arrival_time": self.arrival_time,
                "dedup": dedup,
                "filter": self.filter,
                "steps": [step.to_json(position) for position, step in enumerate(self.steps)],
                "retention": self.retention,
                "about": self._about(),
            }
        )


class EventSource(Source):
    """Facts that happened: rows are added and never change.

    Args:
        name: under which rows are pushed and history is queried.
        schema: columns by name.
        timestamp: the column of type `tw.timestamp` that holds the event time. Times are UTC; those of other units or
            zones are converted once, when the rows are taken.
        arrival_time: the column that says when a row became known; left out, the engine's clock at the push.
        dedup: how repeated rows are recognised.
        filter: a SQL expression over the columns; rows for which it is not true are counted as filtered.
        steps: what is done to each row before the filter, by priority: `tw.Validate` and `tw.Transform`.
        retention: how long history is kept, such as `"400d"`; left out, for ever.
    """

    def __init__(
        self,
        name: str,
        *,
        schema: Schema,
        timestamp: str,
        arrival_time: str | None = None,
        dedup: Dedup | None = None,
        filter: str | None = None,
        steps: Iterable[Step] = (),
        retention: Duration | None = None,
        description: str = "",
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        namespace: str = "default",
    ) -> None:
        super().__init__(
            name,
            schema,
            timestamp,
            arrival_time,
            dedup,
            filter,
            steps,
            retention,
            description,
            owner,
            tags,
            namespace,
        )


class ChangeSource(Source):
    """Rows of a table that are inserted, updated and deleted (CDC). A change retracts the row it replaces, exactly.

    Each change is an event with its own event and arrival time. `insert` adds a row, `update` takes back the previous
    row with the same primary key and adds the new one, `delete` takes it back.

    Args:
        primary_key: the columns that identify a row.
        operation: the column that says what happened: `"insert"`, `"update"` or `"delete"`.

    The other arguments are those of `EventSource`. There is no `dedup`, as the primary key says which row is meant, and
    no `filter` and no `steps`, as a row that no longer passed would stay for ever: filter in the views.
    """

    primary_key: tuple[str, ...]
    operation: str

    def __init__(
        self,
        name: str,
        *,
        schema: Schema,
        timestamp: str,
        primary_key: Iterable[str],
        operation: str,
        arrival_time: str | None = None,
        retention: Duration | None = None,
        description: str = "",
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        namespace: str = "default",
    ) -> None:
        super().__init__(
            name,
            schema,
            timestamp,
            arrival_time,
            None,
            None,
            (),
            retention,
            description,
            owner,
            tags,
            namespace,
        )
        self._set(
            primary_key=arguments.texts(primary_key, "primary_key", 'write primary_key=["id"]'),
            operation=arguments.text(operation, "operation", "name the column that holds insert, update or delete"),
        )

    def to_json(self) -> Json:
        return {
            **super().to_json(),
            "kind": "SOURCE_KIND_CHANGE",
            "primary_key": list(self.primary_key),
            "operation": self.operation,
        }


def schema_columns(schema: object, argument: str) -> Mapping[str, Column]:
    """Columns by name, with each bare type made a `Column`."""
    given = arguments.mapping(schema, argument, f'write {argument}={{"carrier": tw.string}}')
    columns = {
        name: column if isinstance(column, Column) else Column(data_type(column, f"{argument}[{name!r}]"))
        for name, column in given.items()
    }
    return arguments.mapping(columns, argument, "")


def _steps(steps: object) -> tuple[Step, ...]:
    mend = 'write steps=[tw.Validate("amount > 0", reason="the amount is not positive")]'
    if isinstance(steps, str | Step) or not isinstance(steps, Iterable):
        raise TypeError(f"`steps` takes a list, not {arguments.kind(steps)}; {mend}")
    given = tuple(steps)
    for step in given:
        if not isinstance(step, Step):
            raise TypeError(f"`steps` takes tw.Validate and tw.Transform, not {arguments.kind(step)}; {mend}")
    return given


def _literal(value: object, argument: str) -> str:
    """A value in the written form of the manifest."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | str() | Decimal():
            return str(value)
        case float():
            return repr(value)
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case datetime():
            moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        case date():
            return value.isoformat()
    raise TypeError(f"`{argument}` takes a value of the column's type, not {arguments.kind(value)}")
