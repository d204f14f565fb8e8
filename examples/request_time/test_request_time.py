"""Runs the demo as anyone would, and holds what it saw to what it promises."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RUN_SECONDS = 120
# What a read may take beyond the timeout of the fetch, also where the machine is busy.
SLACK_SECONDS = 1.5
TIMEOUT_SECONDS = 0.3


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    work = tmp_path_factory.mktemp("request_time")
    command = [sys.executable, str(HERE / "demo.py"), "--work", str(work), "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS)
    log = work / "server.log"
    said = log.read_text(errors="replace") if log.exists() else ""
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}\nthe server said:\n{said}"
    return json.loads(run.stdout)


def test_the_first_read_fetches(seen):
    first = seen["first"]
    assert (first["score"], first["status"], first["band"], first["asked"]) == (0.25, "PRESENT", 1, 1)


def test_the_second_is_answered_with_what_is_stored(seen):
    cached = seen["cached"]
    assert (cached["score"], cached["status"], cached["band"], cached["asked"]) == (0.25, "PRESENT", 1, 0)


def test_a_slow_service_is_not_waited_for(seen):
    slow = seen["slow"]
    assert (slow["score"], slow["status"], slow["asked"]) == (0.25, "PRESENT", 1)
    assert slow["seconds"] < TIMEOUT_SECONDS + SLACK_SECONDS


def test_past_its_staleness_the_score_is_withheld(seen):
    stale = seen["stale"]
    assert (stale["score"], stale["status"], stale["band"], stale["asked"]) == (None, "STALE", None, 1)
    assert stale["seconds"] < TIMEOUT_SECONDS + SLACK_SECONDS


def test_when_the_service_is_well_the_score_is_fetched_and_the_one_before_is_kept(seen):
    again = seen["again"]
    assert (again["score"], again["status"], again["band"], again["asked"]) == (0.6, "PRESENT", 2, 1)
    assert seen["previous"] == 0.25


def test_steps_reject_and_transform_rows(seen):
    assert seen["push"] == {"applied": 2, "quarantined": 1, "reason": "a payment is of more than nothing"}
    assert seen["spending"] == {"paid": 42.5, "currency": "EUR"}


def test_the_training_set_has_what_was_served(seen):
    reads, values = 5, 4
    assert seen["training"] == {"compared": reads * values, "differ": 0}
    assert seen["check"] == {"compared": reads * values, "mismatches": 0}
