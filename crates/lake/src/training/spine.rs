//! The spine: its rows, their query times, and the keys by which they name entities.

use super::{SpineInput, TrainingRequest, hex};
use crate::error::{LakeError, Result};
use crate::limits::{MAX_SPINE_ROWS, SWEEP_PARTITIONS};
use crate::rows::read_parquet;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{DataType as ArrowType, Field, Int64Type, Schema, TimestampMicrosecondType};
use arrow_ipc::writer::StreamWriter;
use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use thalweg_aggregate::{KeyEncoder, arrow_type};
use thalweg_definition::{AsOf, DataType, Entity};
use xxhash_rust::xxh3::xxh3_64;

/// In place of a key's number, where part of the key is null.
pub(super) const NO_KEY: u32 = u32::MAX;

pub(super) struct Spine {
    pub(super) batch: RecordBatch,
    /// The query time of each row.
    pub(super) times: Vec<i64>,
    /// The arrival cut of each row.
    pub(super) cuts: Vec<i64>,
    /// The cut by the other of the two kinds of point in time; none where rows bring their own cuts.
    pub(super) other_cuts: Option<Vec<i64>>,
    pub(super) hash: String,
}

/// The distinct keys of an entity that a spine names, numbered in the order of first sight.
pub(super) struct SpineKeys {
    numbers: HashMap<Box<[u8]>, u32>,
    /// For each row of the spine, the number of its key, or [`NO_KEY`].
    pub(super) of_row: Vec<u32>,
    /// For each key, its partition.
    pub(super) partition: Vec<u32>,
    /// For each key, its place in its partition.
    pub(super) place: Vec<u32>,
    /// How many keys each partition has.
    pub(super) sizes: Vec<u32>,
    pub(super) partitions: usize,
}

impl Spine {
    pub(super) fn load(request: &TrainingRequest) -> Result<Self> {
        let batch = read(&request.spine)?;
        if batch.num_rows() > MAX_SPINE_ROWS {
            return Err(invalid(format!("the spine has more than {MAX_SPINE_ROWS} rows; build it in parts")));
        }
        let times = times(&batch, &request.timestamp)?;
        let always = || vec![i64::MAX; times.len()];
        let (cuts, other_cuts) = match (&request.cut, request.as_of) {
            (Some(name), _) => (cuts(&batch, name, &times)?, None),
            (None, AsOf::EventTime) => (always(), Some(times.clone())),
            (None, AsOf::Arrival) => (times.clone(), Some(always())),
        };
        let hash = hash(&batch)?;
        Ok(Self { batch, times, cuts, other_cuts, hash })
    }

    pub(super) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// The earliest and the latest query time; none where there are no rows.
    pub(super) fn bounds(&self) -> Option<(i64, i64)> {
        Some((*self.times.iter().min()?, *self.times.iter().max()?))
    }

    pub(super) fn keys(&self, entity: &Entity) -> Result<SpineKeys> {
        let columns = entity
            .keys
            .iter()
            .map(|key| {
                let missing = || {
                    let object = format!("the spine has no column `{}`", key.name);
                    invalid(format!("{object}, a key of entity `{}`; add it", entity.name))
                };
                self.batch.column_by_name(&key.name).cloned().ok_or_else(missing)
            })
            .collect::<Result<Vec<ArrayRef>>>()?;
        let encoder = KeyEncoder::new(entity, &columns).map_err(|reason| invalid(format!("the spine: {reason}")))?;
        let mut keys = SpineKeys {
            numbers: HashMap::new(),
            of_row: Vec::with_capacity(self.rows()),
            partition: Vec::new(),
            place: Vec::new(),
            sizes: Vec::new(),
            partitions: SWEEP_PARTITIONS,
        };
        let mut key = Vec::new();
        for row in 0..self.rows() {
            let number = if encoder.key(row, &mut key) { keys.number_or_new(&key) } else { NO_KEY };
            keys.of_row.push(number);
        }
        keys.partitions = keys.partition.len().clamp(1, SWEEP_PARTITIONS);
        let partitions = keys.partitions as u32;
        keys.sizes = vec![0; keys.partitions];
        keys.place.reserve(keys.partition.len());
        for partition in &mut keys.partition {
            *partition %= partitions;
            let size = &mut keys.sizes[*partition as usize];
            keys.place.push(*size);
            *size += 1;
        }
        Ok(keys)
    }

