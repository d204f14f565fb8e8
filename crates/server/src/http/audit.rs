//! The audit log, page by page.

use super::App;
use super::errors::{HttpError, JsonAnswer};
use crate::access::{AUDIT_PAGE, AUDIT_PAGE_DEFAULT, AuditQuery, Position};
use crate::session::Session;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    limit: Option<u32>,
    /// The `next_before` of an answer.
    before: Option<String>,
    /// Only what was refused.
    #[serde(default)]
    denied: bool,
}

/// Who changed what, and who was refused what: the newest first.
pub async fn list(
    State(app): State<App>,
    session: Session,
    query: Result<Query<Page>, QueryRejection>,
) -> Result<JsonAnswer, HttpError> {
    let Query(page) = query.map_err(|error| HttpError::invalid(error.body_text()))?;
    let before = page.before.map(|text| text.parse::<Position>()).transpose().map_err(HttpError::invalid)?;
    let limit = page.limit.map_or(AUDIT_PAGE_DEFAULT, |limit| limit as usize).clamp(1, AUDIT_PAGE);
    app.answer(session, move |session| {
        let page = session.audit(&AuditQuery { limit, before, denied: page.denied })?;
        Ok(json!({ "entries": page.entries, "next_before": page.next.map(|next| next.to_string()) }))
    })
    .await
}
