//! How long recorded answers stay: the oldest files go once all together are larger, or they are older, than the
//! settings say.

use super::{PARTIAL, ServedLog, WHOLE};
use crate::error::ServerError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// Directories below that of the log: one a service, and in it one a manifest.
const LEVELS: u32 = 2;

/// A file of recorded answers.
#[derive(Debug)]
struct ServedFile {
    path: PathBuf,
    bytes: u64,
    /// When the newest answers in it were written.
    written: SystemTime,
}

/// What is below the log's directory.
#[derive(Debug, Default)]
struct Found {
    files: Vec<ServedFile>,
    /// Files that were being written when a process ended.
    left_over: Vec<PathBuf>,
    /// Of manifests, with nothing in them.
    empty: Vec<PathBuf>,
}

impl ServedLog {
    /// Removes the oldest files: as far as all take more than `keep_bytes`, or they were written before `keep_since`.
    /// Returns the bytes freed; none while somebody reads.
    pub fn retain(&self, keep_bytes: u64, keep_since: SystemTime) -> Result<u64, ServerError> {
        let Some(_nobody_reads) = self.reading.try_write() else { return Ok(0) };
        let _files = self.files.lock();
        let found = look(&self.directory).map_err(|error| self.broken(&error))?;
        let all: u64 = found.files.iter().map(|file| file.bytes).sum();
        let mut freed = 0;
        for file in unwanted(found.files, keep_bytes, keep_since) {
            gone(std::fs::remove_file(&file.path)).map_err(|error| self.broken(&error))?;
            freed += file.bytes;
        }
        for path in &found.left_over {
            gone(std::fs::remove_file(path)).map_err(|error| self.broken(&error))?;
        }
        for directory in &found.empty {
            gone(std::fs::remove_dir(directory)).map_err(|error| self.broken(&error))?;
        }
        self.bytes_on_disk.store(all - freed, Ordering::Relaxed);
        Ok(freed)
    }

    fn broken(&self, error: &io::Error) -> ServerError {
        ServerError::Internal(format!("the serving log in {}: {error}", self.directory.display()))
    }
}

/// The files that are to go: of those in the order of their writing, as many of the first as it takes.
fn unwanted(mut files: Vec<ServedFile>, keep_bytes: u64, keep_since: SystemTime) -> Vec<ServedFile> {
    files.sort_by(|one, other| (one.written, &one.path).cmp(&(other.written, &other.path)));
    let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let is_unwanted = |file: &&ServedFile| {
        let goes = bytes > keep_bytes || file.written < keep_since;
        if goes {
            bytes -= file.bytes;
        }
        goes
    };
    let going = files.iter().take_while(is_unwanted).count();
    files.truncate(going);
    files
}

fn look(directory: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    if directory.is_dir() {
        look_below(directory, LEVELS, &mut found)?;
    }
    Ok(found)
}

fn look_below(directory: &Path, levels: u32, found: &mut Found) -> io::Result<()> {
    let mut any = false;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        any = true;
        let (path, facts) = (entry.path(), entry.metadata()?);
        if facts.is_dir() && levels > 0 {
            look_below(&path, levels - 1, found)?;
        } else if levels == 0 && path.extension().is_some_and(|end| end == WHOLE) {
            found.files.push(ServedFile { path, bytes: facts.len(), written: facts.modified()? });
        } else if levels == 0 && path.extension().is_some_and(|end| end == PARTIAL) {
            found.left_over.push(path);
        }
    }
    if !any && levels == 0 {
        found.empty.push(directory.to_path_buf());
    }
    Ok(())
}

/// What somebody else has removed is gone as well.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn file(number: u64, bytes: u64) -> ServedFile {
        ServedFile { path: format!("{number:08}.parquet").into(), bytes, written: at(number) }
    }

    fn going(keep_bytes: u64, keep_since: u64) -> Vec<u64> {
        let files = vec![file(3, 30), file(1, 10), file(4, 40), file(2, 20)];
        unwanted(files, keep_bytes, at(keep_since)).iter().map(|file| file.bytes).collect()
    }

    #[test]
    fn the_oldest_go_first_and_no_more_than_it_takes() {
        assert_eq!(going(100, 0), [0u64; 0]);
        assert_eq!(going(99, 0), [10]);
        assert_eq!(going(70, 0), [10, 20]);
        assert_eq!(going(100, 3), [10, 20]);
        assert_eq!(going(0, 0), [10, 20, 30, 40]);
    }

    #[test]
    fn files_go_with_what_a_crash_left_and_the_folders_of_old_manifests() {
        let directory = tempfile::tempdir().unwrap();
        let of = |manifest: &str| directory.path().join("served/risk").join(manifest);
        for (manifest, name) in [("old", "00000000.parquet"), ("new", "00000000.parquet"), ("new", "00000001.partial")]
        {
            std::fs::create_dir_all(of(manifest)).unwrap();
            std::fs::write(of(manifest).join(name), [0; 100]).unwrap();
        }
        let old = std::fs::File::options().write(true).open(of("old").join("00000000.parquet")).unwrap();
        old.set_modified(at(1)).unwrap();
        let log = ServedLog::new(directory.path().join("served"));
        assert_eq!(log.retain(1000, at(0)).unwrap(), 0);
        assert_eq!(log.bytes_on_disk(), 200);
        assert!(!of("new").join("00000001.partial").exists());
        assert_eq!(log.retain(150, at(0)).unwrap(), 100);
        assert_eq!(log.bytes_on_disk(), 100);
        // The folder is empty now, and goes with the next look.
        assert_eq!(log.retain(150, at(0)).unwrap(), 0);
        assert!(!of("old").exists() && of("new").join("00000000.parquet").exists());
    }

    #[test]
    fn without_a_log_there_is_nothing_to_do() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(ServedLog::new(directory.path().join("served")).retain(0, at(1)).unwrap(), 0);
    }
}
