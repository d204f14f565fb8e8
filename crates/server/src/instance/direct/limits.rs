//! The bounds of directly written features, together.

/// Items of a list.
pub const MAX_LIST_ITEMS: usize = 4096;
/// Bytes of one write as it is kept: the value, what was added, and the values before.
pub const MAX_ROW_BYTES: usize = 1 << 20;
/// Bytes of a selector.
pub const MAX_SELECTOR_BYTES: usize = 512;
/// Event times that a write may have: the years 1 to 9999.
pub const EVENT_TIMES: std::ops::RangeInclusive<i64> = thalweg_engine::limits::TIMES;
/// How often a write is computed anew because what it was built on could not be written.
pub const ATTEMPTS: usize = 3;
/// Parts of the map of writes in flight, each behind a lock of its own.
pub const SHARDS: usize = 64;
/// Entries of a shard at which those whose writer gave up waiting are looked for.
pub const SWEEP_AT: usize = 32;
/// Writes whose event times are at hand for a repetition; older ones are looked up in the log.
pub const RECENT_WRITES: usize = 65_536;
/// Selectors that an error lists.
pub const MAX_LISTED: usize = 20;
