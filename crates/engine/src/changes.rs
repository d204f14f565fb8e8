//! The current rows of a change source, by primary key: what an update or a delete takes back.

use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};
use thalweg_aggregate::Value;

/// A row as it now is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CurrentRow {
    pub time: i64,
    pub sequence: u64,
    /// One per column of the source.
    pub values: Vec<Value>,
}

#[derive(Default)]
pub struct ChangeIndex {
    rows: HashMap<Box<[u8]>, CurrentRow>,
    /// Keys touched since the last checkpoint.
    fresh: HashSet<Box<[u8]>>,
}

/// How to take back one step.
pub struct Undo {
    key: Box<[u8]>,
    previous: Option<CurrentRow>,
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

    /// The keys touched since the last call with their rows, for the checkpoint.
    pub fn take_fresh(&mut self) -> Vec<(Box<[u8]>, Option<CurrentRow>)> {
        let fresh = std::mem::take(&mut self.fresh);
        fresh.into_iter().map(|key| (key.clone(), self.rows.get(&key).cloned())).collect()
    }

    /// Has the next checkpoint take every row.
    pub fn touch_all(&mut self) {
        self.fresh.extend(self.rows.keys().cloned());
    }

    pub fn all(&self) -> impl Iterator<Item = (&[u8], &CurrentRow)> {
        self.rows.iter().map(|(key, row)| (key.as_ref(), row))
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
