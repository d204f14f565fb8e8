//! What is kept of fuzzing, as ordinary tests: the corpora, and every input that once broke a promise.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use thalweg_fuzz::{clean_up, feed, make_ready, targets};

/// Corpora are kept small, so that they are read as text and replayed in seconds.
const MAX_FILES: usize = 60;
const MAX_BYTES: u64 = 64 << 10;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn inputs(kind: &str, target: &str) -> Vec<PathBuf> {
    let folder = folder(kind).join(target);
    if folder.is_dir() { entries(&folder) } else { Vec::new() }
}

/// The targets as `targets.toml` has them.
fn listed() -> BTreeSet<String> {
    let text = std::fs::read_to_string(folder("targets.toml")).unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    names.map(str::to_owned).collect()
}

/// In one test, as panics are told apart by the target that runs.
#[test]
fn everything_that_was_kept_is_fed_again() {
    let (mut fed, mut broken) = (0, Vec::new());
    for target in targets() {
        make_ready(target);
        for path in inputs("corpus", target.name).into_iter().chain(inputs("crashes", target.name)) {
            let data = std::fs::read(&path).unwrap();
            fed += 1;
            if catch_unwind(AssertUnwindSafe(|| feed(target, &data))).is_err() {
                broken.push(path.display().to_string());
            }
        }
    }
    clean_up();
    assert!(fed > 0, "there is no corpus");
    assert!(broken.is_empty(), "{} of {fed} broke a promise:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn every_target_is_listed_and_has_a_corpus() {
    let built: BTreeSet<String> = targets().map(|target| target.name.to_owned()).collect();
    let listed = listed();
    assert!(built.is_subset(&listed), "{:?}", built.difference(&listed));
    if cfg!(feature = "heavy") {
        assert_eq!(built, listed);
    }
    for name in &listed {
        assert!(!inputs("corpus", name).is_empty(), "{name} has no corpus: `fuzz/seeds.py` makes it");
    }
    for kind in ["corpus", "crashes"] {
        for path in entries(&folder(kind)).into_iter().filter(|path| path.is_dir()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(listed.contains(&name), "{} is of no target", path.display());
        }
    }
}

#[test]
fn corpora_are_small() {
    for name in listed() {
        let files = inputs("corpus", &name);
        assert!(files.len() <= MAX_FILES, "{name} has {} inputs", files.len());
        for file in files {
            let bytes = file.metadata().unwrap().len();
            assert!(bytes <= MAX_BYTES, "{} has {bytes} bytes", file.display());
        }
    }
}
