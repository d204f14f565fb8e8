//! Reading values from text and JSON, once, at the door.

use chrono::DateTime;
use serde_json::Value as Json;
use thalweg_aggregate::Value;
use thalweg_definition::{DataType, Literal, parse_literal};

pub use thalweg_definition::parse_timestamp as timestamp;

/// A value from a JSON value. The error says what was expected.
pub fn from_json(json: &Json, data_type: &DataType) -> Result<Value, String> {
    let expected = |what: &str| Err(format!("expected {what}, got {}", describe(json)));
    if json.is_null() {
        return Ok(Value::Null);
    }
    match data_type {
        DataType::Bool => json.as_bool().map(Value::Bool).map_or_else(|| expected("true or false"), Ok),
        DataType::Int32 | DataType::Int64 => match json.as_i64().or_else(|| whole(json)) {
            Some(value) if *data_type == DataType::Int64 || i32::try_from(value).is_ok() => Ok(Value::Int(value)),
            _ => expected(&format!("a whole number in the range of {data_type}")),
        },
        DataType::Float32 | DataType::Float64 => {
            let value = match json {
                Json::String(text) => match text.as_str() {
                    "NaN" => Some(f64::NAN),
                    "Infinity" => Some(f64::INFINITY),
                    "-Infinity" => Some(f64::NEG_INFINITY),
                    _ => None,
                },
                json => json.as_f64(),
            };
            match value {
                Some(value) if *data_type == DataType::Float32 && value.is_finite() => match value as f32 {
                    narrow if narrow.is_finite() => Ok(Value::Float(f64::from(narrow))),
                    _ => expected("a number in the range of float32"),
                },
                Some(value) => Ok(Value::Float(value)),
                None => expected("a number, \"NaN\" or \"Infinity\""),
            }
        }
        DataType::Timestamp if json.is_i64() => Ok(Value::Int(json.as_i64().unwrap_or_default())),
        DataType::Decimal(..) if json.is_number() => from_text(&json.to_string(), data_type),
        DataType::String => match json {
            Json::String(text) => Ok(Value::Bytes(text.as_bytes().into())),
            Json::Object(_) | Json::Array(_) => Ok(Value::Bytes(json.to_string().into_bytes().into())),
            _ => expected("a string"),
        },
        DataType::Bytes => match json.as_str().map(|text| from_text(text, data_type)) {
            Some(Ok(bytes)) => Ok(bytes),
            _ => expected("a base64 string"),
        },
        DataType::Decimal(..) | DataType::Date | DataType::Timestamp => match json.as_str() {
            Some(text) => from_text(text, data_type),
            None => expected(&format!("a {data_type} as a string")),
        },
        DataType::List(item) => match json.as_array() {
            Some(items) => Ok(Value::List(items.iter().map(|json| from_json(json, item)).collect::<Result<_, _>>()?)),
            None => expected("an array"),
        },
        DataType::Vector(length) => vector(json, *length),
        DataType::Map(..) => expected("no map"),
    }
}

/// A value from its written form, as contracts have it.
pub fn from_text(text: &str, data_type: &DataType) -> Result<Value, String> {
    Ok(match parse_literal(text, data_type)? {
        Literal::Bool(value) => Value::Bool(value),
        Literal::Int(value) => Value::Int(value),
        Literal::Float(value) => Value::Float(value),
        Literal::Decimal(value) => Value::Decimal(value),
        Literal::Bytes(value) => Value::Bytes(value.into()),
    })
}

/// ISO 8601 with microseconds and `Z`.
pub fn timestamp_text(micros: i64) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(at) => at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        None => micros.to_string(),
    }
}

fn whole(json: &Json) -> Option<i64> {
    let value = json.as_f64()?;
    (value.fract() == 0.0 && value.abs() < 9.0e15).then_some(value as i64)
}

/// Each element as a float32, so that none becomes another number.
fn vector(json: &Json, length: u32) -> Result<Value, String> {
    let expected = || format!("expected an array of {length} numbers, got {}", describe(json));
    let items = json.as_array().filter(|items| items.len() == length as usize).ok_or_else(expected)?;
    let mut bytes = Vec::with_capacity(items.len() * 4);
    for item in items {
        match from_json(item, &DataType::Float32)? {
            Value::Float(value) => bytes.extend((value as f32).to_le_bytes()),
            _ => return Err(expected()),
        }
    }
    Ok(Value::Bytes(bytes.into()))
}

fn describe(json: &Json) -> String {
    let mut text = json.to_string();
    if text.len() > 60 {
        let end = (0..=57).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}
