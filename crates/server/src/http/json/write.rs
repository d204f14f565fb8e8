//! From an answer to its JSON, written straight from the Arrow columns: this is the last step of every read.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use base64::Engine as _;
use chrono::NaiveDate;
use std::fmt::Write;
use thalweg_aggregate::data_type_of;
use thalweg_definition::DataType;
use thalweg_engine::literal::timestamp_text;
use thalweg_engine::{FeatureResponse, FeatureResult};

const TAKES: &str = "text takes text";

/// The answer, column by column.
pub fn feature_response(response: &FeatureResponse) -> String {
    let mut out = String::with_capacity(256 + response.rows * response.results.len() * 64);
    write!(out, "{{\"as_of\":\"{}\",\"entities\":{{", timestamp_text(response.as_of)).expect(TAKES);
    for (index, (name, column)) in response.entities.iter().enumerate() {
        separate(&mut out, index);
        write_text(&mut out, name);
        out.push(':');
        // A column of another type cannot have been asked for.
        let data_type = data_type_of(column.data_type()).unwrap_or(DataType::String);
        write_column(&mut out, column, &data_type);
    }
    out.push_str("},\"results\":[");
    for (index, result) in response.results.iter().enumerate() {
        separate(&mut out, index);
        write_result(&mut out, result, response.rows);
    }
    write!(out, "],\"manifest_hash\":\"{}\"}}", response.manifest_hash).expect(TAKES);
    out
}

fn write_result(out: &mut String, result: &FeatureResult, rows: usize) {
    out.push_str("{\"name\":");
    write_text(out, &result.name);
    write!(out, ",\"type\":\"{}\",\"values\":", result.data_type).expect(TAKES);
    write_column(out, &result.values, &result.data_type);
    out.push_str(",\"event_times\":[");
    for (row, time) in result.event_times.iter().enumerate() {
        separate(out, row);
        match time {
            Some(time) => write!(out, "\"{}\"", timestamp_text(*time)).expect(TAKES),
            None => out.push_str("null"),
        }
    }
    out.push_str("],\"statuses\":[");
    for (row, status) in result.statuses.iter().enumerate() {
        separate(out, row);
        write!(out, "\"{}\"", status.name()).expect(TAKES);
    }
    out.push(']');
    if !result.errors.is_empty() {
        write_errors(out, &result.errors, rows);
    }
    out.push('}');
}

fn write_errors(out: &mut String, errors: &[(usize, String)], rows: usize) {
    let mut by_row: Vec<Option<&str>> = vec![None; rows];
    for (row, why) in errors {
        by_row[*row] = Some(why);
    }
    out.push_str(",\"errors\":[");
    for (row, why) in by_row.into_iter().enumerate() {
        separate(out, row);
        match why {
            Some(why) => write_text(out, why),
            None => out.push_str("null"),
        }
    }
    out.push(']');
}

fn write_column(out: &mut String, column: &ArrayRef, data_type: &DataType) {
    out.push('[');
    for row in 0..column.len() {
        separate(out, row);
        write_value(out, column, row, data_type);
    }
    out.push(']');
}

