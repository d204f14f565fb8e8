//! The online state of one view: its entities, sharded by key, each behind a lock of its own, so that a read waits
//! only for a write of the same entity.
//!
//! An entity's state is in memory (hot) or, past the memory budget, where the state store last put it (cold).

use crate::error::EngineError;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use thalweg_aggregate::{Answer, EntityState, ViewPlan};
use thalweg_store::{Location, StateStore};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

type Entities = HashMap<Box<[u8]>, Arc<Slot>, BuildHasherDefault<Xxh3>>;

/// The entities of a view, and what is counted of them.
pub struct ViewState {
    /// Under which its records are in the state store.
    pub space: u32,
    shards: Vec<RwLock<Entities>>,
    /// False while the view is filled from history.
    ready: AtomicBool,
    /// Rows of history taken so far, while it is filled.
    pub backfilled: AtomicU64,
    pub applied: AtomicU64,
    /// Rows older than the view's retention when they came.
    pub expired: AtomicU64,
    /// Rows up to this event time may be gone with their entity; reads that would need them are refused.
    forgotten: AtomicI64,
    /// NaN and infinite inputs, which aggregations skip.
    pub non_finite: AtomicU64,
    /// Words packed since memory was last counted.
    grown: AtomicU64,
    epoch: AtomicU32,
    /// While the view is filled: rows taken back before history brought them, by entity key and sequence.
    early_retractions: Mutex<EarlyRetractions>,
}

/// By entity key and sequence of the row: event time and arrival time of what takes it back.
type EarlyRetractions = HashMap<(Box<[u8]>, u64), (i64, i64)>;

struct Slot {
    held: RwLock<Held>,
    /// The epoch in which it was last used.
    touched: AtomicU32,
    /// Changed since it was stored; changed only by who holds the lock, looked at by anyone.
    dirty: AtomicBool,
}

struct Held {
    /// None where it is cold.
    state: Option<Box<EntityState>>,
    /// Where the state store has it.
    location: Option<Location>,
    /// Taken out of the map; whoever still holds it has to look again.
    gone: bool,
    newest: i64,
}

/// What a pass over entities did.
#[derive(Debug, Default, Clone, Copy)]
pub struct Flushed {
    pub entities: u64,
    pub bytes: u64,
}

