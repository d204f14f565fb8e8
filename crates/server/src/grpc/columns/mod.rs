//! Columns of values as messages have them, to and from Arrow. Every type of the platform has its own member, with the
//! bits that the value has; the table is in `features.proto`.

mod read;
mod write;

pub use read::read_column;
pub use write::write_column;

#[cfg(test)]
mod tests;
