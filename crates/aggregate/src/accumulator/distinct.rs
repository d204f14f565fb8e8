//! `distinct_count`, `value_counts`: how often each value occurs.

use super::count_value;
use super::fits::{MAX_ROWS, value_fits};
use crate::cell::{Cell, Value};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use thalweg_definition::DataType;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Distinct {
    counts: HashMap<Value, u64, BuildHasherDefault<Fingerprint>>,
}

impl Distinct {
    pub fn add(&mut self, cell: Cell<'_>) {
        *self.counts.entry(cell.as_key().to_value()).or_default() += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        for (value, count) in &other.counts {
            match self.counts.get_mut(value) {
                Some(own) => *own += count,
                None => {
                    self.counts.insert(value.clone(), *count);
                }
            }
        }
    }

    /// Whether inputs of the type could have made these counts.
    pub fn fits(&self, input: &DataType) -> bool {
        self.counts.iter().all(|(value, count)| value_fits(value, input) && (1..=MAX_ROWS).contains(count))
    }

    pub fn len(&self) -> u64 {
        self.counts.len() as u64
    }

    /// The values with their counts, sorted by value.
    pub fn counts(&self) -> Value {
        let mut entries: Vec<(Value, Value)> =
            self.counts.iter().map(|(value, count)| (value.clone(), count_value(*count))).collect();
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Value::Map(entries)
    }
}

/// Values hash to a fingerprint of their own, which is taken as it is.
#[derive(Default)]
pub struct Fingerprint(u64);

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
