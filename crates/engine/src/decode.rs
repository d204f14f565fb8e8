//! From what clients send to typed rows. A row that does not decode is set aside with its raw bytes and the reason;
//! the others go on.

use crate::error::EngineError;
use crate::limits::{MAX_BATCH_ROWS, MAX_RAW_ROW_BYTES};
use crate::literal::from_json;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{DataType as ArrowType, Float64Type, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serde_json::value::RawValue;
use std::sync::Arc;
use thalweg_aggregate::{Value, array_from_values, arrow_type};
use thalweg_definition::{DataType, Source, SourceKind};

/// Rows as a client sends them.
pub enum Input<'a> {
    /// A JSON array of objects, or one object.
    Json(&'a [u8]),
    /// One JSON object a line.
    Lines(&'a [u8]),
    Arrow(Vec<RecordBatch>),
}

/// A row that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// Its index in what the client sent.
    pub row: u32,
    pub column: Option<String>,
    pub reason: String,
    pub raw: Vec<u8>,
}

/// Typed rows in the source's schema, and the rest.
pub struct Decoded {
    pub read: u32,
    pub batch: RecordBatch,
    /// For each row of the batch, its index in what the client sent.
    pub positions: Vec<u32>,
    pub rejects: Vec<Reject>,
    raw: Raw,
}

enum Raw {
    Json(Vec<Vec<u8>>),
    Arrow(RecordBatch),
}

/// Why a row is refused, and the column that is to blame where it is one.
pub(crate) type Refusal = (Option<String>, String);

impl Decoded {
    /// The bytes of a row as they came: JSON as sent, Arrow rendered as JSON.
    pub fn raw(&self, position: u32) -> Vec<u8> {
        let mut raw = match &self.raw {
            Raw::Json(rows) => rows[position as usize].clone(),
            Raw::Arrow(batch) => render(&batch.slice(position as usize, 1)),
        };
        raw.truncate(MAX_RAW_ROW_BYTES);
        raw
    }
}

/// Decodes rows into the schema of a source.
pub fn decode(source: &Source, schema: &SchemaRef, input: Input<'_>) -> Result<Decoded, EngineError> {
    match input {
        Input::Json(bytes) => decode_rows(source, schema, json_rows(bytes)?),
        Input::Lines(bytes) => {
            let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            decode_rows(source, schema, lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
        }
        Input::Arrow(batches) => decode_arrow(source, schema, &batches),
    }
}

fn json_rows(bytes: &[u8]) -> Result<Vec<Vec<u8>>, EngineError> {
    let bytes = bytes.trim_ascii();
    if bytes.first() == Some(&b'{') {
        return Ok(vec![bytes.to_vec()]);
    }
    let rows: Vec<&RawValue> = serde_json::from_slice(bytes).map_err(|error| {
        EngineError::Invalid(format!("the body is not a JSON array of objects: {error}; nothing was taken"))
    })?;
    Ok(rows.into_iter().map(|row| row.get().as_bytes().to_vec()).collect())
}

fn bounded(rows: usize) -> Result<u32, EngineError> {
    if rows > MAX_BATCH_ROWS {
        return Err(EngineError::Invalid(format!(
            "a push of {rows} rows is more than {MAX_BATCH_ROWS}: send it in parts"
        )));
    }
    Ok(rows as u32)
}

fn decode_rows(source: &Source, schema: &SchemaRef, rows: Vec<Vec<u8>>) -> Result<Decoded, EngineError> {
    let read = bounded(rows.len())?;
    let mut columns: Vec<Vec<Value>> = vec![Vec::with_capacity(rows.len()); source.columns.len()];
    let (mut positions, mut rejects) = (Vec::with_capacity(rows.len()), Vec::new());
    for (position, raw) in rows.iter().enumerate() {
        match decode_row(source, raw) {
            Ok(values) => {
                positions.push(position as u32);
                for (column, value) in columns.iter_mut().zip(values) {
                    column.push(value);
                }
            }
            Err((column, reason)) => rejects.push(Reject {
                row: position as u32,
                column,
                reason,
                raw: raw[..raw.len().min(MAX_RAW_ROW_BYTES)].to_vec(),
            }),
        }
    }
    let arrays = columns
        .iter()
        .zip(&source.columns)
        .map(|(values, column)| array_from_values(values.iter(), &column.data_type))
        .collect();
    let batch = RecordBatch::try_new_with_options(
        schema.clone(),
        arrays,
        &arrow::array::RecordBatchOptions::new().with_row_count(Some(positions.len())),
    );
    let batch = batch.map_err(|error| EngineError::Invalid(format!("source `{}`: {error}", source.name)))?;
    Ok(Decoded { read, batch, positions, rejects, raw: Raw::Json(rows) })
}

fn decode_row(source: &Source, raw: &[u8]) -> Result<Vec<Value>, Refusal> {
    let row: Json = serde_json::from_slice(raw).map_err(|error| (None, format!("not JSON: {error}")))?;
    let Json::Object(mut row) = row else { return Err((None, "expected an object".to_owned())) };
    if let SourceKind::Change { operation, .. } = &source.kind
        && (row.get("before").is_some_and(Json::is_object) || row.get("after").is_some_and(Json::is_object))
    {
        row = flatten_envelope(row, operation);
    }
    source
        .columns
        .iter()
        .map(|column| match row.get(&column.name) {
            None => Ok(Value::Null),
            Some(json) => from_json(json, &column.data_type).map_err(|reason| (Some(column.name.clone()), reason)),
        })
        .collect()
}

/// A change in an envelope (`op`, `before`, `after`, as CDC tools write it) as one flat row: the image after it, or
/// before it for a delete, and the operation by its name.
fn flatten_envelope(mut row: serde_json::Map<String, Json>, operation: &str) -> serde_json::Map<String, Json> {
    let name = match row.get("op").and_then(Json::as_str) {
        Some("c" | "r" | "insert") => "insert",
        Some("u" | "update") => "update",
        Some("d" | "delete") => "delete",
        _ if row.get("after").is_some_and(Json::is_object) => "insert",
        _ => "delete",
    };
    let image = if name == "delete" { row.remove("before") } else { row.remove("after") };
    let outer = row;
    let Some(Json::Object(mut image)) = image else { return outer };
    for (key, value) in outer {
        if key != "op" && key != "before" && key != "after" {
            image.entry(key).or_insert(value);
        }
    }
    image.insert(operation.to_owned(), Json::String(name.to_owned()));
    image
}

fn decode_arrow(source: &Source, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Decoded, EngineError> {
    let invalid = |why: String| EngineError::Invalid(format!("source `{}`: {why}", source.name));
    let whole = match batches {
        [] => RecordBatch::new_empty(schema.clone()),
        [batch] => batch.clone(),
        [first, ..] => concat_batches(&first.schema(), batches).map_err(|error| invalid(error.to_string()))?,
    };
    let read = bounded(whole.num_rows())?;
    let (mut columns, mut bad): (Vec<ArrayRef>, Vec<Option<(String, String)>>) =
        (Vec::new(), vec![None; read as usize]);
    for column in &source.columns {
        let array = match whole.column_by_name(&column.name) {
            None => arrow::array::new_null_array(&arrow_type(&column.data_type), whole.num_rows()),
            Some(array) => cast_column(array, &column.data_type, |row, reason| {
                bad[row].get_or_insert((column.name.clone(), reason));
            })
            .map_err(|why| invalid(format!("column `{}`: {why}", column.name)))?,
        };
        columns.push(array);
    }
    let batch = RecordBatch::try_new_with_options(
        schema.clone(),
        columns,
        &arrow::array::RecordBatchOptions::new().with_row_count(Some(whole.num_rows())),
    )
    .map_err(|error| invalid(error.to_string()))?;
    let positions: Vec<u32> = (0..read).filter(|row| bad[*row as usize].is_none()).collect();
    let batch = if positions.len() == batch.num_rows() {
        batch
    } else {
        let keep = BooleanArray::from(bad.iter().map(Option::is_none).collect::<Vec<_>>());
        arrow::compute::filter_record_batch(&batch, &keep).map_err(|error| invalid(error.to_string()))?
    };
    let rejects = bad
        .into_iter()
        .enumerate()
        .filter_map(|(row, bad)| bad.map(|(column, reason)| (row, column, reason)))
        .map(|(row, column, reason)| Reject {
            row: row as u32,
            column: Some(column),
            reason,
            raw: render(&whole.slice(row, 1)),
        })
        .collect();
    Ok(Decoded { read, batch, positions, rejects, raw: Raw::Arrow(whole) })
}

/// Casts a column; rows whose value does not fit are reported and become null.
pub(crate) fn cast_column(
    array: &ArrayRef,
    data_type: &DataType,
    mut reject: impl FnMut(usize, String),
) -> Result<ArrayRef, String> {
    let wanted = arrow_type(data_type);
    if array.data_type() == &wanted {
        return Ok(array.clone());
    }
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let cast = cast_with_options(array, &wanted, &options)
        .map_err(|_| format!("{} cannot be read as {data_type}", array.data_type()))?;
    let fits: Box<dyn Fn(usize) -> bool> = if data_type.is_integer() && array.data_type().is_floating() {
        // The cast cuts fractions off, and a value is never made another one.
        let (given, got) = (floats(array)?, floats(&cast)?);
        Box::new(move |row| got.is_valid(row) && got.value(row) == given.value(row))
    } else if cast.null_count() > array.null_count() {
        let cast = cast.clone();
        Box::new(move |row| cast.is_valid(row))
    } else {
        return Ok(cast);
    };
    for row in (0..array.len()).filter(|row| array.is_valid(*row) && !fits(*row)) {
        reject(row, format!("the value does not fit {data_type}"));
    }
    Ok(cast)
}

fn floats(array: &ArrayRef) -> Result<Float64Array, String> {
    let floats = arrow::compute::cast(array, &ArrowType::Float64).map_err(|error| error.to_string())?;
    Ok(floats.as_primitive::<Float64Type>().clone())
}

/// A row as one JSON object.
fn render(row: &RecordBatch) -> Vec<u8> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    match writer.write(row).and_then(|()| writer.finish()) {
        Ok(()) => writer.into_inner().trim_ascii().to_vec(),
        Err(error) => format!("(not shown: {error})").into_bytes(),
    }
}

/// The Arrow schema of a source's columns.
pub fn source_schema(source: &Source) -> SchemaRef {
    let fields = source.columns.iter().map(|column| thalweg_aggregate::arrow_field(&column.name, &column.data_type));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl Decoded {
    /// Keeps the rows that are true.
    pub fn keep(&mut self, keep: &BooleanArray) -> Result<(), String> {
        self.batch = arrow::compute::filter_record_batch(&self.batch, keep).map_err(|error| error.to_string())?;
        let mut row = 0;
        self.positions.retain(|_| {
            row += 1;
            keep.value(row - 1)
        });
        Ok(())
    }

    /// Sets rows aside, each with its refusal and as it came; `refusals` has one entry per row of the batch.
    pub(crate) fn set_aside(&mut self, refusals: Vec<Option<Refusal>>) -> Result<(), String> {
        if refusals.iter().all(Option::is_none) {
            return Ok(());
        }
        let keep = BooleanArray::from(refusals.iter().map(Option::is_none).collect::<Vec<_>>());
        for (row, refusal) in refusals.into_iter().enumerate() {
            let Some((column, reason)) = refusal else { continue };
            let position = self.positions[row];
            let raw = self.raw(position);
            self.rejects.push(Reject { row: position, column, reason, raw });
        }
        self.keep(&keep)
    }
}
