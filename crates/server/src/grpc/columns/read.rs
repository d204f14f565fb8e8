//! From a column of a message to an Arrow column of the type that is wanted.

use crate::grpc::v1::ValueColumn;
use crate::grpc::v1::value_column::{Lists, Values, Vectors};
use arrow::array::ArrayRef;
use thalweg_aggregate::{Value, array_from_values};
use thalweg_definition::DataType;
use thalweg_engine::limits::MAX_READ_ENTITIES;
use thalweg_engine::literal::from_text;

/// A column with one value a row. The error says what to send instead.
pub fn read_column(column: &ValueColumn, data_type: &DataType) -> Result<ArrayRef, String> {
    // Before anything is made of them.
    let rows = column.values.as_ref().map_or(0, rows_of);
    if rows > MAX_READ_ENTITIES {
        return Err(format!("{rows} values are more than {MAX_READ_ENTITIES}: ask in parts"));
    }
    let values = cells(column, data_type)?;
    Ok(array_from_values(values.iter(), data_type))
}

/// How many rows a column has.
fn rows_of(values: &Values) -> usize {
    match values {
        Values::Bools(own) => own.values.len(),
        Values::Int32s(own) => own.values.len(),
        Values::Int64s(own) => own.values.len(),
        Values::Floats(own) => own.values.len(),
        Values::Doubles(own) => own.values.len(),
        Values::Decimals(own) => own.values.len(),
        Values::Strings(own) => own.values.len(),
        Values::Binaries(own) => own.values.len(),
        Values::Dates(own) => own.values.len(),
        Values::Timestamps(own) => own.values.len(),
        Values::Lists(own) => own.lengths.len(),
        Values::Vectors(own) => own.values.len() / (own.dimension.max(1) as usize),
        Values::Maps(own) => own.lengths.len(),
    }
}

fn cells(column: &ValueColumn, data_type: &DataType) -> Result<Vec<Value>, String> {
    use DataType as Type;
    let Some(values) = &column.values else {
        return Err(format!("no values: send {data_type} values as `{}`", member_for(data_type)));
    };
    let nulls = column.nulls.as_slice();
    match (data_type, values) {
        (Type::Bool, Values::Bools(own)) => each(&own.values, nulls, |value| Ok(Value::Bool(*value))),
        (Type::Int32 | Type::Int64, Values::Int32s(own)) => each(&own.values, nulls, |value| Ok(int(*value))),
        (Type::Int64, Values::Int64s(own)) => each(&own.values, nulls, |value| Ok(Value::Int(*value))),
        (Type::Int32, Values::Int64s(own)) => each(&own.values, nulls, |value| {
            i32::try_from(*value).map(int).map_err(|_| format!("{value} is not in the range of int32"))
        }),
        (Type::Float32 | Type::Float64, Values::Floats(own)) => {
            each(&own.values, nulls, |value| Ok(Value::Float((*value).into())))
        }
        (Type::Float64, Values::Doubles(own)) => each(&own.values, nulls, |value| Ok(Value::Float(*value))),
        (Type::Float32, Values::Doubles(own)) => each(&own.values, nulls, |value| narrow(*value)),
        (Type::Float32, Values::Int32s(own)) => each(&own.values, nulls, |value| narrow((*value).into())),
        (Type::Float32, Values::Int64s(own)) => each(&own.values, nulls, |value| narrow(*value as f64)),
        (Type::Float64, Values::Int32s(own)) => each(&own.values, nulls, |value| Ok(Value::Float((*value).into()))),
        (Type::Float64, Values::Int64s(own)) => each(&own.values, nulls, |value| Ok(Value::Float(*value as f64))),
        (Type::Decimal(..), Values::Decimals(own)) => each(&own.values, nulls, |text| from_text(text, data_type)),
        (Type::Decimal(..), Values::Int32s(own)) => {
            each(&own.values, nulls, |value| from_text(&value.to_string(), data_type))
        }
        (Type::Decimal(..), Values::Int64s(own)) => {
            each(&own.values, nulls, |value| from_text(&value.to_string(), data_type))
        }
        (Type::String, Values::Strings(own)) => {
            each(&own.values, nulls, |text| Ok(Value::Bytes(text.as_bytes().into())))
        }
        (Type::Bytes, Values::Binaries(own)) => {
            each(&own.values, nulls, |bytes| Ok(Value::Bytes(bytes.as_slice().into())))
        }
        (Type::Date, Values::Dates(own)) => each(&own.values, nulls, |days| Ok(int(*days))),
        (Type::Timestamp, Values::Timestamps(own)) => each(&own.values, nulls, |micros| Ok(Value::Int(*micros))),
        (Type::Timestamp, Values::Int64s(own)) => each(&own.values, nulls, |micros| Ok(Value::Int(*micros))),
        (Type::Decimal(..) | Type::Date | Type::Timestamp, Values::Strings(own)) => {
            each(&own.values, nulls, |text| from_text(text, data_type))
        }
        (Type::List(item), Values::Lists(own)) => lists(own, nulls, item),
        (Type::Vector(length), Values::Vectors(own)) => vectors(own, nulls, *length),
        _ => Err(format!("it came as `{}`: send {data_type} values as `{}`", member_of(values), member_for(data_type))),
    }
}

