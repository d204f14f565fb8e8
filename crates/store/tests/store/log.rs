//! The log by example: what is written is read back, what is torn is cut, what is damaged is named.

use crate::refused;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thalweg_store::{Disk, FaultyDisk, Log, LogReader, LogSettings, RealDisk, Record, Recovery, StoreError};

const DIR: &str = "/data/log";

fn open(disk: &Arc<FaultyDisk>, segment_bytes: u64) -> Result<(Log, Recovery), StoreError> {
    let settings = LogSettings { segment_bytes };
    Log::open(disk.clone(), Path::new(DIR), settings, 1)
}

fn all(log: &Log) -> Vec<Record> {
    let read: Result<Vec<Record>, StoreError> = log.reader(1).collect();
    read.expect("the log reads")
}

fn only_segment(disk: &FaultyDisk) -> PathBuf {
    let names = disk.list(Path::new(DIR)).unwrap();
    assert_eq!(names, ["00000000000000000001.log"]);
    Path::new(DIR).join(&names[0])
}

#[test]
fn what_is_written_is_read_back_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let settings = LogSettings { segment_bytes: 200 };
    let mut written = Vec::new();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let path = dir.path().join("deep/log");
    {
        let (mut log, recovery) = Log::open(Arc::clone(&disk), &path, settings, 7).unwrap();
        assert_eq!((recovery.first_sequence, recovery.next_sequence), (7, 7));
        for index in 0..20_u32 {
            let (span, kind, payload) = (index % 3 + 1, index as u8, vec![index as u8; 50]);
            let first_sequence = log.append(span, kind, &payload).unwrap();
            written.push(Record { first_sequence, span, kind, payload });
        }
        log.sync().unwrap();
        assert_eq!(log.durable_sequence(), log.next_sequence());
        assert_eq!(all(&log), written);
    }
    let (mut log, recovery) = Log::open(Arc::clone(&disk), &path, settings, 1).unwrap();
    assert_eq!(recovery.cut_bytes, 0);
    assert_eq!(recovery.cut_file, None);
    assert_eq!(recovery.next_sequence, 7 + 39);
    assert_eq!(all(&log), written);
    assert_eq!(written[0].first_sequence, 7);

    // A reader starts with the record that covers the sequence, in whichever segment it is.
    for from in 1..recovery.next_sequence {
        let first = log.reader(from).next().unwrap().unwrap();
        let reached = first.first_sequence + u64::from(first.span);
        assert!(reached > from && (first.first_sequence <= from || from < 7));
    }
    let until = written[5].first_sequence;
    let part = LogReader::open(Arc::clone(&disk), &path, 1, until);
    assert_eq!(part.count(), 5);

    let segments = log.segments();
    assert!(segments.len() > 5);
    let on_disk: u64 = segments.iter().map(|segment| segment.bytes).sum();
    assert_eq!(on_disk, log.bytes());
    assert_eq!(log.append(1, 0, b"more").unwrap(), recovery.next_sequence);
}

#[test]
fn unsynced_records_are_not_read() {
    let disk = Arc::new(FaultyDisk::new());
    let (mut log, _) = open(&disk, 1 << 20).unwrap();
    log.append(2, 0, b"a").unwrap();
    log.sync().unwrap();
    log.append(1, 0, b"b").unwrap();
    assert_eq!(log.durable_sequence(), 3);
    assert_eq!(log.next_sequence(), 4);
    assert_eq!(all(&log).len(), 1);
}

#[test]
fn a_torn_tail_is_cut_wherever_it_was_torn() {
    let disk = Arc::new(FaultyDisk::new());
    let (mut log, _) = open(&disk, 1 << 20).unwrap();
    log.append(1, 0, b"first").unwrap();
    log.append(3, 1, b"second").unwrap();
    log.sync().unwrap();
    let path = only_segment(&disk);
    let good = disk.read(&path).unwrap();
    log.append(1, 2, b"the one to be torn").unwrap();
    log.sync().unwrap();
    let whole = disk.read(&path).unwrap();
    drop(log);

    for end in good.len()..whole.len() {
        disk.write_atomic(&path, &whole[..end]).unwrap();
        let (mut log, recovery) = open(&disk, 1 << 20).unwrap();
        let cut = (end - good.len()) as u64;
        assert_eq!(recovery.cut_bytes, cut, "torn at {end}");
        assert_eq!(recovery.cut_file.is_some(), cut > 0);
        assert_eq!(recovery.next_sequence, 5);
        assert_eq!(all(&log).len(), 2);
        assert_eq!(log.append(1, 0, b"after").unwrap(), 5);
        log.sync().unwrap();
        assert_eq!(all(&log)[2].payload, b"after");
    }
    // Where the size was written but the bytes were not.
    let mut zeros = good.clone();
    zeros.resize(good.len() + 5000, 0);
    disk.write_atomic(&path, &zeros).unwrap();
    let (log, recovery) = open(&disk, 1 << 20).unwrap();
    assert_eq!(recovery.cut_bytes, 5000);
    assert_eq!(all(&log).len(), 2);
}

