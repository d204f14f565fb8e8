"""Holds what the engine said when a data directory was written against the naive oracle, and against plain figures."""

import datetime
import zoneinfo
from decimal import Decimal

from semantics.oracle import Oracle, suffix
from semantics.values import canonical, output_type
from semantics.world import same

from . import rows
from .declared import EXPRESSIONS

NAMES = ("payments", "accounts", "clicks")
READABLE = {"Decimal": Decimal, "datetime": datetime, "zoneinfo": zoneinfo, "nan": float("nan"), "inf": float("inf")}


def value_of(text):
    """What `repr` wrote."""
    return eval(text, {"__builtins__": {}}, READABLE)


def oracle_of(name, manifest):
    """The oracle with the rows of a directory, in the order in which they were pushed."""
    oracle = Oracle(manifest, {sql: function for sql, (function, _) in EXPRESSIONS.items()})
    for part in range(2 if name == "killed" else 1):
        if part:
            given = rows.payments(1)
            countries = [row | {"country": ("NL", "DE", None)[at % 3]} for at, row in enumerate(given)]
            oracle.push("payments", countries)
        for source, given in (("payments", rows.payments(part)), ("accounts", rows.accounts(part))):
            oracle.push(source, given)
        oracle.push("payments", rows.payments(part)[:7])
        oracle.push("payments", rows.wrong(part))
        if not part:
            # A time that cannot be read, sent as JSON.
            oracle.push("payments", [{"id": "json-0001", "user": "u1", "at": None, "known_at": rows.START}])
        for number in range(1 if part else 26):
            oracle.push("clicks", rows.clicks(part, number), arrival=0)
    return oracle


def hold_to_oracle(expected, name, manifest):
    """Fails unless every value and status is the oracle's, and the ledgers are."""
    oracle = oracle_of(name, manifest)
    for source in NAMES:
        ledger = vars(oracle.states[source].ledger)
        assert {key: ledger[key] for key in expected["ledgers"][source]} == expected["ledgers"][source], source
    compared = 0
    for end, columns in expected["answers"].items():
        for view in manifest["views"]:
            keys = [
                key["name"]
                for entity in manifest["entities"]
                if entity["name"] == view["entity"]
                for key in entity["keys"]
            ]
            entities = list(zip(*([value_of(text) for text in columns[key]] for key in keys), strict=True))
            for at, entity in enumerate(entities):
                for output, read in oracle.read(view["name"], entity, int(end)).items():
                    column = f"{view['name']}__{output}"
                    value, status = value_of(columns[column][at]), value_of(columns[f"{column}__status"][at])
                    where = (name, end, column, entity, value, read)
                    assert status == read.status, where
                    assert agrees(value, read, kinds(manifest, view)[output]), where
                    compared += 1
    hold_to_figures(expected, name)
    assert compared > 1_000
    print(f"{name}: {compared} values are the oracle's")


def agrees(value, read, kind):
    if kind.startswith("vector"):
        return value == read.value
    return same(canonical(value, kind), read, kind)


def kinds(manifest, view):
    source = next(one for one in manifest["sources"] if one["name"] == view["sources"][0])
    types = {column["name"]: column["type"] for column in source["columns"]}
    types |= {sql: kind for sql, (_, kind) in EXPRESSIONS.items()}
    return {
        one["name"] + suffix(window): output_type(one, types)
        for one in view["features"]
        for window in one.get("windows") or [{"kind": "unbounded"}]
    }


def hold_to_figures(expected, name):
    """The direct features, which the oracle does not know: the first answer about u1, u2, and a stranger."""
    first = expected["answers"][str(expected["end"])]

    def values(column):
        return [value_of(text) for text in first[column]]

    assert values("users__visits__value") == [-3, None, None, None]
    assert values("users__visits__previous_1") == [7, None, None, None]
    assert values("users__visits__previous_2") == [5, None, None, None]
    assert values("users__visits__value__status") == ["PRESENT", "NULL", "NOT_FOUND", "NOT_FOUND"]
    assert values("users__pages__value") == [["home", "größer"], None, None, None]
    # What was added in the day before: 2.5 and 0.1, and nothing of the part before, which is 19 hours older.
    times = 2 if name == "closed" else 4
    assert values("users__spent__count_1d") == [times, 0, 0, 0]
    assert values("users__spent__sum_1d")[0] == (2.6 if name == "closed" else 5.2)
    total = values("bounded__total_1d")
    assert values("over") == [None if value is None else value - 10.0 for value in total]
