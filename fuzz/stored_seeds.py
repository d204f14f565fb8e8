"""Seeds of what stands in files, written from `docs/formats.md` alone, and payloads as an engine has logged them."""

import json
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

Seeds = Iterator[tuple[str, bytes]]

TIME = 1_710_000_000_000_000


def crc32c(data: bytes) -> int:
    """The checksum of every file, byte by byte."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def piece(data: bytes) -> bytes:
    """A part of an input with its length in front, as `input.rs` takes it."""
    return struct.pack("<H", len(data)) + data


def record(first: int, payload: bytes, after_sync: bool = True, span: int = 1) -> bytes:
    """A record of the log."""
    guarded = struct.pack("<QIBBH", first, span, 1, after_sync, 0) + payload
    return struct.pack("<II", len(payload), crc32c(guarded)) + guarded


def log_segment() -> Seeds:
    """The floor, whether the first sequence follows, whether the bytes are the file's own; then those."""
    whole = b"THWLLOG1" + struct.pack("<Q", 1) + record(1, b"one") + record(2, b"two", span=3) + record(5, b"")
    own = bytes([0, 0, 0])
    yield "whole", own + whole
    yield "torn", own + whole[:-10]
    yield "damaged", own + whole[:20] + b"\xff" + whole[21:]
    yield "lost-sector", own + whole + record(6, b"x" * 40) + bytes(1024) + record(8, b"y", after_sync=False)
    yield "zeros", own + whole + bytes(600)
    yield "header", own + whole[:16]
    yield "short", own + whole[:9]
    built = bytes([0, 0, 1])
    good = bytes([0x80, 1]) + piece(b"payload")
    yield "built", built + good * 3
    yield "segments", built + good + bytes([7]) + good + bytes([7]) + bytes([0, 2]) + piece(b"")
    yield "flipped", built + good + bytes([0x40, 1]) + piece(b"payload") + bytes([9, 1]) + bytes([0, 1]) + piece(b"z")
    yield "gap", built + good + bytes([6, 5]) + good
    yield "floor", bytes([200, 0, 1]) + good


def log_torn() -> Seeds:
    """Synced records, unsynced ones, bytes lost; then the payloads."""
    yield "one", bytes([1, 0]) + struct.pack("<H", 3) + piece(b"kept") + b"lost in part"
    yield "several", bytes([2, 2]) + struct.pack("<H", 30) + piece(b"a") + piece(b"b") + piece(b"c" * 9) + b"d" * 20
    yield "nothing", bytes([0, 0]) + struct.pack("<H", 0) + b""


def logged_batch() -> Seeds:
    """Payloads of an engine's own log: rows, set aside rows, an idempotency key, changes with what they took back."""
    import pyarrow as pa

    from thalweg import _native

    columns = [{"name": "whole", "type": "int64"}, {"name": "word", "type": "string"}]
    columns += [{"name": "place", "type": "vector<float32,2>"}, {"name": "at", "type": "timestamp"}]
    change = {"name": "changes", "kind": "SOURCE_KIND_CHANGE", "primary_key": ["whole"], "operation": "op"}
    definitions = {
        "project": "seeds",
        "sources": [
            {"name": "events", "kind": "SOURCE_KIND_EVENT", "timestamp": "at", "columns": columns},
            {**change, "timestamp": "at", "columns": [*columns, {"name": "op", "type": "string"}]},
        ],
    }
    times = pa.array([TIME, TIME + 1, None], pa.timestamp("us", "UTC"))
    rows = pa.table({"whole": [1, 2, 3], "word": ["a", None, "ü"], "at": times})
    changes = pa.table({"whole": [1], "word": ["x"], "at": times[:1], "op": ["insert"]})
    with tempfile.TemporaryDirectory() as folder:
        engine = _native.Engine(folder, json.dumps({"clock": "events"}))
        engine.apply(json.dumps(definitions), False)
        engine.push("events", rows, "key", False)
        engine.push("changes", changes, None, True)
        engine.push("changes", changes.set_column(3, "op", [["delete"]]), None, True)
        log = sorted((Path(folder) / "log").iterdir())[0].read_bytes()
        engine.close()
    at, count = 16, 0
    while at < len(log):
        length = struct.unpack_from("<I", log, at)[0]
        yield f"{count}", log[at + 24 : at + 24 + length]
        at, count = at + 24 + length, count + 1


