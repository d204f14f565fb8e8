//! The metadata database: what is applied together is there together, and nothing counts twice.

use crate::refused;
use thalweg_store::{
    ApiKeyRecord, LoadProgress, ManifestRecord, Metadata, QuarantinedRow, StoreError, TrainingSetRecord, ViewChange,
    ViewStatus,
};

fn manifest(hash: &str) -> ManifestRecord {
    ManifestRecord {
        hash: hash.to_owned(),
        json: format!("{{\"hash\":\"{hash}\"}}"),
        protobuf: vec![1, 2, 3],
        note: "a note".to_owned(),
        applied_at_us: 1_700_000_000_000_000,
    }
}

fn create(name: &str) -> ViewChange {
    ViewChange::Create { name: name.to_owned(), state_key: format!("{name}-1"), from_sequence: 12 }
}

#[test]
fn an_apply_is_all_or_nothing() {
    let metadata = Metadata::in_memory().unwrap();
    assert_eq!(metadata.current_manifest().unwrap(), None);
    let changes = [create("a"), create("b")];
    let first = metadata.apply(&manifest("one"), &changes).unwrap();
    assert_eq!((first.version, first.spaces.as_slice()), (1, &[1, 2][..]));
    metadata.view_ready(1).unwrap();

    let (views, manifests) = (metadata.views().unwrap(), metadata.manifests().unwrap());
    assert_eq!(views[0].status, ViewStatus::Ready);
    assert_eq!(views[1].status, ViewStatus::Building);
    assert_eq!((views[1].name.as_str(), views[1].from_sequence), ("b", 12));

    let wrong = [create("c"), ViewChange::Drop { space: 1 }, ViewChange::Drop { space: 99 }];
    let error = refused(metadata.apply(&manifest("two"), &wrong));
    assert!(error.to_string().contains("space 99"), "{error}");
    assert_eq!(metadata.views().unwrap(), views);
    assert_eq!(metadata.manifests().unwrap(), manifests);
    assert_eq!(metadata.manifest_by_hash("two").unwrap(), None);

    let right = [ViewChange::Drop { space: 2 }, create("c")];
    let second = metadata.apply(&manifest("two"), &right).unwrap();
    assert_eq!(second.version, 2);
    let names: Vec<String> = metadata.views().unwrap().into_iter().map(|view| view.name).collect();
    assert_eq!(names, ["a", "c"]);
    assert!(second.spaces[0] > 2, "a space is never given twice");
    assert!(matches!(refused(metadata.view_ready(2)), StoreError::NotFound { .. }));
}

#[test]
fn manifests_are_found_by_version_and_hash() {
    let metadata = Metadata::in_memory().unwrap();
    for hash in ["x", "y", "x"] {
        metadata.put_manifest(hash, "{}", b"pb", "", 5).unwrap();
    }
    assert_eq!(metadata.current_manifest().unwrap().unwrap().version, 3);
    assert_eq!(metadata.manifest(2).unwrap().unwrap().hash, "y");
    assert_eq!(metadata.manifest(9).unwrap(), None);
    let found = metadata.manifest_by_hash("x").unwrap().unwrap();
    assert_eq!((found.version, found.protobuf.as_slice()), (3, &b"pb"[..]));
    let versions = metadata.manifests().unwrap().into_iter().map(|listed| listed.version);
    assert_eq!(versions.collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn the_database_lasts_and_a_newer_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata.db");
    let metadata = Metadata::open(&path).unwrap();
    metadata.apply(&manifest("one"), &[create("a")]).unwrap();
    drop(metadata);
    let metadata = Metadata::open(&path).unwrap();
    assert_eq!(metadata.current_manifest().unwrap().unwrap().hash, "one");
    assert_eq!(metadata.views().unwrap().len(), 1);
    drop(metadata);

    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 1000).unwrap();
    drop(connection);
    let error = refused(Metadata::open(&path));
    assert!(matches!(error, StoreError::NewerFormat { .. }), "{error}");
}

