//! The bounds of the Redis door, together. At a bound it refuses, waits for the client, or closes; it never drops
//! silently.

use std::time::Duration;

/// Bytes of one command.
pub const MAX_COMMAND_BYTES: usize = 1 << 20;
/// Arguments of one command, its name among them.
pub const MAX_ARGUMENTS: usize = 20_000;
/// Bytes of one argument.
pub const MAX_BULK_BYTES: usize = 512 << 10;
/// Bytes of a command that is written as one line.
pub const MAX_INLINE_BYTES: usize = 64 << 10;
/// Bytes of a length, such as `*3`.
pub const MAX_LENGTH_BYTES: usize = 32;
/// Arguments of a command of somebody who has not presented a key yet.
pub const MAX_UNKNOWN_ARGUMENTS: usize = 10;
/// Bytes of an argument of somebody who has not presented a key yet.
pub const MAX_UNKNOWN_BULK_BYTES: usize = 16 << 10;
/// Keys of one command.
pub const MAX_KEYS: usize = 10_000;
/// Keys times features of one command.
pub const MAX_VALUES: usize = 1 << 18;
/// Values that one `RPUSH` appends: each is a write of its own.
pub const MAX_APPENDED: usize = 128;
/// Bytes of a client's name, and of what it says of itself.
pub const MAX_NAME_BYTES: usize = 128;

/// Commands of a pipeline that are answered before other connections have their turn.
pub const BATCH_COMMANDS: usize = 256;
/// Entities that the reads of a pipeline gather before they are read together.
pub const GATHERED_ROWS: usize = 1024;
/// Entities that are read on the spot; more go to a thread that may block.
pub const ROWS_ON_THE_SPOT: usize = 256;
/// Direct features that are read on the spot.
pub const DIRECT_ON_THE_SPOT: usize = 32;
/// Reads at different times, or of different services, among which a further read looks for its like.
pub const GROUPS_LOOKED_AT: usize = 4;

/// Bytes that are read at once.
pub const READ_BYTES: usize = 16 << 10;
/// Bytes of answers that wait for one client; past it no more of its commands are answered until it has read.
pub const MAX_OUTPUT_BYTES: usize = 16 << 20;
/// Bytes of answers that wait for all clients; past it only those who have less than [`SMALL_OUTPUT_BYTES`] go on.
pub const MAX_OUTPUT_BYTES_OF_ALL: usize = 256 << 20;
/// Bytes of waiting answers that a client may always have.
pub const SMALL_OUTPUT_BYTES: usize = 64 << 10;
/// Bytes that an empty buffer keeps.
pub const KEPT_BYTES: usize = 128 << 10;

/// How long a client may leave answers unread before it is closed.
pub const SEND_PAUSE: Duration = Duration::from_secs(60);
/// How long a connection may go without a byte in either direction.
pub const IDLE_PAUSE: Duration = Duration::from_secs(1800);
/// How long commands under way may take to finish after the signal to stop.
pub const DRAIN_TIME: Duration = Duration::from_secs(20);