pub(crate) fn write_value(out: &mut String, column: &dyn Array, row: usize, data_type: &DataType) {
    if column.is_null(row) {
        return out.push_str("null");
    }
    match data_type {
        DataType::Bool => out.push_str(if column.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Int32 => write!(out, "{}", column.as_primitive::<Int32Type>().value(row)).expect(TAKES),
        DataType::Int64 => write!(out, "{}", column.as_primitive::<Int64Type>().value(row)).expect(TAKES),
        // All digits of the nearest double, so that it reads back to the same bits either way.
        DataType::Float32 => write_float(out, column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => write_float(out, column.as_primitive::<Float64Type>().value(row)),
        DataType::List(item) => write_column(out, &column.as_list::<i32>().value(row), item),
        DataType::Vector(_) => write_column(out, &column.as_fixed_size_list().value(row), &DataType::Float32),
        DataType::Map(key, value) => write_map(out, column, row, key, value),
        DataType::String => write_text(out, column.as_string::<i32>().value(row)),
        DataType::Decimal(..) | DataType::Bytes | DataType::Date | DataType::Timestamp => {
            write!(out, "\"{}\"", plain_text(column, row, data_type)).expect(TAKES);
        }
    }
}

/// Shortest digits that read back to the same bits; what JSON has no number for is a word.
fn write_float(out: &mut String, value: f64) {
    match float_word(value) {
        Some(word) => write!(out, "\"{word}\"").expect(TAKES),
        None => write!(out, "{value:?}").expect(TAKES),
    }
}

fn float_word(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        return Some("NaN");
    }
    value.is_infinite().then_some(if value > 0.0 { "Infinity" } else { "-Infinity" })
}

fn write_map(out: &mut String, column: &dyn Array, row: usize, key: &DataType, value: &DataType) {
    let entries = column.as_map().value(row);
    let (keys, values) = (entries.column(0), entries.column(1));
    out.push('{');
    for entry in 0..entries.len() {
        separate(out, entry);
        match key {
            DataType::String => write_text(out, keys.as_string::<i32>().value(entry)),
            key => write!(out, "\"{}\"", plain_text(keys, entry, key)).expect(TAKES),
        }
        out.push(':');
        write_value(out, values, entry, value);
    }
    out.push('}');
}

/// A value as text that needs no escapes: the form of what JSON has no type for, and of keys of maps.
pub(crate) fn plain_text(column: &dyn Array, row: usize, data_type: &DataType) -> String {
    match data_type {
        DataType::Decimal(..) => column.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Bytes => base64::engine::general_purpose::STANDARD.encode(column.as_binary::<i32>().value(row)),
        DataType::Timestamp => timestamp_text(column.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::Date => {
            let days = column.as_primitive::<Date32Type>().value(row);
            NaiveDate::from_epoch_days(days).map_or_else(|| days.to_string(), |date| date.to_string())
        }
        DataType::Bool => column.as_boolean().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float32 => float_text(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => float_text(column.as_primitive::<Float64Type>().value(row)),
        // Neither is ever a key.
        DataType::String | DataType::List(_) | DataType::Vector(_) | DataType::Map(..) => String::new(),
    }
}

fn float_text(value: f64) -> String {
    float_word(value).map_or_else(|| format!("{value:?}"), str::to_owned)
}

pub(crate) fn separate(out: &mut String, index: usize) {
    if index > 0 {
        out.push(',');
    }
}

/// A JSON string.
pub(crate) fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            control => write!(out, "\\u{control:04x}").expect(TAKES),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value as Json, json};
    use thalweg_aggregate::{Status, Value, array_from_values};

    fn written(values: &[Value], data_type: &DataType) -> Json {
        let mut out = String::new();
        write_column(&mut out, &array_from_values(values.iter(), data_type), data_type);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    fn bytes(text: &str) -> Value {
        Value::Bytes(text.as_bytes().into())
    }

    #[test]
    fn every_type_has_its_form() {
        let float = |value| Value::Float(value);
        let floats = [float(f64::NAN), float(f64::NEG_INFINITY), float(-0.0), float(1e300), Value::Null];
        assert_eq!(written(&floats, &DataType::Float64), json!(["NaN", "-Infinity", -0.0, 1e300, null]));
        assert_eq!(written(&[Value::Int(i64::MIN)], &DataType::Int64), json!([i64::MIN]));
        assert_eq!(written(&[Value::Bool(true)], &DataType::Bool), json!([true]));
        assert_eq!(written(&[Value::Decimal(-105)], &DataType::Decimal(10, 2)), json!(["-1.05"]));
        assert_eq!(written(&[Value::Int(-1)], &DataType::Date), json!(["1969-12-31"]));
        assert_eq!(written(&[Value::Int(1)], &DataType::Timestamp), json!(["1970-01-01T00:00:00.000001Z"]));
        assert_eq!(written(&[bytes("\u{1}\"\\\n\u{fc}")], &DataType::String), json!(["\u{1}\"\\\n\u{fc}"]));
        assert_eq!(written(&[bytes("abc")], &DataType::Bytes), json!(["YWJj"]));
        let list = Value::List(vec![Value::Int(1), Value::Int(2)]);
        assert_eq!(written(&[list, Value::Null], &DataType::List(Box::new(DataType::Int64))), json!([[1, 2], null]));
        let vector = Value::Bytes([1.5f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect());
        assert_eq!(written(&[vector], &DataType::Vector(2)), json!([[1.5, -2.0]]));
    }

    #[test]
    fn maps_have_keys_of_text() {
        let map = |key| Value::Map(vec![(key, Value::Int(3))]);
        let of = |key: DataType| DataType::Map(Box::new(key), Box::new(DataType::Int64));
        assert_eq!(written(&[map(bytes("a\"b"))], &of(DataType::String)), json!([{"a\"b": 3}]));
        assert_eq!(written(&[map(Value::Int(7))], &of(DataType::Int64)), json!([{"7": 3}]));
        assert_eq!(written(&[map(Value::Bool(false))], &of(DataType::Bool)), json!([{"false": 3}]));
        assert_eq!(written(&[map(Value::Float(0.5))], &of(DataType::Float64)), json!([{"0.5": 3}]));
    }

    #[test]
    fn errors_stand_only_where_there_are_any() {
        let mut result = FeatureResult {
            name: "v.sum".to_owned(),
            data_type: DataType::Int64,
            values: array_from_values([Value::Int(1), Value::Null].iter(), &DataType::Int64),
            event_times: vec![Some(0), None],
            statuses: vec![Status::Present, Status::Error],
            errors: vec![(1, "past the int64 range".to_owned())],
        };
        let json = |result: &FeatureResult| -> Json {
            let mut out = String::new();
            write_result(&mut out, result, 2);
            serde_json::from_str(&out).unwrap()
        };
        assert_eq!(
            json(&result),
            json!({
                "name": "v.sum", "type": "int64", "values": [1, null],
                "event_times": ["1970-01-01T00:00:00.000000Z", null],
                "statuses": ["PRESENT", "ERROR"], "errors": [null, "past the int64 range"],
            })
        );
        result.errors.clear();
        assert!(json(&result).get("errors").is_none());
    }
}