#[test]
fn a_segment_without_its_header_was_never_begun() {
    let disk = Arc::new(FaultyDisk::new());
    let (mut log, _) = open(&disk, 1 << 20).unwrap();
    log.append(4, 0, b"kept").unwrap();
    log.sync().unwrap();
    drop(log);
    let next = Path::new(DIR).join("00000000000000000005.log");
    for length in 0..16 {
        disk.write_atomic(&next, &b"THWLLOG1\x05\0\0\0\0\0\0\0"[..length]).unwrap();
        let (log, recovery) = open(&disk, 1 << 20).unwrap();
        assert_eq!(recovery.next_sequence, 5);
        assert_eq!(all(&log).len(), 1);
        assert!(!disk.exists(&next).unwrap());
    }
}

#[test]
fn damage_in_the_middle_is_named() {
    // Whether the records were synced one by one or all at once.
    for sync_each in [true, false] {
        let disk = Arc::new(FaultyDisk::new());
        let (mut log, _) = open(&disk, 1 << 20).unwrap();
        let mut starts = Vec::new();
        for index in 0..9_u8 {
            starts.push(log.bytes());
            log.append(1, 0, &[index + 1; 100]).unwrap();
            if sync_each {
                log.sync().unwrap();
            }
        }
        log.sync().unwrap();
        drop(log);
        let path = only_segment(&disk);
        let whole = disk.read(&path).unwrap();
        for byte in starts[4]..starts[5] {
            disk.write_atomic(&path, &whole).unwrap();
            disk.damage(&path, byte);
            match refused(open(&disk, 1 << 20)) {
                StoreError::Damaged { file, offset, .. } => {
                    assert_eq!((file, offset), (path.clone(), starts[4]));
                }
                other => panic!("{other}"),
            }
        }
    }
}

