//! The counts of what goes on in the background: history, checkpoints, checks, and tasks that fail.

use super::counts::{Count, Histogram};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use thalweg_engine::Ledger;

/// The way of rows into history.
#[derive(Default)]
pub struct HistoryCounts {
    pub commits: Count,
    pub rows: Count,
    reached: Mutex<Option<Reached>>,
}

/// How far history goes.
struct Reached {
    /// The first sequence that is not in it.
    until: u64,
    /// Rows accepted by then, by source.
    applied: HashMap<String, u64>,
}

impl HistoryCounts {
    /// Counts a commit to a table.
    pub fn committed(&self, rows: u64) {
        self.commits.add(1);
        self.rows.add(rows);
    }

    /// History has everything before a sequence; `ledgers` are the accounts at that sequence.
    pub fn reached(&self, until: u64, ledgers: &HashMap<String, Ledger>) {
        let applied = ledgers.iter().map(|(source, ledger)| (source.clone(), ledger.applied)).collect();
        *self.reached.lock() = Some(Reached { until, applied });
    }

    /// The first sequence that is not in history; none until it was first written in this process.
    pub fn until(&self) -> Option<u64> {
        self.reached.lock().as_ref().map(|reached| reached.until)
    }

    /// How many of a source's rows are in history; none until it was first written in this process.
    pub fn applied(&self, source: &str) -> Option<u64> {
        self.reached.lock().as_ref().map(|reached| reached.applied.get(source).copied().unwrap_or_default())
    }
}

#[derive(Default)]
pub struct CheckpointCounts {
    pub duration: Histogram,
    last: Mutex<Option<Instant>>,
}

impl CheckpointCounts {
    /// Counts a checkpoint that was written just now.
    pub fn written(&self, elapsed: Duration) {
        self.duration.observe(elapsed);
        *self.last.lock() = Some(Instant::now());
    }

    /// When this process last wrote one.
    pub fn last(&self) -> Option<Instant> {
        *self.last.lock()
    }
}

#[derive(Default)]
pub struct CheckCounts {
    pub runs: Count,
    pub compared: Count,
    pub mismatches: Count,
    newest: Mutex<Option<(u64, u64)>>,
}

impl CheckCounts {
    pub fn done(&self, compared: u64, mismatches: u64) {
        self.runs.add(1);
        self.compared.add(compared);
        self.mismatches.add(mismatches);
        if compared > 0 {
            *self.newest.lock() = Some((compared, mismatches));
        }
    }

    /// Compared and mismatches of the newest check that compared anything.
    pub fn newest(&self) -> Option<(u64, u64)> {
        *self.newest.lock()
    }
}

/// The background tasks that can fail and are then tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    History,
    Checkpoint,
    ServingLog,
    Agreement,
}

impl Task {
    pub const ALL: [Self; 4] = [Self::History, Self::Checkpoint, Self::ServingLog, Self::Agreement];

    pub fn name(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Checkpoint => "checkpoint",
            Self::ServingLog => "serving_log",
            Self::Agreement => "agreement",
        }
    }
}
