"""What all definitions share: a name, what they are about, where they were made, and that they never change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NoReturn

from . import arguments
from .origins import Origin, caller

Json = dict[str, Any]

DEFAULT_NAMESPACE = "default"
"""Where objects are that name no namespace."""


class Immutable:
    """An object whose attributes are set once, by its constructor."""

    def _set(self, **attributes: object) -> None:
        self.__dict__.update(attributes)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} cannot be changed once made; make a new one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} cannot be changed once made; make a new one")


class Definition(Immutable):
    """The base of everything that a project declares.

    Attributes:
        name: unique among the project's objects of the same kind.
        description, owner: free text, without meaning for values.
        tags: free keys and values, without meaning for values.
        namespace: whose it is, without meaning for values: what API keys are given for.
        origin: the file and line of the constructor's call.
    """

    KIND: ClassVar[str]
    """How problems name the kind: `view`, `source`, ..."""

    name: str
    description: str
    owner: str
    tags: Mapping[str, str]
    namespace: str
    origin: Origin

    def __init__(self, name: str, description: str, owner: str, tags: Mapping[str, str] | None, namespace: str) -> None:
        self._set(
            name=arguments.text(name, "name", f'write {type(self).__name__}("a_name", ...)'),
            description=arguments.optional_text(description, "description", "say in a sentence what it is"),
            owner=arguments.optional_text(owner, "owner", 'write owner="team@example.com"'),
            tags=_tags(tags),
            namespace=arguments.text(namespace, "namespace", 'write namespace="payments"'),
            origin=caller(),
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def key(self) -> str:
        """Kind and name, as problems and origins name the object."""
        return f"{self.KIND}:{self.name}"

    def depends_on(self) -> Iterable[Definition]:
        """The definitions that this one was made from."""
        return ()

    def origins(self) -> Mapping[str, Origin]:
        """Where this object and its parts were made, by `key`."""
        return {self.key: self.origin}

    def to_json(self) -> Json:
        """The object as it stands in the manifest, with what is not given left out."""
        raise NotImplementedError

    def _about(self) -> Json:
        tags = sorted(f"{key}={value}" for key, value in self.tags.items())
        namespace = "" if self.namespace == DEFAULT_NAMESPACE else self.namespace
        return compact({"description": self.description, "owner": self.owner, "tags": tags, "namespace": namespace})


def compact(values: Json) -> Json:
    """`values` without those that are the default of their field: empty, zero, false or none."""
    return {name: value for name, value in values.items() if value not in (None, "", 0, False, [], {})}


def _tags(tags: Mapping[str, str] | None) -> Mapping[str, str]:
    mend = 'write tags={"team": "flights"}'
    given = arguments.mapping({} if tags is None else tags, "tags", mend)
    for value in given.values():
        arguments.text(value, "tags", mend)
    return given
