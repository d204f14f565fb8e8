"""The description of the formats is enough: a reader that was written from it finds in a directory what the product
finds in there, and no more."""

import hashlib
import json
import math
import sqlite3
from collections import Counter
from fractions import Fraction

import pyarrow.parquet
import pytest
from deltalake import DeltaTable

import thalweg as tw

from . import reader, rows
from .checking import value_of
from .declared import EXPRESSIONS, project
from .reader_entities import layout_of, read_entity
from .unpacking import DIRECTORIES, expected, unpack

HISTORY = ("payments", "accounts", "clicks")


@pytest.fixture(params=DIRECTORIES, ids="-".join)
def directory(request, tmp_path):
    """As it was written: the reader comes before any product does."""
    version, name = request.param
    return unpack(version, name, tmp_path), name, expected(version)[name]


def pushes(data):
    """Every push of the log, and where it begins."""
    records, torn = reader.read_log(data / "log")
    assert not torn
    return [(record.sequence, reader.read_push(record)) for record in records]


def log_rows(data):
    """Source to sequence to the row that the log has."""
    found = {}
    for sequence, push in pushes(data):
        source = found.setdefault(push.header["source"], {})
        source.update({sequence + number: row for number, row in enumerate(push.rows.to_pylist())})
    return found


def test_the_checksum_is_the_one_described():
    assert reader.crc32c(b"123456789") == 0xE3069283


def test_the_log_has_every_push(directory):
    data, _, known = directory
    for source, ledger in known["ledgers"].items():
        found = [push.header for _, push in pushes(data) if push.header["source"] == source]
        assert {name: sum(header[name] for header in found) for name in reader.COUNTS} == ledger, source
        assert sum(len(header["set_aside"]) for header in found) == ledger["quarantined"]
    keys = {push.header["idempotency_key"] for _, push in pushes(data)}
    assert {f"{key.split('-')[0]}\0{key}" for key in known["acks"]} <= keys


def test_quarantine_is_in_the_log_and_in_the_metadata(directory):
    data, _, known = directory
    in_log = {
        (push.header["source"], sequence, row, reason, column, raw)
        for sequence, push in pushes(data)
        for row, column, reason, raw in push.header["set_aside"]
    }
    listed = sqlite3.connect(data / "metadata.sqlite").execute(
        "SELECT source, position, row_index, reason, column_name, raw FROM quarantine"
    )
    assert set(listed) == in_log
    assert sorted(row["raw"] for row in known["quarantine"]) == sorted(raw.decode() for *_, raw in in_log)


def test_history_has_the_rows_of_the_log(directory):
    """The independent reader, then the product, which brings to history what is not there yet."""
    data, _, _ = directory
    in_log = log_rows(data)
    with tw.Engine(data, clock="events") as engine:
        engine.flush()
        paths = {source: engine.history_path(source) for source in HISTORY}
    for source in HISTORY:
        history = DeltaTable(paths[source]).to_pyarrow_table().to_pylist()
        assert len(history) == len(in_log[source])
        for row in history:
            logged = in_log[source][row["__sequence"]]
            assert str({name: logged.get(name) for name in row if name not in ("__sequence", "__date")}) == str(
                {name: value for name, value in row.items() if name not in ("__sequence", "__date")}
            )


def test_what_each_change_takes_back(directory):
    """Before-images are the rows that were current, as the changes before them left them."""
    data, _, _ = directory
    current, taken = {}, 0
    for sequence, push in pushes(data):
        if push.header["source"] != "accounts":
            continue
        before = {row["__row"]: row for row in push.before.to_pylist()} if push.before else {}
        for number, row in enumerate(push.rows.to_pylist()):
            was = current.pop(row["id"], None)
            assert (before[number]["__sequence"] if number in before else None) == (was[0] if was else None)
            if was:
                taken += 1
                assert {name: before[number][name] for name in was[1] if not name.startswith("__")} == {
                    name: value for name, value in was[1].items() if not name.startswith("__")
                }
                assert before[number]["__time"] == rows.micros(was[1]["at"])
            if row["op"] != "delete":
                current[row["id"]] = (sequence + number, row)
    assert taken > 20


