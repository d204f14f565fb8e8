//! History as this instance has it: the engine's way to it over Delta tables, their upkeep, and the log that is cut
//! once they hold its rows.

use super::Instance;
use crate::error::ServerError;
use arrow::array::RecordBatch;
use futures::StreamExt;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use thalweg_definition::Source;
use thalweg_engine::{HistoryTables, HistoryWriter, RowLife, ViewRuntime, fill_view};
use thalweg_lake::ReadRequest;

/// Commits to a table after which its small files are made into large ones.
const COMMITS_BEFORE_COMPACTION: u32 = 24;

/// How far history goes, and how many commits each table has had since it was last compacted.
#[derive(Default)]
pub(super) struct HistoryProgress {
    writer: Mutex<HistoryWriter>,
    commits: Mutex<HashMap<String, u32>>,
}

impl HistoryTables for Instance {
    type Error = ServerError;

    fn position(&self, source: &str) -> Result<Option<u64>, ServerError> {
        Ok(self.block_on(self.history.position(source))?)
    }

    fn append(
        &self,
        source: &Source,
        batches: Vec<RecordBatch>,
        next_sequence: u64,
        sort_by: &[String],
    ) -> Result<(), ServerError> {
        let outcome = self.block_on(self.history.append(source, batches, next_sequence, sort_by))?;
        tracing::debug!(source = source.name, rows = outcome.rows, version = outcome.version, "history");
        self.telemetry.history.committed(outcome.rows);
        let due = {
            let mut commits = self.progress.commits.lock();
            let commits = commits.entry(source.name.clone()).or_default();
            *commits = (*commits + 1) % COMMITS_BEFORE_COMPACTION;
            *commits == 0
        };
        if due { self.keep_table(source) } else { Ok(()) }
    }

    fn read(
        &self,
        source: &Source,
        columns: Vec<String>,
        from_time: Option<i64>,
        until: u64,
        take: &mut dyn FnMut(RecordBatch) -> Result<(), ServerError>,
    ) -> Result<(), ServerError> {
        let request =
            ReadRequest { columns, from_time, until_time: None, max_sequence: Some(until), delta_version: None };
        let mut stream = self.block_on(self.history.read(source, &request))?;
        while let Some(batch) = self.block_on(stream.next()) {
            if self.is_stopping() {
                return Err(ServerError::Unavailable("it is shutting down".to_owned()));
            }
            take(batch.map_err(|error| ServerError::Internal(error.to_string()))?)?;
        }
        Ok(())
    }

    fn reaches_before(&self, source: &Source, time: i64) -> Result<bool, ServerError> {
        let request = ReadRequest {
            columns: vec![source.timestamp.clone()],
            from_time: None,
            until_time: Some(time),
            max_sequence: None,
            delta_version: None,
        };
        let mut stream = self.block_on(self.history.read(source, &request))?;
        while let Some(batch) = self.block_on(stream.next()) {
            if batch.map_err(|error| ServerError::Internal(error.to_string()))?.num_rows() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn changes(
        &self,
        source: &Source,
        columns: &[String],
        until: u64,
    ) -> Result<(RecordBatch, Vec<RowLife>), ServerError> {
        let changes = self.block_on(thalweg_lake::read_changes(&self.history, source, columns, until))?;
        let life = |life: &thalweg_lake::Life| RowLife {
            time: life.time,
            arrival: life.arrival,
            sequence: life.sequence,
            retracted: life.retracted,
        };
        Ok((changes.rows, changes.lives.iter().map(life).collect()))
    }
}

impl Instance {
    /// Brings everything that is durable now into history; returns the first sequence that is not.
    pub fn write_history(&self) -> Result<u64, ServerError> {
        let mut writer = self.progress.writer.lock();
        let (until, ledgers) = self.engine.ledgers();
        writer.write(&self.engine, self, until)?;
        self.telemetry.history.reached(until, &ledgers);
        Ok(until)
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
            self.history.vacuum(&source.name, self.settings.history_vacuum_age.duration()).await?;
            Ok(())
        })
    }

    /// Upkeep of every table, however few commits it has had.
    pub(super) fn keep_tables(&self) -> Result<(), ServerError> {
        let Ok(runtime) = self.engine.runtime() else { return Ok(()) };
        runtime.sources.values().try_for_each(|source| self.keep_table(&source.definition))
    }

    /// About how many accepted rows are in the log alone.
    pub fn rows_outside_history(&self) -> u64 {
        let Ok(runtime) = self.engine.runtime() else { return 0 };
        let Some(writer) = self.progress.writer.try_lock() else { return 0 };
        self.engine.applied_until().saturating_sub(writer.least(&runtime).unwrap_or(1))
    }

    /// A checkpoint, what is past retention removed, memory kept in its budget, and the log cut.
    pub(super) fn checkpoint_and_tidy(&self) -> Result<(), ServerError> {
        self.checkpoint()?;
        let history = match self.engine.runtime() {
            Ok(runtime) => self.progress.writer.lock().least(&runtime).unwrap_or(1),
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
        fill_view(&self.engine, self, view, until)
    }
}
