//! What a scrape shows: the counts of [`Telemetry`], and what engine, lake, process and machine say of themselves at
//! that moment. Every metric is named here; `docs/monitoring.md` lists them.

use super::counts::{CODES, Count};
use super::objectives::{Standing, State};
use super::page::{Labels, Page, Samples};
use super::{MEMORY_EVERY, NO_SERVICE, STATUSES, ServiceCounts, SourceCounts, Task, Telemetry, ViewMemory, process};
use crate::instance::Instance;
use crate::session::{Door, Operation};
use prometheus_client::registry::Unit;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use thalweg_engine::{Ledger, Runtime, ViewRuntime};

/// Everything that can be told of an instance; `standings` are its objectives.
pub fn scrape(instance: &Instance, standings: &[Standing]) -> Page {
    let telemetry = instance.telemetry();
    let mut page = Page::default();
    objectives(&mut page, standings, telemetry);
    doors(&mut page, telemetry);
    if let Ok(runtime) = instance.engine().runtime() {
        telemetry.sources.keep(|name| runtime.sources.contains_key(name));
        telemetry.services.keep(|name| name == NO_SERVICE || runtime.services.contains_key(name));
        sources(&mut page, instance, &runtime);
        views(&mut page, telemetry, &runtime);
        services(&mut page, telemetry, &runtime);
    }
    server(&mut page, instance);
    history(&mut page, instance);
    machine(&mut page, instance);
    page
}

fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

fn two(first: (&'static str, &str), second: (&'static str, &str)) -> Labels {
    vec![(first.0, first.1.to_owned()), (second.0, second.1.to_owned())]
}

