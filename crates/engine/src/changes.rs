//! The current rows of a change source, by primary key: what an update or a delete takes back.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use thalweg_aggregate::Value;

/// A row as it now is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CurrentRow {
    pub time: i64,
    pub sequence: u64,
    /// By column, so that a row outlives changes of its source's schema.
    pub values: Vec<(Box<str>, Value)>,
}

#[derive(Default)]
pub struct ChangeIndex {
    rows: HashMap<Box<[u8]>, CurrentRow>,
    /// Keys touched since the last checkpoint.
    fresh: BTreeSet<Box<[u8]>>,
}

/// A key and its row, or none where there is none (any more).
pub type KeyedRow = (Box<[u8]>, Option<CurrentRow>);
/// Rows by key, borrowed.
pub type HashMapOfRows<'a> = std::collections::HashMap<&'a [u8], Option<&'a CurrentRow>>;

/// How to take back one step.
pub struct Undo {
    key: Box<[u8]>,
    previous: Option<CurrentRow>,
}

impl CurrentRow {
    pub fn value(&self, column: &str) -> Option<&Value> {
        self.values.iter().find(|(name, _)| **name == *column).map(|(_, value)| value)
    }
}

impl Undo {
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The row before the step.
    pub fn previous(&self) -> Option<&CurrentRow> {
        self.previous.as_ref()
    }
}

impl ChangeIndex {
    pub fn get(&self, key: &[u8]) -> Option<&CurrentRow> {
        self.rows.get(key)
    }

    /// Sets (or with none, removes) a row; returns how to take that back.
    pub fn set(&mut self, key: &[u8], row: Option<CurrentRow>) -> Undo {
        let previous = match row {
            Some(row) => self.rows.insert(key.into(), row),
            None => self.rows.remove(key),
        };
        self.fresh.insert(key.into());
        Undo { key: key.into(), previous }
    }

    pub fn undo(&mut self, undo: Undo) {
        match undo.previous {
            Some(row) => self.rows.insert(undo.key, row),
            None => self.rows.remove(&undo.key),
        };
    }

    /// The keys touched since the last call (or all there are) with their rows, for the checkpoint. `durable` has the
    /// rows of keys whose newest change is not durable yet; those keys stay touched.
    pub fn take(&mut self, all: bool, durable: &HashMapOfRows<'_>) -> Vec<KeyedRow> {
        let mut keys = std::mem::take(&mut self.fresh);
        if all {
            keys.extend(self.rows.keys().cloned());
            keys.extend(durable.keys().map(|key| Box::from(*key)));
        }
        self.fresh.extend(keys.iter().filter(|key| durable.contains_key(&***key)).cloned());
        let row = |key: &[u8]| match durable.get(key) {
            Some(row) => row.cloned(),
            None => self.rows.get(key).cloned(),
        };
        keys.iter().map(|key| (key.clone(), row(key))).collect()
    }

    /// Has the next checkpoint take some keys.
    pub fn touch(&mut self, keys: impl Iterator<Item = Box<[u8]>>) {
        self.fresh.extend(keys);
    }

    pub fn restore(&mut self, key: &[u8], row: Option<CurrentRow>) {
        match row {
            Some(row) => {
                self.rows.insert(key.into(), row);
            }
            None => {
                self.rows.remove(key);
            }
        }
    }
}
