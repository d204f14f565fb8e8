//! Reading features: asked for in JSON or as an Arrow stream, answered in either.

use super::App;
use super::arrow_request::{ReadQuery, arrow_feature_request};
use super::arrow_response::feature_stream;
use super::body::{ARROW_STREAM, Content, ReadBody};
use super::errors::{HttpError, JsonAnswer};
use super::json::{feature_response, parse_feature_request};
use crate::session::Session;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

/// Bodies up to here are answered on the spot: a read takes microseconds, a change of threads does as well.
const SMALL_BODY: usize = 16 << 10;

pub async fn read(
    State(app): State<App>,
    session: Session,
    query: Result<Query<ReadQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpError> {
    let Query(query) = query.map_err(|error| HttpError::invalid(error.body_text()))?;
    let content = Content::of(&headers)?;
    let as_arrow = wants_arrow(&headers);
    let compressed = headers.contains_key(header::CONTENT_ENCODING);
    let body = app.bodies.read(&headers, body).await?;
    if body.bytes.len() <= SMALL_BODY && !compressed {
        return answer(&session, content, &query, &body, as_arrow);
    }
    app.blocking(session, move |session| answer(session, content, &query, &body.decompressed()?, as_arrow)).await
}

fn answer(
    session: &Session,
    content: Content,
    query: &ReadQuery,
    body: &ReadBody,
    as_arrow: bool,
) -> Result<Response, HttpError> {
    let runtime = session.runtime()?;
    let request = match content {
        Content::Json => {
            query.check_empty()?;
            parse_feature_request(&runtime, &body.bytes)?
        }
        Content::Arrow => arrow_feature_request(&runtime, query, body.arrow()?)?,
        Content::Lines => {
            return Err(HttpError::unsupported(format!("this route reads application/json and {ARROW_STREAM}")));
        }
    };
    let response = session.read(request)?;
    if as_arrow {
        let bytes = feature_stream(&response).map_err(|error| HttpError::internal(error.to_string()))?;
        return Ok(([(header::CONTENT_TYPE, ARROW_STREAM)], bytes).into_response());
    }
    Ok(JsonAnswer::text(feature_response(&response)).into_response())
}

fn wants_arrow(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .filter_map(|kind| kind.split(';').next())
        .any(|kind| kind.trim().eq_ignore_ascii_case(ARROW_STREAM))
}

pub async fn view(State(app): State<App>, session: Session, Path(name): Path<String>) -> Result<JsonAnswer, HttpError> {
    app.answer(session, move |session| Ok(session.view_status(&name)?)).await
}
