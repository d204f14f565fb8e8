//! History's tables, in memory: durable when an append has returned, and each commit whole with its position or not
//! there at all. They have their power from where the disk has it, and fail when told to.

use crate::random::Random;
use crate::rows::column;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use arrow::error::ArrowError;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use thalweg_aggregate::arrow_type;
use thalweg_definition::Source;
use thalweg_engine::{ARRIVAL, EngineError, HistoryTables, RowLife, SEQUENCE};
use thalweg_store::FaultyDisk;

#[derive(Default)]
struct Table {
    batches: Vec<RecordBatch>,
    /// The first log sequence that it lacks.
    position: u64,
}

struct State {
    tables: BTreeMap<String, Table>,
    chance: Random,
    /// The next append fails; with true it is done all the same, and only its answer is lost.
    append_fails: Option<bool>,
    /// After so many batches the next read fails.
    read_fails: Option<u64>,
}

pub(crate) struct SimulatedTables {
    disk: Arc<FaultyDisk>,
    state: Mutex<State>,
}

/// When a row came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Times {
    time: i64,
    arrival: i64,
    sequence: u64,
}

impl SimulatedTables {
    pub(crate) fn new(disk: Arc<FaultyDisk>, chance: Random) -> Self {
        let state = State { tables: BTreeMap::new(), chance, append_fails: None, read_fails: None };
        Self { disk, state: Mutex::new(state) }
    }

    pub(crate) fn fail_next_append(&self, done_all_the_same: bool) {
        self.state.lock().append_fails = Some(done_all_the_same);
    }

    pub(crate) fn fail_next_read(&self, after: u64) {
        self.state.lock().read_fails = Some(after);
    }

    /// What is still to fail does not any more.
    pub(crate) fn mend(&self) {
        let mut state = self.state.lock();
        state.append_fails = None;
        state.read_fails = None;
    }

    /// A source's batches, and the first log sequence that its table lacks.
    pub(crate) fn contents(&self, source: &str) -> (Vec<RecordBatch>, u64) {
        let state = self.state.lock();
        state.tables.get(source).map_or((Vec::new(), 1), |table| (table.batches.clone(), table.position.max(1)))
    }
}

fn failed(what: &str) -> EngineError {
    EngineError::Storage(format!("the store of tables failed {what}"))
}

fn storage(error: ArrowError) -> EngineError {
    EngineError::Storage(error.to_string())
}

/// The sequences of a batch of history.
pub(crate) fn sequences(batch: &RecordBatch) -> Vec<u64> {
    let column = batch.column_by_name(SEQUENCE).map(|column| column.as_primitive::<Int64Type>());
    column.map_or(Vec::new(), |column| column.values().iter().map(|sequence| *sequence as u64).collect())
}

/// The arrival times of a batch of the log or of history.
pub(crate) fn arrivals(batch: &RecordBatch) -> Vec<i64> {
    let column = batch.column_by_name(ARRIVAL).map(|column| column.as_primitive::<TimestampMicrosecondType>());
    column.map_or(Vec::new(), |column| column.values().to_vec())
}

fn times(batch: &RecordBatch) -> Vec<Times> {
    let events = batch.column_by_name(column::AT).map(|column| column.as_primitive::<TimestampMicrosecondType>());
    let event = |row: usize| events.filter(|events| events.is_valid(row)).map(|events| events.value(row));
    let all = arrivals(batch).into_iter().zip(sequences(batch)).enumerate();
    all.map(|(row, (arrival, sequence))| Times { time: event(row).unwrap_or(arrival), arrival, sequence }).collect()
}

fn kept(batch: &RecordBatch, keep: impl Fn(Times) -> bool) -> Result<RecordBatch, EngineError> {
    let keep: BooleanArray = times(batch).into_iter().map(|times| Some(keep(times))).collect();
    filter_record_batch(batch, &keep).map_err(storage)
}

