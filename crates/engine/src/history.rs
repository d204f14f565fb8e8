//! From the log to history, exactly once, and the way back: filling a new view from history.
//!
//! What history's tables are is not known here. Each keeps, with its rows and in the same commit, how far in the log it
//! reaches; so a write that is tried again after a crash adds nothing twice.

use crate::batch::{ARRIVAL, BATCH_RECORD, LoggedBatch, SEQUENCE};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::runtime::{Runtime, ViewRuntime};
use crate::{RowLife, limits::HISTORY_COMMIT_ROWS};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use thalweg_definition::Source;

/// History's tables, one a source, as the engine needs them.
pub trait HistoryTables {
    type Error: From<EngineError>;

    /// The first log sequence that a source's table may lack; none where there is no table yet.
    fn position(&self, source: &str) -> Result<Option<u64>, Self::Error>;

    /// Writes rows that lie before `next_sequence` in the log, without those before the table's position, and the new
    /// position with them, whole or not at all; durable when it returns. Batches have the source's columns,
    /// [`ARRIVAL`] and [`SEQUENCE`], and are to be sorted by `sort_by`, event time and sequence.
    fn append(
        &self,
        source: &Source,
        batches: Vec<RecordBatch>,
        next_sequence: u64,
        sort_by: &[String],
    ) -> Result<(), Self::Error>;

    /// Gives a source's rows before sequence `until`, with these columns, of events at or after `from_time`.
    fn read(
        &self,
        source: &Source,
        columns: Vec<String>,
        from_time: Option<i64>,
        until: u64,
        take: &mut dyn FnMut(RecordBatch) -> Result<(), Self::Error>,
    ) -> Result<(), Self::Error>;

    /// Whether a source has rows of events before a time.
    fn reaches_before(&self, source: &Source, time: i64) -> Result<bool, Self::Error>;

    /// The rows of a change source before sequence `until`, each with what took it back.
    fn changes(
        &self,
        source: &Source,
        columns: &[String],
        until: u64,
    ) -> Result<(RecordBatch, Vec<RowLife>), Self::Error>;
}

/// How far each source's history goes: the first log sequence that is not in it.
#[derive(Debug, Default)]
pub struct HistoryWriter {
    by_source: HashMap<String, u64>,
}

/// Rows on their way to history.
#[derive(Default)]
struct Gathered {
    by_source: BTreeMap<String, Vec<RecordBatch>>,
    rows: usize,
}

impl HistoryWriter {
    /// Brings what lies before `until` in the log into history.
    ///
    /// # Errors
    /// Those of the log and of the tables. What was written before stays, and the next call goes on from there.
    pub fn write<T: HistoryTables>(&mut self, engine: &Engine, tables: &T, until: u64) -> Result<(), T::Error> {
        let Ok(runtime) = engine.runtime() else { return Ok(()) };
        self.find(&runtime, tables)?;
        let from = self.least(&runtime).unwrap_or(until);
        if from >= until {
            return Ok(());
        }
        let mut gathered = Gathered::default();
        for record in engine.log_from(from) {
            let record = record.map_err(EngineError::from)?;
            if record.first_sequence >= until {
                break;
            }
            if record.kind != BATCH_RECORD {
                continue;
            }
            let end = record.first_sequence + u64::from(record.span);
            let batch = LoggedBatch::decode(&record.payload)?;
            let source = &batch.header.ack.source;
            let wanted = self.by_source.get(source).is_some_and(|position| record.first_sequence >= *position);
            if wanted && batch.rows.num_rows() > 0 {
                gathered.add(source, with_sequences(&batch.rows, record.first_sequence)?);
            }
            if gathered.rows >= HISTORY_COMMIT_ROWS {
                self.commit(&runtime, tables, &mut gathered, end)?;
            }
        }
        self.commit(&runtime, tables, &mut gathered, until)
    }

    /// The first sequence that is missing in the history of one of the sources in force; none without sources.
    pub fn least(&self, runtime: &Runtime) -> Option<u64> {
        runtime.sources.keys().map(|source| self.by_source.get(source).copied().unwrap_or(1)).min()
    }

    fn find<T: HistoryTables>(&mut self, runtime: &Runtime, tables: &T) -> Result<(), T::Error> {
        // Of a source that is gone nothing is written. Where it comes back, its table says how far it goes.
        self.by_source.retain(|source, _| runtime.sources.contains_key(source));
        for source in runtime.sources.keys() {
            if !self.by_source.contains_key(source) {
                let position = tables.position(source)?.unwrap_or(1);
                self.by_source.insert(source.clone(), position.max(1));
            }
        }
        Ok(())
    }

