//! Group commit: pushes wait in a queue; one fsync makes all of them durable; then their rows become visible and
//! their pushers are told.

use crate::apply::Newest;
use crate::batch::{Ack, BATCH_RECORD, LoggedBatch};
use crate::engine::{Committer, Engine, Idempotency, Remembered, Sequencer};
use crate::error::EngineError;
use crate::ingest::Traces;
use crate::limits::{
    MAX_IDEMPOTENCY_KEYS, MAX_REMEMBERED_ERROR_BYTES, MAX_UNLISTED_BYTES, QUARANTINED_ROW_BYTES, RETRY_AFTER_MS,
};
use crate::pipeline::Pipeline;
use crate::trace;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use thalweg_store::{QuarantinedRow, StoreError};
use tracing::Span;

/// A push on its way to the log.
pub(crate) struct Pending {
    pub batch: LoggedBatch,
    /// What it counts for in the bound of the queue.
    pub bytes: usize,
    pub traces: Traces,
    pub ticket: Ticket,
    /// Where the push was made; what the commit does for it is shown as part of that.
    pub span: Span,
}

/// Tells a pusher what became of the push. Whoever waits for it also runs what middlewares do after it.
#[must_use = "what middlewares do after a push is done by who waits for it"]
#[derive(Clone, Default)]
pub struct Ticket {
    shared: Arc<Shared>,
    repeated: bool,
}

#[derive(Default)]
struct Shared {
    outcome: Mutex<Option<Result<Ack, EngineError>>>,
    settled: Condvar,
    /// The middlewares still to be told; the first who waits takes them.
    after: Mutex<Option<Pipeline>>,
}

impl Ticket {
    pub(crate) fn new(after: Pipeline) -> Self {
        let after = Mutex::new((!after.is_empty()).then_some(after));
        Self { shared: Arc::new(Shared { after, ..Shared::default() }), repeated: false }
    }

    pub(crate) fn done(outcome: Result<Ack, EngineError>) -> Self {
        let ticket = Self::default();
        ticket.settle(outcome);
        ticket
    }

    pub(crate) fn repeated(&self) -> Self {
        Self { shared: self.shared.clone(), repeated: true }
    }

    pub(crate) fn settle(&self, outcome: Result<Ack, EngineError>) {
        *self.shared.outcome.lock() = Some(outcome);
        self.shared.settled.notify_all();
    }

    pub fn is_done(&self) -> bool {
        self.shared.outcome.lock().is_some()
    }

    /// Blocks until the push is durable and visible, or has failed; then tells the middlewares of the source, once
    /// per push. They run here, on the pusher's thread, so that a slow one holds up nobody else's commit.
    pub fn wait(&self) -> Result<Ack, EngineError> {
        self.told(self.outcome())
    }

    /// As [`Ticket::wait`], for at most `patience`; none where it is not settled by then.
    pub fn wait_for(&self, patience: Duration) -> Option<Result<Ack, EngineError>> {
        let outcome = {
            let mut outcome = self.shared.outcome.lock();
            self.shared.settled.wait_while_for(&mut outcome, |outcome| outcome.is_none(), patience);
            outcome.clone()?
        };
        Some(self.told(outcome))
    }

    /// Whether the push has failed.
    pub fn has_failed(&self) -> bool {
        matches!(&*self.shared.outcome.lock(), Some(Err(_)))
    }

    /// Whether it is the ticket of an earlier push with the same idempotency key.
    pub fn is_repeated(&self) -> bool {
        self.repeated || matches!(&*self.shared.outcome.lock(), Some(Ok(ack)) if ack.repeated)
    }

    fn told(&self, outcome: Result<Ack, EngineError>) -> Result<Ack, EngineError> {
        let ack = outcome?;
        if self.repeated || ack.repeated {
            return Ok(Ack { repeated: true, ..ack });
        }
        let after = self.shared.after.lock().take();
        if let Some(after) = after {
            after.after_set(&ack);
        }
        Ok(ack)
    }

    fn outcome(&self) -> Result<Ack, EngineError> {
        let mut outcome = self.shared.outcome.lock();
        while outcome.is_none() {
            self.shared.settled.wait(&mut outcome);
        }
        outcome.clone().expect("just seen")
    }
}

impl Engine {
    /// Waits for pushes, at most for `patience`; true where there are some.
    pub fn wait_for_pushes(&self, patience: Duration) -> bool {
        let mut sequencer = self.sequencer.lock();
        if sequencer.queue.is_empty() {
            self.submitted.wait_for(&mut sequencer, patience);
        }
        !sequencer.queue.is_empty()
    }

