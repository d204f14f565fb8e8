//! Which rows of a source have been accepted already, by the key that the source declares.
//!
//! A row is a duplicate where an accepted row with the same key has an event time at most `within` away. Keys are
//! remembered as 128-bit fingerprints (xxh3, fixed seed), so that two keys taken for one is not to be expected
//! before 10^18 of them.

use crate::engine::Sequencer;
use crate::limits::LATE_DUPLICATES_MICROS;
use crate::runtime::Runtime;
use hashbrown::HashMap;
use thalweg_aggregate::{ColumnReader, encode_key};
use thalweg_definition::{DataType, Dedup};
use xxhash_rust::xxh3::xxh3_128;

/// A fingerprint and the event time of the accepted row.
pub type Seen = (u128, i64);

#[derive(Default)]
pub struct DedupIndex {
    seen: HashMap<u128, Vec<i64>>,
    /// Accepted since the last checkpoint took them.
    fresh: Vec<Seen>,
    newest: i64,
    swept: i64,
}

impl DedupIndex {
    /// Accepts the row unless it is a duplicate. True where it was accepted.
    pub fn accept(&mut self, fingerprint: u128, time: i64, within: i64) -> bool {
        let times = self.seen.entry(fingerprint).or_default();
        if times.iter().any(|seen| seen.abs_diff(time) <= within.unsigned_abs()) {
            return false;
        }
        times.push(time);
        self.fresh.push((fingerprint, time));
        self.newest = self.newest.max(time);
        true
    }

    /// Forgets a row that was accepted but could not be made durable.
    pub fn forget(&mut self, (fingerprint, time): Seen) {
        if let Some(times) = self.seen.get_mut(&fingerprint) {
            times.retain(|seen| *seen != time);
        }
        self.fresh.retain(|seen| *seen != (fingerprint, time));
    }

    /// Takes up a row that is known to be accepted; knowing it already changes nothing.
    pub fn restore(&mut self, (fingerprint, time): Seen) {
        let times = self.seen.entry(fingerprint).or_default();
        if !times.contains(&time) {
            times.push(time);
        }
        self.newest = self.newest.max(time);
    }

    /// Takes up a row of the log, which the next checkpoint has to take too.
    pub fn accept_again(&mut self, seen: Seen) {
        self.restore(seen);
        self.fresh.push(seen);
    }

    /// What was accepted since the last call, for the checkpoint.
    pub fn take_fresh(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.fresh)
    }

    /// Gives back what the checkpoint may not have yet.
    pub fn put_back_fresh(&mut self, seen: Vec<Seen>) {
        self.fresh.extend(seen);
    }

    /// Everything known, for a checkpoint that is written anew.
    pub fn all(&self) -> impl Iterator<Item = Seen> {
        self.seen.iter().flat_map(|(fingerprint, times)| times.iter().map(|time| (*fingerprint, *time)))
    }

    /// Forgets rows that lie further behind the newest than `horizon`; cheap when called often.
    pub fn sweep(&mut self, horizon: i64) {
        let before = self.newest.saturating_sub(horizon);
        if before.saturating_sub(self.swept) < horizon / 8 {
            return;
        }
        self.swept = before;
        self.seen.retain(|_, times| {
            times.retain(|time| *time >= before);
            !times.is_empty()
        });
    }
}

/// For how long behind the newest event time accepted rows are known.
pub fn horizon(dedup: &Dedup) -> i64 {
    let within = dedup.within.micros();
    within.saturating_add(within.max(LATE_DUPLICATES_MICROS))
}

impl Sequencer {
    /// Forgets accepted rows that lie behind the horizon of their source, and all those of sources that are gone or do
    /// not deduplicate any more: no later row would sweep them.
    pub(crate) fn sweep(&mut self, runtime: &Runtime) {
        for (name, memory) in &mut self.sources {
            match runtime.sources.get(name).and_then(|source| source.definition.dedup.as_ref()) {
                Some(dedup) => memory.dedup.sweep(horizon(dedup)),
                None => memory.dedup = DedupIndex::default(),
            }
        }
    }
}

/// Reads the dedup key of rows.
pub struct KeyFingerprint {
    readers: Vec<ColumnReader>,
}

impl KeyFingerprint {
    pub fn new(
        dedup: &Dedup,
        columns: &[(String, DataType)],
        batch: &arrow::array::RecordBatch,
    ) -> Result<Self, String> {
        let readers = dedup
            .key
            .iter()
            .map(|name| {
                let (_, data_type) =
                    columns.iter().find(|(column, _)| column == name).ok_or_else(|| format!("no column `{name}`"))?;
                let column = batch.column_by_name(name).ok_or_else(|| format!("no column `{name}`"))?;
                ColumnReader::new(column, data_type).map_err(|error| error.to_string())
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { readers })
    }

    /// The fingerprint of a row's key; none where any part of it is null, as such a row duplicates nothing.
    pub fn of(&self, row: usize, scratch: &mut Vec<u8>) -> Option<u128> {
        scratch.clear();
        for reader in &self.readers {
            let cell = reader.cell(row);
            if cell.is_null() {
                return None;
            }
            encode_key(cell, scratch);
        }
        Some(xxh3_128(scratch))
    }
}
