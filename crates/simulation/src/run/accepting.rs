//! Commits and what they tell: an acknowledgement is compared with what has to become of the push, and with what the
//! log has of it.

use super::clients::{Message, Waiting};
use super::{Checking, Run};
use crate::model::{Account, Push};
use crate::promises::{Broken, Promise};
use crate::random::Random;
use crate::rows::Row;
use crate::tables::arrivals;
use std::collections::VecDeque;
use thalweg_engine::{Ack, BATCH_RECORD, EngineError, LoggedBatch};

/// A push as the log has it.
pub(super) struct Logged {
    pub(super) first: u64,
    pub(super) batch: LoggedBatch,
}

pub(super) fn account_of(ack: &Ack) -> Account {
    Account {
        read: ack.read,
        applied: ack.applied,
        deduplicated: ack.deduplicated,
        filtered: ack.filtered,
        quarantined: ack.quarantined,
    }
}

impl Run {
    /// What waits becomes durable, and those who wait are told.
    pub(super) fn commit(&mut self) -> Checking {
        let count = self.engine().commit_pending();
        if count > 0 {
            self.note(format_args!("{count} pushes are committed"));
        }
        self.hear_outcomes()
    }

    /// Takes note of what became of the pushes that are done; by the events' clock a read may have brought them there.
    pub(super) fn hear_outcomes(&mut self) -> Checking {
        for one in std::mem::take(&mut self.waiting) {
            if !one.ticket.is_done() {
                self.waiting.push(one);
                continue;
            }
            match one.ticket.wait() {
                Ok(ack) => self.acknowledged(one, &ack)?,
                Err(error) => self.refused(one, &error)?,
            }
        }
        self.life.stopped |= self.engine().has_failed();
        Ok(())
    }

    fn acknowledged(&mut self, one: Waiting, ack: &Ack) -> Checking {
        let client = one.client;
        let stopped = self.life.stopped;
        self.tally.hold(Promise::FailedSyncStopsWriting, !stopped, || {
            format!("push {client} was acknowledged after a failed write")
        })?;
        match one.push {
            Some(push) => {
                self.note(format_args!("push {client} is acknowledged at {}", ack.first_sequence));
                self.settle(push, ack)?;
            }
            None => self.repeated(client, ack)?,
        }
        let mut random = Random::of(self.seed ^ ack.first_sequence, client as u64);
        if random.chance(9, 10) {
            self.put(Message::Answer(client), &mut random);
        }
        Ok(())
    }

    fn repeated(&mut self, client: usize, ack: &Ack) -> Checking {
        let sent = &self.clients[client];
        let key = sent.key.clone().unwrap_or_default();
        let first = self.acked.get(&(sent.source, key)).map(|first| Ack { repeated: true, ..first.clone() });
        self.tally.hold(Promise::CountsOnce, first.as_ref() == Some(ack), || {
            format!("push {client} was first acknowledged as {first:?} and then as {ack:?}")
        })
    }

    /// A push was answered with an error: either it never happened, or nobody knows before the next opening.
    fn refused(&mut self, one: Waiting, error: &EngineError) -> Checking {
        let Waiting { client, push, .. } = one;
        self.note(format_args!("push {client} fails: {error}"));
        if self.is_doomed() {
            self.unsure.extend(push);
            return Ok(());
        }
        let full = self.life.full;
        self.tally.hold(Promise::NothingRefusedWithoutFault, full, || format!("push {client} failed: {error}"))
    }

    /// A push is acknowledged.
    pub(super) fn settle(&mut self, push: Push, ack: &Ack) -> Checking {
        let (told, meant, next) = (account_of(ack), push.account(), self.model.next_sequence);
        self.tally.hold(Promise::AllAccountedFor, told == meant, || {
            format!("of a push with key {:?} it was told {told:?}, and it has to be {meant:?}", push.key)
        })?;
        self.tally.hold(Promise::OnceInHistoryOrLog, ack.first_sequence == next, || {
            format!("a push was acknowledged at sequence {}, and the next one is {next}", ack.first_sequence)
        })?;
        let listed: Vec<(usize, Option<String>)> =
            ack.errors.iter().map(|error| (error.row as usize, error.column.clone())).collect();
        let meant: Vec<(usize, Option<String>)> =
            push.quarantined().map(|(row, column, _)| (row, column.map(str::to_owned))).collect();
        self.tally.hold(Promise::QuarantineKeepsRows, listed == meant, || {
            format!("an acknowledgement lists the bad rows {listed:?}, and they are {meant:?}")
        })?;
        let logged = self.logged_from(ack.first_sequence, 1)?.pop_front();
        let told = ack.clone();
        let found = logged.as_ref().map(|logged| (logged.first, &logged.batch.header.ack));
        self.tally.hold(Promise::Durable, found == Some((ack.first_sequence, &told)), || {
            format!("a push was acknowledged as {told:?}, and the log has {found:?} there")
        })?;
        let Some(logged) = logged else { return Ok(()) };
        let difference = self.difference(&push, &logged.batch);
        self.tally.hold(Promise::Durable, difference.is_none(), || {
            format!("the log has at {} something else than was acknowledged: {difference:?}", logged.first)
        })?;
        self.accept(push, &logged)
    }

