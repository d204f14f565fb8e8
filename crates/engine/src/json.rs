//! Values as JSON, written straight from Arrow columns: the form in which doors hand them out, and in which
//! [`crate::literal::from_json`] reads the same value again.

use crate::literal::timestamp_text;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use base64::Engine as _;
use chrono::{DateTime, NaiveDate};
use std::fmt::Write;
use thalweg_definition::DataType;

const TAKES: &str = "text takes text";

/// A column of this type as a JSON array.
pub fn write_column(out: &mut String, column: &ArrayRef, data_type: &DataType) {
    out.push('[');
    for row in 0..column.len() {
        separate(out, row);
        write_value(out, column, row, data_type);
    }
    out.push(']');
}

/// A value of a column, which has the Arrow type of `data_type`.
pub fn write_value(out: &mut String, column: &dyn Array, row: usize, data_type: &DataType) {
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
        DataType::Vector(_) => write_vector(out, &column.as_fixed_size_list().value(row)),
        DataType::Map(key, item) => write_map(out, column, row, key, &mut |out, values, entry| {
            write_value(out, values, entry, item);
        }),
        DataType::String => write_text(out, column.as_string::<i32>().value(row)),
        DataType::Timestamp => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            match DateTime::from_timestamp_micros(micros) {
                Some(_) => write!(out, "\"{}\"", timestamp_text(micros)).expect(TAKES),
                // Years that have no written form.
                None => write!(out, "{micros}").expect(TAKES),
            }
        }
        DataType::Decimal(..) | DataType::Bytes | DataType::Date => {
            write!(out, "\"{}\"", plain_text(column, row, data_type)).expect(TAKES);
        }
    }
}

/// Elements that are null are NaN, as the state has them.
fn write_vector(out: &mut String, elements: &ArrayRef) {
    out.push('[');
    for (place, element) in elements.as_primitive::<Float32Type>().iter().enumerate() {
        separate(out, place);
        write_float(out, element.unwrap_or(f32::NAN).into());
    }
    out.push(']');
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

/// A map as an object whose keys are text; `write` writes each value.
pub fn write_map(
    out: &mut String,
    column: &dyn Array,
    row: usize,
    key: &DataType,
    write: &mut dyn FnMut(&mut String, &dyn Array, usize),
) {
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
        write(out, values, entry);
    }
    out.push('}');
}

/// A value as text that needs no escapes: the form of what JSON has no type for, and of keys of maps.
pub fn plain_text(column: &dyn Array, row: usize, data_type: &DataType) -> String {
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

/// A comma in front of all but the first.
pub fn separate(out: &mut String, index: usize) {
    if index > 0 {
        out.push(',');
    }
}

/// A JSON string.
pub fn write_text(out: &mut String, text: &str) {
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
