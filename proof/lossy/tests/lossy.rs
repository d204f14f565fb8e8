//! What the model keeps and what it loses, without a mount.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;
use thalweg_lossy::{Model, ROOT};

const SEEDS: u64 = 400;

fn model() -> Model {
    Model::new(|| SystemTime::UNIX_EPOCH)
}

/// A file with these bytes, all of it durable.
fn durable_file(model: &mut Model, name: &str, bytes: &[u8]) -> u64 {
    let file = model.create(ROOT, name.as_bytes(), 0o644).unwrap();
    model.write(file, 0, bytes).unwrap();
    model.sync(file).unwrap();
    model.sync(ROOT).unwrap();
    file
}

/// What is left of the file system for each seed.
fn survivors(build: impl Fn() -> Model) -> Vec<BTreeMap<String, Vec<u8>>> {
    println!("seeds 0 to {}", SEEDS - 1);
    let survivor = |seed| {
        let mut model = build();
        model.crash(seed);
        model.files()
    };
    (0..SEEDS).map(survivor).collect()
}

#[test]
fn what_was_synced_stays_and_of_the_rest_anything_may() {
    let survivors = survivors(|| {
        let mut model = model();
        let file = durable_file(&mut model, "log", &[1; 700]);
        model.write(file, 700, &[2; 1000]).unwrap();
        model.write(file, 1700, &[3; 1000]).unwrap();
        model
    });
    let (mut lengths, mut with_holes) = (BTreeSet::new(), 0);
    for files in &survivors {
        let bytes = &files["/log"];
        assert_eq!(bytes[..700], [1; 700], "synced bytes are gone");
        assert!(bytes[700..].iter().all(|byte| [0, 2, 3].contains(byte)), "bytes that nobody wrote");
        lengths.insert(bytes.len());
        // A later sector is there and an earlier one is not.
        with_holes += u32::from(bytes[700..].contains(&0) && *bytes.last().unwrap() == 3);
    }
    assert!(lengths.contains(&700) && lengths.contains(&2700), "never nothing, or never all: {lengths:?}");
    assert!(lengths.iter().any(|len| (701..1700).contains(len)), "never torn: {lengths:?}");
    assert!(with_holes > 0, "never an earlier sector alone");
}

#[test]
fn bytes_that_are_overwritten_are_old_or_new_by_sector() {
    let survivors = survivors(|| {
        let mut model = model();
        let file = durable_file(&mut model, "pages", &[1; 4096]);
        model.write(file, 512, &[2; 1024]).unwrap();
        model.write(file, 512, &[3; 512]).unwrap();
        model
    });
    let mut seen = BTreeSet::new();
    for files in &survivors {
        let bytes = &files["/pages"];
        assert_eq!((bytes.len(), &bytes[..512], &bytes[1536..]), (4096, &[1; 512][..], &[1; 2560][..]));
        seen.insert((bytes[512], bytes[1024]));
    }
    assert!([(1, 1), (3, 2), (1, 2), (3, 1), (2, 2)].iter().all(|pair| seen.contains(pair)), "{seen:?}");
}

#[test]
fn of_unsynced_names_the_first_stay() {
    let survivors = survivors(|| {
        let mut model = model();
        for name in ["a", "b", "c"] {
            let file = model.create(ROOT, name.as_bytes(), 0o644).unwrap();
            // The bytes are durable; nobody finds them.
            model.sync(file).unwrap();
        }
        model.remove(ROOT, b"a").unwrap();
        model
    });
    let names: BTreeSet<String> = survivors.iter().map(|files| files.keys().map(String::as_str).collect()).collect();
    assert_eq!(names, BTreeSet::from(["", "/a", "/a/b", "/a/b/c", "/b/c"].map(str::to_owned)));
}

#[test]
fn a_file_that_replaces_another_is_whole_where_it_was_synced() {
    let replace = |synced: bool| {
        survivors(move || {
            let mut model = model();
            durable_file(&mut model, "settings", b"old");
            let new = model.create(ROOT, b"settings.tmp", 0o644).unwrap();
            model.write(new, 0, b"new").unwrap();
            if synced {
                model.sync(new).unwrap();
            }
            model.rename((ROOT, b"settings.tmp"), (ROOT, b"settings"), true).unwrap();
            model
        })
    };
    let contents = |survivors: &[BTreeMap<String, Vec<u8>>]| -> BTreeSet<String> {
        survivors.iter().map(|files| String::from_utf8_lossy(&files["/settings"]).into_owned()).collect()
    };
    assert_eq!(contents(&replace(true)), BTreeSet::from(["old", "new"].map(str::to_owned)));
    // The mistake that this file system is there to find.
    assert!(contents(&replace(false)).contains(""));
}

#[test]
fn a_directory_without_a_durable_name_takes_its_files_with_it() {
    let survivors = survivors(|| {
        let mut model = model();
        let directory = model.make_directory(ROOT, b"data", 0o755).unwrap();
        let file = model.create(directory, b"log", 0o644).unwrap();
        model.write(file, 0, b"acknowledged").unwrap();
        model.sync(file).unwrap();
        model.sync(directory).unwrap();
        model
    });
    let lost = survivors.iter().filter(|files| files.is_empty()).count();
    assert!(lost > 0 && lost < survivors.len(), "{lost}");
    let mut kept = survivors.iter().filter(|files| !files.is_empty());
    assert!(kept.all(|files| files["/data/log"] == b"acknowledged"));
}

