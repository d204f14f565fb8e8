//! The model: what clients sent and were told, as plain lists of rows, and what follows from it by the rule book.
//!
//! It shares no code with the engine. Of the engine it takes only what nobody else can know: the arrival times that it
//! gave, and which of the pushes that nobody was told about became durable.

mod aggregate;
mod read;

pub(crate) use read::{Question, bounds, longest_reach, retention};

use crate::definitions::SourceSpec;
use crate::expressions::{Parsed, condition};
use crate::rows::{Fault, Row, column};
use std::sync::Arc;

/// Behind the newest event time, for how long on top of `within` the engine promises to know duplicates.
const DUPLICATES_KNOWN: i64 = 7 * thalweg_definition::DAY;

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Applied,
    Filtered,
    Deduplicated,
    /// With the column that is to blame.
    Quarantined(Option<&'static str>),
}

/// A push as the engine took it, and what has to become of it.
#[derive(Debug, Clone)]
pub(crate) struct Push {
    pub(crate) source: usize,
    pub(crate) key: Option<String>,
    pub(crate) rows: Arc<Vec<Row>>,
    pub(crate) backfill: bool,
    pub(crate) fates: Vec<Fate>,
    /// The newest query time that had been answered when it was taken.
    pub(crate) asked: i64,
}

/// What became of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) read: u64,
    pub(crate) applied: u64,
    pub(crate) deduplicated: u64,
    pub(crate) filtered: u64,
    pub(crate) quarantined: u64,
}

/// An accepted row.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) row: Row,
    pub(crate) time: i64,
    pub(crate) arrival: i64,
    pub(crate) sequence: u64,
    /// Event time and arrival time of what took it back.
    retracted: Option<(i64, i64)>,
}

/// A row in quarantine.
#[derive(Debug, Clone)]
pub(crate) struct Quarantined {
    pub(crate) position: u64,
    pub(crate) index: u64,
    pub(crate) column: Option<&'static str>,
    pub(crate) row: Row,
    pub(crate) replay: Replay,
    /// The idempotency key under which it was last replayed.
    pub(crate) replay_key: Option<String>,
}

/// How far the replay of a row in quarantine is known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replay {
    Waiting,
    /// It was begun and not acknowledged: either.
    Unknown,
    Done,
}

pub(crate) struct SourceModel {
    pub(crate) spec: SourceSpec,
    /// In the order of the log.
    pub(crate) rows: Vec<Accepted>,
    pub(crate) account: Account,
    pub(crate) pushes: u64,
    pub(crate) newest: Option<i64>,
    pub(crate) quarantine: Vec<Quarantined>,
    /// The newest event time that any row sent here had.
    newest_sent: i64,
}

pub(crate) struct Model {
    pub(crate) sources: Vec<SourceModel>,
    /// The sequence that the next push gets.
    pub(crate) next_sequence: u64,
    /// The first sequence of the push that was settled last.
    pub(crate) last_push: Option<u64>,
    /// The newest arrival time that the engine gave.
    pub(crate) newest_given: i64,
    /// The newest event or arrival time of all rows.
    pub(crate) newest_time: i64,
}

impl Push {
    pub(crate) fn account(&self) -> Account {
        let mut account = Account::default();
        for fate in &self.fates {
            account.count(*fate);
        }
        account
    }

    pub(crate) fn applied(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().zip(&self.fates).filter(|(_, fate)| **fate == Fate::Applied).map(|(row, _)| row)
    }

    /// The rows that go to quarantine: index, column and row.
    pub(crate) fn quarantined(&self) -> impl Iterator<Item = (usize, Option<&'static str>, &Row)> {
        self.rows.iter().zip(&self.fates).enumerate().filter_map(|(index, (row, fate))| match fate {
            Fate::Quarantined(column) => Some((index, *column, row)),
            _ => None,
        })
    }

    /// How many sequences it uses in the log.
    pub(crate) fn span(&self) -> u64 {
        self.account().applied.max(1)
    }
}

impl Account {
    fn count(&mut self, fate: Fate) {
        self.read += 1;
        match fate {
            Fate::Applied => self.applied += 1,
            Fate::Filtered => self.filtered += 1,
            Fate::Deduplicated => self.deduplicated += 1,
            Fate::Quarantined(_) => self.quarantined += 1,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.applied += other.applied;
        self.deduplicated += other.deduplicated;
        self.filtered += other.filtered;
        self.quarantined += other.quarantined;
    }
}

impl Model {
    pub(crate) fn new(sources: Vec<SourceSpec>) -> Self {
        let source = |spec| SourceModel {
            spec,
            rows: Vec::new(),
            account: Account::default(),
            pushes: 0,
            newest: None,
            quarantine: Vec::new(),
            newest_sent: i64::MIN / 2,
        };
        let sources = sources.into_iter().map(source).collect();
        Self { sources, next_sequence: 1, last_push: None, newest_given: i64::MIN, newest_time: i64::MIN }
    }

