//! History: one Delta table per source, written from the log exactly once and read for training sets and SQL.
//!
//! A table has the source's columns, `__arrival` and `__sequence`, and is partitioned by `__date`, the day of the
//! event. Each commit carries the log's position as a Delta application transaction, so that a commit that is tried
//! again after a crash is recognised. The format stays behind this door: nothing else names Delta.

mod durable;
mod prepare;
mod read;

pub use read::ReadRequest;
pub(crate) use read::{asked_schema, context};

use crate::error::{LakeError, Result};
use crate::limits::MAX_COMMIT_ATTEMPTS;
use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::prelude::{ident, lit};
use deltalake::kernel::Transaction;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::operations::write::SchemaMode;
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use durable::DurableStore;
use object_store::ObjectStore;
use parking_lot::Mutex;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use thalweg_definition::Source;

/// The column of arrival times.
pub const ARRIVAL: &str = "__arrival";
/// The column of sequences in the log.
pub const SEQUENCE: &str = "__sequence";
/// The column by which tables are partitioned: the day of the event.
pub const DATE: &str = "__date";
/// Under this name commits say how far in the log they reach.
const APPLICATION: &str = "thalweg";

/// The tables of all sources under one root.
pub struct History {
    root: Root,
    options: HashMap<String, String>,
    /// One writer per table in this process: others would only make each other retry.
    writers: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

enum Root {
    Local(Arc<DurableStore>),
    /// Of an object store, without a slash at the end.
    Url(String),
    /// An object store that was given, and the URL that stands for it.
    Given(Arc<dyn ObjectStore>, String),
}

/// What an append did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendOutcome {
    /// The table's version afterwards; none where there is no table yet.
    pub version: Option<i64>,
    /// Rows written; none where the position had been reached before.
    pub rows: u64,
}

impl History {
    /// A local directory, which is made where missing, or the URL of an object store with its options.
    pub fn open(root: &str, options: HashMap<String, String>) -> Result<Self> {
        deltalake::aws::register_handlers(None);
        let local = root.strip_prefix("file://").or_else(|| (!root.contains("://")).then_some(root));
        let root = match local {
            Some(path) => DurableStore::open(Path::new(path))
                .map(|store| Root::Local(Arc::new(store)))
                .map_err(|error| LakeError::Storage(format!("history directory `{path}`: {error}")))?,
            None => Root::Url(root.trim_end_matches('/').to_owned()),
        };
        Ok(Self { root, options, writers: Mutex::default() })
    }

    /// Tables in an object store that is given, under a URL of a scheme that Delta knows, such as `memory:///history`.
    /// Whether writes last is the store's affair.
    pub fn over(store: Arc<dyn ObjectStore>, url: &str) -> Self {
        let root = Root::Given(store, url.trim_end_matches('/').to_owned());
        Self { root, options: HashMap::new(), writers: Mutex::default() }
    }

    /// Where a source's table is.
    pub fn table_uri(&self, source: &str) -> String {
        match &self.root {
            Root::Local(store) => store.root().join(source).to_string_lossy().into_owned(),
            Root::Url(root) | Root::Given(_, root) => format!("{root}/{source}"),
        }
    }

    /// The next log sequence to be written, or none where there is no table yet.
    pub async fn position(&self, source: &str) -> Result<Option<u64>> {
        let table = self.table(source, None).await?;
        self.refuse_doubt()?;
        match table {
            Some(table) => position_of(&table).await.map(|position| Some(position.unwrap_or(0))),
            None => Ok(None),
        }
    }

    /// The table's version, or none where there is no table yet.
    pub async fn version(&self, source: &str) -> Result<Option<i64>> {
        Ok(self.table(source, None).await?.and_then(|table| version_of(&table)))
    }

    /// Writes rows that lie before `next_sequence` in the log and were not written yet, sorted by `sort_by`, event
    /// time and sequence. Batches have the source's columns, [`ARRIVAL`] and [`SEQUENCE`].
    pub async fn append(
        &self,
        source: &Source,
        batches: Vec<RecordBatch>,
        next_sequence: u64,
        sort_by: &[String],
    ) -> Result<AppendOutcome> {
        let writer = self.writer(&source.name);
        let _writing = writer.lock().await;
        let rows = prepare::rows(source, &batches)?;
        // The next append would bring it again.
        if let Some(newest) = prepare::newest(&rows)?.filter(|newest| *newest >= next_sequence) {
            let rule = format!("a row of `{}` has sequence {newest}", source.name);
            return Err(LakeError::Invalid(format!("{rule}, and is not before {next_sequence}")));
        }
        let mut attempt = 1;
        loop {
            let table = self.table(&source.name, None).await?;
            self.refuse_doubt()?;
            let position = match &table {
                Some(table) => position_of(table).await?.unwrap_or(0),
                None => 0,
            };
            let version = table.as_ref().and_then(version_of);
            if position >= next_sequence {
                return Ok(AppendOutcome { version, rows: 0 });
            }
            let fresh = prepare::fresh(&rows, position)?;
            if fresh.num_rows() == 0 {
                return Ok(AppendOutcome { version, rows: 0 });
            }
            let written = fresh.num_rows() as u64;
            let batch = prepare::sorted(source, &fresh, sort_by)?;
            match self.commit(&source.name, table, batch, next_sequence).await {
                Ok(table) => return Ok(AppendOutcome { version: version_of(&table), rows: written }),
                Err(error) if is_conflict(&error) && attempt < MAX_COMMIT_ATTEMPTS => attempt += 1,
                Err(error) => return Err(about(&source.name, &error)),
            }
        }
    }

