"""Projects: what belongs to one, loading from a directory, the starter, and what the command line does with them."""

from __future__ import annotations

import json
import sys

import pytest

import thalweg as tw
from thalweg import cli, native

SHARED = """\
import thalweg as tw
carrier = tw.Entity("carrier", keys={"carrier": tw.string})
departures = tw.EventSource("departures", schema={"carrier": tw.string, "at": tw.timestamp}, timestamp="at")
"""
FEATURES = """\
import thalweg as tw
from shared import carrier, departures

views = [
    tw.FeatureView(f"v{n}", entity=carrier, source=departures, features={"n": tw.count(over=f"{n}d")})
    for n in (1, 2)
]
service = tw.FeatureService("s", features=views)
"""


@pytest.fixture
def directory(tmp_path):
    root = tmp_path / "My Flights"
    root.mkdir()
    (root / "shared.py").write_text(SHARED)
    (root / "features.py").write_text(FEATURES)
    return root


def test_what_objects_are_made_from_is_included(flights):
    project = tw.Project("flights", [flights.service])
    assert [item.key for item in project] == [
        "entity:carrier",
        "source:departures",
        "view:carrier_delays",
        "on_demand:gap",
        "service:arrival_delay",
    ]


def test_two_objects_of_one_name_are_a_problem_with_both_places(flights):
    other = tw.Entity("carrier", keys={"other": tw.string})
    with pytest.raises(tw.DefinitionError) as caught:
        tw.Project("flights", [flights.service, other])
    (problem,) = caught.value.problems
    assert problem.object == "entity:carrier"
    assert "conftest.py:" in str(problem)
    assert "test_project.py:" in str(problem)


def test_equal_objects_of_one_name_are_one():
    # A notebook cell that is run again makes new objects, equal to those that views still hold.
    same = [tw.Entity("e", keys={"e": tw.string}) for _ in range(2)]
    assert len(tw.Project("p", same).objects) == 1


def test_loading_a_directory(directory):
    project = tw.load_project(directory)
    assert project.name == "my_flights"
    assert [item.key for item in project] == ["entity:carrier", "source:departures", "view:v1", "view:v2", "service:s"]
    assert project.origins()["source:departures"] == "shared.py:3"
    assert project.origins()["view:v1.n"] == "features.py:5"


def test_loading_leaves_no_trace(directory):
    before = (set(sys.modules), list(sys.path))
    first = tw.load_project(directory)
    assert (set(sys.modules), list(sys.path)) == before
    (directory / "shared.py").write_text(SHARED.replace('"departures"', '"arrivals"'))
    second = tw.load_project(directory / "features.py")
    assert first.manifest()["sources"][0]["name"] == "departures"
    assert second.manifest()["sources"][0]["name"] == "arrivals"
    assert not (directory / "__pycache__").exists()


def test_settings_name_the_project_and_its_files(directory):
    (directory / "thalweg.toml").write_text('[project]\nname = "air"\ndefinitions = ["shared.py", "more/"]\n')
    (directory / "more").mkdir()
    (directory / "more" / "extra.py").write_text("from shared import carrier\n")
    project = tw.load_project(directory)
    assert project.name == "air"
    assert [item.key for item in project] == ["entity:carrier", "source:departures"]


def test_a_project_in_a_variable_gives_its_name(directory):
    (directory / "features.py").write_text(FEATURES + 'project = tw.Project("mine", [service])\n')
    assert tw.load_project(directory).name == "mine"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ("[project", "not valid TOML"),
        ("[project]\nname = 3\n", "name ="),
        ("[project]\ndefinitions = 3\n", "takes a path"),
        ('[project]\ndefinitions = "gone.py"\n', "thalweg init"),
    ],
)
def test_wrong_settings(directory, settings, says):
    (directory / "thalweg.toml").write_text(settings)
    with pytest.raises(tw.ThalwegError, match=says):
        tw.load_project(directory)


def test_an_empty_definition_file(tmp_path):
    (tmp_path / "features.py").write_text("x = 1\n")
    with pytest.raises(tw.ThalwegError, match="nothing is defined"):
        tw.load_project(tmp_path)


def test_the_starter_project_loads(tmp_path, capsys):
    assert cli.main(["init", str(tmp_path / "shop")]) == 0
    project = tw.load_project(tmp_path / "shop")
    assert project.name == "shop"
    assert "amount_ratio" in project.manifest()["services"][0]["features"]
    events = [json.loads(line) for line in (tmp_path / "shop" / "payments.ndjson").read_text().splitlines()]
    assert set(events[0]) == set(project.objects[1].schema)
    assert cli.main(["init", str(tmp_path / "shop")]) == 2
    assert "is there already" in capsys.readouterr().err


