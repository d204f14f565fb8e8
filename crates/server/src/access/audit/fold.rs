//! A flood of denials becomes a few lines: the first ones of each peer are written, the rest of a minute is counted.

use crate::access::limits::{
    AUDIT_FOLD_WINDOW_US, AUDIT_FOLDED_PEERS, AUDIT_SINGLE_DENIALS, AUDIT_SINGLE_DENIALS_OF_ALL,
};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;

/// What is counted together.
type Origin = (Option<IpAddr>, &'static str);

/// The denials of the minutes under way, by peer and code.
#[derive(Default)]
pub struct Folds {
    windows: HashMap<Origin, Window>,
    /// Of all of them together: the minute under way, and what was written in it.
    began_us: i64,
    written: u64,
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
        let peer = peer.map(network);
        if !minute(self.began_us).contains(&now_us) {
            (self.began_us, self.written) = (now_us, 0);
        }
        let full = self.windows.len() >= AUDIT_FOLDED_PEERS && !self.windows.contains_key(&(peer, code));
        let origin = if full { (None, code) } else { (peer, code) };
        let window = self.windows.entry(origin).or_insert(Window { began_us: now_us, written: 0, counted: 0 });
        let single = window.written < AUDIT_SINGLE_DENIALS && self.written < AUDIT_SINGLE_DENIALS_OF_ALL;
        *(if single { &mut window.written } else { &mut window.counted }) += 1;
        self.written += u64::from(single);
        single
    }

    /// Ends the minutes that are over, and returns what was counted in them.
    pub fn ended(&mut self, now_us: i64) -> Vec<Folded> {
        let mut folded = Vec::new();
        self.windows.retain(|(peer, code), window| {
            let going_on = minute(window.began_us).contains(&now_us);
            if !going_on && window.counted > 0 {
                folded.push(Folded { peer: *peer, code, count: window.counted });
            }
            going_on
        });
        folded
    }
}

/// The minute from a time on. A clock that was set back ends it too.
fn minute(began_us: i64) -> Range<i64> {
    began_us..began_us.saturating_add(AUDIT_FOLD_WINDOW_US)
}

/// What is told apart as one peer: of IPv6 the network, as whoever has one has all of its addresses.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
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
        assert_eq!(written, AUDIT_FOLDED_PEERS as u64 + AUDIT_SINGLE_DENIALS);
        assert_eq!(folds.windows.len(), AUDIT_FOLDED_PEERS + 1);
        let folded = folds.ended(i64::MAX);
        assert_eq!(folded, [Folded { peer: None, code: "FORBIDDEN", count: all - written }]);
        assert!(folds.windows.is_empty());
    }

    #[test]
    fn many_peers_together_are_bounded_and_a_network_is_one() {
        let mut folds = Folds::default();
        let mut written = 0;
        for number in 0..100_000 {
            written += u64::from(folds.admit(peer(number % 500), "FORBIDDEN", 1));
        }
        assert_eq!(written, AUDIT_SINGLE_DENIALS_OF_ALL);
        let later = AUDIT_FOLD_WINDOW_US + 1;
        assert_eq!(folds.ended(later).iter().map(|folded| folded.count).sum::<u64>(), 100_000 - written);
        let address = |host: u128| Some(IpAddr::from(((0x2001_0db8_u128 << 96) | host).to_be_bytes()));
        let written = (0..500).filter(|host| folds.admit(address(*host), "FORBIDDEN", later)).count() as u64;
        assert_eq!(written, AUDIT_SINGLE_DENIALS);
        assert_eq!(folds.ended(i64::MAX), [Folded { peer: address(0), code: "FORBIDDEN", count: 400 }]);
    }
}
