//! Definitions: what a manifest would change, putting it in force, and the versions that were.

use super::App;
use super::body::Content;
use super::errors::{HttpError, JsonAnswer};
use crate::error::ServerError;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value as Json, json};

pub async fn plan(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<JsonAnswer, HttpError> {
    Content::json_only(&headers)?;
    let body = app.bodies.read(&headers, body).await?;
    app.answer(move |instance| Ok(instance.plan(body.decompressed()?.text()?)?)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyQuery {
    #[serde(default)]
    allow_breaking: bool,
}

pub async fn apply(
    State(app): State<App>,
    query: Result<Query<ApplyQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<JsonAnswer, HttpError> {
    let Query(query) = query.map_err(|error| HttpError::invalid(error.body_text()))?;
    Content::json_only(&headers)?;
    let body = app.bodies.read(&headers, body).await?;
    app.answer(move |instance| Ok(instance.apply(body.decompressed()?.text()?, query.allow_breaking)?)).await
}

pub async fn current(State(app): State<App>) -> Result<JsonAnswer, HttpError> {
    app.answer(|instance| whole(instance.manifest(None))).await
}

pub async fn version(State(app): State<App>, Path(version): Path<String>) -> Result<JsonAnswer, HttpError> {
    let number = version.parse::<u64>();
    let number = number.map_err(|_| HttpError::invalid(format!("`{version}` is not a version: write a number")))?;
    app.answer(move |instance| whole(instance.manifest(Some(number)))).await
}

pub async fn list(State(app): State<App>) -> Result<JsonAnswer, HttpError> {
    app.answer(|instance| Ok(instance.manifests()?)).await
}

fn whole(manifest: Result<(u64, String, String), ServerError>) -> Result<Json, HttpError> {
    let (version, hash, text) = manifest?;
    let manifest: Json = serde_json::from_str(&text)
        .map_err(|error| HttpError::internal(format!("the stored manifest {version} is not JSON: {error}")))?;
    Ok(json!({ "version": version, "hash": hash, "manifest": manifest }))
}
