//! The training sets that were built, each with the report that tells how.

use super::{Metadata, signed, unsigned};
use crate::error::StoreError;
use rusqlite::{OptionalExtension, Row, params};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingSetRecord {
    pub id: String,
    pub service: String,
    pub as_of: String,
    pub manifest_hash: String,
    pub rows: u64,
    pub created_at_us: i64,
    pub report_json: String,
}

const ALL: &str = "SELECT id, service, as_of, manifest_hash, row_count, created_at_us, report_json
                   FROM training_sets";

impl Metadata {
    /// Replaces a record of the same id.
    pub fn put_training_set(&self, set: &TrainingSetRecord) -> Result<(), StoreError> {
        self.lock().execute(
            "INSERT OR REPLACE INTO training_sets
                 (id, service, as_of, manifest_hash, row_count, created_at_us, report_json)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                set.id,
                set.service,
                set.as_of,
                set.manifest_hash,
                signed(set.rows)?,
                set.created_at_us,
                set.report_json
            ],
        )?;
        Ok(())
    }

    pub fn training_set(&self, id: &str) -> Result<Option<TrainingSetRecord>, StoreError> {
        let sql = format!("{ALL} WHERE id = ?1");
        let found = self.lock().query_row(&sql, [id], record).optional()?;
        Ok(found)
    }

    /// All training sets, newest first.
    pub fn training_sets(&self) -> Result<Vec<TrainingSetRecord>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare(&format!("{ALL} ORDER BY created_at_us DESC, id"))?;
        let rows = statement.query_map([], record)?;
        let found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(found)
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<TrainingSetRecord> {
    Ok(TrainingSetRecord {
        id: row.get(0)?,
        service: row.get(1)?,
        as_of: row.get(2)?,
        manifest_hash: row.get(3)?,
        rows: unsigned(row, 4)?,
        created_at_us: row.get(5)?,
        report_json: row.get(6)?,
    })
}
