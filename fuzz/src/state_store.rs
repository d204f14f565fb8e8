//! The state store over hostile files: opening uses a whole checkpoint or says why not, what it loads can be read by
//! its place, and it can be committed to afterwards.

use crate::disk;
use crate::input::Input;
use std::path::Path;
use thalweg_store::{Location, SegmentSettings, StateStore};

const DIRECTORY: &str = "/state";
const SETTINGS: SegmentSettings = SegmentSettings { segment_bytes: 1 << 16 };

/// A record: space, key, value, whether it puts.
type Entry = (u32, Vec<u8>, Vec<u8>, bool);

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let directory = Path::new(DIRECTORY);
    let disk = disk::with(directory, &files(&mut input));
    let Ok((store, loaded)) = StateStore::open(disk.clone(), directory, SETTINGS) else { return };
    let found = entries(&store);
    assert!(loaded.checkpoint.is_some() || found.is_empty(), "records came out of no checkpoint");
    for (entry, place) in &found {
        if entry.3 {
            let value = store.get(*place).expect("a record that was checked");
            assert_eq!(value, entry.2, "it is another one at its place");
        }
    }
    let place = store.put(7, b"key", b"value").expect("there is room");
    assert_eq!(store.get(place).expect("it was just put"), b"value");
    store.commit(b"header").expect("no fault was asked for");
    drop(store);

    let (store, again) = StateStore::open(disk, directory, SETTINGS).expect("it was committed");
    assert!(again.warnings.is_empty(), "{:?}", again.warnings);
    assert_eq!(again.checkpoint.expect("it was committed").header, b"header");
    let mut expected: Vec<Entry> = found.into_iter().map(|(entry, _)| entry).collect();
    expected.push((7, b"key".to_vec(), b"value".to_vec(), true));
    let read: Vec<Entry> = entries(&store).into_iter().map(|(entry, _)| entry).collect();
    assert_eq!(read, expected, "the next checkpoint holds something else");
}

fn entries(store: &StateStore) -> Vec<(Entry, Location)> {
    let mut found = Vec::new();
    let loaded = store.load(&mut |space, key, value, place, put| {
        found.push(((space, key.to_vec(), value.to_vec(), put), place));
        Ok(())
    });
    loaded.expect("every record was checked when it was opened");
    found
}

/// Checkpoints and segments, each of them the input's own bytes, or put together right and then perhaps damaged.
fn files(input: &mut Input<'_>) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    while !input.is_empty() && files.len() < 8 {
        let what = input.byte();
        let id = u64::from(input.byte() % 4) + 1;
        let (name, mut bytes) = match what % 4 {
            0 => (format!("{id:010}.seg"), segment(id, input)),
            1 => (format!("checkpoint-{id:010}"), checkpoint(id, &files, input)),
            2 => (format!("{id:010}.seg"), input.piece().to_vec()),
            _ => (format!("checkpoint-{id:010}"), input.piece().to_vec()),
        };
        if what & 0x80 != 0 && !bytes.is_empty() {
            let at = usize::from(u16::from_le_bytes([input.byte(), input.byte()])) % bytes.len();
            bytes[at] ^= 1 + input.byte() % 255;
        }
        if what & 0x40 != 0 {
            bytes.truncate(bytes.len() / 2);
        }
        files.retain(|(other, _)| *other != name);
        files.push((name, bytes));
    }
    files
}

fn segment(id: u64, input: &mut Input<'_>) -> Vec<u8> {
    let mut bytes = [b"THWLSEG1".as_slice(), &id.to_le_bytes()].concat();
    for _ in 0..input.byte() % 8 {
        let (space, operation) = (u32::from(input.byte()), 1 + input.byte() % 2);
        let (key, value) = (input.piece(), input.piece());
        // A key length that is a lie, now and then.
        let claimed = (key.len() as u32).wrapping_add(if operation == 2 && space == 255 { 1 << 30 } else { 0 });
        let mut guarded = space.to_le_bytes().to_vec();
        guarded.extend([operation, 0, 0, 0]);
        guarded.extend(claimed.to_le_bytes());
        guarded.extend(key);
        guarded.extend(value);
        bytes.extend((guarded.len() as u32 + 8).to_le_bytes());
        bytes.extend(crc32c::crc32c(&guarded).to_le_bytes());
        bytes.extend(guarded);
    }
    bytes
}

/// One that refers to the segments so far, up to the lengths that they have or others.
fn checkpoint(id: u64, files: &[(String, Vec<u8>)], input: &mut Input<'_>) -> Vec<u8> {
    let mut parts = Vec::new();
    for (name, bytes) in files {
        let segment = name.strip_suffix(".seg").and_then(|digits| digits.parse::<u64>().ok());
        if let Some(segment) = segment {
            let length = match input.byte() {
                0 => input.u64(),
                _ => bytes.len() as u64,
            };
            parts.push((segment, length));
        }
    }
    let mut guarded = id.to_le_bytes().to_vec();
    guarded.extend((parts.len() as u32).to_le_bytes());
    for (segment, length) in parts {
        guarded.extend(segment.to_le_bytes());
        guarded.extend(length.to_le_bytes());
    }
    let header = input.piece();
    guarded.extend((header.len() as u32).to_le_bytes());
    guarded.extend(header);
    let mut bytes = b"THWLCKP1".to_vec();
    bytes.extend(crc32c::crc32c(&guarded).to_le_bytes());
    bytes.extend(guarded);
    bytes
}
