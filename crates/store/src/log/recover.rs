//! Finds out what a log holds when it is opened, and cuts what a crash has torn.

use super::segment::{self, SegmentInfo, SegmentScan};
use super::tail;
use crate::disk::{Disk, Window};
use crate::error::StoreError;
use crate::limits::MAX_SEQUENCE;
use std::path::Path;

#[derive(Default)]
pub(super) struct Recovered {
    /// Ascending; the last one is to be gone on with.
    pub(super) segments: Vec<SegmentInfo>,
    pub(super) next_sequence: u64,
    pub(super) cut_bytes: u64,
    pub(super) cut_file: Option<String>,
}

/// Only the last segment is scanned: the ones before it were synced whole before it was begun.
pub(super) fn recover(disk: &dyn Disk, dir: &Path, floor_sequence: u64) -> Result<Recovered, StoreError> {
    let mut recovered = Recovered { segments: find(disk, dir)?, next_sequence: floor_sequence, ..Recovered::default() };
    let unborn = drop_unborn(disk, &mut recovered)?;
    let Some(last) = recovered.segments.last().cloned() else {
        return Ok(recovered);
    };
    let (bytes, next_sequence) = scan_last(disk, &last, !unborn)?;
    check_reach(&last, next_sequence)?;
    if bytes < last.bytes {
        disk.truncate(&last.path, bytes).map_err(|error| StoreError::io(&last.path, "cut the torn end of", error))?;
        recovered.cut(&last, last.bytes - bytes);
    }
    if let Some(kept) = recovered.segments.last_mut() {
        kept.bytes = bytes;
    }
    recovered.next_sequence = next_sequence;
    if next_sequence < floor_sequence {
        start_over(disk, &mut recovered, floor_sequence)?;
    }
    Ok(recovered)
}

impl Recovered {
    fn cut(&mut self, segment: &SegmentInfo, bytes: u64) {
        self.cut_bytes += bytes;
        let name = segment.path.file_name();
        self.cut_file = name.map(|name| name.to_string_lossy().into_owned());
    }
}

fn find(disk: &dyn Disk, dir: &Path) -> Result<Vec<SegmentInfo>, StoreError> {
    let mut segments = Vec::new();
    for first_sequence in segment::list(disk, dir)? {
        let path = segment::path(dir, first_sequence);
        let bytes =
            disk.open_read(&path).and_then(|file| file.len()).map_err(|error| StoreError::io(&path, "read", error))?;
        segments.push(SegmentInfo { first_sequence, bytes, path });
    }
    if let Some(last) = segments.last() {
        check_reach(last, last.first_sequence)?;
    }
    Ok(segments)
}

/// Refuses a segment that goes so far that a record would not have sequences of its own any more.
fn check_reach(segment: &SegmentInfo, next_sequence: u64) -> Result<(), StoreError> {
    if next_sequence > MAX_SEQUENCE - u64::from(u32::MAX) {
        let why = format!("it claims to go up to sequence {next_sequence}, which no log has reached");
        return Err(StoreError::damaged(&segment.path, 0, why));
    }
    Ok(())
}

/// Removes a last segment whose header never became durable; no record can have followed it.
fn drop_unborn(disk: &dyn Disk, recovered: &mut Recovered) -> Result<bool, StoreError> {
    let Some(last) = recovered.segments.last().cloned() else {
        return Ok(false);
    };
    if last.bytes > segment::HEADER_BYTES as u64 {
        return Ok(false);
    }
    match SegmentScan::open(disk, &last.path, last.first_sequence) {
        Ok(_) => return Ok(false),
        Err(StoreError::Damaged { .. }) => {}
        Err(error) => return Err(error),
    }
    remove(disk, &last)?;
    recovered.segments.pop();
    recovered.cut(&last, last.bytes);
    // All before its first sequence was durable when it was begun.
    recovered.next_sequence = recovered.next_sequence.max(last.first_sequence);
    Ok(true)
}

/// How far the last segment is good, and which sequence follows.
fn scan_last(disk: &dyn Disk, last: &SegmentInfo, may_cut: bool) -> Result<(u64, u64), StoreError> {
    let mut scan = SegmentScan::open(disk, &last.path, last.first_sequence)?;
    loop {
        match scan.next_record() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error @ StoreError::Damaged { .. }) => {
                if may_cut && tail_is_torn(disk, last, &scan)? {
                    break;
                }
                return Err(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok((scan.offset(), scan.expected()))
}

fn tail_is_torn(disk: &dyn Disk, last: &SegmentInfo, scan: &SegmentScan) -> Result<bool, StoreError> {
    let fail = |error| StoreError::io(&last.path, "read", error);
    let mut window = Window::open(disk, &last.path).map_err(fail)?;
    let rest = (window.end() - scan.offset()) as usize;
    let rest = window.bytes(scan.offset(), rest).map_err(fail)?;
    Ok(tail::is_torn(rest, scan.offset(), scan.expected()))
}

/// The state knows of later sequences than the log. With no record left in the log it starts where
/// the state ends; with records, something durable is gone, and to go on would give a sequence twice.
fn start_over(disk: &dyn Disk, recovered: &mut Recovered, floor_sequence: u64) -> Result<(), StoreError> {
    let holds_records = |segment: &SegmentInfo| segment.bytes > segment::HEADER_BYTES as u64;
    if recovered.segments.len() == 1 && !holds_records(&recovered.segments[0]) {
        remove(disk, &recovered.segments[0])?;
        recovered.segments.clear();
        recovered.next_sequence = floor_sequence;
        return Ok(());
    }
    let Some(last) = recovered.segments.last() else {
        return Ok(());
    };
    let why =
        format!("the log ends before sequence {}, but the state goes up to {floor_sequence}", recovered.next_sequence);
    Err(StoreError::damaged(&last.path, last.bytes, why))
}

fn remove(disk: &dyn Disk, segment: &SegmentInfo) -> Result<(), StoreError> {
    disk.remove(&segment.path).map_err(|error| StoreError::io(&segment.path, "remove", error))
}
