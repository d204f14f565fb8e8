"""The form of one aggregated feature: what is computed, over which rows and windows. `aggregations` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from . import arguments
from .definitions import Immutable, Json, compact
from .origins import Origin, caller
from .windows import Over, Window, windows_of


class Feature(Immutable):
    """An aggregation over the rows of a view; made by `tw.count`, `tw.sum` and so on, and named by the view.

    Attributes:
        aggregation: such as `"mean"`.
        input: the SQL row expression that is aggregated; empty for a count of rows.
        where: a SQL row expression; only rows for which it is true are seen. Empty: all rows.
        by: a SQL row expression; the value becomes a map keyed by it. Empty: one value.
        windows: at least one; each gives an output of its own.
        parameters: the aggregation's own, such as `k`.
    """

    aggregation: str
    input: str
    where: str
    by: str
    windows: tuple[Window, ...]
    parameters: Mapping[str, int | float]
    description: str
    origin: Origin

    def __init__(
        self,
        aggregation: str,
        input: str | None,
        *,
        over: Over,
        where: str | None,
        by: str | None,
        description: str,
        parameters: Mapping[str, int | float] | None = None,
    ) -> None:
        mend = f'write a column or SQL over columns, such as tw.{aggregation}("amount")'
        self._set(
            aggregation=aggregation,
            # Only a count can do without an input.
            input="" if aggregation == "count" and input is None else arguments.text(input, "input", mend),
            where=arguments.optional_text(where, "where", 'write SQL over columns, such as where="amount > 0"'),
            by=arguments.optional_text(by, "by", 'write a column or SQL over columns, such as by="country"'),
            windows=windows_of(over),
            parameters=MappingProxyType(dict(parameters or {})),
            description=arguments.optional_text(description, "description", "say in a sentence what it is"),
            origin=caller(),
        )

    def __repr__(self) -> str:
        over = ", ".join(window.suffix.lstrip("_") or "unbounded" for window in self.windows)
        return f"Feature({self.aggregation}({self.input or '*'}) over {over})"

    def outputs(self, name: str) -> tuple[str, ...]:
        """The names under which a feature called `name` is read: one per window."""
        return tuple(f"{name}{window.suffix}" for window in self.windows)

    def to_json(self, name: str) -> Json:
        """The feature as it stands in the manifest."""
        return compact(
            {
                "name": name,
                "aggregation": self.aggregation,
                "input": self.input,
                "where": self.where,
                "by": self.by,
                "windows": [window.to_json() for window in self.windows],
                **self.parameters,
                "about": compact({"description": self.description}),
            }
        )
