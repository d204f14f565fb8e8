"""The calls that a server and an engine in the process have in common, over two ways of carrying them out.

`Client` carries them over HTTP, `Engine` in the process. What a user passes in is resolved here, once: tables, names,
idempotency keys, points in time.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from . import arguments
from .definitions import Json
from .direct import DirectFeature
from .direct_handle import DirectHandle, DirectLike, key_of, selector_of
from .frames import Frame, Rows, as_rows, read_parquet, to_columns, to_table
from .progress import Progress, ProgressLine
from .project import Compiled, Project
from .results import CheckResult, FeatureVector, Plan, PushResult, TrainingSetResult
from .services import AS_OF, FeatureLike, FeatureService, OnDemand, TrainingSet, references
from .sources import Source
from .values import PointInTime, moment
from .views import FeatureRef, FeatureView

if TYPE_CHECKING:
    import pyarrow as pa

MAX_PUSH_ROWS = 65_536
"""The most rows in one request of a push; a longer table is pushed in several."""

SourceLike: TypeAlias = Source | str
ServiceLike: TypeAlias = FeatureService | FeatureLike | Iterable[FeatureLike]


@dataclass(frozen=True, slots=True)
class TrainingSetRequest:
    """A training set to compute; exactly one of `spine` and `sql` is given."""

    service: str
    spine: pa.Table | None
    sql: str | None
    timestamp: str
    as_of: str
    statuses: bool
    recreate: str | None = None


class Session(ABC):
    """The calls on a feature platform. Use `Client`, `Engine` or `thalweg.connect`."""

    def push(
        self,
        source: SourceLike,
        data: Frame,
        *,
        idempotency_key: str | None = None,
        backfill: bool = False,
    ) -> PushResult:
        """Adds rows to a source. When this returns, they are durable, and the next read sees them.

        Args:
            source: the source or its name.
            data: a pandas or polars DataFrame, an Arrow table or record batch, or a list of dicts. Times without a
                time zone are UTC. Columns that the source does not have are ignored.
            idempotency_key: names this push. The same rows under the same key count once, however often they are sent.
                Left out, a new one is made, under which lost connections are retried.
            backfill: the rows are history: without a column of arrival times, each arrived at its event time.

        Raises:
            ServerError: refused, or unreachable after retries; `idempotency_key` then says under which key to push
                the same rows again.
            Overloaded: the server takes no more for now.
        """
        name = _source_name(source)
        rows: Any = as_rows(data)
        batch = to_table(data) if rows is None else rows
        key = key_of(idempotency_key)
        count = len(batch)
        parts = []
        for start in range(0, max(count, 1), MAX_PUSH_ROWS):
            piece = batch[start : start + MAX_PUSH_ROWS] if rows is not None else batch.slice(start, MAX_PUSH_ROWS)
            # Batches are cut the same way each time, so that a repeated push finds each under its own key.
            piece_key = key if count <= MAX_PUSH_ROWS else f"{key}-{start // MAX_PUSH_ROWS}"
            try:
                ack = self._push(name, piece, piece_key, backfill)
            except Exception as error:
                if hasattr(error, "idempotency_key"):
                    error.idempotency_key = key
                raise
            parts.append(PushResult.from_json(ack, first_row=start))
        return PushResult.merged(parts, key)

    def features(
        self,
        service: ServiceLike,
        entities: Frame,
        *,
        request: Frame | None = None,
        as_of: PointInTime | None = None,
    ) -> FeatureVector:
        """Reads features of entities.

        Args:
            service: a service or its name, or a list of features (views, references, on-demand features).
            entities: key columns by name, `{"carrier": ["AA", "UA"]}`, or a table or list of dicts with them.
            request: the request columns of on-demand features, with as many values.
            as_of: the query time; left out, now. Events at or after it are not seen.

        Raises:
            ServerError: there is no such service or feature, or a key column is missing. An error in one feature is no
                exception: it is a status, and the other features are answered.
        """
        body = {**_asked(service), "entities": to_columns(entities, "entities")}
        if request is not None:
            body["request"] = to_columns(request, "request")
        if as_of is not None:
            body["as_of"] = moment(as_of)
        return FeatureVector.from_json(self._features(body))

    def features_table(
        self,
        service: ServiceLike,
        entities: Frame,
        *,
        as_of: PointInTime | None = None,
    ) -> pa.Table:
        """Reads features of many entities, as Arrow both ways: several times faster than `features` for long tables.

        Args:
            service: as for `features`.
            entities: a table with the key columns, and the request columns of on-demand features.
            as_of: the query time; left out, now.

        Returns:
            The columns of a training set with statuses: keys, then each feature `view__output`, followed by
            `view__output__status`. The schema's metadata has `as_of` and `manifest_hash`.
        """
        return self._features_table(_asked(service), to_table(entities), None if as_of is None else moment(as_of))

    def direct(self, feature: DirectLike) -> DirectHandle:
        """A directly written feature, to be read and written: `client.direct("users.clicks").incr({"user": "u1"}, 1)`.

        Args:
            feature: a `DirectFeature`, or its selector `namespace.name`.
        """
        return DirectHandle(self, selector_of(feature))

    def training_set(
        self,
        service: FeatureService | TrainingSet | str,
        spine: Frame | str | Path | None = None,
        *,
        timestamp: str = "timestamp",
        as_of: str = "event_time",
        statuses: bool = False,
        recreate: str | None = None,
        progress: bool | Progress = True,
    ) -> TrainingSetResult:
        """Computes the features of a service for each row of a spine, as of that row's own time.

        Args:
            service: a service or its name; or a `TrainingSet`, which says the rest.
            spine: the rows: a pandas, polars or Arrow table, the path of a Parquet file, or SQL over history that
                begins with SELECT or WITH, where each source is a table. It has the key columns of the entities and
                the request columns of on-demand features.
            timestamp: the spine's column with each row's query time. Events at or after it are not seen.
            as_of: `"event_time"`: events that happened before, however late they arrived; `"arrival"`: of those only
                the ones that had arrived, which is what serving would have answered.
            statuses: adds a column `<feature>__status` for each feature.
            recreate: the id of a set that was made before, from the same spine: it is made again from the manifest and
                the state of history it had then, and refused if it does not come out the same.
            progress: True shows a line on a terminal or in a notebook; or a callable of rows done and in all.

        Ctrl-C cancels the computation, on the server too.
        """
        if isinstance(service, TrainingSet):
            spine = service.spine if spine is None else spine
            timestamp, as_of, service = service.timestamp, service.as_of, service.service
        name = service.name if isinstance(service, FeatureService) else service
        wanted = _training_set_request(name, spine, timestamp, as_of, statuses, recreate)
        line = ProgressLine(f"training set {wanted.service}") if progress is True else nullcontext(progress or None)
        with line as report:
            return self._training_set(wanted, report)

    def plan(self, project: Project | Compiled) -> Plan:
        """What applying the project would change. Changes nothing.

        Raises:
            DefinitionError: the definitions break rules.
        """
        return Plan.from_json(self._plan(_manifest(project)))

    def apply(self, project: Project | Compiled, *, allow_breaking: bool = False) -> Plan:
        """Makes the project's definitions those that are served.

        Args:
            allow_breaking: also takes away or redefines what services read.

        Raises:
            DefinitionError: the definitions break rules.
            ServerError: the change is breaking, and `allow_breaking` is False.
        """
        return Plan.from_json(self._apply(_manifest(project), allow_breaking))

    def check(self, **options: Any) -> CheckResult:
        """Recomputes recorded answers from history and compares them, to the last bit."""
        return CheckResult.from_json(self._check(options))

    def ledger(self, source: SourceLike) -> Json:
        """How many rows a source has read, and what became of them."""
        return self._ledger(_source_name(source))

    def quarantine(self, source: SourceLike) -> list[Json]:
        """The rows that broke the source's contract: raw bytes, position and reason each."""
        return self._quarantine(_source_name(source))

    def replay_quarantine(self, source: SourceLike) -> PushResult:
        """Tries the rows in quarantine again, such as after the contract was mended."""
        return PushResult.from_json(self._replay_quarantine(_source_name(source)))

    @abstractmethod
    def flush(self) -> None:
        """Writes history and a checkpoint now, rather than in the background."""

    @abstractmethod
    def status(self) -> Json:
        """The state of the whole: version, sources, views, sizes and lags."""

    @abstractmethod
    def _push(self, source: str, data: pa.Table | Rows, key: str, backfill: bool) -> Json: ...

    @abstractmethod
    def _features(self, body: Json) -> Json: ...

    @abstractmethod
    def _features_table(self, wanted: Json, columns: pa.Table, as_of: str | int | None) -> pa.Table: ...

    @abstractmethod
    def _direct(self, selector: str, operation: str, body: Json, key: str | None) -> Json: ...

    @abstractmethod
    def _descriptor(self, selector: str) -> Json: ...

    @abstractmethod
    def _training_set(self, wanted: TrainingSetRequest, progress: Progress | None) -> TrainingSetResult: ...

    @abstractmethod
    def _plan(self, manifest: str) -> Json: ...

    @abstractmethod
    def _apply(self, manifest: str, allow_breaking: bool) -> Json: ...

    @abstractmethod
    def _check(self, options: Json) -> Json: ...

    @abstractmethod
    def _ledger(self, source: str) -> Json: ...

    @abstractmethod
    def _quarantine(self, source: str) -> list[Json]: ...

    @abstractmethod
    def _replay_quarantine(self, source: str) -> Json: ...


