"""Schemas from samples: what the columns of a file look like, as definitions and as Python to paste."""

from __future__ import annotations

import json
from pathlib import Path

from . import native
from .errors import ThalwegError
from .sources import Column
from .types import parse


def infer_schema(path: str | Path) -> dict[str, Column]:
    """The columns of a sample, ready for `schema=`.

    Args:
        path: a Parquet, CSV or JSON file (an array, or one object per line), told apart by its extension.

    A column is `required` where the sample has no null in it: look the result over, since a sample does not show all.

    Raises:
        ThalwegError: the file is not there or cannot be read.
    """
    file = Path(path)
    if not file.is_file():
        raise ThalwegError(f"there is no file {file}; pass a Parquet, CSV or JSON file")
    columns = native.infer_columns(str(file))
    return {name: Column(parse(type_text), required=required) for name, type_text, required in columns}


def schema_source(schema: dict[str, Column], indent: int = 4) -> str:
    """A schema as Python: a dict of `tw.` types, one column to a line."""
    space = " " * indent
    lines = [
        f"{space}    {json.dumps(name, ensure_ascii=False)}: {_column(column)}," for name, column in schema.items()
    ]
    return "\n".join(["{", *lines, f"{space}}}"])


def _column(column: Column) -> str:
    kind = f"tw.{column.type.source}"
    return f"tw.Column({kind}, required=True)" if column.required else kind