    /// A column cast to a type, for the request values of on-demand features.
    pub(super) fn request_value(&self, name: &str, data_type: &DataType) -> Result<ArrayRef> {
        let column = self.batch.column_by_name(name).ok_or_else(|| {
            invalid(format!("the spine has no column `{name}`, a request value of an on-demand feature; add it"))
        })?;
        cast(column, &arrow_type(data_type))
            .map_err(|reason| invalid(format!("spine column `{name}` cannot be read as {data_type}: {reason}")))
    }
}

impl SpineKeys {
    /// The number of a key, where the spine names it.
    pub(super) fn number(&self, key: &[u8]) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    fn number_or_new(&mut self, key: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = self.partition.len() as u32;
        self.numbers.insert(key.into(), number);
        // The high bits of the hash; they are reduced to the number of partitions when that is known.
        self.partition.push((xxh3_64(key) >> 32) as u32);
        number
    }
}

fn read(input: &SpineInput) -> Result<RecordBatch> {
    let (schema, batches) = match input {
        SpineInput::Parquet(path) => read_parquet(path)?,
        SpineInput::Batches(batches) => {
            let nothing = || invalid("the spine has no columns; give the entities and their times".to_owned());
            (batches.first().ok_or_else(nothing)?.schema(), batches.clone())
        }
    };
    concat_batches(&schema, &batches)
        .map_err(|error| invalid(format!("the spine's batches do not go together: {error}")))
}

fn times(batch: &RecordBatch, name: &str) -> Result<Vec<i64>> {
    let column = batch.column_by_name(name).ok_or_else(|| {
        let names: Vec<String> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        invalid(format!("the spine has no column `{name}` for the query times; columns are {}", names.join(", ")))
    })?;
    let readable = matches!(
        column.data_type(),
        ArrowType::Timestamp(..)
            | ArrowType::Date32
            | ArrowType::Date64
            | ArrowType::Utf8
            | ArrowType::LargeUtf8
            | ArrowType::Utf8View
    );
    if !readable {
        let rule = format!("spine column `{name}` is {}, and query times are timestamps", column.data_type());
        return Err(invalid(format!("{rule}; send timestamps (UTC)")));
    }
    let times = cast(column, &arrow_type(&DataType::Timestamp))
        .map_err(|reason| invalid(format!("spine column `{name}` cannot be read as timestamps: {reason}")))?;
    if times.null_count() > 0 {
        let rule = format!("{} rows of the spine have no query time in column `{name}`", times.null_count());
        return Err(invalid(format!("{rule}; fill them in or leave the rows out")));
    }
    Ok(times.as_primitive::<TimestampMicrosecondType>().values().to_vec())
}

/// What each row knows: what had arrived before its cut, and never later than its query time.
fn cuts(batch: &RecordBatch, name: &str, times: &[i64]) -> Result<Vec<i64>> {
    let column = batch
        .column_by_name(name)
        .ok_or_else(|| invalid(format!("the spine has no column `{name}` for the arrival cuts; add it")))?;
    let unreadable = |reason| invalid(format!("spine column `{name}` cannot be read as arrival cuts: {reason}"));
    let micros = match column.data_type() {
        ArrowType::Timestamp(..) => {
            let timestamps = cast(column, &arrow_type(&DataType::Timestamp)).map_err(unreadable)?;
            cast(&timestamps, &ArrowType::Int64).map_err(unreadable)?
        }
        _ => cast(column, &ArrowType::Int64).map_err(unreadable)?,
    };
    let micros = micros.as_primitive::<Int64Type>();
    Ok(micros.iter().zip(times).map(|(cut, time)| cut.unwrap_or(*time).min(*time)).collect())
}

fn cast(array: &ArrayRef, wanted: &ArrowType) -> std::result::Result<ArrayRef, String> {
    if array.data_type() == wanted {
        return Ok(array.clone());
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, wanted, &options).map_err(|error| error.to_string())
}

/// SHA-256 of the columns as an Arrow stream, without the notes that tools leave in the schema.
fn hash(batch: &RecordBatch) -> Result<String> {
    let fields: Vec<Field> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), field.data_type().clone(), field.is_nullable()))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let schema = Arc::new(Schema::new(fields));
    let plain = RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)?;
    let mut writer = StreamWriter::try_new(Hasher(Sha256::new()), &schema)?;
    writer.write(&plain)?;
    let hasher = writer.into_inner()?;
    Ok(hex(&hasher.0.finalize()))
}

struct Hasher(Sha256);

impl std::io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn invalid(message: String) -> LakeError {
    LakeError::Invalid(message)
}