    pub(crate) fn source(&self, name: &str) -> Option<&SourceModel> {
        self.sources.iter().find(|source| source.spec.definition.name == name)
    }

    /// What has to become of each row of a push, behind the pushes that wait.
    pub(crate) fn fates(&self, source: usize, rows: &[Row], waiting: &[&Push]) -> Vec<Fate> {
        let own = &self.sources[source];
        let filter = condition(own.spec.definition.filter.as_ref());
        let before: Vec<&Row> = waiting.iter().filter(|push| push.source == source).flat_map(|p| p.applied()).collect();
        let mut taken: Vec<&Row> = Vec::new();
        let mut fates = Vec::new();
        for row in rows {
            let known = || own.rows.iter().map(|accepted| &accepted.row).chain(before.iter().copied());
            let fate = own.fate(row, filter.as_ref(), known().chain(taken.iter().copied()));
            if fate == Fate::Applied {
                taken.push(row);
            }
            fates.push(fate);
        }
        fates
    }

    /// Whether it depends on what the engine may have forgotten if one of these rows counts as a duplicate, behind the
    /// pushes that wait.
    pub(crate) fn unsure_of_duplicates(&self, source: usize, rows: &[Row], waiting: &[&Push]) -> bool {
        let own = &self.sources[source];
        let Some(within) = own.spec.dedup_within() else { return false };
        let newest = rows.iter().filter_map(|row| row.at).fold(own.newest_sent, i64::max);
        let forgotten = newest - within - within.max(DUPLICATES_KNOWN);
        rows.iter().filter_map(|row| row.at.map(|at| (row.id, at))).any(|(id, at)| {
            let before = waiting.iter().filter(|push| push.source == source).flat_map(|push| push.applied());
            let known = own.rows.iter().map(|accepted| &accepted.row).chain(before);
            let mut times = known.filter(|row| row.id == id).filter_map(|row| row.at);
            times.any(|time| time.abs_diff(at) <= within as u64 && time <= forgotten)
        })
    }

    /// Takes note that rows were sent to a source, whatever becomes of them.
    pub(crate) fn sent(&mut self, source: usize, rows: &[Row]) {
        let own = &mut self.sources[source];
        own.newest_sent = rows.iter().filter_map(|row| row.at).fold(own.newest_sent, i64::max);
    }

    /// A push is durable from `first` on, its applied rows with these arrival times.
    pub(crate) fn settle(&mut self, push: &Push, first: u64, arrivals: &[i64]) {
        let given = !push.backfill && self.sources[push.source].spec.definition.arrival_time.is_none();
        let own = &mut self.sources[push.source];
        let changes = own.spec.definition.is_change();
        for (index, (row, arrival)) in push.applied().zip(arrivals).enumerate() {
            let time = row.at.unwrap_or(*arrival);
            if changes && let Some(before) = own.rows.iter_mut().rev().find(|before| before.row.id == row.id) {
                before.retracted = Some((time, *arrival));
            }
            let sequence = first + index as u64;
            own.rows.push(Accepted { row: row.clone(), time, arrival: *arrival, sequence, retracted: None });
            own.newest = own.newest.max(Some(time));
            self.newest_time = self.newest_time.max(time).max(*arrival);
            if given {
                self.newest_given = self.newest_given.max(*arrival);
            }
        }
        own.account.add(&push.account());
        own.pushes += 1;
        let set_aside = push.quarantined().map(|(index, column, row)| Quarantined {
            position: first,
            index: index as u64,
            column,
            row: row.clone(),
            replay: Replay::Waiting,
            replay_key: None,
        });
        own.quarantine.extend(set_aside);
        self.last_push = Some(first);
        self.next_sequence = first + push.span();
    }
}

impl SourceModel {
    fn fate<'a>(&self, row: &Row, filter: Option<&Parsed>, known: impl DoubleEndedIterator<Item = &'a Row>) -> Fate {
        if let Some(fault) = row.fault {
            // A delete may come without a time; under another name it is a row without one.
            let timeless = fault == Fault::OddOperation && row.at.is_none();
            return Fate::Quarantined(if timeless { Some(column::AT) } else { fault.column() });
        }
        if !row.passes(filter) {
            return Fate::Filtered;
        }
        if let Some(within) = self.spec.dedup_within() {
            let near = |other: &Row| match (row.at, other.at) {
                (Some(own), Some(other)) => own.abs_diff(other) <= within as u64,
                _ => false,
            };
            let mut known = known;
            return if known.any(|other| other.id == row.id && near(other)) {
                Fate::Deduplicated
            } else {
                Fate::Applied
            };
        }
        if row.is_delete() {
            // Only a row that is there can be deleted: the newest change under its key put it there.
            let newest = known.rev().find(|other| other.id == row.id);
            if newest.is_none_or(Row::is_delete) {
                return Fate::Quarantined(Some(column::OPERATION));
            }
        }
        Fate::Applied
    }

    /// The rows in quarantine that wait for their replay.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Quarantined> {
        self.quarantine.iter().filter(|row| row.replay == Replay::Waiting)
    }
}
