"""Copies of the data directories that a version wrote, to be opened by today's."""

import json
import lzma
import os
import tarfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
# Every version of which directories are kept, and the directories of each.
DIRECTORIES = [("v1", "closed"), ("v1", "killed")]


@cache
def expected(version):
    return json.loads(lzma.decompress((HERE / version / "expected.json.xz").read_bytes()))


def unpack(version, name, folder):
    """The directory as it was written, but for the times of its files: those of old ones would be past retention."""
    data = Path(folder) / name
    data.mkdir()
    with tarfile.open(HERE / version / f"{name}.tar.xz") as archive:
        for member in archive:
            path = data / member.name
            if member.isdir():
                path.mkdir()
            else:
                content = archive.extractfile(member)
                assert content is not None
                path.write_bytes(content.read())
                os.utime(path)
    return data
