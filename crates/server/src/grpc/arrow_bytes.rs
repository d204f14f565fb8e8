//! Arrow IPC streams inside messages.

use super::limits::ARROW_BYTES;
use crate::error::ServerError;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

/// The batches of an Arrow IPC stream, and their schema.
pub fn batches(bytes: &[u8]) -> Result<(SchemaRef, Vec<RecordBatch>), ServerError> {
    crate::ipc::batches(bytes, ARROW_BYTES)
        .map_err(|why| ServerError::Invalid(format!("`arrow` is not an Arrow IPC stream: {why}; nothing was taken")))
}
