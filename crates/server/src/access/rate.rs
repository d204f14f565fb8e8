//! How many requests a key may send: a token bucket that holds one second's worth, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

const SECOND: u64 = 1_000_000_000;

/// A bucket, kept as the one time at which it would be full again.
#[derive(Debug)]
pub struct Bucket {
    pub per_second: u32,
    /// Nanoseconds in which one token comes back.
    interval: u64,
    full_at: AtomicU64,
}

impl Bucket {
    /// `per_second` is at least 1.
    pub fn new(per_second: u32) -> Self {
        Self { per_second, interval: SECOND / u64::from(per_second.max(1)), full_at: AtomicU64::new(0) }
    }

    /// Takes a token at a time in nanoseconds since whenever; without one, in how many milliseconds there will be one.
    pub fn take(&self, now: u64) -> Result<(), u64> {
        // A bucket that holds another token is full again within a second less one token's time.
        let latest = SECOND - self.interval;
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let from = full_at.max(now);
            let ahead = from - now;
            if ahead > latest {
                return Err((ahead - latest).div_ceil(1_000_000));
            }
            let next = from + self.interval;
            match self.full_at.compare_exchange_weak(full_at, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(seen) => full_at = seen,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &Bucket, now: u64, tries: u32) -> u32 {
        (0..tries).filter(|_| bucket.take(now).is_ok()).count() as u32
    }

    #[test]
    fn a_second_s_worth_at_once_and_then_by_and_by() {
        let bucket = Bucket::new(100);
        let start = 77 * SECOND;
        assert_eq!(taken(&bucket, start, 1000), 100);
        assert_eq!(bucket.take(start), Err(10));
        assert_eq!(taken(&bucket, start + SECOND / 2, 1000), 50);
        assert_eq!(taken(&bucket, start + SECOND / 2 + 5_000_000, 1000), 0);
        // However long it stood still, it holds no more than a second's worth.
        assert_eq!(taken(&bucket, start + 3600 * SECOND, 1000), 100);
    }

    #[test]
    fn one_a_second_and_rates_that_do_not_divide_a_second() {
        let bucket = Bucket::new(1);
        assert_eq!(bucket.take(SECOND), Ok(()));
        assert_eq!(bucket.take(SECOND + SECOND / 4), Err(750));
        assert_eq!(bucket.take(2 * SECOND), Ok(()));
        assert_eq!(taken(&Bucket::new(3), 9 * SECOND, 10), 3);
    }

    #[test]
    fn threads_share_it() {
        let bucket = Bucket::new(1000);
        let all: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| taken(&bucket, SECOND, 1000))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(all, 1000);
    }
}
