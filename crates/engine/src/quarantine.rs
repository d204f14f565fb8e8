//! Rows that were set aside: looking at them, and sending them again once the definition or the data is mended.

use crate::batch::Ack;
use crate::decode::Input;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::ingest::PushRequest;
use thalweg_store::{QuarantinedRow, StoredQuarantine};

/// Rows replayed in one go.
const REPLAY_ROWS: u64 = 10_000;

impl Engine {
    /// Quarantined rows of a source, oldest first. Those that the metadata cannot take, as on a full disk, come last
    /// and have the id 0; they are replayed once they are listed.
    pub fn quarantined(&self, source: &str, limit: u64, offset: u64) -> Result<Vec<StoredQuarantine>, EngineError> {
        self.source(source)?;
        let unlisted: Vec<QuarantinedRow> = {
            let mut committer = self.committer.lock();
            match self.list_quarantined(&mut committer) {
                Ok(()) => Vec::new(),
                Err(_) => committer.unlisted.iter().filter(|row| row.source == source).cloned().collect(),
            }
        };
        let mut rows = self.metadata.quarantined(source, limit, offset)?;
        if !unlisted.is_empty() {
            let listed = self.metadata.quarantine_count(source)?.waiting;
            let (skipped, room) = (offset.saturating_sub(listed), limit.saturating_sub(rows.len() as u64));
            let own = unlisted.into_iter().skip(skipped as usize).take(usize::try_from(room).unwrap_or(usize::MAX));
            rows.extend(own.map(|row| StoredQuarantine { id: 0, row, replayed: false }));
        }
        Ok(rows)
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
            // Each row is a push with a key of its own, so that none is counted twice, even where marking them as
            // replayed is cut off; one commit takes them all.
            let tickets = rows
                .iter()
                .map(|row| {
                    let idempotency_key = Some(format!("quarantine-{}", row.id));
                    // An object may have been sent over several lines; inside text JSON has no line ends.
                    let line: Vec<u8> =
                        row.row.raw.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }).collect();
                    let input = Input::Lines(&line);
                    self.submit(PushRequest { source, input, idempotency_key, backfill: false })
                })
                .collect::<Vec<_>>();
            self.commit_pending();
            // All are waited for, also behind one that was refused: they were taken.
            let acks: Vec<Result<Ack, EngineError>> = tickets.into_iter().map(|ticket| ticket?.wait()).collect();
            let mut replayed = Vec::with_capacity(rows.len());
            let mut refused = None;
            for (row, ack) in rows.iter().zip(acks) {
                match ack {
                    Ok(ack) => {
                        total.add(ack);
                        replayed.push(row.id);
                    }
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
            self.metadata.mark_replayed(&replayed)?;
            if let Some(error) = refused {
                return Err(error);
            }
        }
    }
}
