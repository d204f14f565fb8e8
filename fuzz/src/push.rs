//! Bodies of pushes: every row is taken or set aside, none twice, and it does not matter whether rows come as an array
//! or line by line.

use arrow::array::{Array, RecordBatch};
use std::sync::OnceLock;
use thalweg_definition::{About, Column, DataType, Source, SourceKind};
use thalweg_engine::{Decoded, Input, decode, source_schema};

pub fn json(data: &[u8]) {
    for source in sources() {
        let schema = source_schema(source);
        let Ok(decoded) = decode(source, &schema, Input::Json(data)) else { continue };
        account(&decoded);
        let rows: Vec<Vec<u8>> = (0..decoded.read).map(|row| decoded.raw(row)).collect();
        // One row a line, where no row is more than a line.
        if rows.iter().all(|row| !row.contains(&b'\n') && !row.is_empty()) {
            let lines = decode(source, &schema, Input::Lines(&rows.join(&b'\n'))).expect("no more rows than before");
            same(&decoded, &lines);
        }
    }
}

pub fn lines(data: &[u8]) {
    for source in sources() {
        let schema = source_schema(source);
        let Ok(decoded) = decode(source, &schema, Input::Lines(data)) else { continue };
        account(&decoded);
        // An array of the lines, where each of them is JSON.
        let rows: Vec<Vec<u8>> = (0..decoded.read).map(|row| decoded.raw(row)).collect();
        let is_json = |row: &Vec<u8>| serde_json::from_slice::<&serde_json::value::RawValue>(row).is_ok();
        if rows.iter().all(is_json) {
            let joined = rows.join(&b',');
            let array = [b"[".as_slice(), joined.as_slice(), b"]".as_slice()].concat();
            let array = decode(source, &schema, Input::Json(&array)).expect("the lines are JSON");
            same(&decoded, &array);
        }
    }
}

/// Rows of batches that came from elsewhere.
#[cfg(feature = "heavy")]
pub fn batches(batches: &[RecordBatch]) {
    for source in sources() {
        if let Ok(decoded) = decode(source, &source_schema(source), Input::Arrow(batches.to_vec())) {
            account(&decoded);
        }
    }
}

/// Every row that came is in one place.
fn account(decoded: &Decoded) {
    let Decoded { read, batch, positions, rejects, .. } = decoded;
    assert_eq!(batch.num_rows(), positions.len());
    assert_eq!(positions.len() + rejects.len(), *read as usize, "rows are lost, or counted twice");
    assert!(positions.windows(2).all(|pair| pair[0] < pair[1]), "{positions:?}");
    let mut all: Vec<u32> = positions.iter().copied().chain(rejects.iter().map(|reject| reject.row)).collect();
    all.sort_unstable();
    assert!(all.iter().enumerate().all(|(index, row)| index == *row as usize), "{all:?}");
    for position in positions {
        let _ = decoded.raw(*position);
    }
    assert!(rejects.iter().all(|reject| !reject.reason.is_empty()));
}

fn same(one: &Decoded, other: &Decoded) {
    let told = |decoded: &Decoded| (decoded.read, decoded.positions.clone(), decoded.rejects.clone());
    assert_eq!(told(one), told(other));
    let data = |batch: &RecordBatch| batch.columns().iter().map(|column| column.to_data()).collect::<Vec<_>>();
    assert_eq!(data(&one.batch), data(&other.batch));
}

/// An event source with a column of each type, and a change source.
pub fn sources() -> &'static [Source; 2] {
    static SOURCES: OnceLock<[Source; 2]> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let event = source("events", SourceKind::Event);
        let mut change =
            source("changes", SourceKind::Change { primary_key: vec!["whole".to_owned()], operation: "op".to_owned() });
        change.columns.push(column("op", DataType::String));
        [event, change]
    })
}

fn source(name: &str, kind: SourceKind) -> Source {
    let columns = [
        ("flag", DataType::Bool),
        ("small", DataType::Int32),
        ("whole", DataType::Int64),
        ("single", DataType::Float32),
        ("real", DataType::Float64),
        ("price", DataType::Decimal(10, 2)),
        ("word", DataType::String),
        ("raw", DataType::Bytes),
        ("day", DataType::Date),
        ("at", DataType::Timestamp),
        ("tags", DataType::List(Box::new(DataType::String))),
        ("place", DataType::Vector(2)),
    ];
    Source {
        name: name.to_owned(),
        kind,
        columns: columns.into_iter().map(|(name, data_type)| column(name, data_type)).collect(),
        timestamp: "at".to_owned(),
        arrival_time: None,
        dedup: None,
        filter: None,
        steps: Vec::new(),
        retention: None,
        about: About::default(),
    }
}

fn column(name: &str, data_type: DataType) -> Column {
    Column {
        name: name.to_owned(),
        data_type,
        required: false,
        min: None,
        max: None,
        allowed: Vec::new(),
        description: String::new(),
    }
}
