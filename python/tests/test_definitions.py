"""Definitions: what they become in the manifest, where they say they were made, and what they refuse."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

import thalweg as tw
from thalweg.types import parse
from thalweg.windows import duration_text

NAMES = (
    "count sum mean min max var std skew kurtosis first last first_k last_k top_k bottom_k distinct_count "
    "value_counts approx_distinct approx_quantile latest"
).split()


def test_a_source_in_the_manifest(flights):
    assert flights.departures.to_json() == {
        "name": "departures",
        "kind": "SOURCE_KIND_EVENT",
        "columns": [
            {"name": "id", "type": "int64", "required": True},
            {"name": "carrier", "type": "string"},
            {"name": "dep_delay", "type": "float64", "min": "-120", "max": "3000"},
            {"name": "cancelled", "type": "bool"},
            {"name": "event_time", "type": "timestamp"},
            {"name": "known_at", "type": "timestamp"},
        ],
        "timestamp": "event_time",
        "arrival_time": "known_at",
        "dedup": {"key": ["id"], "within": "2d"},
        "filter": "carrier IS NOT NULL",
        "about": {"owner": "ops@example.com", "tags": ["area=flights", "team=ops"]},
    }


def test_a_change_source_in_the_manifest():
    source = tw.ChangeSource(
        "accounts", schema={"id": tw.int64}, timestamp="at", primary_key=["id"], operation="op"
    ).to_json()
    assert source["kind"] == "SOURCE_KIND_CHANGE"
    assert (source["primary_key"], source["operation"]) == (["id"], "op")


def test_a_view_in_the_manifest(flights):
    assert flights.view.to_json() == {
        "name": "carrier_delays",
        "entity": "carrier",
        "sources": ["departures"],
        "filter": "NOT cancelled",
        "derived": [{"name": "late", "expression": "dep_delay > 15"}],
        "features": [
            {
                "name": "flights",
                "aggregation": "count",
                "windows": [{"kind": "sliding", "over": "1h"}, {"kind": "sliding", "over": "1d"}],
            },
            {
                "name": "delay_mean",
                "aggregation": "mean",
                "input": "dep_delay",
                "windows": [
                    {"kind": "sliding", "over": "7d"},
                    {"kind": "sliding", "over": "7d", "hop": "1h"},
                    {"kind": "to_date", "over": "1d"},
                ],
            },
            {"name": "late_ever", "aggregation": "count", "where": "late", "windows": [{"kind": "unbounded"}]},
        ],
        "staleness": "2d",
        "time_zone": "America/New_York",
        "keep_nan": True,
    }


def test_outputs_are_named_by_feature_and_window(flights):
    assert flights.view.outputs == (
        "flights_1h",
        "flights_1d",
        "delay_mean_7d",
        "delay_mean_7d_hop_1h",
        "delay_mean_to_date_1d",
        "late_ever",
    )
    assert tw.Tumbling("1d").suffix == "_tumbling_1d"


def test_references_to_outputs(flights):
    assert flights.view["delay_mean_7d"].names == ("carrier_delays.delay_mean_7d",)
    assert flights.view["flights"].names == ("carrier_delays.flights_1h", "carrier_delays.flights_1d")
    assert list(flights.view) == list(flights.view.outputs)
    with pytest.raises(KeyError, match="there is delay_mean"):
        flights.view["delay_men"]


def test_a_service_lists_each_feature_once_in_order(flights):
    service = tw.FeatureService(
        "s",
        features=[flights.view["late_ever"], flights.gap, flights.view["flights"], flights.view["late_ever"], "a.b"],
    )
    assert service.features == (
        "carrier_delays.late_ever",
        "gap",
        "carrier_delays.flights_1h",
        "carrier_delays.flights_1d",
        "a.b",
    )
    assert flights.service.to_json()["log_sample"] == 1.0


def test_a_training_set_in_the_manifest(flights):
    assert tw.TrainingSet("t", flights.service, "SELECT 1", as_of="arrival").to_json() == {
        "name": "t",
        "service": "arrival_delay",
        "as_of": "arrival",
        "spine": "SELECT 1",
        "timestamp": "timestamp",
    }


def test_every_aggregation_is_a_function():
    own = {"first_k": {"k": 3}, "last_k": {"k": 3}, "top_k": {"k": 3}, "bottom_k": {"k": 3}}
    own["approx_quantile"] = {"quantile": 0.5}
    for name in NAMES:
        feature = getattr(tw, name)("x", over="1d", where="y", by="z", **own.get(name, {})).to_json("f")
        assert feature["aggregation"] == name
        assert (feature["input"], feature["where"], feature["by"]) == ("x", "y", "z")


def test_parameters_of_aggregations():
    def parameters(feature):
        return {
            name: value
            for name, value in feature.to_json("f").items()
            if name not in ("name", "aggregation", "windows")
        }

    assert parameters(tw.var("x")) == {"input": "x", "ddof": 1}
    assert parameters(tw.std("x", ddof=0)) == {"input": "x"}  # zero is the field's default
    assert parameters(tw.top_k("x", k=5)) == {"input": "x", "k": 5}
    assert parameters(tw.approx_distinct("x")) == {"input": "x", "lg_k": 12}
    assert parameters(tw.approx_quantile("x", quantile=0.9)) == {"input": "x", "quantile": 0.9, "relative_error": 0.01}


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("168h", "7d"),
        ("2w", "14d"),
        ("90s", "1m30s"),
        ("500ms", "500ms"),
        ("1h30m", "1h30m"),
        ("0s", "0s"),
        (timedelta(days=1, microseconds=3), "1d3us"),
    ],
)
def test_durations_have_one_written_form(written, canonical):
    assert duration_text(written, "over") == canonical


@pytest.mark.parametrize("wrong", ["7", "d", "7 days", "1.5h", "", "-1d", "400000d"])
def test_what_is_no_duration(wrong):
    with pytest.raises(ValueError, match=r"duration|thousand years"):
        duration_text(wrong, "over")


def test_types_are_written_and_read():
    assert str(tw.list_of(tw.decimal(10, 2))) == "list<decimal(10,2)>"
    assert str(tw.vector(8)) == "vector<float32,8>"
    assert parse("list<decimal(10, 2)>") == tw.list_of(tw.decimal(10, 2))
    assert parse("map<string,decimal(38,2)>").parts == ("map", ("string", "decimal(38,2)"))
    assert [parse(text).source for text in ("bool", "list<bytes>", "vector<float32,3>")] == [
        "bool_",
        "list_of(tw.bytes_)",
        "vector(3)",
    ]


def test_literals_of_a_contract():
    column = tw.Column(
        tw.timestamp, min=datetime(2024, 1, 1), max=datetime(2024, 1, 2, tzinfo=UTC), allowed=[date(2024, 1, 1), b"a"]
    )
    assert column.to_json("c") == {
        "name": "c",
        "type": "timestamp",
        "min": "2024-01-01T00:00:00.000000Z",
        "max": "2024-01-02T00:00:00.000000Z",
        "allowed": ["2024-01-01", "YQ=="],
    }
    assert tw.Column(tw.decimal(4, 2), min=Decimal("0.10"), max=0).to_json("c")["max"] == "0"


def test_origins_name_the_lines_of_constructors_and_aggregations():
    view = tw.FeatureView(
        "v",
        entity=tw.Entity("e", keys={"e": tw.string}),
        source=tw.EventSource("s", schema={"e": tw.string}, timestamp="t"),
        features={
            "n": tw.count(over="1d"),
        },
    )
    origins = tw.Project("p", [view], root=Path(__file__).parent).origins()
    lines = Path(__file__).read_text().splitlines()
    for key, text in {
        "view:v": "tw.FeatureView(",
        "entity:e": 'tw.Entity("e"',
        "source:s": 'tw.EventSource("s"',
        "view:v.n": '"n": tw.count',
    }.items():
        file, line = origins[key].split(":")
        assert file == "test_definitions.py"
        assert text in lines[int(line) - 1]


def test_definitions_never_change(flights):
    with pytest.raises(AttributeError, match="make a new one"):
        flights.view.name = "other"
    with pytest.raises(TypeError):
        flights.view.features["x"] = tw.count()
    with pytest.raises(AttributeError):
        tw.Sliding("1d").over = "2d"


@pytest.mark.parametrize(
    ("make", "mend"),
    [
        (lambda f: tw.Entity("e", keys=["a"]), r"takes a dict"),
        (lambda f: tw.Entity("e", keys={"a": str}), r"write tw\.string"),
        (lambda f: tw.Entity(3, keys={}), r"`name` takes text, not int"),
        (lambda f: tw.EventSource("s", schema={"a": "float64"}, timestamp="t"), r"such as tw\.string"),
        (lambda f: tw.EventSource("s", schema={}, timestamp="t", dedup=["id"]), r"tw\.Dedup"),
        (lambda f: tw.Dedup("id", within="1d"), r"takes a list of names"),
        (lambda f: tw.Column(tw.string, required=1), r"True or False"),
        (lambda f: tw.Column(tw.string, allowed="ab"), r"list of values"),
        (lambda f: tw.sum(over="1d"), r"input"),
        (lambda f: tw.sum(3, over="1d"), r'tw\.sum\("amount"\)'),
        (lambda f: tw.count(over=7), r'over="7d"'),
        (lambda f: tw.count(over=["7d", 7]), r'over="7d"'),
        (lambda f: tw.count(tags={}), r"tags"),
        (lambda f: tw.top_k("x", k="3"), r"whole number"),
        (lambda f: tw.approx_quantile("x", quantile="0.5"), r"takes a number"),
        (lambda f: tw.FeatureView("v", entity="e", source=f.departures, features={}), r"pass the object"),
        (lambda f: tw.FeatureView("v", entity=f.carrier, source="s", features={}), r"pass the object"),
        (lambda f: tw.FeatureView("v", entity=f.carrier, features={}), r"either `source` or `sources`"),
        (lambda f: tw.FeatureView("v", entity=f.carrier, sources=f.departures, features={}), r"takes a list"),
        (lambda f: tw.FeatureView("v", entity=f.carrier, source=f.departures, features={"a": "b"}), r"aggregation"),
        (lambda f: tw.FeatureService("s", features=f.view), r"features=\[view\]"),
        (lambda f: tw.FeatureService("s", features=[f.carrier]), r"view\["),
        (lambda f: tw.TrainingSet("t", "arrival_delay", "SELECT 1"), r"pass the object"),
        (lambda f: tw.Project("p", f.view), r"list of definitions"),
        (lambda f: tw.Project("p", [f.view["flights"]]), r"pass views"),
    ],
)
def test_a_wrong_type_is_refused_with_its_mend(flights, make, mend):
    with pytest.raises(TypeError, match=mend):
        make(flights)


@pytest.mark.parametrize(
    "make",
    [
        lambda: tw.count(over=[]),
        lambda: tw.count(over="0s"),
        lambda: tw.top_k("x", k=0),
        lambda: tw.approx_quantile("x", quantile=1.5),
        lambda: tw.decimal(39, 0),
        lambda: tw.list_of(tw.list_of(tw.string)),
        lambda: tw.vector(0),
        lambda: tw.Entity("", keys={}),
        lambda: tw.Entity("e", keys={}, tags={"a": ""}),
    ],
)
def test_a_wrong_value_is_refused(make):
    with pytest.raises(ValueError, match=r"`|decimal|list_of"):
        make()


def test_a_star_import_leaves_the_builtins_alone():
    assert not {"sum", "min", "max"} & set(tw.__all__)
    assert all(hasattr(tw, name) for name in tw.__all__)


def test_the_whole_is_json(flights):
    raw = json.loads(tw.Project("flights", [flights.service]).to_json())
    assert set(raw) == {"manifest", "origins"}
    assert list(raw["manifest"]) == ["project", "entities", "sources", "views", "on_demand", "services"]
