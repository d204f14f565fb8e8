//! Features as an Arrow stream, with the columns that a training set has: keys, then each feature and its status.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use arrow_ipc::writer::StreamWriter;
use std::sync::Arc;
use thalweg_engine::FeatureResponse;
use thalweg_engine::literal::timestamp_text;

/// An Arrow IPC stream. Its metadata has the query time and the manifest's hash.
pub fn feature_stream(response: &FeatureResponse) -> Result<Vec<u8>, ArrowError> {
    let batch = feature_batch(response)?;
    let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref())?;
    writer.write(&batch)?;
    writer.into_inner()
}

/// The answer as a table: keys, then each feature and its status.
pub fn feature_batch(response: &FeatureResponse) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<(String, ArrayRef)> = response.entities.clone();
    for result in &response.results {
        let column = result.name.replace('.', "__");
        let statuses: StringArray = result.statuses.iter().map(|status| Some(status.name())).collect();
        columns.push((column.clone(), result.values.clone()));
        columns.push((format!("{column}__status"), Arc::new(statuses)));
    }
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(name, array.data_type().clone(), true)).collect();
    let metadata = [
        ("as_of".to_owned(), timestamp_text(response.as_of)),
        ("manifest_hash".to_owned(), response.manifest_hash.clone()),
    ];
    let schema = Schema::new_with_metadata(fields, metadata.into());
    let options = RecordBatchOptions::new().with_row_count(Some(response.rows));
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new_with_options(Arc::new(schema), arrays, &options)
}
