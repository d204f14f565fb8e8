//! Making rows visible: each batch is reduced once for each view over its source, and its rows go to their entities.
//!
//! Replay after a restart comes through here as well: an entity skips the rows that it had already taken.

use crate::batch::{ARRIVAL, BEFORE_ROW, BEFORE_SEQUENCE, BEFORE_TIME, LoggedBatch, conform};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::runtime::{SourceRuntime, ViewRuntime};
use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType, UInt32Type};
use std::sync::atomic::Ordering;
use thalweg_aggregate::{Cell, ReducedRows, Stamp};
use thalweg_definition::SourceKind;

/// The newest times of a batch.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Newest {
    pub event: Option<i64>,
    /// Event or arrival time.
    pub any: Option<i64>,
}

/// Times and sequences of a batch's rows.
struct Stamps {
    times: Vec<i64>,
    arrivals: Vec<i64>,
    first_sequence: u64,
}

/// Who takes the rows, and which of them it has already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    /// From the log: what an entity has applied is skipped.
    Log,
    /// From history, for a new view: every row is new to it.
    History,
}

impl Engine {
    /// Applies a batch of the log to every view over its source.
    pub(crate) fn apply_batch(&self, first_sequence: u64, batch: &LoggedBatch) -> Result<Newest, EngineError> {
        let source = self.source(&batch.header.ack.source)?;
        let stamps = Stamps::of(&source, &batch.rows, first_sequence)?;
        let rows = conform(&batch.rows, &source.schema)?;
        let before = batch.before.as_ref().map(|before| Before::new(&source, before)).transpose()?;
        for view in &source.views {
            self.apply_to_view(&source, view, &rows, &stamps, before.as_ref(), Path::Log)?;
        }
        let event = stamps.times.iter().copied().max();
        Ok(Newest { event, any: event.max(stamps.arrivals.iter().copied().max()) })
    }

