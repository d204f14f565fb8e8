//! Seed after seed until the budget is used up, and what came of it.

use crate::promises::{Broken, Promise};
use crate::run::{Report, Tally, run};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// What the last panic said.
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// When to stop; with nothing set, after one run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Budget {
    pub seconds: Option<f64>,
    pub runs: Option<u64>,
    pub crashes: Option<u64>,
}

/// A run that broke a promise.
#[derive(Debug, Clone)]
pub struct Failure {
    pub report: Report,
    /// What repeats it.
    pub line: String,
}

/// All runs so far.
#[derive(Debug, Clone)]
pub struct Campaign {
    pub seed_first: u64,
    pub runs: u64,
    pub tally: Tally,
    pub failures: Vec<Failure>,
}

impl Budget {
    fn is_over(&self, campaign: &Campaign, began: Instant) -> bool {
        let unset = self.seconds.is_none() && self.runs.is_none() && self.crashes.is_none();
        (unset && campaign.runs >= 1)
            || self.seconds.is_some_and(|seconds| began.elapsed() >= Duration::from_secs_f64(seconds))
            || self.runs.is_some_and(|runs| campaign.runs >= runs)
            || self.crashes.is_some_and(|crashes| campaign.tally.crashes >= crashes)
    }
}

impl Campaign {
    /// Runs seeds from `seed_first` on; `each` sees every report, and says whether to go on.
    pub fn go(seed_first: u64, budget: Budget, verbose: bool, mut each: impl FnMut(&Self, &Report) -> bool) -> Self {
        let began = Instant::now();
        let mut campaign = Self { seed_first, runs: 0, tally: Tally::default(), failures: Vec::new() };
        while !budget.is_over(&campaign, began) {
            let report = guarded(seed_first.wrapping_add(campaign.runs), None, verbose);
            campaign.runs += 1;
            campaign.tally.add(&report.tally);
            if report.broken.is_some() {
                let line = format!("simulate --seed {} --runs 1", report.seed);
                campaign.failures.push(Failure { report: report.clone(), line });
            }
            if !each(&campaign, &report) {
                break;
            }
        }
        campaign
    }

    /// The last line of the command.
    pub fn as_json(&self) -> Value {
        let checked: Map<String, Value> =
            Promise::ALL.iter().map(|one| (one.name().to_owned(), json!(self.tally.checked.count(*one)))).collect();
        let broken: Vec<String> = self.failures.iter().map(Failure::text).collect();
        json!({
            "seed_first": self.seed_first,
            "runs": self.runs,
            "steps": self.tally.steps,
            "crashes": self.tally.crashes,
            "checked": checked,
            "values": self.tally.values,
            "broken": broken,
        })
    }
}

impl Failure {
    /// The promise, the step, what was seen, and the line that repeats it.
    pub fn text(&self) -> String {
        match &self.report.broken {
            Some((step, broken)) => format!("{broken} (step {step}); repeat it with: {}", self.line),
            None => self.line.clone(),
        }
    }
}

/// Runs a seed, and reports a panic as a promise that broke.
pub fn guarded(seed: u64, only: Option<&[u64]>, verbose: bool) -> Report {
    let at = Cell::new(0);
    LAST_PANIC.lock().clear();
    let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, only, verbose, &at)));
    let whole = outcome.map(|mut report| {
        report.tally.checked.once_more(Promise::NeverPanics);
        report
    });
    whole.unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let said = said.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        let kept = LAST_PANIC.lock().clone();
        let what = if kept.is_empty() { said } else { kept };
        let broken = Broken { promise: Promise::NeverPanics, what };
        Report { seed, tally: Tally::default(), trace: 0, broken: Some((at.get(), broken)) }
    })
}

/// Panics are kept for the report, with their place, instead of being written out.
pub fn keep_panics_quiet() {
    std::panic::set_hook(Box::new(|panic| *LAST_PANIC.lock() = panic.to_string()));
}
