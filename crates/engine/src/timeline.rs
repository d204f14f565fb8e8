//! The engine's clock: arrival times for writes, query times for reads, and the promise between the two.
//!
//! A live read at `q` must see exactly the rows that arrived before `q`, also when the same answer is computed
//! again from history. So a read's query time is never past a write still in flight, and a write's arrival time
//! is never before a query time already answered.

use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Where time comes from. The simulation passes its own.
pub trait Clock: Send + Sync + 'static {
    /// UTC microseconds since the epoch.
    fn now(&self) -> i64;
}

/// The clock of the machine.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        chrono::Utc::now().timestamp_micros()
    }
}

/// A clock that stands still until it is set.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn at(micros: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(micros)))
    }

    pub fn set(&self, micros: i64) {
        self.0.store(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The time before anything was accepted.
pub(crate) const NOTHING: i64 = i64::MIN / 2;

/// Which clock the engine lives by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockMode {
    System,
    /// The latest event time or declared arrival time accepted so far.
    Events,
}

/// A live read under way.
pub struct ReadLease<'a> {
    timeline: &'a Timeline,
    /// Its query time.
    pub q: i64,
}

impl Drop for ReadLease<'_> {
    fn drop(&mut self) {
        let mut state = self.timeline.state.lock();
        if let Some(readers) = state.reading.get_mut(&self.q) {
            *readers -= 1;
            if *readers == 0 {
                state.reading.remove(&self.q);
            }
        }
    }
}

pub struct Timeline {
    clock: Arc<dyn Clock>,
    mode: ClockMode,
    state: Mutex<State>,
}

struct State {
    /// The latest time accepted (events mode) or read from the clock (system mode); it never goes back.
    latest: i64,
    /// The latest arrival time given by the engine itself.
    given: i64,
    /// The latest query time answered.
    asked: i64,
    /// The writes in flight, in the order of acceptance.
    in_flight: VecDeque<Write>,
    /// The query times of live reads under way, and how many read at each.
    reading: BTreeMap<i64, usize>,
    /// A read waits until it can stand between what was acknowledged and the next write.
    read_waits: bool,
}

/// A write in flight.
struct Write {
    /// The first arrival time of its rows.
    first: i64,
    /// The latest arrival time given before it.
    given_before: i64,
}

impl Timeline {
    pub fn new(clock: Arc<dyn Clock>, mode: ClockMode) -> Self {
        let state = State {
            latest: NOTHING,
            given: NOTHING,
            asked: NOTHING,
            in_flight: VecDeque::new(),
            reading: BTreeMap::new(),
            read_waits: false,
        };
        Self { clock, mode, state: Mutex::new(state) }
    }

    /// Takes up what is known from before a restart: the latest time accepted, and the latest arrival time given.
    pub fn resume(&self, latest: i64, given: i64) {
        let mut state = self.state.lock();
        state.given = state.given.max(given);
        if self.mode == ClockMode::Events {
            state.latest = state.latest.max(latest);
            if state.latest.max(state.given) > NOTHING {
                // As late as any read before the restart can have been.
                state.asked = state.latest.max(state.given).saturating_add(1);
            }
        }
    }

    /// The latest arrival time that the engine has given to a write that has ended.
    pub fn given(&self) -> i64 {
        let state = self.state.lock();
        state.in_flight.front().map_or(state.given, |write| write.given_before)
    }

    /// Begins a write: the arrival times of its rows, in order. `times` are the rows' event times. In system mode
    /// all rows of a write arrive together; in events mode each arrives when the clock of the events says.
    pub fn begin_write(&self, times: impl Iterator<Item = i64>) -> Vec<i64> {
        let mut state = self.state.lock();
        let first = self.next_arrival(&mut state);
        let given_before = state.given;
        state.in_flight.push_back(Write { first, given_before });
        let mut last = first;
        let arrivals: Vec<i64> = times
            .map(|time| {
                if self.mode == ClockMode::Events {
                    last = last.max(time);
                }
                last
            })
            .collect();
        if !arrivals.is_empty() {
            state.given = state.given.max(last);
        }
        arrivals
    }

    /// Begins a write whose rows bring their own arrival times.
    pub fn begin_write_declared(&self) {
        let mut state = self.state.lock();
        let first = self.next_arrival(&mut state);
        let given_before = state.given;
        state.in_flight.push_back(Write { first, given_before });
    }

    fn next_arrival(&self, state: &mut State) -> i64 {
        if self.mode == ClockMode::System {
            state.latest = state.latest.max(self.clock.now());
            // Strictly after the write before, so that a read can stand between the two.
            return state.latest.max(state.given + 1).max(state.asked);
        }
        let next = state.latest.max(state.given);
        // By the events' clock many writes may arrive at one moment; a read that waits gets one of its own.
        if state.read_waits { (next + 1).max(state.asked) } else { next.max(state.asked) }
    }

    /// Ends the oldest write in flight: its rows can be read. `newest` is its newest event or arrival time.
    pub fn end_write(&self, newest: Option<i64>) {
        let mut state = self.state.lock();
        state.in_flight.pop_front();
        if self.mode == ClockMode::Events
            && let Some(newest) = newest
        {
            state.latest = state.latest.max(newest);
        }
    }

    /// Gives up the newest write in flight: it never happened.
    pub fn abandon_newest_write(&self) {
        let mut state = self.state.lock();
        if let Some(write) = state.in_flight.pop_back() {
            state.given = write.given_before;
        }
    }

    /// Begins a live read; while it lasts, nothing that it may need is let go. None where a write in flight arrives
    /// at the same moment as what was acknowledged, so that a read could not see the one without the other: then the
    /// writes in flight have to end first.
    pub fn begin_read(&self, whatever_it_hides: bool) -> Option<ReadLease<'_>> {
        let mut state = self.state.lock();
        let acknowledged = state.latest;
        let hides = !whatever_it_hides
            && self.mode == ClockMode::Events
            && state.in_flight.front().is_some_and(|write| write.first <= acknowledged && write.first > NOTHING);
        state.read_waits = hides;
        if hides {
            return None;
        }
        let q = self.ask(&mut state);
        *state.reading.entry(q).or_default() += 1;
        Some(ReadLease { timeline: self, q })
    }

    /// No live read, under way or to come, asks for an earlier time.
    pub fn settled(&self) -> i64 {
        let mut state = self.state.lock();
        let q = self.ask(&mut state);
        state.reading.first_key_value().map_or(q, |(oldest, _)| q.min(*oldest))
    }

    /// The query time of a live read: just past everything that can be read, and never past a write in flight.
    fn ask(&self, state: &mut State) -> i64 {
        if self.mode == ClockMode::System {
            state.latest = state.latest.max(self.clock.now());
        }
        let q = match state.in_flight.front() {
            Some(write) => write.first,
            None => state.latest.max(state.given).saturating_add(1),
        };
        state.asked = state.asked.max(q);
        q
    }

    /// The clock, without asking for anything.
    pub fn now(&self) -> i64 {
        let state = self.state.lock();
        match self.mode {
            ClockMode::System => state.latest.max(self.clock.now()),
            ClockMode::Events => state.latest,
        }
    }

    /// The machine's clock, for records that are about the machine.
    pub fn wall(&self) -> i64 {
        self.clock.now()
    }

    pub fn mode(&self) -> ClockMode {
        self.mode
    }
}
