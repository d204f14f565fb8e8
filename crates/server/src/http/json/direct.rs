//! Directly written features as JSON: what is asked and written for one key, and what comes back.
//!
//! ```text
//! get    {"keys": {column: value}, "as_of": time}                ─▶ {"selector", "as_of", "values": [..]}
//! write  {"keys": {column: value}, "value": value, "at": time}   ─▶ {"selector", "sequence", "at", "repeated"}
//! ```

use super::{from_object, point_in_time};
use crate::error::ServerError;
use crate::instance::{DirectOperation, DirectWrite};
use crate::session::Session;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use thalweg_engine::literal::timestamp_text;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    keys: Map<String, Json>,
    as_of: Option<Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    keys: Map<String, Json>,
    value: Json,
    at: Option<Json>,
}

/// Reads one key.
pub fn direct_get(session: &Session, selector: &str, text: &[u8]) -> Result<Json, ServerError> {
    let asked: Asked = parsed(text)?;
    let keys: Vec<(String, Json)> = asked.keys.into_iter().collect();
    let as_of = moment("as_of", asked.as_of.as_ref())?;
    let (answer, types) = session.direct_get_typed(selector, &keys, as_of)?;
    let values: Vec<Json> = answer
        .values
        .into_iter()
        .zip(types)
        .map(|(value, data_type)| {
            json!({
                "aggregation": value.aggregation,
                "value": value.value,
                "type": data_type,
                "status": value.status,
                "event_time": value.event_time.map(timestamp_text),
            })
        })
        .collect();
    Ok(json!({ "selector": selector, "as_of": timestamp_text(answer.as_of), "values": values }))
}

/// Writes one key; returns when it is durable and visible. Blocks.
pub fn direct_write(
    session: &Session,
    selector: String,
    operation: DirectOperation,
    idempotency_key: Option<String>,
    text: &[u8],
) -> Result<Json, ServerError> {
    let written: Written = parsed(text)?;
    let at = moment("at", written.at.as_ref())?;
    let keys = written.keys.into_iter().collect();
    let write = DirectWrite { selector: selector.clone(), keys, operation, value: written.value, at, idempotency_key };
    let ack = session.direct_write(write)?;
    Ok(json!({
        "selector": selector,
        "sequence": ack.sequence,
        "at": timestamp_text(ack.at),
        "repeated": ack.repeated,
    }))
}

fn parsed<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, ServerError> {
    from_object(text).map_err(|error| {
        ServerError::Invalid(format!(
            "the body is not {{\"keys\": {{column: value}}, ..}} with \"as_of\" to get, \"value\" and \"at\" to write: \
             {error}"
        ))
    })
}

/// A time: ISO 8601, or whole microseconds.
fn moment(name: &str, json: Option<&Json>) -> Result<Option<i64>, ServerError> {
    json.map_or(Ok(None), |json| point_in_time(name, json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_text_or_microseconds() {
        assert_eq!(moment("at", None).unwrap(), None);
        assert_eq!(moment("at", Some(&json!(17))).unwrap(), Some(17));
        assert_eq!(moment("at", Some(&json!("1970-01-01T00:00:01Z"))).unwrap(), Some(1_000_000));
        assert!(format!("{:?}", moment("at", Some(&json!(1.5))).unwrap_err()).contains("`at` is 1.5"));
    }

    #[test]
    fn what_is_no_part_of_a_write_is_refused_by_name() {
        let error = |text: &str| format!("{:?}", parsed::<Written>(text.as_bytes()).err().unwrap());
        assert!(error(r#"{"keys": {}}"#).contains("value"));
        assert!(error(r#"{"keys": {}, "value": 1, "ttl": 5}"#).contains("ttl"));
        assert!(parsed::<Written>(br#"{"keys": {}, "value": null}"#).is_ok());
    }
}
