"""Semantics, "Aggregations": what each computes, over nulls, past ranges, in which order."""

import inspect
import math
import random
import struct
from decimal import Decimal

import pytest

import thalweg as tw

from .oracle import HOUR
from .world import T

EACH = {
    "count": tw.count("x"),
    "sum": tw.sum("x"),
    "mean": tw.mean("x"),
    "min": tw.min("x"),
    "max": tw.max("x"),
    "var": tw.var("x"),
    "std": tw.std("x"),
    "skew": tw.skew("x"),
    "kurtosis": tw.kurtosis("x"),
    "first": tw.first("x"),
    "last": tw.last("x"),
    "first_k": tw.first_k("x", k=2),
    "last_k": tw.last_k("x", k=2),
    "top_k": tw.top_k("x", k=2),
    "bottom_k": tw.bottom_k("x", k=2),
    "distinct_count": tw.distinct_count("x"),
    "value_counts": tw.value_counts("x"),
    "approx_distinct": tw.approx_distinct("x"),
    "approx_quantile": tw.approx_quantile("x", quantile=0.5),
    "latest": tw.latest("x"),
}
SKETCHES = ("approx_distinct", "approx_quantile")


def rows_of(*values):
    return [{"at": T + at, "x": value} for at, value in enumerate(values)]


def values_of(world, values, q=T + HOUR):
    world.push(*rows_of(*values))
    return world.values(q)


def bits(number):
    return struct.pack(">d", number)


@pytest.mark.parametrize("name", EACH)
def test_all_twenty(build, name):
    """
    `count sum mean min max var std skew kurtosis first last first_k last_k top_k bottom_k distinct_count value_counts
    approx_distinct approx_quantile latest`, each with `where=` (row filter), `by=` (a map keyed by a column) and
    windows.
    """
    assert len(EACH) == 20
    parameters = {"k": {"k": 2}, "e": {"quantile": 0.5}}["k" if name.endswith("_k") else "e"]
    parameters = parameters if name.endswith("_k") or name == "approx_quantile" else {}
    make = getattr(tw, name)
    features = {
        "plain": make("x", **parameters),
        "narrow": make("x", where="c = 'p'", **parameters),
        "map": make("x", by="c", **parameters),
        "window": make("x", over=["5us", tw.Tumbling("1h"), tw.ToDate("1h"), tw.Sliding("2h", hop="1h")], **parameters),
    }
    world = build(
        features, {"x": tw.int64, "c": tw.string}, expressions={"c = 'p'": (lambda row: row["c"] == "p", "bool")}
    )
    values = [(5, "p"), (2, "q"), (2, "p"), (None, "p"), (8, None), (-3, "q"), (2, "p"), (7, "")]
    world.push(*({"at": T + at, "x": x, "c": c} for at, (x, c) in enumerate(values)))
    for q in (T + 4, T + 8, T + HOUR, T + HOUR + 3):
        world.ask(q)


def test_nulls_are_skipped(build):
    """Nulls are skipped."""
    values = values_of(build(EACH), [None, 4.0, None, 2.0, None])
    expected = {"count": 2, "sum": 6.0, "mean": 3.0, "min": 2.0, "max": 4.0, "var": 2.0, "first": 4.0, "last": 2.0}
    assert expected.items() <= values.items()
    assert (values["first_k"], values["top_k"], values["distinct_count"]) == ([4.0, 2.0], [4.0, 2.0], 2)
    # The one that reads a row and aggregates nothing.
    assert values["latest"] is None


@pytest.mark.parametrize("rows", [[], [None, None]], ids=["no rows", "only nulls"])
def test_no_input(build, rows):
    """No input: `count` and `distinct_count` are 0, lists and maps are empty, the rest are null."""
    by = {
        f"{name}_by": feature for name, feature in {"sum": tw.sum("x", by="key"), "n": tw.count("x", by="key")}.items()
    }
    values = values_of(build({**EACH, **by}), rows)
    empty = {"count": 0, "distinct_count": 0, "value_counts": {}, "sum_by": {}, "n_by": {}}
    empty.update(first_k=[], last_k=[], top_k=[], bottom_k=[])
    assert values == {**dict.fromkeys(EACH), **empty}


def test_count(build):
    """`count(*)` counts rows, `count(col)` non-null values."""
    assert values_of(build({"rows": tw.count(), "values": tw.count("x")}), [1.0, None, 3.0]) == {"rows": 3, "values": 2}


