"""What the operations know of a client: calls with Python values, answers in one form, refusals in the door's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..project import service_features
from ..server import World

SHOWN_CHARACTERS = 2_000
EXCHANGES_KEPT = 4
SERVICE_FEATURES = service_features()


@dataclass
class Column:
    """One feature for all entities. A door that does not tell a part of it has None for that."""

    values: list[Any]
    statuses: list[str]
    event_times: list[int | None] | None = None


# By the feature's name.
Answer = dict[str, Column]


@dataclass
class Ack:
    applied: int | None = None
    quarantined: int | None = None
    repeated: bool | None = None
    reason: str = ""
    first_sequence: int | None = None


@dataclass
class Reading:
    """The value of a directly written feature, or of one of its aggregations."""

    value: Any
    status: str


class Refused(Exception):
    """What a client gets instead of an answer: the code in the door's own form, and the message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Client:
    """A client of a running server. Values in answers are in the form of `exact`."""

    # Whether it can say a query time, and whether its answers have the value of no input where nothing was found.
    has_as_of = True
    shows_no_input = True
    # How its door refuses a service that there is not, and a manifest that changes what features mean.
    unknown_code = ""
    breaking_code = ""
    broken_row_code = ""
    # How it can compress what it sends.
    encodings: tuple[str, ...] = ()
    # Whether it can send a call byte by byte.
    sends_raw = False

    def __init__(self, world: World) -> None:
        self.world = world
        self.types: dict[str, str] = types_of(world)
        self._exchanges: list[tuple[str, str]] = []

    def told(self, request: Any, answer: Any) -> None:
        """Remembers what went over the line, for the message of a failure."""
        self._exchanges.append((shown(request), shown(answer)))
        del self._exchanges[:-EXCHANGES_KEPT]

    def exchanges(self) -> str:
        return "\n".join(f"  sent: {request}\n  got:  {answer}" for request, answer in self._exchanges)

    def begin(self) -> None:
        self._exchanges.clear()

    def close(self) -> None:
        """Lets go of connections."""


def shown(what: Any) -> str:
    text = what.decode(errors="backslashreplace") if isinstance(what, bytes) else str(what)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text)} characters)"


def types_of(world: World) -> dict[str, str]:
    """The type of every feature, asked for once, over HTTP."""
    known = world.types
    if not known:
        for service in SERVICE_FEATURES:
            keys: dict[str, list[Any]] = {"shop": [7], "till": ["x"]} if service == "tills" else {"user": ["x"]}
            body: dict[str, Any] = {"service": service, "entities": keys}
            if service == "scoring":
                body["request"] = {"amount": [1.0], "extra": [1]}
            answer = world.http.post("/v1/features", json=body)
            assert answer.status_code == 200, f"{body}: {answer.status_code} {answer.text}"
            known |= {result["name"]: result["type"] for result in answer.json()["results"]}
    return known


def refusal(call: Callable[[], Any]) -> Refused:
    """The refusal that a call ends with."""
    try:
        answer = call()
    except Refused as refused:
        return refused
    raise AssertionError(f"it was to be refused, and answered {shown(answer)}")