def test_the_checkpoint_and_what_is_remembered(directory):
    data, name, known = directory
    state = reader.read_state(data / "state")
    position = state.header["position"]
    until = [(sequence, push) for sequence, push in pushes(data) if sequence < position]
    after = [push for sequence, push in pushes(data) if sequence >= position]
    assert bool(after) == (name == "killed"), "only the log of the killed one reaches beyond its checkpoint"
    for source, ledger in state.header["ledgers"].items():
        headers = [push.header for _, push in until if push.header["source"] == source]
        counted = {count: sum(header[count] for header in headers) for count in reader.COUNTS}
        assert {**counted, "pushes": len(headers)} == {key: ledger[key] for key in (*reader.COUNTS, "pushes")}
    acknowledged = reader.read_acknowledgements(state)
    of_log = {push.header["idempotency_key"]: push.header for _, push in until if push.header["idempotency_key"]}
    assert {f"{source}\0{key}" for source, key in acknowledged} == set(of_log)
    for (source, key), ack in acknowledged.items():
        assert ack == {name: of_log[f"{source}\0{key}"][name] for name in ack}
    hold_dedup(state, until)
    hold_current(state, until)
    assert known["ledgers"]["payments"]["deduplicated"] > 0


def hold_dedup(state, until):
    accepted = [row for _, push in until if push.header["source"] == "payments" for row in push.rows.to_pylist()]
    wanted = {(reader.xxh3_128(reader.entity_key([("string", row["id"])])), rows.micros(row["at"])) for row in accepted}
    assert reader.read_dedup(state) == {"payments": wanted}


def hold_current(state, until):
    current = {}
    for sequence, push in until:
        if push.header["source"] == "accounts":
            for number, row in enumerate(push.rows.to_pylist()):
                key = reader.entity_key([("int64", row["id"])])
                current.pop(key, None)
                if row["op"] != "delete":
                    current[key] = (rows.micros(row["at"]), sequence + number, row)
    found = reader.read_changes(state)["accounts"]
    assert found.keys() == current.keys() and found
    for key, (time, sequence, values) in found.items():
        assert (time, sequence) == current[key][:2]
        row = current[key][2]
        assert values["plan"] == row["plan"].encode() and values["balance"] == row["balance"]
        assert values["cents"] == int(row["cents"] * 100) and values["active"] == row["active"]


def entities_of(data, name, view_name):
    """The entities of a view as the newest checkpoint has them, by key; the view's definition, its types."""
    manifest = project(later=name == "killed").manifest()
    view = next(view for view in manifest["views"] if view["name"] == view_name)
    source = next(source for source in manifest["sources"] if source["name"] == view["sources"][0])
    types = {column["name"]: column["type"] for column in source["columns"]}
    types |= {sql: kind for sql, (_, kind) in EXPRESSIONS.items()}
    sql = "SELECT space FROM views WHERE name = ? AND status = 'ready'"
    ((space,),) = sqlite3.connect(data / "metadata.sqlite").execute(sql, (view_name,)).fetchall()
    state = reader.read_state(data / "state")
    assert space in state.header["filled"]
    layout = layout_of(view, types, source.get("kind") == "SOURCE_KIND_CHANGE")
    return {key: read_entity(value, layout) for key, value in state.spaces[space].items()}, source, types


@pytest.mark.parametrize("view", ["bounded", "lifetime", "changed", "browsing", "shelves"])
def test_entities_have_the_rows_of_the_log(directory, view):
    data, name, _ = directory
    entities, source, types = entities_of(data, name, view)
    logged = log_rows(data)[source["name"]]
    names = ("kind", "flag", "small", "day", "cents", "blob", "ratio") if view == "shelves" else ("user",)
    seen = 0
    for key, entity in entities.items():
        for row in entity.rows:
            of_log = logged[row.sequence]
            assert (row.time, row.arrival) == (rows.micros(of_log["at"]), rows.micros(arrival(of_log)))
            assert key == reader.entity_key([(types[one], plain(of_log[one], types[one])) for one in names])
            for expression, value in row.values.items():
                wanted = EXPRESSIONS[expression][0](of_log) if expression in EXPRESSIONS else of_log.get(expression)
                assert repr(value) == repr(inner(wanted, types[expression])), expression
            for condition, passes in row.passes.items():
                wanted = EXPRESSIONS[condition][0](of_log) if condition in EXPRESSIONS else of_log[condition]
                assert passes == (wanted is True)
            seen += 1
    assert seen >= {"shelves": 50, "browsing": 78}.get(view, 60)


def arrival(row):
    return row["__arrival"]


def plain(value, kind):
    """A value of Arrow as the formats write it."""
    if value is None:
        return None
    if kind == "timestamp":
        return rows.micros(value)
    if kind == "date":
        return value.toordinal() - 719_163
    if kind.startswith("decimal"):
        return int(value.scaleb(int(kind[:-1].split(",")[1])))
    return value


