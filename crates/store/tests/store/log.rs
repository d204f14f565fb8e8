//! The log by example: what is written is read back, what is torn is cut, what is damaged is named.

use crate::refused;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
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

/// The bytes of a whole record, written after a sync, as they are in a file.
fn record_bytes(first_sequence: u64, payload: &[u8]) -> Vec<u8> {
    let disk = Arc::new(FaultyDisk::new());
    let (mut log, _) = Log::open(disk.clone(), Path::new(DIR), LogSettings::default(), first_sequence).unwrap();
    log.append(1, 1, payload).unwrap();
    disk.read(&log.segments()[0].path).unwrap()[16..].to_vec()
}

/// A torn record with the bytes of a record in a row was taken for damage, so that the log did not open after a
/// crash, and everybody who may push could see to that.
#[test]
fn a_torn_record_is_cut_whatever_its_rows_look_like() {
    for unsynced in 1..3 {
        let disk = Arc::new(FaultyDisk::new());
        let (mut log, _) = open(&disk, 1 << 20).unwrap();
        log.append(1, 0, b"kept").unwrap();
        log.sync().unwrap();
        let path = only_segment(&disk);
        let (acknowledged, mut starts) = (disk.read(&path).unwrap(), Vec::new());
        for _ in 0..unsynced {
            starts.push(disk.read(&path).unwrap().len());
            let row = |sequence| [record_bytes(sequence, b""), record_bytes(sequence, b"zzz")].concat();
            log.append(1, 1, &[vec![b'y'; 700], row(3), row(1000), vec![b'w'; 700]].concat()).unwrap();
        }
        let whole = disk.read(&path).unwrap();
        drop(log);
        let opens = |bytes: &[u8], records: usize, what: &str| {
            disk.write_atomic(&path, bytes).unwrap();
            let (log, recovery) = open(&disk, 1 << 20).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(all(&log).len(), records, "{what}");
            assert_eq!(recovery.next_sequence, 1 + records as u64, "{what}");
        };
        for end in (acknowledged.len()..whole.len()).step_by(5) {
            opens(&whole[..end], 1 + starts.iter().skip(1).filter(|start| **start <= end).count(), "torn");
        }
        // As long as it was to be, and without a sector in the middle.
        let mut lost = whole.clone();
        lost[512..1024].fill(0);
        opens(&lost, 1, "with a lost sector");
    }
}

/// Only the payload of a torn record is passed over: a length that says more than it should hid acknowledged records
/// behind it, once what is inside the extent that it claims was not looked at.
#[test]
fn a_length_that_decayed_hides_no_record() {
    for records in 1..4_usize {
        let disk = Arc::new(FaultyDisk::new());
        let (mut log, _) = open(&disk, 1 << 20).unwrap();
        for _ in 0..records {
            log.append(2, 1, &[0; 600]).unwrap();
            log.sync().unwrap();
        }
        drop(log);
        let path = only_segment(&disk);
        let whole = disk.read(&path).unwrap();
        for record in 0..records {
            let start = 16 + record * 624;
            for length in [0_u32, 1, 599, 601, 624, 650, 1224, 1248, 1900, 1 << 20, 1 << 28] {
                let mut bytes = whole.clone();
                bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
                disk.write_atomic(&path, &bytes).unwrap();
                match refused(open(&disk, 1 << 20)) {
                    StoreError::Damaged { file, offset, .. } => {
                        assert_eq!((file, offset), (path.clone(), start as u64), "a length of {length}");
                    }
                    other => panic!("{other}"),
                }
            }
        }
    }
}

/// Each thing that looked like a header had as many bytes checked as it claimed, so that a torn end of some megabytes
/// of them, or of a column of numbers, took hours to open.
#[test]
fn a_torn_end_full_of_headers_opens_at_once() {
    let disk = Arc::new(FaultyDisk::new());
    let (mut log, _) = open(&disk, 1 << 30).unwrap();
    log.append(1, 0, b"kept").unwrap();
    log.sync().unwrap();
    let path = only_segment(&disk);
    let torn = disk.read(&path).unwrap().len();
    let headers = 150_000_usize;
    let mut payload = Vec::new();
    let mut header = record_bytes(1000, b"");
    for number in 0..headers {
        // Each claims all that follows and a little more, so that none is whole.
        header[..4].copy_from_slice(&(24 * (headers - number) as u32).to_le_bytes());
        payload.extend_from_slice(&header);
    }
    log.append(1, 1, &payload).unwrap();
    drop(log);
    let mut bytes = disk.read(&path).unwrap();
    // Without a header of its own the record claims nothing.
    bytes[torn..torn + 24].fill(0);
    disk.write_atomic(&path, &bytes).unwrap();
    let begun = Instant::now();
    let (log, recovery) = open(&disk, 1 << 30).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!((all(&log).len(), recovery.cut_bytes), (1, 24 + payload.len() as u64));
}

/// Sequences near 2^64 overflowed: a panic, or a log that begins again at zero.
#[test]
fn sequences_that_no_log_reaches_are_damage() {
    let near_the_end = |first: u64| {
        let disk = Arc::new(FaultyDisk::new());
        disk.create_dir_all(Path::new(DIR)).unwrap();
        let path = Path::new(DIR).join(format!("{first:020}.log"));
        (disk, path, [b"THWLLOG1".as_slice(), &first.to_le_bytes()].concat())
    };
    for first in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1] {
        let (disk, path, header) = near_the_end(first);
        for bytes in [header.as_slice(), b"", b"THWL"] {
            disk.write_atomic(&path, bytes).unwrap();
            let error = refused(open(&disk, 1 << 20));
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
            assert!(disk.exists(&path).unwrap(), "it stays for repair");
        }
    }
    // The name is possible, and the records go past the end.
    let first = (1 << 63) - (1 << 32) - 1;
    let (disk, path, header) = near_the_end(first);
    let mut log_bytes = header;
    for number in 0..2 {
        let mut record = record_bytes(first + number * u64::from(u32::MAX), b"");
        record[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        let checksum = crc32c::crc32c(&record[8..]);
        record[4..8].copy_from_slice(&checksum.to_le_bytes());
        log_bytes.extend(record);
        disk.write_atomic(&path, &log_bytes).unwrap();
        let error = refused(open(&disk, 1 << 20));
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
}
