//! What outlives a process: the disk, the metadata, the clock, and the definitions that were ever applied.

use crate::definitions::Version;
use crate::expressions::Small;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use thalweg_engine::{Clock, Components, Engine, EngineError, EngineSettings, InForce, ManualClock, Recovered};
use thalweg_store::{FaultyDisk, Metadata};

/// 2024-01-01T00:00:00Z: when every run begins.
pub(crate) const NEW_YEAR: i64 = 1_704_067_200_000_000;
const DIRECTORY: &str = "/data";
const LOG: &str = "/data/log";
/// A segment of the log begins with so many bytes, and each of its records with so many.
const SEGMENT_HEADER: usize = 16;
const RECORD_HEADER: usize = 24;

pub(crate) struct Machine {
    pub(crate) disk: Arc<FaultyDisk>,
    pub(crate) metadata: Arc<Metadata>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) settings: EngineSettings,
    /// By the number that stands as a hash in the metadata.
    pub(crate) versions: Vec<Arc<Version>>,
    /// What one operation of the disk takes.
    latency: Arc<AtomicI64>,
}

impl Machine {
    pub(crate) fn new(settings: EngineSettings) -> Result<Self, String> {
        let disk = Arc::new(FaultyDisk::new());
        let gate = disk.clone();
        // One power for both: what the database would make durable is lost with it as well.
        let metadata = Metadata::in_memory_gated(move || gate.spend_change()).map_err(|error| error.to_string())?;
        let clock = ManualClock::at(NEW_YEAR);
        let latency = Arc::new(AtomicI64::new(0));
        let (moved, by) = (clock.clone(), latency.clone());
        disk.set_latency(Some(Arc::new(move || moved.set(moved.now() + by.load(Ordering::Relaxed)))));
        Ok(Self { disk, metadata: Arc::new(metadata), clock, settings, versions: Vec::new(), latency })
    }

    /// Opens an engine with the manifest that the metadata has.
    pub(crate) fn open(&self) -> Result<(Engine, Recovered), EngineError> {
        let components = Components {
            disk: self.disk.clone(),
            directory: DIRECTORY.into(),
            metadata: self.metadata.clone(),
            clock: self.clock.clone(),
            expressions: Arc::new(Small),
            middlewares: Vec::new(),
        };
        Engine::open(self.settings.clone(), components, self.in_force()?)
    }

    fn in_force(&self) -> Result<Option<InForce>, EngineError> {
        let Some(stored) = self.metadata.current_manifest()? else { return Ok(None) };
        let version = &self.versions[number_of(&stored.hash)];
        Ok(Some(InForce {
            version: stored.version,
            hash: stored.hash,
            checked: version.checked.clone(),
            state_keys: version.state_keys.clone(),
        }))
    }

    /// The number of the definitions in force; none before the first.
    pub(crate) fn current(&self) -> Result<Option<usize>, EngineError> {
        Ok(self.metadata.current_manifest()?.map(|stored| number_of(&stored.hash)))
    }

    pub(crate) fn set_latency(&self, micros: i64) {
        self.latency.store(micros, Ordering::Relaxed);
    }

    pub(crate) fn pass(&self, micros: i64) {
        self.clock.set(self.clock.now() + micros);
    }

    /// Places where a decayed byte cannot be taken for the end of a write that nobody was told about: all but what
    /// stands behind the beginning of the last acknowledged record in the newest segment of the log.
    pub(crate) fn may_decay(&self, last_record: Option<u64>) -> Vec<(std::path::PathBuf, u64)> {
        let files = self.disk.files();
        let newest = files.keys().rfind(|path| path.starts_with(LOG)).cloned();
        let end = |path: &Path, bytes: &[u8]| {
            if Some(path) == newest.as_deref() { start_of(bytes, last_record) } else { bytes.len() }
        };
        files.iter().map(|(path, bytes)| (path.clone(), end(path, bytes) as u64)).filter(|(_, end)| *end > 0).collect()
    }
}

fn number_of(hash: &str) -> usize {
    hash.parse().expect("the simulation's own numbers")
}

/// Where the record with this first sequence begins; none of it may decay where it is not there.
fn start_of(segment: &[u8], sequence: Option<u64>) -> usize {
    let mut at = SEGMENT_HEADER;
    while let Some(header) = segment.get(at..at + RECORD_HEADER) {
        let number = |from: usize, to: usize| {
            header[from..to].iter().rev().fold(0u64, |number, byte| (number << 8) | u64::from(*byte))
        };
        if Some(number(8, 16)) == sequence {
            return at;
        }
        at += RECORD_HEADER + number(0, 4) as usize;
    }
    0
}
