//! The API keys that were ever made. What a scope, a namespace or a hash means is the server's
//! business; here they are text and bytes. A key is never deleted: that one exists is what closes the
//! doors.

use super::Metadata;
use crate::error::StoreError;
use rusqlite::{OptionalExtension, Row, params};

/// An API key as it is kept: its secret only as a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    pub id: String,
    pub name: String,
    pub secret_hash: Vec<u8>,
    /// Separated by commas.
    pub namespaces: String,
    /// Separated by commas.
    pub scopes: String,
    /// None: as many requests as the server can answer.
    pub rate_per_second: Option<u32>,
    pub created_at_us: i64,
    pub expires_at_us: Option<i64>,
    pub revoked_at_us: Option<i64>,
    /// The hash of the secret before the last rotation, and until when that one still works.
    pub previous: Option<(Vec<u8>, i64)>,
}

const ALL: &str = "SELECT id, name, secret_hash, namespaces, scopes, rate_per_second, created_at_us,
                          expires_at_us, revoked_at_us, previous_hash, previous_until_us
                   FROM api_keys";

impl Metadata {
    /// Adds a key; an id that is taken is refused.
    pub fn add_api_key(&self, key: &ApiKeyRecord) -> Result<(), StoreError> {
        let (previous_hash, previous_until) = match &key.previous {
            Some((hash, until)) => (Some(hash), Some(until)),
            None => (None, None),
        };
        self.lock().execute(
            "INSERT INTO api_keys
                 (id, name, secret_hash, namespaces, scopes, rate_per_second, created_at_us,
                  expires_at_us, revoked_at_us, previous_hash, previous_until_us)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            params![
                key.id,
                key.name,
                key.secret_hash,
                key.namespaces,
                key.scopes,
                key.rate_per_second,
                key.created_at_us,
                key.expires_at_us,
                key.revoked_at_us,
                previous_hash,
                previous_until
            ],
        )?;
        Ok(())
    }

    /// All keys, the oldest first; those that no longer work too.
    pub fn api_keys(&self) -> Result<Vec<ApiKeyRecord>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare(&format!("{ALL} ORDER BY created_at_us, id"))?;
        let rows = statement.query_map([], record)?;
        let found = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(found)
    }

    pub fn api_key(&self, id: &str) -> Result<Option<ApiKeyRecord>, StoreError> {
        let sql = format!("{ALL} WHERE id = ?1");
        let found = self.lock().query_row(&sql, [id], record).optional()?;
        Ok(found)
    }

    /// Takes a key back, and returns whether it had not been taken back before.
    pub fn revoke_api_key(&self, id: &str, at_us: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE api_keys SET revoked_at_us = ?2 WHERE id = ?1 AND revoked_at_us IS NULL";
        let changed = self.lock().execute(sql, params![id, at_us])?;
        Ok(changed > 0)
    }

    /// Gives a key another secret; the one before works until `previous_until_us`. Returns whether
    /// the key was there and had not been taken back.
    pub fn rotate_api_key(&self, id: &str, secret_hash: &[u8], previous_until_us: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE api_keys
                   SET previous_hash = secret_hash, previous_until_us = ?3, secret_hash = ?2
                   WHERE id = ?1 AND revoked_at_us IS NULL";
        let changed = self.lock().execute(sql, params![id, secret_hash, previous_until_us])?;
        Ok(changed > 0)
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<ApiKeyRecord> {
    let hash: Option<Vec<u8>> = row.get(9)?;
    let until: Option<i64> = row.get(10)?;
    Ok(ApiKeyRecord {
        id: row.get(0)?,
        name: row.get(1)?,
        secret_hash: row.get(2)?,
        namespaces: row.get(3)?,
        scopes: row.get(4)?,
        rate_per_second: row.get(5)?,
        created_at_us: row.get(6)?,
        expires_at_us: row.get(7)?,
        revoked_at_us: row.get(8)?,
        previous: hash.zip(until),
    })
}
