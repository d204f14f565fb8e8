//! Files in memory, as a store finds them when it is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use thalweg_store::{Disk, FaultyDisk};

const NO_FAULT: &str = "no fault was asked for";

pub fn with(directory: &Path, files: &[(String, Vec<u8>)]) -> Arc<FaultyDisk> {
    let disk = FaultyDisk::new();
    disk.create_dir_all(directory).expect(NO_FAULT);
    for (name, bytes) in files {
        disk.write_atomic(&directory.join(name), bytes).expect(NO_FAULT);
    }
    Arc::new(disk)
}

/// The files of a directory, to be compared.
pub fn files(disk: &FaultyDisk, directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let names = disk.list(directory).expect(NO_FAULT);
    let read = |name: String| {
        let path = directory.join(name);
        let bytes = disk.read(&path).expect(NO_FAULT);
        (path, bytes)
    };
    names.into_iter().map(read).collect()
}
