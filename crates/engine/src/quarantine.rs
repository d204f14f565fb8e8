//! Rows that were set aside: looking at them, and sending them again once the definition or the data is mended.

use crate::batch::Ack;
use crate::decode::Input;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::ingest::PushRequest;
use thalweg_store::StoredQuarantine;

/// Rows replayed in one go.
const REPLAY_ROWS: u64 = 10_000;

impl Engine {
    /// Quarantined rows of a source, oldest first.
    pub fn quarantined(&self, source: &str, limit: u64, offset: u64) -> Result<Vec<StoredQuarantine>, EngineError> {
        self.source(source)?;
        Ok(self.metadata.quarantined(source, limit, offset)?)
    }

    /// Pushes the quarantined rows of a source again. Rows that are still bad come back to the quarantine, as rows
    /// of this push. The acknowledgement sums up the pushes made.
    pub fn replay_quarantine(&self, source: &str) -> Result<Ack, EngineError> {
        self.source(source)?;
        let mut total = Ack::nothing(source, self.applied_until());
        // Rows that come back have greater ids than the last one of now.
        let (mut after, last) =
            (0, self.metadata.quarantine_waiting(source, 0, i64::MAX as u64)?.last().map_or(0, |row| row.id));
        loop {
            let waiting = self.metadata.quarantine_waiting(source, after, REPLAY_ROWS)?;
            let rows: Vec<StoredQuarantine> = waiting.into_iter().filter(|row| row.id <= last).collect();
            let Some(newest) = rows.last().map(|row| row.id) else { return Ok(total) };
            after = newest;
            let mut lines = Vec::new();
            for row in &rows {
                // A raw row may have been sent over several lines.
                lines.extend(row.row.raw.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
                lines.push(b'\n');
            }
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            // The same rows are never counted twice, even where marking them as replayed is cut off.
            let key = format!("quarantine-{source}-{}-{newest}", ids[0]);
            total.add(self.push(PushRequest {
                source,
                input: Input::Lines(&lines),
                idempotency_key: Some(key),
                backfill: false,
            })?);
            self.metadata.mark_replayed(&ids)?;
        }
    }
}
