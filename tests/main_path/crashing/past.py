"""What history and training sets say: each row once, and each answer that was served given again."""

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

import thalweg as tw

from .definitions import BY_USER, EVENT_SOURCES
from .expected import Expected
from .seen import Broken

TABLES = (*EVENT_SOURCES, "accounts")


def compare_history(data: Path, expected: Expected, possible: dict[str, set[int]] | None, when: str) -> int:
    """Each row that was acknowledged is in history once; rows counted.

    Where `possible` is given history need not be complete, and may have those rows as well: they were in flight.
    """
    counted = 0
    for source in TABLES:
        place = data / "history" / source
        if not (place / "_delta_log").is_dir():
            if possible is None and expected.marks[source]:
                raise Broken(f"{when}: history of {source} is missing")
            continue
        # A table that was being made when the server died has no commit yet.
        if not any((place / "_delta_log").glob("*.json")):
            continue
        files = DeltaTable(str(place)).file_uris()
        query = f"SELECT mark, __sequence FROM read_parquet({files!r}, hive_partitioning = false)"
        table = duckdb.sql(query).fetchnumpy() if files else {"mark": [], "__sequence": []}
        marks, sequences = [int(mark) for mark in table["mark"]], {int(one) for one in table["__sequence"]}
        counted += len(marks)
        if len(sequences) < len(marks):
            raise Broken(f"{when}: history of {source} has {len(marks)} rows with {len(sequences)} sequences")
        there = set(marks)
        if len(there) < len(marks):
            raise Broken(f"{when}: history of {source} has {len(marks) - len(there)} rows twice")
        wanted = set(expected.marks[source])
        if extra := there - wanted - (possible or {}).get(source, set()):
            raise Broken(f"{when}: history of {source} has rows that nobody was told of: {sorted(extra)[:9]}")
        if possible is None and (missing := wanted - there):
            raise Broken(f"{when}: history of {source} lacks {len(missing)} rows: {sorted(missing)[:9]}")
    return counted


def compare_answers(client: tw.Client, service: str, answers: list[dict], when: str) -> int:
    """Holds answers that were served against a training set by arrival; values compared."""
    if not answers:
        return 0
    key = "user" if service == BY_USER else "region"
    keys = [one for answer in answers for one in answer["entities"][key]]
    times = [moment(answer["as_of"]) for answer in answers for _ in answer["entities"][key]]
    spine = pa.table({key: keys, "timestamp": pa.array(times, pa.timestamp("us", "UTC"))})
    made = client.training_set(service, spine, as_of="arrival", statuses=True, progress=False)
    trained = {name: made.to_arrow()[name].to_pylist() for name in made.to_arrow().column_names}
    compared, first = 0, 0
    for answer in answers:
        entities = answer["entities"][key]
        for result in answer["results"]:
            column = result["name"].replace(".", "__")
            if column not in trained:
                continue
            for place, (value, status) in enumerate(zip(result["values"], result["statuses"], strict=True)):
                if status == "ERROR":
                    continue
                found = (trained[column][first + place], trained[f"{column}__status"][first + place])
                compared += 1
                if found != (value, status):
                    asked = f"{result['name']} of {entities[place]} as of {answer['as_of']}"
                    raise Broken(f"{when}: {asked} was served as {(value, status)}, the training set has {found}")
        first += len(entities)
    return compared


def moment(text: str) -> int:
    """Microseconds since the epoch of a time in ISO 8601."""
    at = datetime.fromisoformat(text).astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (at.days * 86_400 + at.seconds) * 1_000_000 + at.microseconds
