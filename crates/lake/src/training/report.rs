//! What is said of a training set: from what it was made, and what its columns are like.

use super::collect::status_code;
use super::output::Computed;
use super::spine::Spine;
use super::{SourceUse, TrainingRequest};
use crate::error::Result;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType as ArrowType, Float64Type};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thalweg_aggregate::{FeaturePlan, Status};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub id: String,
    pub rows: u64,
    pub service: String,
    pub as_of: String,
    pub manifest_hash: String,
    pub sources: BTreeMap<String, SourceReport>,
    pub spine_hash: String,
    pub seconds: f64,
    pub features: Vec<FeatureReport>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceReport {
    /// The log sequence before which rows count.
    pub sequence: u64,
    pub delta_version: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureReport {
    pub name: String,
    pub nulls: u64,
    /// Rows whose entity had not been seen, so that the value is that of no input.
    pub defaults: u64,
    /// Of the finite values of a number.
    pub mean: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// Rows whose value differs between the two kinds of point in time; zero where rows bring their own cut.
    pub late_changed: u64,
}

pub(super) fn report(
    request: &TrainingRequest,
    id: &str,
    spine: &Spine,
    plan: &FeaturePlan,
    computed: &Computed,
    sources: BTreeMap<String, SourceUse>,
    seconds: f64,
) -> Result<Report> {
    let not_found = status_code(Status::NotFound);
    let feature = |column: &thalweg_aggregate::FeatureColumn| -> Result<FeatureReport> {
        let values = &computed.values[column.working];
        let statuses = &computed.statuses[column.working];
        let summary = if column.data_type.is_numeric() { summary(values)? } else { Summary::default() };
        Ok(FeatureReport {
            name: column.name.clone(),
            nulls: values.null_count() as u64,
            defaults: statuses.values().iter().filter(|code| **code == not_found).count() as u64,
            mean: summary.mean,
            min: summary.min,
            max: summary.max,
            late_changed: computed.late_changed[column.working],
        })
    };
    Ok(Report {
        id: id.to_owned(),
        rows: spine.rows() as u64,
        service: request.service.clone(),
        as_of: request.as_of.name().to_owned(),
        manifest_hash: request.manifest_hash.clone(),
        sources: sources.into_iter().map(|(name, used)| (name, used.report)).collect(),
        spine_hash: spine.hash.clone(),
        seconds,
        features: plan.features.iter().map(feature).collect::<Result<Vec<_>>>()?,
    })
}

#[derive(Default)]
struct Summary {
    mean: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
}

fn summary(values: &ArrayRef) -> Result<Summary> {
    let numbers = cast(values, &ArrowType::Float64)?;
    let (mut count, mut sum) = (0u64, 0.0);
    let mut summary = Summary::default();
    for number in numbers.as_primitive::<Float64Type>().iter().flatten().filter(|number| number.is_finite()) {
        count += 1;
        sum += number;
        summary.min = Some(summary.min.map_or(number, |min| min.min(number)));
        summary.max = Some(summary.max.map_or(number, |max| max.max(number)));
    }
    if count > 0 {
        summary.mean = Some(sum / count as f64);
    }
    Ok(summary)
}
