//! What can go wrong in the lake, by what the caller can do about it.

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use deltalake::DeltaTableError;
use parquet::errors::ParquetError;

#[derive(Debug, Clone, thiserror::Error)]
pub enum LakeError {
    /// There is nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// The request breaks a rule; sending it again changes nothing.
    #[error("{0}")]
    Invalid(String),
    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// Files or object store failed, or hold something else than expected.
    #[error("{0}")]
    Storage(String),
}

pub type Result<T> = std::result::Result<T, LakeError>;

impl LakeError {
    /// The code by which every protocol names this kind.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "NOT_FOUND",
            Self::Invalid(_) => "INVALID",
            Self::Cancelled => "CANCELLED",
            Self::Storage(_) => "STORAGE",
        }
    }
}

impl From<DeltaTableError> for LakeError {
    fn from(error: DeltaTableError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<DataFusionError> for LakeError {
    fn from(error: DataFusionError) -> Self {
        Self::Storage(error.strip_backtrace())
    }
}

impl From<ArrowError> for LakeError {
    fn from(error: ArrowError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<ParquetError> for LakeError {
    fn from(error: ParquetError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<std::io::Error> for LakeError {
    fn from(error: std::io::Error) -> Self {
        Self::Storage(error.to_string())
    }
}