    /// Rewrites small files of each day into few large ones; returns how many files went.
    pub async fn compact(&self, source: &str) -> Result<u64> {
        let writer = self.writer(source);
        let _writing = writer.lock().await;
        let Some(table) = self.table(source, None).await? else { return Ok(0) };
        let compacted = table.optimize().with_writer_properties(writer_properties()?).await;
        let (_, metrics) = compacted.map_err(|error| about(source, &error))?;
        Ok(metrics.num_files_removed)
    }

    /// Deletes files that no version younger than `keep` needs; returns how many.
    pub async fn vacuum(&self, source: &str, keep: Duration) -> Result<u64> {
        let writer = self.writer(source);
        let _writing = writer.lock().await;
        let Some(table) = self.table(source, None).await? else { return Ok(0) };
        let vacuumed = table
            .vacuum()
            .with_retention_period(chrono::Duration::from_std(keep).unwrap_or(chrono::Duration::MAX))
            .with_enforce_retention_duration(false)
            .await;
        let (_, metrics) = vacuumed.map_err(|error| about(source, &error))?;
        Ok(metrics.files_deleted.len() as u64)
    }

    /// Removes whole days before `date` (days since the epoch) from the table; returns how many files went.
    pub async fn delete_before(&self, source: &str, date: i32) -> Result<u64> {
        let writer = self.writer(source);
        let _writing = writer.lock().await;
        let Some(table) = self.table(source, None).await? else { return Ok(0) };
        let old = ident(DATE).lt(lit(ScalarValue::Date32(Some(date))));
        let (_, metrics) = table.delete().with_predicate(old).await.map_err(|error| about(source, &error))?;
        Ok(metrics.num_removed_files as u64)
    }

    /// The table at a version, or its newest; none where there is no table yet.
    async fn table(&self, source: &str, version: Option<i64>) -> Result<Option<DeltaTable>> {
        if let Root::Local(store) = &self.root
            && !store.root().join(source).join("_delta_log").is_dir()
        {
            return Ok(None);
        }
        let mut builder = self.builder(source).map_err(|error| about(source, &error))?;
        if let Some(version) = version {
            let unknown = |_| LakeError::Invalid(format!("history of `{source}` has no version {version}"));
            builder = builder.with_version(u64::try_from(version).map_err(unknown)?);
        }
        match builder.load().await {
            Ok(table) => Ok(Some(table)),
            Err(DeltaTableError::NotATable(_)) if version.is_none() => Ok(None),
            Err(error) => Err(about(source, &error)),
        }
    }

    fn builder(&self, source: &str) -> std::result::Result<DeltaTableBuilder, DeltaTableError> {
        let url = deltalake::ensure_table_uri(self.table_uri(source))?;
        let builder = DeltaTableBuilder::from_url(url.clone())?.with_storage_options(self.options.clone());
        Ok(match &self.root {
            Root::Local(store) => builder.with_storage_backend(store.clone(), url),
            Root::Given(store, _) => builder.with_storage_backend(store.clone(), url),
            Root::Url(_) => builder,
        })
    }

    /// Refuses to say how far history goes where a power loss might take back what can be seen of it.
    fn refuse_doubt(&self) -> Result<()> {
        match &self.root {
            Root::Local(store) if store.is_doubtful() => Err(LakeError::Storage(
                "a sync of history's directory failed, so that it is not known what of it is durable: restart, and \
                 what is missing is written again"
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }

    async fn commit(
        &self,
        source: &str,
        table: Option<DeltaTable>,
        batch: RecordBatch,
        next_sequence: u64,
    ) -> std::result::Result<DeltaTable, DeltaTableError> {
        let exists = table.is_some();
        let table = match table {
            Some(table) => table,
            None => self.builder(source)?.build()?,
        };
        let position = i64::try_from(next_sequence).unwrap_or(i64::MAX);
        let properties = CommitProperties::default()
            .with_application_transaction(Transaction::new(APPLICATION, position))
            .with_max_retries(MAX_COMMIT_ATTEMPTS);
        let write = table
            .write(vec![batch])
            .with_save_mode(SaveMode::Append)
            .with_partition_columns([DATE])
            .with_writer_properties(writer_properties()?)
            .with_commit_properties(properties);
        // Columns that the source has got since are added to the table.
        let write = if exists { write.with_schema_mode(SchemaMode::Merge) } else { write };
        write.await
    }

    fn writer(&self, source: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.writers.lock().entry(source.to_owned()).or_default().clone()
    }
}

async fn position_of(table: &DeltaTable) -> Result<Option<u64>> {
    let log_store = table.log_store();
    let position = table.snapshot()?.transaction_version(log_store.as_ref(), APPLICATION).await?;
    Ok(position.and_then(|position| u64::try_from(position).ok()))
}

fn version_of(table: &DeltaTable) -> Option<i64> {
    table.version().and_then(|version| i64::try_from(version).ok())
}

/// Whether another writer came first, so that looking again and trying again helps.
fn is_conflict(error: &DeltaTableError) -> bool {
    matches!(error, DeltaTableError::Transaction { .. } | DeltaTableError::VersionAlreadyExists(_))
}

fn about(source: &str, error: &DeltaTableError) -> LakeError {
    LakeError::Storage(format!("history of `{source}`: {error}"))
}

fn writer_properties() -> std::result::Result<WriterProperties, DeltaTableError> {
    Ok(WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?)).build())
}
