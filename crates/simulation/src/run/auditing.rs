//! What is looked at after a step: the ledgers always, and now and then quarantine, and every row in history and log.

use super::accepting::Logged;
use super::{Checking, Run};
use crate::model::{Account, Quarantined};
use crate::promises::{Broken, Promise};
use crate::random::Random;
use crate::rows::Row;
use crate::tables::{arrivals, sequences};
use arrow::array::RecordBatch;

/// Rows of a quarantine that are asked for: all.
const EVERYTHING: u64 = 1 << 40;

impl Run {
    pub(super) fn audit(&mut self, random: &mut Random) -> Checking {
        self.audit_ledgers()?;
        if random.chance(1, 10) {
            self.audit_quarantine()?;
        }
        if random.chance(1, 30) {
            self.audit_history()?;
        }
        if random.chance(1, 6) { self.read_now(random) } else { Ok(()) }
    }

    /// What is looked at whenever an engine has opened.
    pub(super) fn audit_opened(&mut self) -> Checking {
        self.audit_ledgers()?;
        self.audit_quarantine()?;
        if self.tally.crashes.is_multiple_of(3) {
            self.audit_history()?;
        }
        self.audit_keys()?;
        self.read_all()?;
        self.ask_all_again(5)
    }

    /// All that was ever accepted, answered and set aside.
    pub(super) fn audit_everything(&mut self) -> Checking {
        self.audit_history()?;
        self.audit_opened()?;
        self.ask_all_again(usize::MAX)
    }

    fn audit_ledgers(&mut self) -> Checking {
        let engine = self.engine();
        for source in &self.model.sources {
            let name = &source.spec.definition.name;
            let found = engine.ledger(name).map_err(|error| Broken {
                promise: Promise::AllAccountedFor,
                what: format!("the ledger of {name} was refused: {error}"),
            })?;
            let account = Account {
                read: found.read,
                applied: found.applied,
                deduplicated: found.deduplicated,
                filtered: found.filtered,
                quarantined: found.quarantined,
            };
            let sum = account.applied + account.deduplicated + account.filtered + account.quarantined;
            let same = account == source.account
                && account.read == sum
                && found.pushes == source.pushes
                && found.newest_event_time == source.newest;
            self.tally.hold(Promise::AllAccountedFor, same, || {
                let meant = (source.account, source.pushes, source.newest);
                format!("the ledger of {name} is {found:?}, and it has to be {meant:?}")
            })?;
        }
        Ok(())
    }

    /// Quarantine lists what waits, each row as it came. After a failed write it may lag behind until the next opening.
    pub(super) fn audit_quarantine(&mut self) -> Checking {
        let engine = self.engine();
        if self.is_doomed() {
            return Ok(());
        }
        for source in &self.model.sources {
            let name = &source.spec.definition.name;
            let mut listed = engine.quarantined(name, EVERYTHING, 0).map_err(|error| Broken {
                promise: Promise::QuarantineKeepsRows,
                what: format!("the quarantine of {name} was refused: {error}"),
            })?;
            listed.sort_by_key(|stored| (stored.row.position, stored.row.row_index));
            let mut waiting: Vec<&Quarantined> = source.waiting().collect();
            waiting.sort_by_key(|row| (row.position, row.index));
            let count = listed.len() == waiting.len();
            self.tally.hold(Promise::QuarantineKeepsRows, count, || {
                format!("{} rows wait in the quarantine of {name}, and {} have to", listed.len(), waiting.len())
            })?;
            for (stored, meant) in listed.iter().zip(waiting) {
                let row = &stored.row;
                let same = (row.position, row.row_index) == (meant.position, meant.index)
                    && row.column.as_deref() == meant.column
                    && row.raw == meant.row.json().as_bytes()
                    && !row.reason.is_empty();
                self.tally.hold(Promise::QuarantineKeepsRows, same, || {
                    format!("the quarantine of {name} has {row:?}, and it has to be {meant:?}")
                })?;
            }
        }
        Ok(())
    }

    /// A table has every accepted row before its position once, and the log every one from there on.
    pub(super) fn audit_history(&mut self) -> Checking {
        let logged = self.logged_from_oldest()?;
        for source in &self.model.sources {
            let name = &source.spec.definition.name;
            let (batches, position) = self.tables.contents(name);
            let mut found: Vec<(u64, i64, &RecordBatch, usize)> = Vec::new();
            for batch in &batches {
                let times = sequences(batch).into_iter().zip(arrivals(batch)).enumerate();
                found.extend(times.map(|(row, (sequence, arrival))| (sequence, arrival, batch, row)));
            }
            let beyond = found.iter().any(|(sequence, ..)| *sequence >= position);
            for logged in logged.iter().filter(|logged| logged.batch.header.ack.source == *name) {
                let rows = arrivals(&logged.batch.rows).into_iter().enumerate();
                let rows = rows.map(|(row, arrival)| (logged.first + row as u64, arrival, &logged.batch.rows, row));
                found.extend(rows.filter(|(sequence, ..)| *sequence >= position));
            }
            found.sort_by_key(|(sequence, ..)| *sequence);
            let meant = source.rows.iter().map(|row| (row.sequence, row.arrival, &row.row));
            let meant: Vec<(u64, i64, &Row)> = meant.collect();
            let same = !beyond && found.len() == meant.len();
            self.tally.hold(Promise::OnceInHistoryOrLog, same, || {
                let has: Vec<u64> = found.iter().map(|(sequence, ..)| *sequence).collect();
                let needs: Vec<u64> = meant.iter().map(|(sequence, ..)| *sequence).collect();
                format!("history of {name} up to {position} and the log have {has:?}, and they have to have {needs:?}")
            })?;
            for ((sequence, arrival, batch, row), meant) in found.into_iter().zip(meant) {
                let same = (sequence, arrival) == (meant.0, meant.1);
                let difference = if same { meant.2.differs(batch, row) } else { Some(format!("{meant:?}")) };
                self.tally.hold(Promise::OnceInHistoryOrLog, difference.is_none(), || {
                    format!("history or log of {name} at {sequence}, arrived at {arrival}: {difference:?}")
                })?;
            }
        }
        Ok(())
    }

    fn logged_from_oldest(&self) -> Result<Vec<Logged>, Broken> {
        // With a sequence that is older than all, a reader begins with the oldest that there is.
        Ok(self.logged_from(1, usize::MAX)?.into())
    }

    /// A push that was acknowledged under a key is still known by it.
    fn audit_keys(&mut self) -> Checking {
        let engine = self.engine();
        for ((source, key), first) in &self.acked {
            let name = &self.model.sources[*source].spec.definition.name;
            let again = engine.pushed_before(name, key).filter(|ticket| ticket.is_done()).map(|ticket| ticket.wait());
            let same = matches!(&again, Some(Ok(again)) if again.repeated && same_but_repeated(again, first));
            self.tally.hold(Promise::CountsOnce, same, || {
                format!("the push to {name} with key `{key}` was acknowledged as {first:?}, and now it is {again:?}")
            })?;
        }
        Ok(())
    }
}

fn same_but_repeated(again: &thalweg_engine::Ack, first: &thalweg_engine::Ack) -> bool {
    thalweg_engine::Ack { repeated: first.repeated, ..again.clone() } == *first
}
