//! How far each file of a load has come, so that a load that was broken off goes on where it was.

use super::{Metadata, signed, unsigned};
use crate::error::StoreError;
use rusqlite::{OptionalExtension, Row, params};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadProgress {
    /// See [`LoadProgress::id_of`].
    pub id: String,
    pub source: String,
    /// Size and time tell whether the file is still the one that was begun.
    pub size: u64,
    pub mtime_us: i64,
    pub rows_done: u64,
    pub done: bool,
    pub updated_us: i64,
}

impl LoadProgress {
    /// One file loaded into one source.
    pub fn id_of(source: &str, absolute_path: &str) -> String {
        format!("{source}|{absolute_path}")
    }
}

impl Metadata {
    pub fn load_progress(&self, id: &str) -> Result<Option<LoadProgress>, StoreError> {
        let connection = self.lock();
        let sql = "SELECT id, source, size, mtime_us, rows_done, done, updated_us
                   FROM loads WHERE id = ?1";
        let found = connection.query_row(sql, [id], progress).optional()?;
        Ok(found)
    }

    /// Replaces what was noted under the same id.
    pub fn set_load_progress(&self, load: &LoadProgress) -> Result<(), StoreError> {
        self.lock().execute(
            "INSERT OR REPLACE INTO loads
                 (id, source, size, mtime_us, rows_done, done, updated_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                load.id,
                load.source,
                signed(load.size)?,
                load.mtime_us,
                signed(load.rows_done)?,
                load.done,
                load.updated_us
            ],
        )?;
        Ok(())
    }
}

fn progress(row: &Row<'_>) -> rusqlite::Result<LoadProgress> {
    Ok(LoadProgress {
        id: row.get(0)?,
        source: row.get(1)?,
        size: unsigned(row, 2)?,
        mtime_us: row.get(3)?,
        rows_done: unsigned(row, 4)?,
        done: row.get(5)?,
        updated_us: row.get(6)?,
    })
}
