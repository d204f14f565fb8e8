//! What happened, as numbers that a request adds to without waiting, allocating or looking a name up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper edges of the buckets of a histogram, in microseconds: 50 µs to 10 s. One more bucket has what took longer.
pub const EDGES: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];
pub const BUCKETS: usize = EDGES.len() + 1;

/// How requests end. The last one stands for every code that is not listed.
pub const CODES: [&str; 14] = [
    "OK",
    "NOT_FOUND",
    "INVALID",
    "BREAKING",
    "OVERLOADED",
    "UNAVAILABLE",
    "STORAGE",
    "CANCELLED",
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "RATE_LIMITED",
    "DEADLINE",
    "INTERNAL",
    "OTHER",
];

/// The codes that are the server's own fault or that of the machine under it: the caller did nothing wrong, and got
/// nothing.
const FAULTS: [&str; 5] = ["OVERLOADED", "UNAVAILABLE", "STORAGE", "INTERNAL", "OTHER"];

/// The place in [`CODES`] of an outcome; `error` is the code of the failure.
pub fn code_index(error: Option<&str>) -> usize {
    let Some(error) = error else { return 0 };
    CODES.iter().position(|code| *code == error).unwrap_or(CODES.len() - 1)
}

/// Whether a request that ended with this code counts against availability.
pub fn is_fault(code: &str) -> bool {
    FAULTS.contains(&CODES[code_index(Some(code))])
}

/// A counter; reading it while others add to it is fine.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Lengths of time, by bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Count; BUCKETS],
    nanos: Count,
}

impl Histogram {
    pub fn observe(&self, elapsed: Duration) {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[EDGES.partition_point(|edge| edge * 1000 < nanos)].add(1);
        self.nanos.add(nanos);
    }

    pub fn totals(&self) -> HistogramTotals {
        HistogramTotals {
            buckets: std::array::from_fn(|bucket| self.buckets[bucket].get()),
            seconds: self.nanos.get() as f64 / 1e9,
        }
    }
}

/// A histogram as it was at one time.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct HistogramTotals {
    pub buckets: [u64; BUCKETS],
    /// The sum of all that was observed.
    pub seconds: f64,
}

impl HistogramTotals {
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(own, other)| *own += other);
        self.seconds += other.seconds;
    }

    /// What came since an earlier state of the same histogram.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            buckets: std::array::from_fn(|bucket| self.buckets[bucket].saturating_sub(earlier.buckets[bucket])),
            seconds: self.seconds - earlier.seconds,
        }
    }

    /// The value in seconds below which a share of what was observed lies, evenly spread within its bucket; 10 s where
    /// it lies past the last edge. None where nothing was observed.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = share * count as f64;
        let mut below = 0.0;
        for (bucket, inside) in self.buckets.iter().enumerate() {
            let inside = *inside as f64;
            if inside > 0.0 && below + inside >= rank {
                let Some(upper) = EDGES.get(bucket) else { break };
                let lower = if bucket == 0 { 0 } else { EDGES[bucket - 1] };
                let part = (rank - below) / inside;
                return Some((lower as f64 + part * (upper - lower) as f64) / 1e6);
            }
            below += inside;
        }
        Some(EDGES[EDGES.len() - 1] as f64 / 1e6)
    }
}

/// One operation at one door.
#[derive(Debug, Default)]
pub struct OperationCounts {
    /// By place in [`CODES`].
    pub by_code: [Count; CODES.len()],
    /// Of those that succeeded: a refusal is quick, and would flatter.
    pub latency: Histogram,
    /// Rows or values.
    pub items: Count,
}

impl OperationCounts {
    pub fn observed(&self, elapsed: Duration, error: Option<&str>, items: u64) {
        self.by_code[code_index(error)].add(1);
        if error.is_none() {
            self.latency.observe(elapsed);
        }
        if items > 0 {
            self.items.add(items);
        }
    }

    pub fn requests(&self) -> u64 {
        self.by_code.iter().map(Count::get).sum()
    }

    /// Requests that failed by the server's own fault.
    pub fn faults(&self) -> u64 {
        CODES.iter().zip(&self.by_code).filter(|(code, _)| FAULTS.contains(code)).map(|(_, count)| count.get()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_an_edge_is_in_the_bucket_below_it() {
        let histogram = Histogram::default();
        for micros in [1, 50, 51, 10_000_000, 10_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let totals = histogram.totals();
        assert_eq!((totals.buckets[0], totals.buckets[1]), (2, 1));
        assert_eq!((totals.buckets[BUCKETS - 2], totals.buckets[BUCKETS - 1]), (1, 1));
        assert_eq!(totals.count(), 5);
    }

    #[test]
    fn quantiles_are_within_their_bucket() {
        let histogram = Histogram::default();
        assert_eq!(histogram.totals().quantile(0.99), None);
        (0..99).for_each(|_| histogram.observe(Duration::from_micros(80)));
        histogram.observe(Duration::from_millis(40));
        let totals = histogram.totals();
        assert!((totals.quantile(0.99).unwrap() - 100e-6).abs() < 1e-9);
        let slowest = totals.quantile(1.0).unwrap();
        assert!((25e-3..=50e-3).contains(&slowest), "{slowest}");
        let late = Histogram::default();
        late.observe(Duration::from_secs(60));
        assert_eq!(late.totals().quantile(0.5), Some(10.0));
    }

    #[test]
    fn an_unknown_code_counts_as_a_fault() {
        let counts = OperationCounts::default();
        for error in [None, Some("INVALID"), Some("RATE_LIMITED"), Some("STORAGE"), Some("NEW")] {
            counts.observed(Duration::from_micros(1), error, 1);
        }
        assert_eq!((counts.requests(), counts.faults()), (5, 2));
        assert_eq!(counts.latency.totals().count(), 1);
        assert!(is_fault("INTERNAL") && is_fault("NEW") && !is_fault("NOT_FOUND"));
    }
}
