//! The bounds of the lake, together. At a bound it refuses; it never cuts off silently.

/// Bytes of one SQL expression.
pub const MAX_EXPRESSION_BYTES: usize = 8 << 10;
/// Levels of one SQL expression, counted as operations within operations.
pub const MAX_EXPRESSION_DEPTH: usize = 128;
/// How often one function of an expression repeats something, and elements of a range.
pub const MAX_EXPRESSION_REPEATS: u64 = 10_000;
/// How many times as large as the columns it reads the value of an expression can be.
pub const MAX_EXPRESSION_GROWTH: u64 = 10_000;
/// Bytes that an expression makes of its literals alone.
pub const MAX_CONSTANT_BYTES: u64 = 1 << 20;
/// Levels of a type to which an expression casts, and brackets one after the other.
pub const MAX_TYPE_DEPTH: usize = 16;
/// Column names that an error lists.
pub const MAX_LISTED_COLUMNS: usize = 20;
/// Bytes of memory that one SQL query may hold.
pub const MAX_QUERY_BYTES: usize = 2 << 30;
/// How often a commit is tried again because another writer came first.
pub const MAX_COMMIT_ATTEMPTS: usize = 8;
/// Rows of a spine.
pub const MAX_SPINE_ROWS: usize = 1 << 31;
/// Parts into which the entities of a view are divided for the sweep.
pub const SWEEP_PARTITIONS: usize = 128;
/// Bytes of text in one buffer of packed rows: offsets have 32 bits.
pub const MAX_HEAP_BYTES: usize = 1 << 30;
/// Rows of a result's batches.
pub const RESULT_BATCH_ROWS: usize = 1 << 16;
/// Rows that are looked at to find the types in a text file.
pub const INFER_ROWS: usize = 10_000;
