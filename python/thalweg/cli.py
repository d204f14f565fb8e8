"""The command line: Python writes and loads definitions, which needs Python; the rest is the native module's."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from pathlib import Path

from . import native
from .errors import DefinitionError, ThalwegError
from .loading import load_project
from .project import Project
from .starter import write_project

MISUSE = 2
"""The exit code for wrong arguments and wrong definitions."""

_NEED_DEFINITIONS = ("plan", "apply", "compile")
_HELP = ("-h", "--help")


def main(argv: list[str] | None = None) -> int:
    """Runs `thalweg` on the arguments after the program's name; the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    asks_for_help = any(argument in _HELP for argument in rest)
    try:
        if command == "init" and not asks_for_help:
            return _init(rest)
        if command in _NEED_DEFINITIONS and not asks_for_help and not _has_manifest(rest):
            return _with_definitions(command, rest)
        return native.run_command_line(arguments)
    except DefinitionError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return MISUSE
    except ThalwegError as error:
        print(f"thalweg: {error}", file=sys.stderr)
        return MISUSE
    except KeyboardInterrupt:
        return 130


def _init(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="thalweg init", description="Write a small working project.")
    parser.add_argument("name", metavar="NAME", help="the directory to create")
    parser.add_argument("--sample", metavar="FILE", type=Path, help="begin from the columns of this file of events")
    given = parser.parse_args(arguments)
    for file in write_project(Path(given.name), given.sample):
        print(f"wrote {file}")
    print(f"next: cd {given.name} && thalweg plan")
    return 0


def _with_definitions(command: str, arguments: list[str]) -> int:
    """Loads and compiles the project in Python, and hands its manifest to the native command."""
    directory, rest = _directory(arguments)
    try:
        project = load_project(directory)
    except ThalwegError:
        raise
    except Exception as error:
        print(_where(error, Path(directory).resolve()), file=sys.stderr)
        return MISUSE
    project.compile()
    return _with_manifest(command, project, rest)


def _with_manifest(command: str, project: Project, rest: list[str]) -> int:
    with tempfile.NamedTemporaryFile("w", suffix=".json", prefix="thalweg-", encoding="utf-8", delete=False) as file:
        file.write(project.to_json())
    try:
        return native.run_command_line([command, "--manifest", file.name, *rest])
    finally:
        os.unlink(file.name)


def _has_manifest(arguments: list[str]) -> bool:
    return any(argument == "--manifest" or argument.startswith("--manifest=") for argument in arguments)


def _directory(arguments: list[str]) -> tuple[str, list[str]]:
    """The first argument that is a place rather than an option or an option's value, and the rest."""
    value_of_option = False
    for at, argument in enumerate(arguments):
        if argument.startswith("-"):
            value_of_option = "=" not in argument and argument not in _FLAGS
        elif value_of_option:
            value_of_option = False
        else:
            return argument, [*arguments[:at], *arguments[at + 1 :]]
    return ".", arguments


# Options of plan, apply and compile without a value; all others take one.
_FLAGS = ("--allow-breaking", "--json", "--quiet", "-q", "--verbose", "-v")


def _where(error: Exception, root: Path) -> str:
    """An error in the user's own files, with the innermost line of theirs."""
    frames = traceback.extract_tb(error.__traceback__)
    top = root if root.is_dir() else root.parent
    package = Path(__file__).parent
    own = [
        frame
        for frame in frames
        if Path(frame.filename).is_relative_to(top) and not Path(frame.filename).is_relative_to(package)
    ]
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename, top)}:{error.lineno}: {type(error).__name__}: {error.msg}"
    if own:
        return f"{_shown(own[-1].filename, top)}:{own[-1].lineno}: {message}"
    return message


def _shown(file: str, root: Path) -> str:
    path = Path(file)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else file


if __name__ == "__main__":
    sys.exit(main())
