"""Clients at work while the server is killed: each is a thread that knows what it was told, and what it was not."""

import json
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from . import pushes
from .definitions import BY_REGION, BY_USER, REGIONS, USERS
from .doors import ARROW, JSON, LINES, Http, Lost, Redis, Refused
from .expected import Expected, Push, Write

SHARED = "u0"
"""The user whose counter everybody increments."""


class Worker(threading.Thread, ABC):
    """Works until the server goes away; `began` then says since when it was at something."""

    kind = "?"

    def __init__(self, server: "Address", chance: random.Random) -> None:
        super().__init__(daemon=True)
        self.server, self.chance = server, chance
        self.halt = threading.Event()
        self.began: float | None = None
        """When what is under way began; none where nothing is."""
        self.failure: str | None = None

    def run(self) -> None:
        try:
            self.open()
            while not self.halt.is_set():
                self.began = time.monotonic()
                try:
                    self.step()
                except Refused as error:
                    self.refused(error)
                self.began = None
                if (pause := self.pause()) > 0:
                    self.halt.wait(pause)
        except Lost:
            pass
        except Refused as error:
            self.failure = f"{self.kind}: refused: {error}"
        except Exception as error:
            self.failure = f"{self.kind}: {error!r}"

    def refused(self, error: Refused) -> None:
        """Nothing is refused by a server that has all it needs; where it has not, others take this over."""
        raise error

    def open(self) -> None:
        self.http = Http(self.server.port, self.server.api_key)

    def pause(self) -> float:
        return 0.0

    @abstractmethod
    def step(self) -> None: ...


class Address:
    """Where the server listens, and the key that opens it."""

    def __init__(self, port: int, redis_port: int, api_key: str | None) -> None:
        self.port, self.redis_port, self.api_key = port, redis_port, api_key


class Pusher(Worker):
    """Sends one push after the other; `make` makes them."""

    def __init__(self, kind: str, server: Address, chance: random.Random, make: Callable[[], Push]) -> None:
        super().__init__(server, chance)
        self.kind, self.make = kind, make
        self.acknowledged: list[tuple[Push, dict]] = []
        self.lost: Push | None = None

    def step(self) -> None:
        # What was refused is sent again, before anything that builds on it.
        self.lost = self.lost or self.make()
        ack = self.http.push(self.lost.source, self.lost.body, self.lost.content, self.lost.key)
        self.acknowledged.append((self.lost, ack))
        self.lost = None

    def pause(self) -> float:
        return self.chance.uniform(0, 0.004)


def pushers(server: Address, chance: random.Random, expected: Expected, wanted: list[str]) -> list[Pusher]:
    """A pusher for each name in `wanted`; those of one kind share the keys of the rows among them."""
    made = []
    for slot, kind in enumerate(wanted):
        own = random.Random(chance.getrandbits(64))
        made.append(Pusher(kind, server, own, _maker(kind, slot, len(wanted), expected, own)))
    return made


def _maker(kind: str, slot: int, slots: int, expected: Expected, chance: random.Random) -> Callable[[], Push]:
    if kind == "changes":
        own = {account: row for account, row in expected.accounts.items() if account % slots == slot}
        return lambda: pushes.changes(expected, chance, own, slot, slots)
    if kind == "unkeyed":
        known: list[tuple[int, str]] = []

        def unkeyed() -> Push:
            push = pushes.clicks(expected, chance, known)
            known.extend((mark, user) for user, mark, _, _ in push.rows)
            return push

        return unkeyed
    if kind == "blobs":
        return lambda: pushes.blobs(expected, chance, slot)
    content = {"arrow": ARROW, "json": JSON, "lines": LINES}[kind]
    return lambda: pushes.payments(expected, chance, content, slot)


