"""The planted bugs can be planted, and every kind has one to find."""

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from proof import kinds
from proof.plants import __main__ as planting
from proof.plants.patches import FOLDER, Plant, plants

ROOT = Path(__file__).resolve().parents[2]
PLANTS = plants()


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_plant_applies(plant):
    checked = subprocess.run(["git", "apply", "--check", str(plant.path)], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, f"plant {plant.name} anew: {checked.stderr}"
    assert set(plant.found_by) <= set(kinds.NAMES) and plant.breaks


def test_every_kind_has_a_plant():
    assert {kind for plant in PLANTS for kind in plant.found_by} == set(kinds.NAMES)


def test_the_page_has_every_plant():
    rows = [line for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith("| `")]
    assert rows == [f"| `{plant.name}` | {plant.breaks} | {', '.join(plant.found_by)} |" for plant in PLANTS]


KIND = '''"""Finds a bug where the product has one."""
from pathlib import Path
from proof.outcome import Outcome

UNIT, SECONDS, LONG_SECONDS = "looks", 10, 10


def run(budget):
    product = Path(__file__).parents[1] / "product.txt"
    bug = "bug" in product.read_text()
    return Outcome(1, UNIT, ["a row was lost"] if bug and "deep" not in product.read_text() else [])
'''


@pytest.mark.parametrize(("bug", "found"), [("bug", True), ("deep bug", False)])
def test_a_bug_is_planted_looked_for_and_taken_out(tmp_path, monkeypatch, capsys, bug, found):
    """In a repository of this test's own, with a product of one line and a kind that reads it."""
    root = tmp_path / "root"
    (root / "proof").mkdir(parents=True)
    for name in ("__init__", "__main__", "budget", "child", "outcome", "running"):
        shutil.copy(ROOT / "proof" / f"{name}.py", root / "proof")
    kinds_text = (ROOT / "proof" / "kinds.py").read_text()
    (root / "proof" / "kinds.py").write_text(
        kinds_text.replace('"formats",\n    "agreement"', '"looks",\n    "agreement"')
    )
    (root / "proof" / "looks.py").write_text(KIND)
    product = root / "product.txt"
    product.write_text("good\n")
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost", "-C", str(root)]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *arguments], check=True)
    product.write_text(f"{bug}\n")
    diff = subprocess.run([*git, "diff"], check=True, capture_output=True, text=True).stdout
    subprocess.run([*git, "checkout", "-q", "product.txt"], check=True)
    patch = tmp_path / "spoiled.patch"
    patch.write_text(f"Breaks: the product\nFound-by: looks\n\n{diff}")
    monkeypatch.setattr(planting, "ROOT", root)
    monkeypatch.setattr(planting, "plants", lambda: [Plant("spoiled", patch, "the product", ("looks",))])
    monkeypatch.setattr(planting, "build", lambda kind, tree: True)
    monkeypatch.setattr(planting.kinds, "load", lambda name: SimpleNamespace(seconds=1))
    assert planting.main(["spoiled"]) == (0 if found else 1)
    said = capsys.readouterr().out
    assert ("found by looks after" in said and "(a row was lost)" in said) == found, said
    assert ("NOT found by looks" in said) != found
    assert product.read_text() == "good\n"
    listed = subprocess.run([*git, "worktree", "list"], check=True, capture_output=True, text=True).stdout
    assert len(listed.splitlines()) == 1
