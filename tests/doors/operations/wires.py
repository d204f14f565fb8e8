"""What a protocol itself promises: order in pipelines and streams, deadlines, compression, what it tells of itself."""

from __future__ import annotations

from typing import Any

from ..clients.base import Refused, refusal
from ..project import fact
from .expecting import cell, equal, now, present, tag
from .reads import SIMPLE_U1


def health(client: Any) -> None:
    equal(client.health(), "SERVING", "the health")


def status(client: Any) -> None:
    told = client.status()
    equal(told["version"], client.world.http.get("/v1/status").json()["version"], "the version")


def pipelining(client: Any) -> None:
    """Answers come in the order of the commands, whatever stands between two reads."""
    key = f"simple@{client.world.facts.end}:u1"
    commands: list[list[str]] = []
    for n in range(300):
        commands += [["HMGET", key, "rows"], ["ECHO", str(n)], ["HGET", "nothing:u1", "x"]]
    replies = client.send(commands)
    equal(replies[0::3], [["3"]] * 300, "the reads")
    equal(replies[1::3], [str(n) for n in range(300)], "what stands between them")
    assert all(isinstance(reply, Refused) for reply in replies[2::3]), replies[2::3][:3]


def go_pipelining(client: Any) -> None:
    end = client.world.facts.end
    users = ["u1" if n % 2 else f"nobody-{n}" for n in range(200)]
    found = client.pipeline([f"simple@{end}:{user}" for user in users])
    rows = [one.get("spend.rows") for one in found]
    # `kinds` and `rows` of somebody who was never seen are not PRESENT.
    equal(rows, ["3" if n % 2 else None for n in range(200)], "the reads")


def command_table(client: Any) -> None:
    """Clients decide by it what they may send."""
    known = client.documented()
    equal(known["hgetall"]["arity"], 2, "the arity of HGETALL")
    assert {"hmget", "mget", "incrby", "rpush", "auth", "hello"} <= set(known), sorted(known)


def protocol_version(client: Any) -> None:
    equal(int(client.session()["resp"]), client.protocol, "the version that the connection speaks")
    equal(client.wrong_version().code, "NOPROTO", "another version than there is")


def load(client: Any) -> None:
    """Many clients, with and without pipelines; an error of any command ends the program with one."""
    key = f"simple@{client.world.facts.end}:u1"
    user = tag(client)
    client.load("HGETALL", key)
    client.load("GET", key)
    client.load("MGET", key, f"simple@{client.world.facts.end}:nobody")
    client.load("PING")
    client.load("SET", f"web.rating:{user}", "0.5", requests=200)
    client.load("INCR", f"web.clicks:{user}", requests=200)
    told = client.world.http.post("/v1/direct/web.clicks/get", json={"keys": {"user": user}}).json()
    equal(told["values"][0]["value"], 200, "increments of 20 clients at once")


def pipelined_load(client: Any) -> None:
    client.load("HMGET", f"simple@{client.world.facts.end}:u1", "rows", "x_mean", requests=20_000, pipelined=16)


def stream_of_reads(client: Any) -> None:
    """Answers come in the order of the requests; one that fails does not end the stream."""
    end = client.world.facts.end
    names = ["simpel" if n == 20 else "simple" for n in range(40)]
    messages = [
        client.message(name, {"user": ["u1" if n % 2 else "nobody"]}, as_of=end) for n, name in enumerate(names)
    ]
    answers = client.read_stream(messages)
    equal(len(answers), 40, "the answers")
    for n, answer in enumerate(answers):
        if n == 20:
            equal(answer.code, "NOT_FOUND NOT_FOUND", "what an unknown service is answered")
        elif n % 2:
            present(answer, SIMPLE_U1, client.types)
        else:
            equal(cell(answer, "spend.rows"), (0, "NOT_FOUND"), f"answer {n}")


def stream_of_pushes(client: Any) -> None:
    """Each push is acknowledged by its place and its sequence in the log; one that fails does not end the stream."""
    user = tag(client)
    sources = ["fact" if n == 7 else "facts" for n in range(40)]
    messages = []
    for n, source in enumerate(sources):
        message = client.push_message("facts", [fact(now(), user, f"{user}-{n}", n64=n)])
        if isinstance(message, dict):
            message["source"] = source
        else:
            message.source = source
        messages.append(message)
    acks = client.push_stream(messages)
    equal(len(acks), 40, "the acknowledgements")
    assert isinstance(acks[7], Refused) and "`fact`" in acks[7].message, acks[7]
    taken = [ack for n, ack in enumerate(acks) if n != 7]
    assert all(ack.applied == 1 for ack in taken), taken
    sequences = [ack.first_sequence for ack in taken]
    assert sequences == sorted(set(sequences)), f"the sequences do not rise: {sequences}"
    present(
        client.read("simple", {"user": [user]}), {"spend.rows": 39, "spend.total": sum(range(40)) - 7}, client.types
    )


def deadline(client: Any) -> None:
    """A call whose time is over is answered so: by the client's own clock, and by the server's."""
    refused = refusal(lambda: client.read_within(-1, "simple", {"user": ["u1"]}))
    equal(refused.code.partition(" ")[0].replace("_", "").upper(), "DEADLINEEXCEEDED", "a call without time")
    if client.sends_raw:
        equal(client.raw_status(timeout="0n"), "4", "what the server answers where the time was over before it began")
    present(client.read_within(10, "simple", {"user": ["u1"]}), {"spend.rows": 3}, client.types)


def compression(client: Any) -> None:
    for encoding in client.encodings:
        answer = client.read_compressed(encoding, "simple", {"user": ["u1"]}, client.world.facts.end)
        present(answer, SIMPLE_U1, client.types)


def reflection(client: Any) -> None:
    names = set(client.services())
    wanted = {f"thalweg.v1.{name}" for name in ("Features", "Events", "Admin", "Direct")} | {"grpc.health.v1.Health"}
    assert wanted <= names, f"{sorted(wanted - names)} are not among {sorted(names)}"


def metrics(client: Any) -> None:
    """Every read is counted: the same page, before and after."""
    before = client.answered_reads()
    for _ in range(3):
        client.read("simple", {"user": ["u1"]})
    after = client.answered_reads()
    equal(after - before, 3.0, "the reads that were counted")


def openapi(client: Any) -> None:
    document = client.ask("GET", "/openapi.json")
    assert document["openapi"].startswith("3."), document["openapi"]
    assert {"/v1/features", "/v1/sources/{name}/events"} <= set(document["paths"]), sorted(document["paths"])
