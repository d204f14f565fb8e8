//! What a record of the log holds: one accepted push, with everything that a replay needs.
//!
//! ```text
//! u32 header length │ header (postcard) │ u32 rows length │ rows (Arrow IPC stream) │ before-images (Arrow IPC stream)
//! ```
//! Rows have the source's columns and `__arrival`; their sequences are the record's first one and those after it.
//! Before-images (change sources only) are the rows that this push takes back: the source's columns,
//! `__row` (which of the push's rows took it back), `__time` and `__sequence` (the row's own).

use crate::decode::Reject;
use crate::error::EngineError;
use crate::ipc;
use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType as ArrowType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use arrow_ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use thalweg_aggregate::arrow_type;
use thalweg_definition::DataType;

/// The kind of log record that a push makes.
pub const BATCH_RECORD: u8 = 1;
/// The column of arrival times, in the log and in history.
pub const ARRIVAL: &str = "__arrival";
/// The column of sequences, in history.
pub const SEQUENCE: &str = "__sequence";
pub const BEFORE_ROW: &str = "__row";
pub const BEFORE_TIME: &str = "__time";
pub const BEFORE_SEQUENCE: &str = "__sequence";

/// Where a push's arrival times came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArrivalKind {
    /// The engine's clock.
    Clock,
    /// The column that the source declares.
    Column,
    /// The rows' event times: backfilled history that never arrived live.
    EventTime,
}

/// What became of a push, row by row: `read = applied + deduplicated + filtered + quarantined`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub source: String,
    pub read: u64,
    pub applied: u64,
    pub deduplicated: u64,
    pub filtered: u64,
    pub quarantined: u64,
    /// The same push had been acknowledged before; nothing was counted again.
    pub repeated: bool,
    pub arrival_time: ArrivalKind,
    pub first_sequence: u64,
    /// The first quarantined rows and why; all are in the quarantine.
    pub errors: Vec<RowError>,
}

impl Ack {
    /// That of a push without rows.
    pub(crate) fn nothing(source: &str, first_sequence: u64) -> Self {
        Self {
            source: source.to_owned(),
            read: 0,
            applied: 0,
            deduplicated: 0,
            filtered: 0,
            quarantined: 0,
            repeated: false,
            arrival_time: ArrivalKind::Clock,
            first_sequence,
            errors: Vec::new(),
        }
    }

    /// Bytes that the listed errors take, about.
    pub(crate) fn listed_bytes(&self) -> usize {
        let texts = |error: &RowError| error.reason.len() + error.column.as_ref().map_or(0, String::len);
        self.errors.iter().map(|error| size_of::<RowError>() + texts(error)).sum()
    }

