//! JSON objects, a line each or in one array: the types that their values have in common.

use super::{InferredColumn, open};
use crate::error::{LakeError, Result};
use crate::limits::INFER_ROWS;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use chrono::{NaiveDate, Utc};
use serde_json::{Map, Value};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use thalweg_definition::DataType;

type Object = Map<String, Value>;

pub(super) fn infer(path: &Path) -> Result<Vec<InferredColumn>> {
    let rows = rows(path)?;
    let mut columns: Vec<Seen> = Vec::new();
    for row in &rows {
        for (name, value) in row {
            let place = columns.iter().position(|column| column.name == *name).unwrap_or_else(|| {
                columns.push(Seen { name: name.clone(), kind: Kind::Nothing, present: 0 });
                columns.len() - 1
            });
            let column = &mut columns[place];
            column.present += usize::from(!value.is_null());
            column.kind = common(std::mem::replace(&mut column.kind, Kind::Nothing), kind_of(value))
                .map_err(|reason| broken(path, &format!("column `{name}` {reason}")))?;
        }
    }
    Ok(columns
        .into_iter()
        .map(|column| InferredColumn {
            required: column.present == rows.len(),
            data_type: column.kind.data_type(),
            name: column.name,
        })
        .collect())
}

struct Seen {
    name: String,
    kind: Kind,
    present: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// Only nulls so far.
    Nothing,
    Bool,
    Int,
    Float,
    Date,
    Timestamp,
    Text,
    List(Box<Kind>),
    /// An object, or lists of unlike things: no type here.
    Object,
}

impl Kind {
    fn data_type(&self) -> DataType {
        match self {
            Self::Bool => DataType::Bool,
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Date => DataType::Date,
            Self::Timestamp => DataType::Timestamp,
            Self::List(item) => DataType::List(Box::new(item.data_type())),
            Self::Nothing | Self::Text | Self::Object => DataType::String,
        }
    }
}

fn kind_of(value: &Value) -> Kind {
    match value {
        Value::Null => Kind::Nothing,
        Value::Bool(_) => Kind::Bool,
        Value::Number(number) if number.is_i64() => Kind::Int,
        Value::Number(_) => Kind::Float,
        Value::String(text) => kind_of_text(text),
        Value::Array(items) => match items.iter().map(kind_of).try_fold(Kind::Nothing, common) {
            Ok(Kind::List(_) | Kind::Object) | Err(_) => Kind::Object,
            Ok(item) => Kind::List(Box::new(item)),
        },
        Value::Object(_) => Kind::Object,
    }
}

fn kind_of_text(text: &str) -> Kind {
    if text.len() == 10 && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() {
        return Kind::Date;
    }
    let dated = text.len() >= 16 && text.as_bytes()[0].is_ascii_digit();
    if dated && string_to_datetime(&Utc, text).is_ok() { Kind::Timestamp } else { Kind::Text }
}

/// The kind that holds values of both.
fn common(a: Kind, b: Kind) -> std::result::Result<Kind, &'static str> {
    Ok(match (a, b) {
        (_, Kind::Object) | (Kind::Object, _) => {
            return Err("holds objects or nested lists; flatten them to plain columns");
        }
        (Kind::List(a), Kind::List(b)) => match common(*a, *b)? {
            Kind::List(_) => return Err("holds lists of lists; flatten them"),
            item => Kind::List(Box::new(item)),
        },
        (Kind::Nothing, other) | (other, Kind::Nothing) => other,
        (Kind::List(_), _) | (_, Kind::List(_)) => return Err("holds lists and plain values; keep to one of them"),
        (a, b) if a == b => a,
        (Kind::Int, Kind::Float) | (Kind::Float, Kind::Int) => Kind::Float,
        (Kind::Date, Kind::Timestamp) | (Kind::Timestamp, Kind::Date) => Kind::Timestamp,
        _ => Kind::Text,
    })
}

/// The first objects of the file.
fn rows(path: &Path) -> Result<Vec<Object>> {
    let mut reader = BufReader::new(open(path)?);
    let unreadable = |error: std::io::Error| LakeError::Storage(format!("file `{}`: {error}", path.display()));
    let first = loop {
        let buffer = reader.fill_buf().map_err(unreadable)?;
        let Some(byte) = buffer.first().copied() else { return Ok(Vec::new()) };
        if !byte.is_ascii_whitespace() {
            break byte;
        }
        reader.consume(1);
    };
    if first == b'[' {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(unreadable)?;
        let mut rows: Vec<Object> = serde_json::from_slice(&bytes)
            .map_err(|error| broken(path, &format!("is not an array of objects: {error}")))?;
        rows.truncate(INFER_ROWS);
        return Ok(rows);
    }
    let lines = reader.lines().enumerate();
    let mut rows = Vec::new();
    for (number, line) in lines {
        let line = line.map_err(unreadable)?;
        if line.trim().is_empty() {
            continue;
        }
        if rows.len() == INFER_ROWS {
            break;
        }
        let row: Object = serde_json::from_str(&line)
            .map_err(|error| broken(path, &format!("line {} is not an object: {error}", number + 1)))?;
        rows.push(row);
    }
    Ok(rows)
}

fn broken(path: &Path, reason: &str) -> LakeError {
    LakeError::Invalid(format!("file `{}`: {reason}", path.display()))
}
