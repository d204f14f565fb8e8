//! The state store by example: what is committed is loaded, what is damaged is stepped over and
//! said, what nobody needs is removed.

use crate::refused;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thalweg_store::{Disk, FaultyDisk, Loaded, Location, SegmentSettings, StateStore, StoreError};

const DIR: &str = "/data/state";

fn open(disk: &Arc<FaultyDisk>, segment_bytes: u64) -> (StateStore, Loaded) {
    let settings = SegmentSettings { segment_bytes };
    StateStore::open(disk.clone(), Path::new(DIR), settings).expect("the store opens")
}

type Contents = BTreeMap<(u32, Vec<u8>), (Vec<u8>, Location)>;

/// What the engine's maps hold after a load.
fn load(store: &StateStore) -> Contents {
    let mut contents = Contents::new();
    store
        .load(&mut |space, key, value, location, put| {
            let key = (space, key.to_vec());
            if put {
                contents.insert(key, (value.to_vec(), location));
            } else {
                contents.remove(&key);
            }
            Ok(())
        })
        .expect("the store loads");
    contents
}

fn values(contents: &Contents) -> Vec<(u32, &[u8], &[u8])> {
    let entries = contents.iter();
    let flat = entries.map(|((space, key), (value, _))| (*space, key.as_slice(), value.as_slice()));
    flat.collect()
}

fn names(disk: &FaultyDisk) -> Vec<String> {
    disk.list(Path::new(DIR)).unwrap()
}

fn header_of(loaded: &Loaded) -> &[u8] {
    &loaded.checkpoint.as_ref().expect("a checkpoint").header
}

#[test]
fn what_is_committed_is_loaded() {
    let disk = Arc::new(FaultyDisk::new());
    let (store, loaded) = open(&disk, 200);
    assert_eq!(loaded.checkpoint, None);
    assert!(loaded.warnings.is_empty());
    for index in 0..20_u8 {
        let place = store.put(1, &[index], &[index; 40]).unwrap();
        assert_eq!(store.get(place).unwrap(), [index; 40], "just put");
    }
    store.put(2, &[3], b"another space").unwrap();
    store.put(1, &[3], b"newer").unwrap();
    store.delete(1, &[4]).unwrap();
    assert_eq!(store.commit(b"position 9").unwrap(), 1);
    store.put(1, &[5], b"never committed").unwrap();
    drop(store);
    disk.crash(3);

    let (store, loaded) = open(&disk, 200);
    assert_eq!(header_of(&loaded), b"position 9");
    assert!(loaded.warnings.is_empty());
    let contents = load(&store);
    assert_eq!(contents.len(), 20);
    assert_eq!(contents[&(1, vec![3])].0, b"newer");
    assert_eq!(contents[&(2, vec![3])].0, b"another space");
    assert!(!contents.contains_key(&(1, vec![4])));
    assert_eq!(contents[&(1, vec![5])].0, [5; 40]);
    for (value, place) in contents.values() {
        assert_eq!(&store.get(*place).unwrap(), value);
    }
}

#[test]
fn a_value_larger_than_the_buffer_is_kept() {
    let disk = Arc::new(FaultyDisk::new());
    let (store, _) = open(&disk, 64 << 20);
    let large = vec![7; 3 << 20];
    let before = store.put(1, b"before", b"small").unwrap();
    let place = store.put(1, b"large", &large).unwrap();
    let after = store.put(1, b"after", b"small").unwrap();
    for _ in 0..2 {
        assert_eq!(store.get(before).unwrap(), b"small");
        assert_eq!(store.get(place).unwrap(), large);
        assert_eq!(store.get(after).unwrap(), b"small");
        store.commit(b"").unwrap();
    }
    assert!(store.total_bytes() > 3 << 20);
}

