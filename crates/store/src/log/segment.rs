//! One segment file of the log: its name, its header, and how its records are written and scanned.

use super::record::{self, Record};
use crate::disk::{AppendFile, Disk, Window};
use crate::error::StoreError;
use crate::limits::MAX_SEQUENCE;
use crate::little_endian::u64_at;
use crate::version;
use std::path::{Path, PathBuf};

pub(super) const HEADER_BYTES: usize = 16;
const MAGIC: &[u8; 8] = b"THWLLOG1";

/// A segment as it stands on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentInfo {
    pub first_sequence: u64,
    pub bytes: u64,
    pub path: PathBuf,
}

pub(super) fn path(dir: &Path, first_sequence: u64) -> PathBuf {
    dir.join(format!("{first_sequence:020}.log"))
}

/// The first sequence of the segment with this name; nothing for a file that is no segment.
pub(super) fn first_sequence(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// The first sequences of all segments in `dir`, ascending.
pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, StoreError> {
    let names = disk.list(dir).map_err(|error| StoreError::io(dir, "list", error))?;
    let mut found: Vec<u64> = names.iter().filter_map(|name| first_sequence(name)).collect();
    found.sort_unstable();
    Ok(found)
}

/// The segment that grows.
pub(super) struct Active {
    pub(super) first_sequence: u64,
    pub(super) path: PathBuf,
    pub(super) file: Box<dyn AppendFile>,
    /// The length up to the last whole record.
    pub(super) bytes: u64,
}

/// Why there is no new segment.
pub(super) struct NotCreated {
    pub(super) error: StoreError,
    /// A sync failed, after which no later one of that file or directory can be trusted.
    pub(super) unsynced: bool,
}

impl Active {
    /// Begins a segment, durably. When that fails nothing of it stays.
    pub(super) fn create(disk: &dyn Disk, dir: &Path, first_sequence: u64) -> Result<Active, NotCreated> {
        let path = path(dir, first_sequence);
        let failed = |error| NotCreated { error: StoreError::io(&path, "create", error), unsynced: false };
        let unsynced = |error| NotCreated { error: StoreError::sync(&path, error), unsynced: true };
        // A leftover of an earlier try may have failed its sync: begin with a file of its own.
        if disk.exists(&path).map_err(failed)? {
            disk.remove(&path).map_err(failed)?;
        }
        let mut file = disk.open_append(&path).map_err(failed)?;
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&first_sequence.to_le_bytes());
        let made = file.append(&header).map_err(failed).and_then(|()| file.sync().map_err(unsynced));
        if let Err(error) = made.and_then(|()| disk.sync_dir(dir).map_err(unsynced)) {
            // The first error is the one to tell; an empty segment is no harm at the next open.
            let _ = disk.remove(&path);
            return Err(error);
        }
        Ok(Active { first_sequence, path, file, bytes: HEADER_BYTES as u64 })
    }

    /// Goes on with a segment that recovery has read. What is in it is durable afterwards, even
    /// where the process that wrote it died before its sync.
    pub(super) fn resume(disk: &dyn Disk, found: SegmentInfo) -> Result<Active, StoreError> {
        let mut file = disk.open_append(&found.path).map_err(|error| StoreError::io(&found.path, "open", error))?;
        file.sync().map_err(|error| StoreError::sync(&found.path, error))?;
        Ok(Active { first_sequence: found.first_sequence, path: found.path, file, bytes: found.bytes })
    }

    pub(super) fn info(&self) -> SegmentInfo {
        SegmentInfo { first_sequence: self.first_sequence, bytes: self.bytes, path: self.path.clone() }
    }
}

/// Reads one segment's records from front to back and checks each.
pub(super) struct SegmentScan {
    path: PathBuf,
    window: Window,
    offset: u64,
    expected: u64,
}

impl SegmentScan {
    pub(super) fn open(disk: &dyn Disk, path: &Path, first_sequence: u64) -> Result<SegmentScan, StoreError> {
        let fail = |error| StoreError::io(path, "read", error);
        let mut window = Window::open(disk, path).map_err(fail)?;
        if window.end() < HEADER_BYTES as u64 {
            return Err(StoreError::damaged(path, 0, "the segment header is cut short"));
        }
        let header = window.bytes(0, HEADER_BYTES).map_err(fail)?;
        check_header(path, header, first_sequence)?;
        Ok(SegmentScan { path: path.to_path_buf(), window, offset: HEADER_BYTES as u64, expected: first_sequence })
    }

    /// Where the next record starts, that is: how far all is well.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The sequence that the next record has to start with.
    pub(super) fn expected(&self) -> u64 {
        self.expected
    }

    pub(super) fn next_record(&mut self) -> Result<Option<Record>, StoreError> {
        let remaining = self.window.end() - self.offset;
        if remaining == 0 {
            return Ok(None);
        }
        if remaining < record::HEADER_BYTES as u64 {
            return Err(self.damaged("the record's header is cut short"));
        }
        let head = self
            .window
            .bytes(self.offset, record::HEADER_BYTES)
            .map_err(|error| StoreError::io(&self.path, "read", error))?;
        let header = match record::parse(head) {
            Ok(header) => header,
            Err(why) => return Err(self.damaged(why)),
        };
        let length = header.record_bytes();
        if length as u64 > remaining {
            return Err(self.damaged("the record is cut short"));
        }
        let bytes =
            self.window.bytes(self.offset, length).map_err(|error| StoreError::io(&self.path, "read", error))?;
        let payload = header.matches(bytes).then(|| bytes[record::HEADER_BYTES..].to_vec());
        let Some(payload) = payload else {
            return Err(self.damaged("the record's checksum does not match"));
        };
        if header.first_sequence != self.expected {
            let why = format!("the record starts at sequence {} where {} is due", header.first_sequence, self.expected);
            return Err(self.damaged(why));
        }
        let next = self.expected.checked_add(u64::from(header.span)).filter(|next| *next <= MAX_SEQUENCE);
        let Some(next) = next else {
            return Err(self.damaged("the record claims sequences that no log reaches"));
        };
        self.offset += length as u64;
        self.expected = next;
        Ok(Some(Record { first_sequence: header.first_sequence, span: header.span, kind: header.kind, payload }))
    }

    fn damaged(&self, why: impl Into<String>) -> StoreError {
        StoreError::damaged(&self.path, self.offset, why)
    }
}

fn check_header(path: &Path, header: &[u8], first_sequence: u64) -> Result<(), StoreError> {
    if !header.starts_with(&MAGIC[..7]) {
        return Err(StoreError::damaged(path, 0, "this is no log segment"));
    }
    version::check(path, "log segment", header[7], MAGIC[7])?;
    let found = u64_at(header, 8);
    if found != first_sequence {
        let why = format!("the header says sequence {found}, the name says {first_sequence}");
        return Err(StoreError::damaged(path, 8, why));
    }
    Ok(())
}
