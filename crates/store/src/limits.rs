//! Every bound of this crate, in one place, so that what can grow is seen at a glance.

/// The largest payload of one log record. A push above it is refused before anything is written.
pub const MAX_LOG_PAYLOAD_BYTES: usize = 256 << 20;

/// The largest record (key, value and its own header) of the state store.
pub const MAX_STATE_RECORD_BYTES: usize = 256 << 20;

/// The largest header the engine may put into a checkpoint.
pub const MAX_CHECKPOINT_HEADER_BYTES: usize = 256 << 20;

/// How much the state store holds back in memory before it writes to its active segment.
pub const STATE_BUFFER_BYTES: usize = 1 << 20;

/// How far a sequential read looks ahead; a larger record is read on its own.
pub const READ_WINDOW_BYTES: usize = 256 << 10;

/// When a segment is sealed and the next one begun, unless the settings say otherwise.
pub const DEFAULT_SEGMENT_BYTES: u64 = 64 << 20;

/// How many checkpoints stay on disk: the newest, and one to fall back to.
pub const KEPT_CHECKPOINTS: usize = 2;

/// The unit in which a disk loses what was not synced.
pub const SECTOR_BYTES: u64 = 512;

/// The last sequence there is: they are int64 in history. A file that claims more is damaged.
pub const MAX_SEQUENCE: u64 = i64::MAX as u64;

/// The highest id that a file of the state may have; a higher one is no id that was ever given.
pub const MAX_STATE_FILE_ID: u64 = 1 << 62;
