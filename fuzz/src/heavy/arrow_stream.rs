//! Arrow IPC streams from outside: what is read fits the bound, and every row of it is taken or set aside.

use crate::push;
use arrow::array::Array;
use thalweg_server::fuzzing::arrow_batches;

/// Bytes that all values together may have.
const MOST: u64 = 1 << 20;

pub fn run(data: &[u8]) {
    let Ok((schema, batches)) = arrow_batches(data, MOST) else { return };
    for batch in &batches {
        assert_eq!(batch.schema_ref().fields(), schema.fields());
        for column in batch.columns() {
            assert_eq!(column.len(), batch.num_rows());
        }
    }
    push::batches(&batches);
}
