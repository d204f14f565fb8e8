//! The bounds of the engine, together. At a bound it pushes back or refuses; it never drops silently.

/// Rows of one push.
pub const MAX_BATCH_ROWS: usize = 1 << 20;
/// Bytes of accepted but not yet durable batches; past it pushes are answered `Overloaded`.
pub const MAX_QUEUE_BYTES: usize = 256 << 20;
/// What a waiting push takes besides its rows.
pub const PENDING_OVERHEAD_BYTES: usize = 1024;
/// How long a pusher who met a full queue is asked to wait.
pub const RETRY_AFTER_MS: u64 = 100;
/// Idempotency keys remembered, oldest forgotten first.
pub const MAX_IDEMPOTENCY_KEYS: usize = 1 << 20;
/// Bytes that the listed errors of remembered pushes take; past it those of the oldest are forgotten, and their counts
/// are not.
pub const MAX_REMEMBERED_ERROR_BYTES: usize = 64 << 20;
/// Bytes of an idempotency key.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 256;
/// Entities of one read.
pub const MAX_READ_ENTITIES: usize = 100_000;
/// Errors that an acknowledgement lists; all of them are in the quarantine.
pub const MAX_LISTED_ERRORS: usize = 100;
/// Bytes of one raw row kept in quarantine.
pub const MAX_RAW_ROW_BYTES: usize = 1 << 20;
/// Bytes of rows that were set aside and cannot be listed yet; past it writing stops.
pub const MAX_UNLISTED_BYTES: usize = 64 << 20;
/// What such a row takes besides its raw bytes.
pub const QUARANTINED_ROW_BYTES: usize = 256;
/// Behind the newest event time of a source, on top of `within`, for how long duplicates are still known.
pub const LATE_DUPLICATES_MICROS: i64 = 7 * 24 * 3600 * 1_000_000;
/// Event times, arrival times and query times, in microseconds: the years 1 to 9999, which every table format and
/// every language's dates can hold.
pub const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;
/// Rows gathered before they are committed to history.
pub const HISTORY_COMMIT_ROWS: usize = 1 << 20;
/// Shards of a view's entities, unless set otherwise.
pub const SHARDS: usize = 64;
