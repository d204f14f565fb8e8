//! Decides what a bad record in the last segment is: the torn end of writes that were never
//! acknowledged, which may be cut, or damage to what was durable, which must be named.

use super::record;
use crate::limits::SECTOR_BYTES;

/// `rest` is the segment from the bad record on, which stands at `offset` of the file and was to
/// start at sequence `expected`.
///
/// With nothing valid behind it the record is torn. A valid record behind it that was written
/// after a sync proves that the bad one was durable: damage. Otherwise all behind it belongs to one
/// unsynced batch, of which the disk may have lost an early sector and kept a later one; that
/// leaves a sector of zeros, and anything else is damage.
pub(super) fn is_torn(rest: &[u8], offset: u64, expected: u64) -> bool {
    let mut first_valid = None;
    let mut at = 1;
    while at + record::HEADER_BYTES <= rest.len() {
        let Some(header) = valid_record(&rest[at..], expected) else {
            at += 1;
            continue;
        };
        if header.after_sync {
            return false;
        }
        first_valid.get_or_insert(at);
        at += header.record_bytes();
    }
    match first_valid {
        None => true,
        Some(end) => has_lost_sector(&rest[..end], offset),
    }
}

fn valid_record(bytes: &[u8], expected: u64) -> Option<record::Header> {
    let header = record::parse(bytes).ok()?;
    // The checksum is dear, and records behind the bad one only count on from it.
    let plausible = header.first_sequence > expected && header.first_sequence - expected <= u64::from(u32::MAX);
    if !plausible {
        return None;
    }
    let whole = bytes.get(..header.record_bytes())?;
    header.matches(whole).then_some(header)
}

/// Whether a sector that ends inside `bytes`, which start at `offset` of the file, is all zeros
/// from there on.
fn has_lost_sector(bytes: &[u8], offset: u64) -> bool {
    let mut start = 0;
    loop {
        let in_file = offset + start as u64;
        let left = SECTOR_BYTES - in_file % SECTOR_BYTES;
        let Some(sector) = bytes.get(start..start + left as usize) else {
            return false;
        };
        if sector.iter().all(|&byte| byte == 0) {
            return true;
        }
        start += sector.len();
    }
}
