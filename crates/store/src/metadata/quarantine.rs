//! The rows that could not be taken in: their raw bytes, where they stood and why, until they are
//! replayed. A row is told by its source, log sequence and index, so that recovery, which reads the
//! log again, counts none twice.

use super::{Metadata, signed, unsigned};
use crate::error::StoreError;
use rusqlite::{Row, params};

/// A row on its way into quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedRow {
    pub source: String,
    /// The log sequence of the record that brought it.
    pub position: u64,
    /// Which row of that record it is.
    pub row_index: u64,
    pub reason: String,
    pub column: Option<String>,
    pub raw: Vec<u8>,
    pub at_us: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredQuarantine {
    pub id: i64,
    pub row: QuarantinedRow,
    pub replayed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuarantineCount {
    /// All rows ever quarantined.
    pub total: u64,
    /// Those of them not replayed yet.
    pub waiting: u64,
}

impl Metadata {
    /// Adds the rows that are not there yet, all or none, and returns how many were new.
    pub fn quarantine(&self, rows: &[QuarantinedRow]) -> Result<u64, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let mut added = 0;
        {
            let mut statement = transaction.prepare(
                "INSERT INTO quarantine
                     (source, position, row_index, reason, column_name, raw, at_us)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (source, position, row_index) DO NOTHING",
            )?;
            for row in rows {
                added += statement.execute(params![
                    row.source,
                    signed(row.position)?,
                    signed(row.row_index)?,
                    row.reason,
                    row.column,
                    row.raw,
                    row.at_us
                ])?;
            }
        }
        transaction.commit()?;
        Ok(added as u64)
    }

    /// The rows of one source that wait for a replay, in the order they came.
    pub fn quarantined(&self, source: &str, limit: u64, offset: u64) -> Result<Vec<StoredQuarantine>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare(
            "SELECT id, source, position, row_index, reason, column_name, raw, at_us, replayed
             FROM quarantine WHERE source = ?1 AND replayed = 0 ORDER BY id LIMIT ?2 OFFSET ?3",
        )?;
        let (limit, offset) = (signed(limit)?, signed(offset)?);
        let rows = statement.query_map(params![source, limit, offset], quarantined)?;
        let found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(found)
    }

    /// The rows of one source that wait for a replay, from the one after `after_id` on: paging by
    /// id stays right while rows are being marked.
    pub fn quarantine_waiting(
        &self,
        source: &str,
        after_id: i64,
        limit: u64,
    ) -> Result<Vec<StoredQuarantine>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare(
            "SELECT id, source, position, row_index, reason, column_name, raw, at_us, replayed
             FROM quarantine WHERE source = ?1 AND replayed = 0 AND id > ?2 ORDER BY id LIMIT ?3",
        )?;
        let limit = signed(limit)?;
        let rows = statement.query_map(params![source, after_id, limit], quarantined)?;
        let found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(found)
    }

    pub fn quarantine_count(&self, source: &str) -> Result<QuarantineCount, StoreError> {
        let counted = self.lock().query_row(
            "SELECT count(*), count(*) FILTER (WHERE replayed = 0)
             FROM quarantine WHERE source = ?1",
            [source],
            |row| Ok(QuarantineCount { total: unsigned(row, 0)?, waiting: unsigned(row, 1)? }),
        )?;
        Ok(counted)
    }

    /// Marks rows as replayed, all or none, and returns how many were not marked before.
    pub fn mark_replayed(&self, ids: &[i64]) -> Result<u64, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let mut marked = 0;
        for id in ids {
            let sql = "UPDATE quarantine SET replayed = 1 WHERE id = ?1 AND replayed = 0";
            marked += transaction.execute(sql, [id])?;
        }
        transaction.commit()?;
        Ok(marked as u64)
    }
}

fn quarantined(row: &Row<'_>) -> rusqlite::Result<StoredQuarantine> {
    Ok(StoredQuarantine {
        id: row.get(0)?,
        row: QuarantinedRow {
            source: row.get(1)?,
            position: unsigned(row, 2)?,
            row_index: unsigned(row, 3)?,
            reason: row.get(4)?,
            column: row.get(5)?,
            raw: row.get(6)?,
            at_us: row.get(7)?,
        },
        replayed: row.get(8)?,
    })
}
