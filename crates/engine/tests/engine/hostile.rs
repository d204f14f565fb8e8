//! One test for each fault that hostile input found in the engine; each opens with what it keeps out.

use crate::support::{
    NEW_YEAR, World, column, counted, deduplicating, finish, ids, ids_view, logged, manifest, order, push,
    push_with_key, request, source,
};
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType as ArrowType, Field, Schema, TimeUnit};
use serde_json::json;
use std::sync::{Arc, Mutex};
use thalweg_aggregate::{Value, array_from_values};
use thalweg_definition::{DataType, Manifest};
use thalweg_engine::limits::MAX_BATCH_ROWS;
use thalweg_engine::literal::from_json;
use thalweg_engine::{Engine, Input, LoggedBatch, PushRequest, decode, source_schema};

/// All rows of a push were taken into memory before they were counted, so that a body of millions of small ones took
/// many times its size.
#[test]
fn rows_past_the_bound_are_not_read() {
    let source = source("orders");
    let schema = source_schema(&source);
    let refused = |input: Input<'_>| match decode(&source, &schema, input) {
        Ok(decoded) => panic!("{} rows were taken", decoded.read),
        Err(error) => error.to_string(),
    };
    // What comes behind the bound is not looked at any more.
    let array = [b"[".as_slice(), &b"1,".repeat(MAX_BATCH_ROWS + 1)[..], b"this is no JSON".as_slice()].concat();
    let error = refused(Input::Json(&array));
    assert!(error.contains("a push has at most 1048576 rows"), "{error}");
    let error = refused(Input::Lines(&b"1\n".repeat(MAX_BATCH_ROWS + 1)));
    assert!(error.contains("a push has at most 1048576 rows"), "{error}");
    let error = refused(Input::Json(b"[1, this is no JSON"));
    assert!(error.contains("is not a JSON array of objects"), "{error}");
    let most = decode(&source, &schema, Input::Lines(&b"1\n".repeat(MAX_BATCH_ROWS))).expect("as many as may be");
    assert_eq!((most.read as usize, most.rejects.len()), (MAX_BATCH_ROWS, MAX_BATCH_ROWS));
}

/// An element of a vector past the range of float32 became infinite, where a column of float32 refuses it.
#[test]
fn an_element_past_float32_is_refused() {
    let vector = DataType::Vector(2);
    for json in [json!([1e300, 0]), json!([0, -3.5e38]), json!([0, null]), json!([0]), json!(["infinity", 0])] {
        assert!(from_json(&json, &vector).is_err(), "{json}");
    }
    let read = from_json(&json!([3.4e38, "-Infinity"]), &vector);
    let meant: Vec<u8> = [3.4e38_f32, f32::NEG_INFINITY].iter().flat_map(|element| element.to_le_bytes()).collect();
    assert_eq!(read, Ok(Value::Bytes(meant.into())));
}

/// Validation and the engine had parsers of their own, so that a bound on bytes was compiled and could not be applied.
#[test]
fn a_contract_that_validation_takes_is_one_to_the_engine() {
    let world = World::new();
    let mut manifest = counted();
    let bounds = [
        (DataType::Bytes, "Ag==", "Aw=="),
        (DataType::Decimal(10, 2), "0000000001.5", "2.5"),
        (DataType::Timestamp, "2024-01-01 00:00:00+01:00", "2024-01-01T00:00:00Z"),
        (DataType::Date, "2024-01-01", "2024-01-02"),
    ];
    for (index, (data_type, min, max)) in bounds.into_iter().enumerate() {
        let mut bounded = column(&format!("c{index}"), data_type);
        (bounded.min, bounded.max) = (Some(min.to_owned()), Some(max.to_owned()));
        manifest.sources[0].columns.push(bounded);
    }
    let engine = world.start(manifest);
    let mut row = order("ann", 1, NEW_YEAR - 5);
    for (name, inside) in [("c0", "AgE="), ("c1", "2"), ("c2", "2023-12-31T23:30:00Z"), ("c3", "2024-01-01")] {
        row[name] = json!(inside);
    }
    assert_eq!(push(&engine, "orders", &row).applied, 1);
    for (name, outside) in [("c0", "AQ=="), ("c0", "BA=="), ("c1", "1.49"), ("c2", "2024-01-01T00:00:01Z")] {
        let mut row = row.clone();
        row[name] = json!(outside);
        let ack = push(&engine, "orders", &row);
        assert_eq!((ack.quarantined, ack.errors[0].column.as_deref()), (1, Some(name)), "{outside}");
    }
}

