"""The client for asyncio: each call runs the blocking client in a thread of a pool, so that both behave alike.

A thread keeps its connection, so that as many requests are under way at a time as the pool has threads.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .client import Client
from .definitions import Json
from .direct_handle import DirectHandle, DirectLike, DirectValue, DirectWrite
from .frames import Frame
from .progress import Progress
from .project import Compiled, Project
from .results import CheckResult, FeatureVector, Plan, PushResult, TrainingSetResult
from .services import FeatureService, TrainingSet
from .session import ServiceLike, SourceLike
from .values import PointInTime

if TYPE_CHECKING:
    import pyarrow as pa

_T = TypeVar("_T")


class AsyncClient:
    """`Client`, with calls to await. Arguments, results and errors are those of `Client`.

    Args:
        connections: how many requests may be under way at a time; later ones wait.

    The other arguments are those of `Client`.
    """

    def __init__(
        self,
        url: str | None = None,
        timeout: float = 30.0,
        *,
        retries: int = 4,
        headers: Mapping[str, str] | None = None,
        api_key: str | None = None,
        ca_cert: str | os.PathLike[str] | None = None,
        connections: int = 16,
    ) -> None:
        self._client = Client(url, timeout, retries=retries, headers=headers, api_key=api_key, ca_cert=ca_cert)
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="thalweg-client")

    def __repr__(self) -> str:
        return f"AsyncClient({self.url!r})"

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Waits for calls under way, and closes the connections. Calls after it fail."""
        # Threads drop theirs when they end: held here, they are closed and not left to the garbage collector.
        connections = self._client._http.connections()
        await asyncio.get_running_loop().run_in_executor(None, partial(self._threads.shutdown, wait=True))
        for connection in connections:
            connection.close()

    async def _run(self, call: Callable[..., _T], *given: Any, **named: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *given, **named))

    @property
    def url(self) -> str:
        """The server's address."""
        return self._client.url

    async def push(
        self, source: SourceLike, data: Frame, *, idempotency_key: str | None = None, backfill: bool = False
    ) -> PushResult:
        """See `Client.push`."""
        return await self._run(self._client.push, source, data, idempotency_key=idempotency_key, backfill=backfill)

    async def features(
        self,
        service: ServiceLike,
        entities: Frame,
        *,
        request: Frame | None = None,
        as_of: PointInTime | None = None,
    ) -> FeatureVector:
        """See `Client.features`."""
        return await self._run(self._client.features, service, entities, request=request, as_of=as_of)

    async def features_table(
        self, service: ServiceLike, entities: Frame, *, as_of: PointInTime | None = None
    ) -> pa.Table:
        """See `Client.features_table`."""
        return await self._run(self._client.features_table, service, entities, as_of=as_of)

    def direct(self, feature: DirectLike) -> AsyncDirectHandle:
        """See `Client.direct`; the handle's calls are awaited."""
        return AsyncDirectHandle(self._run, self._client.direct(feature))

    async def training_set(
        self,
        service: FeatureService | TrainingSet | str,
        spine: Frame | str | Path | None = None,
        *,
        timestamp: str = "timestamp",
        as_of: str = "event_time",
        statuses: bool = False,
        recreate: str | None = None,
        progress: Progress | None = None,
    ) -> TrainingSetResult:
        """See `Client.training_set`. Cancelling the task cancels the computation on the server."""
        cancelled = threading.Event()

        def watch(done: int, total: int) -> None:
            if cancelled.is_set():
                raise asyncio.CancelledError
            if progress is not None:
                progress(done, total)

        try:
            return await self._run(
                self._client.training_set,
                service,
                spine,
                timestamp=timestamp,
                as_of=as_of,
                statuses=statuses,
                recreate=recreate,
                progress=watch,
            )
        except asyncio.CancelledError:
            # The thread sees it at its next look at the server, and cancels the computation there.
            cancelled.set()
            raise

    async def plan(self, project: Project | Compiled) -> Plan:
        """See `Client.plan`."""
        return await self._run(self._client.plan, project)

    async def apply(self, project: Project | Compiled, *, allow_breaking: bool = False) -> Plan:
        """See `Client.apply`."""
        return await self._run(self._client.apply, project, allow_breaking=allow_breaking)

    async def check(self, **options: Any) -> CheckResult:
        """See `Client.check`."""
        return await self._run(self._client.check, **options)

    async def flush(self) -> None:
        """See `Client.flush`."""
        await self._run(self._client.flush)

    async def status(self) -> Json:
        """See `Client.status`."""
        return await self._run(self._client.status)

    async def health(self) -> None:
        """See `Client.health`."""
        await self._run(self._client.health)

    async def ledger(self, source: SourceLike) -> Json:
        """See `Client.ledger`."""
        return await self._run(self._client.ledger, source)

    async def quarantine(self, source: SourceLike) -> list[Json]:
        """See `Client.quarantine`."""
        return await self._run(self._client.quarantine, source)

    async def replay_quarantine(self, source: SourceLike) -> PushResult:
        """See `Client.replay_quarantine`."""
        return await self._run(self._client.replay_quarantine, source)


class AsyncDirectHandle:
    """`DirectHandle`, with calls to await. Made by `AsyncClient.direct`."""

    def __init__(self, run: Callable[..., Awaitable[Any]], handle: DirectHandle) -> None:
        self._run = run
        self._handle = handle

    def __repr__(self) -> str:
        return repr(self._handle)

    async def describe(self) -> Json:
        """See `DirectHandle.describe`."""
        found: Json = await self._run(self._handle.describe)
        return found

    async def get(self, keys: Mapping[str, Any], **options: Any) -> DirectValue:
        """See `DirectHandle.get`."""
        found: DirectValue = await self._run(self._handle.get, keys, **options)
        return found

    async def set(self, keys: Mapping[str, Any], value: Any, **options: Any) -> DirectWrite:
        """See `DirectHandle.set`."""
        return await self._written(self._handle.set, keys, value, options)

    async def append(self, keys: Mapping[str, Any], value: Any, **options: Any) -> DirectWrite:
        """See `DirectHandle.append`."""
        return await self._written(self._handle.append, keys, value, options)

    async def incr(self, keys: Mapping[str, Any], value: int | float = 1, **options: Any) -> DirectWrite:
        """See `DirectHandle.incr`."""
        return await self._written(self._handle.incr, keys, value, options)

    async def update(self, keys: Mapping[str, Any], value: Any, **options: Any) -> DirectWrite:
        """See `DirectHandle.update`."""
        return await self._written(self._handle.update, keys, value, options)

    async def _written(
        self, call: Callable[..., DirectWrite], keys: Mapping[str, Any], value: Any, options: dict[str, Any]
    ) -> DirectWrite:
        written: DirectWrite = await self._run(call, keys, value, **options)
        return written
