//! The checkpoint file: which segments, up to which length, make up the state, and the engine's
//! own header. It is written whole or not at all.

use crate::disk::Disk;
use crate::error::StoreError;
use crate::little_endian::{u32_at, u64_at};
use crate::version;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"THWLCKP1";
const PREFIX: &str = "checkpoint-";
/// Magic, checksum, id and the number of segments.
const FIXED_BYTES: usize = 24;
const SEGMENT_BYTES: usize = 16;

/// A segment as a checkpoint refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentRef {
    pub(super) id: u64,
    pub(super) length: u64,
}

pub(super) struct Checkpoint {
    pub(super) id: u64,
    /// In write order.
    pub(super) segments: Vec<SegmentRef>,
    pub(super) header: Vec<u8>,
}

pub(super) fn path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{PREFIX}{id:010}"))
}

/// The id of the checkpoint with this name; nothing for a file that is none.
pub(super) fn id(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    if digits.len() < 10 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

pub(super) fn encode(id: u64, segments: &[SegmentRef], header: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(&(segments.len() as u32).to_le_bytes());
    for segment in segments {
        bytes.extend_from_slice(&segment.id.to_le_bytes());
        bytes.extend_from_slice(&segment.length.to_le_bytes());
    }
    bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
    bytes.extend_from_slice(header);
    let checksum = crc32c::crc32c(&bytes[12..]);
    bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

pub(super) fn read(disk: &dyn Disk, dir: &Path, id: u64) -> Result<Checkpoint, StoreError> {
    let path = path(dir, id);
    let bytes = disk.read(&path).map_err(|error| StoreError::io(&path, "read", error))?;
    if !bytes.starts_with(&MAGIC[..7]) || bytes.len() < FIXED_BYTES {
        return Err(StoreError::damaged(&path, 0, "this is no checkpoint"));
    }
    version::check(&path, "checkpoint", bytes[7], MAGIC[7])?;
    if crc32c::crc32c(&bytes[12..]) != u32_at(&bytes, 8) {
        return Err(StoreError::damaged(&path, 8, "the checksum does not match"));
    }
    if u64_at(&bytes, 12) != id {
        let why = "the id is not the one in the name";
        return Err(StoreError::damaged(&path, 12, why));
    }
    let Some((segments, header)) = decode_lists(&bytes[20..]) else {
        return Err(StoreError::damaged(&path, 20, "the lengths do not add up"));
    };
    Ok(Checkpoint { id, segments, header })
}

/// The segments and the engine's header, from the number of segments on.
fn decode_lists(bytes: &[u8]) -> Option<(Vec<SegmentRef>, Vec<u8>)> {
    let (count, rest) = bytes.split_at_checked(4)?;
    let list_bytes = (u32_at(count, 0) as usize).checked_mul(SEGMENT_BYTES)?;
    let (list, rest) = rest.split_at_checked(list_bytes)?;
    let (header_length, header) = rest.split_at_checked(4)?;
    if u32_at(header_length, 0) as usize != header.len() {
        return None;
    }
    let segments =
        list.chunks_exact(SEGMENT_BYTES).map(|chunk| SegmentRef { id: u64_at(chunk, 0), length: u64_at(chunk, 8) });
    Some((segments.collect(), header.to_vec()))
}