/// Two checkpoints; the newer one's own part of the state is then damaged.
fn two_checkpoints() -> (Arc<FaultyDisk>, PathBuf) {
    let disk = Arc::new(FaultyDisk::new());
    let (store, _) = open(&disk, 1 << 20);
    store.put(1, b"a", b"old").unwrap();
    store.commit(b"one").unwrap();
    store.put(1, b"a", b"new").unwrap();
    store.commit(b"two").unwrap();
    let segment = Path::new(DIR).join("0000000001.seg");
    assert!(disk.exists(&segment).unwrap());
    (disk, segment)
}

#[test]
fn a_damaged_newest_checkpoint_falls_back_and_says_so() {
    let (disk, segment) = two_checkpoints();
    disk.damage(&segment, 16 + 24 + 21);
    let (store, loaded) = open(&disk, 1 << 20);
    assert_eq!(header_of(&loaded), b"one");
    assert_eq!(
        loaded.warnings,
        ["checkpoint 2 is damaged (state/0000000001.seg at byte 40: \
          the record's checksum does not match): using checkpoint 1"]
    );
    assert_eq!(values(&load(&store)), [(1, &b"a"[..], &b"old"[..])]);
    // An id is not used twice, though the checkpoint that had it is gone.
    assert_eq!(store.commit(b"three").unwrap(), 3);
}

#[test]
fn a_damaged_checkpoint_file_falls_back_too() {
    let (disk, _) = two_checkpoints();
    let newest = Path::new(DIR).join("checkpoint-0000000002");
    let length = disk.read(&newest).unwrap().len() as u64;
    for offset in (0..length).filter(|&offset| offset != 7) {
        let (disk, _) = two_checkpoints();
        disk.damage(&newest, offset);
        let (store, loaded) = open(&disk, 1 << 20);
        assert_eq!(header_of(&loaded), b"one", "byte {offset}");
        assert_eq!(loaded.warnings.len(), 1);
        assert_eq!(load(&store).len(), 1);
    }
}

#[test]
fn with_no_whole_checkpoint_the_files_stay_for_repair() {
    let (disk, segment) = two_checkpoints();
    disk.damage(&segment, 20);
    disk.damage(&segment, 3);
    let before = names(&disk);
    let (store, loaded) = open(&disk, 1 << 20);
    assert_eq!(loaded.checkpoint, None);
    assert_eq!(loaded.warnings.len(), 2);
    assert!(load(&store).is_empty());
    assert_eq!(names(&disk), before);
    store.put(1, b"b", b"afresh").unwrap();
    store.commit(b"three").unwrap();
    drop(store);
    let (store, loaded) = open(&disk, 1 << 20);
    assert_eq!(header_of(&loaded), b"three");
    assert_eq!(load(&store).len(), 1);
}

#[test]
fn a_rewrite_lets_go_of_the_old_segments_two_commits_later() {
    let disk = Arc::new(FaultyDisk::new());
    let (store, _) = open(&disk, 200);
    let mut old = None;
    for index in 0..50_u8 {
        let place = store.put(1, b"key", &[index; 40]).unwrap();
        old = Some(place);
    }
    let old = old.unwrap();
    store.commit(b"one").unwrap();
    let uncommitted = store.put(1, b"other", b"never committed").unwrap();
    let before = store.total_bytes();

    store.begin_rewrite().unwrap();
    let fresh = store.put(1, b"key", &[49; 40]).unwrap();
    assert!(fresh.segment > uncommitted.segment);
    store.commit_rewrite(b"two").unwrap();
    assert_eq!(store.get(old).unwrap(), [49; 40]);
    assert_eq!(store.get(uncommitted).unwrap(), b"never committed");

    store.commit(b"three").unwrap();
    assert!(refused(store.get(old)).to_string().contains("open"));
    assert_eq!(store.get(fresh).unwrap(), [49; 40]);
    assert!(store.total_bytes() < before / 10);
    drop(store);
    let (store, loaded) = open(&disk, 200);
    assert_eq!(header_of(&loaded), b"three");
    assert_eq!(values(&load(&store)), [(1, &b"key"[..], &[49; 40][..])]);
    assert_eq!(names(&disk).len(), 3);
}

