//! Directly written features: their descriptors, reading and writing one key.

use super::App;
use super::body::Content;
use super::errors::{HttpError, JsonAnswer};
use super::json::{direct_get, direct_write};
use super::path::Path;
use super::sources::idempotency_key;
use crate::instance::DirectOperation;
use crate::session::Session;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{get, post};

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
        Ok(match write {
            None => direct_get(session, &selector, &body.bytes)?,
            Some(operation) => direct_write(session, selector, operation, idempotency_key, &body.bytes)?,
        })
    })
    .await
}
