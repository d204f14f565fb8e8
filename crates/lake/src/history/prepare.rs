//! From batches of the log to the rows of a Delta table: stored types, the day of the event, order, and no row twice.

use super::{ARRIVAL, DATE, SEQUENCE};
use crate::error::{LakeError, Result};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, RecordBatch, RecordBatchOptions, new_null_array,
};
use arrow::compute::{
    CastOptions, SortColumn, cast_with_options, concat_batches, filter_record_batch, lexsort_to_indices, max,
    take_record_batch,
};
use arrow::datatypes::{DataType as ArrowType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use std::sync::Arc;
use thalweg_aggregate::arrow_type;
use thalweg_definition::{DAY, DataType, Source};

/// How a type is stored: Delta has no lists of fixed length.
pub(super) fn stored_type(data_type: &DataType) -> ArrowType {
    match data_type {
        DataType::Vector(_) => arrow_type(&DataType::List(Box::new(DataType::Float32))),
        other => arrow_type(other),
    }
}

/// The day of a time in microseconds, counted from the epoch.
pub(super) fn day(time: i64) -> i32 {
    // The first and the last day of 64-bit microseconds lie well within 32 bits.
    time.div_euclid(DAY) as i32
}

/// All rows in one batch of the stored types, with the day of each event.
pub(super) fn rows(source: &Source, batches: &[RecordBatch]) -> Result<RecordBatch> {
    let schema = stored_schema(source);
    let conformed = batches.iter().map(|batch| conform(source, batch, &schema)).collect::<Result<Vec<_>>>()?;
    Ok(concat_batches(&schema, &conformed)?)
}

/// The newest sequence among rows.
pub(super) fn newest(rows: &RecordBatch) -> Result<Option<u64>> {
    let sequences = column(rows, SEQUENCE)?.as_primitive::<Int64Type>();
    Ok(max(sequences).and_then(|newest| u64::try_from(newest).ok()))
}

/// The rows from a position in the log on.
pub(super) fn fresh(rows: &RecordBatch, position: u64) -> Result<RecordBatch> {
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    let sequences = column(rows, SEQUENCE)?.as_primitive::<Int64Type>();
    let keep: BooleanArray = sequences.values().iter().map(|sequence| Some(*sequence >= position)).collect();
    if keep.true_count() == rows.num_rows() {
        return Ok(rows.clone());
    }
    Ok(filter_record_batch(rows, &keep)?)
}

/// The rows in the order in which files are best read.
pub(super) fn sorted(source: &Source, rows: &RecordBatch, sort_by: &[String]) -> Result<RecordBatch> {
    let names = sort_by.iter().map(String::as_str).chain([source.timestamp.as_str(), SEQUENCE]);
    let columns = names
        .map(|name| Ok(SortColumn { values: column(rows, name)?.clone(), options: None }))
        .collect::<Result<Vec<_>>>()?;
    let order = lexsort_to_indices(&columns, None)?;
    Ok(take_record_batch(rows, &order)?)
}

fn stored_schema(source: &Source) -> SchemaRef {
    let mut fields: Vec<Field> =
        source.columns.iter().map(|column| Field::new(&column.name, stored_type(&column.data_type), true)).collect();
    fields.push(Field::new(ARRIVAL, arrow_type(&DataType::Timestamp), true));
    fields.push(Field::new(SEQUENCE, ArrowType::Int64, true));
    fields.push(Field::new(DATE, ArrowType::Date32, true));
    Arc::new(Schema::new(fields))
}

fn conform(source: &Source, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let dates: ArrayRef = Arc::new(dates(source, batch)?);
    let columns = schema
        .fields()
        .iter()
        .map(|field| match (field.name().as_str(), batch.column_by_name(field.name())) {
            (DATE, _) => Ok(dates.clone()),
            (_, Some(array)) => stored(array, field.data_type()),
            (ARRIVAL | SEQUENCE, None) => Err(lacks(&source.name, field.name())),
            (_, None) => Ok(new_null_array(field.data_type(), batch.num_rows())),
        })
        .collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

fn stored(array: &ArrayRef, wanted: &ArrowType) -> Result<ArrayRef> {
    if array.data_type() == wanted {
        return Ok(array.clone());
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(array, wanted, &options)?)
}

/// The day of each event; of a row without an event time, the day of its arrival.
fn dates(source: &Source, batch: &RecordBatch) -> Result<Date32Array> {
    let wanted = arrow_type(&DataType::Timestamp);
    let time_of = |name: &str| -> Result<ArrayRef> {
        stored(batch.column_by_name(name).ok_or_else(|| lacks(&source.name, name))?, &wanted)
    };
    let (times, arrivals) = (time_of(&source.timestamp)?, time_of(ARRIVAL)?);
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let arrivals = arrivals.as_primitive::<TimestampMicrosecondType>();
    let date = |row: usize| if times.is_null(row) { day(arrivals.value(row)) } else { day(times.value(row)) };
    Ok((0..batch.num_rows()).map(|row| Some(date(row))).collect())
}

fn lacks(source: &str, column: &str) -> LakeError {
    LakeError::Invalid(format!("rows of source `{source}` lack the column `{column}`"))
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| LakeError::Invalid(format!("there is no column `{name}` to sort by")))
}
