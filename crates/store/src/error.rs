//! What can go wrong in the store: few kinds, each telling the caller what to do next.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the log, the state store or the metadata database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused; the message carries its reason.
    #[error("cannot {action} {}: {source}; check the disk and its permissions", .path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },

    /// Nothing half-written stays, and the store goes on once there is room.
    #[error("the disk that holds {} is full; free some space and retry", .path.display())]
    DiskFull { path: PathBuf },

    /// Bytes that were once durable are not what was written.
    #[error("{} is damaged at byte {offset}: {why}; restore this file from a copy", .file.display())]
    Damaged { file: PathBuf, offset: u64, why: String },

    /// After a failed fsync nobody knows what the disk holds, the page cache included.
    #[error("a failed fsync cannot be trusted: restart to recover")]
    Poisoned,

    /// Larger than a named bound; nothing was written.
    #[error("{what} of {bytes} bytes is larger than the bound of {limit}; split it")]
    TooLarge { what: &'static str, bytes: u64, limit: u64 },

    /// Written by a later version than this one.
    #[error("{} has format {found}, which is newer than this version knows; use the newer version", .file.display())]
    NewerFormat { file: PathBuf, found: String },

    /// The named thing is not in the metadata.
    #[error("{object} does not exist; list what does, and name one of those")]
    NotFound { object: String },

    /// SQLite refused; the transaction was rolled back whole.
    #[error("the metadata database refused: {0}; nothing was changed")]
    Metadata(rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => StoreError::DiskFull { path: "metadata".into() },
            _ => StoreError::Metadata(error),
        }
    }
}

impl StoreError {
    /// Turns an error of the disk into ours, telling a full disk from the rest.
    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> StoreError {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull { path },
            _ => StoreError::Io { path, action, source },
        }
    }

    /// A failed fsync, which is never a mere full disk: the data may be gone already.
    pub(crate) fn sync(path: &Path, source: io::Error) -> StoreError {
        StoreError::Io { path: path.to_path_buf(), action: "sync", source }
    }

    pub(crate) fn damaged(file: &Path, offset: u64, why: impl Into<String>) -> StoreError {
        StoreError::Damaged { file: file.to_path_buf(), offset, why: why.into() }
    }
}