    /// Adds another push of the same source.
    pub(crate) fn add(&mut self, other: Self) {
        self.read += other.read;
        self.applied += other.applied;
        self.deduplicated += other.deduplicated;
        self.filtered += other.filtered;
        self.quarantined += other.quarantined;
        self.arrival_time = other.arrival_time;
        let room = crate::limits::MAX_LISTED_ERRORS.saturating_sub(self.errors.len());
        self.errors.extend(other.errors.into_iter().take(room));
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowError {
    pub row: u32,
    pub column: Option<String>,
    pub reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BatchHeader {
    pub ack: Ack,
    pub idempotency_key: Option<String>,
    /// The machine's clock at acceptance.
    pub accepted_at: i64,
    pub quarantined: Vec<Reject>,
}

/// A push as it is in the log.
#[derive(Debug, Clone)]
pub struct LoggedBatch {
    pub header: BatchHeader,
    pub rows: RecordBatch,
    pub before: Option<RecordBatch>,
}

impl LoggedBatch {
    pub fn encode(&self) -> Vec<u8> {
        let header = postcard::to_allocvec(&self.header).expect("plain data");
        let mut out = Vec::new();
        out.extend((header.len() as u32).to_le_bytes());
        out.extend(header);
        let rows = to_ipc(&self.rows);
        out.extend((rows.len() as u32).to_le_bytes());
        out.extend(rows);
        if let Some(before) = &self.before {
            out.extend(to_ipc(before));
        }
        out
    }

    /// What it takes in memory, about.
    pub(crate) fn memory(&self) -> usize {
        let set_aside: usize =
            self.header.quarantined.iter().map(|reject| reject.raw.len() + reject.reason.len()).sum();
        let batches = std::iter::once(&self.rows).chain(&self.before);
        batches.map(RecordBatch::get_array_memory_size).sum::<usize>() + set_aside
    }

    /// The newest arrival time that the engine gave to its rows; the least time there is where it gave none.
    pub(crate) fn given_arrival(&self) -> i64 {
        if self.header.ack.arrival_time != ArrivalKind::Clock {
            return i64::MIN;
        }
        let column = self.rows.column_by_name(ARRIVAL);
        let arrivals = column.and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
        arrivals.and_then(arrow::compute::max).unwrap_or(i64::MIN)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, EngineError> {
        let (header, rest) = part(bytes)?;
        let (rows, before) = part(rest)?;
        let before = if before.is_empty() { None } else { Some(from_ipc(before)?) };
        Ok(Self { header: postcard::from_bytes(header).map_err(damaged)?, rows: from_ipc(rows)?, before })
    }
}

fn part(bytes: &[u8]) -> Result<(&[u8], &[u8]), EngineError> {
    let short = || EngineError::Storage("a log record ends early".to_owned());
    let (length, rest) = bytes.split_at_checked(4).ok_or_else(short)?;
    let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
    rest.split_at_checked(length).ok_or_else(short)
}

fn damaged(error: impl std::fmt::Display) -> EngineError {
    EngineError::Storage(format!("a log record does not decode: {error}"))
}

fn to_ipc(batch: &RecordBatch) -> Vec<u8> {
    const WHY: &str = "a batch of plain columns has an IPC form, and memory takes it";
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).expect(WHY);
    writer.write(batch).expect(WHY);
    writer.into_inner().expect(WHY)
}

fn from_ipc(bytes: &[u8]) -> Result<RecordBatch, EngineError> {
    // They are written as they are, so decompressed they have no more bytes than before.
    let (schema, mut batches) = ipc::batches(bytes, bytes.len() as u64).map_err(damaged)?;
    if let Some(field) = schema.fields().iter().find(|field| !is_plain(field.data_type())) {
        return Err(damaged(format!(
            "column `{}` is of type {}, which no source has",
            field.name(),
            field.data_type()
        )));
    }
    match (batches.pop(), batches.len()) {
        (None, _) => Ok(RecordBatch::new_empty(schema)),
        (Some(batch), 0) => Ok(batch),
        (Some(_), more) => Err(damaged(format!("it has {more} batches more than the one of a push"))),
    }
}

/// Whether a column of the log may have this type. Arrow panics at some of the others where their parts do not fit.
fn is_plain(data_type: &ArrowType) -> bool {
    match data_type {
        ArrowType::List(item) | ArrowType::FixedSizeList(item, _) => is_plain(item.data_type()),
        other => !other.is_nested() && !matches!(other, ArrowType::Dictionary(..) | ArrowType::RunEndEncoded(..)),
    }
}

/// A batch in another schema of the same source: by name, absent columns null.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, EngineError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
            Some(column) => arrow::compute::cast(column, field.data_type()).map_err(damaged),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(damaged)
}

/// A batch with more columns at its end.
pub fn with_columns(batch: &RecordBatch, more: Vec<(Field, ArrayRef)>) -> Result<RecordBatch, EngineError> {
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    for (field, column) in more {
        fields.push(Arc::new(field));
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(damaged)
}

/// The field of arrival times.
pub fn arrival_field() -> Field {
    Field::new(ARRIVAL, arrow_type(&DataType::Timestamp), true)
}
