//! The rows of a change source on their way to the log: which rows each takes back, and what they leave current.

use crate::batch::{BEFORE_ROW, BEFORE_SEQUENCE, BEFORE_TIME, with_columns};
use crate::changes::CurrentRow;
use crate::decode::Decoded;
use crate::engine::SourceMemory;
use crate::ingest::Traces;
use crate::runtime::SourceRuntime;
use arrow::array::{AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType as ArrowType, Field, TimestampMicrosecondType};
use std::sync::Arc;
use thalweg_aggregate::{ColumnReader, Value, array_from_values, encode_key};
use thalweg_definition::{DataType, SourceKind};

/// Of a change source: finds the rows that this push takes back, and remembers the rows it brings.
pub(crate) fn changes(
    source: &SourceRuntime,
    memory: &mut SourceMemory,
    decoded: &mut Decoded,
    first_sequence: u64,
    traces: &mut Traces,
) -> Result<Option<RecordBatch>, String> {
    let SourceKind::Change { primary_key, operation } = &source.definition.kind else { return Ok(None) };
    let unknown = unknown_deletes(source, memory, decoded, primary_key, operation)?;
    if unknown.contains(&true) {
        let refusal = || (Some(operation.clone()), "a delete of a row that is not there".to_owned());
        decoded.set_aside(unknown.into_iter().map(|unknown| unknown.then(refusal)).collect())?;
    }
    let reader = ChangeReader::new(source, &decoded.batch, primary_key, operation)?;
    let (mut before, mut by, mut key) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..decoded.batch.num_rows() {
        reader.key(row, &mut key);
        if let Some(current) = memory.changes.get(&key) {
            by.push(row as u32);
            before.push(current.clone());
        }
        let next = (!reader.is_delete(row)).then(|| reader.current(row, first_sequence));
        traces.changes.push(memory.changes.set(&key, next));
    }
    if before.is_empty() { Ok(None) } else { before_images(source, &before, by).map(Some) }
}

fn unknown_deletes(
    source: &SourceRuntime,
    memory: &SourceMemory,
    decoded: &Decoded,
    primary_key: &[String],
    operation: &str,
) -> Result<Vec<bool>, String> {
    let reader = ChangeReader::new(source, &decoded.batch, primary_key, operation)?;
    let mut here = std::collections::HashMap::new();
    let mut key = Vec::new();
    Ok((0..decoded.batch.num_rows())
        .map(|row| {
            reader.key(row, &mut key);
            let known = here.get(&key).copied().unwrap_or_else(|| memory.changes.get(&key).is_some());
            here.insert(key.clone(), !reader.is_delete(row));
            reader.is_delete(row) && !known
        })
        .collect())
}

fn before_images(source: &SourceRuntime, before: &[CurrentRow], by: Vec<u32>) -> Result<RecordBatch, String> {
    let arrays = source
        .columns
        .iter()
        .map(|(name, data_type)| {
            let null = Value::Null;
            let values: Vec<&Value> = before.iter().map(|row| row.value(name).unwrap_or(&null)).collect();
            array_from_values(values.into_iter(), data_type)
        })
        .collect();
    let batch = RecordBatch::try_new(source.schema.clone(), arrays).map_err(|error| error.to_string())?;
    let times: Int64Array = before.iter().map(|row| row.time).collect();
    let sequences: Int64Array = before.iter().map(|row| row.sequence as i64).collect();
    with_columns(
        &batch,
        vec![
            (Field::new(BEFORE_ROW, ArrowType::UInt32, false), Arc::new(UInt32Array::from(by))),
            (Field::new(BEFORE_TIME, ArrowType::Int64, false), Arc::new(times)),
            (Field::new(BEFORE_SEQUENCE, ArrowType::Int64, false), Arc::new(sequences)),
        ],
    )
    .map_err(|error| error.to_string())
}

/// Reads the rows of a change source.
pub(crate) struct ChangeReader {
    keys: Vec<ColumnReader>,
    all: Vec<(Box<str>, ColumnReader)>,
    operation: arrow::array::StringArray,
    times: arrow::array::TimestampMicrosecondArray,
}

impl ChangeReader {
    pub(crate) fn new(
        source: &SourceRuntime,
        batch: &RecordBatch,
        primary_key: &[String],
        operation: &str,
    ) -> Result<Self, String> {
        let all = source
            .columns
            .iter()
            .zip(batch.columns())
            .map(|((name, data_type), column)| {
                let reader = ColumnReader::new(column, data_type).map_err(|error| error.to_string())?;
                Ok((name.as_str().into(), reader))
            })
            .collect::<Result<Vec<_>, String>>()?;
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("no column `{name}`"));
        let keys = primary_key
            .iter()
            .map(|name| {
                let data_type = source.columns.iter().find(|(own, _)| own == name).map(|(_, data_type)| data_type);
                let data_type: &DataType = data_type.ok_or_else(|| format!("no column `{name}`"))?;
                ColumnReader::new(column(name)?, data_type).map_err(|error| error.to_string())
            })
            .collect::<Result<Vec<_>, String>>()?;
        let operation = column(operation)?.as_string::<i32>().clone();
        let times = column(&source.definition.timestamp)?.as_primitive::<TimestampMicrosecondType>().clone();
        Ok(Self { keys, all, operation, times })
    }

    pub(crate) fn key(&self, row: usize, out: &mut Vec<u8>) {
        out.clear();
        for reader in &self.keys {
            encode_key(reader.cell(row), out);
        }
    }

    pub(crate) fn is_delete(&self, row: usize) -> bool {
        self.operation.value(row) == "delete"
    }

    pub(crate) fn current(&self, row: usize, first_sequence: u64) -> CurrentRow {
        CurrentRow {
            time: self.times.value(row),
            sequence: first_sequence + row as u64,
            values: self.all.iter().map(|(name, reader)| (name.clone(), reader.cell(row).to_value())).collect(),
        }
    }
}