def inner(value, kind):
    if value is not None and kind.startswith("list<string"):
        return [one.encode() for one in value]
    return plain(value, kind)


def test_the_rows_that_changes_took_back(directory):
    data, name, _ = directory
    entities, _, _ = entities_of(data, name, "changed")
    taken = {}
    for _, push in pushes(data):
        if push.header["source"] == "accounts" and push.before:
            by = push.rows.to_pylist()
            for row in push.before.to_pylist():
                change = by[row["__row"]]
                taken[row["__sequence"]] = (rows.micros(change["at"]), rows.micros(change["__arrival"]))
    held = [row for entity in entities.values() for row in entity.rows]
    assert {row.sequence: row.retraction for row in held if row.retraction} == {
        row.sequence: taken[row.sequence] for row in held if row.sequence in taken and row.retraction
    }
    position = reader.read_state(data / "state").header["position"]
    if name == "closed":
        assert {row.sequence for row in held if row.retraction} == taken.keys()
    assert position and any(row.retraction for row in held)


def test_what_was_folded_and_the_rows_make_the_values(tmp_path):
    """Of the entity with most rows: base and rows together are what the product answered."""
    data, known = unpack("v1", "closed", tmp_path), expected("v1")["closed"]
    entities, _, _ = entities_of(data, "closed", "lifetime")
    entity = entities[reader.entity_key([("string", "u1")])]
    through, newest_arrival, folded = entity.base
    assert through < entity.rows[0].time and newest_arrival >= through
    told = known["answers"][str(known["end"])]
    accumulators = dict(zip(NAMES, folded, strict=True))

    def answer(output):
        return value_of(told[f"lifetime__{output}"][0])

    def values(expression, condition=None):
        held = [row for row in entity.rows if condition is None or row.passes[condition]]
        return [row.values[expression] for row in held if row.values[expression] is not None]

    def of(output, name):
        newest, kind, fields = accumulators[output]
        assert kind == name and newest <= through
        return fields

    assert answer("rows") == of("rows", "count") + len(entity.rows)
    assert answer("some") == of("some", "count") + len(values("blob"))
    integers = of("total_n", "integers")
    total = integers[1] + sum(values("n", "n > 0"))
    # Past the range of int64, which the product says instead of a number.
    assert integers[0] and total >= 2**63 and value_of(told["lifetime__total_n__status"][0]) == "ERROR"
    count, cents = of("total_cents", "decimals")
    assert answer("total_cents") * 100 == cents + sum(values("cents")) and count
    count, *odd, total = of("total", "floats")
    assert odd == [0, 0, 0] and count
    assert answer("total") == float(total + sum(map(Fraction, values("amount"))))
    distinct = Counter(dict(of("distinct", "distinct"))) + Counter(values("small"))
    assert answer("distinct") == len(distinct)
    kinds = Counter({key.decode(): count for key, count in of("counts", "distinct")}) + Counter(values("kind"))
    assert dict(answer("counts")) == kinds
    hold_shapes(of, answer)


def hold_shapes(of, answer):
    """The accumulators whose values need more than adding up: what they hold lies where it has to."""
    assert of("first", "ends") and len(of("first_k", "ends")) == 3 and len(of("last_k", "ends")) == 2
    ((value, _, _),) = of("least", "ranked")
    assert value >= answer("least")
    best = [value for value, _, _ in of("top", "ranked")]
    assert best == sorted(best, reverse=True) and len(best) == 3
    powers = of("var", "powers")
    assert powers[0] and powers[2][0] ** 2 <= powers[0] * powers[2][1] and powers[2][2] == powers[2][3] == 0
    assert len(of("about_few", "registers")) > 50, "few registers of 2^12, as a list"
    assert 8 < len(of("about_many", "registers")) <= 16, "all of the 2^4, as bytes"
    negative, zeros, positive, *others = of("half", "quantiles")
    assert sum(negative.values()) and sum(positive.values()) and others == [0, 0, 0] and zeros == 0
    by = dict(of("bottom_by", "by"))
    assert all(kind == "ranked" for _, kind, _ in by.values()) and len(by) == 5


