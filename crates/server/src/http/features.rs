//! Reading features: asked for in JSON or as an Arrow stream, answered in either.

use super::App;
use super::arrow_request::{ReadQuery, arrow_feature_request};
use super::arrow_response::feature_stream;
use super::body::{ARROW_STREAM, Content, ReadBody};
use super::errors::{HttpError, JsonAnswer};
use super::json::{feature_response, parse_feature_request};
use super::path::Path;
use crate::session::{Operation, Session};
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use thalweg_engine::FeatureRequest;

/// Bodies up to here are answered on the spot: a read takes microseconds, a change of threads does as well.
pub(super) const SMALL_BODY: usize = 16 << 10;

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
        let request = parsed(&session, content, &query, &body)?;
        if !session.runtime()?.may_block(&request.wanted) {
            return answer(&session, request, as_arrow);
        }
        return app.blocking(session, move |session| answer(session, request, as_arrow)).await;
    }
    app.blocking(session, move |session| {
        let request = parsed(session, content, &query, &body.decompressed()?)?;
        answer(session, request, as_arrow)
    })
    .await
}

fn parsed(
    session: &Session,
    content: Content,
    query: &ReadQuery,
    body: &ReadBody,
) -> Result<FeatureRequest, HttpError> {
    let runtime = session.runtime()?;
    match content {
        Content::Json => {
            query.check_empty()?;
            Ok(parse_feature_request(&runtime, &body.bytes)
                .inspect_err(|error| session.unreadable(Operation::Read, error))?)
        }
        Content::Arrow => arrow_feature_request(&runtime, query, body.arrow()?),
        Content::Lines => Err(HttpError::unsupported(format!("this route reads application/json and {ARROW_STREAM}"))),
    }
}

fn answer(session: &Session, request: FeatureRequest, as_arrow: bool) -> Result<Response, HttpError> {
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
