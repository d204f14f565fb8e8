//! A flood of denials becomes a few lines: the first ones of each peer are written, the rest of a minute is counted.

use crate::access::limits::{AUDIT_FOLD_WINDOW_US, AUDIT_FOLDED_PEERS, AUDIT_SINGLE_DENIALS};
use std::collections::HashMap;
use std::net::IpAddr;

/// What is counted together.
type Origin = (Option<IpAddr>, &'static str);

/// The denials of the minutes under way, by peer and code.
#[derive(Default)]
pub struct Folds {
    windows: HashMap<Origin, Window>,
}

struct Window {
    began_us: i64,
    written: u64,
    counted: u64,
}

/// Denials that were counted instead of being written.
#[derive(Debug, PartialEq, Eq)]
pub struct Folded {
    /// None: of several peers, past the bound of those told apart.
    pub peer: Option<IpAddr>,
    pub code: &'static str,
    pub count: u64,
}

impl Folds {
    /// Whether this denial is to be written; otherwise it was counted.
    pub fn admit(&mut self, peer: Option<IpAddr>, code: &'static str, now_us: i64) -> bool {
        let full = self.windows.len() >= AUDIT_FOLDED_PEERS && !self.windows.contains_key(&(peer, code));
        let origin = if full { (None, code) } else { (peer, code) };
        let window = self.windows.entry(origin).or_insert(Window { began_us: now_us, written: 0, counted: 0 });
        let single = window.written < AUDIT_SINGLE_DENIALS;
        *(if single { &mut window.written } else { &mut window.counted }) += 1;
        single
    }

    /// Ends the minutes that are over, and returns what was counted in them.
    pub fn ended(&mut self, now_us: i64) -> Vec<Folded> {
        let mut folded = Vec::new();
        self.windows.retain(|(peer, code), window| {
            // A clock that was set back ends a minute too.
            let end = window.began_us.saturating_add(AUDIT_FOLD_WINDOW_US);
            let going_on = (window.began_us..end).contains(&now_us);
            if !going_on && window.counted > 0 {
                folded.push(Folded { peer: *peer, code, count: window.counted });
            }
            going_on
        });
        folded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn peer(number: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(Ipv4Addr::from(number)))
    }

    #[test]
    fn past_a_hundred_in_a_minute_they_are_counted() {
        let mut folds = Folds::default();
        let written = (0..250).filter(|at| folds.admit(peer(1), "FORBIDDEN", *at)).count() as u64;
        assert_eq!(written, AUDIT_SINGLE_DENIALS);
        assert!(folds.admit(peer(2), "FORBIDDEN", 1) && folds.admit(peer(1), "UNAUTHENTICATED", 1));
        assert!(folds.ended(AUDIT_FOLD_WINDOW_US - 1).is_empty());
        let folded = folds.ended(AUDIT_FOLD_WINDOW_US + 1);
        assert_eq!(folded, [Folded { peer: peer(1), code: "FORBIDDEN", count: 150 }]);
        // A new minute.
        assert!(folds.admit(peer(1), "FORBIDDEN", AUDIT_FOLD_WINDOW_US + 1));
    }

    #[test]
    fn peers_without_end_take_no_memory_without_end() {
        let mut folds = Folds::default();
        let all = AUDIT_FOLDED_PEERS as u64 + 1000;
        let written = (0..all).filter(|number| folds.admit(peer(*number as u32), "FORBIDDEN", 0)).count() as u64;
        assert_eq!(folds.windows.len(), AUDIT_FOLDED_PEERS + 1);
        let folded = folds.ended(i64::MAX);
        assert_eq!(folded, [Folded { peer: None, code: "FORBIDDEN", count: all - written }]);
        assert!(folds.windows.is_empty());
    }
}
