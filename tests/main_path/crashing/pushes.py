"""Makes pushes of rows at random: good ones, late ones, duplicates, changes, and rows that have to go to quarantine."""

import json
import random

import pyarrow as pa

from .definitions import REGIONS, USERS
from .doors import ARROW, JSON, LINES
from .expected import Bad, Expected, Push

BAD_SHARE = 0.03
"""Of the rows of a push, how many are bad."""
LARGE = 3_000
BLOB_BYTES = 1 << 20
CONTENTS = (ARROW, JSON, LINES)


def payments(expected: Expected, chance: random.Random, content: str, slot: int) -> Push:
    """Rows of a keyed push, some of them late and some of them bad."""
    rows, bad, effects, marks = [], [], [], []
    count = LARGE if chance.random() < 0.02 else chance.randint(1, 40)
    for place in range(count):
        row = _event(expected, chance)
        if chance.random() < BAD_SHARE:
            broken, raw = _broken(row, chance, content)
            rows.append(broken)
            bad.append(Bad(place, raw, row["mark"]))
            continue
        rows.append(row)
        effects.append((row["user"], row["mark"], row["at"], row["amount"]))
        marks.append(row["mark"])
    body = _body(rows, content, _EVENTS)
    counts = _counts(count, len(effects), quarantined=len(bad))
    return Push("payments", body, content, f"pay-{slot}-{chance.getrandbits(64):x}", counts, marks, effects, bad)


def late(expected: Expected, chance: random.Random) -> Push:
    """One row, of long ago for its arrival."""
    mark = next(expected.mark)
    row = {"mark": mark, "user": chance.choice(USERS), "at": expected.at(mark) - 1_000_000, "amount": 7}
    effects = [(row["user"], mark, row["at"], row["amount"])]
    key = f"late-{chance.getrandbits(64):x}"
    return Push("payments", _body([row], JSON, {}), JSON, key, _counts(1, 1), [mark], effects)


def clicks(expected: Expected, chance: random.Random, known: list[tuple[int, str]]) -> Push:
    """Rows of a push without a key; some are noise, and some came before: `known` has this pusher's marks and users."""
    rows, effects, marks, fresh = [], [], [], []
    duplicates = filtered = 0
    for _ in range(chance.randint(1, 30)):
        drawn = chance.random()
        row = {**_event(expected, chance), "kind": "click"}
        if drawn < 0.1:
            row["kind"] = "noise"
            filtered += 1
        elif drawn < 0.3 and known + fresh:
            # As some sender has it again, with another event time.
            row["mark"], row["user"] = chance.choice((known + fresh)[-200:])
            row["at"] = expected.at(row["mark"]) + chance.randint(-5_000_000, 5_000_000)
            duplicates += 1
        else:
            fresh.append((row["mark"], row["user"]))
            effects.append((row["user"], row["mark"], row["at"], row["amount"]))
            marks.append(row["mark"])
        rows.append(row)
    counts = _counts(len(rows), len(effects), deduplicated=duplicates, filtered=filtered)
    return Push("clicks", _body(rows, JSON, {}), JSON, None, counts, marks, effects)


def changes(expected: Expected, chance: random.Random, own: dict[int, tuple[str, int]], slot: int, slots: int) -> Push:
    """Inserts, updates and deletes of the accounts that are this pusher's own; `own` goes along with them."""
    rows, bad, effects, marks = [], [], [], []
    content = chance.choice((JSON, LINES, ARROW))
    for place in range(chance.randint(1, 20)):
        account = chance.randrange(40) * slots + slot
        operation = chance.choice(("insert", "update", "update", "delete"))
        mark = next(expected.mark)
        row = {"id": account, "op": operation, "region": None, "balance": None, "at": expected.at(mark), "mark": mark}
        known = account in own
        if operation == "delete" and not known:
            if chance.random() < 1 - 10 * BAD_SHARE:
                operation = row["op"] = "insert"
            else:
                rows.append(row)
                bad.append(Bad(place, None if content == ARROW else json.dumps(row).encode(), mark))
                continue
        if operation == "delete":
            del own[account]
        else:
            row["region"], row["balance"] = chance.choice(REGIONS), chance.randint(-1_000, 1_000)
            own[account] = (row["region"], row["balance"])
        rows.append(row)
        effects.append((operation, account, row["region"], row["balance"]))
        marks.append(mark)
    counts = _counts(len(rows), len(effects), quarantined=len(bad))
    key = f"change-{slot}-{chance.getrandbits(64):x}"
    return Push("accounts", _body(rows, content, _CHANGES), content, key, counts, marks, effects, bad)


def blobs(expected: Expected, chance: random.Random, slot: int, size: int = BLOB_BYTES) -> Push:
    """A few large rows: of a megabyte each they make the log go on in further segments."""
    text = chance.choice("abcdef") * size
    rows = [{**_event(expected, chance), "body": text} for _ in range(12)]
    effects = [(row["user"], row["mark"], row["at"], row["amount"]) for row in rows]
    body = _body(rows, ARROW, {**_EVENTS, "body": pa.string()})
    key = f"blob-{slot}-{chance.getrandbits(64):x}"
    marks = [row["mark"] for row in rows]
    return Push("blobs", body, ARROW, key, _counts(len(rows), len(rows)), marks, effects)


_EVENTS = {
    "mark": pa.int64(),
    "user": pa.string(),
    "at": pa.timestamp("us", "UTC"),
    "amount": pa.int64(),
}
_CHANGES = {
    "id": pa.int64(),
    "op": pa.string(),
    "region": pa.string(),
    "balance": pa.int64(),
    "at": pa.timestamp("us", "UTC"),
    "mark": pa.int64(),
}


def _event(expected: Expected, chance: random.Random) -> dict:
    mark = next(expected.mark)
    at = expected.at(mark)
    if chance.random() < 0.1:
        # Late: of seconds, so that windows see it, or of hours.
        at -= chance.choice((1_000_000, 3_600_000_000)) + chance.randrange(1_000_000)
    return {"mark": mark, "user": chance.choice(USERS), "at": at, "amount": chance.randint(0, 1_000)}


def _broken(row: dict, chance: random.Random, content: str) -> tuple[object, bytes | None]:
    """The row with a fault that its form can have, and its bytes as the quarantine has to show them."""
    if content == ARROW:
        return {**row, "amount": -1}, None
    faults = [{**row, "amount": -1}, {**row, "amount": "many"}, {**row, "at": None}, [row["mark"]]]
    broken = chance.choice(faults)
    text = json.dumps(broken).encode()
    if content == LINES and chance.random() < 0.5:
        text = text[: len(text) // 2].rstrip()
        return text, text
    return broken, text


def _body(rows: list, content: str, schema: dict[str, pa.DataType]) -> bytes:
    if content == ARROW:
        columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in schema.items()}
        table = pa.table(columns)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue().to_pybytes()
    texts = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    return b"\n".join(texts) if content == LINES else b"[" + b",".join(texts) + b"]"


def _counts(read: int, applied: int, *, deduplicated: int = 0, filtered: int = 0, quarantined: int = 0) -> dict:
    return {
        "read": read,
        "applied": applied,
        "deduplicated": deduplicated,
        "filtered": filtered,
        "quarantined": quarantined,
    }
