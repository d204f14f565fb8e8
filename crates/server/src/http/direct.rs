//! Directly written features: their descriptors, reading and writing one key.

use super::App;
use super::body::Content;
use super::errors::{HttpError, JsonAnswer};
use super::sources::idempotency_key;
use crate::instance::{DirectOperation, DirectWrite};
use crate::session::Session;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use thalweg_engine::literal::{timestamp, timestamp_text};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/direct", get(list))
        .route("/v1/direct/{selector}", get(describe))
        .route("/v1/direct/{selector}/{operation}", post(perform))
}

async fn list(State(app): State<App>, session: Session) -> Result<JsonAnswer, HttpError> {
    app.answer(session, |session| Ok(session.direct_features()?)).await
}

async fn describe(
    State(app): State<App>,
    session: Session,
    Path(selector): Path<String>,
) -> Result<JsonAnswer, HttpError> {
    app.answer(session, move |session| Ok(session.direct_descriptor(&selector)?)).await
}

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

/// Reads or writes one key, as the last part of the path says.
async fn perform(
    State(app): State<App>,
    session: Session,
    Path((selector, operation)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<JsonAnswer, HttpError> {
    Content::json_only(&headers)?;
    let write: Option<DirectOperation> = match operation.as_str() {
        "get" => None,
        other => Some(other.parse::<DirectOperation>().map_err(|why| HttpError::not_found(format!("{why}, get")))?),
    };
    let idempotency_key = idempotency_key(&headers)?;
    let body = app.bodies.read(&headers, body).await?;
    app.answer(session, move |session| {
        let body = body.decompressed()?;
        match write {
            None => read_one(session, &selector, &body.bytes),
            Some(operation) => write_one(session, selector, operation, idempotency_key, &body.bytes),
        }
    })
    .await
}

fn read_one(session: &Session, selector: &str, text: &[u8]) -> Result<Json, HttpError> {
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

fn write_one(
    session: &Session,
    selector: String,
    operation: DirectOperation,
    idempotency_key: Option<String>,
    text: &[u8],
) -> Result<Json, HttpError> {
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

fn parsed<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, HttpError> {
    serde_json::from_slice(text).map_err(|error| {
        HttpError::invalid(format!(
            "the body is not {{\"keys\": {{column: value}}, ..}} with \"as_of\" to get, \"value\" and \"at\" to write: \
             {error}"
        ))
    })
}

/// A time: ISO 8601, or whole microseconds.
fn moment(name: &str, json: Option<&Json>) -> Result<Option<i64>, HttpError> {
    let micros = match json {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Number(number)) => number.as_i64(),
        Some(Json::String(text)) => timestamp(text),
        Some(_) => None,
    };
    micros.map(Some).ok_or_else(|| {
        let given = json.unwrap_or(&Json::Null);
        HttpError::invalid(format!(
            "`{name}` is {given}: write ISO 8601 such as \"2024-05-01T12:00:00Z\", or whole microseconds"
        ))
    })
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
