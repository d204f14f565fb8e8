//! The schema of the metadata database and its versions. A step once released is never edited:
//! a change is a new step at the end.

use crate::error::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// "THWL" as SQLite's application id: how `file` and this crate know the database.
const APPLICATION_ID: i64 = 0x5448_574c;

/// Step `n` brings `user_version` from `n` to `n + 1`.
const STEPS: &[&str] = &[
    "
CREATE TABLE manifests (
    version       INTEGER PRIMARY KEY AUTOINCREMENT,
    hash          TEXT    NOT NULL,
    json          TEXT    NOT NULL,
    protobuf      BLOB    NOT NULL,
    note          TEXT    NOT NULL,
    applied_at_us INTEGER NOT NULL
) STRICT;
CREATE INDEX manifests_by_hash ON manifests (hash);

CREATE TABLE views (
    space         INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL,
    state_key     TEXT    NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('building', 'ready', 'dropped')),
    from_sequence INTEGER NOT NULL,
    created_at_us INTEGER NOT NULL
) STRICT;

CREATE TABLE loads (
    id         TEXT    PRIMARY KEY,
    source     TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    mtime_us   INTEGER NOT NULL,
    rows_done  INTEGER NOT NULL,
    done       INTEGER NOT NULL,
    updated_us INTEGER NOT NULL
) STRICT;

CREATE TABLE training_sets (
    id            TEXT    PRIMARY KEY,
    service       TEXT    NOT NULL,
    as_of         TEXT    NOT NULL,
    manifest_hash TEXT    NOT NULL,
    row_count     INTEGER NOT NULL,
    created_at_us INTEGER NOT NULL,
    report_json   TEXT    NOT NULL
) STRICT;

CREATE TABLE quarantine (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    source      TEXT    NOT NULL,
    position    INTEGER NOT NULL,
    row_index   INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    column_name TEXT,
    raw         BLOB    NOT NULL,
    at_us       INTEGER NOT NULL,
    replayed    INTEGER NOT NULL DEFAULT 0,
    UNIQUE (source, position, row_index)
) STRICT;
",
    "
CREATE TABLE api_keys (
    id                TEXT    PRIMARY KEY,
    name              TEXT    NOT NULL,
    secret_hash       BLOB    NOT NULL,
    namespaces        TEXT    NOT NULL,
    scopes            TEXT    NOT NULL,
    rate_per_second   INTEGER,
    created_at_us     INTEGER NOT NULL,
    expires_at_us     INTEGER,
    revoked_at_us     INTEGER,
    previous_hash     BLOB,
    previous_until_us INTEGER
) STRICT;
",
];

/// Brings the database to the newest schema, each step whole or not at all.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let found = number(connection, "user_version")?;
    let application = number(connection, "application_id")?;
    let newest = STEPS.len() as i64;
    if application != 0 && application != APPLICATION_ID {
        let why = "this is another application's database";
        return Err(StoreError::damaged(path, 68, why));
    }
    if found < 0 || found > newest {
        return Err(StoreError::NewerFormat { file: path.to_path_buf(), found: format!("schema {found}") });
    }
    for (version, step) in (1_i64..).zip(STEPS).skip(found as usize) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have made the step in the meantime: a command beside a server, say.
        if number(&transaction, "user_version")? >= version {
            continue;
        }
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}
