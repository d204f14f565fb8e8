"""The file system that forgets what was not synced, from Python: its daemon `thalweg-lossy`, started, told, ended."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

ENDED_WITHIN_SECONDS = 10
# Names another daemon that speaks the same words on its socket, with arguments.
COMMAND = "THALWEG_LOSSY"


class LossyDisk:
    """A directory of which `crash` keeps what was synced, and of the rest what the seed decides."""

    def __init__(self, mount: Path) -> None:
        mount.mkdir(parents=True, exist_ok=True)
        self.mount = mount
        # The path of a socket is short, that of a working directory need not be.
        self._directory = Path(tempfile.mkdtemp(prefix="thalweg-lossy-"))
        self._socket = self._directory / "socket"
        self._daemon = subprocess.Popen(
            [*_command(), str(mount), str(self._socket)],
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C is for the trial, which unmounts on its way out.
            start_new_session=True,
        )
        assert self._daemon.stdout is not None
        if self._daemon.stdout.readline().strip() != "mounted":
            self._daemon.wait()
            shutil.rmtree(self._directory, ignore_errors=True)
            raise OSError(f"thalweg-lossy did not mount {mount} (it ended with {self._daemon.returncode})")

    def crash(self, seed: int) -> dict[str, int]:
        """Power loss and restart: handles opened before are dead, the directory shows the survivor."""
        words = self.tell(f"crash {seed}").split()
        return dict(
            zip(("names lost", "files with unsynced writes", "files that lost some"), map(int, words), strict=True)
        )

    def full(self, room: int | None) -> None:
        """The room for all files together in bytes; `None` is endless."""
        self.tell(f"full {'off' if room is None else room}")

    def fail_sync(self, nth: int) -> None:
        """The nth sync from now fails; that file's later syncs claim success and do nothing."""
        self.tell(f"fail-sync {nth}")

    def sync_count(self) -> int:
        """How many syncs there were."""
        return int(self.tell("sync-count"))

    def tell(self, words: str) -> str:
        """Says a line to the daemon; what it answers after `ok`."""
        with socket.socket(socket.AF_UNIX) as speaking:
            speaking.settimeout(60)
            speaking.connect(str(self._socket))
            speaking.sendall(f"{words}\n".encode())
            with speaking.makefile() as answers:
                answer = answers.readline().strip()
        verdict, _, rest = answer.partition(" ")
        if verdict != "ok":
            raise OSError(f"thalweg-lossy, told `{words}`: {answer or 'no answer'}")
        return rest

    def close(self) -> None:
        """Unmounts and ends the daemon."""
        with contextlib.suppress(OSError):
            self.tell("quit")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._daemon.wait(ENDED_WITHIN_SECONDS)
        if self._daemon.poll() is None:
            self._daemon.kill()
            self._daemon.wait()
        if os.path.ismount(self.mount):
            subprocess.run(["umount", "--lazy", str(self.mount)], check=False)
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> LossyDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def why_not() -> str | None:
    """Why nothing can be mounted here, or `None`."""
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse"
    if os.geteuid() != 0:
        return "only root may mount"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse may not be opened"
    program = _command()[0]
    if shutil.which(program) is None:
        return f"{program} is missing: build it with `cargo build --package thalweg-lossy`"
    return None


def _command() -> list[str]:
    if chosen := os.environ.get(COMMAND):
        return shlex.split(chosen)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or Path.home() / ".cache/thalweg/target")
    built = [target / profile / "thalweg-lossy" for profile in ("debug", "release")]
    newest = max((path for path in built if path.exists()), key=lambda path: path.stat().st_mtime, default=built[0])
    return [str(newest)]
