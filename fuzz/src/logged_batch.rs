//! The payload of a log record: what decodes is written again as something that says the same, and fits every later
//! schema of its source or is refused.

use crate::push::sources;
use arrow::array::RecordBatch;
use arrow::datatypes::DataType as ArrowType;
use thalweg_aggregate::data_type_of;
use thalweg_engine::{LoggedBatch, conform, source_schema};

pub fn run(data: &[u8]) {
    let Ok(batch) = LoggedBatch::decode(data) else { return };
    for source in sources() {
        if let Ok(conformed) = conform(&batch.rows, &source_schema(source)) {
            assert_eq!(conformed.num_rows(), batch.rows.num_rows());
        }
    }
    if !is_of_columns(&batch.rows) || !batch.before.as_ref().is_none_or(is_of_columns) {
        return;
    }
    let again = LoggedBatch::decode(&batch.encode()).expect("what was written is read");
    assert_eq!(again.header.ack, batch.header.ack);
    assert_eq!(again.header.quarantined, batch.header.quarantined);
    assert_eq!(again.header.idempotency_key, batch.header.idempotency_key);
    assert_eq!(again.header.accepted_at, batch.header.accepted_at);
    assert_eq!(again.rows, batch.rows);
    assert_eq!(again.before, batch.before);
}

/// Whether the columns are of types that sources have: nothing else is ever written.
fn is_of_columns(batch: &RecordBatch) -> bool {
    let is_one = |arrow: &ArrowType| data_type_of(arrow).is_some() && !matches!(arrow, ArrowType::Dictionary(..));
    batch.schema_ref().fields().iter().all(|field| is_one(field.data_type()))
}