fn int(value: i32) -> Value {
    Value::Int(value.into())
}

fn narrow(value: f64) -> Result<Value, String> {
    let narrow = value as f32;
    if value.is_finite() && !narrow.is_finite() {
        return Err(format!("{value} is not in the range of float32"));
    }
    Ok(Value::Float(narrow.into()))
}

fn each<T>(items: &[T], nulls: &[bool], read: impl Fn(&T) -> Result<Value, String>) -> Result<Vec<Value>, String> {
    if !nulls.is_empty() && nulls.len() != items.len() {
        return Err(format!("`nulls` has {} values for {} rows: send one for each, or none", nulls.len(), items.len()));
    }
    let is_null = |row: usize| nulls.get(row).copied().unwrap_or(false);
    items
        .iter()
        .enumerate()
        .map(|(row, item)| match is_null(row) {
            true => Ok(Value::Null),
            false => read(item).map_err(|why| format!("value {row}: {why}")),
        })
        .collect()
}

fn lists(own: &Lists, nulls: &[bool], item: &DataType) -> Result<Vec<Value>, String> {
    let total: u64 = own.lengths.iter().map(|length| u64::from(*length)).sum();
    let there = own.items.as_ref().and_then(|items| items.values.as_ref()).map_or(0, rows_of);
    if total != there as u64 {
        return Err(format!("the lengths add up to {total}, and there are {there} items: send as many"));
    }
    let items = match &own.items {
        Some(items) if items.values.is_some() => cells(items, item).map_err(|why| format!("items: {why}"))?,
        _ => Vec::new(),
    };
    let mut rest = items.into_iter();
    let rows: Vec<Value> =
        own.lengths.iter().map(|length| Value::List(rest.by_ref().take(*length as usize).collect())).collect();
    each(&rows, nulls, |row| Ok(row.clone()))
}

fn vectors(own: &Vectors, nulls: &[bool], length: u32) -> Result<Vec<Value>, String> {
    let (dimension, elements) = (own.dimension, own.values.len());
    if dimension != length || !elements.is_multiple_of(length as usize) {
        return Err(format!("{elements} elements with a `dimension` of {dimension}: send {length} of them a row"));
    }
    let rows: Vec<&[f32]> = own.values.chunks_exact(length as usize).collect();
    each(&rows, nulls, |row| Ok(Value::Bytes(row.iter().flat_map(|element| element.to_le_bytes()).collect())))
}

/// The member that values of a type have.
fn member_for(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Bool => "bools",
        DataType::Int32 => "int32s",
        DataType::Int64 => "int64s",
        DataType::Float32 => "floats",
        DataType::Float64 => "doubles",
        DataType::Decimal(..) => "decimals",
        DataType::String => "strings",
        DataType::Bytes => "binaries",
        DataType::Date => "dates",
        DataType::Timestamp => "timestamps",
        DataType::List(_) => "lists",
        DataType::Vector(_) => "vectors",
        DataType::Map(..) => "maps",
    }
}

fn member_of(values: &Values) -> &'static str {
    match values {
        Values::Bools(_) => "bools",
        Values::Int32s(_) => "int32s",
        Values::Int64s(_) => "int64s",
        Values::Floats(_) => "floats",
        Values::Doubles(_) => "doubles",
        Values::Decimals(_) => "decimals",
        Values::Strings(_) => "strings",
        Values::Binaries(_) => "binaries",
        Values::Dates(_) => "dates",
        Values::Timestamps(_) => "timestamps",
        Values::Lists(_) => "lists",
        Values::Vectors(_) => "vectors",
        Values::Maps(_) => "maps",
    }
}
