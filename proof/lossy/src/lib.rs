//! A file system in memory, mounted where real processes work, that on command forgets what was not synced.
//!
//! It is as unkind as a disk may be: bytes last with the file's sync alone, names with the sync of their directory
//! alone, and a loss of power may keep later writes while it loses earlier ones. [`Model`] is all of that; the rest
//! speaks the kernel's FUSE protocol on `/dev/fuse`, and takes commands on a socket.

mod control;
mod model;
mod mount;
mod operations;
mod random;
mod wire;

pub use control::serve;
pub use model::{Attributes, Entry, Loss, Model, ROOT};
pub use mount::Mount;
