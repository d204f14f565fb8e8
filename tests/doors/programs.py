"""Where the clients are that are programs of their own. `scripts/door-clients` gets and builds them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

# Where `scripts/door-clients` puts what it builds.
BUILT = Path(os.environ.get("THALWEG_DOOR_CLIENTS", Path.home() / ".cache/thalweg/door-clients"))
SECONDS = 30


class Missing(Exception):
    """A client is not on this machine."""


def program(name: str) -> str:
    """The path of a program."""
    built = BUILT / name / name
    if built.is_file() and os.access(built, os.X_OK):
        return str(built)
    found = shutil.which(name)
    if found is None:
        raise Missing(f"{name} is not here: run scripts/door-clients, which gets it or says how")
    return found


def run(name: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs a program to its end, whatever that is."""
    own = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    return subprocess.run([program(name), *arguments], input=stdin, capture_output=True, timeout=SECONDS, env=own)
