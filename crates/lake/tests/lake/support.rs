//! A small shop with two sources, and rows for them.

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tempfile::TempDir;
use thalweg_definition::{
    About, Aggregation, CheckedManifest, Column, DAY, DataType, Duration, Entity, Feature, FeatureService, FeatureView,
    HOUR, Manifest, OnDemandFeature, Source, SourceKind, Window, validate,
};
use thalweg_lake::{ARRIVAL, History, SEQUENCE, SqlExpressions};

pub fn column(name: &str, data_type: DataType, required: bool) -> Column {
    Column { name: name.into(), data_type, required, min: None, max: None, allowed: vec![], description: String::new() }
}

pub fn orders() -> Source {
    Source {
        name: "orders".into(),
        kind: SourceKind::Event,
        columns: vec![
            column("user_id", DataType::String, false),
            column("at", DataType::Timestamp, true),
            column("amount", DataType::Float64, false),
        ],
        timestamp: "at".into(),
        arrival_time: None,
        dedup: None,
        filter: None,
        steps: vec![],
        retention: None,
        about: About::default(),
    }
}

pub fn accounts() -> Source {
    let kind = SourceKind::Change { primary_key: vec!["id".into()], operation: "op".into() };
    let columns = vec![
        column("id", DataType::Int64, true),
        column("user_id", DataType::String, false),
        column("at", DataType::Timestamp, false),
        column("balance", DataType::Float64, false),
        column("op", DataType::String, true),
    ];
    Source { name: "accounts".into(), kind, columns, ..orders() }
}

pub fn feature(name: &str, aggregation: Aggregation, input: Option<&str>, windows: Vec<Window>) -> Feature {
    Feature {
        name: name.into(),
        aggregation,
        input: input.map(str::to_owned),
        filter: None,
        by: None,
        windows,
        about: About::default(),
    }
}

pub fn view(name: &str, source: &str, features: Vec<Feature>) -> FeatureView {
    FeatureView {
        name: name.into(),
        entity: "user".into(),
        sources: vec![source.into()],
        filter: None,
        derived: vec![],
        features,
        freshness: None,
        staleness: None,
        declared_retention: None,
        time_zone: None,
        keep_nan: false,
        about: About::default(),
    }
}

pub fn checked() -> Arc<CheckedManifest> {
    let week = || vec![Window::Sliding { over: Duration::from_micros(7 * DAY), hop: None }];
    let spend = vec![
        feature("n", Aggregation::Count, None, week()),
        feature("total", Aggregation::Sum, Some("amount"), week()),
    ];
    let holdings = vec![feature("balance", Aggregation::Sum, Some("balance"), vec![Window::Unbounded])];
    let manifest = Manifest {
        project: "shop".into(),
        entities: vec![Entity {
            name: "user".into(),
            keys: vec![column("user_id", DataType::String, false)],
            about: About::default(),
        }],
        sources: vec![accounts(), orders()],
        views: vec![view("holdings", "accounts", holdings), view("spend", "orders", spend)],
        on_demand: vec![OnDemandFeature {
            name: "ratio".into(),
            expression: "spend.total_7d / request.x".into(),
            request: vec![column("x", DataType::Float64, false)],
            about: About::default(),
        }],
        services: vec![FeatureService {
            name: "shop".into(),
            features: vec!["spend.total_7d".into(), "ratio".into()],
            log_sample: 0.0,
            about: About::default(),
        }],
        training_sets: vec![],
        direct: vec![],
    };
    let checked = validate(manifest, &BTreeMap::new(), &SqlExpressions::new());
    Arc::new(checked.unwrap_or_else(|error| panic!("{error}")))
}

pub fn times(hours: &[Option<f64>]) -> ArrayRef {
    let micros = hours.iter().map(|hours| hours.map(|hours| (hours * HOUR as f64) as i64));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

pub fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

pub fn texts<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<StringArray>())
}

pub fn numbers(values: impl IntoIterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Float64Array>())
}

pub fn integers(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// An order of a user, with its event time and arrival time in hours.
pub type Order = (&'static str, f64, f64, f64);

pub fn order_rows(first_sequence: i64, rows: &[Order]) -> RecordBatch {
    batch(vec![
        ("user_id", texts(rows.iter().map(|row| Some(row.0)))),
        ("at", times(&rows.iter().map(|row| Some(row.1)).collect::<Vec<_>>())),
        ("amount", numbers(rows.iter().map(|row| Some(row.3)))),
        (ARRIVAL, times(&rows.iter().map(|row| Some(row.2)).collect::<Vec<_>>())),
        (SEQUENCE, integers(first_sequence..first_sequence + rows.len() as i64)),
    ])
}

pub const ORDERS: [Order; 4] =
    [("a", 1.0, 1.0, 10.0), ("a", 2.0, 5.0, 20.0), ("b", 3.0, 3.0, 7.0), ("a", 4.0, 4.0, 30.0)];

pub fn history(directory: &TempDir) -> History {
    History::open(directory.path().join("history").to_str().unwrap(), HashMap::new()).unwrap()
}
