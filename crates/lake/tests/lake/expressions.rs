//! Row expressions: their types, what is refused, and what they give.

use arrow::array::{ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType as ArrowType, Decimal128Type, Field, Int64Type, Schema};
use std::sync::Arc;
use thalweg_aggregate::{Expressions, RowExpression};
use thalweg_definition::{DataType, ExpressionTypes};
use thalweg_lake::SqlExpressions;

fn columns() -> Vec<(String, DataType)> {
    let columns = [
        ("amount", DataType::Float64),
        ("qty", DataType::Int64),
        ("Note", DataType::String),
        ("at", DataType::Timestamp),
        ("spend.total_7d", DataType::Float64),
        ("request.x", DataType::Float64),
        ("x", DataType::Int64),
        ("tags", DataType::List(Box::new(DataType::String))),
    ];
    columns.into_iter().map(|(name, data_type)| (name.to_owned(), data_type)).collect()
}

#[test]
fn expressions_have_types() {
    let expressions = SqlExpressions::new();
    let cases = [
        ("amount > 10 AND Note = 'x'", DataType::Bool),
        ("qty + 1", DataType::Int64),
        ("CAST(amount AS INT)", DataType::Int32),
        ("spend.total_7d / request.x", DataType::Float64),
        ("x", DataType::Int64),
        ("coalesce(amount, 0)", DataType::Float64),
        ("CASE WHEN qty > 1 THEN 'many' ELSE Note END", DataType::String),
        ("upper(Note) || '!'", DataType::String),
        ("extract(hour FROM at)", DataType::Int32),
        ("tags[1]", DataType::String),
        ("at > TIMESTAMP '2013-01-01T00:00:00Z'", DataType::Bool),
        ("qty IN (1, 2, 3) OR amount BETWEEN 1 AND 2", DataType::Bool),
    ];
    for (text, expected) in cases {
        assert_eq!(expressions.type_of(text, &columns()), Ok(expected), "{text}");
    }
}

#[test]
fn expressions_outside_the_subset_are_refused() {
    let expressions = SqlExpressions::new();
    let cases = [
        ("random()", "another value"),
        ("now()", "another value"),
        ("uuid()", "another value"),
        ("sum(amount)", "many rows"),
        ("count(*)", "many rows"),
        ("row_number() OVER (ORDER BY qty)", "OVER"),
        ("(SELECT 1)", "subqueries"),
        ("qty IN (SELECT 1)", "subqueries"),
        ("$1 + qty", "placeholder"),
        ("amount qty", "follows"),
        ("amount; DROP TABLE x", "follows"),
        ("", "empty"),
        ("NULL", "null"),
        ("nothing_of_that_name(amount)", "nothing_of_that_name"),
        ("INTERVAL '1 day'", "type"),
        ("make_array(make_array(qty))", "a list of lists"),
    ];
    for (text, expected) in cases {
        let reason = expressions.type_of(text, &columns()).expect_err(text);
        assert!(reason.contains(expected), "{text}: {reason}");
    }
    let unknown = expressions.type_of("Amount", &columns()).expect_err("case matters");
    assert!(unknown.starts_with("there is no column `Amount`; columns are amount, qty, Note"), "{unknown}");
    let deep = format!("1{}", "+1".repeat(500));
    assert!(expressions.references(&deep).expect_err("too deep").contains("levels deep"));
    let nested = format!("{}1{}", "(".repeat(400), ")".repeat(400));
    assert!(expressions.references(&nested).is_err());
    let long = format!("'{}'", "a".repeat(9000));
    assert!(expressions.references(&long).expect_err("too long").contains("longer than"));
}

/// What has no column is computed when an expression is compiled: `repeat('x', 2000000000)` in a definition took gigabytes.
/// And counts that came from rows let whoever pushes decide how much.
#[test]
fn what_grows_without_bound_is_refused() {
    let expressions = SqlExpressions::new();
    let brackets = format!("CAST(NULL AS INT{}) IS NULL", "[]".repeat(4_000));
    let deep = format!("arrow_cast(NULL, '{}Int8{}') IS NULL", "List(".repeat(100), ")".repeat(100));
    let cases = [
        ("repeat('x', 2000000000)", "use at most 10000"),
        ("repeat('x', qty)", "takes no count that is computed"),
        ("repeat('x', 1000 * 1000 * 1000)", "takes no count that is computed"),
        ("lpad(Note, 2147483647, 'y')", "use at most 10000"),
        ("rpad('x', 2147483647)", "use at most 10000"),
        ("lpad(Note, qty)", "takes no count that is computed"),
        ("repeat(repeat(repeat('x', 1000), 1000), 1000)", "more than 1048576 bytes of its literals"),
        ("length(repeat(repeat('x', 10000), 10000)) > 1", "more than 1048576 bytes of its literals"),
        ("CASE WHEN repeat('x', 2000000000) = Note THEN 1 ELSE 2 END", "use at most 10000"),
        ("Note IN ('a', repeat('x', 2000000000))", "use at most 10000"),
        ("Note LIKE repeat('x', 2000000000)", "use at most 10000"),
        ("repeat(repeat(Note, 1000), 1000)", "10000 times as large"),
        ("replace(repeat(Note, 1000), 'a', 'bbbbbbbbbbbbbbbbbbbb')", "10000 times as large"),
        ("replace(Note, 'a', Note)", "takes nothing computed"),
        ("regexp_replace(Note, 'a', Note, 'g')", "takes nothing computed"),
        ("array_to_string(tags, Note)", "takes nothing computed"),
        ("cardinality(range(0, 100000000)) > 3", "use at most 10000"),
        ("cardinality(generate_series(0, qty)) > 3", "whole numbers that are written out"),
        ("cardinality(array_repeat(1, 100000000)) > 3", "use at most 10000"),
        ("cardinality(array_resize(tags, 100000000)) > 3", "use at most 10000"),
        ("CAST(NULL AS FLOAT[100000000]) IS NULL", "cast to at most 65536"),
        ("arrow_cast(NULL, 'FixedSizeBinary(500000000)') IS NULL", "cast to at most 65536"),
        (&brackets, "more than 16 brackets"),
        (&deep, "more than 16 levels"),
    ];
    for (text, expected) in cases {
        let reason = expressions.type_of(text, &columns()).expect_err(text);
        assert!(reason.contains(expected), "{text}: {reason}");
    }
    let allowed = [
        ("repeat(Note, 3)", DataType::String),
        ("lpad(Note, 8, '0')", DataType::String),
        ("rpad(Note, 10000)", DataType::String),
        ("repeat('x', -1)", DataType::String),
        ("replace(replace(Note, 'a', 'bb'), 'b', '')", DataType::String),
        ("regexp_replace(Note, '([a-z]+)', '<\\1>', 'g')", DataType::String),
        ("array_to_string(tags, ', ')", DataType::String),
        ("concat_ws('-', Note, Note, 'x')", DataType::String),
        ("tags[1] || tags[2]", DataType::String),
        ("cardinality(range(1, 100, 3)) > 3", DataType::Bool),
    ];
    for (text, expected) in allowed {
        assert_eq!(expressions.type_of(text, &columns()), Ok(expected), "{text}");
    }
}