#[test]
fn a_commit_during_a_rewrite_still_names_everything() {
    let disk = Arc::new(FaultyDisk::new());
    let (store, _) = open(&disk, 1 << 20);
    store.put(1, b"a", b"1").unwrap();
    store.begin_rewrite().unwrap();
    store.put(1, b"b", b"2").unwrap();
    store.commit(b"in the middle").unwrap();
    drop(store);
    let (store, _) = open(&disk, 1 << 20);
    assert_eq!(load(&store).len(), 2);
}

#[test]
fn leftovers_are_removed() {
    let (disk, _) = two_checkpoints();
    for name in ["0000000077.seg", "checkpoint-0000000003.tmp"] {
        disk.write_atomic(&Path::new(DIR).join(name), b"half").unwrap();
    }
    disk.write_atomic(&Path::new(DIR).join("notes.txt"), b"mine").unwrap();
    let (store, loaded) = open(&disk, 1 << 20);
    assert!(loaded.warnings.is_empty());
    assert_eq!(names(&disk), ["0000000001.seg", "checkpoint-0000000001", "checkpoint-0000000002", "notes.txt"]);
    let place = store.put(1, b"x", b"y").unwrap();
    assert_eq!(place.segment, 78, "an id is not used twice");
}

#[test]
fn a_full_disk_leaves_the_store_usable() {
    let disk = Arc::new(FaultyDisk::new());
    let (store, _) = open(&disk, 1 << 20);
    let first = store.put(1, b"a", b"first").unwrap();
    disk.set_capacity(Some(disk.used() + 10));
    assert!(matches!(refused(store.commit(b"")), StoreError::DiskFull { .. }));
    assert_eq!(store.get(first).unwrap(), b"first");
    disk.set_capacity(None);
    let second = store.put(1, b"b", b"second").unwrap();
    store.commit(b"kept").unwrap();
    assert_eq!(store.get(second).unwrap(), b"second");
    drop(store);
    let (store, loaded) = open(&disk, 1 << 20);
    assert_eq!(header_of(&loaded), b"kept");
    assert_eq!(load(&store).len(), 2);
}

#[test]
fn a_failed_fsync_poisons_the_store() {
    let disk = Arc::new(FaultyDisk::new());
    let (store, _) = open(&disk, 1 << 20);
    store.put(1, b"a", b"first").unwrap();
    disk.fail_next_sync();
    assert!(matches!(refused(store.commit(b"")), StoreError::Io { .. }));
    assert!(matches!(refused(store.commit(b"")), StoreError::Poisoned));
    assert!(matches!(refused(store.put(1, b"b", b"")), StoreError::Poisoned));
}

#[test]
fn a_decayed_value_is_named_and_not_returned() {
    let disk = Arc::new(FaultyDisk::new());
    let (store, _) = open(&disk, 1 << 20);
    let place = store.put(1, b"a", b"value").unwrap();
    store.commit(b"").unwrap();
    let segment = Path::new(DIR).join("0000000001.seg");
    disk.damage(&segment, place.offset + u64::from(place.length) - 1);
    match refused(store.get(place)) {
        StoreError::Damaged { file, offset, .. } => {
            assert_eq!((file, offset), (segment, place.offset));
        }
        other => panic!("{other}"),
    }
}

/// The id after the highest one of a file overflowed: a panic, or ids that are given once more.
#[test]
fn ids_that_were_never_given_are_damage() {
    for name in ["18446744073709551615.seg", "checkpoint-18446744073709551615", "9223372036854775807.seg"] {
        let disk = Arc::new(FaultyDisk::new());
        let (store, _) = open(&disk, 200);
        store.put(1, b"key", b"value").unwrap();
        store.commit(b"header").unwrap();
        drop(store);
        disk.write_atomic(&Path::new(DIR).join(name), b"").unwrap();
        let before = names(&disk);
        let error = refused(StateStore::open(disk.clone(), Path::new(DIR), SegmentSettings::default()));
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert_eq!(names(&disk), before, "nothing is removed");
    }
}
