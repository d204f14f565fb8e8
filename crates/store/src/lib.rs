//! What Thalweg keeps on disk: the log that everything accepted goes through, the checkpoints of
//! the online state, and the metadata database. Formats and recovery live here; `docs/formats.md`
//! describes every file byte by byte.
//!
//! ```text
//! push ─▶ Log (append, sync) ─▶ engine's state ─▶ StateStore (put, commit)
//!           └──────────── after a restart: load the checkpoint, then read the log from there
//! ```
//!
//! This crate must never know what a record or a value means, what time it is, or that there are
//! servers: it is sync, holds bytes, and takes its disk through [`Disk`], so that [`FaultyDisk`]
//! can crash, tear and fill it in tests. (SQLite does its own reading and writing.)
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//! use thalweg_store::{FaultyDisk, Log, LogSettings};
//!
//! # fn main() -> Result<(), thalweg_store::StoreError> {
//! let disk = Arc::new(FaultyDisk::new());
//! let dir = Path::new("/data/log");
//! let (mut log, _) = Log::open(disk.clone(), dir, LogSettings::default(), 1)?;
//! log.append(1, 0, b"kept")?;
//! log.sync()?;
//! log.append(1, 0, b"never acknowledged")?;
//!
//! disk.crash(42);
//! let (log, recovery) = Log::open(disk.clone(), dir, LogSettings::default(), 1)?;
//! assert!(recovery.next_sequence >= 2);
//! let first = log.reader(1).next().expect("the synced record is there")?;
//! assert_eq!(first.payload, b"kept");
//! # Ok(())
//! # }
//! ```

mod disk;
mod error;
pub mod limits;
mod little_endian;
mod log;
mod metadata;
mod segments;
mod version;

pub use disk::{AppendFile, Disk, FaultyDisk, ReadFile, RealDisk};
pub use error::StoreError;
pub use log::{Log, LogReader, LogSettings, Record, Recovery, SegmentInfo};
pub use metadata::{
    ApiKeyRecord, Applied, LoadProgress, ManifestRecord, ManifestSummary, Metadata, QuarantineCount, QuarantinedRow,
    StoredManifest, StoredQuarantine, TrainingSetRecord, ViewChange, ViewRecord, ViewStatus,
};
pub use segments::{Loaded, LoadedCheckpoint, Location, SegmentSettings, StateStore, Visitor};
