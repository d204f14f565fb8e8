//! The serving log: what was answered, sampled as each service says, so that the check can compute it again.
//!
//! `served/<service>/<manifest hash>/<number>.parquet`, one row per entity and answer: `__as_of`, `__cut`, the keys,
//! the request values, and for each feature its value and `<feature>__status`. The oldest files go by [`retention`].

mod retention;

use crate::error::ServerError;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use parquet::arrow::ArrowWriter;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use thalweg_engine::FeatureResponse;

/// Bytes held before they are written.
const FLUSH_BYTES: usize = 32 << 20;
/// Bytes held at most; past it answers go unrecorded, and are counted.
const MAX_BYTES: usize = 256 << 20;
/// Answers of one kind before they are put together: one row by itself takes a thousand times the bytes of its values.
const LOOSE_ANSWERS: usize = 64;

pub const AS_OF: &str = "__as_of";
pub const CUT: &str = "__cut";
/// How the names of files end: whole ones, and those that are being written.
const WHOLE: &str = "parquet";
const PARTIAL: &str = "partial";

pub struct ServedLog {
    directory: PathBuf,
    /// Held by whoever writes or removes files: two writers would take the same number.
    files: Mutex<()>,
    /// Held by whoever reads files: none is removed meanwhile.
    reading: RwLock<()>,
    held: Mutex<Held>,
    /// On the disk, when it was last looked at.
    bytes_on_disk: AtomicU64,
    answers: AtomicU64,
    pub unrecorded: AtomicU64,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    by_service: BTreeMap<(String, String), Vec<RecordBatch>>,
}

impl ServedLog {
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            files: Mutex::default(),
            reading: RwLock::default(),
            held: Mutex::default(),
            bytes_on_disk: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            unrecorded: AtomicU64::new(0),
        }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// While it is held no file goes.
    pub fn reading(&self) -> RwLockReadGuard<'_, ()> {
        self.reading.read()
    }

    /// Bytes of recorded answers on the disk, as of the last look at retention.
    pub fn bytes_on_disk(&self) -> u64 {
        self.bytes_on_disk.load(Ordering::Relaxed)
    }

    /// Records an answer of a service; `sample` is the share of answers that are.
    pub fn record(&self, response: &FeatureResponse, sample: f64) {
        let Some(service) = &response.service else { return };
        // Every answer moves a counter by its share; one is recorded whenever a whole is reached.
        let number = self.answers.fetch_add(1, Ordering::Relaxed) as f64;
        if ((number + 1.0) * sample).floor() <= (number * sample).floor() {
            return;
        }
        let batch = match batch_of(response) {
            Ok(batch) => batch,
            Err(error) => return tracing::error!("an answer could not be recorded: {error}"),
        };
        let mut held = self.held.lock();
        let bytes = batch.get_array_memory_size();
        if held.bytes + bytes > MAX_BYTES {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
            return;
        }
        held.bytes += bytes;
        held.by_service.entry((service.clone(), response.manifest_hash.clone())).or_default().push(batch);
    }

    /// Puts loose answers together, and writes them where there are many. For a task that does it again and again.
    pub fn tidy(&self) -> Result<(), ServerError> {
        let loose = {
            let mut held = self.held.lock();
            let crowded = held.by_service.iter().filter(|(_, batches)| batches.len() > LOOSE_ANSWERS);
            let kinds: Vec<(String, String)> = crowded.map(|(kind, _)| kind.clone()).collect();
            let mut loose = Vec::with_capacity(kinds.len());
            for kind in kinds {
                let batches = held.by_service.remove(&kind).unwrap_or_default();
                held.bytes = held.bytes.saturating_sub(bytes_of(&batches));
                loose.push((kind, batches));
            }
            loose
        };
        for (kind, batches) in loose {
            // Outside the lock: reads do not wait for it.
            let whole = concat_batches(&batches[0].schema(), &batches)
                .map_err(|error| ServerError::Internal(format!("the serving log: {error}")))?;
            let mut held = self.held.lock();
            held.bytes += whole.get_array_memory_size();
            held.by_service.entry(kind).or_default().insert(0, whole);
        }
        if self.held.lock().bytes >= FLUSH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes what is held. What cannot be written is held on, within the bound.
    pub fn flush(&self) -> Result<(), ServerError> {
        let _files = self.files.lock();
        let held = std::mem::take(&mut *self.held.lock());
        let mut outcome = Ok(());
        for ((service, hash), batches) in held.by_service {
            if outcome.is_ok() {
                let directory = self.directory.join(&service).join(&hash);
                outcome = write(&directory, &batches).map_err(|error| {
                    ServerError::Internal(format!("the serving log in {}: {error}", directory.display()))
                });
                if outcome.is_ok() {
                    continue;
                }
            }
            self.hold_on((service, hash), batches);
        }
        outcome
    }

    /// Puts answers back before those that came meanwhile.
    fn hold_on(&self, kind: (String, String), batches: Vec<RecordBatch>) {
        let mut held = self.held.lock();
        held.bytes += bytes_of(&batches);
        held.by_service.entry(kind).or_default().splice(0..0, batches);
    }
}

fn bytes_of(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::get_array_memory_size).sum()
}

fn batch_of(response: &FeatureResponse) -> Result<RecordBatch, arrow::error::ArrowError> {
    let rows = response.rows;
    let as_of = TimestampMicrosecondArray::from(vec![response.as_of; rows]).with_timezone("UTC");
    let cut = Int64Array::from(vec![response.cut; rows]);
    let mut columns: Vec<(String, ArrayRef)> =
        vec![(AS_OF.to_owned(), Arc::new(as_of)), (CUT.to_owned(), Arc::new(cut))];
    columns.extend(response.entities.iter().chain(&response.request).cloned());
    for result in &response.results {
        let name = result.name.replace('.', "__");
        let statuses: StringArray = result.statuses.iter().map(|status| Some(status.name())).collect();
        columns.push((format!("{name}__status"), Arc::new(statuses)));
        columns.push((name, result.values.clone()));
    }
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(name, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, column)| column).collect())
}

fn write(directory: &Path, batches: &[RecordBatch]) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(directory)?;
    let number = next_number(directory)?;
    let path = directory.join(format!("{number:08}.{WHOLE}"));
    let partial = path.with_extension(PARTIAL);
    let whole = concat_batches(&batches[0].schema(), batches)?;
    let mut writer = ArrowWriter::try_new(std::fs::File::create(&partial)?, whole.schema(), None)?;
    writer.write(&whole)?;
    writer.close()?;
    std::fs::rename(partial, path)?;
    Ok(())
}

/// One more than the greatest number of a file that is there.
fn next_number(directory: &Path) -> std::io::Result<u64> {
    let mut next = 0;
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number =
            Path::new(&name).file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        next = next.max(number.map_or(0, |number| number + 1));
    }
    Ok(next)
}