    /// Up to so many pushes of the log from a sequence on.
    pub(super) fn logged_from(&self, sequence: u64, most: usize) -> Result<VecDeque<Logged>, Broken> {
        let unreadable = |what: String| Broken { promise: Promise::Durable, what };
        let mut found = VecDeque::new();
        for record in self.engine().log_from(sequence) {
            let record = record.map_err(|error| unreadable(format!("the log cannot be read: {error}")))?;
            if record.first_sequence < sequence {
                let first = record.first_sequence;
                return Err(unreadable(format!("a record begins at {first}, in front of sequence {sequence}")));
            }
            if record.kind != BATCH_RECORD {
                return Err(unreadable(format!("the log has a record of kind {}", record.kind)));
            }
            let batch = LoggedBatch::decode(&record.payload).map_err(|error| unreadable(error.to_string()))?;
            found.push_back(Logged { first: record.first_sequence, batch });
            if found.len() == most {
                break;
            }
        }
        Ok(found)
    }

    /// In what a push of the log differs from one that was sent.
    pub(super) fn difference(&self, push: &Push, batch: &LoggedBatch) -> Option<String> {
        let name = &self.model.sources[push.source].spec.definition.name;
        let header = &batch.header;
        let key = push.key.as_ref().map(|key| format!("{name}\0{key}"));
        if header.ack.source != *name || header.idempotency_key != key {
            return Some(format!("it is of source {} with key {:?}", header.ack.source, header.idempotency_key));
        }
        if account_of(&header.ack) != push.account() {
            return Some(format!("its account is {:?}", account_of(&header.ack)));
        }
        let set_aside = push.quarantined().map(|(index, column, row)| (index, column, row.json()));
        let kept = header.quarantined.iter();
        let kept = kept.map(|row| {
            let raw = String::from_utf8_lossy(&row.raw).into_owned();
            (row.row as usize, row.column.as_deref(), raw)
        });
        if !set_aside.eq(kept) {
            return Some(format!("its bad rows are {:?}", header.quarantined));
        }
        if batch.rows.num_rows() != push.applied().count() {
            return Some(format!("it has {} rows", batch.rows.num_rows()));
        }
        push.applied().enumerate().find_map(|(index, row)| row.differs(&batch.rows, index))
    }

    /// A push is durable and visible: the model takes it, with the arrival times that only the log tells.
    pub(super) fn accept(&mut self, push: Push, logged: &Logged) -> Checking {
        let given = arrivals(&logged.batch.rows);
        let declared = self.model.sources[push.source].spec.definition.arrival_time.is_some();
        let (right, asked) = (Self::right_arrivals(&push, declared, &given), push.asked);
        self.tally.hold(Promise::ArrivalAfterAnswers, right, || {
            format!("rows at {} arrived at {given:?}, and {asked} had been answered before them", logged.first)
        })?;
        let first = logged.first;
        self.model.settle(&push, first, &given);
        self.note(format_args!("rows from {first} on arrived at {given:?}"));
        if let Some(key) = push.key {
            self.acked.insert((push.source, key), logged.batch.header.ack.clone());
        }
        Ok(())
    }

    fn right_arrivals(push: &Push, declared: bool, given: &[i64]) -> bool {
        let own = declared || push.backfill;
        let meant = |row: &Row| if declared { row.came } else { row.at };
        given.len() == push.applied().count()
            && if own {
                push.applied().zip(given).all(|(row, given)| meant(row) == Some(*given))
            } else {
                given.is_sorted() && given.iter().all(|given| *given >= push.asked)
            }
    }
}
