//! Sources: pushing events, the account of what became of them, and the quarantine.

use super::App;
use super::body::Content;
use super::errors::{HttpError, JsonAnswer};
use super::limits::QUARANTINE_ROWS;
use super::path::Path;
use crate::session::Session;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use thalweg_engine::literal::timestamp_text;
use thalweg_engine::{Input, PushRequest};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushQuery {
    #[serde(default)]
    backfill: bool,
}

/// Takes rows; answers when they are durable and visible.
pub async fn push(
    State(app): State<App>,
    session: Session,
    Path(name): Path<String>,
    query: Result<Query<PushQuery>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<JsonAnswer, HttpError> {
    let Query(PushQuery { backfill }) = query.map_err(|error| HttpError::invalid(error.body_text()))?;
    let content = Content::of(&headers)?;
    let idempotency_key = idempotency_key(&headers)?;
    let body = app.bodies.read(&headers, body).await?;
    app.answer(session, move |session| {
        let body = body.decompressed()?;
        let input = match content {
            Content::Json => Input::Json(&body.bytes),
            Content::Lines => Input::Lines(&body.bytes),
            Content::Arrow => Input::Arrow(body.arrow()?.1),
        };
        Ok(session.push(PushRequest { source: &name, input, idempotency_key, backfill })?)
    })
    .await
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, HttpError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if !key.is_empty() => Ok(Some(key.to_owned())),
        _ => Err(HttpError::invalid("an idempotency key is plain ASCII text, and not empty")),
    }
}

pub async fn list(State(app): State<App>, session: Session) -> Result<JsonAnswer, HttpError> {
    app.answer(session, |session| Ok(session.sources()?)).await
}

pub async fn describe(
    State(app): State<App>,
    session: Session,
    Path(name): Path<String>,
) -> Result<JsonAnswer, HttpError> {
    app.answer(session, move |session| Ok(session.source_status(&name)?)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    limit: Option<u32>,
    #[serde(default)]
    offset: u32,
}

/// Rows that were set aside, oldest first.
pub async fn quarantine(
    State(app): State<App>,
    session: Session,
    Path(name): Path<String>,
    query: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
) -> Result<JsonAnswer, HttpError> {
    let Query(page) = query.map_err(|error| HttpError::invalid(error.body_text()))?;
    let limit = page.limit.map_or(QUARANTINE_ROWS, u64::from).min(QUARANTINE_ROWS);
    let offset = u64::from(page.offset);
    app.answer(session, move |session| {
        let rows = session.quarantined(&name, limit, offset)?;
        let next = (rows.len() as u64 == limit && limit > 0).then_some(offset + limit);
        let rows: Vec<Json> = rows.into_iter().map(quarantined).collect();
        Ok(json!({ "source": name, "rows": rows, "next_offset": next }))
    })
    .await
}

/// A row of the quarantine as clients see it.
pub fn quarantined(stored: thalweg_store::StoredQuarantine) -> Json {
    let row = stored.row;
    let mut shown = json!({
        "id": stored.id,
        "position": row.position,
        "row": row.row_index,
        "column": row.column,
        "reason": row.reason,
        "at": timestamp_text(row.at_us),
        "replayed": stored.replayed,
    });
    match String::from_utf8(row.raw) {
        Ok(text) => shown["raw"] = text.into(),
        Err(bytes) => {
            shown["raw_base64"] = base64::engine::general_purpose::STANDARD.encode(bytes.as_bytes()).into();
        }
    }
    shown
}

/// Pushes the rows in quarantine again.
pub async fn replay(
    State(app): State<App>,
    session: Session,
    Path(name): Path<String>,
) -> Result<JsonAnswer, HttpError> {
    app.answer(session, move |session| Ok(session.replay_quarantine(&name)?)).await
}
