//! Starting: the newest good checkpoint, then the log from there on.

use crate::batch::{Ack, BATCH_RECORD, LoggedBatch};
use crate::changes::CurrentRow;
use crate::checkpoint::{CHANGES_SPACE, CheckpointHeader, DEDUP_SPACE, FORGOTTEN_SPACE, IDEMPOTENCY_SPACE};
use crate::commit::end_of;
use crate::dedup::Seen;
use crate::engine::{
    CheckpointMemory, Committer, Components, Engine, EngineSettings, Idempotency, Sequencer, SourceMemory,
};
use crate::error::EngineError;
use crate::pipeline::Pipeline;
use crate::runtime::{Runtime, StateOf};
use crate::timeline::{NOTHING, Timeline};
use crate::view::ViewState;
use parking_lot::{Condvar, Mutex, RwLock};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use thalweg_definition::CheckedManifest;
use thalweg_store::{Log, LogSettings, SegmentSettings, StateStore, StoreError, ViewStatus};

/// What starting has found.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// The checkpoint it started from.
    pub checkpoint: Option<u64>,
    /// Log records replayed after it.
    pub replayed: u64,
    pub entities: u64,
    /// Bytes of a torn tail that were cut off the log.
    pub cut_bytes: u64,
    pub warnings: Vec<String>,
    /// Views whose state has to be filled from history.
    pub to_build: Vec<String>,
    /// History gives those views what came before this sequence; the rest came from the log.
    pub build_until: u64,
}

/// The manifest that was in force, checked again.
pub struct InForce {
    pub version: u64,
    pub hash: String,
    pub checked: CheckedManifest,
    /// State keys of its views, by name.
    pub state_keys: HashMap<String, String>,
}

impl Engine {
    /// Opens an engine on its directory: `log/` and `state/` inside it.
    pub fn open(
        settings: EngineSettings,
        components: Components,
        in_force: Option<InForce>,
    ) -> Result<(Self, Recovered), EngineError> {
        let disk = components.disk;
        let segments = SegmentSettings { segment_bytes: settings.state_segment_bytes };
        let (store, loaded) = StateStore::open(disk.clone(), &components.directory.join("state"), segments)?;
        let mut recovered = Recovered { warnings: loaded.warnings, ..Recovered::default() };
        let header = match &loaded.checkpoint {
            Some(checkpoint) => {
                recovered.checkpoint = Some(checkpoint.id);
                postcard::from_bytes(&checkpoint.header)
                    .map_err(|error| EngineError::Storage(format!("checkpoint {}: {error}", checkpoint.id)))?
            }
            None => CheckpointHeader { position: 1, newest: NOTHING, given: NOTHING, ..CheckpointHeader::default() },
        };
        let log_directory = components.directory.join("log");
        let log_settings = LogSettings { segment_bytes: settings.log_segment_bytes };
        let (log, recovery) = Log::open(disk.clone(), &log_directory, log_settings, header.position)?;
        recovered.cut_bytes = recovery.cut_bytes;
        recovered.build_until = header.position.max(recovery.first_sequence);
        let timeline = Timeline::new(components.clock, settings.clock);
        timeline.resume(header.newest, header.given);
        let engine = Self {
            timeline,
            store,
            metadata: components.metadata,
            expressions: components.expressions,
            middlewares: Pipeline::new(components.middlewares),
            disk,
            log_directory,
            runtime: RwLock::new(None),
            sequencer: Mutex::new(Sequencer {
                next_sequence: recovery.next_sequence,
                queue: VecDeque::new(),
                queue_bytes: 0,
                sources: BTreeMap::new(),
                idempotency: Idempotency::default(),
            }),
            submitted: Condvar::new(),
            committer: Mutex::new(Committer {
                log,
                ledgers: header.ledgers.clone().into_iter().collect(),
                newest: header.newest,
                unlisted: Vec::new(),
            }),
            applied_until: AtomicU64::new(header.position),
            failed: AtomicBool::new(false),
            checkpointing: Mutex::new(CheckpointMemory {
                position: header.position,
                // Until the next checkpoint the one before this one may still be needed, and the log from there.
                previous: 0,
                bytes_written: 0,
            }),
            settings,
        };
        if let Some(in_force) = in_force {
            engine.resume(in_force, &header, recovery.first_sequence, &mut recovered)?;
        }
        Ok((engine, recovered))
    }

    fn resume(
        &self,
        in_force: InForce,
        header: &CheckpointHeader,
        log_begins: u64,
        recovered: &mut Recovered,
    ) -> Result<(), EngineError> {
        // Between what the checkpoint has and what the log has left there may be a gap: without a checkpoint, or with
        // an older one than the log was cut for.
        let lost = log_begins > header.position;
        let mut states: HashMap<String, StateOf> = HashMap::new();
        for record in self.metadata.views()? {
            let whole = recovered.checkpoint.is_none() || header.filled.contains(&record.space);
            let ready = record.status == ViewStatus::Ready && whole && !lost;
            if !ready {
                recovered.to_build.push(record.name.clone());
                self.metadata.view_building(record.space)?;
            }
            states.insert(
                record.name,
                (record.state_key, Arc::new(ViewState::new(record.space, ready, self.settings.state_shards))),
            );
        }
        if lost {
            recovered.warnings.push(
                "no checkpoint reaches the log: the state of every view is filled again from history; the account of \
                    rows and what was remembered of duplicates, idempotency keys and current rows begin anew"
                    .to_owned(),
            );
        }
        let checked = Arc::new(in_force.checked);
        let (version, hash) = (in_force.version, in_force.hash);
        let runtime = Runtime::new(version, hash, checked, &states, &*self.expressions, &self.middlewares)?;
        let runtime = Arc::new(runtime);
        *self.runtime.write() = Some(runtime.clone());
        if recovered.checkpoint.is_some() {
            self.load_checkpoint(&runtime, recovered)?;
        }
        self.replay(header.position, recovered)?;
        self.sequencer.lock().sweep(&runtime);
        Ok(())
    }

