"""What can go wrong, in as few kinds as a caller can act on.

A definition is wrong (`DefinitionError`: mend the file and line it names), a server refused or could not be reached
(`ServerError`: its `code` says which), or it is busy (`Overloaded`: wait and send again). All are `ThalwegError`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass


class ThalwegError(Exception):
    """The base of every error that this package raises on its own account."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule in the definitions."""

    object: str
    """Kind and name, such as `view:carrier_delays.delay_mean`."""
    rule: str
    """The rule that is broken."""
    mend: str = ""
    """What to write instead."""
    origin: str = ""
    """Where the object was made, as `file:line`; empty where that is not known."""

    def __str__(self) -> str:
        place = f"{self.origin}: " if self.origin else ""
        mend = f"; {self.mend}" if self.mend else ""
        return f"{place}{self.object}: {self.rule}{mend}"


class DefinitionError(ThalwegError, ValueError):
    """The definitions break rules. `problems` holds every one of them, not just the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        count = len(self.problems)
        title = f"{count} problem{'' if count == 1 else 's'} in the definitions"
        super().__init__("\n".join([title, *(f"  {problem}" for problem in self.problems)]))

    @classmethod
    def from_json(cls, text: str) -> DefinitionError:
        """The error for a JSON list of problems, as the compiler reports them."""
        return cls(
            Problem(
                object=str(entry.get("object", "")),
                rule=str(entry.get("rule", "")),
                mend=str(entry.get("mend", "")),
                origin=str(entry.get("origin") or ""),
            )
            for entry in json.loads(text)
        )


class ServerError(ThalwegError):
    """A server refused a request, or gave no answer.

    Attributes:
        code: what kind of refusal, such as `NOT_FOUND` or `INVALID`; `UNREACHABLE` where there was no connection and
            `TIMEOUT` where there was no answer in time.
        status: the HTTP status, or 0 where there was none.
        idempotency_key: for a push, the key under which it was sent. It is not known whether the rows were taken:
            push the same rows with this key again, and they count once.
    """

    def __init__(self, code: str, message: str, *, status: int = 0, idempotency_key: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.idempotency_key = idempotency_key


class Overloaded(ServerError):
    """The server takes no more for now, and said so on every retry. `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: float, status: int = 429, code: str = "OVERLOADED") -> None:
        super().__init__(code, message, status=status)
        self.retry_after = retry_after
