//! The way of a push up to the log: decode, contract, middlewares, filter, dedup, sequence, arrival time.

use crate::batch::{Ack, ArrivalKind, BatchHeader, LoggedBatch, RowError, arrival_field, conform, with_columns};
use crate::change_rows::{ChangeReader, changes};
use crate::changes::Undo;
use crate::commit::{Pending, Ticket, behind_refused};
use crate::decode::{Decoded, Input, decode};
use crate::dedup::{KeyFingerprint, Seen, horizon};
use crate::engine::{Engine, Remembered, Sequencer, SourceMemory};
use crate::error::EngineError;
use crate::limits::{MAX_IDEMPOTENCY_KEY_BYTES, MAX_LISTED_ERRORS, PENDING_OVERHEAD_BYTES, RETRY_AFTER_MS};
use crate::pipeline::Pipeline;
use crate::runtime::SourceRuntime;
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use std::sync::Arc;
use thalweg_definition::SourceKind;
use tracing::Span;

/// A push.
pub struct PushRequest<'a> {
    pub source: &'a str,
    pub input: Input<'a>,
    pub idempotency_key: Option<String>,
    /// The rows are history that never arrived live.
    pub backfill: bool,
}

/// A push that was taken.
pub struct Submitted {
    pub ticket: Ticket,
    /// Its rows as the log gets them: what middlewares and the contract left of those that came. None where it is a
    /// repeat, of which nothing goes to the log.
    pub rows: Option<RecordBatch>,
}

impl Submitted {
    fn repeat(ticket: Ticket) -> Self {
        Self { ticket, rows: None }
    }
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
        Ok(self.submit_after(request, None)?.ticket)
    }

    /// As submit, for rows computed from those of an earlier push: refused where that one has failed.
    pub fn submit_after(&self, request: PushRequest<'_>, earlier: Option<&Ticket>) -> Result<Submitted, EngineError> {
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
        // A push that was taken before is known by its key, and no middleware sees it twice.
        if !source.pipeline.is_empty()
            && let Some(ticket) = key.as_ref().and_then(|key| self.sequencer.lock().repeated(key))
        {
            return Ok(Submitted::repeat(ticket));
        }
        // What is going to be refused is not decoded first.
        self.room(&self.sequencer.lock())?;
        let mut decoded = decode(&source.definition, &source.schema, request.input)?;
        let broken = |why: String| EngineError::Invalid(format!("source `{}`: {why}", request.source));
        source.contract.check(&source.definition, &mut decoded).map_err(broken)?;
        source.pipeline.before_set(&source, &mut decoded)?;
        let filtered = filter(&source, &mut decoded).map_err(broken)?;
        self.sequence(&source, decoded, filtered, key, request.backfill, earlier)
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

    /// Refuses where the queue is full.
    fn room(&self, sequencer: &Sequencer) -> Result<(), EngineError> {
        if sequencer.queue_bytes <= self.settings.queue_bytes {
            return Ok(());
        }
        Err(EngineError::Overloaded {
            what: "more has been pushed than could be made durable yet".to_owned(),
            retry_after_ms: RETRY_AFTER_MS,
        })
    }

    fn sequence(
        &self,
        source: &SourceRuntime,
        mut decoded: Decoded,
        filtered: u64,
        key: Option<String>,
        backfill: bool,
        earlier: Option<&Ticket>,
    ) -> Result<Submitted, EngineError> {
        let name = &source.definition.name;
        let broken = |why: String| EngineError::Invalid(format!("source `{name}`: {why}"));
        let mut sequencer = self.sequencer.lock();
        if let Some(ticket) = key.as_ref().and_then(|key| sequencer.repeated(key)) {
            return Ok(Submitted::repeat(ticket));
        }
        // Under the lock under which failed pushes are taken back, so that none comes in between.
        if earlier.is_some_and(Ticket::has_failed) {
            return Err(behind_refused());
        }
        self.room(&sequencer)?;
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
        let rows = Some(batch.rows.clone());
        Ok(Submitted { ticket: self.enqueue(&mut sequencer, batch, traces, source.pipeline.clone()), rows })
    }

    fn enqueue(&self, sequencer: &mut Sequencer, batch: LoggedBatch, traces: Traces, after: Pipeline) -> Ticket {
        let ticket = Ticket::new(after);
        if let Some(key) = &traces.idempotency_key {
            sequencer.idempotency.known.insert(key.clone(), Remembered::InFlight(ticket.clone()));
        }
        sequencer.next_sequence += batch.rows.num_rows().max(1) as u64;
        let bytes = batch.memory() + PENDING_OVERHEAD_BYTES;
        sequencer.queue_bytes += bytes;
        sequencer.queue.push_back(Pending { batch, bytes, traces, ticket: ticket.clone(), span: Span::current() });
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
    pub(crate) fn repeated(&self, key: &str) -> Option<Ticket> {
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
    memory.dedup.sweep(horizon(dedup));
    let dropped = keep.iter().filter(|keep| !**keep).count() as u64;
    if dropped > 0 {
        decoded.keep(&BooleanArray::from(keep))?;
    }
    Ok(dropped)
}
