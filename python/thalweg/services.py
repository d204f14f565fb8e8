"""What models read: on-demand features, services (a list of features in a fixed order) and named training sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from . import arguments
from .definitions import Definition, Json, compact
from .direct import DirectFeature
from .sources import Column, Schema, schema_columns
from .views import FeatureRef, FeatureView

AS_OF = ("event_time", "arrival")
"""The two kinds of point in time; see `TrainingSet`."""


class OnDemand(Definition):
    """A feature computed at the read, from other features and from values that come with the request.

    Args:
        name: under which it is read; it has no view in front.
        expression: SQL over `view.output`, `request.column` and other on-demand features by name, such as
            `"carrier_delays.delay_mean_7d - request.expected"`.
        request: the columns that the caller sends along, by name.
    """

    KIND = "on_demand"
    expression: str
    request: Mapping[str, Column]
    _made_from: tuple[Definition, ...]

    def __init__(
        self,
        name: str,
        expression: str,
        *,
        request: Schema | None = None,
        description: str = "",
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        namespace: str = "default",
    ) -> None:
        super().__init__(name, description, owner, tags, namespace)
        self._set(
            expression=arguments.text(expression, "expression", "write SQL over features and request columns"),
            request=schema_columns({} if request is None else request, "request"),
            # Encoders say what they encode; SQL written by hand names it by reference.
            _made_from=(),
        )

    def depends_on(self) -> Iterable[Definition]:
        return self._made_from

    def to_json(self) -> Json:
        request = [column.to_json(name) for name, column in self.request.items()]
        return compact({"name": self.name, "expression": self.expression, "request": request, "about": self._about()})


FeatureLike: TypeAlias = FeatureView | FeatureRef | DirectFeature | OnDemand | str
"""What names features: a view (all its outputs), `view["x_7d"]`, a direct feature (its value, or all its aggregations),
an on-demand feature, or a reference as text."""


class FeatureService(Definition):
    """The features that one model reads, in the order in which it reads them.

    Args:
        features: views (all their outputs), references such as `view["delay_mean_7d"]`, direct features, on-demand
            features, or references as text. One named twice is read once.
        log_sample: the share of answers, from 0 to 1, that is recorded so that the check can recompute them from
            history.
    """

    KIND = "service"
    features: tuple[str, ...]
    log_sample: float
    _made_from: tuple[Definition, ...]

    def __init__(
        self,
        name: str,
        features: Iterable[FeatureLike],
        *,
        log_sample: float = 0.0,
        description: str = "",
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        namespace: str = "default",
    ) -> None:
        super().__init__(name, description, owner, tags, namespace)
        if isinstance(features, FeatureView | FeatureRef | DirectFeature | OnDemand | str) or not isinstance(
            features, Iterable
        ):
            raise TypeError(
                f"`features` takes a list of features, not {arguments.kind(features)}; write features=[view]"
            )
        given = tuple(features)
        self._set(
            features=tuple(dict.fromkeys(reference for item in given for reference in references(item))),
            log_sample=arguments.number(log_sample, "log_sample", 0.0, 1.0),
            _made_from=tuple(
                item.view if isinstance(item, FeatureRef) else item for item in given if not isinstance(item, str)
            ),
        )

    def depends_on(self) -> Iterable[Definition]:
        return self._made_from

    def to_json(self) -> Json:
        return compact(
            {
                "name": self.name,
                "features": list(self.features),
                "log_sample": self.log_sample,
                "about": self._about(),
            }
        )


class TrainingSet(Definition):
    """A training set with a name: which service, for which rows, and as of which kind of point in time.

    Args:
        service: whose features become columns.
        spine: the rows to compute features for: SQL over history, or the path of a Parquet file. It has the key columns
            of the entities, the request columns of on-demand features, and any labels.
        timestamp: the spine's column that holds each row's query time; events at or after it are not seen.
        as_of: `"event_time"` sees events that happened before the query time, however late they arrived; `"arrival"`
            of those only the ones that had arrived, which is what serving would have answered at that moment.
    """

    KIND = "training_set"
    service: FeatureService
    spine: str
    timestamp: str
    as_of: str

    def __init__(
        self,
        name: str,
        service: FeatureService,
        spine: str,
        *,
        timestamp: str = "timestamp",
        as_of: str = "event_time",
        description: str = "",
        owner: str = "",
        tags: Mapping[str, str] | None = None,
        namespace: str = "default",
    ) -> None:
        super().__init__(name, description, owner, tags, namespace)
        if not isinstance(service, FeatureService):
            raise TypeError(
                f"`service` takes a tw.FeatureService, not {arguments.kind(service)}; pass the object, not its name"
            )
        self._set(
            service=service,
            spine=arguments.text(spine, "spine", "write SQL over history, or the path of a Parquet file"),
            timestamp=arguments.text(timestamp, "timestamp", "name the spine's column that holds the query time"),
            as_of=arguments.choice(as_of, "as_of", AS_OF),
        )

    def depends_on(self) -> Iterable[Definition]:
        return (self.service,)

    def to_json(self) -> Json:
        return compact(
            {
                "name": self.name,
                "service": self.service.name,
                "as_of": self.as_of,
                "spine": self.spine,
                "timestamp": self.timestamp,
                "about": self._about(),
            }
        )


def references(item: object) -> tuple[str, ...]:
    """The references that a feature, a view or text stands for."""
    match item:
        case FeatureView() | DirectFeature():
            return item.ref.names
        case FeatureRef():
            return item.names
        case OnDemand():
            return (item.name,)
        case str():
            return (arguments.text(item, "features", 'write "view.output"'),)
    raise TypeError(
        f"`features` takes views, references, direct and on-demand features, not {arguments.kind(item)}; "
        'write view, view["delay_mean_7d"] or "view.delay_mean_7d"'
    )