/// A column of each type; rows keep the contract where `units` is not negative.
fn all_types(least: Option<&str>) -> Manifest {
    let mut source = source("orders");
    source.columns.extend([
        column("flag", DataType::Bool),
        column("small", DataType::Int32),
        column("single", DataType::Float32),
        column("cents", DataType::Decimal(38, 10)),
        column("raw", DataType::Bytes),
        column("day", DataType::Date),
        column("seen", DataType::Timestamp),
        column("tags", DataType::List(Box::new(DataType::Float64))),
        column("place", DataType::Vector(2)),
    ]);
    source.columns.iter_mut().for_each(|column| column.min = None);
    let units = source.columns.iter_mut().find(|column| column.name == "units").expect("a column of the source");
    units.min = least.map(str::to_owned);
    Manifest { sources: vec![source], ..counted() }
}

fn rows_of_all_types() -> RecordBatch {
    let text = |text: &str| Value::Bytes(text.as_bytes().into());
    let vector = |elements: [f32; 2]| Value::Bytes(elements.iter().flat_map(|one| one.to_le_bytes()).collect());
    let float = Value::Float;
    let columns = [
        vec![text("ann"), text("b\"\\\n\u{0}ö"), text("")],
        vec![Value::Int(NEW_YEAR - 5), Value::Int(NEW_YEAR - 4), Value::Int(NEW_YEAR - 3)],
        vec![Value::Int(1), Value::Int(-2), Value::Null],
        vec![float(f64::NAN), float(-0.0), float(0.1 + 0.2)],
        vec![Value::Int(-1), Value::Int(-2), Value::Int(-(1 << 62))],
        vec![text("open"), Value::Null, text("{}")],
        vec![Value::Bool(true), Value::Bool(false), Value::Null],
        vec![Value::Int(i32::MIN.into()), Value::Null, Value::Int(7)],
        vec![float(f64::NEG_INFINITY), float(0.1f32.into()), float(f64::NAN)],
        vec![Value::Decimal(10i128.pow(38) - 1), Value::Decimal(-5), Value::Decimal(1_500_000_000_000)],
        vec![Value::Bytes([0, 255, 16].into()), Value::Bytes(Box::default()), Value::Null],
        vec![Value::Int(-1), Value::Int(19_723), Value::Int(4_000_000)],
        vec![Value::Int(-1), Value::Int(i64::MAX), Value::Int(300_000_000_000_000_000)],
        vec![Value::List(vec![float(f64::NAN), Value::Null]), Value::List(vec![]), Value::Null],
        vec![vector([1.5, f32::INFINITY]), Value::Null, vector([-0.0, f32::MIN_POSITIVE / 8.0])],
    ];
    let manifest = all_types(None);
    let (schema, declared) = (source_schema(&manifest.sources[0]), &manifest.sources[0].columns);
    let arrays =
        columns.iter().zip(declared).map(|(values, column)| array_from_values(values.iter(), &column.data_type));
    RecordBatch::try_new(schema, arrays.collect()).expect("columns of the source")
}

/// As other tools have the same values: dictionaries, wide texts, other units, narrower numbers; and one more column.
fn as_others_write_it(batch: &RecordBatch) -> RecordBatch {
    let other = |name: &str| match name {
        "status" => ArrowType::Dictionary(Box::new(ArrowType::Int32), Box::new(ArrowType::Utf8)),
        "user" => ArrowType::LargeUtf8,
        "at" => ArrowType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        "id" => ArrowType::Int16,
        "single" => ArrowType::Float64,
        "raw" => ArrowType::LargeBinary,
        _ => batch.column_by_name(name).expect("its own column").data_type().clone(),
    };
    let fields = batch.schema_ref().fields();
    let mut columns: Vec<ArrayRef> = Vec::new();
    let mut named: Vec<Field> = Vec::new();
    for (field, array) in fields.iter().zip(batch.columns()) {
        let wanted = other(field.name());
        columns.push(cast(array, &wanted).expect("the same values"));
        named.push(Field::new(field.name(), wanted, true));
    }
    let more = array_from_values([Value::Null, Value::Null, Value::Null].iter(), &DataType::Int64);
    named.push(Field::new("unknown", more.data_type().clone(), true));
    columns.push(more);
    RecordBatch::try_new(Arc::new(Schema::new(named)), columns).expect("columns of one length")
}

/// Rows that came as Arrow were set aside as another JSON than pushes are read from: bytes in hexadecimal, NaN as null,
/// decimals as floats. Replayed, they were other rows, or none.
#[test]
fn a_row_of_arrow_is_replayed_as_it_came() {
    let own = rows_of_all_types();
    for sent in [own.clone(), as_others_write_it(&own)] {
        let world = World::new();
        let engine = world.start(all_types(Some("0")));
        let push =
            PushRequest { source: "orders", input: Input::Arrow(vec![sent]), idempotency_key: None, backfill: false };
        let ack = engine.push(push).expect("the push is taken");
        assert_eq!((ack.read, ack.quarantined), (3, 3), "{ack:?}");
        let applied = world.apply(&engine, all_types(None));
        finish(&engine, &applied.to_build);
        let ack = engine.replay_quarantine("orders").expect("the replay");
        assert_eq!((ack.read, ack.applied), (3, 3), "{ack:?}");
        let replayed: Vec<RecordBatch> = logged(&engine).into_iter().skip(1).map(|(_, batch)| batch.rows).collect();
        assert_eq!(replayed.len(), 3);
        for (row, replayed) in replayed.iter().enumerate() {
            for (field, array) in own.schema_ref().fields().iter().zip(own.columns()) {
                let again = replayed.column_by_name(field.name()).expect("a column of the source");
                assert_eq!(again.to_data(), array.slice(row, 1).to_data(), "row {row}, `{}`", field.name());
            }
        }
    }
}

