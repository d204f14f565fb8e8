"""Old files open: a copy of what each released version wrote is opened by today's build, and has all that it had."""

import json
from pathlib import Path

import duckdb
import pyarrow.parquet
import pytest
from deltalake import DeltaTable

import thalweg as tw

from . import rows
from .checking import value_of
from .declared import project
from .unpacking import DIRECTORIES, expected, unpack
from .write import answers, as_text, ledger, spine

COUNTS = ("read", "applied", "deduplicated", "filtered", "quarantined")


@pytest.fixture(params=DIRECTORIES, ids="-".join)
def directory(request, tmp_path):
    version, name = request.param
    return unpack(version, name, tmp_path), name, expected(version)[name]


@pytest.fixture
def opened(directory):
    """The engine on a copy, which part it is, and what is expected of it."""
    data, name, known = directory
    with tw.Engine(data, clock="events") as engine:
        yield engine, name, known


def test_every_value_and_status(opened):
    engine, _, known = opened
    hold_answers(engine, known)


def hold_answers(engine, known):
    compared = 0
    for end, columns in answers(engine, known["end"]).items():
        assert columns.keys() == known["answers"][end].keys()
        for name, values in columns.items():
            assert values == known["answers"][end][name], f"{name} at {end}"
            compared += len(values)
    assert compared > 2_000
    print(f"{compared} values and statuses compared")


def test_and_once_more_after_today_has_written_it(directory):
    """What today's build makes of the directory, on closing it, is what it was again."""
    data, _, known = directory
    for _ in range(2):
        with tw.Engine(data, clock="events") as engine:
            hold_answers(engine, known)
            engine.flush()


def test_ledgers(opened):
    engine, _, known = opened
    for source, counts in known["ledgers"].items():
        assert ledger(engine, source) == counts, source
        assert counts["read"] == sum(counts.values()) - counts["read"] > 0


def test_the_definitions_are_those_of_then(opened):
    engine, name, known = opened
    assert engine.status()["manifest"] == known["manifest"]
    plan = engine.plan(project(later=name == "killed"))
    assert plan.hash == known["plan"], "the same declarations are other bytes today"
    assert not plan.changes and not plan.breaking


def test_retries_are_recognised(opened):
    engine, name, known = opened
    later = name == "killed"
    for key, ack in known["acks"].items():
        source, part, number = key.split("-")
        given = getattr(rows, source)(int(part))
        half = len(given) // 2
        again = (given[:half], given[half:])[int(number)]
        before = ledger(engine, source)
        result = engine.push(source, rows.table(source, again, later), idempotency_key=key)
        assert result.repeated, key
        assert {count: getattr(result, count) for count in COUNTS} == ack, key
        assert ledger(engine, source) == before
    at = rows.START + 28 * rows.HOUR
    write = engine.direct("users.visits").set({"user": "u1"}, 5, at=at, idempotency_key=f"visits-{at}")
    assert write.repeated
    hold_answers(engine, known)


def test_dedup_remembers(opened):
    engine, name, known = opened
    for part in range(2 if name == "killed" else 1):
        kept = [row for row in rows.payments(part) if row["test"] is not True]
        result = engine.push("payments", rows.table("payments", kept, name == "killed"))
        assert (result.read, result.deduplicated, result.applied) == (len(kept), len(kept), 0)
    hold_answers(engine, known)


def test_quarantine_is_there_and_can_be_replayed(opened):
    engine, name, known = opened
    parts = 2 if name == "killed" else 1
    assert engine.quarantine("payments") + engine.quarantine("accounts") == known["quarantine"]
    assert len(known["quarantine"]) == 4 * parts + 1
    engine.apply(project(later=name == "killed", mended=True), allow_breaking=True)
    before = ledger(engine, "payments")
    result = engine.replay_quarantine("payments")
    # The one that was above the maximum of its column is good now.
    assert (result.applied, result.quarantined) == (parts, 2 * parts + 1)
    assert ledger(engine, "payments")["applied"] == before["applied"] + parts
    engine.flush()
    history = DeltaTable(engine.history_path("payments")).to_pyarrow_table().to_pylist()
    for part in range(parts):
        sent = rows.wrong(part)[0]
        found = [row for row in history if row["id"] == sent["id"]]
        assert [(row["small"], row["n"], row["amount"], row["cents"], row["tags"]) for row in found] == [
            (sent["small"], sent["n"], sent["amount"], sent["cents"], sent["tags"])
        ]


