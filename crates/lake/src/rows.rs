//! Rows of history and of files as they are: for filling a view, for showing the events behind a value.

use crate::changes::{Changes, Times};
use crate::error::{LakeError, Result};
use crate::history::{ARRIVAL, History, ReadRequest, SEQUENCE};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, kernels::cmp::eq, sort_to_indices, take_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};
use futures::StreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::path::Path;
use thalweg_definition::Source;

/// A row of a change source: when it came, and what took it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    pub time: i64,
    pub arrival: i64,
    pub sequence: u64,
    /// Event time and arrival time of the change that took it back.
    pub retracted: Option<(i64, i64)>,
}

/// The rows that a change source's history added, each with its life.
#[derive(Debug, Clone)]
pub struct ChangeHistory {
    pub rows: RecordBatch,
    pub lives: Vec<Life>,
}

/// Reads the columns of all rows before a log sequence. Which change takes a row back is known only by looking at all
/// of them, so all are held in memory.
pub async fn read_changes(history: &History, source: &Source, columns: &[String], until: u64) -> Result<ChangeHistory> {
    let mut changes: Changes<'_, u32> =
        Changes::of(source).ok_or_else(|| LakeError::Invalid(format!("`{}` is no change source", source.name)))?;
    let mut names = columns.to_vec();
    let own: Vec<String> = changes.columns().map(str::to_owned).collect();
    for name in [source.timestamp.clone(), ARRIVAL.to_owned(), SEQUENCE.to_owned()].into_iter().chain(own) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let request = ReadRequest { columns: names, max_sequence: Some(until), ..ReadRequest::default() };
    let mut stream = history.read(source, &request).await?;
    let schema = stream.schema();
    let (mut added, mut lives): (Vec<RecordBatch>, Vec<Life>) = (Vec::new(), Vec::new());
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        let times = times(source, &batch)?;
        let adds = changes.adds(&batch)?;
        let mut places = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            places.push(adds.value(row).then_some(lives.len() as u32));
            if adds.value(row) {
                let (time, arrival, sequence) = (times.events[row], times.arrivals[row], times.sequences[row]);
                lives.push(Life { time, arrival, sequence, retracted: None });
            }
        }
        changes.take(&batch, &times, &places)?;
        added.push(filter_record_batch(&batch, &adds)?);
    }
    changes.finish(|place, time, arrival| lives[place as usize].retracted = Some((time, arrival)));
    Ok(ChangeHistory { rows: concat_batches(&schema, &added)?, lives })
}

/// When the rows of a batch came; one without an event time happened when it arrived.
pub(crate) fn times(source: &Source, batch: &RecordBatch) -> Result<Times> {
    let column = |name: &str| {
        batch.column_by_name(name).ok_or_else(|| LakeError::Storage(format!("history lacks the column `{name}`")))
    };
    let arrivals = column(ARRIVAL)?.as_primitive::<TimestampMicrosecondType>().values().to_vec();
    let events = column(&source.timestamp)?.as_primitive::<TimestampMicrosecondType>();
    let events =
        (0..events.len()).map(|row| if events.is_null(row) { arrivals[row] } else { events.value(row) }).collect();
    let sequences = column(SEQUENCE)?.as_primitive::<Int64Type>();
    let sequences = sequences.values().iter().map(|sequence| *sequence as u64).collect();
    Ok(Times { events, arrivals, sequences })
}

/// The newest rows of an entity before a time, oldest first; `keys` are one-row columns.
pub async fn entity_rows(
    history: &History,
    source: &Source,
    keys: &[(String, ArrayRef)],
    before: i64,
    limit: usize,
) -> Result<RecordBatch> {
    let mut columns: Vec<String> = source.columns.iter().map(|column| column.name.clone()).collect();
    columns.extend([ARRIVAL.to_owned(), SEQUENCE.to_owned()]);
    let request = ReadRequest { columns, until_time: Some(before), ..ReadRequest::default() };
    let mut stream = history.read(source, &request).await?;
    let schema = stream.schema();
    let mut newest = RecordBatch::new_empty(schema.clone());
    while let Some(batch) = stream.next().await {
        let mut batch = batch?;
        for (name, key) in keys {
            if let Some(column) = batch.column_by_name(name) {
                let key = arrow::compute::cast(key, column.data_type())?;
                let same = eq(column, &arrow::array::Scalar::new(key))?;
                batch = filter_record_batch(&batch, &same)?;
            }
        }
        if batch.num_rows() > 0 {
            newest = last_rows(source, &concat_batches(&schema, [&newest, &batch])?, limit)?;
        }
    }
    Ok(newest)
}

fn last_rows(source: &Source, rows: &RecordBatch, limit: usize) -> Result<RecordBatch> {
    let times = rows.column_by_name(&source.timestamp);
    let times = times.ok_or_else(|| LakeError::Storage("history lacks its event time".to_owned()))?;
    let order = sort_to_indices(times, None, None)?;
    let skipped = order.len().saturating_sub(limit);
    let kept: UInt32Array = order.slice(skipped, order.len() - skipped);
    Ok(take_record_batch(rows, &kept)?)
}

/// A Parquet file, whole: its schema and its rows.
pub fn read_parquet(path: &Path) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let file = File::open(path).map_err(|error| LakeError::Storage(format!("file `{}`: {error}", path.display())))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(65_536);
    let schema = reader.schema().clone();
    Ok((schema, reader.build()?.collect::<std::result::Result<_, _>>()?))
}