#[test]
fn quarantined_rows_count_once_and_can_be_replayed() {
    let metadata = Metadata::in_memory().unwrap();
    let row = |row_index| QuarantinedRow {
        source: "departures".to_owned(),
        position: 77,
        row_index,
        reason: "no number".to_owned(),
        column: Some("delay".to_owned()),
        raw: b"{\"delay\":\"x\"}".to_vec(),
        at_us: 1,
    };
    assert_eq!(metadata.quarantine(&[row(0), row(1), row(2)]).unwrap(), 3);
    assert_eq!(metadata.quarantine(&[row(1), row(3)]).unwrap(), 1);

    let page = metadata.quarantined("departures", 2, 1).unwrap();
    assert_eq!(page.len(), 2);
    assert_eq!(page[0].row, row(1));
    assert!(!page[0].replayed);
    assert!(metadata.quarantined("others", 10, 0).unwrap().is_empty());

    let ids: Vec<i64> = page.iter().map(|stored| stored.id).collect();
    assert_eq!(metadata.mark_replayed(&ids).unwrap(), 2);
    assert_eq!(metadata.mark_replayed(&ids).unwrap(), 0);
    let count = metadata.quarantine_count("departures").unwrap();
    assert_eq!((count.total, count.waiting), (4, 2));
    let waiting = metadata.quarantine_waiting("departures", 0, 10).unwrap();
    assert_eq!(waiting.len(), 2);
    assert_eq!(waiting[1].row, row(3));
    let after = metadata.quarantine_waiting("departures", waiting[0].id, 10).unwrap();
    assert_eq!(after.len(), 1);
}

#[test]
fn loads_and_training_sets_are_kept() {
    let metadata = Metadata::in_memory().unwrap();
    let mut load = LoadProgress {
        id: LoadProgress::id_of("departures", "/data/2013.csv"),
        source: "departures".to_owned(),
        size: 10,
        mtime_us: 20,
        rows_done: 30,
        done: false,
        updated_us: 40,
    };
    assert_eq!(metadata.load_progress(&load.id).unwrap(), None);
    metadata.set_load_progress(&load).unwrap();
    load.done = true;
    metadata.set_load_progress(&load).unwrap();
    assert_eq!(metadata.load_progress(&load.id).unwrap(), Some(load));

    let set = |id: &str, created_at_us| TrainingSetRecord {
        id: id.to_owned(),
        service: "delays".to_owned(),
        as_of: "event_time".to_owned(),
        manifest_hash: "x".to_owned(),
        rows: 5,
        created_at_us,
        report_json: "{}".to_owned(),
    };
    metadata.put_training_set(&set("first", 1)).unwrap();
    metadata.put_training_set(&set("second", 2)).unwrap();
    assert_eq!(metadata.training_set("first").unwrap(), Some(set("first", 1)));
    assert_eq!(metadata.training_sets().unwrap(), [set("second", 2), set("first", 1)]);
}

#[test]
fn keys_are_kept_taken_back_once_and_rotated() {
    let metadata = Metadata::in_memory().unwrap();
    let key = |id: &str, created_at_us| ApiKeyRecord {
        id: id.to_owned(),
        name: "ci".to_owned(),
        secret_hash: vec![1; 32],
        namespaces: "a,b".to_owned(),
        scopes: "read".to_owned(),
        rate_per_second: Some(u32::MAX),
        created_at_us,
        expires_at_us: None,
        revoked_at_us: None,
        previous: None,
    };
    metadata.add_api_key(&key("second", 2)).unwrap();
    metadata.add_api_key(&key("first", 1)).unwrap();
    assert!(matches!(refused(metadata.add_api_key(&key("first", 3))), StoreError::Metadata(_)));
    assert_eq!(metadata.api_keys().unwrap(), [key("first", 1), key("second", 2)]);

    assert!(metadata.rotate_api_key("first", &[2; 32], 50).unwrap());
    let rotated = ApiKeyRecord { secret_hash: vec![2; 32], previous: Some((vec![1; 32], 50)), ..key("first", 1) };
    assert_eq!(metadata.api_key("first").unwrap(), Some(rotated.clone()));

    assert!(metadata.revoke_api_key("first", 60).unwrap());
    assert!(!metadata.revoke_api_key("first", 70).unwrap());
    assert!(!metadata.rotate_api_key("first", &[3; 32], 80).unwrap());
    assert!(!metadata.revoke_api_key("nobody", 60).unwrap());
    assert_eq!(metadata.api_key("first").unwrap(), Some(ApiKeyRecord { revoked_at_us: Some(60), ..rotated }));
    assert_eq!(metadata.api_key("nobody").unwrap(), None);
}

#[test]
fn changes_of_another_connection_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata.db");
    let (server, command) = (Metadata::open(&path).unwrap(), Metadata::open(&path).unwrap());
    let before = server.data_version().unwrap();
    server.put_manifest("own", "{}", b"", "", 1).unwrap();
    assert_eq!(server.data_version().unwrap(), before);
    command.put_manifest("other", "{}", b"", "", 2).unwrap();
    assert_ne!(server.data_version().unwrap(), before);
}

#[test]
fn a_database_of_the_first_schema_gets_the_table_of_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metadata.db");
    drop(Metadata::open(&path).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("DROP TABLE api_keys; PRAGMA user_version = 1").unwrap();
    drop(connection);
    let metadata = Metadata::open(&path).unwrap();
    assert!(metadata.api_keys().unwrap().is_empty());
}
