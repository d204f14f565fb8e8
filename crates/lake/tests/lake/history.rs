//! History: written once, read in part, kept in order; and SQL over it.

use crate::support::{ORDERS, accounts, batch, column, history, order_rows, orders};
use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, RecordBatch};
use arrow::datatypes::{DataType as ArrowType, Field, Float32Type, Float64Type, Int64Type};
use futures::TryStreamExt;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use thalweg_definition::{DataType, HOUR, Source};
use thalweg_lake::{History, LakeError, ReadRequest, SEQUENCE, query};

async fn amounts(history: &History, source: &Source, request: ReadRequest) -> Vec<f64> {
    let request = ReadRequest { columns: vec!["amount".into(), SEQUENCE.into()], ..request };
    let batches: Vec<RecordBatch> = history.read(source, &request).await.unwrap().try_collect().await.unwrap();
    let mut rows: Vec<(i64, f64)> = Vec::new();
    for batch in &batches {
        let (amounts, sequences) = (batch.column(0), batch.column(1));
        let sequences = sequences.as_primitive::<Int64Type>().values();
        rows.extend(sequences.iter().copied().zip(amounts.as_primitive::<Float64Type>().values().iter().copied()));
    }
    rows.sort_by_key(|(sequence, _)| *sequence);
    rows.into_iter().map(|(_, amount)| amount).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_tried_again_writes_once() {
    let directory = TempDir::new().unwrap();
    let (history, source) = (history(&directory), orders());
    let sort_by = ["user_id".to_owned()];
    assert_eq!(history.position("orders").await.unwrap(), None);
    assert_eq!(history.version("orders").await.unwrap(), None);
    assert!(amounts(&history, &source, ReadRequest::default()).await.is_empty());

    let first = history.append(&source, vec![order_rows(0, &ORDERS[..2])], 2, &sort_by).await.unwrap();
    assert_eq!((first.version, first.rows), (Some(0), 2));
    let again = history.append(&source, vec![order_rows(0, &ORDERS[..2])], 2, &sort_by).await.unwrap();
    assert_eq!((again.version, again.rows), (Some(0), 0));
    assert_eq!(history.position("orders").await.unwrap(), Some(2));

    // With rows past the position that is told, the next append would bring them again.
    let past = history.append(&source, vec![order_rows(2, &ORDERS[2..])], 3, &sort_by).await;
    assert!(matches!(past, Err(LakeError::Invalid(_))), "{past:?}");
    assert_eq!(history.position("orders").await.unwrap(), Some(2));

    // A batch that reaches back before the position brings only its new rows.
    let rest = history.append(&source, vec![order_rows(1, &ORDERS[1..])], 4, &sort_by).await.unwrap();
    assert_eq!(rest.rows, 2);
    assert_eq!(amounts(&history, &source, ReadRequest::default()).await, [10.0, 20.0, 7.0, 30.0]);
    assert_eq!(history.position("orders").await.unwrap(), Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_takes_only_what_is_asked_for() {
    let directory = TempDir::new().unwrap();
    let (history, source) = (history(&directory), orders());
    let rows = [("a", 1.0, 1.0, 1.0), ("a", 25.0, 25.0, 2.0), ("b", 49.0, 49.0, 3.0), ("b", 50.0, 50.0, 4.0)];
    history.append(&source, vec![order_rows(0, &rows)], 4, &[]).await.unwrap();
    let hours = |hours: i64| Some(hours * HOUR);
    let request = |from: Option<i64>, until: Option<i64>, max_sequence: Option<u64>| ReadRequest {
        from_time: from,
        until_time: until,
        max_sequence,
        ..ReadRequest::default()
    };
    assert_eq!(amounts(&history, &source, request(hours(25), None, None)).await, [2.0, 3.0, 4.0]);
    assert_eq!(amounts(&history, &source, request(hours(2), hours(50), None)).await, [2.0, 3.0]);
    assert_eq!(amounts(&history, &source, request(None, hours(49), None)).await, [1.0, 2.0]);
    assert_eq!(amounts(&history, &source, request(None, None, Some(3))).await, [1.0, 2.0, 3.0]);

    history.append(&source, vec![order_rows(4, &[("a", 3.0, 60.0, 5.0)])], 5, &[]).await.unwrap();
    let early = ReadRequest { delta_version: Some(0), ..ReadRequest::default() };
    assert_eq!(amounts(&history, &source, early).await, [1.0, 2.0, 3.0, 4.0]);
    assert!(history.compact("orders").await.unwrap() >= 2);
    assert_eq!(history.delete_before("orders", 1).await.unwrap(), 1);
    assert_eq!(amounts(&history, &source, ReadRequest::default()).await, [2.0, 3.0, 4.0]);
    assert!(history.vacuum("orders", Duration::ZERO).await.unwrap() > 0);
    assert_eq!(amounts(&history, &source, ReadRequest::default()).await, [2.0, 3.0, 4.0]);
    // The position in the log survives maintenance.
    assert_eq!(history.position("orders").await.unwrap(), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_may_get_new_columns() {
    let directory = TempDir::new().unwrap();
    let (history, mut source) = (history(&directory), orders());
    history.append(&source, vec![order_rows(0, &ORDERS[..1])], 1, &[]).await.unwrap();
    source.columns.push(column("taste", DataType::Vector(2), false));
    let request = ReadRequest { columns: vec!["taste".into(), SEQUENCE.into()], ..ReadRequest::default() };
    let before: Vec<RecordBatch> = history.read(&source, &request).await.unwrap().try_collect().await.unwrap();
    assert_eq!(before.iter().map(|batch| batch.column(0).null_count()).sum::<usize>(), 1);

    let item = Arc::new(Field::new("item", ArrowType::Float32, true));
    let floats = Arc::new(Float32Array::from(vec![0.5, 1.5]));
    let taste: ArrayRef = Arc::new(FixedSizeListArray::new(item, 2, floats, None));
    let old = order_rows(1, &ORDERS[1..2]);
    let mut columns: Vec<(&str, ArrayRef)> = vec![("taste", taste)];
    let schema = old.schema();
    columns
        .extend(schema.fields().iter().zip(old.columns()).map(|(field, array)| (field.name().as_str(), array.clone())));
    history.append(&source, vec![batch(columns)], 2, &[]).await.unwrap();

    let after: Vec<RecordBatch> = history.read(&source, &request).await.unwrap().try_collect().await.unwrap();
    let vectors: Vec<Option<Vec<f32>>> = after
        .iter()
        .flat_map(|batch| {
            let lists = batch.column(0).as_fixed_size_list();
            let vector = |row: usize| lists.value(row).as_primitive::<Float32Type>().values().to_vec();
            (0..lists.len()).map(|row| lists.is_valid(row).then(|| vector(row))).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(vectors.len(), 2);
    assert!(vectors.contains(&None) && vectors.contains(&Some(vec![0.5, 1.5])));
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_asks_and_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let (history, source) = (history(&directory), orders());
    history.append(&source, vec![order_rows(0, &ORDERS)], 4, &[]).await.unwrap();
    let sources = [source, accounts()];
    let sql = "SELECT user_id, max(at) AS at, COUNT(*) AS n FROM orders GROUP BY user_id ORDER BY user_id";
    let answer = query(&history, &sources, sql).await.unwrap();
    let counts: Vec<i64> =
        answer.iter().flat_map(|batch| batch.column(2).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert_eq!(counts, [3, 1]);
    let empty = query(&history, &sources, "SELECT id, balance FROM accounts").await.unwrap();
    assert_eq!((empty[0].num_rows(), empty[0].num_columns()), (0, 2));
    for forbidden in ["CREATE TABLE t AS SELECT 1", "INSERT INTO orders SELECT * FROM orders", "SET a = 1"] {
        assert!(matches!(query(&history, &sources, forbidden).await, Err(LakeError::Invalid(_))), "{forbidden}");
    }
}

/// A process that is killed while it makes a table leaves a directory, and files that never got their names.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_is_in_nobodys_way() {
    let directory = TempDir::new().unwrap();
    let log = directory.path().join("history/orders/_delta_log");
    std::fs::create_dir_all(&log).unwrap();
    std::fs::write(log.join("00000000000000000000.json#1"), "{\"commitInfo\":").unwrap();
    std::fs::write(log.join("00000000000000000000.json#2"), "").unwrap();
    let (history, source) = (history(&directory), orders());
    assert_eq!(history.position("orders").await.unwrap(), None);
    assert!(amounts(&history, &source, ReadRequest::default()).await.is_empty());
    let outcome = history.append(&source, vec![order_rows(0, &ORDERS)], 4, &[]).await.unwrap();
    assert_eq!((outcome.version, outcome.rows), (Some(0), 4));
    assert_eq!(amounts(&history, &source, ReadRequest::default()).await, [10.0, 20.0, 7.0, 30.0]);
    // Of its own it leaves no file without a name.
    let staged = |name: &std::ffi::OsStr| name.to_string_lossy().contains(".json#");
    let left = std::fs::read_dir(&log).unwrap().filter(|entry| staged(&entry.as_ref().unwrap().file_name())).count();
    assert_eq!(left, 2);
}
