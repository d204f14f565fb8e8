//! Decides what a bad record in the last segment is: the torn end of writes that were never
//! acknowledged, which may be cut, or damage to what was durable, which must be named.

use super::checksums::Checksums;
use super::record::{self, Header};
use crate::limits::SECTOR_BYTES;

/// `rest` is the segment from the bad record on, which stands at `offset` of the file and was to
/// start at sequence `expected`.
///
/// With nothing valid behind it the record is torn. A valid record behind it that was written
/// after a sync proves that the bad one was durable: damage. Otherwise all behind it belongs to one
/// unsynced batch, of which the disk may have lost an early sector and kept a later one; that
/// leaves a sector of zeros, and anything else is damage.
pub(super) fn is_torn(rest: &[u8], offset: u64, expected: u64) -> bool {
    let mut checksums = Checksums::new(rest);
    let Some(mut at) = behind_claims(rest, offset, expected, &mut checksums) else {
        return false;
    };
    let mut first_valid = None;
    while at + record::HEADER_BYTES <= rest.len() {
        let Some(header) = valid_record(rest, at, expected, &mut checksums) else {
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

/// Where whole records may follow: behind the bad record, and behind bad ones that go on from it.
/// What is inside the extent that such a header claims is payload, whatever it looks like: rows
/// are the clients' own. None where one of them is whole, or is but for its length: no crash
/// leaves that.
fn behind_claims(rest: &[u8], offset: u64, expected: u64, checksums: &mut Checksums<'_>) -> Option<usize> {
    let (mut at, mut due) = (0, expected);
    while let Some(header) = header_at(rest, at).filter(|header| header.first_sequence == due) {
        if is_whole(rest, at, &header, checksums) {
            if at == 0 {
                return None;
            }
            break;
        }
        let (claimed, next) = (at + header.record_bytes(), due.saturating_add(u64::from(header.span)));
        // A length that leads to the next header is right. Any other ends this loop, so the search is made once.
        let goes_on = starts_at(rest, claimed, next);
        let real = if goes_on { None } else { real_end(rest, at, &header, next, checksums) };
        at = match real {
            None => claimed,
            // The disk has lost the sector that its length, and nothing else of it, ended in.
            Some(end) if has_lost_sector(&rest[at..at + 4], offset + at as u64) => end,
            Some(_) => return None,
        };
        due = next;
    }
    Some(at.clamp(1, rest.len().max(1)))
}

/// Where the record at `at` ends if all of it is right but its length, which its checksum does not
/// cover: at the next record, or at the end of the file.
fn real_end(rest: &[u8], at: usize, header: &Header, next: u64, checksums: &mut Checksums<'_>) -> Option<usize> {
    let ends = at + record::HEADER_BYTES..=rest.len();
    ends.filter(|end| *end == rest.len() || starts_at(rest, *end, next))
        .find(|end| checksums.of(at + record::UNGUARDED_BYTES, *end) == header.checksum())
}

fn header_at(rest: &[u8], at: usize) -> Option<Header> {
    let bytes = rest.get(at..at.checked_add(record::HEADER_BYTES)?)?;
    record::parse(bytes).ok()
}

/// Whether a header is there that begins with this sequence.
fn starts_at(rest: &[u8], at: usize, first_sequence: u64) -> bool {
    header_at(rest, at).is_some_and(|header| header.first_sequence == first_sequence)
}

fn valid_record(rest: &[u8], at: usize, expected: u64, checksums: &mut Checksums<'_>) -> Option<Header> {
    let header = header_at(rest, at)?;
    // Records behind the bad one only count on from it.
    let plausible = header.first_sequence > expected && header.first_sequence - expected <= u64::from(u32::MAX);
    (plausible && is_whole(rest, at, &header, checksums)).then_some(header)
}

fn is_whole(rest: &[u8], at: usize, header: &Header, checksums: &mut Checksums<'_>) -> bool {
    let end = at + header.record_bytes();
    end <= rest.len() && checksums.of(at + record::UNGUARDED_BYTES, end) == header.checksum()
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