/// Sums of decimals of 38 digits fit their 128 bits with 39, and went into rows as values that their type does not have.
#[test]
fn a_decimal_of_more_digits_than_its_type_has_is_null() {
    let decimal = DataType::Decimal(38, 0);
    let columns = [("d".to_owned(), decimal.clone())];
    let values = vec![6 * 10i128.pow(37), 4 * 10i128.pow(37)];
    let array = Decimal128Array::from(values).with_precision_and_scale(38, 0).unwrap();
    let batch = RecordBatch::try_from_iter([("d", Arc::new(array) as ArrayRef)]).unwrap();
    let sum = RowExpression::compile(&SqlExpressions::new(), "d + d", &columns, decimal).unwrap();
    let sums = sum.evaluate(&batch);
    assert_eq!(sums.data_type(), &ArrowType::Decimal128(38, 0));
    let sums = sums.as_primitive::<Decimal128Type>();
    assert_eq!(sums.iter().collect::<Vec<_>>(), [None, Some(8 * 10i128.pow(37))]);
}

#[test]
fn references_are_names_in_the_order_of_first_sight() {
    let expressions = SqlExpressions::new();
    let references = expressions.references("upper(b) || a.c || b || coalesce(\"D\", 'text')");
    assert_eq!(references, Ok(vec!["b".to_owned(), "a.c".to_owned(), "D".to_owned()]));
}

#[test]
fn a_row_that_fails_is_null_and_the_others_keep_their_values() {
    let expressions = SqlExpressions::new();
    let columns = [("qty".to_owned(), DataType::Int64), ("request.x".to_owned(), DataType::Int64)];
    let field = |name: &str| Field::new(name, ArrowType::Int64, true);
    let schema = Arc::new(Schema::new(vec![field("qty"), field("request.x")]));
    let qty: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), Some(0), None, Some(i64::MAX)]));
    let x: ArrayRef = Arc::new(Int64Array::from(vec![10, 10, 10, 10]));
    let batch = RecordBatch::try_new(schema, vec![qty.clone(), x.clone()]).unwrap();

    let divide = expressions.compile("request.x / qty", &columns).unwrap();
    assert!(divide.evaluate(&batch).is_err());
    let divide = RowExpression::compile(&expressions, "request.x / qty", &columns, DataType::Int64).unwrap();
    let values = divide.evaluate(&batch);
    assert_eq!(values.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(5), None, None, Some(0)]));

    let add = RowExpression::compile(&expressions, "qty + 1", &columns, DataType::Int64).unwrap();
    let values = add.evaluate(&batch);
    assert_eq!(values.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(3), Some(1), None, None]));

    let turned = Schema::new(vec![field("request.x"), field("qty")]);
    let turned = RecordBatch::try_new(Arc::new(turned), vec![x, qty]).unwrap();
    let values = divide.evaluate(&turned);
    assert_eq!(values.as_primitive::<Int64Type>(), &Int64Array::from(vec![Some(5), None, None, Some(0)]));
}

#[test]
fn dotted_names_are_evaluated() {
    let columns = [("spend.total_7d".to_owned(), DataType::Float64), ("request.x".to_owned(), DataType::Float64)];
    let compiled = SqlExpressions::new().compile("spend.total_7d / request.x", &columns).unwrap();
    let batch = RecordBatch::try_from_iter([
        ("spend.total_7d", Arc::new(Float64Array::from(vec![6.0, 9.0])) as ArrayRef),
        ("request.x", Arc::new(Float64Array::from(vec![2.0, 3.0])) as ArrayRef),
    ])
    .unwrap();
    let value = compiled.evaluate(&batch).unwrap();
    assert_eq!(value.as_primitive::<arrow::datatypes::Float64Type>().values().to_vec(), [3.0, 3.0]);
}
