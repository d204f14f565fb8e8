"""Namespaces, steps, direct features and encoders: what they become in the manifest, and what they refuse."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import thalweg as tw
from thalweg.encoders import sql_literal

USER = tw.Entity("user", keys={"user": tw.string})


def clicks(**changes) -> tw.DirectFeature:
    return tw.DirectFeature("clicks", **{"entity": USER, "primitive": int, "namespace": "web", **changes})


def payments(steps=()) -> tw.EventSource:
    schema = {"user": tw.string, "currency": tw.string, "amount": tw.float64, "at": tw.timestamp}
    return tw.EventSource("payments", schema=schema, timestamp="at", steps=steps)


def view_of(source: tw.EventSource) -> tw.FeatureView:
    features = {"currency": tw.latest("currency"), "spend": tw.sum("amount", over=["1h", "7d"])}
    return tw.FeatureView("money", entity=USER, source=source, features=features)


def test_every_object_has_a_namespace():
    source = tw.EventSource("s", schema={"user": tw.string, "at": tw.timestamp}, timestamp="at", namespace="a")
    view = tw.FeatureView("v", entity=USER, source=source, features={"n": tw.count()}, namespace="b")
    service = tw.FeatureService("s", features=[view], namespace="c")
    objects = [
        source,
        view,
        service,
        tw.Entity("e", keys={"e": tw.string}, namespace="d"),
        tw.ChangeSource(
            "c", schema={"id": tw.int64}, timestamp="at", primary_key=["id"], operation="op", namespace="e"
        ),
        tw.OnDemand("o", "request.x", request={"x": tw.int64}, namespace="f"),
        tw.TrainingSet("t", service, "SELECT 1", namespace="g"),
        clicks(namespace="h"),
    ]
    assert [item.to_json()["about"]["namespace"] for item in objects] == ["a", "b", "c", "d", "e", "f", "g", "h"]
    assert "about" not in tw.Entity("e", keys={"e": tw.string}, namespace="default").to_json()
    with pytest.raises(TypeError, match="`namespace` takes text"):
        tw.Entity("e", keys={"e": tw.string}, namespace=3)


def test_steps_in_the_manifest():
    source = payments(
        [
            tw.Validate("amount > 0", reason="the amount is not positive"),
            tw.Transform("currency", "upper(currency)"),
            tw.Validate("currency <> 'XXX'", reason="no currency", name="known", priority=-1),
        ]
    )
    assert source.to_json()["steps"] == [
        {"name": "validate_1", "validate": {"expression": "amount > 0", "reason": "the amount is not positive"}},
        {"name": "transform_2", "priority": 1, "transform": {"column": "currency", "expression": "upper(currency)"}},
        {"name": "known", "priority": -1, "validate": {"expression": "currency <> 'XXX'", "reason": "no currency"}},
    ]
    assert "steps" not in payments().to_json()


def test_steps_remember_where_they_were_made():
    source = payments(
        [
            tw.Validate("amount > 0", reason="not positive"),
        ]
    )
    origins = tw.Project("p", [source], root=Path(__file__).parent).origins()
    file, line = origins["source:payments.steps.validate_1"].split(":")
    assert file == Path(__file__).name
    assert "tw.Validate(" in Path(__file__).read_text().splitlines()[int(line) - 1]


def test_a_direct_feature_in_the_manifest():
    feature = tw.DirectFeature(
        "score",
        entity=USER,
        primitive=float,
        namespace="ads",
        keep_previous=2,
        freshness="60m",
        staleness="24h",
        timeout="500ms",
        fetch=tw.Fetch(
            "https://scores.example/{user}", field="/score", headers={"X-B": "b", "Authorization": "env:SCORES_TOKEN"}
        ),
        description="how likely a click is",
    )
    assert feature.to_json() == {
        "name": "score",
        "entity": "user",
        "primitive": "float",
        "keep_previous": 2,
        "freshness": "1h",
        "staleness": "1d",
        "timeout": "500ms",
        "fetch": {
            "url": "https://scores.example/{user}",
            "field": "/score",
            "headers": [
                {"name": "Authorization", "value": "env:SCORES_TOKEN"},
                {"name": "X-B", "value": "b"},
            ],
        },
        "about": {"description": "how likely a click is", "namespace": "ads"},
    }
    assert (feature.selector, feature.view_name, feature.key) == ("ads.score", "ads__score", "direct:ads.score")


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (int, "int"),
        (float, "float"),
        (str, "string"),
        (bool, "bool"),
        (datetime, "timestamp"),
        (list[int], "[int]"),
        (list[str], "[string]"),
        (list[datetime], "[timestamp]"),
        ("int", "int"),
        (" string ", "string"),
        ("[float]", "[float]"),
        ("[ timestamp ]", "[timestamp]"),
    ],
)
def test_primitives_have_one_written_form(given, written):
    assert clicks(primitive=given).to_json()["primitive"] == written


@pytest.mark.parametrize("wrong", [bytes, list, dict[str, int], list[bytes], list[list[int]], None, 3, tw.int64])
def test_what_is_no_primitive(wrong):
    with pytest.raises(TypeError, match=r"takes int, float, str, bool or datetime"):
        clicks(primitive=wrong)


@pytest.mark.parametrize("wrong", ["int64", "[]", "[[int]]", "list[int]", ""])
def test_what_is_no_written_primitive(wrong):
    with pytest.raises(ValueError, match=r"takes int, float, str, bool or datetime"):
        clicks(primitive=wrong)


def test_references_to_direct_features():
    plain = clicks(keep_previous=2)
    windowed = tw.DirectFeature("spend", entity=USER, primitive=float, aggregations=["sum", "count"], over="60m")
    service = tw.FeatureService("s", features=[plain, plain.previous(1), windowed.aggregation("sum"), windowed])
    assert service.features == (
        "web__clicks.value",
        "web__clicks.previous_1",
        "default__spend.sum_1h",
        "default__spend.count_1h",
    )
    manifest = tw.Project("p", [service]).manifest()
    assert [item["name"] for item in manifest["direct_features"]] == ["spend", "clicks"]
    assert [item["name"] for item in manifest["entities"]] == ["user"]
    assert list(plain.previous(2)) == ["web__clicks.previous_2"]
    with pytest.raises(ValueError, match="keep_previous=3"):
        plain.previous(3)
    with pytest.raises(KeyError, match="there is sum, count"):
        windowed.aggregation("mean")
    with pytest.raises(KeyError, match="there is none"):
        plain.aggregation("sum")


def test_the_same_name_in_two_namespaces():
    project = tw.Project("p", [clicks(), clicks(namespace="app")])
    assert [item["about"]["namespace"] for item in project.manifest()["direct_features"]] == ["app", "web"]
    assert {"direct:app.clicks", "direct:web.clicks"} <= set(project.origins())
    with pytest.raises(tw.DefinitionError, match=r"direct:web\.clicks"):
        tw.Project("p", [clicks(), clicks(primitive=str)])


@pytest.mark.parametrize(
    ("make", "mend"),
    [
        (lambda: clicks(entity="user"), r"pass the object"),
        (lambda: clicks(fetch="https://x.example/{user}"), r"write fetch=tw\.Fetch"),
        (lambda: clicks(keep_previous="2"), r"whole number"),
        (lambda: clicks(aggregations="sum", over="1h"), r"takes a list of names"),
        (lambda: tw.Fetch("https://x.example", headers=[("a", "b")]), r"takes a dict"),
        (lambda: tw.Fetch("https://x.example", headers={"a": 1}), r"takes text"),
        (lambda: payments(tw.Validate("amount > 0", reason="no")), r"takes a list"),
        (lambda: payments(["amount > 0"]), r"tw\.Validate and tw\.Transform"),
        (lambda: tw.Validate("amount > 0", reason=None), r"say what is wrong"),
        (lambda: tw.Transform("amount", 3), r"write SQL"),
        (lambda: tw.Validate("a", reason="b", priority="first"), r"priority=10"),
        (lambda: tw.FeatureService("s", features=clicks()), r"features=\[view\]"),
        (lambda: tw.one_hot("o", "v.x", categories="abc"), r"takes a list of values"),
        (lambda: tw.one_hot("o", "v.x", categories=[b"a"]), r"takes text, a number"),
        (lambda: tw.bucketize("b", "v.x", boundaries=["1"]), r"takes numbers"),
        (lambda: tw.fill("f", "v.x", None), r"takes text, a number"),
        (lambda: tw.fill("f", 3, 0), r"takes views, references"),
    ],
)
def test_a_wrong_type_is_refused_with_its_mend(make, mend):
    with pytest.raises(TypeError, match=mend):
        make()


@pytest.mark.parametrize(
    ("make", "mend"),
    [
        (lambda: clicks(keep_previous=17), r"at most 16"),
        (lambda: clicks(aggregations=["sum"]), r"`over` is missing"),
        (lambda: clicks(over="1h"), r"`aggregations` is missing"),
        (lambda: clicks(aggregations=["sum"], over="0s"), r"`over` is zero"),
        (lambda: clicks(aggregations=["median"], over="1h"), r"use count, sum, mean, min, max"),
        (lambda: clicks(aggregations=["sum", "sum"], over="1h"), r"name each once"),
        (lambda: tw.Validate("a", reason="b", priority=2**31), r"32 bits"),
        (lambda: tw.one_hot("o", "v.x", categories=[]), r"is empty"),
        (lambda: tw.one_hot("o", "v.x", categories=["a", "a"]), r"name each once"),
        (lambda: tw.one_hot("o", "v.x", categories=range(500)), r"encode the values in two"),
        (lambda: tw.bucketize("b", "v.x", boundaries=[2, 1]), r"not ascending"),
        (lambda: tw.bucketize("b", "v.x", boundaries=[float("nan")]), r"finite"),
        (lambda: tw.standardize("s", "v.x", mean=0, std=0), r"above zero"),
        (lambda: tw.fill("f", "v.x", 2**63), r"64 bits"),
        (lambda: tw.fill("f", view_of(payments())["spend"], 0), r"names 2 features"),
    ],
)
def test_a_wrong_value_is_refused_with_its_mend(make, mend):
    with pytest.raises(ValueError, match=mend):
        make()


def test_encoders_are_on_demand_features():
    view = view_of(payments())
    currency, spend = view["currency"], view["spend_1h"]
    assert tw.one_hot("c", currency, categories=["EUR", "it's"]).expression == (
        'make_array(CAST("money"."currency" IS NOT DISTINCT FROM \'EUR\' AS BIGINT), '
        "CAST(\"money\".\"currency\" IS NOT DISTINCT FROM 'it''s' AS BIGINT))"
    )
    assert tw.bucketize("b", spend, boundaries=[-1.5, 10]).expression == (
        'CASE WHEN "money"."spend_1h" < (-1.5) THEN 0 WHEN "money"."spend_1h" < 10 THEN 1 '
        'WHEN "money"."spend_1h" >= 10 THEN 2 END'
    )
    assert tw.standardize("s", spend, mean=3, std=2).expression == '(CAST("money"."spend_1h" AS DOUBLE) - 3.0) / 2.0'
    assert tw.fill("f", clicks(), 0).expression == 'coalesce("web__clicks"."value", 0)'
    made = tw.fill("f", spend, 0.0, namespace="money", description="no spend is zero")
    assert made.to_json()["about"] == {"description": "no spend is zero", "namespace": "money"}
    chained = tw.standardize("z", made, mean=0, std=1)
    assert '"f"' in chained.expression
    names = {item.key for item in tw.Project("p", [chained]).objects}
    assert names == {"entity:user", "source:payments", "view:money", "on_demand:f", "on_demand:z"}


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("a'b\"c\\d", "'a''b\"c\\d'"),
        ("'; DROP", "'''; DROP'"),
        (True, "true"),
        (-5, "(-5)"),
        (-0.0, "(-0.0)"),
        (1e-07, "1e-07"),
        (date(2024, 5, 1), "DATE '2024-05-01'"),
        (datetime(2024, 5, 1, tzinfo=UTC), "TIMESTAMP '2024-05-01T00:00:00.000000Z'"),
    ],
)
def test_values_as_sql(value, literal):
    assert sql_literal(value) == literal


def test_encoders_compile_whatever_is_in_their_values():
    pytest.importorskip("thalweg._native")
    view = view_of(payments())
    made = [
        tw.one_hot("hot", view["currency"], categories=["EUR", "it's", 'a"b', "\\", "line\nbreak", "--x", "?", "é"]),
        tw.bucketize("bucket", view["spend_1h"], boundaries=[-1.5, 1e-07, 10]),
        tw.standardize("z", view["spend_1h"], mean=-3, std=1e-3),
        tw.fill("filled", view["currency"], "none'"),
        tw.fill("floored", view["spend_1h"], -1.0),
    ]
    outputs = tw.Project("p", made).compile().outputs
    assert {name: outputs[name] for name in ("hot", "bucket", "z", "filled", "floored")} == {
        "hot": "list<int64>",
        "bucket": "int64",
        "z": "float64",
        "filled": "string",
        "floored": "float64",
    }


def test_direct_features_and_steps_compile():
    pytest.importorskip("thalweg._native")
    source = payments(
        [tw.Transform("currency", "upper(currency)"), tw.Validate("amount > 0", reason="the amount is not positive")]
    )
    windowed = tw.DirectFeature("spend", entity=USER, primitive=float, aggregations=["sum", "max"], over="60m")
    plain = clicks(primitive=list[str], keep_previous=1)
    service = tw.FeatureService("s", features=[view_of(source), plain, plain.previous(1), windowed])
    compiled = tw.Project("p", [service]).compile()
    assert compiled.outputs["web__clicks.value"] == compiled.outputs["web__clicks.previous_1"] == "list<string>"
    assert compiled.outputs["default__spend.sum_1h"] == "float64"
    manifest = json.loads(compiled.json)
    assert [item["name"] for item in manifest["direct_features"]] == ["spend", "clicks"]
    assert [item["name"] for item in manifest["sources"]] == ["payments"]
    assert [item["name"] for item in manifest["sources"][0]["steps"]] == ["transform_1", "validate_2"]


def test_a_broken_rule_names_the_line_of_the_direct_feature():
    pytest.importorskip("thalweg._native")
    wrong = clicks(fetch=tw.Fetch("https://scores.example/all", field="/score"))
    with pytest.raises(tw.DefinitionError) as caught:
        tw.Project("p", [wrong], root=Path(__file__).parent).compile()
    (problem,) = caught.value.problems
    assert problem.object == "direct:web.clicks"
    assert problem.origin.startswith(f"{Path(__file__).name}:")
    assert "lacks `{user}`" in problem.rule


def test_definitions_without_anything_new_keep_their_hash(flights):
    pytest.importorskip("thalweg._native")
    known = "360c2a233f427908faba27fe46245c172939d58ae9eda6cbe44d00c392c268e3"
    assert tw.Project("flights", [flights.service]).compile().hash == known