def test_integer_sums(build):
    """Integer sums are exact; past the int64 range the value is an error status, never a wrapped number."""
    top = 2**63 - 1
    world = build({"s": tw.sum("x", over="1us"), "all": tw.sum("x")}, {"x": tw.int64})
    world.push(*rows_of(top, 1, -1, -top, -1, -1))
    assert world.values(T + 1)["all"] == top
    assert world.ask(T + 2)["all"].status == "ERROR"
    # The way there does not matter, only the sum.
    assert [world.values(T + at)["all"] for at in (3, 4, 5)] == [top, 0, -1]
    below = build({"all": tw.sum("x")}, {"x": tw.int64})
    below.push(*rows_of(-top, -1, -1))
    assert below.values(T + 2)["all"] == -(2**63)
    assert below.ask(T + 3)["all"].status == "ERROR"
    cents = build({"s": tw.sum("x"), "m": tw.mean("x")}, {"x": tw.decimal(38, 2)})
    assert values_of(cents, [Decimal("0.10"), Decimal("0.20"), Decimal("99.70")]) == {
        "s": Decimal("100.00"),
        "m": 100.0 / 3,
    }
    cents.push({"key": "b", "at": T, "x": Decimal(10**36 - 1)}, {"key": "b", "at": T, "x": Decimal(1)})
    assert cents.ask(T + HOUR, "b")["s"].status == "ERROR"


def test_float_sums(build):
    """
    Sums of floats are correctly rounded: the exact sum, rounded once, so that neither order nor tiling nor retraction
    shows.
    """
    numbers = [1e16, 1.0, -1e16, 0.1, 0.2, 0.3, 1e-300, 1e300, -1e300, 2.0**-1074, 3.3]
    random.Random(7).shuffle(numbers)
    features = {"s": tw.sum("x"), "hops": tw.sum("x", over=tw.Sliding("2h", hop="1m")), "exact": tw.sum("x", over="1h")}
    world = build(features)
    assert {bits(value) for value in values_of(world, numbers).values()} == {bits(math.fsum(numbers))}
    backwards = build(features)
    backwards.push(*rows_of(*numbers)[::-1])
    assert {bits(value) for value in backwards.values(T + HOUR).values()} == {bits(math.fsum(numbers))}
    changes = build({"s": tw.sum("x")}, change=True)
    changes.push(*({"at": T + at, "id": at, "op": "insert", "x": x} for at, x in enumerate([*numbers, 1e308])))
    changes.push({"at": T + 99, "id": len(numbers), "op": "delete"})
    assert bits(changes.values(T + HOUR)["s"]) == bits(math.fsum(numbers))
    # Past the largest float the nearest is infinity; on the way there it is not.
    edge = build({"s": tw.sum("x")})
    edge.push(*rows_of(1.7e308, 1.7e308, -1.7e308))
    assert [edge.values(T + at)["s"] for at in (1, 2, 3)] == [1.7e308, math.inf, 1.7e308]


def test_moments(build):
    """
    `mean`, `var`, `std`, `skew`, `kurtosis` are one fixed formula over exact sums of powers. A property test says so.
    """
    moments = {name: EACH[name] for name in ("mean", "var", "std", "skew", "kurtosis")}
    # Far from zero and close together: a formula over rounded sums would be all noise.
    values = values_of(build(moments), [1e9 + 1, 1e9 + 2, 1e9 + 6])
    root = math.sqrt(14 / 3)
    assert values["mean"] == 1e9 + 3
    assert (values["var"], values["std"]) == (7.0, math.sqrt(7.0))
    assert values["skew"] == 6.0 / (14 / 3 * root)
    assert values["kurtosis"] == (98 / 3) / (14 / 3 * (14 / 3)) - 3.0
    # The property, over random rows in random order: equal to the oracle's fractions, to the last bit.
    for seed in range(5):
        chance = random.Random(seed)
        numbers = [
            chance.choice([chance.gauss(0, 1), chance.gauss(1e6, 1e-3), chance.uniform(-1, 1) * 1e12])
            for _ in range(40)
        ]
        values_of(build(moments), numbers)


def test_nan_and_infinity(build):
    """NaN and infinity are skipped and counted, like nulls, unless the view says `nan="keep"`."""
    numbers = [1.0, math.nan, math.inf, 3.0, -math.inf]
    skipped = values_of(build(EACH), numbers)
    assert (skipped["count"], skipped["sum"], skipped["max"], skipped["last"]) == (2, 4.0, 3.0, 3.0)
    assert skipped["latest"] == -math.inf
    exact = {name: feature for name, feature in EACH.items() if name not in SKETCHES}
    kept = values_of(build(exact, nan="keep"), numbers)
    assert (kept["count"], kept["min"], kept["last"], kept["distinct_count"]) == (5, -math.inf, -math.inf, 5)
    assert all(math.isnan(kept[name]) for name in ("sum", "mean", "max", "var", "std", "skew", "kurtosis"))
    assert kept["bottom_k"] == [-math.inf, 1.0]
    one_way = values_of(build({"s": tw.sum("x"), "m": tw.mean("x")}, nan="keep"), [1.0, math.inf])
    assert one_way == {"s": math.inf, "m": math.inf}


