//! Rows in quarantine are pushed again: those that are still bad come back, and none counts twice, also where it was
//! cut off in the middle.

use super::accepting::account_of;
use super::{Checking, Run};
use crate::model::{Account, Push, Quarantined, Replay};
use crate::promises::{Broken, Promise};
use crate::random::Random;
use std::collections::VecDeque;
use std::sync::Arc;

const EVERYTHING: u64 = 1 << 40;

impl Run {
    pub(super) fn replay_quarantine(&mut self, random: &mut Random) -> Checking {
        // Nothing else is on its way, so that the order of the log is that of the rows.
        self.commit()?;
        if self.is_doomed() || !self.waiting.is_empty() {
            return Ok(());
        }
        let source = random.index(self.model.sources.len());
        let name = self.model.sources[source].spec.definition.name.clone();
        let listed = self.engine().quarantined(&name, EVERYTHING, 0).map_err(|error| Broken {
            promise: Promise::QuarantineKeepsRows,
            what: format!("the quarantine of {name} was refused: {error}"),
        })?;
        let mut pushes: Vec<Push> = Vec::new();
        let mut repeated = Account::default();
        for stored in &listed {
            let key = format!("quarantine-{}", stored.id);
            let before = self.acked.get(&(source, key.clone())).map(account_of);
            let mut own = self.model.sources[source].quarantine.iter_mut();
            let place = (stored.row.position, stored.row.row_index);
            let Some(entry) = own.find(|row| (row.position, row.index) == place) else { continue };
            entry.replay = Replay::Unknown;
            entry.replay_key = Some(key.clone());
            if let Some(before) = before {
                repeated.add(&before);
                continue;
            }
            let rows = Arc::new(vec![entry.row.clone()]);
            let waiting: Vec<&Push> = pushes.iter().collect();
            let fates = self.model.fates(source, &rows, &waiting);
            pushes.push(Push { source, key: Some(key), rows, backfill: false, fates, asked: self.newest_q });
        }
        self.note(format_args!("{} rows of the quarantine of {name} are replayed", listed.len()));
        let stopped = self.life.stopped;
        let outcome = self.engine().replay_quarantine(&name);
        let mut meant = repeated;
        pushes.iter().for_each(|push| meant.add(&push.account()));
        self.take_replayed(pushes.into())?;
        self.life.stopped |= self.engine().has_failed();
        match outcome {
            Ok(total) => {
                self.tally.hold(Promise::FailedSyncStopsWriting, !stopped, || {
                    "a replay of the quarantine was acknowledged after a failed write".to_owned()
                })?;
                let told = account_of(&total);
                self.tally.hold(Promise::AllAccountedFor, told == meant, || {
                    format!("a replay of the quarantine of {name} was told {told:?}, and it has to be {meant:?}")
                })?;
                let own = self.model.sources[source].quarantine.iter_mut();
                own.filter(|row| row.replay == Replay::Unknown).for_each(|row| row.replay = Replay::Done);
                self.audit_quarantine()
            }
            Err(error) => {
                self.note(format_args!("the replay fails: {error}"));
                let trouble = self.in_trouble();
                self.tally.hold(Promise::NothingRefusedWithoutFault, trouble, || {
                    format!("a replay of the quarantine of {name} failed: {error}")
                })?;
                if self.is_doomed() { Ok(()) } else { self.learn_replays() }
            }
        }
    }

    /// Of the pushes of a replay, those that became durable and visible are in the log, in their order; of the others
    /// nobody knows where a restart is needed, and else they never happened.
    fn take_replayed(&mut self, mut pushes: VecDeque<Push>) -> Checking {
        let next = self.model.next_sequence;
        for logged in self.logged_from(next, usize::MAX)? {
            let difference = match pushes.pop_front() {
                Some(push) => match self.difference(&push, &logged.batch) {
                    None => {
                        self.accept(push, &logged)?;
                        continue;
                    }
                    Some(difference) => difference,
                },
                None => "nothing else was sent".to_owned(),
            };
            return Err(Broken {
                promise: Promise::WholeOrNotAtAll,
                what: format!("a replay left something else in the log at {}: {difference}", logged.first),
            });
        }
        if self.is_doomed() {
            self.unsure.extend(pushes);
        }
        Ok(())
    }

    /// A replay that was cut off has marked a row or not. Where it did, the row's own push is durable.
    pub(super) fn learn_replays(&mut self) -> Checking {
        let engine = self.engine();
        for index in 0..self.model.sources.len() {
            let name = self.model.sources[index].spec.definition.name.clone();
            let listed = engine.quarantined(&name, EVERYTHING, 0).map_err(|error| Broken {
                promise: Promise::QuarantineKeepsRows,
                what: format!("the quarantine of {name} was refused: {error}"),
            })?;
            let waits = |row: &Quarantined| {
                listed.iter().any(|stored| (stored.row.position, stored.row.row_index) == (row.position, row.index))
            };
            let own = self.model.sources[index].quarantine.iter_mut();
            for row in own.filter(|row| row.replay == Replay::Unknown) {
                row.replay = if waits(row) { Replay::Waiting } else { Replay::Done };
                let key = (index, row.replay_key.clone().unwrap_or_default());
                let durable = row.replay == Replay::Waiting || self.acked.contains_key(&key);
                self.tally.hold(Promise::QuarantineKeepsRows, durable, || {
                    format!("{row:?} of {name} is marked as replayed, and was not")
                })?;
            }
        }
        Ok(())
    }
}
