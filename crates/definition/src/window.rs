//! Which stretch of time a feature covers at a query time. The arithmetic on it is in `aggregate`.

use crate::duration::Duration;
use std::fmt;

/// The rows a feature sees at query time `q`, by their event time `t`; the head is always exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Window {
    /// `q - over <= t < q`, or with a hop `floor(q - over, hop) <= t < q`.
    Sliding { over: Duration, hop: Option<Duration> },
    /// The last complete one: `floor(q, over) - over <= t < floor(q, over)`.
    Tumbling { over: Duration },
    /// `floor(q, over) <= t < q`.
    ToDate { over: Duration },
    /// `t < q`.
    Unbounded,
}

impl Window {
    /// The longest time before the query time that the window can reach, or none where it has no end.
    /// A day in a time zone with daylight saving can be 25 hours long, hence the slack.
    pub fn reach(&self) -> Option<Duration> {
        let micros = match self {
            Self::Sliding { over, hop } => over.micros() + hop.map_or(0, zone_slack),
            Self::Tumbling { over } => over.micros() + zone_slack(*over),
            Self::ToDate { over } => zone_slack(*over),
            Self::Unbounded => return None,
        };
        Some(Duration::from_micros(micros))
    }

    /// What a feature's name gets appended for this window (`_7d`, `_7d_hop_1h`, `_tumbling_1d`, `_to_date_1d`).
    pub fn suffix(&self) -> String {
        match self {
            Self::Sliding { over, hop: None } => format!("_{over}"),
            Self::Sliding { over, hop: Some(hop) } => format!("_{over}_hop_{hop}"),
            Self::Tumbling { over } => format!("_tumbling_{over}"),
            Self::ToDate { over } => format!("_to_date_{over}"),
            Self::Unbounded => String::new(),
        }
    }

    /// The unit to which edges are aligned, where they are.
    pub fn alignment(&self) -> Option<Duration> {
        match self {
            Self::Sliding { hop, .. } => *hop,
            Self::Tumbling { over } | Self::ToDate { over } => Some(*over),
            Self::Unbounded => None,
        }
    }
}

fn zone_slack(unit: Duration) -> i64 {
    unit.micros() + if unit.is_whole_days() { 2 * crate::duration::HOUR } else { 0 }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sliding { over, hop: None } => write!(f, "over {over}"),
            Self::Sliding { over, hop: Some(hop) } => write!(f, "over {over}, hop {hop}"),
            Self::Tumbling { over } => write!(f, "tumbling {over}"),
            Self::ToDate { over } => write!(f, "to date {over}"),
            Self::Unbounded => f.write_str("unbounded"),
        }
    }
}
