"""Takes tables as people have them (pandas, polars, Arrow, DuckDB, lists of dicts) into Arrow.

pyarrow, pandas and polars are imported where they are needed: definitions need none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .types import DataType, parse
from .values import encode

if TYPE_CHECKING:
    import pyarrow as pa

Rows: TypeAlias = list[dict[str, Any]]
"""Rows as dicts. A key that is absent is a null."""

Frame: TypeAlias = Any
"""A table: of pandas, polars, Arrow, or anything with the Arrow C stream interface (such as a DuckDB relation)."""

_WHAT_IS_TAKEN = "pass a pandas or polars DataFrame, an Arrow table or record batch, or a list of dicts"


def as_rows(data: object) -> Rows | None:
    """`data` if it is a list of dicts, else None."""
    if isinstance(data, Mapping):
        # One row, unless all its values are columns.
        return None if all(_is_column(value) for value in data.values()) else [dict(data)]
    if not isinstance(data, list | tuple):
        return None
    for row in data:
        if not isinstance(row, Mapping):
            raise TypeError(f"a list of rows holds dicts, not {type(row).__name__}; {_WHAT_IS_TAKEN}")
    return [dict(row) for row in data]


def to_table(data: Frame) -> pa.Table:
    """`data` as an Arrow table. Times without a time zone are UTC."""
    import pyarrow as pa

    rows = as_rows(data)
    if rows is not None:
        return rows_to_table(rows)
    if isinstance(data, Mapping):
        return pa.table({name: _array(_listed(column)) for name, column in data.items()})
    if isinstance(data, pa.Table):
        return _plain(data)
    if isinstance(data, pa.RecordBatch):
        return _plain(pa.Table.from_batches([data]))
    module = type(data).__module__.partition(".")[0]
    if module == "pandas" and type(data).__name__ == "DataFrame":
        return _plain(pa.Table.from_pandas(data, preserve_index=False))
    if module == "polars" and hasattr(data, "collect"):
        data = data.collect()
    if module == "polars" and hasattr(data, "to_arrow"):
        return _plain(data.to_arrow())
    if hasattr(data, "__arrow_c_stream__") or isinstance(data, pa.RecordBatchReader):
        return _plain(pa.table(data))
    raise TypeError(f"a {type(data).__name__} is no table; {_WHAT_IS_TAKEN}")


def read_parquet(path: str | Path) -> pa.Table:
    """A Parquet file or a directory of them."""
    import pyarrow.parquet as pq

    if not Path(path).exists():
        raise FileNotFoundError(
            f"there is no file {path}; pass a Parquet file, a table, or SQL that begins with SELECT"
        )
    return _plain(pq.read_table(path))


def rows_to_table(rows: Rows) -> pa.Table:
    """Rows as a table. A column of mixed types becomes text, so that one bad row does not cost the others."""
    import pyarrow as pa

    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _array([row.get(name) for row in rows]) for name in names})


def to_stream(table: pa.Table) -> bytes:
    """A table as an Arrow IPC stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def to_columns(data: object, argument: str) -> dict[str, list[Any]]:
    """Columns of equal length by name, from a dict of lists or single values, a table, or a list of dicts."""
    if isinstance(data, Mapping):
        columns = {str(name): _listed(values) for name, values in data.items()}
    else:
        rows = as_rows(data)
        if rows is not None:
            columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(n for row in rows for n in row)}
        else:
            columns = to_table(data).to_pydict()
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"`{argument}` has columns of different lengths: {lengths}; give each as many values")
    return {name: [encode(value) for value in values] for name, values in columns.items()}


def arrow_type(data_type: DataType) -> pa.DataType:
    """The Arrow type of a feature."""
    import pyarrow as pa

    name, parts = data_type.parts
    match name:
        case "decimal":
            return pa.decimal128(int(parts[0]), int(parts[1]))
        case "list":
            return pa.list_(arrow_type(parse(parts[0])))
        case "vector":
            return pa.list_(pa.float32(), int(parts[1]))
        case "map":
            return pa.map_(arrow_type(parse(parts[0])), arrow_type(parse(parts[1])))
        case "bytes":
            return pa.binary()
        case "date":
            return pa.date32()
        case "timestamp":
            return pa.timestamp("us", tz="UTC")
    return getattr(pa, f"{name}_" if name == "bool" else name)()


def _plain(table: pa.Table) -> pa.Table:
    """Without dictionaries, views and metadata: encodings that carry no meaning, and that not every reader knows."""
    import pyarrow as pa

    fields = []
    for field in table.schema:
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if str(kind) == "string_view":
            kind = pa.large_string()
        if str(kind) == "binary_view":
            kind = pa.large_binary()
        fields.append(pa.field(field.name, kind, field.nullable))
    return table.replace_schema_metadata(None).cast(pa.schema(fields))


def _array(values: list[Any]) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([value if value is None or isinstance(value, str) else str(encode(value)) for value in values])


def _is_column(value: object) -> bool:
    return not isinstance(value, str | bytes | Mapping) and hasattr(value, "__len__")


def _listed(values: object) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        return [values]
    return [value.as_py() if hasattr(value, "as_py") else value for value in values]
