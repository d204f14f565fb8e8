//! Opens a file of every format version ever written. The fixtures were made from the description
//! in `docs/formats.md`, not by this crate, and are never changed.

use std::path::Path;
use std::sync::Arc;
use thalweg_store::{Disk, FaultyDisk, Log, LogSettings, SegmentSettings, StateStore};

const DIR: &str = "/fixture";

fn disk_with(files: &[(&str, &[u8])]) -> Arc<FaultyDisk> {
    let disk = FaultyDisk::new();
    disk.create_dir_all(Path::new(DIR)).unwrap();
    for (name, bytes) in files {
        disk.write_atomic(&Path::new(DIR).join(name), bytes).unwrap();
    }
    Arc::new(disk)
}

#[test]
fn log_version_1() {
    let name = "00000000000000000010.log";
    let written: &[u8] = include_bytes!("../fixtures/v1/00000000000000000010.log");
    let disk = disk_with(&[(name, written)]);
    let settings = LogSettings::default();
    let (log, recovery) = Log::open(disk.clone(), Path::new(DIR), settings, 1).unwrap();
    assert_eq!(recovery.cut_bytes, 0);
    assert_eq!((recovery.first_sequence, recovery.next_sequence), (10, 16));
    let records = log.reader(1).map(|record| {
        let record = record.unwrap();
        (record.first_sequence, record.span, record.kind, record.payload)
    });
    let expected = [(10, 3, 1, b"three rows".to_vec()), (13, 1, 2, Vec::new()), (14, 2, 1, b"two rows".to_vec())];
    assert_eq!(records.collect::<Vec<_>>(), expected);
    drop(log);

    // What is written today is the same bytes.
    let again = disk_with(&[]);
    let (mut log, _) = Log::open(again.clone(), Path::new(DIR), settings, 10).unwrap();
    log.append(3, 1, b"three rows").unwrap();
    log.append(1, 2, b"").unwrap();
    log.sync().unwrap();
    log.append(2, 1, b"two rows").unwrap();
    log.sync().unwrap();
    let bytes = again.read(&Path::new(DIR).join(name)).unwrap();
    assert_eq!(bytes, written);
}

#[test]
fn state_version_1() {
    let segment: &[u8] = include_bytes!("../fixtures/v1/0000000004.seg");
    let checkpoint: &[u8] = include_bytes!("../fixtures/v1/checkpoint-0000000007");
    let disk = disk_with(&[("0000000004.seg", segment), ("checkpoint-0000000007", checkpoint)]);
    let settings = SegmentSettings::default();
    let (store, loaded) = StateStore::open(disk, Path::new(DIR), settings).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let found = loaded.checkpoint.unwrap();
    assert_eq!((found.id, found.header), (7, b"position 16".to_vec()));
    let mut records = Vec::new();
    store
        .load(&mut |space, key, value, _, put| {
            records.push((space, key.to_vec(), value.to_vec(), put));
            Ok(())
        })
        .unwrap();
    let expected = [
        (1, b"AA".to_vec(), b"old".to_vec(), true),
        (1, b"AA".to_vec(), b"new".to_vec(), true),
        (2, b"UA".to_vec(), b"gone".to_vec(), true),
        (2, b"UA".to_vec(), Vec::new(), false),
    ];
    assert_eq!(records, expected);
}
