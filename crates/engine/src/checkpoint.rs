//! Checkpoints of the online state, and keeping it inside its bounds.
//!
//! A checkpoint stores every entity that changed since the last one, one at a time, while pushes and reads go on.
//! Entities stored late hold rows past the checkpoint's log position; each knows which rows it has taken, so the
//! replay from that position skips them.

use crate::batch::{Ack, LoggedBatch};
use crate::changes::KeyedRow;
use crate::dedup::Seen;
use crate::engine::{Engine, Remembered, Sequencer};
use crate::error::EngineError;
use crate::ledger::Ledger;
use crate::runtime::Runtime;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Spaces of the state store that belong to no view.
pub(crate) const DEDUP_SPACE: u32 = u32::MAX;
pub(crate) const CHANGES_SPACE: u32 = u32::MAX - 1;
pub(crate) const IDEMPOTENCY_SPACE: u32 = u32::MAX - 2;
/// By the space of a view: up to which event time it has let rows go.
pub(crate) const FORGOTTEN_SPACE: u32 = u32::MAX - 3;

/// A store this many times larger than what was last written whole is written anew.
const REWRITE_FACTOR: u64 = 3;
const REWRITE_FLOOR_BYTES: u64 = 256 << 20;
/// Rows of the dedup index in one record.
const DEDUP_RECORD: usize = 65_536;

/// What a checkpoint says of itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct CheckpointHeader {
    /// The first log sequence that is not in it.
    pub position: u64,
    /// The newest event or arrival time applied.
    pub newest: i64,
    /// The newest arrival time that the engine has given.
    pub given: i64,
    pub ledgers: BTreeMap<String, Ledger>,
    /// The spaces of the views whose state is whole in it.
    pub filled: Vec<u32>,
}

/// What a checkpoint did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CheckpointOutcome {
    pub id: u64,
    /// The first log sequence that a restart from it replays.
    pub position: u64,
    pub entities: u64,
    pub bytes: u64,
}

/// What has to be written besides entities.
#[derive(Default)]
struct Extras {
    dedup: Vec<(String, Vec<Seen>)>,
    changes: Vec<(String, Vec<KeyedRow>)>,
    acks: Vec<(String, Ack)>,
}

impl Engine {
    /// Writes a checkpoint. Pushes and reads go on meanwhile.
    pub fn checkpoint(&self) -> Result<CheckpointOutcome, EngineError> {
        self.checkpoint_with(&[], &mut || ())
    }

    /// As [`Engine::checkpoint`]; `between` is called between two entities, while no lock is held but the checkpoint's
    /// own: a simulation lets pushes, commits and reads go on there.
    pub fn checkpoint_stepping(&self, between: &mut dyn FnMut()) -> Result<CheckpointOutcome, EngineError> {
        self.checkpoint_with(&[], between)
    }

    /// Writes a checkpoint in which the views of some more spaces count as filled.
    pub(crate) fn checkpoint_with(
        &self,
        filled: &[u32],
        between: &mut dyn FnMut(),
    ) -> Result<CheckpointOutcome, EngineError> {
        if self.has_failed() {
            return Err(EngineError::Unavailable(
                "after a failed write nothing more is made durable: restart to recover".to_owned(),
            ));
        }
        let mut memory = self.checkpointing.lock();
        let total = self.store.total_bytes();
        let rewrite = total > REWRITE_FLOOR_BYTES && total > memory.bytes_written * REWRITE_FACTOR;
        if rewrite {
            self.store.begin_rewrite()?;
        }
        let (mut header, extras) = self.snapshot(rewrite)?;
        header.filled.extend(filled);
        let written = self.write_checkpoint(&header, &extras, rewrite, between);
        if written.is_err() {
            // The next one has to write what this one did not.
            self.put_back(extras);
        } else {
            if rewrite {
                memory.bytes_written = self.store.total_bytes().saturating_sub(total);
            }
            memory.previous = memory.position;
            memory.position = header.position;
        }
        written
    }

