"""A project: definitions brought together, checked for clashes, and compiled into a manifest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from . import arguments, native
from .definitions import Definition, Immutable, Json
from .direct import DirectFeature
from .errors import DefinitionError, Problem
from .services import FeatureService, OnDemand, TrainingSet
from .sources import Entity, Source
from .views import FeatureView


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled manifest: the form in which definitions are stored, hashed and compared."""

    json: str
    """Canonical JSON: the same definitions give the same text."""
    protobuf: bytes
    """The same, as protobuf (`proto/thalweg/v1/manifest.proto`)."""
    hash: str
    """SHA-256 of the manifest, in hex."""
    outputs: Mapping[str, str]
    """The type of each feature, by its reference: `{"carrier_delays.delay_mean_7d": "float64"}`."""


class Project(Immutable):
    """Definitions under one name.

    Args:
        name: the project's name.
        objects: definitions in any order. What they are made from (the entity and sources of a view, the views of a
            service) is included, and need not be listed.
        root: the directory to which origins are relative; left out, the working directory.

    Raises:
        TypeError: an object is not a definition.
        DefinitionError: two different objects of the same kind have the same name.
    """

    name: str
    root: Path
    objects: tuple[Definition, ...]

    def __init__(self, name: str, objects: Iterable[Definition], *, root: Path | str | None = None) -> None:
        if isinstance(objects, str | Definition) or not isinstance(objects, Iterable):
            raise TypeError(f"`objects` takes a list of definitions, not {arguments.kind(objects)}; write [service]")
        root = Path.cwd() if root is None else Path(root).resolve()
        self._set(
            name=arguments.text(name, "name", 'write tw.Project("flights", [...])'),
            root=root,
            objects=_one_each(_reachable(objects), root),
        )

    def __repr__(self) -> str:
        return f"Project({self.name!r}, {len(self.objects)} objects)"

    def __iter__(self) -> Iterator[Definition]:
        return iter(self.objects)

    def manifest(self) -> Json:
        """The manifest as it was declared, before rules are checked and defaults resolved."""
        manifest: Json = {"project": self.name}
        for field, kind in _FIELDS.items():
            members = [item.to_json() for item in self.objects if isinstance(item, kind)]
            if members:
                manifest[field] = members
        return manifest

    def origins(self) -> dict[str, str]:
        """Where each object and feature was made: `{"view:carrier_delays": "features.py:12"}`."""
        return {
            key: origin.within(self.root) for item in self.objects for key, origin in sorted(item.origins().items())
        }

    def to_json(self) -> str:
        """What the compiler takes: `{"manifest": ..., "origins": ...}`."""
        return json.dumps({"manifest": self.manifest(), "origins": self.origins()}, ensure_ascii=False, indent=2)

    def compile(self) -> Compiled:
        """Checks every rule and resolves the manifest.

        Raises:
            DefinitionError: with every broken rule, where it was written, and how to mend it.
        """
        compiled = native.compile_manifest(self.to_json())
        return Compiled(
            json=compiled["json"],
            protobuf=bytes(compiled["protobuf"]),
            hash=compiled["hash"],
            outputs=MappingProxyType(dict(compiled["outputs"])),
        )


_FIELDS: dict[str, type[Definition]] = {
    "entities": Entity,
    "sources": Source,
    "views": FeatureView,
    "on_demand": OnDemand,
    "services": FeatureService,
    "training_sets": TrainingSet,
    "direct_features": DirectFeature,
}


def _reachable(objects: Iterable[object]) -> list[Definition]:
    """The objects and all that they are made from, each once."""
    found: dict[int, Definition] = {}
    waiting = list(objects)[::-1]
    while waiting:
        item = waiting.pop()
        if not isinstance(item, Definition):
            raise TypeError(
                f"`objects` takes definitions, not {arguments.kind(item)}; pass views, services and sources themselves"
            )
        if id(item) not in found:
            found[id(item)] = item
            waiting.extend(item.depends_on())
    return list(found.values())


def _one_each(objects: list[Definition], root: Path) -> tuple[Definition, ...]:
    """One object for each name, sorted by kind and name. Equal ones count as one: a notebook runs a cell twice."""
    by_key: dict[str, Definition] = {}
    problems = []
    for item in objects:
        other = by_key.setdefault(item.key, item)
        if other is item or (other.to_json() == item.to_json() and other.KIND == item.KIND):
            continue
        problems.append(
            Problem(
                object=item.key,
                origin=item.origin.within(root),
                rule=f"the name is taken by another {_words(item)}, made at {other.origin.within(root)}",
                mend="give one of them another name, or use the same object in both places",
            )
        )
    if problems:
        raise DefinitionError(problems)
    kinds = [kind.KIND for kind in _FIELDS.values()]
    return tuple(sorted(by_key.values(), key=lambda item: (kinds.index(item.KIND), item.key)))


def _words(item: Definition) -> str:
    return item.KIND.replace("_", " ")
