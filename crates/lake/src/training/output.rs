//! From the answers of the views to the columns of the training set, and to a file.

use super::collect::{status_code, status_name};
use super::spine::Spine;
use super::{TrainingRequest, ViewAnswers};
use crate::error::{LakeError, Result};
use crate::limits::RESULT_BATCH_ROWS;
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray, UInt8Array};
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use thalweg_aggregate::{Evaluated, FeaturePlan, Status, arrow_field};

/// The feature columns of a training set, checked against the spine.
pub(super) struct Columns {
    /// One array per request value of the plan.
    request: Vec<ArrayRef>,
    features: Vec<Feature>,
    statuses: bool,
}

struct Feature {
    field: Field,
    /// Index among the plan's working columns.
    working: usize,
}

/// All working columns of the plan, in the order of the spine.
pub(super) struct Computed {
    pub(super) values: Vec<ArrayRef>,
    /// Codes of statuses, by working column.
    pub(super) statuses: Vec<UInt8Array>,
    /// By working column, in how many rows the other of the two kinds of point in time gives another value.
    pub(super) late_changed: Vec<u64>,
}

impl Columns {
    pub(super) fn check(request: &TrainingRequest, plan: &FeaturePlan, spine: &Spine) -> Result<Self> {
        let values = plan
            .request
            .iter()
            .map(|(name, data_type)| spine.request_value(name, data_type))
            .collect::<Result<Vec<_>>>()?;
        let schema = spine.batch.schema();
        let mut taken: HashSet<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        let mut features = Vec::with_capacity(plan.features.len());
        for feature in &plan.features {
            let name = feature.name.replace('.', "__");
            let names = [Some(name.clone()), request.statuses.then(|| status_column(&name))];
            for name in names.into_iter().flatten() {
                if taken.contains(&name) {
                    let rule = format!("the training set would have two columns `{name}`");
                    return Err(LakeError::Invalid(format!("{rule}; rename the spine's, or ask once for the feature")));
                }
                taken.insert(name);
            }
            features.push(Feature { field: arrow_field(&name, &feature.data_type), working: feature.working });
        }
        Ok(Self { request: values, features, statuses: request.statuses })
    }

    pub(super) fn schema(&self, spine: &Spine) -> SchemaRef {
        let mut fields: Vec<FieldRef> = spine.batch.schema().fields().iter().cloned().collect();
        for feature in &self.features {
            fields.push(Arc::new(feature.field.clone()));
            if self.statuses {
                fields.push(Arc::new(Field::new(status_column(feature.field.name()), ArrowType::Utf8, true)));
            }
        }
        Arc::new(Schema::new(fields))
    }

    pub(super) fn batches(&self, spine: &Spine, schema: &SchemaRef, computed: &Computed) -> Result<Vec<RecordBatch>> {
        let mut columns = spine.batch.columns().to_vec();
        for feature in &self.features {
            columns.push(computed.values[feature.working].clone());
            if self.statuses {
                let codes = &computed.statuses[feature.working];
                let names = codes.values().iter().map(|code| Some(status_name(*code)));
                columns.push(Arc::new(names.collect::<StringArray>()));
            }
        }
        let rows = spine.rows();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let whole = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
        let starts = (0..rows.max(1)).step_by(RESULT_BATCH_ROWS);
        Ok(starts.map(|start| whole.slice(start, RESULT_BATCH_ROWS.min(rows - start))).collect())
    }
}

fn status_column(feature: &str) -> String {
    format!("{feature}__status")
}

/// Computes the on-demand features behind the views' columns, and counts what late rows change.
pub(super) fn compute(
    plan: &FeaturePlan,
    columns: &Columns,
    answers: Vec<ViewAnswers>,
    rows: usize,
) -> Result<Computed> {
    let of_views: Vec<ArrayRef> = answers.iter().flat_map(|answers| answers.values.iter().cloned()).collect();
    let mut statuses: Vec<UInt8Array> = answers.iter().flat_map(|answers| answers.statuses.iter().cloned()).collect();
    let error = status_code(Status::Error);
    let failed = |column: usize, row: usize| statuses[column].value(row) == error;
    let Evaluated { working: values, failures } =
        plan.evaluate(of_views, &failed, &columns.request, rows).map_err(LakeError::Storage)?;
    let late_changed = late_changed(plan, columns, &answers, &values, rows)?;
    for (array, failed) in values[statuses.len()..].iter().zip(&failures) {
        let (present, null) = (status_code(Status::Present), status_code(Status::Null));
        let code = |row: usize| match (failed.value(row), array.is_null(row)) {
            (true, _) => error,
            (false, true) => null,
            (false, false) => present,
        };
        statuses.push(UInt8Array::from_iter_values((0..rows).map(code)));
    }
    Ok(Computed { values, statuses, late_changed })
}

fn late_changed(
    plan: &FeaturePlan,
    columns: &Columns,
    answers: &[ViewAnswers],
    values: &[ArrayRef],
    rows: usize,
) -> Result<Vec<u64>> {
    let mut changed: Vec<u32> =
        answers.iter().filter_map(|answers| answers.other.as_ref()).flat_map(|other| other.rows.clone()).collect();
    changed.sort_unstable();
    changed.dedup();
    if changed.is_empty() {
        return Ok(vec![0; values.len()]);
    }
    let of_views: Vec<ArrayRef> = answers
        .iter()
        .flat_map(|answers| answers.other.as_ref().map_or(&answers.values, |other| &other.values).iter().cloned())
        .collect();
    // What could not be given by the one kind is not compared with the other.
    let others = plan.evaluate(of_views, &|_, _| false, &columns.request, rows).map_err(LakeError::Storage)?.working;
    let differs = |a: &ArrayRef, b: &ArrayRef, row: usize| a.slice(row, 1).to_data() != b.slice(row, 1).to_data();
    let count = |(a, b): (&ArrayRef, &ArrayRef)| changed.iter().filter(|row| differs(a, b, **row as usize)).count();
    Ok(values.iter().zip(&others).map(|pair| count(pair) as u64).collect())
}

/// Writes a training set as Parquet, durably; the same batches make the same bytes.
pub fn write_parquet(path: &Path, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<()> {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_created_by("thalweg".to_owned());
    // Floats hardly repeat: a dictionary of them costs more than the rest of the file.
    for field in schema.fields().iter().filter(|field| field.data_type().is_floating()) {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(field.name().as_str()), false);
    }
    let properties = properties.build();
    // The name appears when the file is whole.
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let failed = |error: std::io::Error| LakeError::Storage(format!("file `{}`: {error}", path.display()));
    let mut writer = ArrowWriter::try_new(File::create(&part).map_err(failed)?, schema.clone(), Some(properties))?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.into_inner()?.sync_all().map_err(failed)?;
    std::fs::rename(&part, path).map_err(failed)?;
    match path.parent() {
        Some(directory) => File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed),
        None => Ok(()),
    }
}
