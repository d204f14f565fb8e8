//! Files as they lie about: which columns they have, and their rows as batches.

mod csv;
mod json;

use crate::error::{LakeError, Result};
use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use flate2::read::MultiGzDecoder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use thalweg_aggregate::data_type_of;
use thalweg_definition::DataType;

/// A column as a file shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct InferredColumn {
    pub name: String,
    pub data_type: DataType,
    /// No value is missing, as far as was looked.
    pub required: bool,
}

/// The rows of a file, in its order.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

enum Format {
    Parquet,
    Csv,
    Json,
}

/// The columns of a Parquet, CSV or JSON file (an object a line, or an array of objects), the latter two also
/// compressed (`.gz`).
pub fn infer_schema(path: &Path) -> Result<Vec<InferredColumn>> {
    match format(path)? {
        Format::Parquet => {
            let schema = parquet(path)?.schema().clone();
            typed(path, &schema)
        }
        Format::Csv => typed(path, &csv::infer(path)?.schema),
        Format::Json => json::infer(path),
    }
}

/// The rows of a Parquet or CSV file, in batches of up to `batch_rows`.
pub fn read_file(path: &Path, batch_rows: usize) -> Result<Batches> {
    match format(path)? {
        Format::Parquet => {
            let reader = parquet(path)?.with_batch_size(batch_rows).build()?;
            let name = path.display().to_string();
            let broken = move |error: ArrowError| LakeError::Storage(format!("file `{name}`: {error}"));
            Ok(Box::new(reader.map(move |batch| batch.map_err(&broken))))
        }
        Format::Csv => csv::read(path, batch_rows),
        Format::Json => {
            Err(LakeError::Invalid(format!("file `{}` is JSON: send its lines as they are", path.display())))
        }
    }
}

fn format(path: &Path) -> Result<Format> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    match plain.rsplit_once('.').map(|(_, extension)| extension) {
        Some("parquet") if plain == name => Ok(Format::Parquet),
        Some("csv") => Ok(Format::Csv),
        Some("ndjson" | "jsonl" | "json") => Ok(Format::Json),
        _ => Err(LakeError::Invalid(format!(
            "file `{}` is of no known kind: use .parquet, .csv, .ndjson, .jsonl or .json (text also as .gz)",
            path.display()
        ))),
    }
}

fn parquet(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let broken = |error: &dyn std::fmt::Display| LakeError::Storage(format!("file `{}`: {error}", path.display()));
    let file = File::open(path).map_err(|error| broken(&error))?;
    ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| broken(&error))
}

/// A text file, decompressed where its name says that it is compressed.
fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    let file = File::open(path).map_err(|error| LakeError::Storage(format!("file `{}`: {error}", path.display())))?;
    let compressed = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    Ok(if compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

fn typed(path: &Path, schema: &Schema) -> Result<Vec<InferredColumn>> {
    schema
        .fields()
        .iter()
        .map(|field| {
            let data_type = data_type_of(field.data_type()).ok_or_else(|| {
                LakeError::Invalid(format!(
                    "file `{}`: column `{}` is {}, which has no type here; leave it out of the file",
                    path.display(),
                    field.name(),
                    field.data_type()
                ))
            })?;
            Ok(InferredColumn { name: field.name().clone(), data_type, required: !field.is_nullable() })
        })
        .collect()
}