def test_history_is_read_by_others(opened):
    engine, name, known = opened
    engine.flush()
    for source in known["history"]:
        table = DeltaTable(engine.history_path(source))
        files = table.file_uris()
        sql = f"SELECT count(*), count(DISTINCT __sequence) FROM read_parquet({files!r}, union_by_name=true)"
        assert duckdb.sql(sql).fetchall() == [(known["ledgers"][source]["applied"],) * 2], source
        transactions = [action["txn"] for action in actions(Path(engine.history_path(source))) if "txn" in action]
        versions = [one["version"] for one in transactions]
        assert {one["appId"] for one in transactions} == {"thalweg"} and versions == sorted(set(versions))
    # Many small files were made one, under the days of their events.
    clicks = Path(engine.history_path("clicks"))
    assert any(action.get("commitInfo", {}).get("operation") == "OPTIMIZE" for action in actions(clicks))
    assert {path.name for path in clicks.glob("__date=*")} >= {"__date=2024-03-02"}
    if name == "killed":
        payments = DeltaTable(engine.history_path("payments")).to_pyarrow_table()
        of_first = [row["country"] for row in payments.to_pylist() if row["id"].startswith("p0")]
        assert set(of_first) == {None} and {"NL", "DE"} <= set(payments["country"].to_pylist())


def actions(table):
    """What the Delta log says, commit by commit."""
    for commit in sorted((table / "_delta_log").glob("*.json")):
        yield from map(json.loads, commit.read_text().splitlines())


def test_training_sets_are_made_again(directory):
    data, _, known = directory
    kept = {path.stem: pyarrow.parquet.read_table(path) for path in (data / "training").glob("*.parquet")}
    with tw.Engine(data, clock="events") as engine:
        for made in known["training_sets"]:
            assert as_text(kept[made["id"]]) == made["columns"], "the file that was kept"
            again = engine.training_set(
                "everything",
                spine(made["end"]),
                timestamp="asked_at",
                as_of=made["as_of"],
                statuses=True,
                recreate=made["id"],
                progress=False,
            )
            assert again.id == made["id"]
            assert as_text(again.to_arrow()) == made["columns"], made["as_of"]


def test_recorded_answers_are_checked(opened):
    engine, _, known = opened
    result = engine.check()
    assert result.rows == known["served"] and result.compared > 1_000
    assert result.mismatches == 0, result.samples


def test_keys_still_open_the_doors(opened):
    engine, _, known = opened
    url = engine.serve(port=0)
    with pytest.raises(tw.ServerError) as refused:
        tw.Client(url, retries=0).ledger("payments")
    assert refused.value.status == 401
    client = tw.Client(url, retries=0, api_key=known["key"]["key"])
    assert {name: client.ledger("clicks")[name] for name in COUNTS} == known["ledgers"]["clicks"]


def test_rows_go_on_being_taken(opened):
    """What comes now goes on from what was there."""
    engine, name, known = opened
    after = known["end"] + rows.HOUR
    row = {"id": "new", "user": "u1", "at": after, "known_at": after, "cents": value_of("Decimal('1.25')")}
    engine.push("payments", rows.table("payments", [row], name == "killed"))
    engine.direct("users.visits").incr({"user": "u1"}, 1, at=after)
    then, now = known["answers"][str(known["end"])], after + 1
    names = ["lifetime.rows", "lifetime.total_cents", "users__visits.value", "users__visits.previous_1"]
    values = engine.features(names, {"user": "u1"}, as_of=now).values
    was = [value_of(then[one.replace(".", "__")][0]) for one in names]
    assert [values[one][0] for one in names] == [was[0] + 1, was[1] + row["cents"], was[2] + 1, was[2]]


def test_what_is_kept_is_small():
    """The fixtures stay in the repository for ever."""
    size = sum(path.stat().st_size for path in Path(__file__).parent.glob("v*/*"))
    assert size < 300_000
