//! What can be asked of an instance, by one name each: for keys, the audit log, metrics and traces.

use crate::access::Scope;

/// The way by which a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    Http,
    Feast,
    Grpc,
    Redis,
    /// The process that the instance is embedded in.
    Process,
}

impl Door {
    pub const ALL: [Self; 5] = [Self::Http, Self::Feast, Self::Grpc, Self::Redis, Self::Process];

    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Feast => "feast",
            Self::Grpc => "grpc",
            Self::Redis => "redis",
            Self::Process => "process",
        }
    }
}

/// What is asked for. Its name is in the audit log and on the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Read,
    Push,
    Describe,
    Quarantine,
    ReplayQuarantine,
    TrainingSet,
    CancelTrainingSet,
    Plan,
    Apply,
    Check,
    Flush,
    Status,
    Metrics,
    Keys,
    ChangeKeys,
    Audit,
    DirectGet,
    DirectWrite,
}

impl Operation {
    pub const ALL: [Self; 18] = [
        Self::Read,
        Self::Push,
        Self::Describe,
        Self::Quarantine,
        Self::ReplayQuarantine,
        Self::TrainingSet,
        Self::CancelTrainingSet,
        Self::Plan,
        Self::Apply,
        Self::Check,
        Self::Flush,
        Self::Status,
        Self::Metrics,
        Self::Keys,
        Self::ChangeKeys,
        Self::Audit,
        Self::DirectGet,
        Self::DirectWrite,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Push => "push",
            Self::Describe => "describe",
            Self::Quarantine => "quarantine",
            Self::ReplayQuarantine => "replay_quarantine",
            Self::TrainingSet => "training_set",
            Self::CancelTrainingSet => "cancel_training_set",
            Self::Plan => "plan",
            Self::Apply => "apply",
            Self::Check => "check",
            Self::Flush => "flush",
            Self::Status => "status",
            Self::Metrics => "metrics",
            Self::Keys => "keys",
            Self::ChangeKeys => "change_keys",
            Self::Audit => "audit",
            Self::DirectGet => "direct_get",
            Self::DirectWrite => "direct_write",
        }
    }

    /// What a key must be allowed for it.
    pub fn scope(self) -> Scope {
        match self {
            Self::Push | Self::DirectWrite => Scope::Write,
            Self::ReplayQuarantine
            | Self::Apply
            | Self::Check
            | Self::Flush
            | Self::Keys
            | Self::ChangeKeys
            | Self::Audit => Scope::Admin,
            Self::Read
            | Self::Describe
            | Self::Quarantine
            | Self::TrainingSet
            | Self::CancelTrainingSet
            | Self::Plan
            | Self::Status
            | Self::Metrics
            | Self::DirectGet => Scope::Read,
        }
    }

    /// Whether it changes what others see besides rows: those are in the audit log. Rows are in the log of events.
    pub fn is_change(self) -> bool {
        matches!(self, Self::Apply | Self::ChangeKeys | Self::ReplayQuarantine | Self::CancelTrainingSet | Self::Flush)
    }
}
