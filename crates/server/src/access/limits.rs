//! The bounds of keys and of the audit log, together.

use std::time::Duration;

/// How often the server looks whether a command has changed the keys.
pub const KEYS_POLL: Duration = Duration::from_millis(500);
/// Keys that can be made; those that no longer work count too.
pub const MAX_KEYS: usize = 10_000;
/// Bytes of a key's name.
pub const KEY_NAME_BYTES: usize = 100;
/// Namespaces of one key.
pub const MAX_NAMESPACES: usize = 100;
/// Bytes of a namespace's name.
pub const NAMESPACE_BYTES: usize = 100;
/// Requests a second that a key can be bound to.
pub const MAX_RATE: u32 = 1_000_000;

/// When the next file of the audit log is begun.
pub const AUDIT_FILE_BYTES: u64 = 64 << 20;
/// Files of the audit log that are kept, the newest ones.
pub const AUDIT_FILES: u64 = 16;
/// Bytes of what a caller brought into a line of the audit log.
pub const AUDIT_FIELD_BYTES: usize = 256;
/// Denials of one peer with one code that are written one by one in a minute; of the rest only the number is.
pub const AUDIT_SINGLE_DENIALS: u64 = 100;
/// Denials that are written one by one in a minute, of all peers: so that a flood from many addresses cannot soon push
/// changes out of the files that are kept.
pub const AUDIT_SINGLE_DENIALS_OF_ALL: u64 = 2000;
/// The minute in which they are counted, in microseconds.
pub const AUDIT_FOLD_WINDOW_US: i64 = 60_000_000;
/// Peers that are told apart in that; further ones are counted together.
pub const AUDIT_FOLDED_PEERS: usize = 1024;
/// Lines in one page of the audit log.
pub const AUDIT_PAGE: usize = 1000;
/// Lines in a page where the caller does not say.
pub const AUDIT_PAGE_DEFAULT: usize = 100;
/// Bytes of the audit log that are looked through for one page.
pub const AUDIT_SCAN_BYTES: u64 = 64 << 20;
/// What is read of the audit log at a time.
pub const AUDIT_BLOCK_BYTES: u64 = 64 << 10;
