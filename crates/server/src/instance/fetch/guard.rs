//! Keeps a service that fails from being asked again and again: after a failure the same key rests for a moment, and
//! after several failures in a row the whole feature does. Knows no clock: it is told the time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a key that could not be fetched is not asked for again.
pub const KEY_PAUSE: Duration = Duration::from_secs(1);
/// Failures of the service in a row after which a feature rests.
pub const FAILURES_IN_A_ROW: u32 = 5;
/// How long a feature rests; then one key is tried.
pub const FEATURE_PAUSE: Duration = Duration::from_secs(3);
/// Keys whose rest is remembered.
pub const MAX_RESTING_KEYS: usize = 10_000;

/// A feature's source and a key.
pub type Place = (String, Box<[u8]>);

/// What an answer, or its absence, says of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    Good,
    /// It works, but not for this key.
    BadKey,
    /// It does not work.
    Bad,
    /// It was not asked.
    Unknown,
}

#[derive(Default)]
pub struct Guard {
    /// Until when each rests.
    keys: HashMap<Place, Instant>,
    /// When the memory of keys is looked through next, once it is full.
    sweep_at: Option<Instant>,
    /// By the feature's source.
    features: HashMap<String, Failures>,
}

#[derive(Default)]
struct Failures {
    in_a_row: u32,
    rests_until: Option<Instant>,
}

impl Guard {
    /// Whether a key may be asked for now. After a rest the one that is let through is the trial; others wait for it.
    pub fn admits(&mut self, place: &Place, now: Instant) -> bool {
        if self.keys.get(place).is_some_and(|until| *until > now) {
            return false;
        }
        let Some(failures) = self.features.get_mut(&place.0).filter(|one| one.in_a_row >= FAILURES_IN_A_ROW) else {
            return true;
        };
        if failures.rests_until.is_some_and(|until| until > now) {
            return false;
        }
        failures.rests_until = Some(now + FEATURE_PAUSE);
        true
    }

    /// Takes note of an answer; returns whether the feature begins to rest with it.
    pub fn learns(&mut self, place: &Place, health: Health, now: Instant) -> bool {
        match health {
            Health::Unknown => return false,
            Health::Good => {
                self.keys.remove(place);
                self.features.remove(&place.0);
                return false;
            }
            Health::BadKey | Health::Bad => self.rest(place, now),
        }
        if health == Health::BadKey {
            self.features.remove(&place.0);
            return false;
        }
        let failures = self.features.entry(place.0.clone()).or_default();
        failures.in_a_row = failures.in_a_row.saturating_add(1);
        if failures.in_a_row < FAILURES_IN_A_ROW {
            return false;
        }
        failures.rests_until = Some(now + FEATURE_PAUSE);
        failures.in_a_row == FAILURES_IN_A_ROW
    }

    fn rest(&mut self, place: &Place, now: Instant) {
        if self.keys.len() >= MAX_RESTING_KEYS && self.sweep_at.is_none_or(|at| at <= now) {
            self.keys.retain(|_, until| *until > now);
            self.sweep_at = Some(now + KEY_PAUSE);
        }
        // Where so many keys rest already, the feature's own rest has to do.
        if self.keys.len() < MAX_RESTING_KEYS {
            self.keys.insert(place.clone(), now + KEY_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(key: u8) -> Place {
        ("users__score".to_owned(), [key].as_slice().into())
    }

    #[test]
    fn a_key_rests_for_a_moment() {
        let (mut guard, now) = (Guard::default(), Instant::now());
        guard.learns(&place(1), Health::BadKey, now);
        assert!(!guard.admits(&place(1), now + KEY_PAUSE / 2));
        assert!(guard.admits(&place(2), now));
        assert!(guard.admits(&place(1), now + KEY_PAUSE));
    }

    #[test]
    fn a_feature_rests_after_failures_in_a_row_and_is_tried_with_one_key() {
        let (mut guard, now) = (Guard::default(), Instant::now());
        for key in 0..4 {
            assert!(!guard.learns(&place(key), Health::Bad, now));
            assert!(guard.admits(&place(100), now));
        }
        assert!(guard.learns(&place(4), Health::Bad, now), "the fifth");
        assert!(!guard.admits(&place(100), now + FEATURE_PAUSE / 2));
        let later = now + FEATURE_PAUSE;
        assert!(guard.admits(&place(100), later), "the trial");
        assert!(!guard.admits(&place(101), later), "others wait for it");
        assert!(!guard.learns(&place(100), Health::Bad, later));
        assert!(!guard.admits(&place(101), later + FEATURE_PAUSE / 2));
        guard.learns(&place(100), Health::Good, later + FEATURE_PAUSE);
        assert!(guard.admits(&place(101), later + FEATURE_PAUSE));
    }

    #[test]
    fn keys_that_a_working_service_does_not_know_do_not_stop_the_feature() {
        let (mut guard, now) = (Guard::default(), Instant::now());
        for key in 0..20 {
            assert!(!guard.learns(&place(key), Health::BadKey, now));
        }
        assert!(guard.admits(&place(100), now));
    }

    #[test]
    fn the_memory_of_keys_is_bounded() {
        let (mut guard, now) = (Guard::default(), Instant::now());
        for key in 0..2 * MAX_RESTING_KEYS as u32 {
            let place = ("f".to_owned(), key.to_le_bytes().as_slice().into());
            guard.learns(&place, Health::BadKey, now);
        }
        assert_eq!(guard.keys.len(), MAX_RESTING_KEYS);
        guard.learns(&place(1), Health::BadKey, now + KEY_PAUSE);
        assert_eq!(guard.keys.len(), 1);
    }
}
