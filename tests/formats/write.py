"""Writes the data directories of `v1/` with the product, and what is expected of them, checked against the oracle.

It ran once, for version 1, and is kept as the account of what is in there; what is released is never rewritten. The
version that is in the Python path writes: `python -m formats.write`.

- `closed`: a server that was closed, so that its log does not reach beyond its checkpoint;
- `killed`: the same directory later on, with a column more, killed while its log and history reached beyond it.
"""

import json
import lzma
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path

import pyarrow as pa

import thalweg as tw

from . import rows
from .checking import hold_to_oracle
from .declared import project
from .rows import DAY, HOUR, START

V1 = Path(__file__).with_name("v1")
EXPECTED = V1 / "expected.json.xz"
# When each directory is asked about: past everything in it, on until windows are empty and values stale.
ENDS = {"closed": START + 29 * HOUR, "killed": START + 48 * HOUR}
LATER = (0, 20 * HOUR, 10 * DAY)
COMMITS = 26
STRANGER = "nobody"
USERS = [*rows.USERS, STRANGER]


def answers(engine, end):
    """Every value and status of every view, as Python shows the values, by query time."""
    found = {}
    for more in LATER:
        found[str(end + more)] = {
            **as_text(engine.features_table("everything", asked_users(), as_of=end + more)),
            **as_text(engine.features_table("shelving", asked_shelves(), as_of=end + more)),
        }
    return found


def asked_users():
    return pa.table({"user": USERS, "limit": pa.array([10.0] * len(USERS))})


def asked_shelves():
    """Shelves that the first part has, and one that is nowhere."""
    names = ("kind", "flag", "small", "day", "cents", "blob", "ratio")
    whole = [row for row in rows.payments(0) if all(row[name] is not None for name in names)][:8]
    table = rows.table("payments", [*whole, {**whole[0], "kind": STRANGER}]).select(names)
    return table.cast(pa.schema([(name, table.schema.field(name).type) for name in names]))


def as_text(table):
    return {name: [repr(value) for value in table[name].to_pylist()] for name in table.column_names}


def spine(end):
    times = [end - 20 * HOUR, end - 9 * HOUR, end - 1, end + HOUR]
    asked = [(user, time) for user in USERS for time in times]
    return pa.table(
        {
            "user": [user for user, _ in asked],
            "asked_at": pa.array([time for _, time in asked], pa.timestamp("us", "UTC")),
            "limit": pa.array([10.0] * len(asked)),
        }
    )


def training_sets(engine, end):
    """Both kinds of point in time; each by its id and what is in it."""
    found = []
    for as_of in ("arrival", "event_time"):
        made = engine.training_set(
            "everything", spine(end), timestamp="asked_at", as_of=as_of, statuses=True, progress=False
        )
        found.append({"id": made.id, "end": end, "as_of": as_of, "columns": as_text(made.to_arrow())})
    return found


def push_part(engine, part, acks):
    """The rows of a part under idempotency keys; the wrong ones as Arrow."""
    for name, given in (("payments", rows.payments(part)), ("accounts", rows.accounts(part))):
        half = len(given) // 2
        for number, some in enumerate((given[:half], given[half:])):
            key = f"{name}-{part}-{number}"
            acks[key] = ack(engine.push(name, rows.table(name, some, part == 1), idempotency_key=key))
    doubles = rows.payments(part)[:7]
    engine.push("payments", rows.table("payments", doubles, part == 1), idempotency_key=f"doubles-{part}")
    engine.push("payments", rows.table("payments", rows.wrong(part), part == 1), idempotency_key=f"wrong-{part}")


def ack(result):
    return {name: getattr(result, name) for name in ("read", "applied", "deduplicated", "filtered", "quarantined")}


def write_direct(engine, at):
    """Each operation once at least; `visits` keeps what it was before."""
    visits, pages, spent = (engine.direct(f"users.{name}") for name in ("visits", "pages", "spent"))
    key = {"user": "u1"}
    visits.set(key, 5, at=at, idempotency_key=f"visits-{at}")
    visits.incr(key, 2, at=at + 1)
    visits.incr(key, -10, at=at + 2)
    pages.set(key, ["home"], at=at)
    pages.append(key, "größer", at=at + 1)
    spent.incr(key, 2.5, at=at)
    spent.update(key, 0.1, at=at + 1)
    visits.set({"user": "u2"}, None, at=at)


def noted(engine, end):
    """What a directory is held to, asked of the engine that wrote it."""
    names = ("payments", "accounts", "clicks", "users__visits")
    history = [name for name in names if name != "users__visits"]
    return {
        "end": end,
        "answers": answers(engine, end),
        "ledgers": {name: ledger(engine, name) for name in names},
        "quarantine": engine.quarantine("payments") + engine.quarantine("accounts"),
        "manifest": engine.status()["manifest"],
        "plan": engine.plan(project(later=end == ENDS["killed"])).hash,
        "history": history,
    }


