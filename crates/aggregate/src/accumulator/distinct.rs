//! `distinct_count`, `value_counts`: how often each value occurs.

use super::count_value;
use crate::cell::{Cell, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Distinct {
    counts: BTreeMap<Value, u64>,
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

    pub fn len(&self) -> u64 {
        self.counts.len() as u64
    }

    pub fn counts(&self) -> Value {
        Value::Map(self.counts.iter().map(|(value, count)| (value.clone(), count_value(*count))).collect())
    }
}
