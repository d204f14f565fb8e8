//! Reading values from text and JSON, once, at the door.

use base64::Engine as _;
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde_json::Value as Json;
use thalweg_aggregate::Value;
use thalweg_definition::DataType;

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
        DataType::Bytes => match json.as_str().map(|text| base64::engine::general_purpose::STANDARD.decode(text)) {
            Some(Ok(bytes)) => Ok(Value::Bytes(bytes.into())),
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
    let bad = || format!("`{text}` is not a {data_type}");
    match data_type {
        DataType::Bool => text.parse().map(Value::Bool).map_err(|_| bad()),
        DataType::Int32 => text.parse::<i32>().map(|value| Value::Int(value.into())).map_err(|_| bad()),
        DataType::Int64 => text.parse().map(Value::Int).map_err(|_| bad()),
        DataType::Float32 => text.parse::<f32>().map(|value| Value::Float(value.into())).map_err(|_| bad()),
        DataType::Float64 => text.parse().map(Value::Float).map_err(|_| bad()),
        DataType::Decimal(precision, scale) => decimal(text, *precision, *scale).map(Value::Decimal).ok_or_else(bad),
        DataType::String => Ok(Value::Bytes(text.as_bytes().into())),
        DataType::Date => NaiveDate::parse_from_str(text, "%Y-%m-%d")
            .map(|date| Value::Int(i64::from(date.to_epoch_days())))
            .map_err(|_| format!("{}: write YYYY-MM-DD", bad())),
        DataType::Timestamp => timestamp(text)
            .map(Value::Int)
            .ok_or_else(|| format!("{}: write ISO 8601 such as 2024-05-01T12:00:00Z, or whole microseconds", bad())),
        _ => Err(bad()),
    }
}

/// Microseconds of an ISO 8601 time; without an offset it is UTC.
pub fn timestamp(text: &str) -> Option<i64> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.timestamp_micros());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f%:z"] {
        if let Ok(at) = DateTime::parse_from_str(text, format) {
            return Some(at.timestamp_micros());
        }
        if let Ok(at) = NaiveDateTime::parse_from_str(text, format) {
            return Some(at.and_utc().timestamp_micros());
        }
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
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

fn vector(json: &Json, length: u32) -> Result<Value, String> {
    let items = json.as_array().filter(|items| items.len() == length as usize);
    let floats = items.and_then(|items| items.iter().map(Json::as_f64).collect::<Option<Vec<_>>>());
    match floats {
        Some(floats) => Ok(Value::Bytes(floats.iter().flat_map(|value| (*value as f32).to_le_bytes()).collect())),
        None => Err(format!("expected an array of {length} numbers, got {}", describe(json))),
    }
}

/// The unscaled value; none where digits would be lost.
fn decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || !(whole.chars().chain(fraction.chars())).all(|c| c.is_ascii_digit())
    {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > usize::from(scale) || whole.len() + usize::from(scale) > 77 {
        return None;
    }
    let padded = format!("{whole}{fraction:0<width$}", width = usize::from(scale));
    let value: i128 = padded.parse().ok()?;
    let fits = value < 10i128.checked_pow(precision.into())?;
    fits.then_some(if negative { -value } else { value })
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
