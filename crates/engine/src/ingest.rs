//! The way of a push up to the log: decode, contract, filter, dedup, sequence, arrival time.

use crate::batch::{
    Ack, ArrivalKind, BEFORE_ROW, BEFORE_SEQUENCE, BEFORE_TIME, BatchHeader, LoggedBatch, RowError, arrival_field,
    conform, with_columns,
};
use crate::changes::{CurrentRow, Undo};
use crate::commit::{Pending, Ticket};
use crate::decode::{Decoded, Input, decode};
use crate::dedup::{KeyFingerprint, Seen};
use crate::engine::{Engine, Remembered, Sequencer, SourceMemory};
use crate::error::EngineError;
use crate::limits::{
    LATE_DUPLICATES_MICROS, MAX_IDEMPOTENCY_KEY_BYTES, MAX_LISTED_ERRORS, MAX_QUEUE_BYTES, PENDING_OVERHEAD_BYTES,
    RETRY_AFTER_MS,
};
use crate::runtime::SourceRuntime;
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType as ArrowType, Field, Int64Type, TimestampMicrosecondType};
use std::sync::Arc;
use thalweg_aggregate::{ColumnReader, Value, array_from_values, encode_key};
use thalweg_definition::{DataType, SourceKind};

/// A push.
pub struct PushRequest<'a> {
    pub source: &'a str,
    pub input: Input<'a>,
    pub idempotency_key: Option<String>,
    /// The rows are history that never arrived live.
    pub backfill: bool,
}

/// What the sequencer did for a push, to be undone if it cannot be made durable.
#[derive(Default)]
pub(crate) struct Traces {
    pub source: String,
    pub seen: Vec<Seen>,
    pub changes: Vec<Undo>,
    pub idempotency_key: Option<String>,
}

impl Engine {
    /// Takes a push as far as the queue before the log; the ticket tells when its rows are durable and visible.
    pub fn submit(&self, request: PushRequest<'_>) -> Result<Ticket, EngineError> {
        if self.has_failed() {
            return Err(EngineError::Unavailable(
                "writing has stopped after a failed write: restart to recover what was acknowledged".to_owned(),
            ));
        }
        if request.idempotency_key.as_ref().is_some_and(|key| key.len() > MAX_IDEMPOTENCY_KEY_BYTES) {
            return Err(EngineError::Invalid(format!(
                "an idempotency key has at most {MAX_IDEMPOTENCY_KEY_BYTES} bytes"
            )));
        }
        let key = request.idempotency_key.map(|key| format!("{}\0{key}", request.source));
        let source = self.source(request.source)?;
        let mut decoded = decode(&source.definition, &source.schema, request.input)?;
        let broken = |why: String| EngineError::Invalid(format!("source `{}`: {why}", request.source));
        source.contract.check(&source.definition, &mut decoded).map_err(broken)?;
        let filtered = filter(&source, &mut decoded).map_err(broken)?;
        self.sequence(&source, decoded, filtered, key, request.backfill)
    }

    /// Takes a push and waits until it is durable and visible. Somebody has to run the commits:
    /// [`Engine::commit_pending`].
    pub fn push(&self, request: PushRequest<'_>) -> Result<Ack, EngineError> {
        let ticket = self.submit(request)?;
        if !ticket.is_done() {
            self.commit_pending();
        }
        ticket.wait()
    }

    fn sequence(
        &self,
        source: &SourceRuntime,
        mut decoded: Decoded,
        filtered: u64,
        key: Option<String>,
        backfill: bool,
    ) -> Result<Ticket, EngineError> {
        let name = &source.definition.name;
        let broken = |why: String| EngineError::Invalid(format!("source `{name}`: {why}"));
        let mut sequencer = self.sequencer.lock();
        if let Some(ticket) = key.as_ref().and_then(|key| sequencer.repeated(key)) {
            return Ok(ticket);
        }
        if sequencer.queue_bytes > MAX_QUEUE_BYTES {
            return Err(EngineError::Overloaded {
                what: "more has been pushed than could be made durable yet".to_owned(),
                retry_after_ms: RETRY_AFTER_MS,
            });
        }
        let mut traces = Traces { source: name.clone(), ..Traces::default() };
        let memory = sequencer.sources.entry(name.clone()).or_default();
        let deduplicated = dedup(source, memory, &mut decoded, &mut traces).map_err(broken)?;
        let first = sequencer.next_sequence;
        let memory = sequencer.sources.get_mut(name).expect("just made");
        let before = changes(source, memory, &mut decoded, first, &mut traces).map_err(broken)?;
        let (rows, arrival_time) = self.with_arrivals(source, &decoded.batch, backfill).map_err(broken)?;
        let applied = rows.num_rows() as u64;
        let mut rejects = decoded.rejects;
        rejects.sort_by_key(|reject| reject.row);
        let ack = Ack {
            source: name.clone(),
            read: decoded.read.into(),
            applied,
            deduplicated,
            filtered,
            quarantined: rejects.len() as u64,
            repeated: false,
            arrival_time,
            first_sequence: first,
            errors: rejects
                .iter()
                .take(MAX_LISTED_ERRORS)
                .map(|reject| RowError {
                    row: reject.row,
                    column: reject.column.clone(),
                    reason: reject.reason.clone(),
                })
                .collect(),
        };
        debug_assert_eq!(ack.read, ack.applied + ack.deduplicated + ack.filtered + ack.quarantined);
        let header =
            BatchHeader { ack, idempotency_key: key.clone(), accepted_at: self.timeline.wall(), quarantined: rejects };
        let batch = LoggedBatch { header, rows, before };
        traces.idempotency_key = key;
        Ok(self.enqueue(&mut sequencer, batch, traces))
    }

