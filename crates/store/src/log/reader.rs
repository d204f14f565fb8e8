//! Reads the log from a sequence on, apart from the writer, a segment at a time.

use super::record::Record;
use super::segment::{self, SegmentScan};
use crate::disk::Disk;
use crate::error::StoreError;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An iterator over the records of a log, in order, each checked. It ends after its first error.
pub struct LogReader {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    from: u64,
    until: u64,
    /// First sequences of the segments still to read; listed when the first record is asked for.
    waiting: Option<VecDeque<u64>>,
    current: Option<SegmentScan>,
    /// Where the next segment has to start, once one is read.
    expected: Option<u64>,
    finished: bool,
}

impl LogReader {
    /// Reads the records that cover `from` or come after it, and start before `until`. With a
    /// `from` older than the oldest segment it starts with the oldest record there is.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, from: u64, until: u64) -> LogReader {
        LogReader {
            disk,
            dir: dir.to_path_buf(),
            from,
            until,
            waiting: None,
            current: None,
            expected: None,
            finished: false,
        }
    }

    fn advance(&mut self) -> Result<Option<Record>, StoreError> {
        loop {
            if self.current.is_none() {
                self.current = self.open_next()?;
            }
            let Some(scan) = self.current.as_mut() else {
                return Ok(None);
            };
            if scan.expected() >= self.until {
                return Ok(None);
            }
            // What the next segment goes on from is all that this one has; bytes behind it are none of a record.
            if self.waiting.as_ref().and_then(VecDeque::front) == Some(&scan.expected()) {
                self.expected = Some(scan.expected());
                self.current = None;
                continue;
            }
            match scan.next_record()? {
                Some(record) if record.first_sequence + u64::from(record.span) > self.from => {
                    return Ok(Some(record));
                }
                Some(_) => {}
                None => {
                    self.expected = Some(scan.expected());
                    self.current = None;
                }
            }
        }
    }

    fn open_next(&mut self) -> Result<Option<SegmentScan>, StoreError> {
        let waiting = match &mut self.waiting {
            Some(waiting) => waiting,
            None => {
                let mut found = VecDeque::from(segment::list(&*self.disk, &self.dir)?);
                while found.len() > 1 && found[1] <= self.from {
                    found.pop_front();
                }
                self.waiting.insert(found)
            }
        };
        let Some(first_sequence) = waiting.pop_front().filter(|first| *first < self.until) else {
            return self.nothing_is_missing().map(|()| None);
        };
        let path = segment::path(&self.dir, first_sequence);
        if let Some(expected) = self.expected
            && expected != first_sequence
        {
            let why = format!("the records from sequence {expected} on are missing before it");
            return Err(StoreError::damaged(&path, 0, why));
        }
        SegmentScan::open(&*self.disk, &path, first_sequence).map(Some)
    }
}

impl LogReader {
    /// The last segment has been read, so that all of what was asked for has been.
    fn nothing_is_missing(&self) -> Result<(), StoreError> {
        match self.expected {
            Some(expected) if expected < self.until => {
                let path = segment::path(&self.dir, expected);
                Err(StoreError::damaged(&path, 0, format!("the records from sequence {expected} on are missing")))
            }
            _ => Ok(()),
        }
    }
}

impl Iterator for LogReader {
    type Item = Result<Record, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let item = self.advance().transpose();
        self.finished = !matches!(item, Some(Ok(_)));
        item
    }
}
