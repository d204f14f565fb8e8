//! The background tasks. Each has one life cycle: tick, work, stop when told.

use super::Instance;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often a task looks whether it is told to stop.
const TICK: Duration = Duration::from_millis(50);

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
        self.periodically("thalweg-history", move |instance, since| {
            let waiting = instance.rows_outside_history();
            if waiting > 0 && (since >= every || waiting >= rows) {
                report("history", instance.write_history().map(|_| ()));
                return true;
            }
            false
        });
        let every = self.settings.checkpoint_interval.duration();
        self.periodically("thalweg-checkpoint", move |instance, since| {
            if since < every {
                return false;
            }
            report("checkpoint", instance.checkpoint_and_tidy());
            true
        });
        self.periodically("thalweg-served", move |instance, _| {
            report("serving log", instance.served.flush_if_large());
            true
        });
    }

    /// Calls `work` at every tick with the time since it last did something; it returns whether it did.
    fn periodically(self: &Arc<Self>, name: &str, work: impl Fn(&Self, Duration) -> bool + Send + 'static) {
        let instance: Weak<Self> = Arc::downgrade(self);
        self.spawn(name, move || {
            let mut last = Instant::now();
            loop {
                std::thread::sleep(TICK);
                let Some(instance) = instance.upgrade().filter(|instance| !instance.is_stopping()) else { return };
                if work(&instance, last.elapsed()) {
                    last = Instant::now();
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
}

fn report(task: &str, outcome: Result<(), crate::error::ServerError>) {
    if let Err(error) = outcome {
        tracing::error!(task, "{error}; it will be tried again");
    }
}
