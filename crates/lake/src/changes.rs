//! What became of the rows of a change source: each is taken back by the next change of the same primary key.

use crate::error::{LakeError, Result};
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use thalweg_aggregate::KeyEncoder;
use thalweg_definition::{About, Column, Entity, Source, SourceKind};
use xxhash_rust::xxh3::xxh3_128;

/// The operation of a change that adds nothing.
const DELETE: &str = "delete";

/// One change, as far as the change before it needs to know.
struct Change<P> {
    /// Fingerprint of the primary key.
    key: u128,
    sequence: u64,
    time: i64,
    arrival: i64,
    /// The row it added, where that is one the caller keeps.
    place: Option<P>,
}

/// The changes of one source, in the order in which history gave them; `P` is how the caller finds a row again.
pub(crate) struct Changes<'a, P> {
    /// The primary key, in the shape of an entity.
    key: Entity,
    operation: &'a str,
    changes: Vec<Change<P>>,
}

/// When each row of a batch came.
pub(crate) struct Times {
    pub(crate) events: Vec<i64>,
    pub(crate) arrivals: Vec<i64>,
    pub(crate) sequences: Vec<u64>,
}

impl<'a, P: Copy> Changes<'a, P> {
    /// None for a source of events.
    pub(crate) fn of(source: &'a Source) -> Option<Self> {
        let SourceKind::Change { primary_key, operation } = &source.kind else { return None };
        let keys: Vec<Column> = primary_key.iter().filter_map(|name| source.column(name).cloned()).collect();
        let key = Entity { name: source.name.clone(), keys, about: About::default() };
        Some(Self { key, operation, changes: Vec::new() })
    }

    /// The columns that changes are read by.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &str> {
        self.key.keys.iter().map(|column| column.name.as_str()).chain([self.operation])
    }

    /// Which rows of a batch add something.
    pub(crate) fn adds(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let operations = column(batch, self.operation)?.as_string::<i32>();
        Ok(operations.iter().map(|operation| Some(operation != Some(DELETE))).collect())
    }

    /// Takes up a batch; `places` are the rows that it added.
    pub(crate) fn take(&mut self, batch: &RecordBatch, times: &Times, places: &[Option<P>]) -> Result<()> {
        let columns =
            self.key.keys.iter().map(|key| column(batch, &key.name).cloned()).collect::<Result<Vec<ArrayRef>>>()?;
        let encoder = KeyEncoder::new(&self.key, &columns).map_err(LakeError::Storage)?;
        let mut key = Vec::new();
        for (row, place) in places.iter().enumerate() {
            // Without a whole key nothing can take the row back.
            if encoder.key(row, &mut key) {
                self.changes.push(Change {
                    key: xxh3_128(&key),
                    sequence: times.sequences[row],
                    time: times.events[row],
                    arrival: times.arrivals[row],
                    place: *place,
                });
            }
        }
        Ok(())
    }

    /// Tells for each row that was taken back when that happened and when it became known.
    pub(crate) fn finish(mut self, mut retract: impl FnMut(P, i64, i64)) {
        self.changes.sort_unstable_by_key(|change| (change.key, change.sequence));
        for pair in self.changes.windows(2) {
            if pair[0].key == pair[1].key
                && let Some(place) = pair[0].place
            {
                retract(place, pair[1].time, pair[1].arrival);
            }
        }
    }
}

fn column<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| LakeError::Storage(format!("history lacks the column `{name}`")))
}
