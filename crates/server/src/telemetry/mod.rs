//! What the server says of itself to those who watch it: metrics, traces, objectives.
//!
//! ```text
//! Session ─▶ observed (atomics) ─┬─▶ GET /metrics   (with what engine and lake count themselves, read at a scrape)
//!    │                           └─▶ a sliding window ─▶ objectives ─▶ log, webhook, GET /v1/objectives
//!    └─▶ span ─▶ OTLP
//! ```

mod alerts;
mod background;
mod counts;
mod gather;
mod objectives;
mod page;
mod process;
mod series;
mod tracing;
mod window;

use crate::session::{Door, Operation};
use alerts::{AlertCounts, Announcer};
use background::{CheckCounts, CheckpointCounts, HistoryCounts};
use counts::{CODES, Count, Histogram, OperationCounts, code_index};
use objectives::Standings;
use parking_lot::Mutex;
use series::Series;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use thalweg_aggregate::Status;
use thalweg_engine::FeatureResponse;
use window::{Totals, Window};

pub use self::tracing::{Parent, ended, parent_of, span, start};
pub(crate) use alerts::{Alerts, deliver};
pub(crate) use background::Task;
pub(crate) use gather::scrape;
pub(crate) use objectives::{Objective, Reading, Standing};
pub(crate) use page::classic;

const DOORS: usize = Door::ALL.len();
const OPERATIONS: usize = Operation::ALL.len();
/// In the order of [`Status`].
const STATUSES: [Status; 5] = [Status::Present, Status::Null, Status::NotFound, Status::Stale, Status::Error];
/// Stands for a service where a list of features was read.
const NO_SERVICE: &str = "-";
/// How often the memory of views is counted again: that walks over all entities.
const MEMORY_EVERY: Duration = Duration::from_secs(30);

/// The counts of one process. What engine and lake count themselves is not counted here again.
pub struct Telemetry {
    began: Instant,
    /// By door and operation.
    operations: Vec<OperationCounts>,
    /// Requests that were turned away before they were any operation's, by door and code.
    refused: [[Count; CODES.len()]; DOORS],
    services: Series<ServiceCounts>,
    sources: Series<SourceCounts>,
    /// Nanoseconds, since objectives were last measured.
    slowest_write: AtomicU64,
    pub(crate) history: HistoryCounts,
    pub(crate) checkpoints: CheckpointCounts,
    checks: CheckCounts,
    pub(crate) alerts: Arc<AlertCounts>,
    task_failures: [Count; Task::ALL.len()],
    watched: Mutex<Watched>,
    memory: Mutex<ViewMemory>,
}

/// What objectives are decided by.
#[derive(Default)]
struct Watched {
    window: Window,
    standings: Standings,
    announcer: Announcer,
}

#[derive(Default)]
struct ServiceCounts {
    answered: Count,
    failed: Count,
    latency: Histogram,
    /// In the order of [`STATUSES`].
    values: [Count; STATUSES.len()],
}

#[derive(Default)]
struct SourceCounts {
    /// From a push's entry to its acknowledgement, when its rows can be read.
    freshness: Histogram,
}

#[derive(Default)]
struct ViewMemory {
    counted: Option<Instant>,
    by_view: HashMap<String, u64>,
}

/// What the server promises; shares, and seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Targets {
    pub availability: f64,
    pub latency_p99: f64,
    pub freshness: f64,
    pub agreement: f64,
    pub window: Duration,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            operations: (0..DOORS * OPERATIONS).map(|_| OperationCounts::default()).collect(),
            refused: Default::default(),
            services: Series::default(),
            sources: Series::default(),
            slowest_write: AtomicU64::new(0),
            history: HistoryCounts::default(),
            checkpoints: CheckpointCounts::default(),
            checks: CheckCounts::default(),
            alerts: Arc::default(),
            task_failures: Default::default(),
            watched: Mutex::default(),
            memory: Mutex::default(),
        }
    }
}

impl Telemetry {
    /// Counts one operation: how long it took, the code of its error if it failed, and how many rows or values it was.
    /// `object` is a service's name for a read, empty for a list of features, and a source's for a push.
    pub fn observed(
        &self,
        door: Door,
        operation: Operation,
        object: &str,
        elapsed: Duration,
        error: Option<&'static str>,
        size: u64,
    ) {
        self.operation(door, operation).observed(elapsed, error, size);
        match operation {
            Operation::Read => {
                let service = if object.is_empty() { NO_SERVICE } else { object };
                self.services.count(service, error.is_none(), |counts| match error {
                    Some(_) => counts.failed.add(1),
                    None => {
                        counts.answered.add(1);
                        counts.latency.observe(elapsed);
                    }
                });
            }
            Operation::Push | Operation::DirectWrite if error.is_none() => {
                let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
                self.slowest_write.fetch_max(nanos, Ordering::Relaxed);
                if operation == Operation::Push {
                    self.sources.count(object, true, |counts| counts.freshness.observe(elapsed));
                }
            }
            _ => {}
        }
    }

    /// Counts a request that was turned away at the door: by who asked, what for, or how often.
    pub fn refused(&self, door: Door, code: &'static str) {
        self.refused[door as usize][code_index(Some(code))].add(1);
    }

    /// Counts a request that could not be read, and so was not worked on.
    pub fn unreadable(&self, door: Door, operation: Operation, code: &'static str) {
        self.operation(door, operation).by_code[code_index(Some(code))].add(1);
    }

