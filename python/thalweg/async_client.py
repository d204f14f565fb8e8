"""The client for asyncio: each call runs the blocking client in a thread, so that both behave alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .client import Client
from .definitions import Json
from .frames import Frame
from .progress import Progress
from .project import Compiled, Project
from .results import CheckResult, FeatureVector, Plan, PushResult, TrainingSetResult
from .services import FeatureService, TrainingSet
from .session import ServiceLike, SourceLike
from .values import PointInTime


class AsyncClient:
    """`Client`, with calls to await. Arguments, results and errors are those of `Client`."""

    def __init__(
        self,
        url: str | None = None,
        timeout: float = 30.0,
        *,
        retries: int = 4,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._client = Client(url, timeout, retries=retries, headers=headers)

    def __repr__(self) -> str:
        return f"AsyncClient({self.url!r})"

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    @property
    def url(self) -> str:
        """The server's address."""
        return self._client.url

    async def push(
        self, source: SourceLike, data: Frame, *, idempotency_key: str | None = None, backfill: bool = False
    ) -> PushResult:
        """See `Client.push`."""
        return await asyncio.to_thread(
            self._client.push, source, data, idempotency_key=idempotency_key, backfill=backfill
        )

    async def features(
        self,
        service: ServiceLike,
        entities: Frame,
        *,
        request: Frame | None = None,
        as_of: PointInTime | None = None,
    ) -> FeatureVector:
        """See `Client.features`."""
        return await asyncio.to_thread(self._client.features, service, entities, request=request, as_of=as_of)

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
            return await asyncio.to_thread(
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
        return await asyncio.to_thread(self._client.plan, project)

    async def apply(self, project: Project | Compiled, *, allow_breaking: bool = False) -> Plan:
        """See `Client.apply`."""
        return await asyncio.to_thread(self._client.apply, project, allow_breaking=allow_breaking)

    async def check(self, **options: Any) -> CheckResult:
        """See `Client.check`."""
        return await asyncio.to_thread(self._client.check, **options)

    async def flush(self) -> None:
        """See `Client.flush`."""
        await asyncio.to_thread(self._client.flush)

    async def status(self) -> Json:
        """See `Client.status`."""
        return await asyncio.to_thread(self._client.status)

    async def ledger(self, source: SourceLike) -> Json:
        """See `Client.ledger`."""
        return await asyncio.to_thread(self._client.ledger, source)

    async def quarantine(self, source: SourceLike) -> list[Json]:
        """See `Client.quarantine`."""
        return await asyncio.to_thread(self._client.quarantine, source)

    async def replay_quarantine(self, source: SourceLike) -> PushResult:
        """See `Client.replay_quarantine`."""
        return await asyncio.to_thread(self._client.replay_quarantine, source)
