//! One running Thalweg: the engine, the lake, and the tasks that keep them going. The doors reach it
//! through a [`Session`](crate::Session), the Python module directly.
//!
//! ```text
//! pushes ─▶ engine ─▶ committer (one fsync for many)
//!             ├─▶ history writer (log ─▶ Delta tables)      ─▶ training sets, the check
//!             ├─▶ checkpointer (state, retention, memory)
//! reads  ─▶ engine ─▶ serving log (sampled answers)
//! ```

mod check;
mod definitions;
pub(crate) mod direct;
mod fetch;
mod history;
mod served;
mod status;
mod tasks;
mod training;

use crate::access::Access;
use crate::error::ServerError;
use crate::settings::{Clock as ClockSetting, Settings};
use crate::telemetry::Telemetry;
use direct::DirectWrites;
use fetch::RequestTimeSource;
use history::HistoryProgress;
use parking_lot::Mutex;
use served::ServedLog;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use thalweg_engine::{
    Ack, ClockMode, Components, Engine, EngineSettings, FeatureRequest, FeatureResponse, Middleware, PushRequest,
    SystemClock,
};
use thalweg_lake::{History, SqlExpressions};
use thalweg_store::{Disk, Metadata, RealDisk};
use training::Job;

pub use check::{CheckOptions, CheckReport, Mismatch};
pub use definitions::PlanOutcome;
pub use direct::{DirectAck, DirectAnswer, DirectDescriptor, DirectKey, DirectOperation, DirectValue, DirectWrite};
pub use fetch::FetchCounts;
pub use training::{JobStatus, Spine, TrainingSetRequest};

/// Threads for what the lake cannot do without blocking: files, mostly.
const LAKE_THREADS: usize = 32;

pub struct Instance {
    settings: Settings,
    engine: Engine,
    history: History,
    expressions: Arc<SqlExpressions>,
    /// Runs what the lake does asynchronously.
    tokio: tokio::runtime::Runtime,
    progress: HistoryProgress,
    served: ServedLog,
    access: Access,
    telemetry: Telemetry,
    direct: DirectWrites,
    fetches: Arc<RequestTimeSource>,
    jobs: Mutex<HashMap<String, Arc<Job>>>,
    /// One manifest is applied at a time.
    applying: Mutex<()>,
    stopping: AtomicBool,
    closed: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held for as long as the instance lives, so that no second one opens the same directory.
    _lock: std::fs::File,
}

impl Instance {
    /// Opens the data directory, recovers what was acknowledged, and starts the background tasks.
    pub fn open(settings: Settings) -> Result<Arc<Self>, ServerError> {
        Self::open_with(settings, Vec::new())
    }

