//! Reading a directly written feature: the outputs of its own view, so that freshness, staleness and statuses are the
//! engine's; and describing it.

use super::keys;
use super::selector::{Selector, unknown};
use super::{DirectAnswer, DirectDescriptor, DirectKey, DirectValue};
use crate::error::ServerError;
use crate::http::json::write_value;
use crate::instance::Instance;
use arrow::array::Array;
use serde_json::Value as Json;
use thalweg_definition::{Column, DataType, DirectFeature};
use thalweg_engine::{EngineError, FeatureRequest, Runtime, Wanted};

impl Instance {
    /// A feature's values for one entity, and their types. May block where the feature is fetched.
    pub(crate) fn direct_get(
        &self,
        runtime: &Runtime,
        selector: &str,
        given: &[(String, Json)],
        as_of: Option<i64>,
    ) -> Result<(DirectAnswer, Vec<String>), ServerError> {
        let selector = Selector::parse(selector).map_err(ServerError::Invalid)?;
        let feature = find(runtime, selector.feature)?;
        let selected = selector.outputs(feature).map_err(ServerError::Invalid)?;
        let object = feature.object_name();
        let view = runtime.views.get(&object);
        let view = view.ok_or_else(|| ServerError::Internal(format!("`{}` has no view", selector.feature)))?;
        let key = keys::typed(&view.entity, given).map_err(ServerError::Invalid)?;
        if !view.state.is_ready() {
            let why = format!("`{}` is being filled from history: ask again later", selector.feature);
            return Err(EngineError::Unavailable(why).into());
        }
        let request = FeatureRequest {
            wanted: Wanted::Features(selected.iter().map(|one| format!("{object}.{}", one.output)).collect()),
            entities: keys::columns(&view.entity, &key),
            request: Vec::new(),
            as_of,
        };
        let response = self.read(request)?;
        let values = response.results.iter().zip(&selected).map(|(result, one)| DirectValue {
            aggregation: one.aggregation.map(str::to_owned),
            value: value_json(&result.values, 0, &result.data_type),
            status: result.statuses[0].name(),
            event_time: result.event_times[0],
        });
        let types = response.results.iter().map(|result| result.data_type.to_string()).collect();
        Ok((DirectAnswer { values: values.collect(), as_of: response.as_of }, types))
    }
}

/// The descriptor of the feature that a selector names, whole or in part.
pub fn descriptor(runtime: &Runtime, selector: &str) -> Result<DirectDescriptor, ServerError> {
    let selector = Selector::parse(selector).map_err(ServerError::Invalid)?;
    let feature = find(runtime, selector.feature)?;
    selector.outputs(feature).map_err(ServerError::Invalid)?;
    Ok(descriptor_of(runtime, feature))
}

pub fn descriptor_of(runtime: &Runtime, feature: &DirectFeature) -> DirectDescriptor {
    let entity = runtime.checked.manifest.entity(&feature.entity);
    let keys = entity.into_iter().flat_map(|entity| &entity.keys);
    let key = |key: &Column| DirectKey { name: key.name.clone(), data_type: key.data_type.to_string() };
    DirectDescriptor {
        selector: feature.selector(),
        namespace: feature.about.namespace().to_owned(),
        name: feature.name.clone(),
        entity: feature.entity.clone(),
        keys: keys.map(key).collect(),
        primitive: feature.primitive.to_string(),
        aggregations: feature.aggregations.iter().map(|aggregation| aggregation.name().to_owned()).collect(),
        over: feature.over.map(|over| over.to_string()),
        keep_previous: feature.keep_previous,
        freshness: feature.freshness.map(|freshness| freshness.to_string()),
        staleness: feature.staleness.map(|staleness| staleness.to_string()),
        timeout: feature.timeout.map(|timeout| timeout.to_string()),
        fetch: feature.fetch.is_some(),
    }
}

fn find<'a>(runtime: &'a Runtime, feature: &str) -> Result<&'a DirectFeature, ServerError> {
    let found = runtime.checked.manifest.direct(feature);
    found.ok_or_else(|| ServerError::NotFound(unknown(feature, &[])))
}

/// One value of a column in the JSON form that every door reads and writes.
pub fn value_json(column: &dyn Array, row: usize, data_type: &DataType) -> Json {
    let mut text = String::new();
    write_value(&mut text, column, row, data_type);
    serde_json::from_str(&text).expect("what is written as JSON reads as JSON")
}
