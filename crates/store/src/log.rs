//! The log: the one durable order of everything that was accepted. Records are appended to segment
//! files, made durable together by one sync, and read back from any sequence on.
//!
//! ```text
//! append ─▶ active segment ─sync─▶ durable ─▶ LogReader
//!              │ full                              ▲
//!              └─▶ sealed segments ────────────────┘ ─truncate_before─▶ gone
//! ```

mod checksums;
mod reader;
mod record;
mod recover;
mod segment;
mod tail;

pub use reader::LogReader;
pub use record::Record;
pub use segment::SegmentInfo;

use crate::disk::Disk;
use crate::error::StoreError;
use crate::limits::{DEFAULT_SEGMENT_BYTES, MAX_LOG_PAYLOAD_BYTES};
use segment::Active;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// A segment is sealed before it would grow past this; a single record may be larger.
    pub segment_bytes: u64,
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { segment_bytes: DEFAULT_SEGMENT_BYTES }
    }
}

/// What opening a log has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// How many bytes of a torn end were cut.
    pub cut_bytes: u64,
    /// The name of the file that was cut.
    pub cut_file: Option<String>,
    pub next_sequence: u64,
    /// The oldest sequence still held; equals `next_sequence` when there is none.
    pub first_sequence: u64,
}

/// The writer of a log. There is one per directory.
pub struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    settings: LogSettings,
    /// Ascending; all durable.
    sealed: Vec<SegmentInfo>,
    active: Active,
    next_sequence: u64,
    durable_sequence: u64,
    /// Whether the next record is the first since a sync, and is to say so.
    after_sync: bool,
    /// Half a record was cut off again, and may come back until the next sync.
    cut_unsynced: bool,
    poisoned: bool,
}

impl Log {
    /// Opens or creates the log in `dir` and cuts a torn end. Sequences start at 1, or at
    /// `floor_sequence` when the log holds none: the state may outlive the log it was made from.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        settings: LogSettings,
        floor_sequence: u64,
    ) -> Result<(Log, Recovery), StoreError> {
        disk.create_dir_all(dir).map_err(|error| StoreError::io(dir, "create", error))?;
        let mut found = recover::recover(&*disk, dir, floor_sequence.max(1))?;
        let next_sequence = found.next_sequence;
        let active = match found.segments.pop() {
            Some(last) => Active::resume(&*disk, last)?,
            None => Active::create(&*disk, dir, next_sequence).map_err(|not| not.error)?,
        };
        disk.sync_dir(dir).map_err(|error| StoreError::sync(dir, error))?;
        let log = Log {
            disk,
            dir: dir.to_path_buf(),
            settings,
            sealed: found.segments,
            active,
            next_sequence,
            durable_sequence: next_sequence,
            after_sync: true,
            cut_unsynced: false,
            poisoned: false,
        };
        let recovery = Recovery {
            cut_bytes: found.cut_bytes,
            cut_file: found.cut_file,
            next_sequence,
            first_sequence: log.oldest_sequence(),
        };
        Ok((log, recovery))
    }

    /// Writes one record that uses `span` sequence numbers, and returns the first. It is durable
    /// after the next [`Log::sync`]. After an error nothing of it stays; after a full disk the log
    /// can be used on.
    pub fn append(&mut self, span: u32, kind: u8, payload: &[u8]) -> Result<u64, StoreError> {
        assert!(span >= 1, "a record uses at least one sequence number");
        self.check()?;
        if payload.len() > MAX_LOG_PAYLOAD_BYTES {
            return Err(StoreError::TooLarge {
                what: "a log record",
                bytes: payload.len() as u64,
                limit: MAX_LOG_PAYLOAD_BYTES as u64,
            });
        }
        let length = (record::HEADER_BYTES + payload.len()) as u64;
        let holds_records = self.active.bytes > segment::HEADER_BYTES as u64;
        if holds_records && self.active.bytes + length > self.settings.segment_bytes {
            self.roll()?;
        }
        let first_sequence = self.next_sequence;
        let bytes = record::encode(first_sequence, span, kind, self.after_sync, payload);
        if let Err(error) = self.active.file.append(&bytes) {
            // Half a record in the middle of the file would hide all that follows it.
            let taken_back = self.active.file.truncate(self.active.bytes);
            self.poisoned = taken_back.is_err();
            self.cut_unsynced = true;
            return Err(StoreError::io(&self.active.path, "write", error));
        }
        self.active.bytes += length;
        self.next_sequence += u64::from(span);
        self.after_sync = false;
        Ok(first_sequence)
    }

    /// Returns once all that was appended is durable. When it fails, the log refuses every later
    /// append and sync: what the disk holds is only known after a restart.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.check()?;
        if self.durable_sequence == self.next_sequence && !self.cut_unsynced {
            return Ok(());
        }
        if let Err(error) = self.active.file.sync() {
            self.poisoned = true;
            return Err(StoreError::sync(&self.active.path, error));
        }
        self.durable_sequence = self.next_sequence;
        self.after_sync = true;
        self.cut_unsynced = false;
        Ok(())
    }

    /// The sequence that the next record gets.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The first sequence that is not durable yet.
    pub fn durable_sequence(&self) -> u64 {
        self.durable_sequence
    }

    /// The oldest sequence still held.
    pub fn oldest_sequence(&self) -> u64 {
        let oldest = self.sealed.first();
        oldest.map_or(self.active.first_sequence, |info| info.first_sequence)
    }

    /// How much the log takes on the disk.
    pub fn bytes(&self) -> u64 {
        let sealed: u64 = self.sealed.iter().map(|info| info.bytes).sum();
        sealed + self.active.bytes
    }

    /// All segments, oldest first; the last one is still growing.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let mut all = self.sealed.clone();
        all.push(self.active.info());
        all
    }

    /// Reads what is durable now, from the record that covers `from_sequence` on.
    pub fn reader(&self, from_sequence: u64) -> LogReader {
        let disk = Arc::clone(&self.disk);
        LogReader::open(disk, &self.dir, from_sequence, self.durable_sequence)
    }

    /// Removes the segments that hold nothing but sequences before `sequence`, never the active
    /// one, and returns the bytes that became free.
    pub fn truncate_before(&mut self, sequence: u64) -> Result<u64, StoreError> {
        let mut freed = 0;
        // Oldest first, so that what is left has no gap wherever this stops.
        while let Some(oldest) = self.sealed.first() {
            let next_first = match self.sealed.get(1) {
                Some(next) => next.first_sequence,
                None => self.active.first_sequence,
            };
            if next_first > sequence {
                break;
            }
            self.disk.remove(&oldest.path).map_err(|error| StoreError::io(&oldest.path, "remove", error))?;
            freed += oldest.bytes;
            self.sealed.remove(0);
        }
        if freed > 0
            && let Err(error) = self.disk.sync_dir(&self.dir)
        {
            self.poisoned = true;
            return Err(StoreError::sync(&self.dir, error));
        }
        Ok(freed)
    }

    /// Seals the active segment, durably, and begins the next. A new segment that has no room is thrown away whole, so
    /// that a failure leaves the log as it was; where one could not be synced, nothing more is.
    fn roll(&mut self) -> Result<(), StoreError> {
        self.sync()?;
        let fresh = Active::create(&*self.disk, &self.dir, self.next_sequence).map_err(|not| {
            self.poisoned |= not.unsynced;
            not.error
        })?;
        let full = std::mem::replace(&mut self.active, fresh);
        self.sealed.push(full.info());
        Ok(())
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        Ok(())
    }
}
