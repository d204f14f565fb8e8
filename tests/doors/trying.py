"""Trying cells: a client for each column, made when it is first needed, and what became of each cell."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from typing import Any

from .programs import Missing
from .registry import Entry
from .server import World

OK, FAILED, MISSING = "ok", "FAILED", "missing"


@dataclass(frozen=True)
class Outcome:
    entry: Entry
    operation: str
    result: str
    seconds: float
    # Why it failed: what was expected, and what went over the line.
    why: str = ""

    def __str__(self) -> str:
        return f"{self.entry.title}: {self.operation}: {self.result}\n{self.why}"


class Trials:
    """The cells of one server."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._clients: dict[Entry, Any] = {}

    def attempt(self, entry: Entry, operation: str) -> Outcome:
        began = time.monotonic()
        client = None
        try:
            client = self._client(entry)
            client.begin()
            entry.check(operation)(client)
            result, why = OK, ""
        except Missing as missing:
            result, why = MISSING, f"  {missing}"
        except Exception as error:
            result, why = FAILED, told(error, client)
        return Outcome(entry, operation, result, time.monotonic() - began, why)

    def _client(self, entry: Entry) -> Any:
        if entry not in self._clients:
            self._clients[entry] = entry.make(self.world)
        return self._clients[entry]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


def told(error: Exception, client: Any) -> str:
    """What failed and where, and the last requests with their answers."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    exchanges = client.exchanges() if client is not None else ""
    return f"  {kind}{error}\n  at {place.filename}:{place.lineno} in {place.name}\n{exchanges}"