    /// Counts the values of an answer by their status.
    pub fn answered(&self, response: &FeatureResponse) {
        let mut by_status = [0u64; STATUSES.len()];
        for status in response.results.iter().flat_map(|result| &result.statuses) {
            by_status[*status as usize] += 1;
        }
        let service = response.service.as_deref().unwrap_or(NO_SERVICE);
        self.services.count(service, true, |counts| {
            let values = counts.values.iter().zip(by_status);
            values.filter(|(_, number)| *number > 0).for_each(|(count, number)| count.add(number));
        });
    }

    /// Takes up the result of a check.
    pub fn checked(&self, compared: u64, mismatches: u64) {
        self.checks.done(compared, mismatches);
    }

    pub(crate) fn task_failed(&self, task: Task) {
        self.task_failures[task as usize].add(1);
    }

    /// Measures the objectives, and says how they stand. `views` are those of the views that declare some; `now` is the
    /// machine's clock in microseconds.
    pub(crate) fn measure(&self, targets: &Targets, views: Vec<Reading>, now: i64) -> Vec<Standing> {
        let mut watched = self.watched.lock();
        let slowest = Duration::from_nanos(self.slowest_write.swap(0, Ordering::Relaxed));
        let measured = watched.window.measure(Instant::now(), targets.window, self.totals(), slowest);
        let totals = &measured.totals;
        let newest_check = self.checks.newest();
        let reading =
            |objective, target, measured, samples| Reading { objective, view: None, target, measured, samples };
        let share = |bad: u64, all: u64| (all > 0).then(|| 1.0 - bad as f64 / all as f64);
        let mut readings = vec![
            reading(
                Objective::Availability,
                targets.availability,
                share(totals.faults, totals.requests),
                totals.requests,
            ),
            reading(Objective::LatencyP99, targets.latency_p99, totals.reads.quantile(0.99), totals.reads.count()),
            reading(
                Objective::Freshness,
                targets.freshness,
                (totals.writes > 0).then_some(measured.slowest_write.as_secs_f64()),
                totals.writes,
            ),
            reading(
                Objective::Agreement,
                targets.agreement,
                newest_check.and_then(|(compared, mismatches)| share(mismatches, compared)),
                newest_check.map_or(0, |(compared, _)| compared),
            ),
        ];
        readings.extend(views);
        watched.standings.update(readings, now)
    }

    /// Those of the standings that are to be told to the webhook now.
    pub(crate) fn due_alerts(&self, standings: &[Standing]) -> Vec<Standing> {
        self.watched.lock().announcer.due(Instant::now(), standings)
    }

    fn operation(&self, door: Door, operation: Operation) -> &OperationCounts {
        &self.operations[door as usize * OPERATIONS + operation as usize]
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for door in Door::ALL {
            for operation in [Operation::Read, Operation::DirectGet, Operation::Push, Operation::DirectWrite] {
                let counts = self.operation(door, operation);
                totals.requests += counts.requests();
                totals.faults += counts.faults();
                let latency = counts.latency.totals();
                if matches!(operation, Operation::Read | Operation::DirectGet) {
                    totals.reads.add(&latency);
                } else {
                    totals.writes += latency.count();
                }
            }
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_tables_are_those_of_the_lists() {
        Door::ALL.iter().enumerate().for_each(|(place, door)| assert_eq!(*door as usize, place));
        Operation::ALL.iter().enumerate().for_each(|(place, operation)| assert_eq!(*operation as usize, place));
        STATUSES.iter().enumerate().for_each(|(place, status)| assert_eq!(*status as usize, place));
        Task::ALL.iter().enumerate().for_each(|(place, task)| assert_eq!(*task as usize, place));
    }

    fn targets() -> Targets {
        Targets {
            availability: 0.999,
            latency_p99: 0.001,
            freshness: 1.0,
            agreement: 0.999,
            window: Duration::from_secs(3600),
        }
    }

    #[test]
    fn objectives_follow_what_was_observed() {
        let telemetry = Telemetry::default();
        let states = |telemetry: &Telemetry| -> Vec<&'static str> {
            let standings = telemetry.measure(&targets(), Vec::new(), 0);
            standings.iter().map(|standing| standing.state.name()).collect()
        };
        assert_eq!(states(&telemetry), ["no_data"; 4]);
        for _ in 0..200 {
            telemetry.observed(Door::Http, Operation::Read, "risk", Duration::from_millis(4), None, 10);
            telemetry.observed(Door::Grpc, Operation::Push, "payments", Duration::from_millis(9), None, 10);
        }
        telemetry.checked(1000, 0);
        assert_eq!(states(&telemetry), ["met", "breached", "met", "met"]);
        telemetry.observed(Door::Http, Operation::Read, "risk", Duration::from_millis(4), Some("STORAGE"), 0);
        telemetry.observed(Door::Http, Operation::Push, "payments", Duration::from_secs(2), None, 1);
        telemetry.checked(1000, 2);
        assert_eq!(states(&telemetry), ["breached"; 4]);
    }

    #[test]
    fn a_guessed_name_makes_no_series() {
        let telemetry = Telemetry::default();
        let read = |name, error| {
            telemetry.observed(Door::Redis, Operation::Read, name, Duration::from_micros(9), error, 0);
        };
        read("guessed", Some("NOT_FOUND"));
        read("risk", None);
        assert!(telemetry.services.get("guessed").is_none());
        assert_eq!(telemetry.services.get("risk").unwrap().answered.get(), 1);
    }

    /// Generous, for a loaded machine and a build without optimization.
    #[test]
    fn counting_costs_little() {
        let telemetry = Telemetry::default();
        let (began, rounds) = (Instant::now(), 100_000);
        for _ in 0..rounds {
            telemetry.observed(Door::Http, Operation::Read, "risk", Duration::from_micros(80), None, 10);
        }
        let each = began.elapsed() / rounds;
        assert!(each < Duration::from_micros(20), "{each:?}");
    }
}
