//! The account of a source: `read = applied + deduplicated + filtered + quarantined`, always.

use crate::batch::Ack;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    pub read: u64,
    pub applied: u64,
    pub deduplicated: u64,
    pub filtered: u64,
    pub quarantined: u64,
    /// Pushes, without repeated ones.
    pub pushes: u64,
    /// The newest event time, in microseconds.
    pub newest_event_time: Option<i64>,
}

impl Ledger {
    pub fn add(&mut self, ack: &Ack, newest: Option<i64>) {
        self.read += ack.read;
        self.applied += ack.applied;
        self.deduplicated += ack.deduplicated;
        self.filtered += ack.filtered;
        self.quarantined += ack.quarantined;
        self.pushes += 1;
        self.newest_event_time = self.newest_event_time.max(newest);
    }
}
