"""Features that applications write themselves, one value at a time, and what to fetch where none was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import GenericAlias
from typing import TypeAlias, get_args, get_origin

from . import arguments
from .definitions import Definition, Json, compact
from .sources import Entity
from .views import FeatureRef
from .windows import Duration, Sliding, optional_duration

MAX_PREVIOUS = 16
"""The most earlier values that a direct feature keeps to be read."""

AGGREGATIONS = ("count", "sum", "mean", "min", "max")
"""What a windowed direct feature computes."""

Primitive: TypeAlias = type | GenericAlias | str
"""`int`, `float`, `str`, `bool`, `datetime`, a list of one of them (`list[int]`), or its written form: `"int"`,
`"float"`, `"string"`, `"bool"`, `"timestamp"`, in brackets for a list (`"[int]"`)."""


@dataclass(frozen=True, init=False)
class Fetch:
    """Where the server asks for a value that is not there, or is older than the feature's freshness.

    Args:
        url: http or https, with `{column}` for each key column of the entity, behind the host.
        field: which part of the JSON answer is the value, as a JSON pointer such as `"/score"`. Left out: all of it.
        headers: sent along. `"env:SCORES_TOKEN"` sends what that environment variable of the server holds, so that
            secrets stay out of definitions.
    """

    url: str
    field: str
    headers: Mapping[str, str]

    def __init__(self, url: str, *, field: str = "", headers: Mapping[str, str] | None = None) -> None:
        mend = 'write headers={"Authorization": "env:SCORES_TOKEN"}'
        given = arguments.mapping({} if headers is None else headers, "headers", mend)
        for value in given.values():
            if not isinstance(value, str):
                raise TypeError(f"`headers` takes text, not {arguments.kind(value)}; {mend}")
        object.__setattr__(self, "url", arguments.text(url, "url", 'write url="https://scores.example/users/{user}"'))
        object.__setattr__(self, "field", arguments.optional_text(field, "field", 'write field="/score"'))
        object.__setattr__(self, "headers", given)

    def __hash__(self) -> int:
        return hash((self.url, self.field, tuple(sorted(self.headers.items()))))

    def to_json(self) -> Json:
        headers = [{"name": name, "value": value} for name, value in sorted(self.headers.items())]
        return compact({"url": self.url, "field": self.field, "headers": headers})


class DirectFeature(Definition):
    """A feature that applications write: set, appended to, counted up, and read back at once.

    Each write is an event, so that history and training sets have it too. What is stored is the whole value after the
    write. Read elsewhere it is a view called `<namespace>__<name>`.

    Args:
        name: unique in the namespace.
        entity: whose feature it is; writes and reads name its key columns.
        primitive: what it holds: `int`, `float`, `str`, `bool`, `datetime`, or a list such as `list[int]`.
        keep_previous: how many values before the newest can be read, at most 16.
        aggregations: makes it windowed: of `"count"`, `"sum"`, `"mean"`, `"min"`, `"max"`, over the values that were
            written. A windowed feature has no list, no previous values and no fetch.
        over: the length of that window, such as `"1h"`.
        freshness: the objective for how soon a write is readable; with `fetch`, how old a value may be before it is
            fetched again: left out, every read fetches.
        staleness: a value that was written longer before the query time is withheld, with status `STALE`.
        timeout: how long a write may take to be durable, and a fetch to answer, at most a minute.
        fetch: where to ask for a value that is not there.

    `feature.previous(1)` refers to the value before the newest, `feature.aggregation("sum")` to one aggregation, and
    the feature itself to its value, or to all its aggregations.
    """

    KIND = "direct"
    entity: Entity
    primitive: str
    keep_previous: int
    aggregations: tuple[str, ...]
    over: str
    freshness: str
    staleness: str
    timeout: str
    fetch: Fetch | None

    def __init__(
        self,
        name: str,
        *,
        entity: Entity,
        primitive: Primitive,
        keep_previous: int = 0,
        aggregations: Iterable[str] = (),
        over: Duration | None = None,
        freshness: Duration | None = None,
        staleness: Duration | None = None,
        timeout: Duration | None = None,
        fetch: Fetch | None = None,
        description: str = "",
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        namespace: str = "default",
    ) -> None:
        super().__init__(name, description, owner, tags, namespace)
        if not isinstance(entity, Entity):
            raise TypeError(f"`entity` takes a tw.Entity, not {arguments.kind(entity)}; pass the object, not its name")
        if fetch is not None and not isinstance(fetch, Fetch):
            raise TypeError(
                f"`fetch` takes a tw.Fetch, not {arguments.kind(fetch)}; "
                'write fetch=tw.Fetch("https://scores.example/users/{user}", field="/score")'
            )
        if arguments.natural(keep_previous, "keep_previous") > MAX_PREVIOUS:
            raise ValueError(f"`keep_previous` is {keep_previous}; a direct feature keeps at most {MAX_PREVIOUS}")
        self._set(
            entity=entity,
            primitive=_primitive(primitive),
            keep_previous=keep_previous,
            aggregations=_aggregations(aggregations),
            over="" if over is None else Sliding(over).over,
            freshness=optional_duration(freshness, "freshness"),
            staleness=optional_duration(staleness, "staleness"),
            timeout=optional_duration(timeout, "timeout"),
            fetch=fetch,
        )
        if bool(self.aggregations) != bool(self.over):
            missing = "over" if self.aggregations else "aggregations"
            given = "aggregations" if self.aggregations else "over"
            raise ValueError(
                f'`{missing}` is missing; write aggregations=["sum"] and over="1h", or leave out `{given}`'
            )

    @property
    def key(self) -> str:
        return f"{self.KIND}:{self.selector}"

    @property
    def selector(self) -> str:
        """How clients that write and read it directly name it: `namespace.name`."""
        return f"{self.namespace}.{self.name}"

    @property
    def view_name(self) -> str:
        """The source and the view that it stands for, and the first part of its references."""
        return f"{self.namespace}__{self.name}"

    @property
    def outputs(self) -> tuple[str, ...]:
        """What is read of it: its value, or each aggregation over its window."""
        if not self.aggregations:
            return ("value",)
        return tuple(f"{name}{Sliding(self.over).suffix}" for name in self.aggregations)

    @property
    def ref(self) -> FeatureRef:
        """A reference to its value, or to all its aggregations."""
        return FeatureRef(self, self.outputs)

    def previous(self, position: int) -> FeatureRef:
        """The value so many before the newest, as it was when the newest was written.

        Raises:
            ValueError: the feature does not keep as many.
        """
        if arguments.natural(position, "position", least=1) > self.keep_previous:
            raise ValueError(
                f"direct feature `{self.selector}` keeps {self.keep_previous} previous values, and `position` is "
                f"{position}; give it keep_previous={position}"
            )
        return FeatureRef(self, (f"previous_{position}",))

    def aggregation(self, name: str) -> FeatureRef:
        """One aggregation of a windowed feature.

        Raises:
            KeyError: the feature does not have it.
        """
        if name not in self.aggregations:
            known = ", ".join(self.aggregations) or "none"
            raise KeyError(f"direct feature `{self.selector}` has no aggregation `{name}`; there is {known}")
        return FeatureRef(self, (self.outputs[self.aggregations.index(name)],))

    def depends_on(self) -> Iterable[Definition]:
        return (self.entity,)

    def to_json(self) -> Json:
        return compact(
            {
                "name": self.name,
                "entity": self.entity.name,
                "primitive": self.primitive,
                "keep_previous": self.keep_previous,
                "aggregations": list(self.aggregations),
                "over": self.over,
                "freshness": self.freshness,
                "staleness": self.staleness,
                "timeout": self.timeout,
                "fetch": {} if self.fetch is None else self.fetch.to_json(),
                "about": self._about(),
            }
        )


_WRITTEN: dict[object, str] = {
    int: "int",
    float: "float",
    str: "string",
    bool: "bool",
    datetime: "timestamp",
    "int": "int",
    "float": "float",
    "string": "string",
    "str": "string",
    "bool": "bool",
    "timestamp": "timestamp",
    "datetime": "timestamp",
}
_WORDS = "int, float, str, bool or datetime, or a list such as list[int]"


def _primitive(given: object) -> str:
    """The written form in the manifest: `int`, `[int]`."""
    item: object = given
    is_list = False
    if get_origin(given) is list:
        (item,) = get_args(given)
        is_list = True
    elif isinstance(given, str):
        item = given.strip()
        if item.startswith("[") and item.endswith("]"):
            item, is_list = item[1:-1].strip(), True
    if not isinstance(item, type | str) or item not in _WRITTEN:
        error = ValueError if isinstance(given, str) else TypeError
        raise error(f"`primitive` takes {_WORDS}, not {arguments.kind(given)}; write primitive=int")
    return f"[{_WRITTEN[item]}]" if is_list else _WRITTEN[item]


def _aggregations(given: object) -> tuple[str, ...]:
    mend = 'write aggregations=["count", "sum"]'
    names = arguments.texts(given, "aggregations", mend)
    for name in names:
        if name not in AGGREGATIONS:
            raise ValueError(f"a direct feature has no aggregation `{name}`; use {', '.join(AGGREGATIONS)}")
    if len(set(names)) < len(names):
        raise ValueError(f"`aggregations` names one twice ({', '.join(names)}); name each once")
    return names