def test_a_project_from_a_sample(tmp_path, monkeypatch):
    columns = [("at", "timestamp", True), ("user id", "string", True), ("price", "decimal(10,2)", False)]
    monkeypatch.setattr(native, "infer_columns", lambda path: columns)
    (tmp_path / "Page Views.csv").write_text("")
    assert cli.main(["init", str(tmp_path / "site"), "--sample", str(tmp_path / "Page Views.csv")]) == 0
    manifest = tw.load_project(tmp_path / "site").manifest()
    assert manifest["sources"][0]["timestamp"] == "at"
    assert manifest["sources"][0]["columns"][2] == {"name": "price", "type": "decimal(10,2)"}
    assert manifest["views"][0]["name"] == "page_views_by_user_id"


class FakeNative:
    """Stands for the native module: remembers the command line, and refuses what it is told to."""

    def __init__(self, monkeypatch, problems=None):
        self.calls = []
        self.manifest = None
        self.problems = problems
        monkeypatch.setattr(native, "_load", lambda: self)

    def compile(self, raw):
        if self.problems:
            raise ValueError(json.dumps(self.problems))
        return {"json": raw, "protobuf": b"p", "hash": "h", "outputs": {"v1.n_1d": "int64"}}

    def cli(self, argv):
        self.calls.append(argv)
        if "--manifest" in argv:
            with open(argv[argv.index("--manifest") + 1]) as file:
                self.manifest = json.load(file)
        return 0


def test_compiling(directory, monkeypatch):
    FakeNative(monkeypatch)
    compiled = tw.load_project(directory).compile()
    assert (compiled.hash, compiled.protobuf, dict(compiled.outputs)) == ("h", b"p", {"v1.n_1d": "int64"})


def test_plan_hands_the_manifest_to_the_native_command(directory, monkeypatch):
    fake = FakeNative(monkeypatch)
    assert cli.main(["plan", "--url", "http://x", str(directory), "--allow-breaking"]) == 0
    (argv,) = fake.calls
    assert argv[:2] == ["plan", "--manifest"]
    assert argv[3:] == ["--url", "http://x", "--allow-breaking"]
    assert fake.manifest["manifest"]["project"] == "my_flights"
    assert fake.manifest["origins"]["view:v1"] == "features.py:5"


@pytest.mark.parametrize(
    "argv", [["serve", "--port", "1"], ["plan", "--help"], ["apply", "--manifest", "/dev/null"], ["--help"], []]
)
def test_the_rest_goes_straight_to_the_native_command(argv, monkeypatch):
    fake = FakeNative(monkeypatch)
    fake.cli = lambda given: fake.calls.append(given) or 7
    assert cli.main(argv) == 7
    assert fake.calls == [argv]


def test_every_problem_is_printed_with_its_line(directory, monkeypatch, capsys):
    problems = [
        {"object": "view:v1.n", "origin": "features.py:5", "rule": "no such column `x`", "mend": "use `carrier`"},
        {"object": "service:s", "origin": None, "rule": "too long"},
    ]
    fake = FakeNative(monkeypatch, problems)
    assert cli.main(["apply", str(directory)]) == 2
    assert fake.calls == []
    assert capsys.readouterr().err.splitlines() == [
        "features.py:5: view:v1.n: no such column `x`; use `carrier`",
        "service:s: too long",
    ]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import thalweg as tw\n\ntw.count(over=7)\n", "features.py:3: TypeError: `over` takes a duration"),
        ("x = (\n", "features.py:1: SyntaxError"),
        ("import nothing_of_that_name\n", "features.py:1: ModuleNotFoundError"),
    ],
)
def test_an_error_in_the_definitions_is_one_line(directory, capsys, source, says):
    (directory / "features.py").write_text(source)
    assert cli.main(["plan", str(directory)]) == 2
    assert says in capsys.readouterr().err


def test_without_the_native_module_the_mend_is_named(flights, monkeypatch):
    monkeypatch.setitem(sys.modules, "thalweg._native", None)
    monkeypatch.delattr(tw, "_native", raising=False)
    with pytest.raises(tw.ThalwegError, match="maturin develop"):
        tw.Project("flights", [flights.service]).compile()


def test_the_native_compiler_takes_the_project(flights):
    pytest.importorskip("thalweg._native")
    compiled = tw.Project("flights", [flights.service]).compile()
    assert compiled.outputs["carrier_delays.delay_mean_7d"] == "float64"
    assert compiled.hash == tw.Project("flights", [flights.service]).compile().hash