def _source_name(source: object) -> str:
    if isinstance(source, Source):
        return source.name
    return arguments.text(source, "source", "pass a source or its name")


def _asked(service: object) -> Json:
    """A service by name, or the list of features that was meant."""
    if isinstance(service, FeatureService):
        return {"service": service.name}
    if isinstance(service, str) and "." not in service:
        return {"service": arguments.text(service, "service", "pass a service or its name")}
    if isinstance(service, str | FeatureView | FeatureRef | DirectFeature | OnDemand):
        return {"features": list(references(service))}
    if not isinstance(service, Iterable):
        raise TypeError(f"`service` takes a service, its name or a list of features, not {arguments.kind(service)}")
    return {"features": list(dict.fromkeys(name for item in service for name in references(item)))}


def _training_set_request(
    service: object,
    spine: Frame | str | Path | None,
    timestamp: str,
    as_of: str,
    statuses: bool,
    recreate: str | None,
) -> TrainingSetRequest:
    name = arguments.text(service, "service", "pass a service or its name")
    arguments.choice(as_of, "as_of", AS_OF)
    sql, table = None, None
    if isinstance(spine, str) and re.match(r"\s*(select|with)\b", spine, re.IGNORECASE):
        sql = spine
    elif isinstance(spine, str | Path):
        table = read_parquet(spine)
    elif spine is None:
        raise TypeError("`spine` is missing; pass a table, the path of a Parquet file, or SQL that begins with SELECT")
    else:
        table = to_table(spine)
    if table is not None and timestamp not in table.column_names:
        raise ValueError(
            f"the spine has no column `{timestamp}`; pass timestamp= with one of {', '.join(table.column_names)}"
        )
    return TrainingSetRequest(name, table, sql, timestamp, as_of, arguments.flag(statuses, "statuses"), recreate)


def _manifest(project: object) -> str:
    if isinstance(project, Compiled):
        return project.json
    if isinstance(project, Project):
        return project.compile().json
    raise TypeError(f"this takes a tw.Project, not {arguments.kind(project)}; write tw.Project(name, [objects])")
