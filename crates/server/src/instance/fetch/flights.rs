//! Flights: each key is asked for once at a time, however many reads need it, by a bounded number of threads. They are
//! started when there is work, and end when there was none for a while.

use super::Counters;
use super::ask::{Agents, Ask, Outcome};
use super::count;
use super::guard::{Guard, Health, Place};
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Requests to services at one time.
pub const MAX_IN_FLIGHT: usize = 32;
/// Keys that wait to be asked for; a read with more waits for room, until its time is up.
pub const MAX_WAITING: usize = 1024;
/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

/// One key on its way.
#[derive(Default)]
pub struct Flight {
    landed: Mutex<bool>,
    landing: Condvar,
}

/// What a read that needs a key is told.
pub enum Joined {
    Flight(Arc<Flight>),
    /// The service has just failed, and is not asked now.
    HeldBack,
    /// There was no room in time.
    TooLate,
}

pub struct Flights {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    /// There is work, or the end.
    work: Condvar,
    /// There is room in the queue, or the end.
    room: Condvar,
    agents: Agents,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(Place, Ask)>,
    flying: HashMap<Place, Arc<Flight>>,
    guard: Guard,
    threads: usize,
    idle: usize,
    stopping: bool,
}

impl Flight {
    /// Returns when it has ended, however it did, or at the deadline.
    pub fn wait_until(&self, deadline: Instant) {
        let mut landed = self.landed.lock();
        self.landing.wait_while_until(&mut landed, |landed| !*landed, deadline);
    }

    fn land(&self) {
        *self.landed.lock() = true;
        self.landing.notify_all();
    }
}

impl Flights {
    pub fn new(counters: Arc<Counters>) -> Self {
        let shared = Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            agents: Agents::new(),
            counters,
        };
        Self { shared: Arc::new(shared), threads: Mutex::default() }
    }

    /// The flight of a key: the one that is under way, or a new one.
    pub fn join(&self, object: &str, key: &[u8], deadline: Instant, ask: impl FnOnce() -> Ask) -> Joined {
        let place: Place = (object.to_owned(), key.into());
        let mut state = self.shared.state.lock();
        loop {
            if let Some(flight) = state.flying.get(&place) {
                return Joined::Flight(flight.clone());
            }
            if state.stopping {
                return Joined::HeldBack;
            }
            if state.queue.len() < MAX_WAITING {
                break;
            }
            if self.shared.room.wait_until(&mut state, deadline).timed_out() {
                return Joined::TooLate;
            }
        }
        if !state.guard.admits(&place, Instant::now()) {
            return Joined::HeldBack;
        }
        let flight = Arc::new(Flight::default());
        state.flying.insert(place.clone(), flight.clone());
        state.queue.push_back((place, ask()));
        if state.idle < state.queue.len() && state.threads < MAX_IN_FLIGHT {
            state.threads += 1;
            drop(state);
            self.start();
        } else {
            drop(state);
            self.shared.work.notify_one();
        }
        Joined::Flight(flight)
    }

    fn start(&self) {
        let shared = self.shared.clone();
        match std::thread::Builder::new().name("thalweg-fetch".to_owned()).spawn(move || shared.work()) {
            Ok(thread) => {
                let mut threads = self.threads.lock();
                threads.retain(|thread| !thread.is_finished());
                threads.push(thread);
            }
            Err(error) => {
                // What waits is taken by another thread, or lands when its readers' time is up.
                self.shared.state.lock().threads -= 1;
                tracing::error!("cannot start a thread to fetch with: {error}");
            }
        }
    }

    /// Takes no more, and waits for the threads.
    pub fn stop(&self) {
        self.shared.end();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.thread().id() != std::thread::current().id() && thread.join().is_err() {
                tracing::error!("a thread that fetches had panicked");
            }
        }
    }
}

impl Drop for Flights {
    /// The last one to hold it may be one of its own threads, so that nobody is waited for here.
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Shared {
    /// Takes no more; what waits is not asked for.
    fn end(&self) {
        let mut state = self.state.lock();
        state.stopping = true;
        let waiting: Vec<Place> = state.queue.drain(..).map(|(place, _)| place).collect();
        for flight in waiting.iter().filter_map(|place| state.flying.remove(place)) {
            flight.land();
        }
        drop(state);
        self.work.notify_all();
        self.room.notify_all();
    }

    fn work(&self) {
        while let Some((place, ask)) = self.next() {
            let selector = ask.selector.clone();
            // Whoever waits for this flight must not wait for one that never lands.
            let work = std::panic::AssertUnwindSafe(|| ask.carry_out(&self.agents));
            let outcome = std::panic::catch_unwind(work)
                .unwrap_or_else(|_| Outcome::Failed { why: "fetching panicked".to_owned(), health: Health::Unknown });
            self.land(&place, &selector, outcome);
        }
    }

    /// The next key to ask for; none where this thread is to end.
    fn next(&self) -> Option<(Place, Ask)> {
        let mut state = self.state.lock();
        loop {
            if let Some(next) = state.queue.pop_front() {
                self.room.notify_one();
                return Some(next);
            }
            if state.stopping {
                break;
            }
            state.idle += 1;
            let timed_out = self.work.wait_for(&mut state, IDLE).timed_out();
            state.idle -= 1;
            if timed_out && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        None
    }

    fn land(&self, place: &Place, selector: &str, outcome: Outcome) {
        let health = match &outcome {
            Outcome::Fetched => Health::Good,
            Outcome::Failed { health, .. } | Outcome::TimedOut { health } => *health,
        };
        match &outcome {
            Outcome::Fetched => count(&self.counters.fetched),
            Outcome::Failed { why, .. } => {
                tracing::debug!(feature = selector, "not fetched: {why}");
                count(&self.counters.failed);
            }
            Outcome::TimedOut { .. } => count(&self.counters.timed_out),
        }
        let mut state = self.state.lock();
        let rests = state.guard.learns(place, health, Instant::now());
        let flight = state.flying.remove(place);
        drop(state);
        if rests {
            tracing::warn!(feature = selector, ?outcome, "its service keeps failing, and is left alone for a while");
        }
        if let Some(flight) = flight {
            flight.land();
        }
    }
}
