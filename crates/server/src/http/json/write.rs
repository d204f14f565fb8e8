//! From an answer to its JSON, written straight from the Arrow columns: this is the last step of every read.

use std::fmt::Write;
use thalweg_aggregate::data_type_of;
use thalweg_definition::DataType;
use thalweg_engine::literal::timestamp_text;
use thalweg_engine::{FeatureResponse, FeatureResult};

pub(crate) use thalweg_engine::json::{plain_text, separate, write_column, write_map, write_text, write_value};

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
