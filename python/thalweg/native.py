"""The one door to the native module, opened only when something needs it: definitions work without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import DefinitionError, ThalwegError

if TYPE_CHECKING:
    from ._native import Engine


def compile_manifest(raw: str) -> dict[str, Any]:
    """Compiles a manifest with its origins; a `DefinitionError` with every problem where rules are broken."""
    module = _load()
    try:
        compiled: dict[str, Any] = module.compile(raw)
    except ValueError as error:
        try:
            problems = DefinitionError.from_json(str(error.args[0]))
        except (ValueError, AttributeError, IndexError):
            raise ThalwegError(str(error)) from error
        raise problems from None
    return compiled


def infer_columns(path: str) -> list[tuple[str, str, bool]]:
    """The columns of a sample file: name, type, and whether no value was null."""
    try:
        columns: list[tuple[str, str, bool]] = _load().infer_schema(path)
    except (ValueError, RuntimeError) as error:
        raise ThalwegError(str(error)) from error
    return columns


def run_command_line(arguments: list[str]) -> int:
    """Runs the command line on the arguments after the program's name; its exit code."""
    code: int = _load().cli(arguments)
    return code


def open_engine(path: str, settings: str) -> Engine:
    """Opens an engine on a directory."""
    engine: Engine = _load().Engine(path, settings)
    return engine


def _load() -> Any:
    try:
        from . import _native
    except ImportError as error:
        raise ThalwegError(
            "the native module cannot be loaded; install a wheel (`pip install thalweg`), "
            f"or build it in a checkout with `maturin develop`: {error}"
        ) from error
    return _native
