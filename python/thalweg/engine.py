"""The engine in the process: the same code as the server's, on a directory, for notebooks, tests and batch jobs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import arguments, native
from .definitions import Json
from .errors import ThalwegError
from .frames import Rows, rows_to_table
from .progress import Progress
from .results import TrainingSetResult
from .session import Session, SourceLike, TrainingSetRequest, _source_name

if TYPE_CHECKING:
    import pyarrow as pa


class Engine(Session):
    """Opens an engine on a directory, which is created where there is none; one process at a time may have it open.

    Use it as a context manager, or call `close`:

        with tw.Engine("data") as engine:
            engine.apply(project)
            engine.push("departures", frame)
            engine.features("arrival_delay", {"carrier": ["AA"]})

    Args:
        path: the directory of its log, state, history and metadata.
        clock: `"system"`; or `"events"`, to replay history as if it were live: the time is then that of the latest
            event accepted.
        memory: the budget of the online state, such as `"1GB"`; left out, the engine's default.
        history: where history is written: a directory or the URL of an object store (`s3://...`); left out, below
            `path`.
        settings: further settings by name, as the server's configuration calls them.

    Raises:
        ThalwegError: on any call, with the engine's message.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        clock: str = "system",
        memory: str | None = None,
        history: str | Path | None = None,
        **settings: Any,
    ) -> None:
        if not isinstance(path, str | Path):
            raise TypeError(f'`path` takes a directory, not {arguments.kind(path)}; write tw.Engine("data")')
        given = {
            "clock": arguments.choice(clock, "clock", ("system", "events")),
            "memory": memory,
            "history": None if history is None else str(history),
            **settings,
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        self._path = str(path)
        with _translated():
            self._native = native.open_engine(self._path, json.dumps(chosen))

    def __repr__(self) -> str:
        return f"Engine({self._path!r})"

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Writes what is pending and closes the directory. Calls after it fail; closing twice does not."""
        with _translated():
            self._native.close()

    def serve(self, host: str = "127.0.0.1", port: int = 8765) -> str:
        """Serves HTTP in the background until the engine is closed; the server's URL. Port 0 takes a free one."""
        with _translated():
            return self._native.serve(host, port)

    def history_path(self, source: SourceLike) -> str:
        """The address of the Delta table that holds a source's history."""
        with _translated():
            return self._native.history_path(_source_name(source))

    def flush(self) -> None:
        with _translated():
            self._native.flush()

    def status(self) -> Json:
        return self._answer(self._native.status)

    def _push(self, source: str, data: pa.Table | Rows, key: str, backfill: bool) -> Json:
        table = rows_to_table(data) if isinstance(data, list) else data
        return self._answer(self._native.push, source, table, key, backfill)

    def _features(self, body: Json) -> Json:
        return self._answer(self._native.features, json.dumps(body))

    def _features_table(self, wanted: Json, columns: pa.Table, as_of: str | int | None) -> pa.Table:
        import pyarrow as pa

        with _translated():
            return pa.table(self._native.features_table(json.dumps({**wanted, "as_of": as_of}), columns))

    def _direct(self, selector: str, operation: str, body: Json, key: str | None) -> Json:
        return self._answer(self._native.direct, selector, operation, json.dumps(body), key)

    def _descriptor(self, selector: str) -> Json:
        return self._answer(self._native.direct_descriptor, selector)

    def _training_set(self, wanted: TrainingSetRequest, progress: Progress | None) -> TrainingSetResult:
        import pyarrow as pa

        options: Json = {"timestamp": wanted.timestamp, "as_of": wanted.as_of, "statuses": wanted.statuses}
        if wanted.sql is not None:
            options["sql"] = wanted.sql
        if wanted.recreate is not None:
            options["recreate"] = wanted.recreate
        with _translated():
            data, report_json = self._native.training_set(wanted.service, wanted.spine, json.dumps(options), progress)
        report = json.loads(report_json)
        table = data if isinstance(data, pa.Table) else pa.table(data)
        return TrainingSetResult(id=str(report.get("id", "")), report=report, table=table)

    def _plan(self, manifest: str) -> Json:
        return self._answer(self._native.plan, manifest)

    def _apply(self, manifest: str, allow_breaking: bool) -> Json:
        return self._answer(self._native.apply, manifest, allow_breaking)

    def _check(self, options: Json) -> Json:
        return self._answer(self._native.check, json.dumps(options))

    def _ledger(self, source: str) -> Json:
        return self._answer(self._native.ledger, source)

    def _quarantine(self, source: str) -> list[Json]:
        rows: Any = self._answer(self._native.quarantine, source)
        return list(rows if isinstance(rows, list) else rows.get("rows", []))

    def _replay_quarantine(self, source: str) -> Json:
        return self._answer(self._native.replay_quarantine, source)

    @staticmethod
    def _answer(call: Callable[..., str], *given: Any) -> Json:
        with _translated():
            answer: Json = json.loads(call(*given) or "{}")
            return answer


@contextmanager
def _translated() -> Iterator[None]:
    """The native module's errors as those of this package."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if isinstance(error, ThalwegError):
            raise
        raise ThalwegError(str(error)) from error
