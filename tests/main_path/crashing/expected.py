"""What has to be there: the effect of everything that was acknowledged, kept in plain Python."""

import itertools
import random
import time
from dataclasses import dataclass, field

from .definitions import DIRECT, EVENT_SOURCES, REGIONS, SOURCES, USERS

COUNTS = ("read", "applied", "deduplicated", "filtered", "quarantined")
REMEMBERED = 400
"""Acknowledged pushes that are kept to be sent again in a later life."""


@dataclass(frozen=True)
class Bad:
    """A row that has to be in quarantine: its place in the push, and its raw bytes or, where rendered, its mark."""

    row: int
    raw: bytes | None
    mark: int | None = None


@dataclass
class Push:
    """Rows as they are sent, and what they do once they are taken."""

    source: str
    body: bytes
    content: str
    key: str | None
    counts: dict[str, int]
    marks: list[int]
    rows: list[tuple]
    """Of an event source (user, mark, time, amount); of the change source (operation, id, region, balance)."""
    bad: list[Bad] = field(default_factory=list)
    ack: dict | None = None


@dataclass
class Write:
    """A write of a direct feature: with an idempotency key over HTTP, or without one over the Redis protocol."""

    feature: str
    user: str
    operation: str
    operand: object
    after: object
    key: str | None = None
    ack: dict | None = None


@dataclass
class UserSums:
    rows: int = 0
    total: int = 0
    newest_at: int = -1
    newest: set[int] = field(default_factory=set)


class Expected:
    """The effect of what was acknowledged in one data directory."""

    def __init__(self, chance: random.Random, clock: str) -> None:
        self.chance = chance
        # By the machine's clock a day back, so that no event lies in the future; else the events are the clock.
        began = 1_700_000_000 if clock == "events" else int(time.time()) - 86_400
        self.began = began * 1_000_000
        self.mark = itertools.count(1)
        self.counts = {source: dict.fromkeys(COUNTS, 0) for source in SOURCES}
        self.marks: dict[str, list[int]] = {source: [] for source in (*EVENT_SOURCES, "accounts")}
        self.users = {source: {user: UserSums() for user in USERS} for source in EVENT_SOURCES}
        self.accounts: dict[int, tuple[str, int]] = {}
        self.direct: dict[str, dict[str, object]] = {feature: {} for feature in DIRECT}
        self.quarantine: dict[str, list[tuple[int, Bad]]] = {source: [] for source in SOURCES}
        self.remembered: list[Push | Write] = []
        self.seen = 0

    def at(self, mark: int) -> int:
        """The event time of the row with this mark: each has its own, and they go on with the marks."""
        return self.began + mark * 1_000

    def take(self, push: Push, ack: dict) -> None:
        """A push is in the log: its rows count."""
        push.ack = ack
        for name, count in push.counts.items():
            self.counts[push.source][name] += count
        self.marks[push.source] += push.marks
        if push.source == "accounts":
            self._take_changes(push.rows)
        else:
            self._take_events(push.source, push.rows)
        self.quarantine[push.source] += [(ack["first_sequence"], bad) for bad in push.bad]
        if push.key is not None:
            self._remember(push)

    def write(self, write: Write, ack: dict | None) -> None:
        """A direct write is in the log."""
        write.ack = ack
        values = self.direct[write.feature]
        # Increments of one user may come from many at once: only their sum is known.
        after = (values.get(write.user) or 0) + write.operand if write.operation == "incr" else write.after
        values[write.user] = after
        for name in ("read", "applied"):
            self.counts[write.feature][name] += 1
        if write.key is not None:
            self._remember(write)

    def add_counts(self, source: str, ack: dict) -> None:
        """A push of which nothing was new: it is in the ledger all the same."""
        for name in COUNTS:
            self.counts[source][name] += ack[name]

    def of_user(self, source: str, user: str) -> dict[str, object]:
        """What the base view has to answer; `newest` is the set of what may be answered."""
        sums = self.users[source][user]
        total = sums.total if sums.rows else None
        return {"rows": sums.rows, "ids": sums.rows, "total": total, "newest": sums.newest or {None}}

    def of_region(self, region: str) -> dict[str, object]:
        balances = [balance for home, balance in self.accounts.values() if home == region]
        total, largest = (sum(balances), max(balances)) if balances else (None, None)
        return {"rows": len(balances), "ids": len(balances), "total": total, "largest": largest}

    def regions(self) -> dict[str, dict[str, object]]:
        return {region: self.of_region(region) for region in REGIONS}

    def _take_events(self, source: str, rows: list[tuple]) -> None:
        for user, mark, at, amount in rows:
            sums = self.users[source][user]
            sums.rows += 1
            sums.total += amount
            if at > sums.newest_at:
                sums.newest_at, sums.newest = at, {mark}
            elif at == sums.newest_at:
                sums.newest = sums.newest | {mark}

    def _take_changes(self, rows: list[tuple]) -> None:
        for operation, account, region, balance in rows:
            if operation == "delete":
                self.accounts.pop(account, None)
            else:
                self.accounts[account] = (region, balance)

    def _remember(self, taken: Push | Write) -> None:
        """A sample of all that was ever acknowledged under a key."""
        self.seen += 1
        if len(self.remembered) < REMEMBERED:
            self.remembered.append(taken)
        elif (place := self.chance.randrange(self.seen)) < REMEMBERED:
            self.remembered[place] = taken
