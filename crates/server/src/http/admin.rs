//! What operators ask: is it well, what does it hold, write it all down, compare what was served with history.

use super::App;
use super::body::Content;
use super::errors::{HttpError, JsonAnswer};
use super::json::from_object;
use crate::instance::CheckOptions;
use crate::session::Session;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::json;

/// Recomputes recorded answers from history, and compares them.
pub async fn check(
    State(app): State<App>,
    session: Session,
    headers: HeaderMap,
    body: Body,
) -> Result<JsonAnswer, HttpError> {
    Content::json_only(&headers)?;
    let body = app.bodies.read(&headers, body).await?;
    app.answer(session, move |session| {
        let body = body.decompressed()?;
        let text = body.bytes.trim_ascii();
        let options: CheckOptions = if text.is_empty() {
            CheckOptions::default()
        } else {
            let wrong = |error| HttpError::invalid(format!("the options of a check: {error}"));
            from_object(text).map_err(wrong)?
        };
        Ok(session.check(&options)?)
    })
    .await
}

/// Brings everything acknowledged into history, then writes a checkpoint.
pub async fn flush(State(app): State<App>, session: Session) -> Result<JsonAnswer, HttpError> {
    app.answer(session, |session| {
        session.flush()?;
        Ok(json!({}))
    })
    .await
}

pub async fn status(State(app): State<App>, session: Session) -> Result<JsonAnswer, HttpError> {
    app.answer(session, |session| Ok(session.status()?)).await
}

/// The process lives.
pub async fn healthy() -> JsonAnswer {
    JsonAnswer::text(json!({ "status": "ok" }).to_string())
}

/// Reads can be answered.
pub async fn ready(State(app): State<App>) -> Result<JsonAnswer, HttpError> {
    match app.instance.ready() {
        Ok(()) => Ok(JsonAnswer::text(json!({ "status": "ready" }).to_string())),
        // It is told without a key: where there are keys, no names are.
        Err(_) if app.instance.access().is_keyed() => {
            let why = "reads cannot be answered yet, or no more: `thalweg status` and the server's log say why";
            Err(HttpError::unavailable(why))
        }
        Err(why) => Err(HttpError::unavailable(why)),
    }
}
