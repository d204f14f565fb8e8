//! One record of the log as bytes: a header of 24 bytes, guarded by a checksum, and the payload.

use crate::limits::MAX_LOG_PAYLOAD_BYTES;
use crate::little_endian::{u32_at, u64_at};

pub(super) const HEADER_BYTES: usize = 24;

/// Length and checksum, which the checksum does not cover.
pub(super) const UNGUARDED_BYTES: usize = 8;

/// Set on the first record after a sync. Where it stands, all before it was durable: that is how
/// recovery tells damage from a torn tail.
const AFTER_SYNC: u8 = 1;

/// A record as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub first_sequence: u64,
    /// How many sequence numbers the record uses, at least one.
    pub span: u32,
    /// The engine's own tag; the log does not look at it.
    pub kind: u8,
    pub payload: Vec<u8>,
}

#[derive(Clone, Copy)]
pub(super) struct Header {
    pub(super) first_sequence: u64,
    pub(super) span: u32,
    pub(super) kind: u8,
    pub(super) after_sync: bool,
    payload_bytes: u32,
    checksum: u32,
}

impl Header {
    /// The length of the whole record.
    pub(super) fn record_bytes(&self) -> usize {
        HEADER_BYTES + self.payload_bytes as usize
    }

    pub(super) fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Whether `record`, header included, is what was written.
    pub(super) fn matches(&self, record: &[u8]) -> bool {
        crc32c::crc32c(&record[UNGUARDED_BYTES..]) == self.checksum
    }
}

/// Reads a header and refuses what no writer has written; the checksum comes after.
pub(super) fn parse(bytes: &[u8]) -> Result<Header, &'static str> {
    let header = Header {
        payload_bytes: u32_at(bytes, 0),
        checksum: u32_at(bytes, 4),
        first_sequence: u64_at(bytes, 8),
        span: u32_at(bytes, 16),
        kind: bytes[20],
        after_sync: bytes[21] & AFTER_SYNC != 0,
    };
    if bytes[21] & !AFTER_SYNC != 0 || bytes[22] != 0 || bytes[23] != 0 {
        return Err("the record's reserved bytes are not zero");
    }
    if header.span == 0 {
        return Err("the record spans no sequence number");
    }
    if header.payload_bytes as usize > MAX_LOG_PAYLOAD_BYTES {
        return Err("the record claims to be larger than any record may be");
    }
    Ok(header)
}

pub(super) fn encode(first_sequence: u64, span: u32, kind: u8, after_sync: bool, payload: &[u8]) -> Vec<u8> {
    let flags = if after_sync { AFTER_SYNC } else { 0 };
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&first_sequence.to_le_bytes());
    bytes.extend_from_slice(&span.to_le_bytes());
    bytes.extend_from_slice(&[kind, flags, 0, 0]);
    bytes.extend_from_slice(payload);
    let checksum = crc32c::crc32c(&bytes[UNGUARDED_BYTES..]);
    bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
    bytes
}
