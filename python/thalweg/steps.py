"""What is done to each row of a source before its filter: checks with a reason, and columns that are rewritten."""

from __future__ import annotations

from typing import ClassVar

from . import arguments
from .definitions import Immutable, Json, compact
from .origins import Origin, caller


class Step(Immutable):
    """The base of `Validate` and `Transform`.

    Attributes:
        name: unique in the source; None until the source names it by its position.
        priority: lower runs earlier, and equal ones by name; None: the position in the source's list.
        origin: the file and line of the constructor's call.
    """

    WORD: ClassVar[str]
    """How the manifest names the kind."""

    name: str | None
    priority: int | None
    origin: Origin

    def __init__(self, name: str | None, priority: int | None) -> None:
        if priority is not None:
            _priority(priority)
        self._set(
            name=None if name is None else arguments.text(name, "name", 'write name="positive_amount"'),
            priority=priority,
            origin=caller(),
        )

    def named(self, position: int) -> str:
        """Its name, as the step at this position of a source, counted from 0."""
        return self.name or f"{self.WORD}_{position + 1}"

    def to_json(self, position: int) -> Json:
        """The step as it stands in the manifest, at this position of its source."""
        priority = position if self.priority is None else self.priority
        return compact({"name": self.named(position), "priority": priority, self.WORD: self._body()})

    def _body(self) -> Json:
        raise NotImplementedError


class Validate(Step):
    """A rule of rows: one for which the condition is not true goes to quarantine, with the reason.

    Args:
        expression: SQL over the source's columns, such as `"amount > 0"`. Null is not true.
        reason: what is said of a row that breaks it.
        name: under which plans and counts show it; left out, `validate_1` and so on by its position.
        priority: lower runs earlier; left out, its position in the list, counted from 0.
    """

    WORD = "validate"
    expression: str
    reason: str

    def __init__(self, expression: str, *, reason: str, name: str | None = None, priority: int | None = None) -> None:
        super().__init__(name, priority)
        self._set(
            expression=arguments.text(expression, "expression", 'write SQL, such as "amount > 0"'),
            reason=arguments.text(reason, "reason", 'say what is wrong, such as reason="the amount is not positive"'),
        )

    def __repr__(self) -> str:
        return f"Validate({self.expression!r}, reason={self.reason!r})"

    def _body(self) -> Json:
        return {"expression": self.expression, "reason": self.reason}


class Transform(Step):
    """A column that takes the value of an expression, for each row, before it is stored.

    Args:
        column: a column of the source, but not that of a time.
        expression: SQL over the source's columns as the steps before left them, of the column's type, such as
            `"upper(currency)"`.
        name: as that of `Validate`; left out, `transform_1` and so on by its position.
        priority: as that of `Validate`.
    """

    WORD = "transform"
    column: str
    expression: str

    def __init__(self, column: str, expression: str, *, name: str | None = None, priority: int | None = None) -> None:
        super().__init__(name, priority)
        self._set(
            column=arguments.text(column, "column", "name a column of the source"),
            expression=arguments.text(expression, "expression", 'write SQL, such as "upper(currency)"'),
        )

    def __repr__(self) -> str:
        return f"Transform({self.column!r}, {self.expression!r})"

    def _body(self) -> Json:
        return {"column": self.column, "expression": self.expression}


def _priority(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"`priority` takes a whole number, not {arguments.kind(value)}; write priority=10")
    if not -(2**31) <= value < 2**31:
        raise ValueError(f"`priority` is {value}; it must fit in 32 bits, such as 10")
    return value
