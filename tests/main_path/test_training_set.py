"""A training set is versioned by content: the same inputs give the same bytes, and an old one can be made again."""

from pathlib import Path

import pyarrow as pa
import pytest

import thalweg as tw

from .test_history import payments, project


def spine(rows=50):
    asked = payments(1_000).slice(900, rows)
    return pa.table({"user": asked["user"], "timestamp": asked["at"], "row": list(range(rows))})


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    with tw.Engine(tmp_path / "data", clock="events") as engine:
        engine.apply(project())
        engine.push("payments", payments(1_000))
        made = engine.training_set("spending", spine(), progress=False)
        file = Path(tmp_path / "data" / "training" / f"{made.report['id']}.parquet")
        first = file.read_bytes()
        again = engine.training_set("spending", spine(), progress=False)
        assert again.report["id"] == made.report["id"]
        assert file.read_bytes() == first
        other = engine.training_set("spending", spine(49), progress=False)
        assert other.report["id"] != made.report["id"]


def test_every_row_comes_back_once_and_in_order(tmp_path):
    with tw.Engine(tmp_path / "data", clock="events") as engine:
        engine.apply(project())
        engine.push("payments", payments(1_000))
        rows = spine()
        doubled = pa.concat_tables([rows, rows.slice(0, 0), rows]).take(list(range(99, -1, -1)))
        strangers = pa.table(
            {
                "user": ["nobody", None],
                "timestamp": rows["timestamp"].slice(0, 2),
                "row": [1000, 1001],
            }
        )
        asked = pa.concat_tables([doubled, strangers])
        made = engine.training_set("spending", asked, statuses=True, progress=False).to_arrow()
    assert made.select(asked.column_names).to_pylist() == asked.to_pylist()
    assert made["spend__total_7d__status"].to_pylist()[-2:] == ["NOT_FOUND", "NOT_FOUND"]


def test_an_old_set_is_made_again_whatever_came_since(tmp_path):
    with tw.Engine(tmp_path / "data", clock="events") as engine:
        engine.apply(project())
        engine.push("payments", payments(1_000))
        made = engine.training_set("spending", spine(), progress=False)
        # More rows for the same users before the same times, and another manifest.
        engine.push(
            "payments", payments(500, first=1_000_000).set_column(2, "at", payments(1_000)["at"].slice(300, 500))
        )
        engine.apply(project({"country": tw.string}))
        now = engine.training_set("spending", spine(), progress=False)
        assert now.report["id"] != made.report["id"]
        assert now.to_arrow() != made.to_arrow()
        again = engine.training_set("spending", spine(), recreate=made.report["id"], progress=False)
        assert again.report["id"] == made.report["id"]
        assert again.to_arrow() == made.to_arrow()
        with pytest.raises(tw.ThalwegError, match="send the same spine"):
            engine.training_set("spending", spine(10), recreate=made.report["id"], progress=False)
        with pytest.raises(tw.ThalwegError, match="there is no training set"):
            engine.training_set("spending", spine(), recreate="00ff", progress=False)