def state_store() -> Seeds:
    """Files that `state_store.rs` puts together: segments (0), checkpoints (1), loose bytes (2, 3)."""
    put = bytes([3, 0]) + piece(b"key") + piece(b"value")
    delete = bytes([3, 1]) + piece(b"key") + piece(b"")
    segment = bytes([0, 0, 2]) + put + delete
    checkpoint = bytes([1, 1, 1]) + piece(b"header")
    yield "whole", segment + checkpoint
    yield "two", segment + checkpoint + bytes([0, 1, 1]) + put + bytes([1, 2, 1, 1]) + piece(b"later")
    yield "fallback", segment + checkpoint + bytes([0x81, 2, 1]) + piece(b"damaged") + struct.pack("<HB", 30, 7)
    yield "lengths", segment + bytes([1, 1, 0]) + struct.pack("<Q", 1 << 40) + piece(b"header")
    yield "half", bytes([0x40, 0, 1]) + put + checkpoint
    yield "loose", bytes([2, 0]) + piece(b"THWLSEG1") + bytes([3, 1]) + piece(b"THWLCKP1" + bytes(40))
    yield "key", bytes([0, 0, 1, 255, 1]) + piece(b"k") + piece(b"") + checkpoint


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def zigzag(value: int) -> bytes:
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def text(value: str) -> bytes:
    """A value of text, in postcard."""
    return varint(5) + varint(len(value.encode())) + value.encode()


def accumulators() -> Seeds:
    """One of each kind, as `plans.rs` orders them and `docs/formats.md` describes them."""
    newest = zigzag(0)
    exact = zigzag(5) + zigzag(-1) + b"\x00"
    wide = zigzag(0) + zigzag(0) + b"\x01" + b"\x01" + varint(5) + varint(1) * 5
    none = zigzag(0) + zigzag(0) + b"\x00"
    integers = varint(1) + varint(2) + zigzag(-7)
    first = zigzag(-5) + varint(1)

    def each(total: bytes, decimals: bytes) -> bytes:
        kinds = [
            varint(0) + varint(3),
            integers,
            varint(2) + varint(2) + decimals,
            varint(3) + varint(2) + varint(0) + varint(1) + varint(0) + total,
            varint(4) + varint(2) + varint(0) + exact + exact + exact + none,
            varint(5) + varint(2) + first + text("a") + first + text("b"),
            varint(6) + varint(1) + varint(2) + zigzag(9) + first,
            varint(7) + varint(2) + text("a") + varint(2) + text("b") + varint(1),
            varint(8) + varint(0) + varint(2) + varint(3) + b"\x05" + varint(9) + b"\x01",
            varint(9) + b"\x00\x00" + varint(1) + zigzag(100) + varint(4) + b"\x00\x00\x00",
            varint(10) + varint(1) + text("a") + newest + integers,
        ]
        return varint(len(kinds)) + b"".join(newest + kind for kind in kinds)

    yield "each", each(exact, zigzag(700) + zigzag(0) + b"\x00")
    yield "wide", each(wide, wide)
    yield "empty", varint(0)


def entity_state() -> Seeds:
    """The plan, a query time, a cut; then a state of it. Rows take 9 words over events and 11 over changes."""
    q = struct.pack("<qq", TIME + 1000, TIME + 2000)

    def row(sequence: int, changes: bool, heap: bytearray, word: bytes | None) -> bytes:
        words = [TIME + sequence, sequence, TIME + sequence + 5]
        if changes:
            words += [2**63 - 1, 2**63 - 1]
        # Slots: whole, real, price, word; then the filter.
        words.append((0 if word is not None else 8) | (sequence % 2) << 4)
        place = len(heap) << 32 | len(word or b"")
        heap += word or b""
        real = struct.unpack("<Q", struct.pack("<d", sequence / 4))[0]
        words += [sequence, real, 100 * sequence, 0, place]
        return b"".join(struct.pack("<Q", value) for value in words)

    def chunk(first: int, rows: int, changes: bool) -> bytes:
        heap = bytearray()
        words = b"".join(row(first + at, changes, heap, b"w%d" % (at % 3) if at % 5 else None) for at in range(rows))
        return struct.pack("<II", len(words) // 8, len(heap)) + words + bytes(heap)

    def state(*chunks: bytes, base: bytes = b"") -> bytes:
        head = b"\x01" + struct.pack("<Qq", 100, -(2**63)) + struct.pack("<I", len(base)) + base
        return head + struct.pack("<I", len(chunks)) + b"".join(chunks)

    yield "none", b"\x00" + q + state()
    yield "events", b"\x00" + q + state(chunk(1, 3, False))
    yield "sealed", b"\x00" + q + state(chunk(1, 6, False), chunk(7, 2, False))
    yield "changes", b"\x01" + q + state(chunk(1, 4, True), chunk(5, 1, True))
    base = dict(accumulators())["each"]
    yield "folded", b"\x02" + q + state(base=zigzag(TIME) + zigzag(TIME + 5) + base)
