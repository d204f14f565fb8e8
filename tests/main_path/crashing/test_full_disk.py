"""The disk fills, again and again: what is refused never happened, reads go on, and with room everything does."""

import os
import time

import pytest

from .filling import Disks
from .volume import NoVolume, kinds

SECONDS = float(os.environ.get("THALWEG_FULL_SECONDS", "12"))
SEED = int(os.environ.get("THALWEG_SEED", str(time.time_ns() % 1_000_000)))


def test_a_full_disk_stops_nothing_for_good(tmp_path):
    try:
        found = kinds(tmp_path)
    except NoVolume as error:
        pytest.skip(f"no small file system can be had here: {error}")
    print(f"seed {SEED}, {', '.join(found)}")
    disks = Disks(SEED, tmp_path, found)
    until = time.monotonic() + SECONDS
    disks.run(lambda: time.monotonic() < until)
    print(disks.tally)
    assert not disks.broken, disks.broken[0]
    assert disks.refusals > 0, "no disk was filled"
