"""Feature views: features of one entity over one or more sources, and references to their outputs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import arguments
from .definitions import Definition, Json, compact
from .features import Feature
from .origins import Origin
from .sources import Entity, Source
from .windows import Duration, optional_duration

if TYPE_CHECKING:
    from .direct import DirectFeature


@dataclass(frozen=True, slots=True)
class FeatureRef:
    """One or more outputs of a view, as `view["delay_mean_7d"]` gives them, or of the view of a direct feature."""

    view: FeatureView | DirectFeature
    outputs: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The references, `view.output` each."""
        return tuple(f"{self.view.view_name}.{output}" for output in self.outputs)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __str__(self) -> str:
        return ", ".join(self.names)


class FeatureView(Definition):
    """Features of one entity, computed from the rows of one or more sources.

    Args:
        name: the first part of each reference, `name.output`.
        entity: whom the features describe; the sources have its key columns.
        source, sources: where rows come from. Several sources are read as one and have the columns in common.
        filter: a SQL expression; only rows for which it is true are seen.
        derived: further columns by name, as SQL over columns and earlier derived ones, for features to use.
        features: by name, made by `tw.count`, `tw.sum`, ... Each window gives an output of its own: `delay_mean` over
            `"7d"` is read as `delay_mean_7d`.
        freshness: the objective for how soon an event is readable. Watched, without effect on values.
        staleness: a value whose event time is further before the query time is withheld, with status `STALE`. Left out:
            never.
        retention: how long rows and entities are remembered for live reads. Left out: the longest window, or for ever
            where one has no end.
        time_zone: an IANA name; windows of whole days begin at midnight there. Left out: UTC.
        nan: `"skip"` treats NaN and infinity as nulls, `"keep"` as numbers.

    `view["delay_mean_7d"]` refers to an output, `view["delay_mean"]` to all outputs of a feature.
    """

    KIND = "view"
    entity: Entity
    sources: tuple[Source, ...]
    filter: str
    derived: Mapping[str, str]
    features: Mapping[str, Feature]
    freshness: str
    staleness: str
    retention: str
    time_zone: str
    nan: str

    def __init__(
        self,
        name: str,
        *,
        entity: Entity,
        source: Source | None = None,
        sources: Iterable[Source] | None = None,
        features: Mapping[str, Feature],
        filter: str | None = None,
        derived: Mapping[str, str] | None = None,
        freshness: Duration | None = None,
        staleness: Duration | None = None,
        retention: Duration | None = None,
        time_zone: str | None = None,
        nan: str = "skip",
        description: str = "",
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        namespace: str = "default",
    ) -> None:
        super().__init__(name, description, owner, tags, namespace)
        if not isinstance(entity, Entity):
            raise TypeError(f"`entity` takes a tw.Entity, not {arguments.kind(entity)}; pass the object, not its name")
        self._set(
            entity=entity,
            sources=_sources(source, sources),
            features=_features(features),
            filter=arguments.optional_text(filter, "filter", 'write SQL, such as filter="NOT cancelled"'),
            derived=_derived(derived),
            freshness=optional_duration(freshness, "freshness"),
            staleness=optional_duration(staleness, "staleness"),
            retention=optional_duration(retention, "retention"),
            time_zone=arguments.optional_text(time_zone, "time_zone", 'write time_zone="America/New_York"'),
            nan=arguments.choice(nan, "nan", ("skip", "keep")),
        )

    @property
    def view_name(self) -> str:
        """The first part of its references."""
        return self.name

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names under which the view's values are read: one for each feature and window, in order."""
        return tuple(output for name, feature in self.features.items() for output in feature.outputs(name))

    @property
    def ref(self) -> FeatureRef:
        """A reference to all outputs."""
        return FeatureRef(self, self.outputs)

    def __getitem__(self, name: str) -> FeatureRef:
        """The output of this name; or, where `name` is a feature and no output, all outputs of the feature."""
        arguments.text(name, "name", 'write view["delay_mean_7d"]')
        if name in self.outputs:
            return FeatureRef(self, (name,))
        if name in self.features:
            return FeatureRef(self, self.features[name].outputs(name))
        known = [*self.outputs, *self.features]
        close = difflib.get_close_matches(name, known, n=3) or known[:5]
        raise KeyError(f"view `{self.name}` has no output or feature `{name}`; there is {', '.join(close)}")

    def __contains__(self, name: object) -> bool:
        return name in self.outputs or name in self.features

    # Without this, Python would iterate by calling __getitem__ with 0, 1, 2.
    def __iter__(self) -> Iterator[str]:
        return iter(self.outputs)

    def depends_on(self) -> Iterable[Definition]:
        return (self.entity, *self.sources)

    def origins(self) -> Mapping[str, Origin]:
        features = {f"{self.key}.{name}": feature.origin for name, feature in self.features.items()}
        return {self.key: self.origin, **features}

    def to_json(self) -> Json:
        return compact(
            {
                "name": self.name,
                "entity": self.entity.name,
                "sources": [source.name for source in self.sources],
                "filter": self.filter,
                "derived": [{"name": name, "expression": sql} for name, sql in self.derived.items()],
                "features": [feature.to_json(name) for name, feature in self.features.items()],
                "freshness": self.freshness,
                "staleness": self.staleness,
                "retention": self.retention,
                "time_zone": self.time_zone,
                "keep_nan": self.nan == "keep",
                "about": self._about(),
            }
        )


def _sources(source: object, sources: object) -> tuple[Source, ...]:
    if (source is None) == (sources is None):
        raise TypeError("a view takes either `source` or `sources`; write source=departures")
    if sources is not None and (isinstance(sources, str | Source) or not isinstance(sources, Iterable)):
        raise TypeError(f"`sources` takes a list, not {arguments.kind(sources)}; write sources=[departures]")
    given = (source,) if sources is None else tuple(sources)
    checked = []
    for item in given:
        if not isinstance(item, Source):
            raise TypeError(
                f"`source` takes a tw.EventSource or tw.ChangeSource, not {arguments.kind(item)}; "
                "pass the object, not its name"
            )
        checked.append(item)
    if not checked:
        raise ValueError("`sources` is empty; a view reads at least one source")
    return tuple(checked)


def _features(features: object) -> Mapping[str, Feature]:
    mend = 'write features={"flights": tw.count(over="1d")}'
    given = arguments.mapping(features, "features", mend)
    for name, feature in given.items():
        if not isinstance(feature, Feature):
            raise TypeError(
                f"`features[{name!r}]` takes an aggregation, not {arguments.kind(feature)}; "
                'write one such as tw.mean("amount", over="7d")'
            )
    return given


def _derived(derived: Mapping[str, str] | None) -> Mapping[str, str]:
    mend = 'write derived={"late": "arr_delay > 15"}'
    given = arguments.mapping({} if derived is None else derived, "derived", mend)
    for expression in given.values():
        arguments.text(expression, "derived", mend)
    return given
