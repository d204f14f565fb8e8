//! The check: what was served, computed again from history as a training set would, and compared bit for bit.

use super::Instance;
use super::served::{AS_OF, CUT};
use super::training::{KEEP_SLOWER_THAN, service_features};
use crate::error::ServerError;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use thalweg_definition::AsOf;
use thalweg_engine::literal::timestamp_text;
use thalweg_lake::{SpineInput, TrainingRequest, build};

/// Mismatches that one report lists at most.
const MAX_SAMPLES: usize = 1000;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckOptions {
    /// Mismatches that are listed; all are counted.
    pub limit_samples: usize,
    /// Only this service's answers.
    pub service: Option<String>,
    /// Only answers recorded since then.
    #[serde(skip)]
    pub since: Option<std::time::SystemTime>,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { limit_samples: 20, service: None, since: None }
    }
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct CheckReport {
    /// Answers (one per entity and read) computed again.
    pub rows: u64,
    /// Values compared; their statuses are compared with them.
    pub compared: u64,
    pub mismatches: u64,
    /// Answers that could not be given when they were asked for (a view being filled, a read before the state), and
    /// are not compared.
    pub not_answered: u64,
    /// Answers that were not recorded because too many came at once.
    pub unrecorded: u64,
    pub samples: Vec<Mismatch>,
}

/// One value that differs, with both sides and the rows behind it.
#[derive(Debug, Clone, Serialize)]
pub struct Mismatch {
    pub service: String,
    pub feature: String,
    pub as_of: String,
    pub entity: String,
    pub served: String,
    pub recomputed: String,
    /// The newest rows of history of that entity before the query time.
    pub events: Vec<String>,
}

/// Rows of the serving log computed again in one go.
const ROWS_AT_ONCE: usize = 1 << 20;
/// Rows of history shown with a mismatch.
const EVENTS_SHOWN: usize = 5;

impl Instance {
    /// Computes recorded answers again and compares. Blocks; see the report's counts.
    pub fn check(&self, options: &CheckOptions) -> Result<CheckReport, ServerError> {
        if options.limit_samples > MAX_SAMPLES {
            return Err(ServerError::Invalid(format!("`limit_samples` is at most {MAX_SAMPLES}")));
        }
        self.served.flush()?;
        let _no_file_goes = self.served.reading();
        let until = self.write_history()?;
        let unrecorded = self.served.unrecorded.load(std::sync::atomic::Ordering::Relaxed);
        let mut report = CheckReport { unrecorded, ..CheckReport::default() };
        for (service, hash, files) in served_files(self.served.directory())? {
            if options.service.as_ref().is_some_and(|only| *only != service) {
                continue;
            }
            let mut batches = Vec::new();
            for file in files.into_iter().filter(|file| changed_since(file, options.since)) {
                batches.extend(thalweg_lake::read_parquet(&file)?.1);
                if batches.iter().map(RecordBatch::num_rows).sum::<usize>() >= ROWS_AT_ONCE {
                    self.check_answers(&service, &hash, std::mem::take(&mut batches), until, options, &mut report)?;
                }
            }
            if !batches.is_empty() {
                self.check_answers(&service, &hash, batches, until, options, &mut report)?;
            }
        }
        Ok(report)
    }

    fn check_answers(
        &self,
        service: &str,
        hash: &str,
        batches: Vec<RecordBatch>,
        until: u64,
        options: &CheckOptions,
        report: &mut CheckReport,
    ) -> Result<(), ServerError> {
        let version = self.version_of(hash)?;
        let version = version.ok_or_else(|| ServerError::NotFound(format!("manifest {hash} is not known here")))?;
        let (checked, manifest_hash) = self.checked_manifest(Some(version))?;
        let features = service_features(&checked, service)?;
        let internal = |error: arrow::error::ArrowError| ServerError::Internal(error.to_string());
        let served = concat_batches(&batches[0].schema(), &batches).map_err(internal)?;
        let spine = without_features(&served, &features).map_err(internal)?;
        let request = TrainingRequest {
            max_sequence: self.watermarks(&checked, until),
            checked,
            manifest_hash,
            features: features.clone(),
            service: service.to_owned(),
            spine: SpineInput::Batches(vec![spine.clone()]),
            timestamp: AS_OF.to_owned(),
            as_of: AsOf::Arrival,
            cut: Some(CUT.to_owned()),
            statuses: true,
            memory_bytes: self.settings.memory.bytes(),
            keep_slower_than: KEEP_SLOWER_THAN,
            work_dir: self.settings.data.join("training"),
        };
        let never = AtomicBool::new(false);
        let again = self.block_on(build(&self.history, &self.expressions, &request, &|_, _| {}, &never))?;
        let again = concat_batches(&again.schema, &again.batches).map_err(internal)?;
        report.rows += served.num_rows() as u64;
        for feature in &features {
            let pair = Compared::new(&served, &again, feature)?;
            pair.compare(report, |row, report| {
                if report.samples.len() < options.limit_samples {
                    report.samples.push(self.mismatch(service, feature, &pair, &spine, row));
                }
            });
        }
        Ok(())
    }

    fn mismatch(&self, service: &str, feature: &str, pair: &Compared, spine: &RecordBatch, row: usize) -> Mismatch {
        let time =
            spine.column_by_name(AS_OF).map_or(0, |times| times.as_primitive::<TimestampMicrosecondType>().value(row));
        let entity = spine
            .schema()
            .fields()
            .iter()
            .zip(spine.columns())
            .filter(|(field, _)| !field.name().starts_with("__"))
            .map(|(field, column)| format!("{}={}", field.name(), show(column, row)))
            .collect::<Vec<_>>()
            .join(" ");
        let events = self.events_behind(feature, spine, row, time);
        Mismatch {
            service: service.to_owned(),
            feature: feature.to_owned(),
            as_of: timestamp_text(time),
            entity,
            served: format!("{} {}", show(&pair.served, row), show(&pair.served_status, row)),
            recomputed: format!("{} {}", show(&pair.again, row), show(&pair.again_status, row)),
            events: events.unwrap_or_else(|error| vec![format!("not found: {error}")]),
        }
    }