class DirectWriter(Worker):
    """Writes direct features over HTTP, each write with a key: of users of its own, and of the shared counter."""

    kind = "direct"

    def __init__(self, server: Address, chance: random.Random, expected: Expected, users: list[str]) -> None:
        super().__init__(server, chance)
        self.values = {feature: dict(values) for feature, values in expected.direct.items()}
        self.users = users
        self.acknowledged: list[tuple[Write, dict]] = []
        self.lost: Write | None = None

    def step(self) -> None:
        self.lost = self.lost or self.drawn()
        ack = send(self.http, self.lost)
        self.values[self.lost.feature][self.lost.user] = self.lost.after
        self.acknowledged.append((self.lost, ack))
        self.lost = None

    def pause(self) -> float:
        return self.chance.uniform(0, 0.004)

    def drawn(self) -> Write:
        user = self.chance.choice(self.users)
        write = drawn_write(self.chance, self.values, user)
        if write.feature == "users__counter" and self.chance.random() < 0.4:
            write = Write("users__counter", SHARED, "incr", self.chance.randint(1, 5), None)
        write.key = f"write-{self.chance.getrandbits(64):x}"
        return write


class RedisWriter(DirectWriter):
    """Writes direct features through the Redis port, which has no keys: the last one may be there or not."""

    kind = "redis"

    def open(self) -> None:
        self.redis = Redis(self.server.redis_port, self.server.api_key)

    def step(self) -> None:
        write = drawn_write(self.chance, self.values, self.chance.choice(self.users))
        while write.after == self.values[write.feature].get(write.user):
            # Whether a lost one is there is seen by its value alone.
            write = drawn_write(self.chance, self.values, write.user)
        self.lost = write
        name = write.feature.replace("__", ".", 1)
        address = f"{name}:{write.user}"
        if write.operation == "incr":
            after = self.redis.call("INCRBY", address, str(write.operand))
            if after != write.after:
                raise AssertionError(f"INCRBY of {address} was answered with {after}, and not with {write.after}")
        elif write.operation == "append":
            self.redis.call("RPUSH", address, str(write.operand))
        else:
            self.redis.call("SET", address, json.dumps(write.operand))
        self.values[write.feature][write.user] = write.after
        self.acknowledged.append((write, {}))
        self.lost = None


def drawn_write(chance: random.Random, values: dict[str, dict], user: str) -> Write:
    feature = chance.choice(("users__counter", "users__score", "users__seen"))
    before = values[feature].get(user)
    if feature == "users__counter":
        if chance.random() < 0.2:
            value = chance.randint(-100, 100)
            return Write(feature, user, "set", value, value)
        by = chance.randint(-5, 9)
        return Write(feature, user, "incr", by, (before or 0) + by)
    if feature == "users__score":
        value = chance.randint(-4_000, 4_000) / 8
        return Write(feature, user, "set", value, value)
    if before is None or len(before) > 20:
        value = [chance.randint(0, 9) for _ in range(chance.randint(0, 3))]
        return Write(feature, user, "set", value, value)
    item = chance.randint(0, 9)
    return Write(feature, user, "append", item, [*before, item])


def send(http: Http, write: Write) -> dict:
    selector = write.feature.replace("__", ".", 1)
    body = {"keys": {"user": write.user}, "value": write.operand}
    return http.post(f"/v1/direct/{selector}/{write.operation}", body, key=write.key)


class Reader(Worker):
    """Reads, and keeps some answers to be asked for again."""

    kind = "read"
    KEPT = 6

    def __init__(self, server: Address, chance: random.Random) -> None:
        super().__init__(server, chance)
        self.answers: list[tuple[str, dict]] = []
        self.reads = 0

    def step(self) -> None:
        service, key, names = self.chance.choice(((BY_USER, "user", USERS), (BY_REGION, "region", REGIONS)))
        some = self.chance.sample(names, 3)
        answer = self.http.post("/v1/features", {"service": service, "entities": {key: some}})
        self.reads += 1
        place = len(self.answers) if len(self.answers) < self.KEPT else self.chance.randrange(self.reads)
        if place < self.KEPT:
            self.answers[place:] = [(service, answer), *self.answers[place + 1 :]]

    def pause(self) -> float:
        return self.chance.uniform(0, 0.01)