    fn write_checkpoint(
        &self,
        header: &CheckpointHeader,
        extras: &Extras,
        rewrite: bool,
        between: &mut dyn FnMut(),
    ) -> Result<CheckpointOutcome, EngineError> {
        let runtime = self.runtime.read().clone();
        let mut outcome = CheckpointOutcome { position: header.position, ..CheckpointOutcome::default() };
        for view in runtime.iter().flat_map(|runtime| runtime.views.values()) {
            let flushed = view.state.flush(&self.store, rewrite, between)?;
            outcome.entities += flushed.entities;
            outcome.bytes += flushed.bytes;
            // After its entities: one that goes meanwhile is no less forgotten for being stored.
            let (space, forgotten) = (view.state.space.to_be_bytes(), view.state.forgotten().to_le_bytes());
            self.store.put(FORGOTTEN_SPACE, &space, &forgotten)?;
        }
        self.write_extras(extras, header.position)?;
        let header = postcard::to_allocvec(header).expect("plain data");
        outcome.id = if rewrite { self.store.commit_rewrite(&header)? } else { self.store.commit(&header)? };
        Ok(outcome)
    }

    /// The position, and what is remembered up to it; only this part holds the pushes up. What a push in the queue
    /// led to is not durable and stays for the next checkpoint.
    fn snapshot(&self, all: bool) -> Result<(CheckpointHeader, Extras), EngineError> {
        let mut committer = self.committer.lock();
        self.list_quarantined(&mut committer)?;
        let runtime = self.runtime.read().clone();
        let ready = runtime.iter().flat_map(|runtime| runtime.views.values()).filter(|view| view.state.is_ready());
        let header = CheckpointHeader {
            position: self.applied_until.load(Ordering::Acquire),
            newest: committer.newest,
            given: self.timeline.given(),
            ledgers: committer.ledgers.iter().map(|(name, ledger)| (name.clone(), ledger.clone())).collect(),
            filled: ready.map(|view| view.state.space).collect(),
        };
        let mut sequencer = self.sequencer.lock();
        let Sequencer { queue, sources, idempotency, .. } = &mut *sequencer;
        let mut extras = Extras::default();
        for (name, memory) in sources {
            let waiting = || queue.iter().map(|pending| &pending.traces).filter(|traces| traces.source == *name);
            let in_queue: HashSet<Seen> = waiting().flat_map(|traces| &traces.seen).copied().collect();
            let fresh = memory.dedup.take_fresh();
            let (later, mut seen): (Vec<Seen>, Vec<Seen>) = fresh.into_iter().partition(|seen| in_queue.contains(seen));
            if all {
                seen = memory.dedup.all().filter(|seen| !in_queue.contains(seen)).collect();
            }
            memory.dedup.put_back_fresh(later);
            if !seen.is_empty() {
                extras.dedup.push((name.clone(), seen));
            }
            // The rows as they were before the first push of the queue that changes them.
            let mut durable = HashMap::new();
            for undo in waiting().flat_map(|traces| &traces.changes) {
                durable.entry(undo.key()).or_insert_with(|| undo.previous());
            }
            let rows = memory.changes.take(all, &durable);
            if !rows.is_empty() {
                extras.changes.push((name.clone(), rows));
            }
        }
        let fresh = std::mem::take(&mut idempotency.fresh);
        let keys: Vec<String> = if all { idempotency.order.iter().cloned().collect() } else { fresh };
        for key in keys {
            if let Some(Remembered::Done(ack)) = idempotency.known.get(&key) {
                extras.acks.push((key, ack.clone()));
            }
        }
        Ok((header, extras))
    }

    fn put_back(&self, extras: Extras) {
        let mut sequencer = self.sequencer.lock();
        for (source, seen) in extras.dedup {
            sequencer.sources.entry(source).or_default().dedup.put_back_fresh(seen);
        }
        for (source, rows) in extras.changes {
            let memory = sequencer.sources.entry(source).or_default();
            memory.changes.touch(rows.into_iter().map(|(key, _)| key));
        }
        sequencer.idempotency.fresh.extend(extras.acks.into_iter().map(|(key, _)| key));
    }