    /// The newest rows of history, before the query time, of the entity behind a value.
    fn events_behind(
        &self,
        feature: &str,
        spine: &RecordBatch,
        row: usize,
        time: i64,
    ) -> Result<Vec<String>, ServerError> {
        let runtime = self.engine.runtime()?;
        let Some((view, _)) = feature.split_once('.') else { return Ok(Vec::new()) };
        let Some(view) = runtime.views.get(view) else { return Ok(Vec::new()) };
        let keys: Vec<(String, ArrayRef)> = view
            .entity
            .keys
            .iter()
            .filter_map(|key| Some((key.name.clone(), spine.column_by_name(&key.name)?.slice(row, 1))))
            .collect();
        let mut events = Vec::new();
        for source in &view.definition.sources {
            let definition = &runtime.sources[source].definition;
            let rows =
                self.block_on(thalweg_lake::entity_rows(&self.history, definition, &keys, time, EVENTS_SHOWN))?;
            events.extend((0..rows.num_rows()).map(|row| {
                let schema = rows.schema();
                let cells = schema.fields().iter().zip(rows.columns());
                let cells = cells.map(|(field, column)| format!("{}={}", field.name(), show(column, row)));
                format!("{source}: {}", cells.collect::<Vec<_>>().join(" "))
            }));
        }
        Ok(events)
    }
}

/// One feature's values and statuses, as served and as computed again.
struct Compared {
    served: ArrayRef,
    served_status: ArrayRef,
    again: ArrayRef,
    again_status: ArrayRef,
}

impl Compared {
    fn new(served: &RecordBatch, again: &RecordBatch, feature: &str) -> Result<Self, ServerError> {
        let name = feature.replace('.', "__");
        let column = |batch: &RecordBatch, name: &str| {
            let column = batch.column_by_name(name).cloned();
            column.ok_or_else(|| ServerError::Internal(format!("a recorded answer lacks `{name}`")))
        };
        let status = format!("{name}__status");
        let again_values = column(again, &name)?;
        let served_values = column(served, &name)?;
        let served_values = if served_values.data_type() == again_values.data_type() {
            served_values
        } else {
            // Parquet names the fields inside lists and maps its own way.
            arrow::compute::cast(&served_values, again_values.data_type())
                .map_err(|error| ServerError::Internal(error.to_string()))?
        };
        Ok(Self {
            served: served_values,
            served_status: column(served, &status)?,
            again: again_values,
            again_status: column(again, &status)?,
        })
    }

    fn compare(&self, report: &mut CheckReport, mut differs: impl FnMut(usize, &mut CheckReport)) {
        if *self.served == *self.again && *self.served_status == *self.again_status {
            report.compared += self.served.len() as u64;
            return;
        }
        let (served, again) = (self.served_status.as_string::<i32>(), self.again_status.as_string::<i32>());
        for row in 0..self.served.len() {
            if served.value(row) == "ERROR" && again.value(row) != "ERROR" {
                report.not_answered += 1;
                continue;
            }
            report.compared += 1;
            let same = served.value(row) == again.value(row)
                && self.served.slice(row, 1).to_data() == self.again.slice(row, 1).to_data();
            if !same {
                report.mismatches += 1;
                differs(row, report);
            }
        }
    }
}

fn show(column: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::new().with_null("null");
    match ArrayFormatter::try_new(column, &options) {
        Ok(formatter) => formatter.value(row).to_string(),
        Err(error) => error.to_string(),
    }
}

/// The columns of recorded answers that ask, without those that answer.
fn without_features(served: &RecordBatch, features: &[String]) -> Result<RecordBatch, arrow::error::ArrowError> {
    let names: Vec<String> = features.iter().map(|feature| feature.replace('.', "__")).collect();
    let answers = |name: &str| {
        names.iter().any(|own| name == own || name.strip_suffix("__status").is_some_and(|base| base == own))
    };
    let asking: Vec<usize> =
        (0..served.num_columns()).filter(|at| !answers(served.schema().field(*at).name())).collect();
    served.project(&asking)
}

type ServedFiles = (String, String, Vec<PathBuf>);

/// Services, manifest hashes and the files of their recorded answers.
fn served_files(directory: &Path) -> Result<Vec<ServedFiles>, ServerError> {
    let mut found = Vec::new();
    for service in listed(directory)? {
        for hash in listed(&service)? {
            let files: Vec<PathBuf> = listed(&hash)?
                .into_iter()
                .filter(|file| file.extension().is_some_and(|end| end == "parquet"))
                .collect();
            found.push((name_of(&service), name_of(&hash), files));
        }
    }
    Ok(found)
}

fn listed(directory: &Path) -> Result<Vec<PathBuf>, ServerError> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Ok(Vec::new()) };
    let paths: Result<Vec<PathBuf>, std::io::Error> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(|error| ServerError::Internal(format!("{}: {error}", directory.display())))?;
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Where the disk does not tell, the file is checked again.
fn changed_since(file: &Path, since: Option<std::time::SystemTime>) -> bool {
    let Some(since) = since else { return true };
    match std::fs::metadata(file).and_then(|facts| facts.modified()) {
        Ok(changed) => changed >= since,
        Err(_) => true,
    }
}
