//! CSV with a header line: types from the first rows, times in UTC.

use super::{Batches, open};
use crate::error::{LakeError, Result};
use crate::limits::INFER_ROWS;
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef};
use regex::Regex;
use std::path::Path;
use std::sync::Arc;
use thalweg_aggregate::arrow_type;
use thalweg_definition::DataType;

/// What was found out about a file.
pub(super) struct Inferred {
    pub(super) schema: SchemaRef,
    format: Format,
}

/// Texts that some tools write for a missing number.
const MISSING: &str = "^(|NA|N/A|null|NULL)$";

pub(super) fn infer(path: &Path) -> Result<Inferred> {
    let plain = Format::default().with_header(true);
    let missing = Regex::new(MISSING).map_err(|error| LakeError::Invalid(error.to_string()))?;
    let marked = Format::default().with_header(true).with_null_regex(missing);
    let (as_written, with_marks) = (types(path, &plain)?, types(path, &marked)?);
    // `NA` is a missing value only where it keeps a column from being of numbers or times; else it is a word.
    let (schema, format) = if as_written == with_marks { (as_written, plain) } else { (with_marks, marked) };
    Ok(Inferred { schema: Arc::new(schema), format })
}

pub(super) fn read(path: &Path, batch_rows: usize) -> Result<Batches> {
    let Inferred { schema, format } = infer(path)?;
    let reader = ReaderBuilder::new(schema)
        .with_format(format)
        .with_batch_size(batch_rows)
        .build(open(path)?)
        .map_err(|error| broken(path, &error))?;
    let path = path.to_owned();
    Ok(Box::new(reader.map(move |batch| batch.map_err(|error| broken(&path, &error)))))
}

fn types(path: &Path, format: &Format) -> Result<Schema> {
    let (schema, _) = format.infer_schema(open(path)?, Some(INFER_ROWS)).map_err(|error| broken(path, &error))?;
    let field = |field: &Arc<Field>| {
        let data_type = match field.data_type() {
            // Later rows may be finer than the first: all times are read as microseconds.
            ArrowType::Timestamp(..) => arrow_type(&DataType::Timestamp),
            ArrowType::Null => ArrowType::Utf8,
            other => other.clone(),
        };
        Field::new(field.name(), data_type, true)
    };
    Ok(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

fn broken(path: &Path, error: &arrow::error::ArrowError) -> LakeError {
    LakeError::Invalid(format!("file `{}`: {error}", path.display()))
}
