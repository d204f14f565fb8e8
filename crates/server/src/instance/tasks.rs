//! The background tasks. Each has one life cycle: tick, work, stop when told.

use super::{CheckOptions, Instance};
use crate::error::ServerError;
use crate::telemetry::{Alerts, Task, deliver};
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

/// How often a task looks whether it is told to stop.
const TICK: Duration = Duration::from_millis(50);
/// How often objectives are measured, unless their window is short.
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// How often at most.
const MEASURE_AT_MOST: Duration = Duration::from_millis(250);
/// Measurements in a window, at least.
const MEASUREMENTS: u32 = 60;
/// How long writing history waits after a failure, however many rows wait for it; recorded answers likewise.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How often it is looked whether recorded answers are to go.
const RETAIN_EVERY: Duration = Duration::from_secs(5);
/// Upkeeps of history's tables in the time after which files go, how often at most, and how often at least.
const UPKEEPS: u32 = 8;
const UPKEEP_AT_MOST: Duration = Duration::from_secs(1);
const UPKEEP_AT_LEAST: Duration = Duration::from_secs(3600);
/// Files of recorded answers may seem this much older than they are.
const CLOCK_GRAIN: Duration = Duration::from_secs(1);

impl Instance {
    pub(super) fn start_tasks(self: &Arc<Self>) {
        let committer = self.clone();
        self.spawn("thalweg-commit", move || {
            while !committer.is_stopping() {
                if committer.engine.wait_for_pushes(TICK) {
                    committer.engine.commit_pending();
                }
            }
        });
        let every = self.settings.history_interval.duration();
        let rows = self.settings.history_rows;
        let failed = AtomicBool::new(false);
        self.periodically("thalweg-history", move |instance, since| {
            let waiting = instance.rows_outside_history();
            let may_hurry = since >= RETRY_AFTER || !failed.load(Ordering::Relaxed);
            if waiting > 0 && (since >= every || (waiting >= rows && may_hurry)) {
                let done = instance.report(Task::History, instance.write_history().map(|_| ()));
                failed.store(!done, Ordering::Relaxed);
                return true;
            }
            false
        });
        let every = self.settings.checkpoint_interval.duration();
        self.periodically("thalweg-checkpoint", move |instance, since| {
            if since < every {
                return false;
            }
            instance.report(Task::Checkpoint, instance.checkpoint_and_tidy());
            true
        });
        let every = (self.settings.history_vacuum_age.duration() / UPKEEPS).clamp(UPKEEP_AT_MOST, UPKEEP_AT_LEAST);
        self.periodically("thalweg-upkeep", move |instance, since| {
            if since < every {
                return false;
            }
            instance.report(Task::History, instance.keep_tables());
            true
        });
        self.start_serving_log();
        self.periodically("thalweg-late", |instance, _| {
            instance.direct.tell_late();
            true
        });
        self.start_objectives();
        self.start_agreement();
    }

    /// Writes recorded answers, and lets the oldest go.
    fn start_serving_log(self: &Arc<Self>) {
        let failed = AtomicBool::new(false);
        self.periodically("thalweg-served", move |instance, since| {
            if failed.load(Ordering::Relaxed) && since < RETRY_AFTER {
                return false;
            }
            let done = instance.report(Task::ServingLog, instance.served.tidy());
            failed.store(!done, Ordering::Relaxed);
            true
        });
        let keep_bytes = self.settings.served_retention_bytes.bytes();
        let keep_age = self.settings.served_retention_age.duration();
        self.periodically("thalweg-retention", move |instance, since| {
            if since < RETAIN_EVERY {
                return false;
            }
            let keep_since = SystemTime::now().checked_sub(keep_age).unwrap_or(SystemTime::UNIX_EPOCH);
            instance.report(Task::ServingLog, instance.served.retain(keep_bytes, keep_since).map(|_| ()));
            true
        });
    }

    /// Measures the objectives, and tells the webhook of breaches and recoveries.
    fn start_objectives(self: &Arc<Self>) {
        let alerts = self.settings.alert_webhook.clone().map(|url| self.start_alerts(url));
        let window = self.settings.objective_window.duration();
        let every = (window / MEASUREMENTS).clamp(MEASURE_AT_MOST, MEASURE_EVERY);
        self.periodically("thalweg-objectives", move |instance, since| {
            if since < every {
                return false;
            }
            let standings = instance.standings();
            if let Some(alerts) = &alerts {
                for standing in instance.telemetry.due_alerts(&standings) {
                    alerts.tell(&standing, instance.engine.wall(), &instance.telemetry.alerts);
                }
            }
            true
        });
    }

    /// Starts the sender of alerts.
    fn start_alerts(self: &Arc<Self>, url: String) -> Alerts {
        let (alerts, queue) = Alerts::open(format!("{}:{}", self.settings.host, self.settings.port));
        let (instance, counts) = (Arc::downgrade(self), self.telemetry.alerts.clone());
        let stopping = move || instance.upgrade().is_none_or(|instance| instance.is_stopping());
        self.spawn("thalweg-alerts", move || deliver(&url, &queue, &counts, stopping));
        alerts
    }

    /// Checks, from time to time, what was answered since the time before.
    fn start_agreement(self: &Arc<Self>) {
        let Some(every) = self.settings.agreement_interval.map(|interval| interval.duration()) else { return };
        let checked_until = Mutex::new(SystemTime::now());
        self.periodically("thalweg-agreement", move |instance, since| {
            if since < every {
                return false;
            }
            let began = SystemTime::now();
            let mut until = checked_until.lock();
            let options = CheckOptions { since: until.checked_sub(CLOCK_GRAIN), ..CheckOptions::default() };
            let outcome = instance.check(&options).map(|report| {
                *until = began;
                instance.telemetry.checked(report.compared, report.mismatches);
                if report.mismatches > 0 {
                    let (mismatches, compared) = (report.mismatches, report.compared);
                    tracing::error!(mismatches, compared, "answers differ from history: `thalweg check` shows them");
                }
            });
            instance.report(Task::Agreement, outcome);
            true
        });
    }

    /// Calls `work` at every tick with the time since it last did something; it returns whether it did.
    fn periodically(self: &Arc<Self>, name: &str, work: impl Fn(&Self, Duration) -> bool + Send + 'static) {
        let instance: Weak<Self> = Arc::downgrade(self);
        let task = name.to_owned();
        self.spawn(name, move || {
            let mut last = Instant::now();
            loop {
                std::thread::sleep(TICK);
                let Some(instance) = instance.upgrade().filter(|instance| !instance.is_stopping()) else { return };
                match catch_unwind(AssertUnwindSafe(|| work(&instance, last.elapsed()))) {
                    Ok(true) => last = Instant::now(),
                    Ok(false) => {}
                    Err(_) => {
                        tracing::error!(task, "a background task panicked; it is called again");
                        last = Instant::now();
                    }
                }
            }
        });
    }

    pub(super) fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) {
        match std::thread::Builder::new().name(name.to_owned()).spawn(work) {
            Ok(thread) => {
                let mut threads = self.threads.lock();
                threads.retain(|thread| !thread.is_finished());
                threads.push(thread);
            }
            Err(error) => tracing::error!("cannot start task {name}: {error}"),
        }
    }

    /// Counts and tells a failure; whether there was none.
    fn report(&self, task: Task, outcome: Result<(), ServerError>) -> bool {
        let Err(error) = outcome else { return true };
        self.telemetry.task_failed(task);
        tracing::error!(task = task.name(), "{error}; it will be tried again");
        false
    }
}
