//! Row expressions: what has a type compiles to that type, refers to nothing else than it says, and gives each row the
//! same value in whatever company it is.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::concat;
use std::sync::{Arc, OnceLock};
use thalweg_aggregate::{Expressions, RowExpression, Value, array_from_values, arrow_field, arrow_type};
use thalweg_definition::{DataType, ExpressionTypes};
use thalweg_lake::SqlExpressions;

pub fn run(data: &[u8]) {
    static EXPRESSIONS: OnceLock<SqlExpressions> = OnceLock::new();
    static ROWS: OnceLock<RecordBatch> = OnceLock::new();
    let expressions = EXPRESSIONS.get_or_init(SqlExpressions::new);
    let rows = ROWS.get_or_init(rows);
    let Ok(text) = std::str::from_utf8(data) else { return };
    let columns: Vec<(String, DataType)> =
        columns().into_iter().map(|(name, data_type, _)| (name, data_type)).collect();
    let references = expressions.references(text);
    let Ok(data_type) = expressions.type_of(text, &columns) else { return };
    let references = references.expect("what has a type has names");
    let known = |name: &String| columns.iter().any(|(own, _)| own == name);
    assert!(references.iter().all(known), "{references:?} in {text:?}");
    // The columns that it names are all that it needs.
    let named: Vec<(String, DataType)> =
        columns.iter().filter(|(name, _)| references.contains(name)).cloned().collect();
    assert_eq!(expressions.type_of(text, &named).as_ref(), Ok(&data_type), "{text:?} over the columns it names");
    expressions.compile(text, &columns).expect("what has a type compiles");
    let expression = RowExpression::compile(expressions, text, &columns, data_type.clone());
    let expression = expression.expect("what has a type compiles");
    let whole = expression.evaluate(rows);
    assert_eq!((whole.len(), whole.data_type()), (rows.num_rows(), &arrow_type(&data_type)), "{text:?}");
    let single: Vec<ArrayRef> = (0..rows.num_rows()).map(|row| expression.evaluate(&rows.slice(row, 1))).collect();
    let single: Vec<&dyn Array> = single.iter().map(|array| array.as_ref()).collect();
    let joined = concat(&single).expect("arrays of one type");
    assert_eq!(joined.to_data(), whole.to_data(), "{text:?} says something else of a row alone");
}

fn rows() -> RecordBatch {
    let columns = columns();
    let fields: Vec<_> = columns.iter().map(|(name, data_type, _)| arrow_field(name, data_type)).collect();
    let arrays = columns.iter().map(|(_, data_type, values)| array_from_values(values.iter(), data_type)).collect();
    RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), arrays).expect("columns of four rows")
}

/// Names as sources, views and requests have them, with values at the edges.
fn columns() -> Vec<(String, DataType, [Value; 4])> {
    let text = |text: &str| Value::Bytes(text.as_bytes().into());
    let (int, float) = (Value::Int, Value::Float);
    let of = |name: &str, data_type: DataType, [one, two, three]: [Value; 3]| {
        (name.to_owned(), data_type, [one, two, Value::Null, three])
    };
    let tags = [vec![], vec![text("a"), Value::Null], vec![text("b")]].map(Value::List);
    vec![
        of("qty", DataType::Int64, [i64::MAX, 0, -7].map(int)),
        of("small", DataType::Int32, [i32::MIN.into(), 0, 3].map(int)),
        of("amount", DataType::Float64, [f64::NAN, -0.0, 1e300].map(float)),
        of("price", DataType::Decimal(10, 2), [9_999_999_999, 0, -1].map(Value::Decimal)),
        of("Note", DataType::String, ["", "\u{fc}\0x", "12"].map(text)),
        of("flag", DataType::Bool, [true, false, true].map(Value::Bool)),
        of("day", DataType::Date, [0, -719_162, 2_932_896].map(int)),
        of("at", DataType::Timestamp, [0, -62_135_596_800_000_000, 1].map(int)),
        of("request.x", DataType::Float64, [1.5, f64::INFINITY, 0.1].map(float)),
        of("tags", DataType::List(Box::new(DataType::String)), tags),
    ]
}
