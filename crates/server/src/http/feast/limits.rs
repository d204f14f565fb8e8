//! The bounds of the Feast door, together; those of bodies are HTTP's.

/// Bytes of a data frame once it is written as rows; past it, it is to be sent in parts.
pub const MAX_ROWS_BYTES: usize = 256 << 20;
/// Bytes of a wrong value that is shown in an error.
pub const MAX_ECHO_BYTES: usize = 1024;
/// Wrong fields and items that an error lists, besides those that are missing.
pub const MAX_FAULTS: usize = 100;
/// Reasons for which rows were set aside that an error lists.
pub const MAX_LISTED_REASONS: usize = 3;
