//! The metadata: which manifests were applied, which views they made, how far loads have come,
//! which training sets were built, the rows in quarantine, and the API keys. SQLite keeps it, as
//! operators know how to back that up.
//!
//! Times are int64 microseconds since the epoch, and are passed in: this crate has no clock.

mod keys;
mod loads;
mod manifests;
mod quarantine;
mod schema;
mod training_sets;
mod views;

pub use keys::ApiKeyRecord;
pub use loads::LoadProgress;
pub use manifests::{Applied, ManifestRecord, ManifestSummary, StoredManifest};
pub use quarantine::{QuarantineCount, QuarantinedRow, StoredQuarantine};
pub use training_sets::TrainingSetRecord;
pub use views::{ViewChange, ViewRecord, ViewStatus};

use crate::error::StoreError;
use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, Row};
use std::path::Path;

/// The metadata database. All its methods may be called from any thread.
pub struct Metadata {
    connection: Mutex<Connection>,
}

impl Metadata {
    /// Opens or creates the database, and brings an older schema up to this version's.
    pub fn open(path: &Path) -> Result<Metadata, StoreError> {
        Metadata::prepare(Connection::open(path)?, path)
    }

    /// A database that lasts as long as this value.
    pub fn in_memory() -> Result<Metadata, StoreError> {
        Metadata::prepare(Connection::open_in_memory()?, Path::new(":memory:"))
    }

    /// As [`Metadata::in_memory`], where every commit asks `gate` first: at a no the transaction is rolled
    /// back whole and fails, as when the power goes before it is durable. It is for tests that take
    /// the power from files as well.
    pub fn in_memory_gated(gate: impl Fn() -> bool + Send + 'static) -> Result<Metadata, StoreError> {
        let metadata = Metadata::in_memory()?;
        metadata.lock().commit_hook(Some(move || !gate()))?;
        Ok(metadata)
    }

    fn prepare(mut connection: Connection, path: &Path) -> Result<Metadata, StoreError> {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        schema::migrate(&mut connection, path)?;
        Ok(Metadata { connection: Mutex::new(connection) })
    }

    /// A number that changes with every change of the database that another connection made, such
    /// as a command of another process; changes made through this value leave it as it is.
    pub fn data_version(&self) -> Result<i64, StoreError> {
        let version = self.lock().pragma_query_value(None, "data_version", |row| row.get(0))?;
        Ok(version)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock()
    }
}

/// SQLite's integers are signed.
fn signed(value: u64) -> rusqlite::Result<i64> {
    i64::try_from(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}
