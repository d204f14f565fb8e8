//! Metrics for Prometheus and whoever reads its forms, and the objectives.

use super::App;
use super::errors::{HttpError, JsonAnswer};
use crate::session::Session;
use crate::telemetry::classic;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

const OPENMETRICS: &str = "application/openmetrics-text";
const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The older form, which everything reads.
const CLASSIC_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub async fn metrics(State(app): State<App>, session: Session, headers: HeaderMap) -> Result<Response, HttpError> {
    let text = app.blocking(session, |session| Ok(session.metrics()?)).await?;
    let (kind, text) = match asks_for_openmetrics(&headers) {
        true => (OPENMETRICS_TYPE, text),
        false => (CLASSIC_TYPE, classic(&text)),
    };
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response())
}

pub async fn objectives(State(app): State<App>, session: Session) -> Result<JsonAnswer, HttpError> {
    app.answer(session, |session| Ok(session.objectives()?)).await
}

fn asks_for_openmetrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .filter_map(|kind| kind.split(';').next())
        .any(|kind| kind.trim().eq_ignore_ascii_case(OPENMETRICS))
}