    /// Opens it with middlewares, which take part in every push and read that concerns them, whichever door it comes
    /// through.
    pub fn open_with(settings: Settings, mut middlewares: Vec<Arc<dyn Middleware>>) -> Result<Arc<Self>, ServerError> {
        let data = std::path::absolute(&settings.data)
            .map_err(|error| ServerError::Invalid(format!("data directory: {error}")))?;
        let settings = Settings { data, ..settings };
        RealDisk
            .create_dir_all(&settings.data)
            .map_err(|error| ServerError::Invalid(format!("{}: {error}", settings.data.display())))?;
        let lock = lock_directory(&settings)?;
        let expressions = Arc::new(SqlExpressions::new());
        let metadata = Arc::new(Metadata::open(&settings.data.join("metadata.sqlite"))?);
        let in_force = definitions::in_force(&metadata, &expressions)?;
        let fetches = RequestTimeSource::new();
        middlewares.push(fetches.clone());
        let components = Components {
            disk: Arc::new(RealDisk),
            directory: settings.data.clone(),
            metadata,
            clock: Arc::new(SystemClock),
            expressions: expressions.clone(),
            middlewares,
        };
        let (engine, recovered) = Engine::open(engine_settings(&settings), components, in_force)?;
        for warning in &recovered.warnings {
            tracing::warn!("{warning}");
        }
        tracing::info!(
            checkpoint = recovered.checkpoint,
            replayed = recovered.replayed,
            entities = recovered.entities,
            cut_bytes = recovered.cut_bytes,
            "recovered"
        );
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(settings.workers)
            .max_blocking_threads(LAKE_THREADS)
            .thread_name("thalweg-lake")
            .enable_all()
            .build()
            .map_err(|error| ServerError::Internal(format!("no async runtime: {error}")))?;
        let root = settings.history.clone().unwrap_or_else(|| settings.data.join("history").display().to_string());
        let options = settings.history_options.clone().into_iter().collect();
        let history = History::open(&root, options)?;
        let access = Access::open(&settings, engine.metadata().clone())?;
        let instance = Arc::new(Self {
            served: ServedLog::new(settings.data.join("served")),
            settings,
            engine,
            history,
            expressions,
            tokio,
            progress: HistoryProgress::default(),
            access,
            telemetry: Telemetry::default(),
            direct: DirectWrites::default(),
            fetches,
            jobs: Mutex::default(),
            applying: Mutex::default(),
            stopping: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            threads: Mutex::default(),
            _lock: lock,
        });
        instance.fetches.attach(&instance);
        instance.start_tasks();
        instance.build_views(recovered.to_build, recovered.build_until)?;
        Ok(instance)
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes a push; returns when its rows are durable and visible. Blocks.
    pub fn push(&self, request: PushRequest<'_>) -> Result<Ack, ServerError> {
        self.push_queued(request, || ())
    }

    /// As `push`; `queued` is called as soon as the rows have their places in the log. Blocks.
    pub fn push_queued(&self, request: PushRequest<'_>, queued: impl FnOnce()) -> Result<Ack, ServerError> {
        // The committer is woken by the queue.
        let ticket = self.engine.submit(request)?;
        queued();
        Ok(ticket.wait()?)
    }

    /// Pushes the quarantined rows of a source again. Blocks.
    pub fn replay_quarantine(&self, source: &str) -> Result<Ack, ServerError> {
        Ok(self.engine.replay_quarantine(source)?)
    }

    /// Answers a read, and records it where the service says so, as it was before middlewares shape it. May block
    /// where [`Runtime::may_block`](thalweg_engine::Runtime::may_block) says so.
    pub fn read(&self, request: FeatureRequest) -> Result<FeatureResponse, ServerError> {
        let mut response = self.engine.read_features(request)?;
        let sample = self.settings.serve_log.unwrap_or(response.log_sample);
        self.served.record(&response, sample);
        self.engine.finish_read(&mut response)?;
        Ok(response)
    }

    /// What became of the values that reads had to fetch.
    pub fn fetch_counts(&self) -> FetchCounts {
        self.fetches.counts()
    }

    /// Whether reads can be answered; otherwise why not.
    pub fn ready(&self) -> Result<(), String> {
        if self.stopping.load(Ordering::Acquire) {
            return Err("it is shutting down".to_owned());
        }
        if self.engine.has_failed() {
            return Err("writing has stopped after a failed write: restart to recover".to_owned());
        }
        let Ok(runtime) = self.engine.runtime() else { return Ok(()) };
        let mut building: Vec<&str> = runtime
            .views
            .values()
            .filter(|view| !view.state.is_ready())
            .map(|view| view.definition.name.as_str())
            .collect();
        building.sort_unstable();
        if building.is_empty() {
            Ok(())
        } else {
            Err(format!("views are being filled from history: {}", building.join(", ")))
        }
    }

    /// Brings everything acknowledged into history, and writes a checkpoint. Blocks.
    pub fn flush(&self) -> Result<(), ServerError> {
        self.served.flush()?;
        self.write_history()?;
        self.checkpoint()
    }

    /// Stops the tasks, and leaves everything durable. Calling it again does nothing.
    pub fn close(&self) {
        if self.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        // Flights still need the committer.
        self.fetches.stop();
        // And so does what middlewares do after writes, where they push.
        self.engine.commit_pending();
        self.direct.tell_late();
        self.stopping.store(true, Ordering::Release);
        for job in self.jobs.lock().values() {
            job.cancel();
        }
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A task that holds the last reference closes the instance from its own thread.
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a background task had panicked");
            }
        }
        self.engine.commit_pending();
        if let Err(error) = self.flush() {
            tracing::error!("the last flush failed, the log has everything: {error}");
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Runs what is asynchronous from a thread that may block.
    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.tokio.block_on(work)
    }
}

fn engine_settings(settings: &Settings) -> EngineSettings {
    EngineSettings {
        clock: match settings.clock {
            ClockSetting::System => ClockMode::System,
            ClockSetting::Events => ClockMode::Events,
        },
        memory_bytes: settings.memory.bytes(),
        state_shards: settings.state_shards,
        log_segment_bytes: settings.log_segment.bytes(),
        state_segment_bytes: settings.state_segment.bytes(),
        queue_bytes: usize::try_from(settings.max_queue.bytes()).unwrap_or(usize::MAX),
    }
}

fn lock_directory(settings: &Settings) -> Result<std::fs::File, ServerError> {
    let path = settings.data.join("lock");
    let file =
        std::fs::File::create(&path).map_err(|error| ServerError::Invalid(format!("{}: {error}", path.display())))?;
    file.try_lock().map_err(|_| {
        ServerError::Unavailable(format!(
            "{} is in use by another thalweg process: stop that one, or name another directory with --data",
            settings.data.display()
        ))
    })?;
    Ok(file)
}