def test_what_was_folded_of_numbers_at_the_ends_of_their_range(directory):
    """Sums that need more than 128 bits, what is not finite, and the powers of both."""
    data, name, _ = directory
    entities, _, _ = entities_of(data, name, "lifetime")
    _, _, folded = entities[reader.entity_key([("string", "u2")])].base
    of = {output: fields for output, (_, _, fields) in zip(NAMES, folded, strict=True)}
    count, *odd, total = of["total"]
    assert odd == [1, 1, 1] and count > 50
    logged = [row for row in log_rows(data)["payments"].values() if row["user"] == "u2"]
    through = entities[reader.entity_key([("string", "u2")])].base[0]
    amounts = [row["amount"] for row in logged if rows.micros(row["at"]) <= through and row["amount"] is not None]
    finite = [Fraction(amount) for amount in amounts if math.isfinite(amount)]
    assert {Fraction(1e300), Fraction(5e-324)} <= set(finite)
    assert total == sum(finite) and count == len(amounts)
    count, left_out, sums = of["var"]
    assert (count, left_out) == (len(finite), 3)
    assert sums == [sum(finite), sum(amount**2 for amount in finite), 0, 0]


# The accumulators of the view `lifetime` in the order of its features, each named after the first that reads it.
NAMES = (
    "rows rows_of_kinds some total_n total_cents total total_by twice mean least most most_by var std std_cents skew"
    " kurtosis first last first_k last_k top bottom bottom_by distinct counts counts_of_times about_few about_many half"
    " latest"
).split()


def test_served_answers_and_audit(directory):
    data, _, known = directory
    answered = 0
    for path in (data / "served" / "everything").glob("*/*.parquet"):
        table = pyarrow.parquet.read_table(path)
        assert table.column_names[:4] == ["__as_of", "__cut", "user", "limit"]
        assert path.name == f"{int(path.stem):08}.parquet" and len(path.parent.name) == 64
        for row in table.to_pylist():
            assert row["__cut"] <= rows.micros(row["__as_of"])
            answered += 1
    assert answered
    lines = (data / "audit" / "00000001.jsonl").read_text().splitlines()
    assert known["key"]["id"] in lines[0]


def test_direct_writes_are_rows(directory):
    """Each has the value after it, and those before."""
    data, _, _ = directory
    first = list(log_rows(data)["users__visits"].values())[:4]
    at = rows.START + 28 * rows.HOUR
    columns = ("user", "value", "operation", "operand", "previous_1", "previous_2")
    assert [(rows.micros(row["at"]) - at, *(row[name] for name in columns)) for row in first] == [
        (0, "u1", 5, "set", None, None, None),
        (1, "u1", 7, "incr", 2, 5, None),
        (2, "u1", -3, "incr", -10, 7, 5),
        (0, "u2", None, "set", None, None, None),
    ]
    pages = list(log_rows(data)["users__pages"].values())[:2]
    assert [(row["value"], row["operation"], row["operand"]) for row in pages] == [
        (["home"], "set", None),
        (["home", "größer"], "append", "größer"),
    ]
    spent = list(log_rows(data)["users__spent"].values())[:2]
    assert [(row["value"], row["operation"], row["operand"]) for row in spent] == [
        (2.5, "add", 2.5),
        (0.1, "add", 0.1),
    ]


def test_the_first_record_is_marked_as_after_a_sync(directory):
    data, _, _ = directory
    records, _ = reader.read_log(data / "log")
    assert records[0].after_sync and records[0].sequence == 1
    assert all(record.kind == 1 for record in records)


def test_a_training_set_is_named_after_what_it_is_made_of(directory):
    data, _, known = directory
    listed = sqlite3.connect(data / "metadata.sqlite").execute("SELECT id, as_of, report_json FROM training_sets")
    found = {}
    for identifier, as_of, text in listed:
        report = json.loads(text)
        lines = [f"manifest {report['manifest_hash']}", f"as_of {as_of}", f"spine {report['spine_hash']}"]
        lines += ["timestamp asked_at", *sorted(f"feature {one['name']}" for one in report["features"])]
        lines += [f"source {name} {used['sequence']}" for name, used in sorted(report["sources"].items())]
        found[identifier] = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        assert report["rows"] == pyarrow.parquet.read_metadata(data / "training" / f"{identifier}.parquet").num_rows
    assert found == {made["id"]: made["id"] for made in known["training_sets"]}


def test_of_a_key_only_the_hash_is_kept(directory):
    data, _, known = directory
    _, _, secret = known["key"]["key"].split("_")
    sql = "SELECT id, secret_hash, namespaces, scopes FROM api_keys"
    ((identifier, kept, *rest),) = sqlite3.connect(data / "metadata.sqlite").execute(sql)
    assert (identifier, kept) == (known["key"]["id"], hashlib.sha256(secret.encode()).digest())
    assert rest == ["*", "admin"]