class Flusher(Worker):
    """History and a checkpoint, again and again."""

    kind = "flush"

    def __init__(self, server: Address, chance: random.Random, eager: bool) -> None:
        super().__init__(server, chance)
        self.eager, self.done = eager, 0

    def step(self) -> None:
        self.http.post("/v1/flush", {})
        self.done += 1

    def pause(self) -> float:
        return 0.0 if self.eager else self.chance.uniform(0, 0.15)


class Applier(Worker):
    """Puts one manifest in force."""

    kind = "apply"

    def __init__(self, server: Address, chance: random.Random, extra: dict[str, str], compiled: object) -> None:
        super().__init__(server, chance)
        self.extra, self.compiled = extra, compiled
        self.sent = threading.Event()
        self.answer: dict | None = None

    def open(self) -> None:
        super().open()
        self.halt.wait(self.chance.uniform(0, 0.2))

    def step(self) -> None:
        self.sent.set()
        body = self.compiled.json.encode()
        answer = self.http.bytes("POST", "/v1/apply", body, query={"allow_breaking": "true"})
        self.answer = json.loads(answer)
        self.halt.set()


class Trainer(Worker):
    """Makes training sets over the history there is; keeps the ids of those that were done, and their rows."""

    kind = "training set"

    def __init__(self, server: Address, chance: random.Random) -> None:
        super().__init__(server, chance)
        self.done: list[tuple[str, bytes]] = []

    def step(self) -> None:
        sql = f'SELECT "user", max(at) AS ts FROM payments GROUP BY "user" LIMIT {self.chance.randint(1, 9)}'
        query = {"service": BY_USER, "timestamp": "ts", "as_of": "arrival"}
        job = self.http.post("/v1/training-sets", {"sql": sql}, query=query)["id"]
        while True:
            state = self.http.get(f"/v1/training-sets/{job}")
            if state["state"] != "running":
                break
            self.halt.wait(0.002)
        # Without a table there is no SELECT: nothing was pushed yet.
        if state["state"] == "done":
            made = state["report"]["id"]
            self.done.append((made, self.http.bytes("GET", f"/v1/training-sets/{made}/data")))
        elif "payments" not in str(state["error"]):
            raise AssertionError(f"a training set {state['state']}: {state['error']}")


class KeyMaker(Worker):
    """Makes keys, and rotates and revokes some of them."""

    kind = "key"

    def __init__(self, server: Address, chance: random.Random, prefix: str) -> None:
        super().__init__(server, chance)
        self.prefix, self.number = prefix, 0
        self.live: dict[str, str] = {}
        self.revoked: list[str] = []
        self.names: dict[str, str] = {}
        self.unsure: str | None = None
        """The id of the key, or the name of a key to be, whose change was not answered."""

    def step(self) -> None:
        drawn = self.chance.random()
        if drawn < 0.5 or not self.live:
            self.number += 1
            self.unsure = f"{self.prefix}-{self.number}"
            body = {"name": self.unsure, "namespaces": ["*"], "scopes": ["read"]}
            made = self.http.post("/v1/keys", body)
            self.names[made["id"]], self.live[made["id"]] = self.unsure, made["key"]
        else:
            self.unsure = self.chance.choice(sorted(self.live))
            if drawn < 0.75:
                answer = self.http.post(f"/v1/keys/{self.unsure}/rotate", {})
                self.revoked.append(self.live[self.unsure])
                self.live[self.unsure] = answer["key"]
            else:
                self.http.bytes("DELETE", f"/v1/keys/{self.unsure}")
                self.revoked.append(self.live.pop(self.unsure))
        self.unsure = None

    def pause(self) -> float:
        return self.chance.uniform(0, 0.03)
