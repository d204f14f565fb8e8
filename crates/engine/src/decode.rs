//! From what clients send to typed rows. A row that does not decode is set aside with its raw bytes and the reason;
//! the others go on.

use crate::error::EngineError;
use crate::json;
use crate::limits::{MAX_BATCH_ROWS, MAX_RAW_ROW_BYTES};
use crate::literal::from_json;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch};
use arrow::compute::{CastOptions, cast, cast_with_options, concat_batches};
use arrow::datatypes::{DataType as ArrowType, Float64Type, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use thalweg_aggregate::{Value, array_from_values, arrow_type, data_type_of};
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
    Arrow(Foreign),
}

/// Rows as they came in Arrow, and the columns that the source has.
struct Foreign {
    rows: RecordBatch,
    columns: Vec<(String, DataType)>,
}

/// Why a row is refused, and the column that is to blame where it is one.
pub(crate) type Refusal = (Option<String>, String);

impl Decoded {
    /// The bytes of a row as they came: JSON as sent, Arrow rendered as JSON.
    pub fn raw(&self, position: u32) -> Vec<u8> {
        match &self.raw {
            Raw::Json(rows) => kept(rows[position as usize].clone()),
            Raw::Arrow(foreign) => foreign.render(position as usize),
        }
    }
}

/// Decodes rows into the schema of a source.
pub fn decode(source: &Source, schema: &SchemaRef, input: Input<'_>) -> Result<Decoded, EngineError> {
    match input {
        Input::Json(bytes) => decode_rows(source, schema, json_rows(bytes)?),
        Input::Lines(bytes) => {
            let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            let lines = lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec);
            // One more than there may be is enough to know.
            decode_rows(source, schema, lines.take(MAX_BATCH_ROWS + 1).collect())
        }
        Input::Arrow(batches) => decode_arrow(source, schema, &batches),
    }
}

fn json_rows(bytes: &[u8]) -> Result<Vec<Vec<u8>>, EngineError> {
    let bytes = bytes.trim_ascii();
    if bytes.first() == Some(&b'{') {
        return Ok(vec![bytes.to_vec()]);
    }
    match serde_json::from_slice(bytes) {
        Ok(RowsOfArray(rows)) => Ok(rows),
        Err(error) if error.to_string().starts_with(TOO_MANY_ROWS) => Err(too_many_rows()),
        Err(error) => {
            Err(EngineError::Invalid(format!("the body is not a JSON array of objects: {error}; nothing was taken")))
        }
    }
}

/// The items of a JSON array, of which no more are taken into memory than a push may have.
struct RowsOfArray(Vec<Vec<u8>>);

/// By which the one error of [`RowsOfArray`] that is not about JSON is known.
const TOO_MANY_ROWS: &str = "more rows than a push may have";

impl<'de> Deserialize<'de> for RowsOfArray {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;

        impl<'de> Visitor<'de> for Items {
            type Value = RowsOfArray;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RowsOfArray, A::Error> {
                let mut rows = Vec::new();
                while let Some(row) = items.next_element::<&RawValue>()? {
                    if rows.len() == MAX_BATCH_ROWS {
                        return Err(A::Error::custom(TOO_MANY_ROWS));
                    }
                    rows.push(row.get().as_bytes().to_vec());
                }
                Ok(RowsOfArray(rows))
            }
        }

        deserializer.deserialize_seq(Items)
    }
}

fn bounded(rows: usize) -> Result<u32, EngineError> {
    if rows > MAX_BATCH_ROWS { Err(too_many_rows()) } else { Ok(rows as u32) }
}

fn too_many_rows() -> EngineError {
    EngineError::Invalid(format!("a push has at most {MAX_BATCH_ROWS} rows, and this one has more: send it in parts"))
}

/// As much of a row as is kept in quarantine.
fn kept(mut raw: Vec<u8>) -> Vec<u8> {
    raw.truncate(MAX_RAW_ROW_BYTES);
    raw
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
    let columns = source.columns.iter().map(|column| (column.name.clone(), column.data_type.clone()));
    let raw = Foreign { columns: columns.collect(), rows: whole.clone() };
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
        .map(|(row, column, reason)| Reject { row: row as u32, column: Some(column), reason, raw: raw.render(row) })
        .collect();
    Ok(Decoded { read, batch, positions, rejects, raw: Raw::Arrow(raw) })
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

impl Foreign {
    /// A row as one JSON object, from which [`decode_row`] makes the row that was pushed.
    fn render(&self, row: usize) -> Vec<u8> {
        let mut out = String::from("{");
        let mut seen = HashSet::new();
        for (field, column) in self.rows.schema_ref().fields().iter().zip(self.rows.columns()) {
            // Of columns of one name the first is read.
            if !seen.insert(field.name()) {
                continue;
            }
            json::separate(&mut out, seen.len() - 1);
            json::write_text(&mut out, field.name());
            out.push(':');
            let own = self.columns.iter().find(|(name, _)| name == field.name());
            render_cell(&mut out, &column.slice(row, 1), own.map(|(_, data_type)| data_type));
        }
        out.push('}');
        kept(out.into_bytes())
    }
}

/// The one value of a column: as the source's type, where it fits that, and else as what it is.
fn render_cell(out: &mut String, value: &ArrayRef, wanted: Option<&DataType>) {
    if value.logical_nulls().is_some_and(|nulls| nulls.is_null(0)) {
        return out.push_str("null");
    }
    if let Some(data_type) = wanted {
        let mut fits = true;
        if let Ok(own) = cast_column(value, data_type, |_, _| fits = false)
            && fits
        {
            return json::write_value(out, &own, 0, data_type);
        }
    }
    let own = data_type_of(value.data_type());
    let own = own.and_then(|data_type| Some((cast(value, &arrow_type(&data_type)).ok()?, data_type)));
    match own {
        Some((own, data_type)) if own.is_valid(0) => json::write_value(out, &own, 0, &data_type),
        _ => match array_value_to_string(value, 0) {
            Ok(text) => json::write_text(out, &text),
            Err(error) => json::write_text(out, &format!("(not shown: {error})")),
        },
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
