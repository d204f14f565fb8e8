//! The bounds of listening sockets, together.

use std::time::Duration;

/// Connections open at one time on one port; later ones wait to be accepted.
pub const MAX_CONNECTIONS: usize = 4096;
/// How long a connection may go without a byte in either direction.
pub const CONNECTION_PAUSE: Duration = Duration::from_secs(1800);
/// Bytes after which it is known what a client speaks: as many as HTTP/2 begins with.
pub const FIRST_BYTES: usize = 24;
/// How long a client may take to agree on encryption.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How often the files of the certificate are looked at.
pub const CERTIFICATE_POLL: Duration = Duration::from_secs(2);
/// Bytes of a file with certificates or a key.
pub const PEM_BYTES: u64 = 1 << 20;
