//! One error for everything above the engine and the lake, and one code for each kind, by which every protocol and
//! the Python client name it.

use thalweg_definition::{DefinitionError, Problem};
use thalweg_engine::EngineError;
use thalweg_lake::LakeError;
use thalweg_store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is declared breaks rules; each problem says which and how to mend it.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// The manifest changes what existing features mean, and that was not allowed.
    #[error(
        "{0}\nthis changes what existing features mean: give new features new names, or apply with --allow-breaking"
    )]
    Breaking(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Unavailable(String),
    /// No key was presented, or one that is not known, has expired or was taken back.
    #[error("{0}")]
    Unauthenticated(String),
    /// The key does not allow this.
    #[error("{0}")]
    Forbidden(String),
    /// The key has used up its rate.
    #[error("{what}: send again in {retry_after_ms} ms")]
    RateLimited { what: String, retry_after_ms: u64 },
    /// It took longer than the caller, or the definition, allows.
    #[error("{0}")]
    Deadline(String),
    /// The server's own fault or that of the machine under it.
    #[error("{0}")]
    Internal(String),
}

impl ServerError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Engine(error) => error.code(),
            Self::Lake(error) => error.code(),
            Self::Store(_) => "STORAGE",
            Self::Definition(_) | Self::Invalid(_) => "INVALID",
            Self::Breaking(_) => "BREAKING",
            Self::NotFound(_) => "NOT_FOUND",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::Unauthenticated(_) => "UNAUTHENTICATED",
            Self::Forbidden(_) => "FORBIDDEN",
            Self::RateLimited { .. } => "RATE_LIMITED",
            Self::Deadline(_) => "DEADLINE",
            Self::Internal(_) => "INTERNAL",
        }
    }

    /// When to try again, where that helps.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Engine(EngineError::Overloaded { retry_after_ms, .. }) | Self::RateLimited { retry_after_ms, .. } => {
                Some(*retry_after_ms)
            }
            _ => None,
        }
    }

    pub fn problems(&self) -> Option<&[Problem]> {
        match self {
            Self::Definition(DefinitionError(problems)) => Some(problems),
            _ => None,
        }
    }
}