    fn commit<T: HistoryTables>(
        &mut self,
        runtime: &Runtime,
        tables: &T,
        gathered: &mut Gathered,
        until: u64,
    ) -> Result<(), T::Error> {
        for (source, batches) in std::mem::take(gathered).by_source {
            let definition = &runtime.sources[&source].definition;
            tables.append(definition, batches, until, &sort_columns(runtime, definition))?;
        }
        // Sources without rows in this stretch have nothing to add.
        self.by_source.values_mut().for_each(|position| *position = (*position).max(until));
        Ok(())
    }
}

impl Gathered {
    fn add(&mut self, source: &str, rows: RecordBatch) {
        self.rows += rows.num_rows();
        self.by_source.entry(source.to_owned()).or_default().push(rows);
    }
}

/// Fills a view with the rows of history before `until`, which has to reach that far, and declares it built.
///
/// # Errors
/// Those of the tables; the view then holds a part of the rows and answers nothing until [`Engine::fill_again`] has
/// emptied it and it is filled, or a restart begins anew.
pub fn fill_view<T: HistoryTables>(
    engine: &Engine,
    tables: &T,
    view: &Arc<ViewRuntime>,
    until: u64,
) -> Result<(), T::Error> {
    let runtime = engine.runtime()?;
    for (source, reducer) in &view.reducers {
        let gone = || EngineError::NotFound(format!("source `{source}` was taken out of the definitions"));
        let definition = &runtime.sources.get(source).ok_or_else(gone)?.definition;
        let mut columns: Vec<String> = reducer.columns().map(str::to_owned).collect();
        if definition.is_change() {
            let (rows, lives) = tables.changes(definition, &columns, until)?;
            engine.backfill_change(view, source, &rows, &lives)?;
            continue;
        }
        if !columns.contains(&definition.timestamp) {
            columns.push(definition.timestamp.clone());
        }
        columns.extend([ARRIVAL.to_owned(), SEQUENCE.to_owned()]);
        // No read asks for an earlier time; the clock may be further on.
        let settled = engine.timeline.settled();
        let retained = view.plan.retention.map(|retention| settled.saturating_sub(retention));
        if let Some(retained) = retained
            && tables.reaches_before(definition, retained)?
        {
            // Entities that live rows have made already lack those before as well.
            engine.lacks(view, retained.saturating_sub(1))?;
        }
        tables.read(definition, columns, retained, until, &mut |batch| {
            let (arrivals, sequences) = stamps(&batch)?;
            Ok(engine.backfill(view, source, &batch, &arrivals, &sequences)?)
        })?;
    }
    Ok(engine.finish_builds(std::slice::from_ref(view))?)
}

fn with_sequences(rows: &RecordBatch, first: u64) -> Result<RecordBatch, EngineError> {
    let sequences: Int64Array = (0..rows.num_rows() as i64).map(|row| Some(first as i64 + row)).collect();
    let mut fields: Vec<Arc<Field>> = rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(SEQUENCE, DataType::Int64, false)));
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns.push(Arc::new(sequences));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| EngineError::Storage(format!("rows of the log do not fit their sequences: {error}")))
}

fn stamps(batch: &RecordBatch) -> Result<(Vec<i64>, Vec<u64>), EngineError> {
    let lacks = |name: &str| EngineError::Storage(format!("history lacks `{name}`"));
    let arrivals = batch.column_by_name(ARRIVAL).ok_or_else(|| lacks(ARRIVAL))?;
    let sequences = batch.column_by_name(SEQUENCE).ok_or_else(|| lacks(SEQUENCE))?;
    let sequences = sequences.as_primitive::<Int64Type>();
    debug_assert_eq!(sequences.null_count(), 0);
    Ok((
        arrivals.as_primitive::<TimestampMicrosecondType>().values().to_vec(),
        sequences.values().iter().map(|sequence| *sequence as u64).collect(),
    ))
}

/// Rows of one entity side by side: the keys of the first view over the source.
fn sort_columns(runtime: &Runtime, source: &Source) -> Vec<String> {
    let view = runtime.sources[&source.name].views.first();
    view.map_or(Vec::new(), |view| view.entity.keys.iter().map(|key| key.name.clone()).collect())
}