    fn write_extras(&self, extras: &Extras, position: u64) -> Result<(), EngineError> {
        for (source, seen) in &extras.dedup {
            for (part, seen) in seen.chunks(DEDUP_RECORD).enumerate() {
                let key = [source.as_bytes(), b"\0", &position.to_be_bytes(), &(part as u32).to_be_bytes()].concat();
                self.store.put(DEDUP_SPACE, &key, &postcard::to_allocvec(seen).expect("plain data"))?;
            }
        }
        for (source, rows) in &extras.changes {
            for (key, row) in rows {
                let key = [source.as_bytes(), b"\0", key].concat();
                match row {
                    Some(row) => {
                        let bytes = postcard::to_allocvec(row).expect("plain data");
                        self.store.put(CHANGES_SPACE, &key, &bytes)?;
                    }
                    None => self.store.delete(CHANGES_SPACE, &key)?,
                }
            }
        }
        for (key, ack) in &extras.acks {
            let bytes = postcard::to_allocvec(ack).expect("plain data");
            self.store.put(IDEMPOTENCY_SPACE, key.as_bytes(), &bytes)?;
        }
        Ok(())
    }

    /// Removes what is past retention, and keeps memory inside its budget.
    pub fn tidy(&self) -> Result<(), EngineError> {
        let runtime = {
            // Read under the lock, so that nothing is forgotten of a source that was declared meanwhile.
            let mut sequencer = self.sequencer.lock();
            let Some(runtime) = self.runtime.read().clone() else { return Ok(()) };
            sequencer.sweep(&runtime);
            runtime
        };
        let now = self.timeline.settled();
        for view in runtime.views.values() {
            view.state.expire(&self.store, &view.plan, now)?;
        }
        self.keep_memory(&runtime)
    }

    fn keep_memory(&self, runtime: &Arc<Runtime>) -> Result<(), EngineError> {
        let budget = self.settings.memory_bytes;
        for hard in [false, true] {
            let used: Vec<u64> = runtime.views.values().map(|view| view.state.memory()).collect();
            let mut over = used.iter().sum::<u64>().saturating_sub(budget);
            if over == 0 {
                return Ok(());
            }
            // A little more than needed, so that not every pass has to look again.
            over += budget / 16;
            for (view, used) in runtime.views.values().zip(used) {
                if used > 0 && over > 0 {
                    over = over.saturating_sub(view.state.chill(&self.store, over.min(used), hard)?);
                }
            }
        }
        Ok(())
    }

    /// Memory that entities take, about.
    pub fn state_memory(&self) -> u64 {
        let runtime = self.runtime.read().clone();
        runtime.iter().flat_map(|runtime| runtime.views.values()).map(|view| view.state.memory()).sum()
    }

    /// Removes log segments that neither a checkpoint nor history needs any more (`history` is the first sequence
    /// that is not in history yet), as far as the log is larger than `keep_bytes` or was accepted before
    /// `keep_since`. Returns the bytes freed.
    pub fn truncate_log(&self, history: u64, keep_bytes: u64, keep_since: i64) -> Result<u64, EngineError> {
        let passed = self.checkpointing.lock().previous.min(history);
        let mut committer = self.committer.lock();
        let mut bytes = committer.log.bytes();
        let mut cut = 0;
        for pair in committer.log.segments().windows(2) {
            let (segment, next) = (&pair[0], &pair[1]);
            let unwanted = bytes > keep_bytes || self.accepted_at(segment.first_sequence)? < keep_since;
            if next.first_sequence > passed || !unwanted {
                break;
            }
            bytes -= segment.bytes;
            cut = next.first_sequence;
        }
        Ok(if cut > 0 { committer.log.truncate_before(cut)? } else { 0 })
    }

    /// When the record at a sequence was accepted, by the machine's clock.
    fn accepted_at(&self, sequence: u64) -> Result<i64, EngineError> {
        match self.log_from(sequence).next() {
            Some(record) => Ok(LoggedBatch::decode(&record?.payload)?.header.accepted_at),
            None => Ok(i64::MAX),
        }
    }

    /// Bytes of the log on disk.
    pub fn log_bytes(&self) -> u64 {
        self.committer.lock().log.bytes()
    }
}