    /// Makes everything in the queue durable and visible; returns how many pushes that were.
    pub fn commit_pending(&self) -> usize {
        let mut committer = self.committer.lock();
        let group: Vec<Pending> = {
            // They still count: until they are durable they are in memory, as much as what comes meanwhile.
            let mut sequencer = self.sequencer.lock();
            sequencer.queue.drain(..).collect()
        };
        if group.is_empty() {
            return 0;
        }
        let count = group.len();
        let mut durable: Vec<(u64, Pending)> = Vec::with_capacity(count);
        let mut pending = group.into_iter();
        let mut failure = None;
        let mut logging: Vec<Span> = Vec::new();
        for next in pending.by_ref() {
            logging.extend(trace::log(&next.span, &next.batch));
            match append(&mut committer, &next.batch) {
                Ok(first) => durable.push((first, next)),
                Err(error) => {
                    failure = Some((next, error));
                    break;
                }
            }
        }
        if let Some((refused, error)) = failure {
            let rest = std::iter::once(refused).chain(pending).collect();
            self.refuse(&committer, rest, &error);
        }
        if !durable.is_empty() {
            self.make_durable(&mut committer, durable, logging);
        }
        count
    }

    /// `logging` are the spans that end with the sync.
    fn make_durable(&self, committer: &mut Committer, durable: Vec<(u64, Pending)>, logging: Vec<Span>) {
        let synced = committer.log.sync();
        drop(logging);
        // Before anybody is told, so that whoever pushes on at once finds the room that there is.
        self.sequencer.lock().leave_queue(durable.iter().map(|(_, pending)| pending));
        if let Err(error) = synced {
            self.failed.store(true, Ordering::Release);
            let failure = EngineError::from(error);
            for (_, pending) in durable {
                // Nobody knows whether a restart brings it: until then no read stands behind it.
                pending.ticket.settle(Err(failure.clone()));
            }
            return;
        }
        for (first, pending) in durable {
            let outcome = if self.has_failed() {
                Err(stopped())
            } else {
                trace::apply(&pending.span, &pending.batch).in_scope(|| self.settle(committer, first, &pending.batch))
            };
            let outcome = outcome.map(|()| pending.batch.header.ack.clone());
            // What is not applied here is in the log and comes with a restart: until then no read stands behind it.
            if let Ok(ack) = &outcome {
                self.applied_until.store(end_of(first, &pending.batch), Ordering::Release);
                if let Some(key) = pending.traces.idempotency_key {
                    self.sequencer.lock().remember(key, ack.clone(), true);
                }
            }
            // The pusher's span ends with the pusher, not here.
            drop(pending.span);
            pending.ticket.settle(outcome);
        }
    }

    /// Makes a durable batch visible, and keeps the account of it. Where that fails the log has the batch, and a
    /// restart brings it; until then nothing more is taken.
    fn settle(&self, committer: &mut Committer, first: u64, batch: &LoggedBatch) -> Result<(), EngineError> {
        let newest = match self.apply_batch(first, batch) {
            Ok(newest) => newest,
            // The source was taken out of the manifest while these rows waited: nobody reads them.
            Err(EngineError::NotFound(_)) => Newest::default(),
            Err(error) => {
                tracing::error!("a durable batch cannot be applied: {error}");
                self.failed.store(true, Ordering::Release);
                return Err(error);
            }
        };
        self.timeline.end_write(newest.any);
        let ack = &batch.header.ack;
        committer.ledgers.entry(ack.source.clone()).or_default().add(ack, newest.event);
        committer.newest = committer.newest.max(newest.any.unwrap_or(i64::MIN));
        self.keep_quarantined(committer, first, batch);
        Ok(())
    }

    /// Lists the rows of a durable batch that were set aside.
    pub(crate) fn keep_quarantined(&self, committer: &mut Committer, first: u64, batch: &LoggedBatch) {
        let header = &batch.header;
        if header.quarantined.is_empty() {
            return;
        }
        let rows = header.quarantined.iter().map(|reject| QuarantinedRow {
            source: header.ack.source.clone(),
            position: first,
            row_index: reject.row.into(),
            reason: reject.reason.clone(),
            column: reject.column.clone(),
            raw: reject.raw.clone(),
            at_us: header.accepted_at,
        });
        committer.unlisted.extend(rows);
        if let Err(error) = self.list_quarantined(committer) {
            tracing::warn!("quarantined rows cannot be listed: {error}; it is tried again with the next checkpoint");
            let bytes: usize = committer.unlisted.iter().map(|row| row.raw.len() + QUARANTINED_ROW_BYTES).sum();
            if bytes > MAX_UNLISTED_BYTES {
                tracing::error!("more quarantined rows than memory takes cannot be listed: writing stops");
                self.failed.store(true, Ordering::Release);
            }
        }
    }

    /// Lists what could not be listed so far. The log has it; no checkpoint may pass it by before it is listed.
    pub(crate) fn list_quarantined(&self, committer: &mut Committer) -> Result<(), EngineError> {
        if !committer.unlisted.is_empty() {
            self.metadata.quarantine(&committer.unlisted)?;
            committer.unlisted.clear();
        }
        Ok(())
    }

