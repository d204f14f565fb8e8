//! The views of the manifest in force, and the space in the state store that each of them has.
//! A space is never given twice, so that leftovers of a dropped view can never be read as another's.

use super::{Metadata, unsigned};
use crate::error::StoreError;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, Row, params};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewStatus {
    /// Its state is being made from history.
    Building,
    /// It answers reads.
    Ready,
    /// It is gone; its space stays taken.
    Dropped,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewRecord {
    pub space: u32,
    pub name: String,
    /// What the state depends on: a view whose key changes is made anew.
    pub state_key: String,
    pub status: ViewStatus,
    /// The first log sequence that its state takes from the log.
    pub from_sequence: u64,
    pub created_at_us: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewChange {
    /// Begins a view, as [`ViewStatus::Building`], in a new space.
    Create {
        name: String,
        state_key: String,
        from_sequence: u64,
    },
    Drop {
        space: u32,
    },
}

impl Metadata {
    /// All views that are not dropped, by space.
    pub fn views(&self) -> Result<Vec<ViewRecord>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare(
            "SELECT space, name, state_key, status, from_sequence, created_at_us
             FROM views WHERE status <> 'dropped' ORDER BY space",
        )?;
        let rows = statement.query_map([], view)?;
        let found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(found)
    }

    /// Notes that the view in `space` has to be filled from history, again.
    pub fn view_building(&self, space: u32) -> Result<(), StoreError> {
        set_status(&self.lock(), space, "building")
    }

    /// Notes that the view in `space` answers reads from now on.
    pub fn view_ready(&self, space: u32) -> Result<(), StoreError> {
        set_status(&self.lock(), space, "ready")
    }
}

pub(super) fn create(
    connection: &Connection,
    name: &str,
    state_key: &str,
    from_sequence: i64,
    created_at_us: i64,
) -> Result<u32, StoreError> {
    connection.execute(
        "INSERT INTO views (name, state_key, status, from_sequence, created_at_us)
         VALUES (?1, ?2, 'building', ?3, ?4)",
        params![name, state_key, from_sequence, created_at_us],
    )?;
    let space = connection.last_insert_rowid();
    u32::try_from(space).map_err(|_| StoreError::TooLarge {
        what: "the number of views ever made",
        bytes: space.unsigned_abs(),
        limit: u64::from(u32::MAX),
    })
}

pub(super) fn drop(connection: &Connection, space: u32) -> Result<(), StoreError> {
    set_status(connection, space, "dropped")
}

fn set_status(connection: &Connection, space: u32, status: &str) -> Result<(), StoreError> {
    let changed = connection
        .execute("UPDATE views SET status = ?2 WHERE space = ?1 AND status <> 'dropped'", params![space, status])?;
    if changed == 0 {
        return Err(StoreError::NotFound { object: format!("a view in space {space}") });
    }
    Ok(())
}

fn view(row: &Row<'_>) -> rusqlite::Result<ViewRecord> {
    Ok(ViewRecord {
        space: row.get(0)?,
        name: row.get(1)?,
        state_key: row.get(2)?,
        status: row.get(3)?,
        from_sequence: unsigned(row, 4)?,
        created_at_us: row.get(5)?,
    })
}

impl FromSql for ViewStatus {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<ViewStatus> {
        match value.as_str()? {
            "building" => Ok(ViewStatus::Building),
            "ready" => Ok(ViewStatus::Ready),
            "dropped" => Ok(ViewStatus::Dropped),
            other => Err(FromSqlError::Other(format!("a view's status is {other}").into())),
        }
    }
}
