"""An independent reader of a data directory: plain Python, written from `docs/formats.md` alone, without the product.

That it agrees with the product shows that the description is enough to get at one's data. Arrow, Parquet, Delta and
SQLite are read with the libraries of those formats.
"""

import io
import struct
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc

DEDUP, CHANGES, IDEMPOTENCY = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
NEVER = 2**63 - 1


class Damaged(Exception):
    """The bytes are not what the description says."""


def hold(condition, why):
    if not condition:
        raise Damaged(why)


# Checksums


@cache
def _table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


def crc32c(data):
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


# Postcard


class Postcard:
    """Takes fields from the front, one after the other."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        hold(self.at + length <= len(self.data), "postcard ends early")
        self.at += length
        return self.data[self.at - length : self.at]

    def unsigned(self):
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def signed(self):
        value = self.unsigned()
        return value >> 1 ^ -(value & 1)

    def byte(self):
        return self.take(1)[0]

    def boolean(self):
        return bool(self.byte())

    def double(self):
        return struct.unpack("<d", self.take(8))[0]

    def octets(self):
        return self.take(self.unsigned())

    def text(self):
        return self.octets().decode()

    def option(self, read):
        return read() if self.byte() else None

    def many(self, *reads):
        """A list; of tuples where there are several fields."""
        one = (lambda: tuple(read() for read in reads)) if len(reads) > 1 else reads[0]
        return [one() for _ in range(self.unsigned())]

    def end(self):
        hold(self.at == len(self.data), f"{len(self.data) - self.at} bytes behind the end")

    def value(self):
        kind = self.unsigned()
        reads = (
            lambda: None,
            self.boolean,
            self.signed,
            self.double,
            self.signed,
            self.octets,
            lambda: self.many(self.value),
            lambda: self.many(self.value, self.value),
        )
        return reads[kind]()


# The log


@dataclass
class Record:
    sequence: int
    span: int
    kind: int
    after_sync: bool
    payload: bytes


@dataclass
class Push:
    """The payload of a record of kind 1."""

    header: dict
    rows: pa.Table
    before: pa.Table | None


def read_log(directory):
    """All whole records of the log, and how many bytes of a torn end are behind them."""
    records, torn, expected = [], 0, None
    segments = sorted(Path(directory).glob("*.log"))
    for segment in segments:
        data = segment.read_bytes()
        hold(data[:8] == b"THWLLOG1", f"{segment}: magic")
        (first,) = struct.unpack_from("<Q", data, 8)
        hold(segment.name == f"{first:020}.log", f"{segment}: its name says another first sequence")
        hold(expected in (None, first), f"{segment}: begins elsewhere than the one before ends")
        expected, at = first, 16
        while at < len(data):
            record = _record(data, at, expected)
            if record is None:
                hold(segment == segments[-1], f"{segment}: damaged at {at}")
                torn = len(data) - at
                break
            records.append(record)
            expected = record.sequence + record.span
            at += 24 + len(record.payload)
    return records, torn


def _record(data, at, expected):
    if len(data) - at < 24:
        return None
    length, checksum, sequence, span, kind, flags, zero = struct.unpack_from("<IIQIBBH", data, at)
    whole = data[at + 8 : at + 24 + length]
    if length > 256 << 20 or len(whole) < 16 + length or crc32c(whole) != checksum or sequence != expected:
        return None
    hold(span >= 1 and zero == 0 and flags in (0, 1), f"a record's head at {at}")
    return Record(sequence, span, kind, bool(flags & 1), whole[16:])


def read_push(record):
    hold(record.kind == 1, f"a record of kind {record.kind}")
    header, rest = _part(record.payload)
    rows, before = _part(rest)
    push = Push(_header(header), _arrow(rows), _arrow(before) if before else None)
    hold(record.span == max(1, push.rows.num_rows), "a span that is not the rows'")
    return push


def _part(data):
    (length,) = struct.unpack_from("<I", data)
    hold(len(data) >= 4 + length, "a part ends early")
    return data[4 : 4 + length], data[4 + length :]


def _arrow(data):
    with pyarrow.ipc.open_stream(io.BytesIO(data)) as stream:
        return stream.read_all()


def _header(data):
    given = Postcard(data)
    header = _acknowledgement(given)
    header["idempotency_key"] = given.option(given.text)
    header["accepted_at"] = given.signed()
    header["set_aside"] = given.many(given.unsigned, lambda: given.option(given.text), given.text, given.octets)
    given.end()
    return header


COUNTS = ("read", "applied", "deduplicated", "filtered", "quarantined")


def _acknowledgement(given):
    ack = {"source": given.text(), **{name: given.unsigned() for name in COUNTS}}
    ack["repeated"] = given.boolean()
    ack["arrival_time"] = ("clock", "column", "event_time")[given.unsigned()]
    ack["first_sequence"] = given.unsigned()
    ack["errors"] = given.many(given.unsigned, lambda: given.option(given.text), given.text)
    return ack


# The state


@dataclass
class State:
    """The newest checkpoint: its header, and what it says of each space, by key."""

    identifier: int
    header: dict
    spaces: dict[int, dict[bytes, bytes]] = field(default_factory=dict)


def read_state(directory):
    """The newest checkpoint that is whole; none where there is none."""
    for path in sorted(Path(directory).glob("checkpoint-??????????"), reverse=True):
        data = path.read_bytes()
        if data[:8] != b"THWLCKP1" or crc32c(data[12:]) != struct.unpack_from("<I", data, 8)[0]:
            continue
        identifier, count = struct.unpack_from("<QI", data, 12)
        hold(path.name == f"checkpoint-{identifier:010}", f"{path}: its name says another id")
        segments = [struct.unpack_from("<QQ", data, 24 + 16 * one) for one in range(count)]
        (length,) = struct.unpack_from("<I", data, 24 + 16 * count)
        header = data[28 + 16 * count :]
        hold(len(header) == length, f"{path}: length of the header")
        state = State(identifier, _checkpoint_header(header))
        for segment, counts in segments:
            _read_segment(Path(directory) / f"{segment:010}.seg", segment, counts, state)
        return state
    return None


def _checkpoint_header(data):
    given = Postcard(data)
    header = {"position": given.unsigned(), "newest": given.signed(), "given": given.signed()}
    names = (*COUNTS, "pushes")

    def ledger():
        counts = {name: given.unsigned() for name in names}
        return counts | {"newest_event_time": given.option(given.signed)}

    header["ledgers"] = dict(given.many(given.text, ledger))
    header["filled"] = given.many(given.unsigned)
    given.end()
    return header


def _read_segment(path, identifier, counts, state):
    data = path.read_bytes()
    hold(data[:8] == b"THWLSEG1" and struct.unpack_from("<Q", data, 8)[0] == identifier, f"{path}: head")
    hold(len(data) >= counts, f"{path}: shorter than the checkpoint says")
    at = 16
    while at < counts:
        length, checksum, space, operation, zero, key_length = struct.unpack_from("<III B3s I", data, at)
        hold(at + length <= counts and crc32c(data[at + 8 : at + length]) == checksum, f"{path}: record at {at}")
        hold(zero == b"\0\0\0" and operation in (1, 2), f"{path}: head of the record at {at}")
        key = data[at + 20 : at + 20 + key_length]
        value = data[at + 20 + key_length : at + length]
        if operation == 1:
            state.spaces.setdefault(space, {})[key] = value
        else:
            hold(not value, f"{path}: a delete with a value")
            state.spaces.setdefault(space, {}).pop(key, None)
        at += length


def read_dedup(state):
    """Source to the accepted (fingerprint, event time) pairs."""
    found = {}
    for key, value in state.spaces.get(DEDUP, {}).items():
        source, _, place = key.partition(b"\0")
        hold(len(place) == 12, "position and part")
        given = Postcard(value)
        found.setdefault(source.decode(), set()).update(given.many(given.unsigned, given.signed))
        given.end()
    return found


def read_changes(state):
    """Source to primary key to its current row: event time, sequence, values by column."""
    found = {}
    for key, value in state.spaces.get(CHANGES, {}).items():
        source, _, primary = key.partition(b"\0")
        given = Postcard(value)
        row = (given.signed(), given.unsigned(), dict(given.many(given.text, given.value)))
        given.end()
        found.setdefault(source.decode(), {})[primary] = row
    return found


def read_acknowledgements(state):
    """(source, idempotency key) to what was acknowledged."""
    found = {}
    for key, value in state.spaces.get(IDEMPOTENCY, {}).items():
        source, _, name = key.partition(b"\0")
        given = Postcard(value)
        found[source.decode(), name.decode()] = _acknowledgement(given)
        given.end()
    return found


def entity_key(values):
    """The bytes of a key of (type, value) pairs."""
    out = b""
    for kind, value in values:
        if kind == "bool":
            out += bytes([value])
        elif kind in ("int32", "int64", "timestamp", "date"):
            out += struct.pack("<q", value)
        elif kind in ("float32", "float64"):
            out += struct.pack("<d", value + 0.0)
        elif kind.startswith("decimal"):
            out += value.to_bytes(16, "little", signed=True)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += struct.pack("<I", len(data)) + data
    return out


# xxHash


# Bytes 32 to 64 of the default secret.
SECRET = bytes.fromhex("cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c")
MASK = 2**64 - 1


def xxh3_128(data):
    """XXH3-128 with seed 0, of 9 to 16 bytes."""
    hold(9 <= len(data) <= 16, "this reader hashes 9 to 16 bytes")
    words = struct.unpack("<4Q", SECRET)
    low, high = struct.unpack("<Q", data[:8])[0], struct.unpack("<Q", data[-8:])[0]
    product = (low ^ high ^ words[0] ^ words[1]) * 0x9E3779B185EBCA87
    lower, upper = product & MASK, product >> 64
    lower = lower + ((len(data) - 1) << 54) & MASK
    high ^= words[2] ^ words[3]
    upper = upper + high + (high & 0xFFFFFFFF) * (0x85EBCA77 - 1) & MASK
    lower ^= int.from_bytes(upper.to_bytes(8, "little"), "big")
    product = lower * 0xC2B2AE3D27D4EB4F
    return _avalanche((product >> 64) + upper * 0xC2B2AE3D27D4EB4F & MASK) << 64 | _avalanche(product & MASK)


def _avalanche(word):
    word = (word ^ word >> 37) * 0x165667919E3779F9 & MASK
    return word ^ word >> 32
