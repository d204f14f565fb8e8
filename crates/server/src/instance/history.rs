//! From the log to history, exactly once: every table's commit carries the log position up to which it has rows.
//! Also the way back: filling a new view from history.

use super::Instance;
use crate::error::ServerError;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMicrosecondType};
use futures::StreamExt;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;
use thalweg_definition::Source;
use thalweg_engine::{ARRIVAL, BATCH_RECORD, EngineError, LoggedBatch, RowLife, Runtime, SEQUENCE, ViewRuntime};
use thalweg_lake::ReadRequest;

/// Rows gathered before they are committed to a table.
const COMMIT_ROWS: usize = 1 << 20;
/// Commits to a table after which its small files are made into large ones.
const COMMITS_BEFORE_COMPACTION: u32 = 24;
/// How long files that a table no longer names stay for readers of older versions.
const VACUUM_HOURS: u32 = 24 * 7;

/// How far each source's history goes: the first log sequence that is not in it.
#[derive(Default)]
pub(super) struct HistoryPositions {
    by_source: HashMap<String, u64>,
    commits: HashMap<String, u32>,
}

/// Rows on their way to history.
#[derive(Default)]
struct Gathered {
    by_source: BTreeMap<String, Vec<RecordBatch>>,
    rows: usize,
}

impl Instance {
    /// Brings everything that is durable now into history; returns the first sequence that is not.
    pub fn write_history(&self) -> Result<u64, ServerError> {
        let mut positions = self.positions.lock();
        let (until, ledgers) = self.engine.ledgers();
        self.write_history_until(until, &mut positions)?;
        self.telemetry.history.reached(until, &ledgers);
        Ok(until)
    }

    fn write_history_until(&self, until: u64, positions: &mut HistoryPositions) -> Result<(), ServerError> {
        let Ok(runtime) = self.engine.runtime() else { return Ok(()) };
        self.find_positions(&runtime, positions)?;
        let from = positions.least(&runtime).unwrap_or(until);
        if from >= until {
            return Ok(());
        }
        let mut gathered = Gathered::default();
        for record in self.engine.log_from(from) {
            let record = record?;
            let end = record.first_sequence + u64::from(record.span);
            if record.kind != BATCH_RECORD {
                continue;
            }
            let batch = LoggedBatch::decode(&record.payload)?;
            let source = &batch.header.ack.source;
            let wanted = positions.by_source.get(source).is_some_and(|position| record.first_sequence >= *position);
            if wanted && batch.rows.num_rows() > 0 {
                gathered.add(source, with_sequences(&batch.rows, record.first_sequence)?);
            }
            if gathered.rows >= COMMIT_ROWS {
                self.commit_history(&runtime, positions, &mut gathered, end)?;
            }
        }
        self.commit_history(&runtime, positions, &mut gathered, until)
    }

    fn find_positions(&self, runtime: &Runtime, positions: &mut HistoryPositions) -> Result<(), ServerError> {
        // Of a source that is gone nothing is written. Where it comes back, its table says how far it goes.
        positions.by_source.retain(|source, _| runtime.sources.contains_key(source));
        for source in runtime.sources.keys() {
            if !positions.by_source.contains_key(source) {
                let position = self.block_on(self.history.position(source))?.unwrap_or(1);
                positions.by_source.insert(source.clone(), position.max(1));
            }
        }
        Ok(())
    }

    fn commit_history(
        &self,
        runtime: &Runtime,
        positions: &mut HistoryPositions,
        gathered: &mut Gathered,
        until: u64,
    ) -> Result<(), ServerError> {
        for (source, batches) in std::mem::take(gathered).by_source {
            let definition = &runtime.sources[&source].definition;
            let sort_by = sort_columns(runtime, definition);
            let outcome = self.block_on(self.history.append(definition, batches, until, &sort_by))?;
            tracing::debug!(source, rows = outcome.rows, version = outcome.version, "history");
            self.telemetry.history.committed(outcome.rows);
            let commits = positions.commits.entry(source.clone()).or_default();
            *commits += 1;
            if *commits >= COMMITS_BEFORE_COMPACTION {
                *commits = 0;
                self.keep_table(definition)?;
            }
        }
        // Sources without rows in this stretch have nothing to add.
        positions.by_source.values_mut().for_each(|position| *position = (*position).max(until));
        Ok(())
    }

    /// Compaction, retention, vacuum of one table.
    fn keep_table(&self, source: &Source) -> Result<(), ServerError> {
        self.block_on(async {
            if let Some(retention) = source.retention {
                let before = self.engine.now().saturating_sub(retention.micros());
                let date = i32::try_from(before.div_euclid(thalweg_definition::DAY)).unwrap_or(i32::MIN);
                self.history.delete_before(&source.name, date).await?;
            }
            self.history.compact(&source.name).await?;
            self.history.vacuum(&source.name, VACUUM_HOURS).await?;
            Ok(())
        })
    }

