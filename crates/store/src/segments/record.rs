//! One record of the state store as bytes: a key that was put or deleted, and its value.

use crate::little_endian::u32_at;

pub(super) const HEADER_BYTES: usize = 20;

const PUT: u8 = 1;
const DELETE: u8 = 2;

/// What a record says, before it is written and after it is read.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) space: u32,
    /// False for a deletion, whose value is empty.
    pub(super) put: bool,
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
}

impl Entry<'_> {
    /// The length of the whole record.
    pub(super) fn record_bytes(&self) -> usize {
        HEADER_BYTES + self.key.len() + self.value.len()
    }

    pub(super) fn encode_into(&self, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        let op = if self.put { PUT } else { DELETE };
        buffer.extend_from_slice(&(self.record_bytes() as u32).to_le_bytes());
        buffer.extend_from_slice(&[0; 4]);
        buffer.extend_from_slice(&self.space.to_le_bytes());
        buffer.extend_from_slice(&[op, 0, 0, 0]);
        buffer.extend_from_slice(&(self.key.len() as u32).to_le_bytes());
        buffer.extend_from_slice(self.key);
        buffer.extend_from_slice(self.value);
        let checksum = crc32c::crc32c(&buffer[start + 8..]);
        buffer[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// The length that a record's header claims for the whole record.
pub(super) fn claimed_bytes(header: &[u8]) -> usize {
    u32_at(header, 0) as usize
}

/// Reads a whole record and checks it.
pub(super) fn decode(bytes: &[u8]) -> Result<Entry<'_>, &'static str> {
    if bytes.len() < HEADER_BYTES || claimed_bytes(bytes) != bytes.len() {
        return Err("no record of this length is here");
    }
    if crc32c::crc32c(&bytes[8..]) != u32_at(bytes, 4) {
        return Err("the record's checksum does not match");
    }
    let put = match bytes[12] {
        PUT => true,
        DELETE => false,
        _ => return Err("the record neither puts nor deletes"),
    };
    let rest = &bytes[HEADER_BYTES..];
    let Some((key, value)) = rest.split_at_checked(u32_at(bytes, 16) as usize) else {
        return Err("the record's key is longer than the record");
    };
    Ok(Entry { space: u32_at(bytes, 8), put, key, value })
}
