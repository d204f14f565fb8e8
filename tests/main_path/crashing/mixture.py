"""What a round is made of, drawn from a seed: who works, how the server is set up, and when it is killed."""

import random
from dataclasses import dataclass

PUSHERS = ("arrow", "json", "lines", "unkeyed", "changes")
AIMS = ("time", "time", "acknowledgements", "compaction", "apply", "checkpoint")
COMMITS_BEFORE_COMPACTION = 24


@dataclass(frozen=True)
class Mixture:
    """One round's work, and the moment of its end."""

    pushers: list[str]
    direct: int
    redis: int
    readers: int
    flushers: int
    trainers: int
    apply: bool
    keys: bool
    blobs: bool
    aim: str
    seconds: float
    """Until the kill, or where it is aimed at something, from when that is seen."""
    acknowledgements: int
    late_first: bool
    """Whether a late row is the first thing that the server gets when it is there again, before any read."""
    kills_while_starting: tuple[float, ...]
    """Seconds after which a server that is starting is killed as well."""

    @classmethod
    def draw(cls, chance: random.Random, *, keyed: bool, bulky: bool) -> "Mixture":
        aim = chance.choice(AIMS)
        apply = aim == "apply" or chance.random() < 0.2
        starting = chance.choices((0, 1, 2, 3), (60, 25, 10, 5))[0]
        least, most = {"compaction": (0, 0.08), "apply": (0, 0.06), "checkpoint": (0, 0.002)}.get(aim, (0.01, 0.4))
        pushers = [chance.choice(PUSHERS) for _ in range(chance.randint(1, 4))]
        if aim == "compaction" and not {"arrow", "json", "lines"} & set(pushers):
            pushers.append("lines")
        return cls(
            pushers=pushers,
            direct=chance.choice((0, 0, 1, 2)),
            redis=chance.choice((0, 0, 1)),
            readers=chance.choice((0, 1, 1)),
            flushers=1 if aim in ("compaction", "checkpoint") else chance.choice((0, 0, 0, 1, 2)),
            trainers=chance.choice((0, 0, 0, 1)),
            apply=apply,
            keys=keyed and chance.random() < 0.3,
            blobs=bulky and chance.random() < 0.5,
            aim=aim,
            seconds=chance.uniform(least, most),
            acknowledgements=chance.randint(1, 60),
            late_first=chance.random() < 0.3,
            kills_while_starting=tuple(chance.uniform(0.02, 0.35) for _ in range(starting)),
        )

    def text(self) -> str:
        parts = [*self.pushers]
        counted = {"direct": self.direct, "redis": self.redis, "read": self.readers, "flush": self.flushers}
        counted |= {"training set": self.trainers}
        parts += [f"{name}*{count}" for name, count in counted.items() if count]
        parts += [name for name in ("apply", "keys", "blobs") if getattr(self, name)]
        starts = f", {len(self.kills_while_starting)} kills while starting" if self.kills_while_starting else ""
        return f"{' '.join(parts)}; kill by {self.aim}{starts}"


def settings(chance: random.Random, bulky: bool) -> dict[str, str]:
    """How the next server is set up: intervals short and long, memory ample and next to nothing."""
    return {
        "memory": chance.choice(("1GB", "1GB", "256KB", "16KB")),
        "checkpoint_interval": chance.choice(("30s", "200ms", "50ms")),
        "history_interval": chance.choice(("1m", "150ms", "50ms")),
        "history_rows": chance.choice(("1000000", "1000000", "20")),
        "log_retention_bytes": "1MB" if bulky else "10GB",
        "workers": chance.choice(("2", "4")),
    }
