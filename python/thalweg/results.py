"""What the calls on a server or an engine give back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .definitions import Json
from .frames import arrow_type
from .types import parse
from .values import decode_all, parse_moment

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

MAX_ERRORS = 100
"""The most row errors that a push reports; the rest are in quarantine all the same."""


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a row went to quarantine. `row` counts from 0 in the data that was pushed."""

    row: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class PushResult:
    """An acknowledged push: its rows are durable, and the next read sees them.

    Every row is accounted for: `read == applied + deduplicated + filtered + quarantined`.
    """

    source: str
    read: int
    applied: int
    deduplicated: int
    filtered: int
    quarantined: int
    repeated: bool
    """The rows had been taken before, under the same idempotency key; they count once."""
    arrival_time: str
    """Where arrival times came from: the `clock`, a `column`, or (for a backfill without one) the `event_time`."""
    first_sequence: int | None
    errors: tuple[RowError, ...]
    """The first 100 rows that went to quarantine."""
    idempotency_key: str | None = None

    @classmethod
    def from_json(cls, ack: Json, *, first_row: int = 0, idempotency_key: str | None = None) -> PushResult:
        """The acknowledgement of one batch, whose first row is row `first_row` of the push."""
        return cls(
            source=str(ack.get("source", "")),
            read=ack.get("read", 0),
            applied=ack.get("applied", 0),
            deduplicated=ack.get("deduplicated", 0),
            filtered=ack.get("filtered", 0),
            quarantined=ack.get("quarantined", 0),
            repeated=bool(ack.get("repeated", False)),
            arrival_time=str(ack.get("arrival_time", "")),
            first_sequence=ack.get("first_sequence"),
            errors=tuple(
                RowError(first_row + error.get("row", 0), error.get("column") or "", error.get("reason", ""))
                for error in ack.get("errors") or ()
            ),
            idempotency_key=idempotency_key,
        )

    @classmethod
    def merged(cls, parts: list[PushResult], idempotency_key: str | None) -> PushResult:
        """The acknowledgements of the batches of one push, as one."""
        first = parts[0]
        return cls(
            source=first.source,
            read=sum(part.read for part in parts),
            applied=sum(part.applied for part in parts),
            deduplicated=sum(part.deduplicated for part in parts),
            filtered=sum(part.filtered for part in parts),
            quarantined=sum(part.quarantined for part in parts),
            repeated=all(part.repeated for part in parts),
            arrival_time=first.arrival_time,
            first_sequence=next((part.first_sequence for part in parts if part.first_sequence is not None), None),
            errors=tuple(error for part in parts for error in part.errors)[:MAX_ERRORS],
            idempotency_key=idempotency_key,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What applying a manifest would change, or changed. `print(plan)` shows it."""

    text: str
    changes: tuple[Any, ...]
    breaking: bool
    """It takes away or redefines what services read; applying it needs `allow_breaking=True`."""
    hash: str
    version: int | None
    raw: Json = field(repr=False)

    @classmethod
    def from_json(cls, plan: Json) -> Plan:
        return cls(
            text=plan.get("text", ""),
            changes=tuple(plan.get("changes") or ()),
            breaking=bool(plan.get("breaking", False)),
            hash=plan.get("hash", ""),
            version=plan.get("version"),
            raw=plan,
        )

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How recorded answers compare with a recomputation from history."""

    compared: int
    """Values that were compared."""
    mismatches: int
    rows: int
    """Answers that were looked at."""
    samples: tuple[Any, ...]
    """Some of the mismatches."""

    @property
    def ok(self) -> bool:
        """Whether every value was the same."""
        return self.mismatches == 0

    @classmethod
    def from_json(cls, check: Json) -> CheckResult:
        return cls(
            compared=check.get("compared", 0),
            mismatches=check.get("mismatches", 0),
            rows=check.get("rows", 0),
            samples=tuple(check.get("samples") or ()),
        )


@dataclass(frozen=True, slots=True)
class FeatureVector:
    """The features of `len(vector)` entities at one query time.

    All mappings are keyed by reference (`"carrier_delays.delay_mean_7d"`, or an on-demand feature's name), in the order
    of the service; each list has one element per entity, in the order they were asked for.
    """

    as_of: datetime | None
    """The query time, in UTC: events at or after it were not seen."""
    entities: Mapping[str, list[Any]]
    values: Mapping[str, list[Any]]
    statuses: Mapping[str, list[str]]
    """`PRESENT`, `NULL` (computed, and null), `NOT_FOUND` (never seen), `STALE` (withheld) or `ERROR`."""
    event_times: Mapping[str, list[datetime | None]]
    """The newest event time among the rows that contributed, in UTC; None where none did."""
    errors: Mapping[str, list[str | None]]
    """Why a value has the status `ERROR`; only of features that have any."""
    types: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_json(cls, response: Json) -> FeatureVector:
        results = response.get("results", [])
        return cls(
            as_of=parse_moment(response.get("as_of")),
            entities=response.get("entities", {}),
            values={result["name"]: decode_all(result["values"], result.get("type")) for result in results},
            statuses={result["name"]: result.get("statuses", []) for result in results},
            event_times={
                result["name"]: [parse_moment(time) for time in result.get("event_times", [])] for result in results
            },
            errors={result["name"]: result["errors"] for result in results if result.get("errors")},
            types={result["name"]: result["type"] for result in results if result.get("type")},
        )

    def __len__(self) -> int:
        columns = [*self.entities.values(), *self.values.values()]
        return len(columns[0]) if columns else 0

    def __getitem__(self, name: str) -> list[Any]:
        """The values of one feature, by its reference."""
        return self.values[name]

    def to_dict(self) -> dict[str, list[Any]]:
        """Key columns and values: `{"carrier": ["AA"], "carrier_delays.delay_mean_7d": [3.5]}`."""
        return {**self.entities, **self.values}

    def to_arrow(self, *, statuses: bool = False) -> pa.Table:
        """Key columns and values as a table, with the columns of a training set.

        A reference `view.output` is the column `view__output`, so that a model finds the names it was trained on. With
        `statuses`, each feature is followed by `<column>__status`.
        """
        import pyarrow as pa

        columns: dict[str, Any] = {name: pa.array(values) for name, values in self.entities.items()}
        for name, values in self.values.items():
            column = name.replace(".", "__")
            kind = arrow_type(parse(self.types[name])) if name in self.types else None
            is_map = kind is not None and pa.types.is_map(kind)
            columns[column] = pa.array([_pairs(value) for value in values] if is_map else values, type=kind)
            if statuses:
                columns[f"{column}__status"] = pa.array(self.statuses[name], type=pa.string())
        return pa.table(columns)

    def to_pandas(self, *, statuses: bool = False) -> pd.DataFrame:
        """As `to_arrow`, for pandas."""
        return self.to_arrow(statuses=statuses).to_pandas()


@dataclass(frozen=True, slots=True)
class TrainingSetResult:
    """A training set: the spine's columns in order, then one column for each feature of the service.

    A reference `view.output` is the column `view__output`. Rows are those of the spine, in its order.
    """

    id: str
    report: Json = field(repr=False)
    """Rows, sources with their positions, and for each feature its nulls, range, and in how many rows late data makes
    a difference (`late_changed`)."""
    table: pa.Table = field(repr=False)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def to_arrow(self) -> pa.Table:
        """The training set as an Arrow table."""
        return self.table

    def to_pandas(self) -> pd.DataFrame:
        """The training set as a pandas DataFrame."""
        return self.table.to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """The training set as a polars DataFrame."""
        import polars as pl

        frame = pl.from_arrow(self.table)
        assert isinstance(frame, pl.DataFrame)
        return frame

    def write_parquet(self, path: str | Path) -> None:
        """Writes the training set to a Parquet file, zstd-compressed."""
        import pyarrow.parquet as pq

        pq.write_table(self.table, path, compression="zstd")


def _pairs(value: Any) -> Any:
    return list(value.items()) if isinstance(value, dict) else value
