//! The engine: one instance holds the log, the online state and the manifest in force, and turns pushes into
//! durable rows and reads into answers.

use crate::changes::ChangeIndex;
use crate::commit::{Pending, Ticket};
use crate::dedup::DedupIndex;
use crate::error::EngineError;
use crate::ledger::Ledger;
use crate::limits::{MAX_QUEUE_BYTES, SHARDS};
use crate::middleware::Middleware;
use crate::pipeline::Pipeline;
use crate::runtime::Runtime;
use crate::timeline::{Clock, ClockMode, Timeline};
use parking_lot::{Condvar, Mutex, RwLock};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use thalweg_aggregate::Expressions;
use thalweg_store::{Disk, Log, LogReader, Metadata, QuarantinedRow, StateStore};

/// How an engine is to live; values only.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    pub clock: ClockMode,
    /// Bytes that entities may take in memory; past it cold ones go to disk.
    pub memory_bytes: u64,
    pub log_segment_bytes: u64,
    pub state_segment_bytes: u64,
    /// Parts of each view's map of entities, each behind a lock of its own; at least 1. No value depends on it.
    pub state_shards: usize,
    /// Bytes of accepted but not yet durable batches; past it pushes are answered `Overloaded`.
    pub queue_bytes: usize,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            clock: ClockMode::System,
            memory_bytes: 1 << 30,
            log_segment_bytes: 64 << 20,
            state_segment_bytes: 64 << 20,
            state_shards: SHARDS,
            queue_bytes: MAX_QUEUE_BYTES,
        }
    }
}

/// What an engine is made of; passed in, so that a simulation can pass its own.
pub struct Components {
    pub disk: Arc<dyn Disk>,
    pub directory: PathBuf,
    pub metadata: Arc<Metadata>,
    pub clock: Arc<dyn Clock>,
    pub expressions: Arc<dyn Expressions>,
    /// Code that takes part in pushes and reads, in any order.
    pub middlewares: Vec<Arc<dyn Middleware>>,
}

pub struct Engine {
    pub(crate) settings: EngineSettings,
    pub(crate) expressions: Arc<dyn Expressions>,
    /// All that are registered; a runtime has those that concern each of its sources and services.
    pub(crate) middlewares: Pipeline,
    pub(crate) metadata: Arc<Metadata>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) log_directory: PathBuf,
    pub(crate) timeline: Timeline,
    pub(crate) store: StateStore,
    pub(crate) runtime: RwLock<Option<Arc<Runtime>>>,
    pub(crate) sequencer: Mutex<Sequencer>,
    /// Wakes the committer.
    pub(crate) submitted: Condvar,
    pub(crate) committer: Mutex<Committer>,
    /// First sequence that is not durable and applied yet.
    pub(crate) applied_until: AtomicU64,
    pub(crate) failed: AtomicBool,
    pub(crate) checkpointing: Mutex<CheckpointMemory>,
}

/// Accepts pushes one after the other: decides on duplicates, gives sequences and arrival times.
pub(crate) struct Sequencer {
    pub next_sequence: u64,
    pub queue: VecDeque<Pending>,
    /// Of what is in the queue, and of what is on its way from there to the disk.
    pub queue_bytes: usize,
    pub sources: BTreeMap<String, SourceMemory>,
    pub idempotency: Idempotency,
}

/// What is remembered of a source across manifests.
#[derive(Default)]
pub(crate) struct SourceMemory {
    pub dedup: DedupIndex,
    pub changes: ChangeIndex,
}

/// Owns the log.
pub(crate) struct Committer {
    pub log: Log,
    pub ledgers: HashMap<String, Ledger>,
    /// The newest event or arrival time applied.
    pub newest: i64,
    /// Rows set aside that the metadata could not take yet.
    pub unlisted: Vec<QuarantinedRow>,
}

/// Pushes by their idempotency keys, oldest first.
#[derive(Default)]
pub(crate) struct Idempotency {
    pub known: HashMap<String, Remembered>,
    pub order: VecDeque<String>,
    pub fresh: Vec<String>,
    /// Those whose acknowledgements list errors, and the bytes of these.
    pub listing: VecDeque<(String, usize)>,
    pub listed_bytes: usize,
}

pub(crate) enum Remembered {
    InFlight(Ticket),
    Done(crate::batch::Ack),
}

#[derive(Default)]
pub(crate) struct CheckpointMemory {
    /// Log positions of the two newest checkpoints: the log is kept from the older one.
    pub position: u64,
    pub previous: u64,
    pub bytes_written: u64,
}

impl Engine {
    /// The manifest in force.
    pub fn runtime(&self) -> Result<Arc<Runtime>, EngineError> {
        self.runtime.read().clone().ok_or_else(|| {
            EngineError::NotFound("nothing is defined yet: run `thalweg apply` in your project".to_owned())
        })
    }

    pub fn metadata(&self) -> &Arc<Metadata> {
        &self.metadata
    }

    pub fn expressions(&self) -> &Arc<dyn Expressions> {
        &self.expressions
    }

    /// The engine's clock, in microseconds.
    pub fn now(&self) -> i64 {
        self.timeline.now()
    }

    /// The machine's clock, in microseconds.
    pub fn wall(&self) -> i64 {
        self.timeline.wall()
    }

    pub fn clock_mode(&self) -> ClockMode {
        self.timeline.mode()
    }

    /// The first sequence that is not durable and visible yet.
    pub fn applied_until(&self) -> u64 {
        self.applied_until.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Whether a failed write has stopped the engine from taking more.
    pub fn has_failed(&self) -> bool {
        self.failed.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Reads the log from a sequence on, up to what is durable now.
    pub fn log_from(&self, sequence: u64) -> LogReader {
        LogReader::open(self.disk.clone(), &self.log_directory, sequence, self.applied_until())
    }

    /// What became of the rows of a source, since ever.
    pub fn ledger(&self, source: &str) -> Result<Ledger, EngineError> {
        self.source(source)?;
        Ok(self.committer.lock().ledgers.get(source).cloned().unwrap_or_default())
    }

    /// The first sequence that is not durable and visible yet, and the account of every source at that sequence.
    pub fn ledgers(&self) -> (u64, HashMap<String, Ledger>) {
        let committer = self.committer.lock();
        (self.applied_until(), committer.ledgers.clone())
    }

    pub(crate) fn source(&self, name: &str) -> Result<Arc<crate::runtime::SourceRuntime>, EngineError> {
        let runtime = self.runtime()?;
        runtime.sources.get(name).cloned().ok_or_else(|| {
            let mut names: Vec<&str> = runtime.sources.keys().map(String::as_str).collect();
            names.sort_unstable();
            EngineError::NotFound(format!("there is no source `{name}`; there are: {}", names.join(", ")))
        })
    }
}
