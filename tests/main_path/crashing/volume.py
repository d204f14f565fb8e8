"""A file system of a few MiB, to be filled: in memory, or ext4 in a file where that cannot be had."""

import os
import shutil
import subprocess
from pathlib import Path

KINDS = ("tmpfs", "ext4")
MIB = 1 << 20


class NoVolume(Exception):
    """Why there can be no small file system here."""


class Volume:
    """Mounted while it lasts."""

    def __init__(self, folder: Path, mebibytes: int, kind: str) -> None:
        self.path, self.kind = folder / "volume", kind
        self.ballast = self.path / "ballast"
        if os.geteuid() != 0:
            raise NoVolume("mounting a small file system takes root")
        self.path.mkdir(parents=True)
        if kind == "tmpfs":
            _run("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "thalweg-test", str(self.path))
        else:
            image = folder / "image"
            with image.open("wb") as file:
                file.truncate(mebibytes * MIB)
            # Blocks of a page: where they are smaller, SQLite learns of a full disk by a signal that ends the process.
            _run("mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", str(image))
            _run("mount", "-o", "loop", str(image), str(self.path))

    def free(self) -> int:
        """Bytes that can still be written."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def leave(self, free: int) -> None:
        """Takes all but so many bytes away."""
        with self.ballast.open("ab") as file:
            if (size := self.free() - free) > 0:
                os.posix_fallocate(file.fileno(), file.tell(), size)

    def make_room(self) -> None:
        self.ballast.unlink(missing_ok=True)

    def close(self) -> None:
        _run("umount", "-l", str(self.path))
        shutil.rmtree(self.path.parent, ignore_errors=True)


def kinds(folder: Path) -> list[str]:
    """The kinds of which one can be made here; raises `NoVolume` where there is none."""
    found, why = [], []
    for kind in KINDS:
        try:
            Volume(folder / f"try-{kind}", 8, kind).close()
            found.append(kind)
        except NoVolume as error:
            why.append(f"{kind}: {error}")
    if not found:
        raise NoVolume("; ".join(why))
    return found


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NoVolume(f"{command[0]} is not installed") from error
    if done.returncode != 0:
        raise NoVolume(f"{command[0]}: {done.stderr.strip() or done.stdout.strip()}")