fn truth(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

fn objectives(page: &mut Page, standings: &[Standing], telemetry: &Telemetry) {
    let each = |samples: &mut Samples, value: &dyn Fn(&Standing) -> Option<f64>| {
        for standing in standings {
            if let Some(value) = value(standing) {
                let view = standing.reading.view.as_deref().unwrap_or_default();
                samples.level(two(("objective", standing.reading.objective.name()), ("view", view)), value);
            }
        }
    };
    page.add("thalweg_objective_target", "What is promised: a share, or seconds.", None, |samples| {
        each(samples, &|standing| Some(standing.reading.target));
    });
    page.add("thalweg_objective_measured", "What was measured: a share, or seconds.", None, |samples| {
        each(samples, &|standing| standing.reading.measured);
    });
    page.add("thalweg_objective_samples", "From how many samples it was measured.", None, |samples| {
        each(samples, &|standing| Some(standing.reading.samples as f64));
    });
    page.add("thalweg_objective_breached", "1 where the promise is not kept.", None, |samples| {
        each(samples, &|standing| Some(truth(standing.state == State::Breached)));
    });
    page.add("thalweg_alerts", "Alerts, by what became of them.", None, |samples| {
        let alerts = &telemetry.alerts;
        for (outcome, count) in
            [("delivered", &alerts.delivered), ("failed", &alerts.failed), ("dropped", &alerts.dropped)]
        {
            samples.count(label("outcome", outcome), count.get());
        }
    });
}

fn doors(page: &mut Page, telemetry: &Telemetry) {
    let seen = || {
        let all = Door::ALL.into_iter().flat_map(|door| Operation::ALL.map(|operation| (door, operation)));
        all.map(move |(door, operation)| (door, operation, telemetry.operation(door, operation)))
            .filter(|(_, _, counts)| counts.requests() > 0)
    };
    let of = |door: Door, operation: Operation| two(("door", door.name()), ("operation", operation.name()));
    page.add("thalweg_requests", "Requests, by the code they ended with.", None, |samples| {
        for (door, operation, counts) in seen() {
            for (code, count) in CODES.iter().zip(&counts.by_code) {
                let mut labels = of(door, operation);
                labels.push(("code", (*code).to_owned()));
                samples.count(labels, count.get());
            }
        }
    });
    let help = "How long requests took that succeeded.";
    page.add("thalweg_request_duration", help, Some(Unit::Seconds), |samples| {
        seen().for_each(|(door, operation, counts)| samples.histogram(of(door, operation), counts.latency.totals()));
    });
    page.add("thalweg_request_items", "Rows written and values read.", None, |samples| {
        seen().for_each(|(door, operation, counts)| samples.count(of(door, operation), counts.items.get()));
    });
    page.add("thalweg_refused", "Requests turned away at the door: who asked, what for, how often.", None, |samples| {
        for (door, by_code) in Door::ALL.iter().zip(&telemetry.refused) {
            let codes = ["UNAUTHENTICATED", "FORBIDDEN", "RATE_LIMITED"];
            for (code, count) in CODES.iter().zip(by_code) {
                if count.get() > 0 || codes.contains(code) {
                    samples.count(two(("door", door.name()), ("code", code)), count.get());
                }
            }
        }
    });
}

fn sources(page: &mut Page, instance: &Instance, runtime: &Runtime) {
    let (telemetry, engine) = (instance.telemetry(), instance.engine());
    let (_, mut ledgers) = engine.ledgers();
    let mut names: Vec<&String> = runtime.sources.keys().collect();
    names.sort_unstable();
    let accounts: Vec<(&str, Ledger)> =
        names.into_iter().map(|name| (name.as_str(), ledgers.remove(name).unwrap_or_default())).collect();
    page.add("thalweg_source_rows_read", "Rows pushed, since ever.", None, |samples| {
        accounts.iter().for_each(|(source, ledger)| samples.count(label("source", source), ledger.read));
    });
    page.add("thalweg_source_rows", "What became of the rows pushed, since ever.", None, |samples| {
        for (source, ledger) in &accounts {
            for (outcome, rows) in [
                ("applied", ledger.applied),
                ("deduplicated", ledger.deduplicated),
                ("filtered", ledger.filtered),
                ("quarantined", ledger.quarantined),
            ] {
                samples.count(two(("source", source), ("outcome", outcome)), rows);
            }
        }
    });
    page.add("thalweg_source_pushes", "Pushes, without repeated ones, since ever.", None, |samples| {
        accounts.iter().for_each(|(source, ledger)| samples.count(label("source", source), ledger.pushes));
    });
    page.add("thalweg_source_quarantine_waiting", "Rows in quarantine that were not pushed again.", None, |samples| {
        for (source, _) in &accounts {
            if let Ok(counts) = engine.metadata().quarantine_count(source) {
                samples.level(label("source", source), counts.waiting as f64);
            }
        }
    });
    let help = "The newest event time, since the epoch.";
    page.add("thalweg_source_newest_event_time", help, Some(Unit::Seconds), |samples| {
        for (source, ledger) in &accounts {
            if let Some(newest) = ledger.newest_event_time {
                samples.level(label("source", source), newest as f64 / 1e6);
            }
        }
    });
    page.add("thalweg_source_outside_history", "Accepted rows that are in the log alone.", None, |samples| {
        for (source, ledger) in &accounts {
            if let Some(inside) = telemetry.history.applied(source) {
                samples.level(label("source", source), ledger.applied.saturating_sub(inside) as f64);
            }
        }
    });
    let help = "From the entry of a push until its rows can be read.";
    page.add("thalweg_source_freshness", help, Some(Unit::Seconds), |samples| {
        for (source, _) in &accounts {
            let counts: Arc<SourceCounts> = telemetry.sources.get(source).unwrap_or_default();
            samples.histogram(label("source", source), counts.freshness.totals());
        }
    });
}

fn views(page: &mut Page, telemetry: &Telemetry, runtime: &Runtime) {
    let mut views: Vec<(&str, &ViewRuntime)> =
        runtime.views.iter().map(|(name, view)| (name.as_str(), &**view)).collect();
    views.sort_unstable_by_key(|(name, _)| *name);
    let memory = telemetry.memory.lock().of(&views);
    let level = |page: &mut Page, name, help, value: &dyn Fn(&ViewRuntime) -> f64| {
        page.add(name, help, None, |samples| {
            views.iter().for_each(|(name, view)| samples.level(label("view", name), value(view)));
        });
    };
    let count = |page: &mut Page, name, help, value: &dyn Fn(&ViewRuntime) -> u64| {
        page.add(name, help, None, |samples| {
            views.iter().for_each(|(name, view)| samples.count(label("view", name), value(view)));
        });
    };
    level(page, "thalweg_view_entities", "Entities with state.", &|view| view.state.entities() as f64);
    level(page, "thalweg_view_ready", "1 where it is filled and can be read.", &|view| truth(view.state.is_ready()));
    count(page, "thalweg_view_applied", "Rows taken, in this process.", &|view| {
        view.state.applied.load(Ordering::Relaxed)
    });
    count(page, "thalweg_view_expired", "Rows that came later than the view's retention, in this process.", &|view| {
        view.state.expired.load(Ordering::Relaxed)
    });
    count(page, "thalweg_view_non_finite", "NaN and infinite inputs, which are skipped, in this process.", &|view| {
        view.state.non_finite.load(Ordering::Relaxed)
    });
    count(page, "thalweg_view_backfilled", "Rows taken from history, in this process.", &|view| {
        view.state.backfilled.load(Ordering::Relaxed)
    });
    let help = "What its entities take in memory, about; counted every 30 s.";
    page.add("thalweg_view_memory", help, Some(Unit::Bytes), |samples| {
        memory.iter().for_each(|(view, bytes)| samples.level(label("view", view), *bytes as f64));
    });
}

impl ViewMemory {
    /// What each view takes; counted again where that was long ago, or a view is new.
    fn of<'a>(&mut self, views: &[(&'a str, &ViewRuntime)]) -> Vec<(&'a str, u64)> {
        let fresh = self.counted.is_some_and(|counted| counted.elapsed() < MEMORY_EVERY);
        if !fresh || views.iter().any(|(name, _)| !self.by_view.contains_key(*name)) {
            self.by_view = views.iter().map(|(name, view)| ((*name).to_owned(), view.state.memory())).collect();
            self.counted = Some(Instant::now());
        }
        views.iter().map(|(name, _)| (*name, self.by_view.get(*name).copied().unwrap_or_default())).collect()
    }
}