/// What does not fit its column is kept as what it is, so that it fits once the column is mended.
#[test]
fn a_value_that_does_not_fit_is_kept_as_it_came() {
    let source = source("orders");
    let ids: ArrayRef = array_from_values([Value::Float(1.5), Value::Float(2.0)].iter(), &DataType::Float64);
    let batch = RecordBatch::try_from_iter([("id", ids)]).expect("a batch");
    let decoded = decode(&source, &source_schema(&source), Input::Arrow(vec![batch])).expect("rows");
    assert_eq!(decoded.positions, [1]);
    assert_eq!(decoded.rejects[0].raw, br#"{"id":1.5}"#);
    assert_eq!(decoded.raw(1), br#"{"id":2}"#);
}

/// One byte of a length in the wrong place made arrow ask for terabytes, which ended the process, or panic.
#[test]
fn no_damaged_byte_of_a_record_does_more_than_refuse_it() {
    let world = World::new();
    let engine = world.start(counted());
    push(&engine, "orders", &json!([order("ann", 1, NEW_YEAR - 5), order("bob", 2, NEW_YEAR - 4)]));
    let record = engine.log_from(1).next().expect("a record").expect("a good one");
    assert_eq!(LoggedBatch::decode(&record.payload).expect("a batch").rows.num_rows(), 2);
    for place in 0..record.payload.len() {
        for byte in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut damaged = record.payload.clone();
            damaged[place] = byte;
            let _ = LoggedBatch::decode(&damaged);
        }
        let _ = LoggedBatch::decode(&record.payload[..place]);
    }
}

/// What was remembered of duplicates in a source stayed for ever once the source was gone.
#[test]
fn a_source_that_is_gone_forgets_its_duplicates() {
    let world = World::new();
    let engine = world.start(deduplicating());
    let row = order("ann", 1, NEW_YEAR - 5);
    push(&engine, "orders", &row);
    assert_eq!(push(&engine, "orders", &row).deduplicated, 1);
    // It stays as long as the source does, whatever else changes.
    let mut renamed = deduplicating();
    renamed.sources[0].about.owner = "shop".to_owned();
    world.apply(&engine, renamed);
    assert_eq!(push(&engine, "orders", &row).deduplicated, 1);

    world.apply(&engine, manifest(vec![source("returns")], vec![ids_view("w", "returns")]));
    let applied = world.apply(&engine, deduplicating());
    finish(&engine, &applied.to_build);
    assert_eq!(push(&engine, "orders", &row).applied, 1, "nothing was kept of a source that was gone");
    assert_eq!(push(&engine, "orders", &row).deduplicated, 1);
    drop(engine);
    let (engine, _) = world.open();
    assert_eq!(push(&engine, "orders", &row).deduplicated, 1);
    assert_eq!(ids(&engine, "ann"), [1]);
}

/// What a group commit had taken out of the queue did not count in its bound any more while it was in memory, so that
/// with a slow disk twice as much was held as may be.
#[test]
fn a_group_counts_in_the_queue_until_it_is_durable() {
    let mut world = World::new();
    world.settings.queue_bytes = 1;
    let engine: Arc<Engine> = Arc::new(world.start(counted()));
    let bodies: Vec<String> = (1..3).map(|id| order("ann", id, NEW_YEAR - 5).to_string()).collect();
    let first = engine.submit(request("orders", bodies[0].as_bytes(), None)).expect("the queue is empty");
    let told = Arc::new(Mutex::new(Vec::new()));
    let (pushing, telling, body) = (engine.clone(), told.clone(), bodies[1].clone());
    world.disk.set_latency(Some(Arc::new(move || {
        let code = match pushing.submit(request("orders", body.as_bytes(), None)) {
            Ok(_) => "taken",
            Err(error) => error.code(),
        };
        telling.lock().expect("no test failed").push(code);
    })));
    assert_eq!(engine.commit_pending(), 1);
    world.disk.set_latency(None);
    first.wait().expect("it is durable");
    let told = told.lock().expect("no test failed").clone();
    assert!(told.len() >= 2 && told.iter().all(|code| *code == "OVERLOADED"), "{told:?}");
    push_with_key(&engine, "orders", &order("ann", 2, NEW_YEAR - 5), None).expect("there is room again");
    assert_eq!(ids(&engine, "ann"), [1, 2]);
}