    fn load_checkpoint(&self, runtime: &Runtime, recovered: &mut Recovered) -> Result<(), EngineError> {
        let by_space: HashMap<u32, _> = runtime
            .views
            .values()
            .filter(|view| view.state.is_ready())
            .map(|view| (view.state.space, view.clone()))
            .collect();
        let mut sequencer = self.sequencer.lock();
        let mut memory = 0u64;
        let mut bad: Option<String> = None;
        let mut forgotten: HashMap<u32, i64> = HashMap::new();
        self.store.load(&mut |space, key, value, location, put| {
            let restored = match (space, put) {
                (DEDUP_SPACE | CHANGES_SPACE | IDEMPOTENCY_SPACE, _) => sequencer.restore(space, key, value, put),
                (FORGOTTEN_SPACE, _) => match (<[u8; 4]>::try_from(key), <[u8; 8]>::try_from(value)) {
                    (Ok(space), Ok(time)) => {
                        forgotten.insert(u32::from_be_bytes(space), i64::from_le_bytes(time));
                        Ok(())
                    }
                    _ => Err("a time up to which a view has forgotten does not decode".to_owned()),
                },
                (space, true) => match by_space.get(&space) {
                    Some(view) => {
                        memory += value.len() as u64 + 256;
                        let hot = memory < self.settings.memory_bytes;
                        view.state.restore(&view.plan, key, value, location, hot)
                    }
                    None => Ok(()),
                },
                (space, false) => {
                    if let Some(view) = by_space.get(&space) {
                        view.state.remove(key);
                    }
                    Ok(())
                }
            };
            if let Err(why) = restored {
                bad.get_or_insert(why);
            }
            Ok::<(), StoreError>(())
        })?;
        if let Some(why) = bad {
            return Err(EngineError::Storage(format!("the checkpoint does not load: {why}")));
        }
        for view in by_space.values() {
            recovered.entities += view.state.entities() as u64;
            match (forgotten.get(&view.state.space), view.plan.retention) {
                (Some(time), _) => view.state.forget(*time),
                // A checkpoint that does not say so, of an earlier version: as much as it may be.
                (None, Some(retention)) => view.state.forget(self.now().saturating_sub(retention).saturating_sub(1)),
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn replay(&self, position: u64, recovered: &mut Recovered) -> Result<(), EngineError> {
        let reader = self.committer.lock().log.reader(position);
        for record in reader {
            let record = record?;
            if record.kind != BATCH_RECORD {
                continue;
            }
            let batch = LoggedBatch::decode(&record.payload)?;
            self.replay_batch(record.first_sequence, &batch)?;
            recovered.replayed += 1;
        }
        Ok(())
    }

    fn replay_batch(&self, first: u64, batch: &LoggedBatch) -> Result<(), EngineError> {
        let newest = match self.apply_batch(first, batch) {
            Ok(newest) => newest,
            // The source was taken out of the manifest after these rows: nobody reads them.
            Err(EngineError::NotFound(_)) => crate::apply::Newest::default(),
            Err(error) => return Err(error),
        };
        let mut committer = self.committer.lock();
        committer.ledgers.entry(batch.header.ack.source.clone()).or_default().add(&batch.header.ack, newest.event);
        committer.newest = committer.newest.max(newest.any.unwrap_or(i64::MIN));
        self.timeline.resume(newest.any.unwrap_or(i64::MIN), batch.given_arrival());
        self.keep_quarantined(&mut committer, first, batch);
        drop(committer);
        self.remember_batch(first, batch)?;
        self.applied_until.store(end_of(first, batch), std::sync::atomic::Ordering::Release);
        Ok(())
    }
}

impl Sequencer {
    fn restore(&mut self, space: u32, key: &[u8], value: &[u8], put: bool) -> Result<(), String> {
        let unreadable = |error: postcard::Error| format!("what was remembered does not decode: {error}");
        if space == IDEMPOTENCY_SPACE {
            if put {
                let ack: Ack = postcard::from_bytes(value).map_err(unreadable)?;
                self.remember(String::from_utf8_lossy(key).into_owned(), ack, false);
            }
            return Ok(());
        }
        let end = key.iter().position(|byte| *byte == 0).ok_or("a key without a source")?;
        let source = String::from_utf8_lossy(&key[..end]).into_owned();
        let memory: &mut SourceMemory = self.sources.entry(source).or_default();
        if space == DEDUP_SPACE {
            let seen: Vec<Seen> = postcard::from_bytes(value).map_err(unreadable)?;
            seen.into_iter().for_each(|seen| memory.dedup.restore(seen));
            return Ok(());
        }
        let row: Option<CurrentRow> = if put { Some(postcard::from_bytes(value).map_err(unreadable)?) } else { None };
        memory.changes.restore(&key[end + 1..], row);
        Ok(())
    }
}
