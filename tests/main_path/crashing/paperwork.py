"""Manifests, keys, training sets and the audit log: what was acknowledged of them, and whether it is there."""

import json
from collections import Counter
from pathlib import Path

from .doors import Http, Refused
from .seen import Broken
from .workers import Applier, Flusher, KeyMaker, Trainer, Worker

TRAINING_SETS_LOOKED_AT = 3
KEYS_TRIED = 3


class Paperwork:
    """All that a server keeps besides rows."""

    def __init__(self) -> None:
        self.manifests: list[str] = []
        self.training: dict[str, bytes] = {}
        self.keys: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.revoked: list[str] = []
        self.audited: Counter = Counter()
        self.unsure: Counter = Counter()

    def changed(self, operation: str) -> None:
        """A change was answered."""
        self.audited[operation] += 1

    def applied(self, hash: str) -> None:
        self.manifests.append(hash)
        self.changed("apply")

    def take(self, workers: list[Worker]) -> None:
        """What was acknowledged up to the kill."""
        for worker in workers:
            match worker:
                case Applier():
                    if worker.answer is not None:
                        self.applied(worker.answer["hash"])
                    elif worker.sent.is_set():
                        self.unsure["apply"] += 1
                case Flusher():
                    self.audited["flush"] += worker.done
                    self.unsure["flush"] += 1
                case Trainer():
                    self.training |= worker.done
                case KeyMaker():
                    self.audited["change_keys"] += len(worker.names) + len(worker.revoked)
                    self.unsure["change_keys"] += worker.unsure is not None
                    for id in [id for id in self.keys if id == worker.unsure]:
                        del self.keys[id]
                    live = {id: key for id, key in worker.live.items() if id != worker.unsure}
                    self.keys |= live
                    self.names |= worker.names
                    self.revoked += worker.revoked

    def check_audit(self, data: Path) -> None:
        """A change that was answered is in the audit log; one in flight may be."""
        lines: Counter = Counter()
        for file in sorted((data / "audit").glob("*.jsonl")):
            for line in file.read_bytes().splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    # Cut off by a crash: it was never answered.
                    continue
                if entry["outcome"] == "ok":
                    lines[entry["operation"]] += 1
        for operation, least in self.audited.items():
            if not least <= lines[operation] <= least + self.unsure[operation]:
                most = least + self.unsure[operation]
                raise Broken(f"the audit log has {lines[operation]} times {operation}, and not {least} to {most}")
        self.audited, self.unsure = lines, Counter()

    def check(self, http: Http, workers: list[Worker]) -> dict[str, str] | None:
        """The views of a manifest that has come in force since; none where it is the same."""
        adopted = None
        for worker in workers:
            if isinstance(worker, Applier) and worker.sent.is_set():
                adopted = self.check_apply(http, worker)
            if isinstance(worker, KeyMaker):
                self.check_keys(http, worker)
        found = [one["hash"] for one in _list(http, "/v1/manifests")]
        if found != self.manifests:
            raise Broken(f"there are the manifests {found} and not {self.manifests}")
        self.check_training(http)
        return adopted

    def check_apply(self, http: Http, applier: Applier) -> dict[str, str] | None:
        """The one that was in flight is there whole, or not at all."""
        in_force = http.get("/v1/manifest")
        if in_force["hash"] == applier.compiled.hash:
            if applier.answer is None:
                self.manifests.append(applier.compiled.hash)
            if in_force["manifest"] != json.loads(applier.compiled.json):
                raise Broken("the manifest that was in flight is in force, and not as it was sent")
            return applier.extra
        if applier.answer is not None:
            raise Broken(f"manifest {applier.answer['hash']} was acknowledged, and {in_force['hash']} is in force")
        return None

    def check_training(self, http: Http) -> None:
        """Training sets that were done are listed, and have their rows."""
        listed = {one["id"] for one in _list(http, "/v1/training-sets")}
        if missing := set(self.training) - listed:
            raise Broken(f"training sets {missing} were done, and are not listed")
        for id in list(self.training)[-TRAINING_SETS_LOOKED_AT:]:
            if http.bytes("GET", f"/v1/training-sets/{id}/data") != self.training[id]:
                raise Broken(f"training set {id} has other rows than before")

    def check_keys(self, http: Http, maker: KeyMaker) -> None:
        """Keys that were made work, and those that were taken back do not."""
        listed = {key["id"]: key["name"] for key in _list(http, "/v1/keys")}
        for id, name in maker.names.items():
            if listed.get(id) != name:
                raise Broken(f"key {id} ({name}) was made, and is not listed")
        if Counter(listed.values())[maker.unsure] > 1:
            raise Broken(f"key {maker.unsure} was made once, and is there more often")
        for key in list(self.keys.values())[-KEYS_TRIED:]:
            Http(http.port, key).get("/v1/manifest")
        # Of a key whose rotation was in flight the old secret may work or not: it is in neither list.
        for key in self.revoked[-KEYS_TRIED:]:
            try:
                Http(http.port, key).get("/v1/manifest")
            except Refused as error:
                if error.status == 401:
                    continue
                raise
            raise Broken("a key works that was taken back before the kill")


def _list(http: Http, path: str) -> list[dict]:
    answer = json.loads(http.bytes("GET", path))
    return answer if isinstance(answer, list) else next(iter(answer.values()))
