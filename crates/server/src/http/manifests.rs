//! Definitions: what a manifest would change, putting it in force, and the versions that were.

use super::App;
use super::body::Content;
use super::errors::{HttpError, JsonAnswer};
use super::path::Path;
use crate::error::ServerError;
use crate::session::Session;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value as Json, json};

pub async fn plan(
    State(app): State<App>,
    session: Session,
    headers: HeaderMap,
    body: Body,
) -> Result<JsonAnswer, HttpError> {
    Content::json_only(&headers)?;
    let body = app.bodies.read(&headers, body).await?;
    app.answer(session, move |session| Ok(session.plan(body.decompressed()?.text()?)?)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyQuery {
    #[serde(default)]
    allow_breaking: bool,
}

pub async fn apply(
    State(app): State<App>,
    session: Session,
    query: Result<Query<ApplyQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<JsonAnswer, HttpError> {
    let Query(query) = query.map_err(|error| HttpError::invalid(error.body_text()))?;
    Content::json_only(&headers)?;
    let body = app.bodies.read(&headers, body).await?;
    app.answer(session, move |session| Ok(session.apply(body.decompressed()?.text()?, query.allow_breaking)?)).await
}

pub async fn current(State(app): State<App>, session: Session) -> Result<JsonAnswer, HttpError> {
    app.answer(session, |session| whole(session.manifest(None))).await
}

pub async fn version(
    State(app): State<App>,
    session: Session,
    Path(version): Path<String>,
) -> Result<JsonAnswer, HttpError> {
    let number = version.parse::<u64>();
    let number = number.map_err(|_| HttpError::invalid(format!("`{version}` is not a version: write a number")))?;
    app.answer(session, move |session| whole(session.manifest(Some(number)))).await
}

pub async fn list(State(app): State<App>, session: Session) -> Result<JsonAnswer, HttpError> {
    app.answer(session, |session| Ok(session.manifests()?)).await
}

fn whole(manifest: Result<(u64, String, String), ServerError>) -> Result<Json, HttpError> {
    let (version, hash, text) = manifest?;
    let manifest: Json = serde_json::from_str(&text)
        .map_err(|error| HttpError::internal(format!("the stored manifest {version} is not JSON: {error}")))?;
    Ok(json!({ "version": version, "hash": hash, "manifest": manifest }))
}
