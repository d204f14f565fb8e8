//! A request for features as an Arrow stream: key columns and request values in the body, what is wanted in the query.
//!
//! ```text
//! POST /v1/features?service=card_risk&as_of=2024-05-01T12:00:00Z      body: columns card, amount
//! ```

use super::errors::HttpError;
use super::json::{expected, point_in_time, unexpected};
use crate::error::ServerError;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::SchemaRef;
use serde::Deserialize;
use thalweg_aggregate::arrow_type;
use thalweg_definition::DataType;
use thalweg_engine::{FeatureRequest, Runtime, Wanted};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadQuery {
    service: Option<String>,
    /// References with commas between them.
    features: Option<String>,
    as_of: Option<String>,
}

impl ReadQuery {
    /// A JSON body says it all.
    pub fn check_empty(&self) -> Result<(), HttpError> {
        match (&self.service, &self.features, &self.as_of) {
            (None, None, None) => Ok(()),
            _ => Err(HttpError::invalid(
                "query parameters go with an Arrow body: in JSON write `service`, `features` and `as_of` into the body",
            )),
        }
    }

    fn wanted(&self) -> Result<Wanted, HttpError> {
        match (&self.service, &self.features) {
            (Some(service), None) => Ok(Wanted::Service(service.clone())),
            (None, Some(features)) if !features.is_empty() => {
                Ok(Wanted::Features(features.split(',').map(|name| name.trim().to_owned()).collect()))
            }
            _ => Err(HttpError::invalid(
                "it is not said what to read: write ?service=name, or ?features=view.output,view.other",
            )),
        }
    }
}

/// The request of an Arrow body.
pub fn arrow_feature_request(
    runtime: &Runtime,
    query: &ReadQuery,
    body: (SchemaRef, Vec<RecordBatch>),
) -> Result<FeatureRequest, HttpError> {
    let wanted = query.wanted()?;
    let as_of = match &query.as_of {
        None => None,
        Some(text) => point_in_time("as_of", &text.parse::<i64>().map_or_else(|_| text.as_str().into(), Into::into))?,
    };
    Ok(columnar_request(runtime, wanted, as_of, body)?)
}

/// A request whose key columns and request values are columns of a table, by their names; others are refused.
pub fn columnar_request(
    runtime: &Runtime,
    wanted: Wanted,
    as_of: Option<i64>,
    (schema, batches): (SchemaRef, Vec<RecordBatch>),
) -> Result<FeatureRequest, ServerError> {
    let (keys, request_values) = expected(runtime, &wanted)?;
    let rows = concat_batches(&schema, &batches)
        .map_err(|error| ServerError::Invalid(format!("the batches of the table are not of one schema: {error}")))?;
    let (mut entities, mut request) = (Vec::new(), Vec::new());
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let typed = |columns: &[(String, DataType)]| {
            let found = columns.iter().find(|(name, _)| name == field.name());
            found
                .map(|(name, data_type)| Ok::<_, ServerError>((name.clone(), cast(name, column, data_type)?)))
                .transpose()
        };
        if let Some(named) = typed(&keys)? {
            entities.push(named);
        } else if let Some(named) = typed(&request_values)? {
            request.push(named);
        } else {
            return Err(unexpected(field.name(), &[keys, request_values].concat(), "table", "column"));
        }
    }
    Ok(FeatureRequest { wanted, entities, request, as_of })
}

/// A column as its definition has it; what does not fit is refused, never cut.
fn cast(name: &str, column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, ServerError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, &arrow_type(data_type), &options)
        .map_err(|error| ServerError::Invalid(format!("column `{name}` is to be {data_type}: {error}")))
}
