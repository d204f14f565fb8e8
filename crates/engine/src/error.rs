//! What can go wrong in the engine, by what the caller can do about it.

use thalweg_store::StoreError;

#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// There is nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// The request breaks a rule; sending it again changes nothing.
    #[error("{0}")]
    Invalid(String),
    /// A bound is reached; send again later.
    #[error("{what}: send again in {retry_after_ms} ms")]
    Overloaded { what: String, retry_after_ms: u64 },
    /// Not now: the state is being built, or the engine has stopped taking writes.
    #[error("{0}")]
    Unavailable(String),
    /// The store failed.
    #[error("{0}")]
    Storage(String),
    /// A fault in the code that runs in the engine, such as a middleware that panicked.
    #[error("{0}")]
    Internal(String),
}

impl From<&StoreError> for EngineError {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::TooLarge { .. } => Self::Invalid(error.to_string()),
            StoreError::Poisoned | StoreError::DiskFull { .. } => Self::Unavailable(error.to_string()),
            error => Self::Storage(error.to_string()),
        }
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl EngineError {
    /// The code by which every protocol names this kind.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "NOT_FOUND",
            Self::Invalid(_) => "INVALID",
            Self::Overloaded { .. } => "OVERLOADED",
            Self::Unavailable(_) => "UNAVAILABLE",
            Self::Storage(_) => "STORAGE",
            Self::Internal(_) => "INTERNAL",
        }
    }

    /// The same error, with who raised it in front.
    pub(crate) fn raised_by(self, who: &str) -> Self {
        let named = |why: String| format!("{who}: {why}");
        match self {
            Self::NotFound(why) => Self::NotFound(named(why)),
            Self::Invalid(why) => Self::Invalid(named(why)),
            Self::Overloaded { what, retry_after_ms } => Self::Overloaded { what: named(what), retry_after_ms },
            Self::Unavailable(why) => Self::Unavailable(named(why)),
            Self::Storage(why) => Self::Storage(named(why)),
            Self::Internal(why) => Self::Internal(named(why)),
        }
    }
}
