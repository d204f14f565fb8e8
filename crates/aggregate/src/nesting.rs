//! How deep stored values may hold values: who reads them back goes down one level for each, so that bytes which nest
//! thousands of them would overflow the stack.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::cell::Cell;

/// Levels that are read. A map of lists of plain values, which is the deepest value there is, has two.
const MAX_NESTING: u8 = 8;

thread_local! {
    /// The levels above what this thread is reading.
    static ABOVE: Cell<u8> = const { Cell::new(0) };
}

/// Deserializes what may hold values of its own kind, unless it lies too deep in them.
pub(crate) fn bounded<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let _level = Level::down().ok_or_else(|| D::Error::custom("values are nested deeper than any that is stored"))?;
    T::deserialize(deserializer)
}

struct Level;

impl Level {
    fn down() -> Option<Self> {
        let above = ABOVE.get();
        if above >= MAX_NESTING {
            return None;
        }
        ABOVE.set(above + 1);
        Some(Self)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        ABOVE.set(ABOVE.get() - 1);
    }
}