    /// Takes back what the sequencer did for pushes that could not be written, and for all that came after them.
    fn refuse(&self, committer: &Committer, refused: Vec<Pending>, error: &StoreError) {
        let mut sequencer = self.sequencer.lock();
        let later: Vec<Pending> = sequencer.queue.drain(..).collect();
        if matches!(error, StoreError::Poisoned) {
            self.failed.store(true, Ordering::Release);
        }
        let all: Vec<Pending> = refused.into_iter().chain(later).collect();
        sequencer.leave_queue(all.iter());
        // Newest first, so that each step finds the memory as it left it. Only the oldest is to blame.
        for (place, pending) in all.into_iter().enumerate().rev() {
            sequencer.undo(pending.traces);
            self.timeline.abandon_newest_write();
            let blamed = place == 0 || !matches!(error, StoreError::TooLarge { .. });
            pending.ticket.settle(Err(if blamed { EngineError::from(error) } else { behind_refused() }));
        }
        sequencer.next_sequence = committer.log.next_sequence();
    }
}

fn stopped() -> EngineError {
    EngineError::Unavailable("writing has stopped after a failed write: restart to recover".to_owned())
}

pub(crate) fn behind_refused() -> EngineError {
    let what = "a push before this one could not be written, and took this one with it".to_owned();
    EngineError::Overloaded { what, retry_after_ms: RETRY_AFTER_MS }
}

fn append(committer: &mut Committer, batch: &LoggedBatch) -> Result<u64, StoreError> {
    let payload = batch.encode();
    committer.log.append(batch.rows.num_rows().max(1) as u32, BATCH_RECORD, &payload)
}

pub(crate) fn end_of(first: u64, batch: &LoggedBatch) -> u64 {
    first + batch.rows.num_rows().max(1) as u64
}

impl Sequencer {
    /// Pushes do not count in the bound of the queue any more.
    fn leave_queue<'a>(&mut self, gone: impl Iterator<Item = &'a Pending>) {
        self.queue_bytes -= gone.map(|pending| pending.bytes).sum::<usize>();
    }

    fn undo(&mut self, traces: Traces) {
        if let Some(memory) = self.sources.get_mut(&traces.source) {
            for seen in traces.seen {
                memory.dedup.forget(seen);
            }
            for undo in traces.changes.into_iter().rev() {
                memory.changes.undo(undo);
            }
        }
        if let Some(key) = traces.idempotency_key {
            self.idempotency.known.remove(&key);
        }
    }

    /// Remembers an acknowledged push by its key; `fresh` where no checkpoint has it yet.
    pub(crate) fn remember(&mut self, key: String, ack: Ack, fresh: bool) {
        let idempotency = &mut self.idempotency;
        if fresh {
            idempotency.fresh.push(key.clone());
        }
        let listed = ack.listed_bytes();
        if matches!(idempotency.known.insert(key.clone(), Remembered::Done(ack)), Some(Remembered::Done(_))) {
            return;
        }
        if listed > 0 {
            idempotency.listing.push_back((key.clone(), listed));
            idempotency.listed_bytes += listed;
        }
        idempotency.order.push_back(key);
        while idempotency.order.len() > MAX_IDEMPOTENCY_KEYS {
            if let Some(oldest) = idempotency.order.pop_front() {
                idempotency.known.remove(&oldest);
            }
        }
        idempotency.shorten(MAX_REMEMBERED_ERROR_BYTES);
    }
}

impl Idempotency {
    /// Forgets the errors that the oldest acknowledgements list, until all of them take at most so many bytes.
    fn shorten(&mut self, most: usize) {
        while self.listed_bytes > most
            && let Some((key, bytes)) = self.listing.pop_front()
        {
            self.listed_bytes -= bytes;
            if let Some(Remembered::Done(ack)) = self.known.get_mut(&key) {
                ack.errors = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::RowError;
    use std::collections::{BTreeMap, VecDeque};

    /// Each of a million remembered pushes kept up to a hundred errors, of any length, which is gigabytes.
    #[test]
    fn the_errors_of_remembered_pushes_are_bounded() {
        let mut sequencer = Sequencer {
            next_sequence: 1,
            queue: VecDeque::new(),
            queue_bytes: 0,
            sources: BTreeMap::new(),
            idempotency: Idempotency::default(),
        };
        let failing = || {
            let error = RowError { row: 3, column: None, reason: "x".repeat(MAX_REMEMBERED_ERROR_BYTES / 8) };
            Ack { read: 7, quarantined: 1, errors: vec![error], ..Ack::nothing("orders", 1) }
        };
        for push in 0..10 {
            sequencer.remember(format!("orders\0{push}"), failing(), false);
        }
        let told: Vec<Ack> = (0..10)
            .map(|push| sequencer.repeated(&format!("orders\0{push}")).expect("it is remembered").wait())
            .map(|ack| ack.expect("it was acknowledged"))
            .collect();
        assert!(told.iter().all(|ack| ack.repeated && (ack.read, ack.quarantined) == (7, 1)), "the counts stay");
        let listing: Vec<usize> = told.iter().map(|ack| ack.errors.len()).collect();
        assert_eq!(listing, [0, 0, 0, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(sequencer.idempotency.listing.len(), 7);
        assert!(sequencer.idempotency.listed_bytes <= MAX_REMEMBERED_ERROR_BYTES);
    }
}
