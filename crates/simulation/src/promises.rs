//! What is promised, each with its sentence; how often each was checked; and the report of one that broke.

use std::fmt;

/// A promise that is checked while a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    Durable,
    VisibleAtOnce,
    WholeOrNotAtAll,
    CountsOnce,
    AllAccountedFor,
    Values,
    SameAnswerLater,
    TimeNeverGoesBack,
    ArrivalAfterAnswers,
    OnceInHistoryOrLog,
    FailedSyncStopsWriting,
    FullDiskRecovers,
    FilledLaterIsTheSame,
    QuarantineKeepsRows,
    OpensAgain,
    DamageIsNamed,
    NothingRefusedWithoutFault,
    NeverPanics,
}

impl Promise {
    pub const ALL: [Self; 18] = [
        Self::Durable,
        Self::VisibleAtOnce,
        Self::WholeOrNotAtAll,
        Self::CountsOnce,
        Self::AllAccountedFor,
        Self::Values,
        Self::SameAnswerLater,
        Self::TimeNeverGoesBack,
        Self::ArrivalAfterAnswers,
        Self::OnceInHistoryOrLog,
        Self::FailedSyncStopsWriting,
        Self::FullDiskRecovers,
        Self::FilledLaterIsTheSame,
        Self::QuarantineKeepsRows,
        Self::OpensAgain,
        Self::DamageIsNamed,
        Self::NothingRefusedWithoutFault,
        Self::NeverPanics,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::VisibleAtOnce => "visible_at_once",
            Self::WholeOrNotAtAll => "whole_or_not_at_all",
            Self::CountsOnce => "counts_once",
            Self::AllAccountedFor => "all_accounted_for",
            Self::Values => "values",
            Self::SameAnswerLater => "same_answer_later",
            Self::TimeNeverGoesBack => "time_never_goes_back",
            Self::ArrivalAfterAnswers => "arrival_after_answers",
            Self::OnceInHistoryOrLog => "once_in_history_or_log",
            Self::FailedSyncStopsWriting => "failed_sync_stops_writing",
            Self::FullDiskRecovers => "full_disk_recovers",
            Self::FilledLaterIsTheSame => "filled_later_is_the_same",
            Self::QuarantineKeepsRows => "quarantine_keeps_rows",
            Self::OpensAgain => "opens_again",
            Self::DamageIsNamed => "damage_is_named",
            Self::NothingRefusedWithoutFault => "nothing_refused_without_fault",
            Self::NeverPanics => "never_panics",
        }
    }

    pub fn sentence(self) -> &'static str {
        match self {
            Self::Durable => "Rows of an acknowledged push survive kill -9 and power loss.",
            Self::VisibleAtOnce => "The next read of now sees every acknowledged row that has happened.",
            Self::WholeOrNotAtAll => "A push that was not acknowledged is there whole or not at all, and at most once.",
            Self::CountsOnce => "A push that is sent again counts once and is acknowledged as the first time.",
            Self::AllAccountedFor => {
                "read = applied + deduplicated + filtered + quarantined, for each push and source."
            }
            Self::Values => "Every read equals a recomputation from scratch: value, event time and status.",
            Self::SameAnswerLater => {
                "What was answered at q is answered again as of q, as far back as the state reaches."
            }
            Self::TimeNeverGoesBack => "The query time of a read of now is never before an earlier one.",
            Self::ArrivalAfterAnswers => "An arrival time that the engine gives is never before a query time answered.",
            Self::OnceInHistoryOrLog => {
                "History up to its position and the log from there on have each acknowledged row once, \
                 with its sequence, and no other."
            }
            Self::FailedSyncStopsWriting => {
                "After a failed fsync nothing is acknowledged until the engine is reopened."
            }
            Self::FullDiskRecovers => {
                "A full disk refuses the write, which never happened, and stops nothing for good."
            }
            Self::FilledLaterIsTheSame => {
                "A view that is filled later answers ERROR until then, and afterwards as one that was there, for good."
            }
            Self::QuarantineKeepsRows => "A row in quarantine keeps its raw bytes, its position and the reason.",
            Self::OpensAgain => {
                "After a crash at any moment the engine opens, from what was durable, without a warning."
            }
            Self::DamageIsNamed => "Damaged bytes are refused by file and offset or survived with a warning.",
            Self::NothingRefusedWithoutFault => "Without a fault no push, read, checkpoint or commit to history fails.",
            Self::NeverPanics => "Whatever the disk does, the engine does not panic.",
        }
    }
}

/// How often each promise was checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked([u64; Promise::ALL.len()]);

impl Checked {
    pub fn count(&self, promise: Promise) -> u64 {
        self.0[promise as usize]
    }

    pub(crate) fn once_more(&mut self, promise: Promise) {
        self.0[promise as usize] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (own, more) in self.0.iter_mut().zip(other.0) {
            *own += more;
        }
    }
}

/// A promise that does not hold, and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub promise: Promise,
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) {}", self.promise.name(), self.promise.sentence(), self.what)
    }
}
