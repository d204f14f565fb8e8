"""Loads a project from a directory: runs its definition files and collects what they define.

The files run in isolation: what they import from the project is forgotten afterwards, so that two projects, or two
loads of one, never see each other's modules.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from .definitions import Definition
from .errors import ThalwegError
from .project import Project

SETTINGS = "thalweg.toml"
DEFINITIONS = "features.py"


def load_project(path: str | Path = ".") -> Project:
    """The project in a directory, or in one Python file.

    In a directory, `thalweg.toml` may say where definitions are and what the project is called; without it they are in
    `features.py`, and the project has the directory's name:

        [project]
        name = "flights"
        definitions = ["features.py", "services/"]

    Definitions are found in the variables of each file, and in lists, tuples and dicts of them. A `tw.Project` in a
    variable adds its objects, and its name where the settings give none.

    Raises:
        ThalwegError: there is no such file, the settings are not as above, or nothing is defined.
        DefinitionError: two objects have the same name.
        Exception: whatever the files themselves raise.
    """
    path = Path(path).resolve()
    root = path if path.is_dir() else path.parent
    settings = _settings(root)
    files = _definition_files(root, settings) if path.is_dir() else [path]
    name: str | None = settings.get("name")
    objects: list[Definition] = []
    with _isolated(root):
        for file in files:
            for found in _collect(vars(_run(file))):
                if isinstance(found, Project):
                    name = name or found.name
                    objects.extend(found.objects)
                else:
                    objects.append(found)
    if not objects:
        files_named = ", ".join(str(file) for file in files)
        raise ThalwegError(f"nothing is defined in {files_named}; assign views and services to variables there")
    return Project(name or _name_of(root), objects, root=root)


def _settings(root: Path) -> dict[str, Any]:
    file = root / SETTINGS
    if not file.is_file():
        return {}
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
    except tomllib.TOMLDecodeError as error:
        raise ThalwegError(f"{file}: not valid TOML: {error}") from error
    if not isinstance(project, dict) or not isinstance(project.get("name", ""), str):
        raise ThalwegError(f'{file}: write [project] with name = "..." and definitions = "features.py"')
    return project


def _definition_files(root: Path, settings: dict[str, Any]) -> list[Path]:
    declared = settings.get("definitions", DEFINITIONS)
    names = [declared] if isinstance(declared, str) else declared
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ThalwegError(f"{root / SETTINGS}: `definitions` takes a path or a list of paths")
    files: list[Path] = []
    for name in names:
        place = root / name
        if not place.exists():
            raise ThalwegError(
                f"there are no definitions at {place}; create it with `thalweg init`, "
                f'or name the file in {SETTINGS}: [project] definitions = "..."'
            )
        files.extend(sorted(place.glob("*.py")) if place.is_dir() else [place])
    return files


def _run(file: Path) -> ModuleType:
    # Under its own name, so that another file of the project that imports it gets these very objects.
    if not file.is_file():
        raise ThalwegError(f"there is no file {file}")
    loaded = sys.modules.get(file.stem)
    if loaded is not None and getattr(loaded, "__file__", None) == str(file):
        return loaded
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ThalwegError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def _isolated(root: Path) -> Iterator[None]:
    """Lets files import from `root`, and takes back all traces of it in the interpreter."""
    before, path, no_bytecode = dict(sys.modules), list(sys.path), sys.dont_write_bytecode
    own = {name for name, module in before.items() if _is_below(module, root)}
    for name in own:
        del sys.modules[name]
    sys.path.insert(0, str(root))
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = no_bytecode
        sys.path[:] = path
        for name in [name for name, module in sys.modules.items() if _is_below(module, root)]:
            del sys.modules[name]
        sys.modules.update({name: module for name, module in before.items() if name not in sys.modules})


def _is_below(module: object, root: Path) -> bool:
    file = getattr(module, "__file__", None)
    # Installed packages, and this one, stay: only the project's own files are run anew.
    return (
        isinstance(file, str)
        and "site-packages" not in file
        and getattr(module, "__name__", "") != "__main__"
        and getattr(module, "__name__", "").partition(".")[0] != __package__
        and Path(file).is_relative_to(root)
    )


def _collect(variables: dict[str, Any]) -> Iterator[Definition | Project]:
    for name, value in variables.items():
        if name.startswith("__"):
            continue
        members = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
        yield from (member for member in members if isinstance(member, Definition | Project))


def _name_of(root: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "_", root.name.lower()).strip("_") or "project"
