//! Training sets, against values worked out by hand.

use crate::support::{
    ORDERS, Order, accounts, batch, checked, history, integers, numbers, order_rows, orders, texts, times,
};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tempfile::TempDir;
use thalweg_definition::AsOf;
use thalweg_lake::{
    ARRIVAL, History, LakeError, SEQUENCE, SpineInput, SqlExpressions, TrainingRequest, TrainingSet, build, read_file,
    write_parquet,
};

/// Users and their query times in hours; the on-demand feature divides by two.
fn spine(rows: &[(Option<&str>, f64)]) -> Vec<RecordBatch> {
    vec![batch(vec![
        ("user_id", texts(rows.iter().map(|row| row.0))),
        ("ts", times(&rows.iter().map(|row| Some(row.1)).collect::<Vec<_>>())),
        ("x", numbers(rows.iter().map(|_| Some(2.0)))),
    ])]
}

fn request(directory: &TempDir, features: &[&str], spine: Vec<RecordBatch>) -> TrainingRequest {
    TrainingRequest {
        checked: checked(),
        manifest_hash: "hash".into(),
        features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        service: "shop".into(),
        spine: SpineInput::Batches(spine),
        timestamp: "ts".into(),
        as_of: AsOf::EventTime,
        cut: None,
        statuses: true,
        max_sequence: BTreeMap::new(),
        memory_bytes: 64 << 20,
        keep_slower_than: Duration::ZERO,
        work_dir: directory.path().join("work"),
    }
}

async fn built(history: &History, request: &TrainingRequest) -> TrainingSet {
    build(history, &SqlExpressions::new(), request, &|_, _| {}, &AtomicBool::new(false)).await.unwrap()
}

fn floats(set: &TrainingSet, name: &str) -> Vec<Option<f64>> {
    let values = |batch: &RecordBatch| {
        let column = batch.column_by_name(name).unwrap_or_else(|| panic!("column {name}"));
        column.as_primitive::<Float64Type>().iter().collect::<Vec<_>>()
    };
    set.batches.iter().flat_map(values).collect()
}

fn words(set: &TrainingSet, name: &str) -> Vec<String> {
    let values = |batch: &RecordBatch| {
        let column = batch.column_by_name(name).unwrap_or_else(|| panic!("column {name}"));
        column.as_string::<i32>().iter().map(|word| word.unwrap_or("").to_owned()).collect::<Vec<_>>()
    };
    set.batches.iter().flat_map(values).collect()
}