    /// About how many accepted rows are in the log alone.
    pub fn rows_outside_history(&self) -> u64 {
        let Ok(runtime) = self.engine.runtime() else { return 0 };
        let Some(positions) = self.positions.try_lock() else { return 0 };
        self.engine.applied_until().saturating_sub(positions.least(&runtime).unwrap_or(1))
    }

    /// A checkpoint, what is past retention removed, memory kept in its budget, and the log cut.
    pub(super) fn checkpoint_and_tidy(&self) -> Result<(), ServerError> {
        self.checkpoint()?;
        let history = match self.engine.runtime() {
            Ok(runtime) => self.positions.lock().least(&runtime).unwrap_or(1),
            Err(_) => 1,
        };
        let keep_since = self.engine.wall().saturating_sub(self.settings.log_retention_age.micros());
        self.engine.truncate_log(history, self.settings.log_retention_bytes.bytes(), keep_since)?;
        Ok(())
    }

    /// What is past retention removed, memory kept in its budget, and a checkpoint.
    pub(super) fn checkpoint(&self) -> Result<(), ServerError> {
        self.engine.tidy()?;
        let began = Instant::now();
        let outcome = self.engine.checkpoint()?;
        self.telemetry.checkpoints.written(began.elapsed());
        tracing::debug!(id = outcome.id, entities = outcome.entities, bytes = outcome.bytes, "checkpoint");
        Ok(())
    }

    /// Fills a view with the rows of history before `until`.
    pub(super) fn fill_view(&self, view: &Arc<ViewRuntime>, until: u64) -> Result<(), ServerError> {
        self.write_history()?;
        let runtime = self.engine.runtime()?;
        for (source, reducer) in &view.reducers {
            let gone = || ServerError::NotFound(format!("source `{source}` was taken out of the definitions"));
            let definition = &runtime.sources.get(source).ok_or_else(gone)?.definition;
            let mut columns: Vec<String> = reducer.columns().map(str::to_owned).collect();
            if definition.is_change() {
                self.fill_from_changes(view, definition, columns, until)?;
                continue;
            }
            if !columns.contains(&definition.timestamp) {
                columns.push(definition.timestamp.clone());
            }
            columns.extend([ARRIVAL.to_owned(), SEQUENCE.to_owned()]);
            let retained = view.plan.retention.map(|retention| self.engine.now().saturating_sub(retention));
            let request = ReadRequest {
                columns,
                from_time: retained,
                until_time: None,
                max_sequence: Some(until),
                delta_version: None,
            };
            if let Some(retained) = retained {
                view.state.forget(retained.saturating_sub(1));
            }
            self.read_history(definition, &request, |batch| {
                let (arrivals, sequences) = stamps(&batch)?;
                Ok(self.engine.backfill(view, source, &batch, &arrivals, &sequences)?)
            })?;
        }
        self.engine.finish_builds(std::slice::from_ref(view))?;
        Ok(())
    }

    fn fill_from_changes(
        &self,
        view: &Arc<ViewRuntime>,
        source: &Source,
        columns: Vec<String>,
        until: u64,
    ) -> Result<(), ServerError> {
        let changes = thalweg_lake::read_changes(&self.history, source, &columns, until);
        let changes = self.block_on(changes)?;
        let lives: Vec<RowLife> = changes
            .lives
            .iter()
            .map(|life| RowLife {
                time: life.time,
                arrival: life.arrival,
                sequence: life.sequence,
                retracted: life.retracted,
            })
            .collect();
        Ok(self.engine.backfill_change(view, &source.name, &changes.rows, &lives)?)
    }

    fn read_history(
        &self,
        source: &Source,
        request: &ReadRequest,
        mut take: impl FnMut(RecordBatch) -> Result<(), ServerError>,
    ) -> Result<(), ServerError> {
        let mut stream = self.block_on(self.history.read(source, request))?;
        while let Some(batch) = self.block_on(stream.next()) {
            if self.is_stopping() {
                return Err(ServerError::Unavailable("it is shutting down".to_owned()));
            }
            take(batch.map_err(|error| ServerError::Internal(error.to_string()))?)?;
        }
        Ok(())
    }
}

impl HistoryPositions {
    fn least(&self, runtime: &Runtime) -> Option<u64> {
        runtime.sources.keys().map(|source| self.by_source.get(source).copied().unwrap_or(1)).min()
    }
}

impl Gathered {
    fn add(&mut self, source: &str, rows: RecordBatch) {
        self.rows += rows.num_rows();
        self.by_source.entry(source.to_owned()).or_default().push(rows);
    }
}

fn with_sequences(rows: &RecordBatch, first: u64) -> Result<RecordBatch, ServerError> {
    let sequences: Int64Array = (0..rows.num_rows() as i64).map(|row| Some(first as i64 + row)).collect();
    let mut fields: Vec<Arc<Field>> = rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(SEQUENCE, DataType::Int64, false)));
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns.push(Arc::new(sequences));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| ServerError::Internal(error.to_string()))
}

fn stamps(batch: &RecordBatch) -> Result<(Vec<i64>, Vec<u64>), ServerError> {
    let lacks = |name: &str| ServerError::Engine(EngineError::Storage(format!("history lacks `{name}`")));
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