    fn enqueue(&self, sequencer: &mut Sequencer, batch: LoggedBatch, traces: Traces) -> Ticket {
        let ticket = Ticket::default();
        if let Some(key) = &traces.idempotency_key {
            sequencer.idempotency.known.insert(key.clone(), Remembered::InFlight(ticket.clone()));
        }
        sequencer.next_sequence += batch.rows.num_rows().max(1) as u64;
        sequencer.queue_bytes += batch.rows.get_array_memory_size() + PENDING_OVERHEAD_BYTES;
        sequencer.queue.push_back(Pending { batch, traces, ticket: ticket.clone() });
        self.submitted.notify_one();
        ticket
    }

    /// The rows with their arrival times. Also begins the write on the timeline.
    fn with_arrivals(
        &self,
        source: &SourceRuntime,
        batch: &RecordBatch,
        backfill: bool,
    ) -> Result<(RecordBatch, ArrivalKind), String> {
        let time = |name: &str| -> Result<Int64Array, String> {
            let column = batch.column_by_name(name).ok_or_else(|| format!("no column `{name}`"))?;
            Ok(column.as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>())
        };
        let times = time(&source.definition.timestamp)?;
        let (arrivals, kind): (ArrayRef, _) = match &source.definition.arrival_time {
            Some(column) => {
                self.timeline.begin_write_declared();
                (Arc::new(time(column)?), ArrivalKind::Column)
            }
            None if backfill => {
                self.timeline.begin_write_declared();
                // A delete may come without an event time.
                let now = self.now();
                let arrivals: Int64Array = times.iter().map(|time| Some(time.unwrap_or(now))).collect();
                (Arc::new(arrivals), ArrivalKind::EventTime)
            }
            None => {
                let given = self.timeline.begin_write(times.iter().map(|time| time.unwrap_or(i64::MIN)));
                (Arc::new(Int64Array::from(given)), ArrivalKind::Clock)
            }
        };
        let arrivals = arrivals.as_primitive::<Int64Type>().reinterpret_cast::<TimestampMicrosecondType>();
        let arrivals: ArrayRef = Arc::new(arrivals.with_timezone("UTC"));
        let rows = with_columns(batch, vec![(arrival_field(), arrivals)]).map_err(|error| error.to_string())?;
        Ok((rows, kind))
    }
}

impl Engine {
    /// Takes up, from the log, what the sequencer had decided on a push before a restart.
    pub(crate) fn remember_batch(&self, first: u64, batch: &LoggedBatch) -> Result<(), EngineError> {
        let ack = &batch.header.ack;
        let mut sequencer = self.sequencer.lock();
        if let Some(key) = &batch.header.idempotency_key {
            sequencer.remember(key.clone(), ack.clone(), true);
        }
        let Ok(source) = self.source(&ack.source) else { return Ok(()) };
        let memory = sequencer.sources.entry(ack.source.clone()).or_default();
        let broken = |why: String| EngineError::Storage(format!("source `{}`: {why}", ack.source));
        let rows = conform(&batch.rows, &source.schema)?;
        if let Some(dedup) = &source.definition.dedup {
            let keys = KeyFingerprint::new(dedup, &source.columns, &rows).map_err(broken)?;
            let column = rows.column_by_name(&source.definition.timestamp);
            let times = column.ok_or_else(|| broken("no event time".to_owned()))?;
            let times = times.as_primitive::<TimestampMicrosecondType>();
            let mut scratch = Vec::new();
            for row in 0..rows.num_rows() {
                if let Some(fingerprint) = keys.of(row, &mut scratch) {
                    memory.dedup.accept_again((fingerprint, times.value(row)));
                }
            }
        }
        if let SourceKind::Change { primary_key, operation } = &source.definition.kind {
            let reader = ChangeReader::new(&source, &rows, primary_key, operation).map_err(broken)?;
            let mut key = Vec::new();
            for row in 0..rows.num_rows() {
                reader.key(row, &mut key);
                let next = (!reader.is_delete(row)).then(|| reader.current(row, first));
                memory.changes.set(&key, next);
            }
        }
        Ok(())
    }
}

