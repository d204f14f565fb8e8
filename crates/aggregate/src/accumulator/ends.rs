//! `first`, `last`, `first_k`, `last_k`, `latest`: values by their place in the total order of events.

use super::Kind;
use super::fits::value_fits;
use crate::cell::{Cell, Value};
use crate::layout::Stamp;
use serde::{Deserialize, Serialize};
use thalweg_definition::DataType;

/// The first or the last few inputs, in the order of events.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ends {
    /// Sorted by stamp (time, sequence).
    entries: Vec<(i64, u64, Value)>,
}

impl Ends {
    pub fn add(&mut self, kind: Kind, stamp: Stamp, cell: Cell<'_>) {
        let at = (stamp.time, stamp.sequence);
        let (keep, last) = shape(kind);
        if self.entries.len() == keep {
            let bound = if last { self.entries.first() } else { self.entries.last() };
            let bound = bound.map(|(time, sequence, _)| (*time, *sequence));
            if bound.is_some_and(|bound| if last { at < bound } else { at > bound }) {
                return;
            }
        }
        self.insert(keep, last, at, cell.to_value());
    }

    pub fn merge(&mut self, kind: Kind, other: &Self) {
        let (keep, last) = shape(kind);
        for (time, sequence, value) in &other.entries {
            self.insert(keep, last, (*time, *sequence), value.clone());
        }
    }

    fn insert(&mut self, keep: usize, last: bool, at: (i64, u64), value: Value) {
        let place = self.entries.partition_point(|(time, sequence, _)| (*time, *sequence) < at);
        self.entries.insert(place, (at.0, at.1, value));
        if self.entries.len() > keep {
            if last {
                self.entries.remove(0);
            } else {
                self.entries.pop();
            }
        }
    }

    /// Whether inputs of the type could have left these.
    pub fn fits(&self, kind: Kind, input: &DataType) -> bool {
        let null = |value: &Value| kind == Kind::Latest && value.is_null();
        self.entries.len() <= shape(kind).0
            && self.entries.is_sorted_by_key(|(time, sequence, _)| (*time, *sequence))
            && self.entries.iter().all(|(_, _, value)| null(value) || value_fits(value, input))
    }

    pub fn single(&self) -> Value {
        self.entries.first().map_or(Value::Null, |(_, _, value)| value.clone())
    }

    pub fn list(&self) -> Value {
        Value::List(self.entries.iter().map(|(_, _, value)| value.clone()).collect())
    }
}

/// How many to keep, and from which end.
fn shape(kind: Kind) -> (usize, bool) {
    match kind {
        Kind::First(k) => (k as usize, false),
        Kind::Last(k) => (k as usize, true),
        _ => (1, true),
    }
}