impl ViewState {
    /// `shards` is at least 1.
    pub fn new(space: u32, ready: bool, shards: usize) -> Self {
        Self {
            space,
            shards: (0..shards).map(|_| RwLock::default()).collect(),
            ready: AtomicBool::new(ready),
            backfilled: AtomicU64::new(0),
            applied: AtomicU64::new(0),
            expired: AtomicU64::new(0),
            forgotten: AtomicI64::new(i64::MIN),
            non_finite: AtomicU64::new(0),
            grown: AtomicU64::new(0),
            epoch: AtomicU32::new(0),
            early_retractions: Mutex::default(),
        }
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub fn set_ready(&self) {
        self.early_retractions.lock().clear();
        self.ready.store(true, Ordering::Release);
    }

    /// Forgets every entity, so that the view can be filled anew. To be called while nothing is applied.
    pub fn clear(&self, store: &StateStore) -> Result<(), EngineError> {
        for (key, slot) in self.each(|_| true) {
            let mut held = slot.held.write();
            if held.location.is_some() {
                store.delete(self.space, &key)?;
            }
            held.gone = true;
            drop(held);
            self.remove(&key);
        }
        self.early_retractions.lock().clear();
        self.backfilled.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Remembers what takes back a row that history has not brought yet. To be called with the entity locked.
    pub fn retract_early(&self, key: &[u8], sequence: u64, time: i64, arrival: i64) {
        if !self.is_ready() {
            self.early_retractions.lock().insert((key.into(), sequence), (time, arrival));
        }
    }

    /// What takes back a row that history brings only now. To be called with the entity locked.
    pub fn early_retraction(&self, key: &[u8], sequence: u64) -> Option<(i64, i64)> {
        let mut early = self.early_retractions.lock();
        if early.is_empty() { None } else { early.remove(&(key.into(), sequence)) }
    }

    pub fn entities(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Words packed since the last call, so that the owner knows when to count memory again.
    pub fn take_grown(&self) -> u64 {
        self.grown.swap(0, Ordering::Relaxed)
    }

    /// Changes an entity, which is made where it is not there yet.
    pub fn change(
        &self,
        store: &StateStore,
        plan: &ViewPlan,
        key: &[u8],
        newest: i64,
        change: impl FnOnce(&mut EntityState),
    ) -> Result<(), EngineError> {
        self.grown.fetch_add(plan.layout.width() as u64, Ordering::Relaxed);
        loop {
            let slot = self.slot(key);
            let mut held = slot.held.write();
            if held.gone {
                continue;
            }
            slot.touched.store(self.epoch.load(Ordering::Relaxed), Ordering::Relaxed);
            change(held.load(store, plan)?);
            slot.dirty.store(true, Ordering::Relaxed);
            held.newest = held.newest.max(newest);
            return Ok(());
        }
    }

    /// Notes that a row of this event time is not held.
    pub fn forget(&self, time: i64) {
        self.forgotten.fetch_max(time, Ordering::Relaxed);
    }

    /// Rows up to this event time may be gone with their entity.
    pub fn forgotten(&self) -> i64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// Takes note that rows up to a time were never brought, of no entity.
    pub fn lack(&self, store: &StateStore, plan: &ViewPlan, time: i64) -> Result<(), EngineError> {
        self.forget(time);
        for (_, slot) in self.each(|_| true) {
            let mut held = slot.held.write();
            if !held.gone {
                held.load(store, plan)?.drop_through(time);
                slot.dirty.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Takes note of a row of an entity that came too late to be kept.
    pub fn refuse(&self, store: &StateStore, plan: &ViewPlan, key: &[u8], time: i64) -> Result<(), EngineError> {
        // For an entity that is not held, and for one that is made from now on.
        self.forget(time);
        let Some(slot) = self.shard(key).read().get(key).cloned() else { return Ok(()) };
        let mut held = slot.held.write();
        if !held.gone {
            held.load(store, plan)?.drop_through(time);
            slot.dirty.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Reads an entity, known or not.
    pub fn read(
        &self,
        store: &StateStore,
        plan: &ViewPlan,
        key: &[u8],
        q: i64,
        cut: i64,
    ) -> Result<Vec<Answer>, EngineError> {
        let Some(slot) = self.shard(key).read().get(key).cloned() else { return Ok(self.unknown(plan, q, cut)) };
        slot.touched.store(self.epoch.load(Ordering::Relaxed), Ordering::Relaxed);
        {
            let held = slot.held.read();
            if held.gone {
                return Ok(self.unknown(plan, q, cut));
            }
            if let Some(state) = &held.state {
                return Ok(state.read(plan, q, cut));
            }
        }
        let mut held = slot.held.write();
        Ok(held.load(store, plan)?.read(plan, q, cut))
    }

    /// What is answered for an entity that is not held.
    fn unknown(&self, plan: &ViewPlan, q: i64, cut: i64) -> Vec<Answer> {
        EntityState::without(self.forgotten.load(Ordering::Relaxed)).read(plan, q, cut)
    }

    /// Takes up an entity from a checkpoint, into memory or only by its place.
    pub fn restore(&self, plan: &ViewPlan, key: &[u8], value: &[u8], at: Location, hot: bool) -> Result<(), String> {
        let state = EntityState::decode(plan, value).map_err(|error| error.to_string())?;
        let newest = state.newest(plan);
        let held = Held { state: hot.then(|| Box::new(state)), location: Some(at), gone: false, newest };
        let slot =
            Arc::new(Slot { held: RwLock::new(held), touched: AtomicU32::new(0), dirty: AtomicBool::new(false) });
        self.shard(key).write().insert(key.into(), slot);
        Ok(())
    }

    pub fn remove(&self, key: &[u8]) {
        self.shard(key).write().remove(key);
    }

    /// Stores what changed since it was last stored; with `all`, everything.
    /// `between` is called after each entity, with no lock held.
    pub fn flush(&self, store: &StateStore, all: bool, between: &mut dyn FnMut()) -> Result<Flushed, EngineError> {
        let mut done = Flushed::default();
        let mut bytes = Vec::new();
        for (key, slot) in self.each(|slot| all || slot.dirty.load(Ordering::Relaxed)) {
            let mut held = slot.held.write();
            if held.gone {
                continue;
            }
            match &held.state {
                Some(state) => {
                    bytes.clear();
                    state.encode(&mut bytes);
                }
                None => {
                    let location = held.location.ok_or_else(lost)?;
                    bytes = store.get(location)?;
                }
            }
            held.location = Some(store.put(self.space, &key, &bytes)?);
            slot.dirty.store(false, Ordering::Relaxed);
            done.entities += 1;
            done.bytes += bytes.len() as u64;
            drop(held);
            between();
        }
        Ok(done)
    }

    /// Removes rows and entities that are past the view's retention at `now`; returns how many entities went.
    pub fn expire(&self, store: &StateStore, plan: &ViewPlan, now: i64) -> Result<u64, EngineError> {
        let mut removed = 0;
        for (key, slot) in self.each(|_| true) {
            let mut held = slot.held.write();
            let past = plan.retention.is_some_and(|retention| held.newest < now.saturating_sub(retention));
            let left = match &mut held.state {
                Some(state) => state.expire(plan, now),
                None => !past,
            };
            if !left && !held.gone {
                if held.location.is_some() {
                    store.delete(self.space, &key)?;
                }
                held.gone = true;
                // What went was older than this; `newest` may be the time of what took a row back.
                let horizon = plan.retention.map_or(i64::MIN, |retention| now.saturating_sub(retention));
                self.forget(held.newest.min(horizon.saturating_sub(1)));
                removed += 1;
                drop(held);
                self.shard(&key).write().remove(&key);
            }
        }
        Ok(removed)
    }

    /// Bytes of memory that entities take, about.
    pub fn memory(&self) -> u64 {
        let mut total = 0;
        for shard in &self.shards {
            let shard = shard.read();
            for (key, slot) in shard.iter() {
                let held = slot.held.read();
                let state = held.state.as_ref().map_or(0, |state| state.bytes());
                total += key.len() + size_of::<Slot>() + 48 + state;
            }
        }
        total as u64
    }

    /// Sends entities that were not used since the epoch before last to the state store, until `wanted` bytes are
    /// free; with `hard`, entities in use too.
    pub fn chill(&self, store: &StateStore, wanted: u64, hard: bool) -> Result<u64, EngineError> {
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed);
        let (mut freed, mut bytes) = (0, Vec::new());
        for (key, slot) in self.each(|_| true) {
            if freed >= wanted {
                break;
            }
            if !hard && slot.touched.load(Ordering::Relaxed) + 1 >= epoch.max(1) && epoch > 0 {
                continue;
            }
            let mut held = slot.held.write();
            let Some(state) = held.state.as_ref().filter(|_| !held.gone) else { continue };
            let size = state.bytes() as u64;
            if slot.dirty.load(Ordering::Relaxed) || held.location.is_none() {
                bytes.clear();
                state.encode(&mut bytes);
                held.location = Some(store.put(self.space, &key, &bytes)?);
                slot.dirty.store(false, Ordering::Relaxed);
            }
            held.state = None;
            freed += size;
        }
        Ok(freed)
    }

    /// The wanted entities, shard by shard, without holding a shard while the caller works.
    fn each(&self, wanted: impl Fn(&Slot) -> bool) -> impl Iterator<Item = (Box<[u8]>, Arc<Slot>)> {
        self.shards.iter().flat_map(move |shard| {
            let shard = shard.read();
            shard
                .iter()
                .filter(|(_, slot)| wanted(slot))
                .map(|(key, slot)| (key.clone(), slot.clone()))
                .collect::<Vec<_>>()
        })
    }

    fn slot(&self, key: &[u8]) -> Arc<Slot> {
        let shard = self.shard(key);
        if let Some(slot) = shard.read().get(key) {
            return slot.clone();
        }
        let forgotten = self.forgotten.load(Ordering::Relaxed);
        shard.write().entry_ref(key).or_insert_with(|| Arc::new(Slot::new(forgotten))).clone()
    }

    fn shard(&self, key: &[u8]) -> &RwLock<Entities> {
        // The map hashes with other bits of the same function.
        &self.shards[(xxh3_64(key) >> 32) as usize % self.shards.len()]
    }
}

impl Slot {
    fn new(forgotten: i64) -> Self {
        let state = Some(Box::new(EntityState::without(forgotten)));
        let held = Held { state, location: None, gone: false, newest: i64::MIN };
        Self { held: RwLock::new(held), touched: AtomicU32::new(0), dirty: AtomicBool::new(false) }
    }
}

impl Held {
    /// The state, brought back from the store where it is cold.
    fn load(&mut self, store: &StateStore, plan: &ViewPlan) -> Result<&mut EntityState, EngineError> {
        if self.state.is_none() {
            let bytes = store.get(self.location.ok_or_else(lost)?)?;
            let state = EntityState::decode(plan, &bytes)
                .map_err(|error| EngineError::Storage(format!("cold state does not decode: {error}")))?;
            self.state = Some(Box::new(state));
        }
        Ok(self.state.as_mut().expect("just loaded"))
    }
}

fn lost() -> EngineError {
    EngineError::Storage("an entity's state is neither in memory nor stored".to_owned())
}
