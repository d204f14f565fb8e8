//! The seam between the store and the disk: everything the log and the state store do to files
//! goes through [`Disk`], so that a seeded simulation can stand in for the real one.

mod faulty;
mod real;
mod window;

pub use faulty::FaultyDisk;
pub use real::RealDisk;
pub(crate) use window::Window;

use std::io;
use std::path::Path;

/// A file system as the store needs it.
pub trait Disk: Send + Sync + 'static {
    /// Creates the directory and its parents, durably.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// The names of the files (not the directories) in `dir`, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Opens for appending, at the end; creates the file when it is not there.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>>;

    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Puts `bytes` at `path` durably, and either whole or not at all: written beside it under the
    /// name with `.tmp` at its end, synced, renamed, and the directory synced.
    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Durable only after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Durable only after [`Disk::sync_dir`].
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Cuts the file to `len` bytes, durably.
    fn truncate(&self, path: &Path, len: u64) -> io::Result<()>;

    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// A file that grows at its end.
pub trait AppendFile: Send {
    /// Writes at the end. After an error some of the bytes may be there: [`AppendFile::truncate`].
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once all that was appended is durable.
    fn sync(&mut self) -> io::Result<()>;

    fn len(&self) -> u64;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Cuts the file to `len` bytes; durable with the next sync.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// A file that is read at any place, from any thread.
pub trait ReadFile: Send + Sync {
    /// Fills `buf` from `offset`; too few bytes is `UnexpectedEof`.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    fn len(&self) -> io::Result<u64>;

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// The ending of files that [`Disk::write_atomic`] has not finished; a leftover may be removed.
pub(crate) const TEMPORARY_ENDING: &str = ".tmp";

/// The name under which [`Disk::write_atomic`] prepares `path`.
fn temporary(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY_ENDING);
    name.into()
}

/// The directory that holds `path`; `.` for a bare file name.
fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
