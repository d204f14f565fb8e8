//! Training sets as jobs: started, watched, cancelled, fetched, listed.

use super::Instance;
use crate::error::ServerError;
use arrow::array::RecordBatch;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use thalweg_definition::{AsOf, CheckedManifest};
use thalweg_engine::EngineError;
use thalweg_lake::{LakeError, SpineInput, TrainingRequest, build, write_parquet};
use thalweg_store::TrainingSetRecord;

/// The rows for which features are wanted.
#[derive(Debug, Clone)]
pub enum Spine {
    Batches(Vec<RecordBatch>),
    Parquet(PathBuf),
    /// A SELECT over history; sources are its tables.
    Sql(String),
}

#[derive(Debug, Clone)]
pub struct TrainingSetRequest {
    pub service: String,
    pub spine: Spine,
    /// The spine's column of query times.
    pub timestamp: String,
    pub as_of: AsOf,
    /// Adds a status column for each feature.
    pub statuses: bool,
    /// Of an older manifest; none: the one in force.
    pub manifest_version: Option<u64>,
    /// The content id of a set that was made before: its manifest and its state of history are taken, and what comes
    /// out has to be that set again.
    pub recreate: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct JobStatus {
    pub id: String,
    pub state: &'static str,
    /// Spine rows times views.
    pub done: u64,
    pub total: u64,
    pub report: Option<Value>,
    pub error: Option<String>,
}

/// A training set that is being made, or was.
pub(super) struct Job {
    id: String,
    service: String,
    cancelled: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
    outcome: Mutex<Option<Result<Finished, Failed>>>,
}

struct Finished {
    report: Value,
    path: PathBuf,
}

struct Failed {
    cancelled: bool,
    why: String,
}

/// A view of a training set that takes longer is not made again after a stop.
pub(super) const KEEP_SLOWER_THAN: Duration = Duration::from_secs(2);
/// Finished jobs that are remembered; their files stay.
const MAX_JOBS: usize = 1_000;
/// Training sets that are made at once; each takes threads, memory and disk.
const MAX_RUNNING_JOBS: usize = 16;
/// When whoever met that bound may ask again.
const RETRY_JOB_AFTER_MS: u64 = 1_000;

impl Job {
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    fn status(&self) -> JobStatus {
        let outcome = self.outcome.lock();
        let (state, report, error) = match &*outcome {
            None => ("running", None, None),
            Some(Ok(finished)) => ("done", Some(finished.report.clone()), None),
            Some(Err(failed)) if failed.cancelled => ("cancelled", None, Some(failed.why.clone())),
            Some(Err(failed)) => ("failed", None, Some(failed.why.clone())),
        };
        JobStatus {
            id: self.id.clone(),
            state,
            done: self.done.load(Ordering::Relaxed),
            total: self.total.load(Ordering::Relaxed),
            report,
            error,
        }
    }
}

impl Instance {
    /// Starts making a training set; returns the job's id.
    pub fn start_training_set(self: &Arc<Self>, request: TrainingSetRequest) -> Result<String, ServerError> {
        // What can be refused is refused at once.
        let recreated = request.recreate.as_deref().map(|id| self.recorded(id)).transpose()?;
        let (checked, hash) = self.training_definitions(&request)?;
        service_features(&checked, &request.service)?;
        let job = {
            let mut jobs = self.jobs.lock();
            let running = jobs.values().filter(|job| job.outcome.lock().is_none()).count();
            if running >= MAX_RUNNING_JOBS {
                let what = format!("{running} training sets are being made, which is as many as may be at once");
                return Err(EngineError::Overloaded { what, retry_after_ms: RETRY_JOB_AFTER_MS }.into());
            }
            let number = jobs.len() + 1;
            let id = format!("job-{}-{number}", self.engine.wall());
            if jobs.len() >= MAX_JOBS {
                jobs.retain(|_, job| job.outcome.lock().is_none());
            }
            let job = Arc::new(Job {
                id: id.clone(),
                service: request.service.clone(),
                cancelled: AtomicBool::new(false),
                done: AtomicU64::new(0),
                total: AtomicU64::new(0),
                outcome: Mutex::new(None),
            });
            jobs.insert(id, job.clone());
            job
        };
        let instance = self.clone();
        let id = job.id.clone();
        self.spawn("thalweg-training", move || {
            // A job that ended without an outcome would count as running for ever.
            let make = || instance.make_training_set(&checked, hash, request, recreated.as_ref(), &job);
            let outcome = catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|_| {
                Err(ServerError::Internal("making it panicked; the log of the server says where".to_owned()))
            });
            *job.outcome.lock() = Some(outcome.map_err(|error| Failed {
                cancelled: matches!(error, ServerError::Lake(LakeError::Cancelled)),
                why: error.to_string(),
            }));
        });
        Ok(id)
    }