/// The named columns of a batch; one that it lacks is null.
fn project(source: &Source, batch: &RecordBatch, columns: &[String]) -> Result<RecordBatch, EngineError> {
    let (mut fields, mut arrays): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for name in columns {
        let declared = source.column(name).map_or(DataType::Int64, |column| arrow_type(&column.data_type));
        let values = batch.column_by_name(name).cloned();
        let values = values.unwrap_or_else(|| new_null_array(&declared, batch.num_rows()));
        fields.push(Field::new(name, values.data_type().clone(), true));
        arrays.push(values);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(storage)
}

impl HistoryTables for SimulatedTables {
    type Error = EngineError;

    fn position(&self, source: &str) -> Result<Option<u64>, EngineError> {
        Ok(self.state.lock().tables.get(source).map(|table| table.position))
    }

    fn append(
        &self,
        source: &Source,
        batches: Vec<RecordBatch>,
        next_sequence: u64,
        _sort_by: &[String],
    ) -> Result<(), EngineError> {
        let mut state = self.state.lock();
        let was_off = self.disk.power_is_off();
        let on = self.disk.spend_change();
        let fails = state.append_fails.take();
        let done = match (on, fails) {
            (true, None) => true,
            (true, Some(done)) => done,
            // The power goes in the middle: the commit is there or not.
            (false, _) => !was_off && state.chance.chance(1, 2),
        };
        if done {
            let table = state.tables.entry(source.name.clone()).or_default();
            let position = table.position;
            let fresh = batches.iter().map(|batch| kept(batch, |times| times.sequence >= position));
            let fresh = fresh.filter(|batch| !batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0));
            let fresh = fresh.collect::<Result<Vec<_>, _>>()?;
            if next_sequence > position && !fresh.is_empty() {
                table.batches.extend(fresh);
                table.position = next_sequence;
            }
        }
        if on && fails.is_none() { Ok(()) } else { Err(failed("to commit")) }
    }

    fn read(
        &self,
        source: &Source,
        columns: Vec<String>,
        from_time: Option<i64>,
        until: u64,
        take: &mut dyn FnMut(RecordBatch) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let (mut batches, _) = self.contents(&source.name);
        let (fails, backwards) = {
            let mut state = self.state.lock();
            (state.read_fails.take(), state.chance.chance(1, 2))
        };
        // No order is promised.
        if backwards {
            batches.reverse();
        }
        for (index, batch) in batches.iter().enumerate() {
            if fails == Some(index as u64) {
                return Err(failed("in the middle of a read"));
            }
            let wanted = |times: Times| times.sequence < until && from_time.is_none_or(|from| times.time >= from);
            take(project(source, &kept(batch, wanted)?, &columns)?)?;
        }
        Ok(())
    }

    fn reaches_before(&self, source: &Source, time: i64) -> Result<bool, EngineError> {
        let (batches, _) = self.contents(&source.name);
        let mut found = false;
        for batch in &batches {
            found |= kept(batch, |times: Times| times.time < time)?.num_rows() > 0;
        }
        Ok(found)
    }

    fn changes(
        &self,
        source: &Source,
        columns: &[String],
        until: u64,
    ) -> Result<(RecordBatch, Vec<RowLife>), EngineError> {
        let (batches, _) = self.contents(&source.name);
        let mut own: Vec<(i64, Times, Option<usize>)> = Vec::new();
        let (mut added, mut lives): (Vec<RecordBatch>, Vec<RowLife>) = (Vec::new(), Vec::new());
        for batch in &batches {
            let batch = kept(batch, |times| times.sequence < until)?;
            let adds = adds(&batch)?;
            let ids = batch.column_by_name(column::ID).ok_or_else(|| failed("to find the key"))?;
            let ids = ids.as_primitive::<Int64Type>();
            for (row, times) in times(&batch).into_iter().enumerate() {
                let place = adds.value(row).then_some(lives.len());
                own.push((ids.value(row), times, place));
                if place.is_some() {
                    let Times { time, arrival, sequence } = times;
                    lives.push(RowLife { time, arrival, sequence, retracted: None });
                }
            }
            added.push(project(source, &filter_record_batch(&batch, &adds).map_err(storage)?, columns)?);
        }
        own.sort_by_key(|(id, times, _)| (*id, times.sequence));
        for pair in own.windows(2) {
            if pair[0].0 == pair[1].0
                && let Some(place) = pair[0].2
            {
                lives[place].retracted = Some((pair[1].1.time, pair[1].1.arrival));
            }
        }
        let empty = RecordBatch::new_empty(Arc::new(Schema::new(
            source
                .columns
                .iter()
                .filter(|column| columns.contains(&column.name))
                .map(|column| Field::new(&column.name, arrow_type(&column.data_type), true))
                .collect::<Vec<_>>(),
        )));
        let Some(first) = added.first() else { return Ok((empty, lives)) };
        Ok((concat_batches(&first.schema(), &added).map_err(storage)?, lives))
    }
}

/// Which rows of a change source add something.
fn adds(batch: &RecordBatch) -> Result<BooleanArray, EngineError> {
    let operations = batch.column_by_name(column::OPERATION).ok_or_else(|| failed("to find the operation"))?;
    let operations = operations.as_string::<i32>();
    Ok(operations.iter().map(|operation| Some(operation != Some(crate::rows::DELETE))).collect())
}

/// The same tables, where other things happen between two batches that are read.
pub(crate) struct Interrupted<'a> {
    pub(crate) tables: &'a SimulatedTables,
    pub(crate) between: RefCell<&'a mut dyn FnMut()>,
}

impl Interrupted<'_> {
    fn pause(&self) {
        let mut between = self.between.borrow_mut();
        (*between)();
    }
}

impl HistoryTables for Interrupted<'_> {
    type Error = EngineError;

    fn position(&self, source: &str) -> Result<Option<u64>, EngineError> {
        self.tables.position(source)
    }

    fn append(
        &self,
        source: &Source,
        batches: Vec<RecordBatch>,
        next_sequence: u64,
        sort_by: &[String],
    ) -> Result<(), EngineError> {
        self.tables.append(source, batches, next_sequence, sort_by)
    }

    fn read(
        &self,
        source: &Source,
        columns: Vec<String>,
        from_time: Option<i64>,
        until: u64,
        take: &mut dyn FnMut(RecordBatch) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        self.tables.read(source, columns, from_time, until, &mut |batch| {
            let taken = take(batch);
            self.pause();
            taken
        })
    }

    fn reaches_before(&self, source: &Source, time: i64) -> Result<bool, EngineError> {
        self.tables.reaches_before(source, time)
    }

    fn changes(
        &self,
        source: &Source,
        columns: &[String],
        until: u64,
    ) -> Result<(RecordBatch, Vec<RowLife>), EngineError> {
        let found = self.tables.changes(source, columns, until);
        self.pause();
        found
    }
}
