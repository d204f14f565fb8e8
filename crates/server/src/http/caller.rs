//! Who sent a request: every handler that takes a [`Session`] has been authenticated.

use super::App;
use super::errors::HttpError;
use crate::session::{Door, Session};
use crate::telemetry::parent_of;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use std::net::SocketAddr;

impl FromRequestParts<App> for Session {
    type Rejection = HttpError;

    /// Routes of another door than HTTP's own say so by an extension of the request.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, HttpError> {
        let door = parts.extensions.get::<Door>().copied().unwrap_or(Door::Http);
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let parent = text("traceparent").and_then(|said| parent_of(said, text("tracestate")));
        Ok(Session::enter(&app.instance, door, presented(&parts.headers)?, peer)?.part_of(parent))
    }
}

/// The API key of `Authorization: Bearer <key>` or `X-API-Key: <key>`.
fn presented(headers: &HeaderMap) -> Result<Option<&str>, HttpError> {
    let text = |value: &header::HeaderValue| value.to_str().is_ok();
    if let Some(value) = headers.get("x-api-key").filter(|value| text(value)) {
        return Ok(value.to_str().ok());
    }
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let given = value.to_str().ok().and_then(|value| value.split_once(' '));
    match given {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(key.trim())),
        _ => Err(HttpError::unauthenticated("write the API key as `Authorization: Bearer <key>`, or as `X-API-Key`")),
    }
}
