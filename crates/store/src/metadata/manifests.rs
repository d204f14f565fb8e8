//! The manifests that were applied, in strict order of version.

use super::views::{self, ViewChange};
use super::{Metadata, signed};
use crate::error::StoreError;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// A manifest to be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestRecord {
    pub hash: String,
    pub json: String,
    pub protobuf: Vec<u8>,
    pub note: String,
    pub applied_at_us: i64,
}

/// A manifest that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredManifest {
    pub version: u64,
    pub hash: String,
    pub json: String,
    pub protobuf: Vec<u8>,
    pub note: String,
    pub applied_at_us: i64,
}

/// A manifest in a list, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestSummary {
    pub version: u64,
    pub hash: String,
    pub note: String,
    pub applied_at_us: i64,
}

/// What an apply has given out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub version: u64,
    /// One for each [`ViewChange::Create`], in their order.
    pub spaces: Vec<u32>,
}

const ALL: &str = "SELECT version, hash, json, protobuf, note, applied_at_us FROM manifests";

impl Metadata {
    /// Records a manifest and the changes of its views in one transaction: all or nothing.
    pub fn apply(&self, manifest: &ManifestRecord, changes: &[ViewChange]) -> Result<Applied, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        let version = insert(&transaction, manifest)?;
        let mut spaces = Vec::new();
        for change in changes {
            match change {
                ViewChange::Create { name, state_key, from_sequence } => {
                    let from = signed(*from_sequence)?;
                    let at = manifest.applied_at_us;
                    spaces.push(views::create(&transaction, name, state_key, from, at)?);
                }
                ViewChange::Drop { space } => views::drop(&transaction, *space)?,
            }
        }
        transaction.commit()?;
        Ok(Applied { version, spaces })
    }

    /// Records a manifest that changes no view, and returns its version.
    pub fn put_manifest(
        &self,
        hash: &str,
        json: &str,
        protobuf: &[u8],
        note: &str,
        applied_at_us: i64,
    ) -> Result<u64, StoreError> {
        let manifest = ManifestRecord {
            hash: hash.to_owned(),
            json: json.to_owned(),
            protobuf: protobuf.to_vec(),
            note: note.to_owned(),
            applied_at_us,
        };
        Ok(self.apply(&manifest, &[])?.version)
    }

    /// The manifest in force: the one applied last.
    pub fn current_manifest(&self) -> Result<Option<StoredManifest>, StoreError> {
        let sql = format!("{ALL} ORDER BY version DESC LIMIT 1");
        let found = self.lock().query_row(&sql, [], stored).optional()?;
        Ok(found)
    }

    pub fn manifest(&self, version: u64) -> Result<Option<StoredManifest>, StoreError> {
        let sql = format!("{ALL} WHERE version = ?1");
        // None was ever given a number that the database cannot hold.
        let Ok(version) = i64::try_from(version) else { return Ok(None) };
        let found = self.lock().query_row(&sql, [version], stored).optional()?;
        Ok(found)
    }

    /// The manifest with this hash; the latest version, where it was applied more than once.
    pub fn manifest_by_hash(&self, hash: &str) -> Result<Option<StoredManifest>, StoreError> {
        let sql = format!("{ALL} WHERE hash = ?1 ORDER BY version DESC LIMIT 1");
        let found = self.lock().query_row(&sql, [hash], stored).optional()?;
        Ok(found)
    }

    /// All manifests, oldest first.
    pub fn manifests(&self) -> Result<Vec<ManifestSummary>, StoreError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare("SELECT version, hash, note, applied_at_us FROM manifests ORDER BY version")?;
        let rows = statement.query_map([], |row| {
            Ok(ManifestSummary {
                version: super::unsigned(row, 0)?,
                hash: row.get(1)?,
                note: row.get(2)?,
                applied_at_us: row.get(3)?,
            })
        })?;
        let found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(found)
    }
}

fn insert(connection: &Connection, manifest: &ManifestRecord) -> rusqlite::Result<u64> {
    connection.execute(
        "INSERT INTO manifests (hash, json, protobuf, note, applied_at_us)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![manifest.hash, manifest.json, manifest.protobuf, manifest.note, manifest.applied_at_us],
    )?;
    // A row id of this table starts at one and grows.
    Ok(connection.last_insert_rowid().unsigned_abs())
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredManifest> {
    Ok(StoredManifest {
        version: super::unsigned(row, 0)?,
        hash: row.get(1)?,
        json: row.get(2)?,
        protobuf: row.get(3)?,
        note: row.get(4)?,
        applied_at_us: row.get(5)?,
    })
}
