//! From the JSON of a feature request to typed columns. The manifest says which columns there are, and their types.

use super::from_object;
use crate::error::ServerError;
use crate::nearest::nearest;
use arrow::array::ArrayRef;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use thalweg_aggregate::{Value, array_from_values};
use thalweg_definition::{DataType, Manifest};
use thalweg_engine::literal::{from_json, timestamp};
use thalweg_engine::{FeatureRequest, Runtime, Wanted};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    service: Option<String>,
    features: Option<Vec<String>>,
    #[serde(default)]
    entities: Map<String, Json>,
    #[serde(default)]
    request: Map<String, Json>,
    as_of: Option<Json>,
}

/// Typed columns by name.
pub(crate) type Columns = Vec<(String, DataType)>;

/// A request from its JSON, typed by the manifest in force. The error says what to write instead.
pub fn parse_feature_request(runtime: &Runtime, text: &[u8]) -> Result<FeatureRequest, ServerError> {
    let asked: Asked = from_object(text)
        .map_err(|error| ServerError::Invalid(format!("the body is not a feature request: {error}")))?;
    let wanted = match (asked.service, asked.features) {
        (Some(service), None) => Wanted::Service(service),
        (None, Some(features)) if !features.is_empty() => Wanted::Features(features),
        _ => {
            let mend = "name either a `service` or a list of `features`";
            return Err(ServerError::Invalid(format!("it is not said what to read: {mend}")));
        }
    };
    let (keys, request) = expected(runtime, &wanted)?;
    Ok(FeatureRequest {
        entities: typed(asked.entities, &keys, "entities", "key column")?,
        request: typed(asked.request, &request, "request", "request value")?,
        as_of: asked.as_of.as_ref().map(|json| point_in_time("as_of", json)).transpose()?.flatten(),
        wanted,
    })
}

/// A time of a request: ISO 8601, or whole microseconds; none where it is null.
pub fn point_in_time(name: &str, json: &Json) -> Result<Option<i64>, ServerError> {
    let micros = match json {
        Json::Null => return Ok(None),
        Json::Number(number) => number.as_i64(),
        Json::String(text) => timestamp(text),
        _ => None,
    };
    micros.map(Some).ok_or_else(|| {
        ServerError::Invalid(format!(
            "`{name}` is {json}: write ISO 8601 such as \"2024-05-01T12:00:00Z\", or whole microseconds"
        ))
    })
}

/// The key columns and the request values of what is wanted.
pub(crate) fn expected(runtime: &Runtime, wanted: &Wanted) -> Result<(Columns, Columns), ServerError> {
    match wanted {
        Wanted::Service(name) => match runtime.services.get(name) {
            Some(service) => Ok((service.plan.keys.clone(), service.plan.request.clone())),
            None => {
                let names = runtime.checked.manifest.services.iter().map(|service| service.name.as_str());
                Err(ServerError::NotFound(unknown("service", name, names.collect())))
            }
        },
        Wanted::Features(features) => {
            let mut needs = Needs { runtime, keys: Vec::new(), request: Vec::new(), seen: Vec::new() };
            for feature in features {
                needs.add(feature)?;
            }
            Ok((needs.keys, needs.request))
        }
    }
}

/// What single features need, collected without compiling them.
struct Needs<'a> {
    runtime: &'a Runtime,
    keys: Columns,
    request: Columns,
    seen: Vec<String>,
}

impl Needs<'_> {
    fn add(&mut self, reference: &str) -> Result<(), ServerError> {
        if self.seen.iter().any(|seen| seen == reference) {
            return Ok(());
        }
        self.seen.push(reference.to_owned());
        let checked = &self.runtime.checked;
        let manifest = &checked.manifest;
        if let Some((view, output)) = reference.split_once('.') {
            let view = manifest.view(view).filter(|view| view.outputs().any(|(_, _, name)| name == output));
            let view = view.ok_or_else(|| no_feature(manifest, reference))?;
            let entity = manifest.entity(&view.entity).ok_or_else(|| no_feature(manifest, reference))?;
            for key in &entity.keys {
                put(&mut self.keys, &key.name, &key.data_type);
            }
            return Ok(());
        }
        let position = manifest.on_demand.iter().position(|feature| feature.name == reference);
        let position = position.ok_or_else(|| no_feature(manifest, reference))?;
        for other in &checked.on_demand[position].references {
            match other.strip_prefix("request.") {
                None => self.add(other)?,
                Some(value) => {
                    let column = manifest.on_demand[position].request.iter().find(|column| column.name == value);
                    if let Some(column) = column {
                        put(&mut self.request, &column.name, &column.data_type);
                    }
                }
            }
        }
        Ok(())
    }
}

