//! The bounds of the gRPC door, together. At a bound it refuses and says so, or lets the sender wait.

use std::time::Duration;

/// Bytes of a message, but for pushes and manifests: those have at most `max_body`.
pub const SMALL_MESSAGE: usize = 4 << 20;
/// Bytes to which the compressed columns of an Arrow stream in a message come.
pub const ARROW_BYTES: u64 = 256 << 20;
/// Messages and entities of a read up to which it is answered on the spot: it takes microseconds, a change of threads
/// does as well.
pub const INLINE_BYTES: usize = 16 << 10;
pub const INLINE_ROWS: usize = 512;
/// How many of the largest messages may be in memory at one time.
pub const MESSAGES_IN_MEMORY: u64 = 4;
/// What all messages may take besides.
pub const MEMORY_FLOOR: u64 = 8 << 20;
/// Calls open at one time, streams included.
pub const CALLS: usize = 4096;
/// Reads of one stream in work at one time.
pub const READS_IN_FLIGHT: usize = 16;
/// Pushes of one stream that wait for the log at one time.
pub const PUSHES_IN_FLIGHT: usize = 32;
/// Pushes of all calls that wait for the log at one time, each on a thread; later ones wait for a thread.
pub const PUSHES_AT_ONCE: usize = 256;
/// Everything else that may block, of all calls, at one time.
pub const WORK_AT_ONCE: usize = 64;
/// How long a client that met a bound is asked to wait.
pub const RETRY_AFTER_MS: u64 = 500;
/// How often the health that is watched is looked at.
pub const HEALTH_PERIOD: Duration = Duration::from_secs(1);
/// Rows of quarantine in one answer, and the bytes of rows after which it ends earlier.
pub const QUARANTINE_ROWS: u64 = 1000;
pub const QUARANTINE_BYTES: usize = 2 << 20;
/// Bytes of an error's message, and of the broken rules listed with it: both travel in headers, of which clients take
/// few KiB.
pub const ERROR_BYTES: usize = 1024;
pub const VIOLATION_BYTES: usize = 2048;
/// Rows with errors that the summary of a stream of pushes lists.
pub const LISTED_ERRORS: usize = 100;