#[test]
fn a_cut_that_was_not_synced_may_be_undone() {
    let survivors = survivors(|| {
        let mut model = model();
        let file = durable_file(&mut model, "log", &[1; 2000]);
        model.resize(file, 600).unwrap();
        model.write(file, 600, &[2; 100]).unwrap();
        model
    });
    let lengths: BTreeSet<usize> = survivors.iter().map(|files| files["/log"].len()).collect();
    assert!(lengths.contains(&700) && lengths.contains(&2000), "{lengths:?}");
    assert!(survivors.iter().all(|files| files["/log"][..600].iter().all(|byte| *byte == 1)));
}

#[test]
fn a_file_that_is_written_over_and_over_without_a_sync_may_be_as_it_was() {
    let lost = (0..20).any(|seed| {
        let mut model = model();
        let file = durable_file(&mut model, "shared", &[1; 32_768]);
        // So often that the changes are remembered as one.
        for turn in 0..3000_u64 {
            model.write(file, turn % 8 * 4096, &[(turn % 200) as u8 + 2; 4096]).unwrap();
        }
        model.crash(seed);
        model.files()["/shared"] == [1; 32_768]
    });
    assert!(lost, "the durable bytes were forgotten");
}

#[test]
fn a_failed_sync_is_told_once_and_lost_for_good() {
    let mut model = model();
    let file = durable_file(&mut model, "log", b"kept");
    model.fail_sync(2);
    model.write(file, 4, b" and more").unwrap();
    let other = model.create(ROOT, b"other", 0o644).unwrap();
    model.sync(other).unwrap();
    assert_eq!(model.sync(file).unwrap_err().raw_os_error(), 5);
    assert_eq!(model.sync(file), Ok(()));
    assert_eq!(model.sync_count(), 5);
    let lost = (0..SEEDS).any(|seed| {
        let mut again = Model::new(|| SystemTime::UNIX_EPOCH);
        let file = durable_file(&mut again, "log", b"kept");
        again.fail_sync(1);
        again.write(file, 4, b" and more").unwrap();
        again.sync(file).unwrap_err();
        again.sync(file).unwrap();
        again.crash(seed);
        again.files()["/log"] == b"kept"
    });
    assert!(lost, "a sync after one that failed made something durable");
}

#[test]
fn a_full_disk_takes_what_fits_and_gives_back_what_is_removed() {
    let mut model = model();
    let file = durable_file(&mut model, "log", &[1; 100]);
    model.set_capacity(Some(150));
    assert_eq!(model.write(file, 100, &[2; 80]), Ok(50));
    assert_eq!(model.write(file, 150, &[2; 1]).unwrap_err().raw_os_error(), 28);
    assert_eq!(model.write(file, 0, &[3; 150]), Ok(150), "overwriting needs no room");
    model.open(file).unwrap();
    model.remove(ROOT, b"log").unwrap();
    assert_eq!(model.usage(), (150, Some(150)), "an open file keeps its room");
    assert_eq!(model.read(file, 0, 3).unwrap(), [3; 3]);
    model.close(file).unwrap();
    assert_eq!(model.usage(), (0, Some(150)));
    // Without a sync of its directory it comes back.
    let came_back = (0..SEEDS).any(|seed| {
        let mut again = Model::new(|| SystemTime::UNIX_EPOCH);
        durable_file(&mut again, "log", &[1; 100]);
        again.remove(ROOT, b"log").unwrap();
        again.crash(seed);
        again.files().contains_key("/log") && again.usage() == (100, None)
    });
    assert!(came_back);
    model.sync(ROOT).unwrap();
    assert_eq!(model.crash(1), thalweg_lossy::Loss::default());
    assert!(model.files().is_empty());
}

#[test]
fn names_are_as_of_any_file_system() {
    let mut model = model();
    let file = durable_file(&mut model, "a", b"x");
    let refused = |result: Result<(), rustix::io::Errno>| result.unwrap_err().raw_os_error();
    assert_eq!(refused(model.link(file, ROOT, b"a")), 17);
    model.link(file, ROOT, b"b").unwrap();
    assert_eq!(model.attributes(file).unwrap().links, 2);
    assert_eq!(refused(model.rename((ROOT, b"a"), (ROOT, b"b"), false)), 17);
    model.rename((ROOT, b"a"), (ROOT, b"b"), true).unwrap();
    assert_eq!(model.files().len(), 2, "two names of one file stay");
    let directory = model.make_directory(ROOT, b"d", 0o755).unwrap();
    model.rename((ROOT, b"a"), (directory, b"a"), true).unwrap();
    assert_eq!(refused(model.remove_directory(ROOT, b"d")), 39);
    assert_eq!(refused(model.rename((ROOT, b"b"), (ROOT, b"d"), true)), 21);
    assert_eq!(refused(model.remove(ROOT, b"d")), 21);
    assert_eq!(refused(model.create(ROOT, &[b'n'; 300], 0o644).map(|_| ())), 36);
    model.remove(directory, b"a").unwrap();
    model.remove_directory(ROOT, b"d").unwrap();
    assert_eq!(model.files(), BTreeMap::from([("/b".to_owned(), b"x".to_vec())]));
}

#[test]
fn the_same_seed_leaves_the_same() {
    let build = || {
        let mut model = model();
        for number in 0..20_u8 {
            let file = model.create(ROOT, &[b'a' + number], 0o644).unwrap();
            model.write(file, 0, &[number; 2000]).unwrap();
            if number % 3 == 0 {
                model.sync(ROOT).unwrap();
            }
        }
        model
    };
    for seed in 0..20 {
        let (mut one, mut other) = (build(), build());
        assert_eq!(one.crash(seed), other.crash(seed));
        assert_eq!(one.files(), other.files());
        assert_eq!(one.generation(), 1);
    }
}