fn put(columns: &mut Columns, name: &str, data_type: &DataType) {
    if !columns.iter().any(|(own, _)| own == name) {
        columns.push((name.to_owned(), data_type.clone()));
    }
}

fn no_feature(manifest: &Manifest, reference: &str) -> ServerError {
    let outputs = manifest
        .views
        .iter()
        .flat_map(|view| view.outputs().map(|(_, _, output)| format!("{}.{output}", view.name)).collect::<Vec<_>>());
    let names: Vec<String> = outputs.chain(manifest.on_demand.iter().map(|feature| feature.name.clone())).collect();
    ServerError::NotFound(unknown("feature", reference, names.iter().map(String::as_str).collect()))
}

/// Names listed in an error at most.
const MAX_LISTED: usize = 20;

fn unknown(what: &str, name: &str, known: Vec<&str>) -> String {
    if let Some(nearest) = nearest(name, known.iter().copied()) {
        return format!("there is no {what} `{name}`: did you mean `{nearest}`?");
    }
    let more = if known.len() > MAX_LISTED { ", ..." } else { "" };
    let listed: Vec<&str> = known.into_iter().take(MAX_LISTED).collect();
    format!("there is no {what} `{name}`; there are: {}{more}", listed.join(", "))
}

fn typed(
    given: Map<String, Json>,
    expected: &[(String, DataType)],
    place: &str,
    what: &str,
) -> Result<Vec<(String, ArrayRef)>, ServerError> {
    given
        .into_iter()
        .map(|(name, values)| {
            let data_type = expected.iter().find(|(own, _)| *own == name).map(|(_, data_type)| data_type);
            let data_type = data_type.ok_or_else(|| unexpected(&name, expected, place, what))?;
            let column = column(&values, data_type)
                .map_err(|why| ServerError::Invalid(format!("`{place}`, column `{name}`: {why}")))?;
            Ok((name, column))
        })
        .collect()
}

pub(crate) fn unexpected(name: &str, expected: &[(String, DataType)], place: &str, what: &str) -> ServerError {
    let names: Vec<&str> = expected.iter().map(|(name, _)| name.as_str()).collect();
    ServerError::Invalid(match nearest(name, names.iter().copied()) {
        Some(nearest) => format!("`{place}` has no {what} `{name}`: did you mean `{nearest}`?"),
        None if names.is_empty() => format!("`{place}`: these features take no {what}s: leave `{name}` out"),
        None => format!("`{place}` has no {what} `{name}`: these features take {}", names.join(", ")),
    })
}

fn column(values: &Json, data_type: &DataType) -> Result<ArrayRef, String> {
    let Json::Array(values) = values else {
        return Err(format!("write a list of {data_type} values, one per entity"));
    };
    let values = values
        .iter()
        .enumerate()
        .map(|(row, value)| from_json(value, data_type).map_err(|why| format!("value {row}: {why}")))
        .collect::<Result<Vec<Value>, String>>()?;
    Ok(array_from_values(values.iter(), data_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time_are_micros_or_text() {
        let read = |text: &str| point_in_time("as_of", &serde_json::from_str(text).unwrap());
        assert_eq!(read("null").unwrap(), None);
        assert_eq!(read("17").unwrap(), Some(17));
        assert_eq!(read("\"1970-01-01T00:00:01Z\"").unwrap(), Some(1_000_000));
        assert!(read("1.5").unwrap_err().to_string().contains("whole microseconds"));
        assert!(read("\"yesterday\"").is_err());
    }

    #[test]
    fn columns_say_what_is_wrong() {
        let expected = vec![("carrier".to_owned(), DataType::String)];
        let given = |text: &str| serde_json::from_str(text).unwrap();
        let error = |text: &str| typed(given(text), &expected, "entities", "key column").unwrap_err().to_string();
        assert_eq!(error(r#"{"carier": []}"#), "`entities` has no key column `carier`: did you mean `carrier`?");
        assert_eq!(error(r#"{"dest": []}"#), "`entities` has no key column `dest`: these features take carrier");
        assert!(error(r#"{"carrier": "AA"}"#).contains("a list of string values"));
        assert!(error(r#"{"carrier": ["AA", 1]}"#).contains("value 1: expected a string, got 1"));
    }
}