    /// The definitions with which a training set is made, and their hash.
    pub(crate) fn training_definitions(
        &self,
        request: &TrainingSetRequest,
    ) -> Result<(Arc<CheckedManifest>, String), ServerError> {
        let version = match &request.recreate {
            Some(id) => self.version_of(&self.recorded(id)?.manifest_hash)?,
            None => request.manifest_version,
        };
        self.checked_manifest(version)
    }

    pub fn training_job(&self, id: &str) -> Result<JobStatus, ServerError> {
        Ok(self.job(id)?.status())
    }

    /// The Parquet file of a finished training set, by job or by content id.
    pub fn training_data(&self, id: &str) -> Result<PathBuf, ServerError> {
        let stored = self.training_path(id);
        if id.chars().all(|c| c.is_ascii_hexdigit()) && stored.is_file() {
            return Ok(stored);
        }
        let job = self.job(id)?;
        let outcome = job.outcome.lock();
        match &*outcome {
            Some(Ok(finished)) => Ok(finished.path.clone()),
            Some(Err(failed)) => Err(ServerError::Invalid(format!("training set {id} was not made: {}", failed.why))),
            None => Err(ServerError::NotFound(format!("training set {id} is still being made: ask for its state"))),
        }
    }

    /// The service that a job or a finished training set is of.
    pub fn training_service(&self, id: &str) -> Result<String, ServerError> {
        if let Some(job) = self.jobs.lock().get(id) {
            return Ok(job.service.clone());
        }
        let sets = self.engine.metadata().training_sets()?;
        let found = sets.into_iter().find(|set| set.id == id);
        found.map(|set| set.service).ok_or_else(|| no_such_job(id))
    }

    pub fn cancel_training(&self, id: &str) -> Result<(), ServerError> {
        self.job(id)?.cancel();
        Ok(())
    }

    /// Every training set that was made, newest first, with its report.
    pub fn training_sets(&self) -> Result<Vec<Value>, ServerError> {
        let sets = self.engine.metadata().training_sets()?;
        let one = |set: TrainingSetRecord| {
            serde_json::json!({
                "id": set.id,
                "service": set.service,
                "as_of": set.as_of,
                "manifest_hash": set.manifest_hash,
                "rows": set.rows,
                "created_at": thalweg_engine::literal::timestamp_text(set.created_at_us),
                "report": serde_json::from_str::<Value>(&set.report_json).unwrap_or_default(),
            })
        };
        Ok(sets.into_iter().map(one).collect())
    }