const FEATURES: [&str; 3] = ["spend.total_7d", "ratio", "spend.n_7d"];
const SPINE: [(Option<&str>, f64); 7] = [
    (Some("a"), 6.0),
    (Some("a"), 1.0),
    (Some("a"), 3.0),
    (Some("b"), 4.0),
    (Some("c"), 4.0),
    (None, 4.0),
    (Some("a"), 4.0),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_training_set_has_the_values_of_each_rows_time() {
    let directory = TempDir::new().unwrap();
    let history = history(&directory);
    history.append(&orders(), vec![order_rows(0, &ORDERS)], 4, &[]).await.unwrap();
    let mut request = request(&directory, &FEATURES, spine(&SPINE));
    let by_event = built(&history, &request).await;
    let names: Vec<&str> = by_event.schema.fields().iter().map(|field| field.name().as_str()).collect();
    let expected = [
        "user_id",
        "ts",
        "x",
        "spend__total_7d",
        "spend__total_7d__status",
        "ratio",
        "ratio__status",
        "spend__n_7d",
        "spend__n_7d__status",
    ];
    assert_eq!(names, expected);
    assert_eq!(floats(&by_event, "spend__total_7d"), [Some(60.0), None, Some(30.0), Some(7.0), None, None, Some(30.0)]);
    assert_eq!(floats(&by_event, "ratio"), [Some(30.0), None, Some(15.0), Some(3.5), None, None, Some(15.0)]);
    assert_eq!(
        words(&by_event, "spend__total_7d__status"),
        ["PRESENT", "NOT_FOUND", "PRESENT", "PRESENT", "NOT_FOUND", "NOT_FOUND", "PRESENT"]
    );
    assert_eq!(words(&by_event, "ratio__status")[..2], ["PRESENT", "NULL"]);
    let counts = by_event.batches[0].column_by_name("spend__n_7d").unwrap();
    assert_eq!(counts.as_primitive::<Int64Type>().values(), &[3i64, 0, 2, 1, 0, 0, 2]);
    let total = &by_event.report.features[0];
    assert_eq!((total.nulls, total.defaults, total.late_changed), (3, 3, 2));
    assert_eq!((total.min, total.max, total.mean), (Some(7.0), Some(60.0), Some(31.75)));
    assert_eq!(by_event.report.features[1].late_changed, 2);
    assert_eq!(by_event.report.sources["orders"].sequence, 4);

    request.as_of = AsOf::Arrival;
    let by_arrival = built(&history, &request).await;
    assert_eq!(
        floats(&by_arrival, "spend__total_7d"),
        [Some(60.0), None, Some(10.0), Some(7.0), None, None, Some(10.0)]
    );
    assert_ne!(by_event.id, by_arrival.id);
    assert_eq!(by_arrival.report.features[0].late_changed, 2);

    // Rows past the watermark are not there yet.
    request.max_sequence.insert("orders".into(), 1);
    let early = built(&history, &request).await;
    assert_eq!(floats(&early, "spend__total_7d")[0], Some(10.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_inputs_make_the_same_bytes_spilled_stopped_or_not() {
    let directory = TempDir::new().unwrap();
    let history = history(&directory);
    let users = ["a", "b", "c", "d", "e", "f", "g"];
    let order = |i: usize| (users[i * 5 % 7], i as f64 / 4.0, i as f64 / 4.0 + (i % 3) as f64, i as f64 * 0.1);
    let rows: Vec<Order> = (0..500).map(order).collect();
    history.append(&orders(), vec![order_rows(0, &rows)], 500, &["user_id".into()]).await.unwrap();
    let asked: Vec<(Option<&str>, f64)> = (0..300).map(|i| (Some(users[i % 7]), (i * 13 % 130) as f64)).collect();
    let mut request = request(&directory, &FEATURES, spine(&asked));
    let whole = built(&history, &request).await;

    request.memory_bytes = 0;
    let stopped = AtomicBool::new(true);
    let cancelled = build(&history, &SqlExpressions::new(), &request, &|_, _| {}, &stopped).await;
    assert!(matches!(cancelled, Err(LakeError::Cancelled)));
    let spilled = built(&history, &request).await;
    assert_eq!((&whole.id, &whole.batches), (&spilled.id, &spilled.batches));
    assert_eq!(std::fs::read_dir(&request.work_dir).unwrap().count(), 0);

    let (one, two) = (directory.path().join("one.parquet"), directory.path().join("two.parquet"));
    write_parquet(&one, &whole.schema, &whole.batches).unwrap();
    write_parquet(&two, &spilled.schema, &spilled.batches).unwrap();
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
    let read: usize = read_file(&one, 100).unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(read, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_takes_back_the_row_before_it() {
    let directory = TempDir::new().unwrap();
    let history = history(&directory);
    let hours = [Some(1.0), Some(2.0), Some(3.0)];
    let rows = batch(vec![
        ("id", integers([1, 1, 1])),
        ("user_id", texts([Some("a"), Some("b"), None])),
        // The delete says nothing of its time: it happened when it arrived.
        ("at", times(&[Some(1.0), Some(2.0), None])),
        ("balance", numbers([Some(10.0), Some(15.0), None])),
        ("op", texts([Some("insert"), Some("update"), Some("delete")])),
        (ARRIVAL, times(&hours)),
        (SEQUENCE, integers(0..3)),
    ]);
    history.append(&accounts(), vec![rows], 3, &[]).await.unwrap();
    let asked =
        [(Some("a"), 1.5), (Some("a"), 2.0), (Some("a"), 2.5), (Some("b"), 2.5), (Some("b"), 3.0), (Some("b"), 4.0)];
    let set = built(&history, &request(&directory, &["holdings.balance"], spine(&asked))).await;
    assert_eq!(floats(&set, "holdings__balance"), [Some(10.0), Some(10.0), None, Some(15.0), Some(15.0), None]);
    assert_eq!(words(&set, "holdings__balance__status")[2], "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spine_that_does_not_fit_is_refused_by_name() {
    let directory = TempDir::new().unwrap();
    let history = history(&directory);
    let without = |name: &str| {
        let whole = spine(&SPINE).remove(0);
        let keep: Vec<usize> = (0..whole.num_columns()).filter(|at| whole.schema().field(*at).name() != name).collect();
        vec![whole.project(&keep).unwrap()]
    };
    let unfinished = batch(vec![("user_id", texts([Some("a")])), ("ts", times(&[None])), ("x", numbers([Some(1.0)]))]);
    let cases = [
        (without("user_id"), "`user_id`"),
        (without("ts"), "`ts`"),
        (without("x"), "`x`"),
        (vec![unfinished], "1 rows"),
    ];
    for (spine, expected) in cases {
        let request = request(&directory, &FEATURES, spine);
        let refused = build(&history, &SqlExpressions::new(), &request, &|_, _| {}, &AtomicBool::new(false)).await;
        let Err(LakeError::Invalid(reason)) = refused else { panic!("{expected} was taken") };
        assert!(reason.contains(expected), "{reason}");
    }
}
