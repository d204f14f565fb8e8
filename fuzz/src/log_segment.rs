//! The log over hostile files: opening recovers or refuses, what it recovers is one order without gaps, and it can be
//! written on. And over files of its own: whatever rows hold, a torn end is cut, and what was synced is there.

use crate::disk;
use crate::input::Input;
use std::path::Path;
use std::sync::Arc;
use thalweg_store::{Disk, FaultyDisk, Log, LogSettings, Record};

const DIRECTORY: &str = "/log";
const SETTINGS: LogSettings = LogSettings { segment_bytes: 1 << 16 };
const MAGIC: &[u8; 8] = b"THWLLOG1";

/// Files that are the input's own bytes, or are put together of records and of whatever is between them.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let floor = u64::from(input.byte());
    // Sequences are int64 in history: the upper half of them is never reached.
    let first = if input.byte() == 0 { 1 } else { input.u64() >> 1 };
    let files = match input.byte() % 2 {
        0 => vec![(name(first), input.rest().to_vec())],
        _ => segments(first, &mut input),
    };
    let directory = Path::new(DIRECTORY);
    let disk = disk::with(directory, &files);
    let Ok((log, recovery)) = Log::open(disk.clone(), directory, SETTINGS, floor) else {
        return;
    };
    assert!(recovery.first_sequence <= recovery.next_sequence, "{recovery:?}");
    assert!(recovery.next_sequence >= floor, "{recovery:?}");
    let whole: Result<Vec<Record>, _> = log.reader(0).collect();
    let Ok(records) = whole else {
        // Only the last segment is looked through when the log is opened.
        assert!(log.segments().len() > 1, "the only segment was found whole, and is not");
        return;
    };
    for pair in records.windows(2) {
        assert_eq!(pair[0].first_sequence + u64::from(pair[0].span), pair[1].first_sequence, "there is a gap");
    }
    drop(log);
    goes_on(&disk, floor, &records, recovery.next_sequence);
}

/// Opened once more it is as it was left, and takes further records.
fn goes_on(disk: &Arc<FaultyDisk>, floor: u64, records: &[Record], next_sequence: u64) {
    let directory = Path::new(DIRECTORY);
    let before = disk::files(disk, directory);
    let (mut log, again) = Log::open(disk.clone(), directory, SETTINGS, floor).expect("it was opened before");
    assert_eq!((again.cut_bytes, again.next_sequence), (0, next_sequence), "opening is not the same twice");
    assert_eq!(disk::files(disk, directory), before, "opening again changed the files");
    let added = Record { first_sequence: next_sequence, span: 1, kind: 9, payload: b"added".to_vec() };
    assert_eq!(log.append(1, added.kind, &added.payload).expect("there is room"), next_sequence);
    log.sync().expect("no fault was asked for");
    let read: Vec<Record> = log.reader(0).map(|record| record.expect("a whole record")).collect();
    assert_eq!((&read[..records.len()], &read[records.len()..]), (records, &[added][..]));
}

/// Records that are written by the log itself, the last of them torn. None of their payloads may make it more than a
/// torn end.
pub fn torn(data: &[u8]) {
    let mut input = Input::new(data);
    let directory = Path::new(DIRECTORY);
    let disk = Arc::new(FaultyDisk::new());
    let (mut log, _) = Log::open(disk.clone(), directory, SETTINGS, 1).expect("an empty directory");
    let (synced, unsynced) = (usize::from(input.byte() % 4), 1 + usize::from(input.byte() % 3));
    let lost = usize::from(u16::from_le_bytes([input.byte(), input.byte()]));
    for _ in 0..synced {
        log.append(1, 1, input.piece()).expect("there is room");
        log.sync().expect("no fault was asked for");
    }
    let kept = log.segments().pop().expect("there is always one");
    for left in (0..unsynced).rev() {
        let payload = if left == 0 { input.rest() } else { input.piece() };
        log.append(1, 1, payload).expect("there is room");
    }
    let last = log.segments().pop().expect("there is always one");
    drop(log);
    // A segment is synced whole before the next one is begun, which then is durable as far as its header.
    let durable = if last.path == kept.path { kept.bytes } else { 16 };
    let torn = last.bytes - (lost as u64 % (last.bytes - durable + 1));
    disk.truncate(&last.path, torn).expect("no fault was asked for");
    match Log::open(disk, directory, SETTINGS, 1) {
        Ok((log, recovery)) => {
            assert!(recovery.next_sequence > synced as u64, "what was synced is gone: {recovery:?}");
            assert!(log.reader(1).take(synced).all(|record| record.is_ok()), "what was synced cannot be read");
        }
        Err(error) => panic!("a torn end was taken for damage: {error}"),
    }
}

fn name(first: u64) -> String {
    format!("{first:020}.log")
}

/// Good records, damaged ones, loose bytes, zeros and further segments, as the input says.
fn segments(first: u64, input: &mut Input<'_>) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![(name(first), header(first))];
    let mut next = first;
    while !input.is_empty() {
        let what = input.byte();
        let (_, file) = files.last_mut().expect("there is one from the beginning");
        match what % 8 {
            0..=3 => {
                let span = u32::from(input.byte());
                let start = file.len();
                file.extend(record(next, span, what & 0x80 != 0, input.piece()));
                if what & 0x40 != 0 {
                    let at = start + usize::from(input.byte()) % (file.len() - start);
                    file[at] ^= 1 + input.byte() % 255;
                }
                next = next.wrapping_add(span.into());
            }
            4 => file.extend(input.piece()),
            5 => file.resize(file.len() + 64 * usize::from(input.byte()), 0),
            6 => next = next.wrapping_add(input.byte().into()),
            _ => files.push((name(next), header(next))),
        }
    }
    files
}

fn header(first: u64) -> Vec<u8> {
    [MAGIC.as_slice(), &first.to_le_bytes()].concat()
}

/// A record as `docs/formats.md` describes it.
fn record(first: u64, span: u32, after_sync: bool, payload: &[u8]) -> Vec<u8> {
    let mut guarded = first.to_le_bytes().to_vec();
    guarded.extend(span.to_le_bytes());
    guarded.extend([1, u8::from(after_sync), 0, 0]);
    guarded.extend(payload);
    let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
    bytes.extend(crc32c::crc32c(&guarded).to_le_bytes());
    bytes.extend(guarded);
    bytes
}