fn services(page: &mut Page, telemetry: &Telemetry, runtime: &Runtime) {
    let mut names: Vec<&str> = runtime.services.keys().map(String::as_str).collect();
    names.sort_unstable();
    names.push(NO_SERVICE);
    let services: Vec<(&str, Arc<ServiceCounts>)> =
        names.into_iter().map(|name| (name, telemetry.services.get(name).unwrap_or_default())).collect();
    page.add("thalweg_service_reads", "Reads, by whether they were answered.", None, |samples| {
        for (service, counts) in &services {
            for (outcome, count) in [("answered", &counts.answered), ("failed", &counts.failed)] {
                samples.count(two(("service", service), ("outcome", outcome)), count.get());
            }
        }
    });
    let help = "How long reads took that were answered.";
    page.add("thalweg_service_read_duration", help, Some(Unit::Seconds), |samples| {
        services.iter().for_each(|(service, counts)| {
            samples.histogram(label("service", service), counts.latency.totals());
        });
    });
    page.add("thalweg_service_values", "Values served, by status.", None, |samples| {
        for (service, counts) in &services {
            for (status, count) in STATUSES.iter().zip(&counts.values) {
                samples.count(two(("service", service), ("status", status.name())), count.get());
            }
        }
    });
}

fn server(page: &mut Page, instance: &Instance) {
    let (telemetry, engine) = (instance.telemetry(), instance.engine());
    let one = |page: &mut Page, name, help, unit, value: f64| {
        page.add(name, help, unit, |samples| samples.level(Vec::new(), value));
    };
    let count = |page: &mut Page, name, help, value: u64| {
        page.add(name, help, None, |samples| samples.count(Vec::new(), value));
    };
    page.add("thalweg_build", "What is running.", None, |samples| {
        samples.info(label("version", env!("CARGO_PKG_VERSION")));
    });
    one(page, "thalweg_ready", "1 where reads can be answered.", None, truth(instance.ready().is_ok()));
    let help = "1 where a failed write has stopped all writing until a restart.";
    one(page, "thalweg_writing_stopped", help, None, truth(engine.has_failed()));
    let version = engine.runtime().map_or(0, |runtime| runtime.version);
    one(page, "thalweg_manifest_version", "The version in force; 0 before the first.", None, version as f64);
    one(page, "thalweg_log", "The log on disk.", Some(Unit::Bytes), engine.log_bytes() as f64);
    let age = telemetry.checkpoints.last().unwrap_or(telemetry.began).elapsed().as_secs_f64();
    let help = "Since the last checkpoint of this process, or since its start.";
    one(page, "thalweg_checkpoint_age", help, Some(Unit::Seconds), age);
    page.add("thalweg_checkpoint_duration", "How long checkpoints took.", Some(Unit::Seconds), |samples| {
        samples.histogram(Vec::new(), telemetry.checkpoints.duration.totals());
    });
    let help = "Recorded answers on disk; looked at every 5 s.";
    one(page, "thalweg_serving_log", help, Some(Unit::Bytes), instance.served_bytes() as f64);
    let help = "Answers not recorded for the check, as too many came at once.";
    count(page, "thalweg_unrecorded_answers", help, instance.unrecorded_answers());
    let checks = &telemetry.checks;
    let all: [(_, _, &Count); 3] = [
        ("thalweg_checks", "Checks done.", &checks.runs),
        ("thalweg_check_compared", "Recorded values computed again and compared.", &checks.compared),
        ("thalweg_check_mismatches", "Those among them that differed.", &checks.mismatches),
    ];
    all.into_iter().for_each(|(name, help, value)| count(page, name, help, value.get()));
    page.add("thalweg_task_failures", "Failures of background tasks; each is tried again.", None, |samples| {
        for task in Task::ALL {
            samples.count(label("task", task.name()), telemetry.task_failures[task as usize].get());
        }
    });
}