    /// Makes a training set and waits for it; `progress` is told rows done and in total.
    pub fn training_set(
        self: &Arc<Self>,
        request: TrainingSetRequest,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<(PathBuf, Value), ServerError> {
        let id = self.start_training_set(request)?;
        loop {
            let status = self.training_job(&id)?;
            if !progress(status.done, status.total) {
                self.cancel_training(&id)?;
            }
            match status.state {
                "running" => std::thread::sleep(Duration::from_millis(10)),
                "done" => return Ok((self.training_data(&id)?, status.report.unwrap_or_default())),
                _ => return Err(ServerError::Invalid(status.error.unwrap_or_default())),
            }
        }
    }

    fn make_training_set(
        &self,
        checked: &Arc<CheckedManifest>,
        manifest_hash: String,
        request: TrainingSetRequest,
        recreated: Option<&TrainingSetRecord>,
        job: &Job,
    ) -> Result<Finished, ServerError> {
        let until = self.write_history()?;
        let spine = match request.spine {
            Spine::Batches(batches) => SpineInput::Batches(batches),
            Spine::Parquet(path) => SpineInput::Parquet(path),
            Spine::Sql(sql) => SpineInput::Batches(self.block_on(thalweg_lake::query(
                &self.history,
                &checked.manifest.sources,
                &sql,
            ))?),
        };
        let lake = TrainingRequest {
            checked: checked.clone(),
            manifest_hash: manifest_hash.clone(),
            features: service_features(checked, &request.service)?,
            service: request.service.clone(),
            spine,
            timestamp: request.timestamp,
            as_of: request.as_of,
            cut: None,
            statuses: request.statuses,
            max_sequence: match recreated {
                Some(recorded) => recorded_watermarks(recorded)?,
                None => self.watermarks(checked, until),
            },
            memory_bytes: self.settings.memory.bytes(),
            keep_slower_than: KEEP_SLOWER_THAN,
            work_dir: self.settings.data.join("training"),
        };
        let progress = |done: u64, total: u64| {
            job.done.store(done, Ordering::Relaxed);
            job.total.store(total, Ordering::Relaxed);
        };
        let set = self.block_on(build(&self.history, &self.expressions, &lake, &progress, &job.cancelled))?;
        if let Some(recorded) = recreated.filter(|recorded| recorded.id != set.id) {
            return Err(ServerError::Invalid(format!(
                "what came out is training set {}, not {}: send the same spine, timestamp column, service and as_of",
                set.id, recorded.id
            )));
        }
        let path = self.training_path(&set.id);
        write_parquet(&path, &set.schema, &set.batches)?;
        let report = serde_json::to_value(&set.report).map_err(|error| ServerError::Internal(error.to_string()))?;
        self.engine.metadata().put_training_set(&TrainingSetRecord {
            id: set.id,
            service: request.service,
            as_of: request.as_of.name().to_owned(),
            manifest_hash,
            rows: set.report.rows,
            created_at_us: self.engine.wall(),
            report_json: report.to_string(),
        })?;
        Ok(Finished { report, path })
    }

    /// The sequence before which each source's rows count, which is what a training set's version stands on.
    pub(super) fn watermarks(&self, checked: &CheckedManifest, until: u64) -> BTreeMap<String, u64> {
        checked.manifest.sources.iter().map(|source| (source.name.clone(), until)).collect()
    }

    fn recorded(&self, id: &str) -> Result<TrainingSetRecord, ServerError> {
        self.engine.metadata().training_set(id)?.ok_or_else(|| {
            ServerError::NotFound(format!("there is no training set `{id}`: list them with `thalweg training-sets`"))
        })
    }

    fn training_path(&self, id: &str) -> PathBuf {
        self.settings.data.join("training").join(format!("{id}.parquet"))
    }

    fn job(&self, id: &str) -> Result<Arc<Job>, ServerError> {
        let jobs = self.jobs.lock();
        jobs.get(id).cloned().ok_or_else(|| no_such_job(id))
    }
}

fn no_such_job(id: &str) -> ServerError {
    ServerError::NotFound(format!("there is no training set job `{id}`"))
}

/// The log sequences before which the rows of each source were in a set.
fn recorded_watermarks(recorded: &TrainingSetRecord) -> Result<BTreeMap<String, u64>, ServerError> {
    let unreadable = || ServerError::Internal(format!("the report of training set {} is not readable", recorded.id));
    let report: Value = serde_json::from_str(&recorded.report_json).map_err(|_| unreadable())?;
    let sources = report["sources"].as_object().ok_or_else(unreadable)?;
    let one = |(name, source): (&String, &Value)| Some((name.clone(), source["sequence"].as_u64()?));
    sources.iter().map(one).collect::<Option<_>>().ok_or_else(unreadable)
}

/// The features of a service, in its order.
pub(super) fn service_features(checked: &CheckedManifest, service: &str) -> Result<Vec<String>, ServerError> {
    let found = checked.manifest.service(service);
    found.map(|service| service.features.clone()).ok_or_else(|| {
        let names: Vec<&str> = checked.manifest.services.iter().map(|service| service.name.as_str()).collect();
        ServerError::NotFound(format!("there is no service `{service}`; there are: {}", names.join(", ")))
    })
}