def test_skipped_values_are_counted(build):
    """NaN and infinity are skipped and counted: the number stands in the status of the engine."""
    world = build({"s": tw.sum("x")})
    world.push(*rows_of(1.0, math.nan, math.inf))
    assert counted(world.engine.status(), "non_finite") == 2


def counted(tree, name):
    """The sum of all numbers under `name`, however deep."""
    if isinstance(tree, dict):
        return sum(
            value if key == name and isinstance(value, int) else counted(value, name) for key, value in tree.items()
        )
    return sum(counted(item, name) for item in tree) if isinstance(tree, list) else 0


def test_order(build):
    """`first`, `last` and the k-forms follow the total order; `top_k` and `bottom_k` break ties by that order too."""
    names = ("first", "last", "first_k", "last_k", "top_k", "bottom_k")
    world = build({name: EACH[name] for name in names})
    # Pushed out of order, with two rows at one time.
    world.push({"at": T + 2, "x": 5.0}, {"at": T + 1, "x": 7.0}, {"at": T + 1, "x": 1.0}, {"at": T, "x": 7.0})
    assert world.values(T + HOUR) == {
        "first": 7.0,
        "last": 5.0,
        "first_k": [7.0, 7.0],
        "last_k": [1.0, 5.0],
        "top_k": [7.0, 7.0],
        "bottom_k": [1.0, 5.0],
    }
    # A value stems from all rows that it was chosen from, so the newest of them gives its event time.
    assert world.ask(T + HOUR)["first_k"].event_time == T + 2
    text = build({"top": tw.top_k("x", k=3), "bottom": tw.bottom_k("x", k=3)}, {"x": tw.string})
    assert values_of(text, ["b", "", "é", "b", "z"]) == {"top": ["é", "z", "b"], "bottom": ["", "b", "b"]}


def test_sample_and_population(build):
    """`var`, `std` are sample by default (`ddof=1`), `skew` and `kurtosis` population, as the docstring says."""
    features = {
        "v": tw.var("x"),
        "v0": tw.var("x", ddof=0),
        "s": tw.std("x"),
        "s0": tw.std("x", ddof=0),
        "k": tw.kurtosis("x"),
    }
    values = values_of(build(features), [1.0, 3.0])
    assert values == {"v": 2.0, "v0": 1.0, "s": math.sqrt(2.0), "s0": 1.0, "k": -2.0}
    single = values_of(build({**features, "skew": tw.skew("x")}), [1.0])
    assert single == {"v": None, "v0": 0.0, "s": None, "s0": 0.0, "k": None, "skew": None}
    for function in (tw.var, tw.std):
        assert inspect.signature(function).parameters["ddof"].default == 1
        assert "sample" in function.__doc__
    assert "population" in tw.skew.__doc__
    assert "population" in tw.kurtosis.__doc__


def test_sketches_do_not_depend_on_order(build):
    """
    Sketches must not depend on the order of rows or merges either: `approx_distinct` is a HyperLogLog (Apache
    DataSketches bytes) read by an estimator that looks at the registers alone; `approx_quantile` is a DDSketch
    (relative error).
    """
    features = {
        "u": tw.approx_distinct("x", over=["1h", tw.Sliding("1h", hop="1m")]),
        "coarse": tw.approx_distinct("x", lg_k=8),
        "q": tw.approx_quantile("x", quantile=0.9, over=["1h", tw.Sliding("1h", hop="1m")]),
    }
    chance = random.Random(3)
    rows = rows_of(*(chance.choice([-1, 1]) * chance.lognormvariate(0, 3) for _ in range(2000)))
    answers = []
    for order in (rows, rows[::-1], chance.sample(rows, len(rows))):
        world = build(features)
        for start in range(0, len(order), 500):
            world.push(*order[start : start + 500])
        world.values(T + HOUR)
        live, training = world.live(T + HOUR)["a"], world.training([("a", T + HOUR)], "event_time")[0]
        assert {name: answer.value for name, answer in live.items()} == {
            name: answer.value for name, answer in training.items()
        }
        answers.append({name: answer.value for name, answer in live.items()})
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["u_1h"] == answers[0]["u_1h_hop_1m"]
    assert answers[0]["q_1h"] == answers[0]["q_1h_hop_1m"]


def test_docstrings_state_the_bounds():
    """Their error bound stands in the docstring."""
    assert "1.04 / sqrt(2 ** lg_k)" in tw.approx_distinct.__doc__
    assert "relative_error" in tw.approx_quantile.__doc__
    assert "1 %" in tw.approx_quantile.__doc__


@pytest.mark.parametrize("name", ["kll", "cpc", "frequent_items", "approx_top_k"])
def test_no_sketch_that_depends_on_order(name):
    """A sketch whose answer depends on order (KLL, CPC, frequent items) is not used for features."""
    assert not hasattr(tw, name)
    assert {sketch for sketch in vars(tw) if sketch.startswith("approx_")} == set(SKETCHES)
