"""The manifest: protobuf and canonical JSON that other libraries read, the same bytes for the same definitions."""

import importlib.util
import json
from pathlib import Path

import pytest

import thalweg as tw

from .test_history import project

PROTO = Path(__file__).parents[2] / "proto"


def compiled(project):
    return project.compile()


def test_the_same_definitions_give_the_same_bytes():
    first, again = compiled(project()), compiled(project())
    assert (first.json, first.protobuf, first.hash) == (again.json, again.protobuf, again.hash)


def test_the_hash_is_over_the_protobuf():
    import hashlib

    made = compiled(project())
    assert made.hash == hashlib.sha256(made.protobuf).hexdigest()


@pytest.fixture(scope="module")
def manifest_class(tmp_path_factory):
    """The message class that Google's protobuf library makes from our file."""
    grpc_tools = pytest.importorskip("grpc_tools.protoc")
    out = tmp_path_factory.mktemp("proto")
    outcome = grpc_tools.main(["", f"-I{PROTO}", f"--python_out={out}", "thalweg/v1/manifest.proto"])
    assert outcome == 0
    spec = importlib.util.spec_from_file_location("manifest_pb2", out / "thalweg" / "v1" / "manifest_pb2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Manifest


def test_googles_protobuf_reads_both_forms(manifest_class):
    from google.protobuf import json_format

    made = compiled(project())
    from_bytes = manifest_class.FromString(made.protobuf)
    from_json = json_format.Parse(made.json, manifest_class())
    assert from_bytes == from_json
    assert from_bytes.SerializeToString(deterministic=True) == made.protobuf
    again = json.loads(json_format.MessageToJson(from_bytes, preserving_proto_field_name=True))
    assert again == json.loads(made.json)


def test_every_problem_names_the_line_the_rule_and_the_mend():
    user = tw.Entity("user", keys={"user": tw.string})
    events = tw.EventSource("clicks", schema={"user": tw.string, "at": tw.timestamp, "n": tw.string}, timestamp="at")
    view = tw.FeatureView(
        "clicking",
        entity=user,
        source=events,
        features={"total": tw.sum("n", over="1d"), "best": tw.max("missing", over="1d")},
    )
    with pytest.raises(tw.DefinitionError) as refused:
        compiled(tw.Project("web", [view]))
    problems = {problem.object: problem for problem in refused.value.problems}
    assert set(problems) == {"view:clicking.total", "view:clicking.best"}
    for problem in problems.values():
        assert Path(__file__).name in problem.origin
        assert problem.rule
        assert problem.mend