/// A lost sector under records that were each synced is damage, however much it looks like a crash.
#[test]
fn a_lost_sector_that_was_synced_is_named() {
    let disk = Arc::new(FaultyDisk::new());
    let (mut log, _) = open(&disk, 1 << 20).unwrap();
    for _ in 0..5 {
        log.append(1, 0, &[7; 1000]).unwrap();
        log.sync().unwrap();
    }
    drop(log);
    let path = only_segment(&disk);
    let mut bytes = disk.read(&path).unwrap();
    bytes[1536..2048].fill(0);
    disk.write_atomic(&path, &bytes).unwrap();
    let error = refused(open(&disk, 1 << 20));
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn damage_in_an_older_segment_is_named_by_the_reader() {
    let disk = Arc::new(FaultyDisk::new());
    let (mut log, _) = open(&disk, 300).unwrap();
    for _ in 0..10 {
        log.append(1, 0, &[9; 100]).unwrap();
    }
    log.sync().unwrap();
    let older = log.segments()[1].clone();
    disk.damage(&older.path, 60);
    let mut reader = log.reader(1);
    let read = reader.by_ref().take_while(|record| record.is_ok()).count();
    assert_eq!(read as u64, older.first_sequence - 1);
    assert!(reader.next().is_none());
    let last = log.reader(1).last().unwrap();
    match refused(last) {
        StoreError::Damaged { file, offset, .. } => assert_eq!((file, offset), (older.path, 16)),
        other => panic!("{other}"),
    }
}

#[test]
fn a_missing_segment_is_named() {
    let disk = Arc::new(FaultyDisk::new());
    let (mut log, _) = open(&disk, 300).unwrap();
    for _ in 0..10 {
        log.append(1, 0, &[9; 100]).unwrap();
    }
    log.sync().unwrap();
    disk.remove(&log.segments()[1].path).unwrap();
    let error = refused(log.reader(1).last().unwrap());
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn a_full_disk_leaves_the_log_usable() {
    let disk = Arc::new(FaultyDisk::new());
    let (mut log, _) = open(&disk, 400).unwrap();
    log.append(1, 0, &[1; 200]).unwrap();
    log.sync().unwrap();
    // The first time the record does not fit, the second time the next segment's header.
    for room in [50, 5] {
        disk.set_capacity(Some(disk.used() + room));
        let before = log.next_sequence();
        let error = refused(log.append(1, 0, &[2; 100]));
        assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
        disk.set_capacity(None);
        assert_eq!(log.append(1, 0, &[3; 100]).unwrap(), before);
        log.sync().unwrap();
    }
    let payloads: Vec<u8> = all(&log).iter().map(|record| record.payload[0]).collect();
    assert_eq!(payloads, [1, 3, 3]);
    drop(log);
    let (log, recovery) = open(&disk, 400).unwrap();
    assert_eq!(recovery.cut_bytes, 0);
    assert_eq!(all(&log).len(), 3);
}

#[test]
fn a_failed_fsync_poisons_until_a_restart() {
    let disk = Arc::new(FaultyDisk::new());
    let (mut log, _) = open(&disk, 1 << 20).unwrap();
    log.append(1, 0, b"kept").unwrap();
    log.sync().unwrap();
    log.append(1, 0, b"lost").unwrap();
    disk.fail_next_sync();
    assert!(matches!(refused(log.sync()), StoreError::Io { .. }));
    assert_eq!(log.durable_sequence(), 2);
    assert!(matches!(refused(log.append(1, 0, b"x")), StoreError::Poisoned));
    let error = refused(log.sync());
    assert_eq!(error.to_string(), "a failed fsync cannot be trusted: restart to recover");
    drop(log);
    disk.crash(1);
    let (log, _) = open(&disk, 1 << 20).unwrap();
    assert_eq!(all(&log)[0].payload, b"kept");
}

#[test]
fn truncation_removes_whole_old_segments_only() {
    let disk = Arc::new(FaultyDisk::new());
    let (mut log, _) = open(&disk, 300).unwrap();
    for _ in 0..10 {
        log.append(5, 0, &[9; 100]).unwrap();
    }
    log.sync().unwrap();
    let (before, segments) = (log.bytes(), log.segments());
    assert_eq!(log.truncate_before(1).unwrap(), 0);
    let third = segments[2].first_sequence;
    let freed = log.truncate_before(third + 1).unwrap();
    assert_eq!(freed, segments[0].bytes + segments[1].bytes);
    assert_eq!(log.bytes(), before - freed);
    assert_eq!(log.oldest_sequence(), third);
    assert_eq!(all(&log)[0].first_sequence, third);

    log.truncate_before(u64::MAX).unwrap();
    assert_eq!(log.segments().len(), 1);
    let next = log.next_sequence();
    drop(log);
    let (log, recovery) = open(&disk, 300).unwrap();
    assert_eq!(recovery.next_sequence, next);
    assert_eq!(recovery.first_sequence, log.oldest_sequence());
}

/// A log that fell behind the state would give a sequence twice.
#[test]
fn a_log_that_ends_before_the_state_is_refused() {
    let disk = Arc::new(FaultyDisk::new());
    let dir = Path::new(DIR);
    let settings = LogSettings::default();
    let (log, _) = Log::open(disk.clone(), dir, settings, 1).unwrap();
    drop(log);
    let (mut log, recovery) = Log::open(disk.clone(), dir, settings, 40).unwrap();
    assert_eq!((recovery.first_sequence, recovery.next_sequence), (40, 40));
    log.append(1, 0, b"x").unwrap();
    log.sync().unwrap();
    drop(log);
    let error = refused(Log::open(disk.clone(), dir, settings, 50));
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let disk = Arc::new(FaultyDisk::new());
    drop(open(&disk, 300).unwrap());
    let path = only_segment(&disk);
    let mut bytes = disk.read(&path).unwrap();
    bytes[7] = b'2';
    bytes.extend_from_slice(&[0; 40]);
    disk.write_atomic(&path, &bytes).unwrap();
    let error = refused(open(&disk, 300));
    assert!(matches!(error, StoreError::NewerFormat { .. }), "{error}");
}