fn history(page: &mut Page, instance: &Instance) {
    let history = &instance.telemetry().history;
    page.add("thalweg_history_commits", "Commits to tables of history.", None, |samples| {
        samples.count(Vec::new(), history.commits.get());
    });
    page.add("thalweg_history_rows", "Rows written to history.", None, |samples| {
        samples.count(Vec::new(), history.rows.get());
    });
    let outside = match history.until() {
        Some(until) => instance.engine().applied_until().saturating_sub(until),
        None => instance.rows_outside_history(),
    };
    page.add("thalweg_history_outside", "Rows that are in the log alone, about.", None, |samples| {
        samples.level(Vec::new(), outside as f64);
    });
}

fn machine(page: &mut Page, instance: &Instance) {
    let facts = process::process();
    let level = |page: &mut Page, name, help, unit, value: Option<f64>| {
        page.add(name, help, unit, |samples| {
            if let Some(value) = value {
                samples.level(Vec::new(), value);
            }
        });
    };
    let bytes = || Some(Unit::Bytes);
    let disk = process::disk(&instance.settings().data);
    let (free, total) = (disk.map(|disk| disk.free_bytes as f64), disk.map(|disk| disk.total_bytes as f64));
    level(page, "thalweg_disk_free", "What is free on the disk of the data directory.", bytes(), free);
    level(page, "thalweg_disk_size", "The size of the disk of the data directory.", bytes(), total);
    let resident = facts.resident_bytes.map(|bytes| bytes as f64);
    level(page, "process_resident_memory", "Memory of the process.", bytes(), resident);
    level(page, "process_open_fds", "Open files.", None, facts.open_files.map(|files| files as f64));
    level(page, "process_max_fds", "Files that may be open.", None, facts.max_files.map(|files| files as f64));
    let help = "When the process started, since the epoch.";
    level(page, "process_start_time", help, Some(Unit::Seconds), facts.started);
    page.add("process_cpu", "Processor time of the process.", Some(Unit::Seconds), |samples| {
        if let Some(seconds) = facts.cpu_seconds {
            samples.amount(Vec::new(), seconds);
        }
    });
}