impl Sequencer {
    /// The ticket of an earlier push with this key.
    fn repeated(&self, key: &str) -> Option<Ticket> {
        match self.idempotency.known.get(key)? {
            Remembered::InFlight(ticket) => Some(ticket.repeated()),
            Remembered::Done(ack) => Some(Ticket::done(Ok(Ack { repeated: true, ..ack.clone() }))),
        }
    }
}

/// Keeps the rows that pass the source's filter; returns how many did not.
fn filter(source: &SourceRuntime, decoded: &mut Decoded) -> Result<u64, String> {
    let Some(filter) = &source.filter else { return Ok(0) };
    let truth = filter.evaluate(&decoded.batch);
    let truth = truth.as_boolean();
    let keep: BooleanArray = truth.iter().map(|value| Some(value == Some(true))).collect();
    let before = decoded.batch.num_rows();
    decoded.keep(&keep)?;
    Ok((before - decoded.batch.num_rows()) as u64)
}

/// Keeps the rows that are no duplicates; returns how many were.
fn dedup(
    source: &SourceRuntime,
    memory: &mut SourceMemory,
    decoded: &mut Decoded,
    traces: &mut Traces,
) -> Result<u64, String> {
    let Some(dedup) = &source.definition.dedup else { return Ok(0) };
    let keys = KeyFingerprint::new(dedup, &source.columns, &decoded.batch)?;
    let column = decoded.batch.column_by_name(&source.definition.timestamp).ok_or("no event time")?;
    let times = column.as_primitive::<TimestampMicrosecondType>();
    let within = dedup.within.micros();
    let mut scratch = Vec::new();
    let keep: Vec<bool> = (0..decoded.batch.num_rows())
        .map(|row| {
            let Some(fingerprint) = keys.of(row, &mut scratch) else { return true };
            let accepted = memory.dedup.accept(fingerprint, times.value(row), within);
            if accepted {
                traces.seen.push((fingerprint, times.value(row)));
            }
            accepted
        })
        .collect();
    memory.dedup.sweep(within.saturating_add(within.max(LATE_DUPLICATES_MICROS)));
    let dropped = keep.iter().filter(|keep| !**keep).count() as u64;
    if dropped > 0 {
        decoded.keep(&BooleanArray::from(keep))?;
    }
    Ok(dropped)
}

/// Of a change source: finds the rows that this push takes back, and remembers the rows it brings.
fn changes(
    source: &SourceRuntime,
    memory: &mut SourceMemory,
    decoded: &mut Decoded,
    first_sequence: u64,
    traces: &mut Traces,
) -> Result<Option<RecordBatch>, String> {
    let SourceKind::Change { primary_key, operation } = &source.definition.kind else { return Ok(None) };
    let deletes_unknown = unknown_deletes(source, memory, decoded, primary_key, operation)?;
    if deletes_unknown.iter().any(|unknown| *unknown) {
        for row in (0..deletes_unknown.len()).filter(|row| deletes_unknown[*row]) {
            let position = decoded.positions[row];
            let (column, reason) = (Some(operation.clone()), "a delete of a row that is not there".to_owned());
            let raw = decoded.raw(position);
            decoded.rejects.push(crate::decode::Reject { row: position, column, reason, raw });
        }
        decoded.keep(&deletes_unknown.iter().map(|unknown| Some(!unknown)).collect())?;
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
struct ChangeReader {
    keys: Vec<ColumnReader>,
    all: Vec<(Box<str>, ColumnReader)>,
    operation: arrow::array::StringArray,
    times: arrow::array::TimestampMicrosecondArray,
}

impl ChangeReader {
    fn new(
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

    fn key(&self, row: usize, out: &mut Vec<u8>) {
        out.clear();
        for reader in &self.keys {
            encode_key(reader.cell(row), out);
        }
    }

    fn is_delete(&self, row: usize) -> bool {
        self.operation.value(row) == "delete"
    }

    fn current(&self, row: usize, first_sequence: u64) -> CurrentRow {
        CurrentRow {
            time: self.times.value(row),
            sequence: first_sequence + row as u64,
            values: self.all.iter().map(|(name, reader)| (name.clone(), reader.cell(row).to_value())).collect(),
        }
    }
}