    /// Applies rows of history to one view that is being built: the source's columns, arrival times and sequences.
    pub fn backfill(
        &self,
        view: &ViewRuntime,
        source: &str,
        rows: &RecordBatch,
        arrivals: &[i64],
        sequences: &[u64],
    ) -> Result<(), EngineError> {
        let source = self.source(source)?;
        let times = times_of(&source, rows, arrivals)?;
        let rows = conform(rows, &source.schema)?;
        let reducer = &view.reducers[&source.definition.name];
        let reduced = reducer.reduce(&rows).map_err(EngineError::Storage)?;
        let stamp = |row: usize| (Stamp { time: times[row], sequence: sequences[row] }, arrivals[row]);
        self.insert_rows(view, &reduced, &stamp, None, Path::History)?;
        view.state.backfilled.fetch_add(rows.num_rows() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Applies the changes of a change source's history to a view that is being built: a row with what took it back.
    pub fn backfill_change(
        &self,
        view: &ViewRuntime,
        source: &str,
        rows: &RecordBatch,
        lives: &[RowLife],
    ) -> Result<(), EngineError> {
        let source = self.source(source)?;
        let rows = conform(rows, &source.schema)?;
        let reduced = view.reducers[&source.definition.name].reduce(&rows).map_err(EngineError::Storage)?;
        let stamp = |row: usize| {
            let life = &lives[row];
            (Stamp { time: life.time, sequence: life.sequence }, life.arrival)
        };
        self.insert_rows(view, &reduced, &stamp, Some(lives), Path::History)?;
        view.state.backfilled.fetch_add(rows.num_rows() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn apply_to_view(
        &self,
        source: &SourceRuntime,
        view: &ViewRuntime,
        rows: &RecordBatch,
        stamps: &Stamps,
        before: Option<&Before>,
        path: Path,
    ) -> Result<(), EngineError> {
        let reducer = &view.reducers[&source.definition.name];
        let retractions = before.map(|before| before.reduce(view, source)).transpose()?.unwrap_or_default();
        let (rows, places) = without_deletes(source, rows)?;
        let reduced = reducer.reduce(&rows).map_err(EngineError::Storage)?;
        if let Some(SourceKind::Change { .. }) = before.map(|_| &source.definition.kind) {
            return self.apply_changes(view, &reduced, &places, stamps, &retractions);
        }
        let stamp = |row: usize| {
            let row = places[row] as usize;
            (Stamp { time: stamps.times[row], sequence: stamps.first_sequence + row as u64 }, stamps.arrivals[row])
        };
        self.insert_rows(view, &reduced, &stamp, None, path)
    }

    fn insert_rows(
        &self,
        view: &ViewRuntime,
        reduced: &ReducedRows,
        stamp: &dyn Fn(usize) -> (Stamp, i64),
        lives: Option<&[RowLife]>,
        path: Path,
    ) -> Result<(), EngineError> {
        let (mut key, mut cells, mut passes): (Vec<u8>, Vec<Cell<'_>>, Vec<bool>) = Default::default();
        let oldest =
            view.plan.retention.map_or(i64::MIN, |retention| self.timeline.settled().saturating_sub(retention));
        let mut expired = 0;
        for index in 0..reduced.len() {
            let row = reduced.rows[index] as usize;
            let (at, arrival) = stamp(row);
            if at.time < oldest {
                expired += 1;
                reduced.key(index, &mut key);
                view.state.refuse(&self.store, &view.plan, &key, at.time)?;
                continue;
            }
            reduced.key(index, &mut key);
            reduced.cells(index, &mut cells);
            reduced.passes(index, &mut passes);
            view.state.change(&self.store, &view.plan, &key, at.time, |state| {
                if path == Path::Log {
                    if state.applied >= at.sequence {
                        return;
                    }
                    state.applied = at.sequence;
                }
                state.insert(&view.plan, at, arrival, &cells, &passes);
                let told = lives.and_then(|lives| lives[row].retracted);
                let early = if lives.is_some() { view.state.early_retraction(&key, at.sequence) } else { None };
                if let Some((time, arrival)) = told.or(early) {
                    state.retract(&view.plan, at, time, arrival);
                }
            })?;
        }
        view.state.applied.fetch_add(reduced.len() as u64, Ordering::Relaxed);
        view.state.expired.fetch_add(expired, Ordering::Relaxed);
        view.state.non_finite.fetch_add(reduced.non_finite(), Ordering::Relaxed);
        Ok(())
    }

    /// Changes in their order: each takes back the row before it, then adds its own.
    fn apply_changes(
        &self,
        view: &ViewRuntime,
        reduced: &ReducedRows,
        places: &[u32],
        stamps: &Stamps,
        retractions: &[Retraction],
    ) -> Result<(), EngineError> {
        let (mut key, mut cells, mut passes): (Vec<u8>, Vec<Cell<'_>>, Vec<bool>) = Default::default();
        let inserts = (0..reduced.len()).map(|index| (places[reduced.rows[index] as usize] as usize, Some(index)));
        let mut steps: Vec<(usize, Option<usize>, Option<usize>)> =
            inserts.map(|(row, index)| (row, None, index)).collect();
        steps.extend(retractions.iter().enumerate().map(|(index, retraction)| (retraction.row, Some(index), None)));
        // A change's retraction comes before its insertion: `Some` sorts after `None`, so look at which is set.
        steps.sort_by_key(|(row, retraction, _)| (*row, retraction.is_none()));
        let plan = &view.plan;
        let mut inserted_too: Vec<bool> = vec![false; steps.len()];
        for at in 1..steps.len() {
            inserted_too[at - 1] = steps[at].0 == steps[at - 1].0;
        }
        for (at, (row, retraction, insertion)) in steps.iter().enumerate() {
            let sequence = stamps.first_sequence + *row as u64;
            let (time, arrival) = (stamps.times[*row], stamps.arrivals[*row]);
            if let Some(index) = retraction {
                let Retraction { key: before, stamp, .. } = &retractions[*index];
                let same_entity = inserted_too[at]
                    && steps[at + 1].2.is_some_and(|next| {
                        reduced.key(next, &mut key);
                        key == *before
                    });
                view.state.change(&self.store, plan, before, time, |state| {
                    if state.applied < sequence {
                        if !state.retract(plan, *stamp, time, arrival) {
                            view.state.retract_early(before, stamp.sequence, time, arrival);
                        }
                        if !same_entity {
                            state.applied = sequence;
                        }
                    }
                })?;
            }
            if let Some(index) = insertion {
                reduced.key(*index, &mut key);
                reduced.cells(*index, &mut cells);
                reduced.passes(*index, &mut passes);
                view.state.change(&self.store, plan, &key, time, |state| {
                    if state.applied < sequence {
                        state.applied = sequence;
                        state.insert(plan, Stamp { time, sequence }, arrival, &cells, &passes);
                    }
                })?;
            }
        }
        view.state.applied.fetch_add(reduced.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// A row of a change source's history: when it came, and what took it back.
#[derive(Debug, Clone, Copy)]
pub struct RowLife {
    pub time: i64,
    pub arrival: i64,
    pub sequence: u64,
    /// Event time and arrival time of the change that took it back.
    pub retracted: Option<(i64, i64)>,
}

/// The rows that a push takes back.
struct Before {
    images: RecordBatch,
    rows: Vec<u32>,
    stamps: Vec<Stamp>,
}

/// A row to be taken back from one view.
struct Retraction {
    /// The row of the push that takes it back.
    row: usize,
    key: Vec<u8>,
    stamp: Stamp,
}

impl Before {
    fn new(source: &SourceRuntime, batch: &RecordBatch) -> Result<Self, EngineError> {
        let missing = |name: &str| EngineError::Storage(format!("a log record lacks `{name}`"));
        let numbers = |name: &str| -> Result<Vec<i64>, EngineError> {
            let column = batch.column_by_name(name).ok_or_else(|| missing(name))?;
            Ok(column.as_primitive::<Int64Type>().values().to_vec())
        };
        let rows = batch.column_by_name(BEFORE_ROW).ok_or_else(|| missing(BEFORE_ROW))?;
        let rows = rows.as_primitive::<UInt32Type>().values().to_vec();
        let stamps = numbers(BEFORE_TIME)?
            .into_iter()
            .zip(numbers(BEFORE_SEQUENCE)?)
            .map(|(time, sequence)| Stamp { time, sequence: sequence as u64 })
            .collect();
        Ok(Self { images: conform(batch, &source.schema)?, rows, stamps })
    }

    fn reduce(&self, view: &ViewRuntime, source: &SourceRuntime) -> Result<Vec<Retraction>, EngineError> {
        let reduced = view.reducers[&source.definition.name].reduce(&self.images).map_err(EngineError::Storage)?;
        Ok((0..reduced.len())
            .map(|index| {
                let image = reduced.rows[index] as usize;
                let mut key = Vec::new();
                reduced.key(index, &mut key);
                Retraction { row: self.rows[image] as usize, key, stamp: self.stamps[image] }
            })
            .collect())
    }
}

impl Stamps {
    fn of(source: &SourceRuntime, rows: &RecordBatch, first_sequence: u64) -> Result<Self, EngineError> {
        let arrivals = rows
            .column_by_name(ARRIVAL)
            .ok_or_else(|| EngineError::Storage("a log record lacks its arrival times".to_owned()))?;
        let arrivals = arrivals.as_primitive::<TimestampMicrosecondType>().values().to_vec();
        Ok(Self { times: times_of(source, rows, &arrivals)?, arrivals, first_sequence })
    }
}

/// The event times of rows; a row without one (a delete may lack it) happened when it arrived.
fn times_of(source: &SourceRuntime, rows: &RecordBatch, arrivals: &[i64]) -> Result<Vec<i64>, EngineError> {
    let name = &source.definition.timestamp;
    let column = rows
        .column_by_name(name)
        .ok_or_else(|| EngineError::Storage(format!("rows of `{}` lack `{name}`", source.definition.name)))?;
    let times = column.as_primitive::<TimestampMicrosecondType>();
    Ok((0..times.len()).map(|row| if times.is_null(row) { arrivals[row] } else { times.value(row) }).collect())
}

/// The rows that add something, and their indices in the batch.
fn without_deletes(source: &SourceRuntime, rows: &RecordBatch) -> Result<(RecordBatch, Vec<u32>), EngineError> {
    let all = || (0..rows.num_rows() as u32).collect();
    let SourceKind::Change { operation, .. } = &source.definition.kind else { return Ok((rows.clone(), all())) };
    let operations = rows
        .column_by_name(operation)
        .ok_or_else(|| EngineError::Storage(format!("rows of `{}` lack `{operation}`", source.definition.name)))?;
    let operations = operations.as_string::<i32>();
    let keep: BooleanArray = operations.iter().map(|operation| Some(operation != Some("delete"))).collect();
    let places = (0..rows.num_rows() as u32).filter(|row| keep.value(*row as usize)).collect();
    let rows = filter_record_batch(rows, &keep).map_err(|error| EngineError::Storage(error.to_string()))?;
    Ok((rows, places))
}
