"""`python -m proof.plants [NAME ...]`: plants each bug in a copy of what is committed, and has the kinds look for it.

Ends with 1 where a kind does not find what it is named for, with 130 where it was interrupted, else with 0.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proof import kinds
from proof.plants.patches import Plant, plants

ROOT = Path(__file__).resolve().parents[2]
# Of a kind's usual budget, how much each try has; the last is as long as it takes before giving up.
SHARES = (1 / 8, 1 / 2, 2)
LEAST_SECONDS = 10.0
SHOWN_CHARACTERS = 160
# What a kind says of itself, rather than of the product.
OF_ITS_OWN = ("the kind ", "cannot be imported", "ended with ", "did not end ")
# What has to be built for a kind, besides the native module; `fuzz` builds its own.
PACKAGES = {"simulation": "thalweg-simulation", "power": "thalweg-lossy"}


def main(arguments: list[str] | None = None) -> int:
    """Tries the plants that are named, or all."""
    known = {plant.name: plant for plant in plants()}
    parser = argparse.ArgumentParser(prog="python -m proof.plants", description="Do the kinds find planted bugs?")
    parser.add_argument("names", nargs="*", metavar="NAME", choices=(*known, []), help=", ".join(known))
    parser.add_argument("--kind", action="append", choices=kinds.NAMES, help="only what this kind is to find")
    parser.add_argument("--seed", type=int, default=1, help="of the kinds (1)")
    asked = parser.parse_args(arguments)
    missed = 0
    try:
        with tempfile.TemporaryDirectory(prefix="thalweg-plants-") as folder, worktree(Path(folder) / "tree") as tree:
            for name in asked.names or known:
                for kind in known[name].found_by:
                    if not asked.kind or kind in asked.kind:
                        missed += not look(known[name], kind, tree, asked.seed)
    except KeyboardInterrupt:
        print("\nplants: interrupted", file=sys.stderr)
        return 130
    finally:
        print("plants: what was built last has a bug in it; `make release` builds what is there", file=sys.stderr)
    return 1 if missed else 0


@contextmanager
def worktree(tree: Path) -> Iterator[Path]:
    """A copy of what is committed, which is gone again afterwards."""
    git("worktree", "add", "--quiet", "--detach", str(tree), "HEAD")
    try:
        yield tree
    finally:
        git("worktree", "remove", "--force", str(tree))


def git(*arguments: str, cwd: Path | None = None) -> None:
    subprocess.run(["git", *arguments], cwd=cwd or ROOT, check=True)


def look(plant: Plant, kind: str, tree: Path, seed: int) -> bool:
    """Plants a bug, has a kind look for it, and takes it out again. Whether it was found, or could not be tried."""
    git("apply", str(plant.path), cwd=tree)
    try:
        if not build(kind, tree):
            print(f"plant {plant.name}: does not build", flush=True)
            return False
        began = time.monotonic()
        for share in SHARES:
            seconds = max(LEAST_SECONDS, kinds.load(kind).seconds * share)
            entry = run(kind, seconds, seed, tree)
            if entry.get("skipped"):
                print(f"plant {plant.name}: not tried by {kind}: {entry['skipped']}", flush=True)
                return True
            found = [text for text in entry.get("broken", ()) if not text.startswith(OF_ITS_OWN)]
            if found:
                spent = time.monotonic() - began
                said = " ".join(found[0].split())[:SHOWN_CHARACTERS]
                print(f"plant {plant.name}: found by {kind} after {spent:.0f} s ({said})", flush=True)
                return True
            for text in entry.get("broken", ()):
                print(f"plant {plant.name}: {kind} itself fails: {text}", file=sys.stderr)
        print(f"plant {plant.name}: NOT found by {kind}: {plant.breaks}", flush=True)
        return False
    finally:
        git("apply", "--reverse", str(plant.path), cwd=tree)


def build(kind: str, tree: Path) -> bool:
    """Builds what the kind runs, with the target folder of all builds."""
    if kind == "fuzz":
        return True
    package = PACKAGES.get(kind)
    packages = [package] if kind == "simulation" and package else ["thalweg-python", *filter(None, [package])]
    flags = [part for name in packages for part in ("-p", name)]
    done = subprocess.run(
        ["cargo", "build", "--release", "--locked", *flags], cwd=tree, env=environment(tree), check=False
    )
    if done.returncode == 0 and "thalweg-python" in packages:
        built = Path(environment(tree)["CARGO_TARGET_DIR"]) / "release"
        library = built / ("lib_native.dylib" if sys.platform == "darwin" else "lib_native.so")
        shutil.copy(library, tree / "python" / "thalweg" / "_native.abi3.so")
    return done.returncode == 0


def environment(tree: Path) -> dict[str, str]:
    """That of a build and of a kind: what is in the copy comes before what is installed."""
    target = os.environ.get("CARGO_TARGET_DIR", str(Path.home() / ".cache" / "thalweg" / "target"))
    paths = os.pathsep.join(str(tree / folder) for folder in ("python", "tests", "."))
    return os.environ | {"CARGO_TARGET_DIR": target, "PYO3_PYTHON": sys.executable, "PYTHONPATH": paths}


def run(kind: str, seconds: float, seed: int, tree: Path) -> dict[str, list[str]]:
    """The entry of a kind in the report of one run."""
    work = tree.parent / "work"
    command = [sys.executable, "-m", "proof", kind, "--seconds", str(seconds), "--seed", str(seed), "--work", str(work)]
    subprocess.run(command, cwd=tree, env=environment(tree), stdout=subprocess.DEVNULL, check=False)
    entry: dict[str, list[str]] = json.loads((work / "report.json").read_text())["kinds"].get(kind, {})
    shutil.rmtree(work, ignore_errors=True)
    return entry


if __name__ == "__main__":
    sys.exit(main())
