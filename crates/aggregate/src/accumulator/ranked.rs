//! `min`, `max`, `top_k`, `bottom_k`: values by their size, ties by the order of events.

use super::Kind;
use super::fits::value_fits;
use crate::cell::{Cell, Value};
use crate::layout::Stamp;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use thalweg_definition::DataType;

/// The few largest or smallest inputs, best first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ranked {
    entries: Vec<(Value, i64, u64)>,
}

impl Ranked {
    pub fn add(&mut self, kind: Kind, stamp: Stamp, cell: Cell<'_>) {
        let (keep, largest) = shape(kind);
        if self.entries.len() == keep
            && let Some((value, time, sequence)) = self.entries.last()
            && rank(largest, cell, (stamp.time, stamp.sequence), value.as_cell(), (*time, *sequence)).is_gt()
        {
            return;
        }
        self.insert(keep, largest, cell.to_value(), (stamp.time, stamp.sequence));
    }

    pub fn merge(&mut self, kind: Kind, other: &Self) {
        let (keep, largest) = shape(kind);
        for (value, time, sequence) in &other.entries {
            self.insert(keep, largest, value.clone(), (*time, *sequence));
        }
    }

    fn insert(&mut self, keep: usize, largest: bool, value: Value, at: (i64, u64)) {
        let place = self.entries.partition_point(|(other, time, sequence)| {
            rank(largest, other.as_cell(), (*time, *sequence), value.as_cell(), at).is_lt()
        });
        if place < keep {
            self.entries.insert(place, (value, at.0, at.1));
            self.entries.truncate(keep);
        }
    }

    /// Whether inputs of the type could have left these.
    pub fn fits(&self, kind: Kind, input: &DataType) -> bool {
        let (keep, largest) = shape(kind);
        self.entries.len() <= keep
            && self.entries.iter().all(|(value, _, _)| value_fits(value, input))
            && self.entries.is_sorted_by(|(a, a_time, a_sequence), (b, b_time, b_sequence)| {
                rank(largest, a.as_cell(), (*a_time, *a_sequence), b.as_cell(), (*b_time, *b_sequence)).is_le()
            })
    }

    pub fn single(&self) -> Value {
        self.entries.first().map_or(Value::Null, |(value, _, _)| value.clone())
    }

    pub fn list(&self) -> Value {
        Value::List(self.entries.iter().map(|(value, _, _)| value.clone()).collect())
    }
}

fn shape(kind: Kind) -> (usize, bool) {
    match kind {
        Kind::Top(k) => (k as usize, true),
        Kind::Bottom(k) => (k as usize, false),
        Kind::Max => (1, true),
        _ => (1, false),
    }
}

fn rank(largest: bool, a: Cell<'_>, a_at: (i64, u64), b: Cell<'_>, b_at: (i64, u64)) -> Ordering {
    let by_value = if largest { b.order(&a) } else { a.order(&b) };
    by_value.then(a_at.cmp(&b_at))
}
