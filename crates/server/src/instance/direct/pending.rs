//! The newest write of each key while it is on its way to the log: what the next write of that key builds on, so that
//! a thousand increments of one key need no more than one commit, and none is lost.

use super::change::Base;
use super::limits::{RECENT_WRITES, SHARDS, SWEEP_AT};
use parking_lot::{Mutex, MutexGuard};
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use thalweg_engine::Ticket;

/// The writes in flight of an instance.
pub struct DirectWrites {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    next: AtomicU64,
    recent: Mutex<Recent>,
    /// Those whose writer gave up waiting: what middlewares do after them is still to be done. At most as many as the
    /// engine takes before the log.
    late: Mutex<Vec<Ticket>>,
}

/// A write that was submitted, with what its key has if it becomes durable.
pub struct Pending {
    pub after: Base,
    pub ticket: Ticket,
    /// The manifest by which its values are typed.
    pub version: u64,
    number: u64,
}

/// A part of the keys. Who holds it accepts writes of these keys; nobody waits for a commit meanwhile.
pub struct Shard {
    pending: HashMap<Box<[u8]>, Pending>,
    sweep_at: usize,
}

/// Event times of writes that had an idempotency key, by their sequence, oldest first.
#[derive(Default)]
struct Recent {
    times: HashMap<u64, i64>,
    order: VecDeque<u64>,
}

impl Default for DirectWrites {
    fn default() -> Self {
        let shard = || Mutex::new(Shard { pending: HashMap::new(), sweep_at: SWEEP_AT });
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::new(),
            next: AtomicU64::new(0),
            recent: Mutex::default(),
            late: Mutex::default(),
        }
    }
}

impl DirectWrites {
    /// The shard of a key; writes of the key wait for it.
    pub fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        self.shards[self.hasher.hash_one(key) as usize % SHARDS].lock()
    }

    /// A number for a write in flight.
    pub fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes a settled write away, unless a later one has taken its place.
    pub fn settled(&self, key: &[u8], number: u64) {
        let mut shard = self.shard(key);
        if shard.pending.get(key).is_some_and(|pending| pending.number == number) {
            shard.pending.remove(key);
        }
    }

    /// Notes the event time of an acknowledged write, for its repetitions.
    pub fn remember(&self, sequence: u64, time: i64) {
        let mut recent = self.recent.lock();
        if recent.times.insert(sequence, time).is_none() {
            recent.order.push_back(sequence);
        }
        while recent.order.len() > RECENT_WRITES {
            if let Some(oldest) = recent.order.pop_front() {
                recent.times.remove(&oldest);
            }
        }
    }

    /// Leaves a write whose writer waits no longer to [`DirectWrites::tell_late`].
    pub fn leave(&self, ticket: Ticket) {
        self.late.lock().push(ticket);
    }

    /// Does what middlewares do after those writes of which it is known by now what became of them.
    pub fn tell_late(&self) {
        let settled: Vec<Ticket> = {
            let mut late = self.late.lock();
            if late.is_empty() {
                return;
            }
            let (settled, waiting) = std::mem::take(&mut *late).into_iter().partition(Ticket::is_done);
            *late = waiting;
            settled
        };
        for ticket in settled {
            if let Err(error) = ticket.wait() {
                tracing::debug!("a write that was not waited for has failed: {error}");
            }
        }
    }

    pub fn remembered(&self, sequence: u64) -> Option<i64> {
        self.recent.lock().times.get(&sequence).copied()
    }
}

impl Shard {
    /// The newest write of a key that is still in flight.
    pub fn in_flight(&self, key: &[u8]) -> Option<&Pending> {
        self.pending.get(key).filter(|pending| !pending.ticket.is_done())
    }

    /// Makes a write the newest of its key.
    pub fn install(&mut self, key: &[u8], after: Base, ticket: Ticket, version: u64, number: u64) {
        self.pending.insert(key.into(), Pending { after, ticket, version, number });
        // Each is taken away by who waits for it; those whose writer gave up waiting are left for this.
        if self.pending.len() >= self.sweep_at {
            self.pending.retain(|_, pending| !pending.ticket.is_done());
            self.sweep_at = SWEEP_AT.max(2 * self.pending.len());
        }
    }
}
