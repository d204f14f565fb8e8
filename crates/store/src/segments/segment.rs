//! One segment file of the state store: its name and header, how it grows and how it is scanned.

use super::record::{self, Entry};
use super::{Location, Visitor};
use crate::disk::{AppendFile, Disk, Window};
use crate::error::StoreError;
use crate::limits::{MAX_STATE_RECORD_BYTES, STATE_BUFFER_BYTES};
use crate::little_endian::u64_at;
use crate::version;
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) const HEADER_BYTES: usize = 16;
const MAGIC: &[u8; 8] = b"THWLSEG1";

pub(super) fn path(dir: &Path, id: u64) -> PathBuf {
    dir.join(format!("{id:010}.seg"))
}

/// The id of the segment with this name; nothing for a file that is no segment.
pub(super) fn id(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    if digits.len() < 10 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// A segment's file, shared with a commit that syncs it while others go on writing.
#[derive(Clone)]
pub(super) struct SharedFile {
    pub(super) path: PathBuf,
    file: Arc<Mutex<Box<dyn AppendFile>>>,
}

impl SharedFile {
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        let synced = self.file.lock().sync();
        synced.map_err(|error| StoreError::sync(&self.path, error))
    }
}

/// The segment that grows. Its newest records wait in memory until they are worth a write.
pub(super) struct Active {
    pub(super) id: u64,
    pub(super) file: SharedFile,
    written: u64,
    buffer: Vec<u8>,
}

impl Active {
    pub(super) fn create(disk: &dyn Disk, dir: &Path, id: u64) -> Result<Active, StoreError> {
        let path = path(dir, id);
        let mut file = disk.open_append(&path).map_err(|error| StoreError::io(&path, "create", error))?;
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&id.to_le_bytes());
        // A failed try may have left a part of the header.
        let made = file.truncate(0).and_then(|()| file.append(&header));
        if let Err(error) = made {
            let _ = disk.remove(&path);
            return Err(StoreError::io(&path, "create", error));
        }
        let file = Arc::new(Mutex::new(file));
        Ok(Active { id, file: SharedFile { path, file }, written: HEADER_BYTES as u64, buffer: Vec::new() })
    }

    /// Where the next record goes.
    pub(super) fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub(super) fn holds_records(&self) -> bool {
        self.end() > HEADER_BYTES as u64
    }

    /// Adds one record, writing out earlier ones first when too many wait.
    pub(super) fn append(&mut self, entry: Entry<'_>) -> Result<Location, StoreError> {
        let length = entry.record_bytes();
        if self.buffer.len() + length > STATE_BUFFER_BYTES {
            self.flush()?;
        }
        let location = Location { segment: self.id, offset: self.end(), length: length as u32 };
        entry.encode_into(&mut self.buffer);
        Ok(location)
    }

    /// Writes out what waits. After an error it waits on, and nothing half-written stays; where
    /// even that fails the file is past use, and the error is [`StoreError::Poisoned`].
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut file = self.file.file.lock();
        if let Err(error) = file.append(&self.buffer) {
            if file.truncate(self.written).is_err() {
                return Err(StoreError::Poisoned);
            }
            return Err(StoreError::io(&self.file.path, "write", error));
        }
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(STATE_BUFFER_BYTES);
        Ok(())
    }

    /// The record at `location`, if it still waits in memory.
    pub(super) fn buffered(&self, location: Location) -> Option<Vec<u8>> {
        if location.segment != self.id {
            return None;
        }
        let from = location.offset.checked_sub(self.written)? as usize;
        let bytes = self.buffer.get(from..from + location.length as usize)?;
        Some(bytes.to_vec())
    }
}

/// Visits every record of a segment's first `length` bytes, in order, checking each.
pub(super) fn scan(
    disk: &dyn Disk,
    dir: &Path,
    id: u64,
    length: u64,
    visit: &mut Visitor<'_>,
) -> Result<(), StoreError> {
    let path = path(dir, id);
    let mut window = open(disk, &path, id, length)?;
    let mut offset = HEADER_BYTES as u64;
    while offset < length {
        let fail = |error| StoreError::io(&path, "read", error);
        let damaged = |why: &str| StoreError::damaged(&path, offset, why);
        let remaining = length - offset;
        if remaining < record::HEADER_BYTES as u64 {
            return Err(damaged("the record's header is cut short"));
        }
        let header = window.bytes(offset, record::HEADER_BYTES).map_err(fail)?;
        let claimed = record::claimed_bytes(header);
        if claimed > MAX_STATE_RECORD_BYTES || claimed as u64 > remaining {
            return Err(damaged("the record claims more bytes than there are"));
        }
        let bytes = window.bytes(offset, claimed).map_err(fail)?;
        let entry = record::decode(bytes).map_err(damaged)?;
        let location = Location { segment: id, offset, length: claimed as u32 };
        visit(entry.space, entry.key, entry.value, location, entry.put)?;
        offset += claimed as u64;
    }
    Ok(())
}

fn open(disk: &dyn Disk, path: &Path, id: u64, length: u64) -> Result<Window, StoreError> {
    let mut window = match Window::open(disk, path) {
        Ok(window) => window,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StoreError::damaged(path, 0, "the file is missing"));
        }
        Err(error) => return Err(StoreError::io(path, "read", error)),
    };
    if window.end() < length || length < HEADER_BYTES as u64 {
        let why = format!("{length} bytes were recorded");
        return Err(StoreError::damaged(path, window.end(), why));
    }
    let header = window.bytes(0, HEADER_BYTES).map_err(|error| StoreError::io(path, "read", error))?;
    if !header.starts_with(&MAGIC[..7]) {
        return Err(StoreError::damaged(path, 0, "this is no state segment"));
    }
    version::check(path, "state segment", header[7], MAGIC[7])?;
    if u64_at(header, 8) != id {
        let why = "the header's id is not the one in the name";
        return Err(StoreError::damaged(path, 8, why));
    }
    Ok(window)
}