def ledger(engine, name):
    found = engine.ledger(name)
    return {key: found[key] for key in ("read", "applied", "deduplicated", "filtered", "quarantined")}


def write_closed(data):
    acks = {}
    with tw.Engine(data, clock="events") as engine:
        engine.apply(project())
        push_part(engine, 0, acks)
        post(engine.serve(port=0), "payments", json_row())
        for number in range(COMMITS):
            engine.push("clicks", rows.table("clicks", rows.clicks(0, number)))
            engine.flush()
        write_direct(engine, START + 28 * HOUR)
        trained = training_sets(engine, ENDS["closed"] - HOUR)
        expected = noted(engine, ENDS["closed"])
        served = len(LATER) * (len(USERS) + asked_shelves().num_rows)
    expected |= {"acks": acks, "training_sets": trained, "served": served}
    wanted = ["--name", "fixture", "--namespaces", "*", "--scopes", "admin", "--data", str(data), "--json"]
    made = subprocess.run(
        [sys.executable, "-m", "thalweg", "keys", "create", *wanted],
        capture_output=True,
        text=True,
        check=True,
    )
    return expected | {"key": json.loads(made.stdout)}


def json_row():
    return [{"id": "json-0001", "user": "u1", "at": "never", "known_at": "2024-03-01T00:00:00Z"}]


def post(url, source, given):
    request = urllib.request.Request(
        f"{url}/v1/sources/{source}/events",
        json.dumps(given).encode(),
        {"content-type": "application/json", "idempotency-key": "json"},
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        assert answer.status == 200


def write_killed(engine, before):
    """The engine is the caller's: one that nobody holds any more is closed."""
    acks = dict(before["acks"])
    engine.apply(project(later=True))
    # Half of it goes to history and a checkpoint; the rest is in the log alone.
    with_countries = [row | {"country": ("NL", "DE", None)[at % 3]} for at, row in enumerate(rows.payments(1))]
    half = len(with_countries) // 2
    engine.push("payments", rows.table("payments", with_countries[:half], True), idempotency_key="countries-0")
    engine.flush()
    engine.push("payments", rows.table("payments", with_countries[half:], True), idempotency_key="countries-1")
    push_part(engine, 1, acks)
    engine.push("clicks", rows.table("clicks", rows.clicks(1, 0)))
    write_direct(engine, START + 47 * HOUR)
    expected = noted(engine, ENDS["killed"])
    expected |= {"acks": acks, "training_sets": before["training_sets"], "served": before["served"]}
    return expected | {"key": before["key"]}


def main(arguments):
    if arguments:
        _phase(*arguments)
        return
    if EXPECTED.exists():
        sys.exit("v1 has been written: a released format is never rewritten, a later one gets a folder of its own")
    V1.mkdir(exist_ok=True)
    expected = {"written_by": tw.__version__}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ("closed", "killed"):
            if name == "killed":
                shutil.copytree(folder / "closed", folder / "killed")
            (folder / "expected.json").write_text(json.dumps(expected))
            # A process of its own, which is the only way to be killed.
            done = subprocess.run([sys.executable, "-m", "formats.write", name, str(folder)], check=False)
            assert done.returncode == (0 if name == "closed" else -signal.SIGKILL), done
            expected = json.loads((folder / "expected.json").read_text())
            hold_to_oracle(expected[name], name, project(later=name == "killed").manifest())
            pack(folder / name, V1 / f"{name}.tar.xz")
    told = json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=False)
    EXPECTED.write_bytes(lzma.compress(told.encode(), preset=9))


def _phase(name, folder):
    noted_down = Path(folder) / "expected.json"
    expected = json.loads(noted_down.read_text())
    data = Path(folder) / name
    if name == "closed":
        expected[name] = write_closed(data)
        noted_down.write_text(json.dumps(expected))
        return
    engine = tw.Engine(data, clock="events")
    expected[name] = write_killed(engine, expected["closed"])
    noted_down.write_text(json.dumps(expected))
    os.kill(os.getpid(), signal.SIGKILL)


def pack(data, path):
    """The same files make the same archive."""
    with tarfile.open(path, "w:xz", preset=9) as archive:
        for file in sorted(data.rglob("*")):
            told = archive.gettarinfo(file, file.relative_to(data).as_posix())
            told.uid = told.gid = told.mtime = 0
            told.uname = told.gname = ""
            with file.open("rb") if file.is_file() else open(os.devnull, "rb") as content:
                archive.addfile(told, content if file.is_file() else None)


if __name__ == "__main__":
    main(sys.argv[1:])
