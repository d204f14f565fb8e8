//! The last byte of a file's magic is the version of its format, a digit. A higher digit is a later version; anything
//! else in its place is damage, which must not pass for one.

use crate::error::StoreError;
use std::path::Path;

/// Checks the version byte of a file of which everything before it is right.
pub(crate) fn check(path: &Path, what: &str, found: u8, known: u8) -> Result<(), StoreError> {
    if found == known {
        return Ok(());
    }
    if found > known && found.is_ascii_digit() {
        let found = format!("{what} {}", char::from(found));
        return Err(StoreError::NewerFormat { file: path.to_path_buf(), found });
    }
    Err(StoreError::damaged(path, 7, format!("this is no version of a {what}")))
}
