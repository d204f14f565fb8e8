//! Arrow IPC streams inside messages.

use crate::error::ServerError;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_ipc::reader::StreamReader;

/// The batches of an Arrow IPC stream, and their schema.
pub fn batches(bytes: &[u8]) -> Result<(SchemaRef, Vec<RecordBatch>), ServerError> {
    let wrong = |error: arrow::error::ArrowError| {
        ServerError::Invalid(format!("`arrow` is not an Arrow IPC stream: {error}; nothing was taken"))
    };
    let reader = StreamReader::try_new(bytes, None).map_err(wrong)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    Ok((schema, batches))
}
