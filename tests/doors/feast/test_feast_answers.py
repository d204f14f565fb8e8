"""Thalweg answers as Feast's own server did (`recorded.json`, by `record.py`), except where docs/feast.md says so."""

from __future__ import annotations

import json
from pathlib import Path

import feast.errors
import pytest
from feast_project import project
from record import ask

RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text(encoding="utf-8"))
# Feast gives an on-demand feature no time of its own; here it has that of the newest feature it is made from.
TIMELESS = {"sum_trips"}


def test_every_answer_is_as_recorded(server):
    server.apply(project())
    failures = []
    for step in RECORDED["steps"]:
        status, answer = ask(server.url + step["path"], step["request"], server.key)
        try:
            compare(step["status"], step["answer"], status, answer)
        except AssertionError as error:
            failures.append(f"{step['what']}: {error}\n  Feast: {step['answer']}\n  Thalweg: {answer}")
    assert not failures, "\n\n".join(failures)


def compare(feasts_status, feasts_answer, status, answer):
    if feasts_status == 200 and isinstance(feasts_answer, dict):
        assert status == 200
        assert set(feasts_answer["metadata"]) == set(answer["metadata"])
        assert feasts_answer["metadata"].get("feature_view_metadata") == answer["metadata"].get("feature_view_metadata")
        assert by_name(feasts_answer) == by_name(answer)
    elif feasts_status == 200:
        assert (status, answer) == (200, feasts_answer)
    elif isinstance(feasts_answer, dict):
        assert (status, places(answer)) == (feasts_status, places(feasts_answer))
    else:
        compare_errors(feasts_status, feasts_answer, status, answer)


def by_name(answer):
    """Values, statuses and times by name: Feast gives features in no particular order."""
    return {
        name: (result["values"], told(result), None if name in TIMELESS else result["event_timestamps"])
        for name, result in zip(answer["metadata"]["feature_names"], answer["results"], strict=True)
    }


def told(result):
    """A null that is stored is `PRESENT` in Feast, and `NULL_VALUE` here."""
    pairs = zip(result["values"], result["statuses"], strict=True)
    return ["NULL_VALUE" if value is None and status == "PRESENT" else status for value, status in pairs]


def places(answer):
    return [(fault["type"], fault["loc"]) for fault in answer["detail"]]


def compare_errors(feasts_status, feasts_answer, status, answer):
    exception = json.loads(answer)
    assert exception["module"] == "feast.errors" and exception["message"]
    raised = getattr(feast.errors, exception["class"])
    # What Feast answers 500, so that its client sends it again, is refused here.
    assert status == feasts_status if feasts_status != 500 else status in (404, 422)
    if feasts_answer.startswith("{"):
        assert issubclass(raised, getattr(feast.errors, json.loads(feasts_answer)["class"]))


@pytest.mark.parametrize("path", ["/get-online-features", "/push", "/write-to-online-store"])
def test_a_request_without_a_content_type_is_json(server, path):
    # Feast's server refuses this as a body that is no object; here what is missing in it is said.
    status, answer = ask(server.url + path, {}, server.key, content_type=None)
    assert status == 422
    assert "missing" in {kind for kind, _ in places(answer)}


def test_it_is_well(server):
    assert ask(server.url + "/health", None, server.key) == (200, "")
