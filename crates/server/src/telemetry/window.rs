//! What was counted within a sliding window: states of the counters are kept at fixed steps, and the newest is
//! compared with the one at the window's beginning. Requests pay nothing for it.

use super::counts::HistogramTotals;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Steps of a window.
const SLOTS: u32 = 60;

/// Counters of all doors that objectives are about, since the process began.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Totals {
    /// Reads of features and writes of rows.
    pub requests: u64,
    /// Those among them that failed by the server's own fault.
    pub faults: u64,
    /// Reads that were answered.
    pub reads: HistogramTotals,
    /// Writes that were acknowledged.
    pub writes: u64,
}

/// What a window holds.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Measured {
    pub totals: Totals,
    /// The longest that a write took from entry to acknowledgement.
    pub slowest_write: Duration,
}

/// The states of the counters at the ends of the steps, oldest first; at most one is older than the window.
#[derive(Debug, Default)]
pub struct Window {
    slots: VecDeque<Slot>,
    /// Of the step under way.
    slowest_write: Duration,
}

#[derive(Debug)]
struct Slot {
    end: Instant,
    totals: Totals,
    /// Within the step.
    slowest_write: Duration,
}

impl Window {
    /// Takes in the counters as they are now, and says what the last `length` brought. `slowest_write` is that since
    /// the call before.
    pub fn measure(&mut self, now: Instant, length: Duration, totals: Totals, slowest_write: Duration) -> Measured {
        self.slowest_write = self.slowest_write.max(slowest_write);
        let inside = |end: Instant| now.saturating_duration_since(end) < length;
        // The newest state from before the window is what the window is measured against.
        while self.slots.len() > 1 && !inside(self.slots[1].end) {
            self.slots.pop_front();
        }
        let before = self.slots.front().filter(|slot| !inside(slot.end)).map(|slot| slot.totals).unwrap_or_default();
        let slowest = self.slots.iter().filter(|slot| inside(slot.end)).map(|slot| slot.slowest_write).max();
        let measured = Measured {
            totals: Totals {
                requests: totals.requests.saturating_sub(before.requests),
                faults: totals.faults.saturating_sub(before.faults),
                reads: totals.reads.since(&before.reads),
                writes: totals.writes.saturating_sub(before.writes),
            },
            slowest_write: self.slowest_write.max(slowest.unwrap_or_default()),
        };
        let due = self.slots.back().is_none_or(|last| now.saturating_duration_since(last.end) >= length / SLOTS);
        if due {
            self.slots.push_back(Slot { end: now, totals, slowest_write: std::mem::take(&mut self.slowest_write) });
        }
        measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(requests: u64, faults: u64) -> Totals {
        Totals { requests, faults, ..Totals::default() }
    }

    #[test]
    fn what_is_older_than_the_window_is_out_of_it() {
        let (mut window, begin) = (Window::default(), Instant::now());
        let length = Duration::from_secs(60);
        let mut at = |second: u64, requests, faults, slowest| {
            let now = begin + Duration::from_secs(second);
            let measured = window.measure(now, length, totals(requests, faults), Duration::from_millis(slowest));
            (measured.totals.requests, measured.totals.faults, measured.slowest_write.as_millis() as u64)
        };
        assert_eq!(at(0, 10, 5, 900), (10, 5, 900));
        assert_eq!(at(30, 110, 5, 20), (110, 5, 900));
        // The first state is now the window's beginning, and what led to it is out.
        assert_eq!(at(61, 120, 5, 10), (110, 0, 20));
        assert_eq!(at(100, 120, 5, 0), (10, 0, 10));
        assert_eq!(at(300, 120, 5, 0), (0, 0, 0));
    }

    #[test]
    fn the_steps_kept_are_bounded() {
        let (mut window, begin) = (Window::default(), Instant::now());
        for tick in 0..10_000 {
            let now = begin + Duration::from_millis(250 * tick);
            window.measure(now, Duration::from_secs(60), totals(tick, 0), Duration::ZERO);
        }
        assert!(window.slots.len() <= SLOTS as usize + 2, "{}", window.slots.len());
    }
}
