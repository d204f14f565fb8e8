"""The kinds of trial by name. Each is imported when it is run, so that what one lacks does not stop the others."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proof.budget import Budget
from proof.outcome import Outcome

# In the order in which they run: the quick to fail first.
NAMES = (
    "formats",
    "agreement",
    "simulation",
    "fuzz",
    "tables",
    "kill",
    "power",
    "full",
    "hostile",
    "overload",
    "soak",
)


# Kinds and tests share oracles and servers.
TESTS = Path(__file__).resolve().parent.parent / "tests"
# What is there in any clone, so that its absence is an error.
OWN_PACKAGES = ("proof", "thalweg", "doors", "semantics", "main_path", "formats")


@dataclass(frozen=True)
class Kind:
    """A kind as its module describes it."""

    name: str
    promise: str
    unit: str
    seconds: float
    long_seconds: float
    run: Callable[[Budget], Outcome]


def load(name: str) -> Kind:
    """The kind of this name; an import that fails is the caller's to report."""
    if name not in NAMES:
        raise LookupError(f"no kind is called {name!r}; there are {', '.join(NAMES)}")
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    module = importlib.import_module(f"proof.{name}")
    return Kind(
        name=name,
        promise=" ".join((module.__doc__ or "").split("\n\n")[0].split()),
        unit=module.UNIT,
        seconds=module.SECONDS,
        long_seconds=module.LONG_SECONDS,
        run=module.run,
    )


def lacking(error: ImportError) -> Outcome:
    """What comes of a failed import: a missing package leaves the kind out, a missing part of Thalweg breaks it."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] not in OWN_PACKAGES:
        return Outcome(0, "cases", skipped=f"{error}; install the extras test, demo and doors")
    return Outcome(0, "cases", broken=[f"cannot be imported: {error}"])
