//! The bounds of the HTTP door, together. At a bound it refuses and says so.

use std::time::Duration;

/// How many of the largest bodies may be in memory at one time.
pub const BODIES_IN_FLIGHT: u64 = 4;
/// How long the head of an HTTP/1 request may take, the wait for it included, and the first bytes of a connection.
pub const HEAD_TIME: Duration = Duration::from_secs(60);
/// After how long without a byte an HTTP/2 client is asked whether it is still there.
pub const PING_AFTER: Duration = Duration::from_secs(60);
/// How long it may take to say so.
pub const PING_TIME: Duration = Duration::from_secs(20);
/// How long a client may pause within a body.
pub const BODY_PAUSE: Duration = Duration::from_secs(30);
/// How long a whole body may take.
pub const BODY_TIME: Duration = Duration::from_secs(600);
/// How long a client that met full memory is asked to wait.
pub const RETRY_AFTER_MS: u64 = 500;
/// How long requests under way may take to finish after the signal to stop.
pub const DRAIN_TIME: Duration = Duration::from_secs(20);
/// Chunks of a streamed answer that wait for the client.
pub const CHUNKS_IN_FLIGHT: usize = 4;
/// Bytes of one chunk.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Rows of quarantine in one answer, unless asked for fewer.
pub const QUARANTINE_ROWS: u64 = 1000;
/// Bytes of a request's identifier that is taken over.
pub const REQUEST_ID_BYTES: usize = 128;
/// Bytes of a refused request's body that are read all the same, so that its connection can be kept.
pub const DRAINED_BYTES: usize = 4 << 20;
/// How long that may take.
pub const DRAINED_TIME: Duration = Duration::from_secs(5);
