//! API keys: listed, made, rotated and revoked.

use super::App;
use super::body::{Content, ReadBody};
use super::errors::{HttpError, JsonAnswer};
use super::json::from_object;
use super::path::Path;
use crate::access::KeyRequest;
use crate::session::Session;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub async fn list(State(app): State<App>, session: Session) -> Result<JsonAnswer, HttpError> {
    app.answer(session, |session| Ok(session.keys()?)).await
}

/// Makes a key; the answer is the only one that has its secret.
pub async fn create(
    State(app): State<App>,
    session: Session,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpError> {
    Content::json_only(&headers)?;
    let body = app.bodies.read(&headers, body).await?;
    let answer = app.answer(session, move |session| Ok(session.create_key(&read::<KeyRequest>(body, "a key")?)?));
    Ok(never_stored(answer.await?))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rotation {
    /// How long the secret before still works.
    grace: Option<String>,
}

/// Gives a key a new secret.
pub async fn rotate(
    State(app): State<App>,
    session: Session,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpError> {
    Content::json_only(&headers)?;
    let body = app.bodies.read(&headers, body).await?;
    let answer = app.answer(session, move |session| {
        let rotation = if body.bytes.trim_ascii().is_empty() { Rotation::default() } else { read(body, "a rotation")? };
        Ok(session.rotate_key(&id, rotation.grace.as_deref())?)
    });
    Ok(never_stored(answer.await?))
}

/// Takes a key back.
pub async fn revoke(State(app): State<App>, session: Session, Path(id): Path<String>) -> Result<JsonAnswer, HttpError> {
    app.answer(session, move |session| Ok(session.revoke_key(&id)?)).await
}

fn read<T: DeserializeOwned>(body: ReadBody, what: &str) -> Result<T, HttpError> {
    let body = body.decompressed()?;
    from_object(&body.bytes).map_err(|error| HttpError::invalid(format!("{what}: {error}")))
}

/// A secret is not for caches.
fn never_stored(answer: JsonAnswer) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], answer).into_response()
}
