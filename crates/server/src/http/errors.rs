//! The one mapping of errors to HTTP: a status, and `{"error": {"code", "message", "problems"?}}`.

use crate::error::ServerError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};
use thalweg_engine::EngineError;

#[derive(Debug)]
pub struct HttpError {
    status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) retry_after_ms: Option<u64>,
    problems: Option<Box<Json>>,
}

impl HttpError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after_ms: None, problems: None }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID", message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    }

    pub fn wrong_method(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "INVALID", message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", message)
    }

    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", message)
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE", message)
    }

    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED", message)
    }

    pub fn too_slow(message: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "TIMEOUT", message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message)
    }

    pub fn overloaded(what: impl Into<String>, retry_after_ms: u64) -> Self {
        EngineError::Overloaded { what: what.into(), retry_after_ms }.into()
    }
}

impl From<ServerError> for HttpError {
    fn from(error: ServerError) -> Self {
        let code = error.code();
        let status = match code {
            "NOT_FOUND" => StatusCode::NOT_FOUND,
            "INVALID" => StatusCode::BAD_REQUEST,
            "BREAKING" | "CANCELLED" => StatusCode::CONFLICT,
            "UNAUTHENTICATED" => StatusCode::UNAUTHORIZED,
            "FORBIDDEN" => StatusCode::FORBIDDEN,
            "OVERLOADED" | "RATE_LIMITED" => StatusCode::TOO_MANY_REQUESTS,
            "DEADLINE" => StatusCode::GATEWAY_TIMEOUT,
            "UNAVAILABLE" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(code, "{error}");
        }
        let problems = error.problems().and_then(|problems| serde_json::to_value(problems).ok().map(Box::new));
        Self { status, code, retry_after_ms: error.retry_after_ms(), message: error.to_string(), problems }
    }
}

impl From<EngineError> for HttpError {
    fn from(error: EngineError) -> Self {
        ServerError::from(error).into()
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(problems) = self.problems {
            error["problems"] = *problems;
        }
        let mut response = (self.status, JsonAnswer::text(json!({ "error": error }).to_string())).into_response();
        if let Some(wait) = self.retry_after_ms {
            // The header counts whole seconds.
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000).max(1)));
        }
        response
    }
}

/// An answer in JSON.
pub struct JsonAnswer(String);

impl JsonAnswer {
    pub fn of(value: &impl serde::Serialize) -> Result<Self, HttpError> {
        let text = serde_json::to_string(value);
        text.map(Self).map_err(|error| HttpError::internal(format!("an answer has no JSON form: {error}")))
    }

    pub fn text(json: String) -> Self {
        Self(json)
    }
}

impl IntoResponse for JsonAnswer {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], self.0).into_response()
    }
}

/// What is answered where the server's own code failed.
pub fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    tracing::error!("a request panicked");
    HttpError::internal("the request could not be finished; the server's log says why").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_status() {
        let status = |error: EngineError| HttpError::from(error).into_response().status().as_u16();
        assert_eq!(status(EngineError::NotFound(String::new())), 404);
        assert_eq!(status(EngineError::Invalid(String::new())), 400);
        assert_eq!(status(EngineError::Unavailable(String::new())), 503);
        assert_eq!(status(EngineError::Storage(String::new())), 500);
        let overloaded = HttpError::overloaded("the queue is full", 100).into_response();
        assert_eq!(overloaded.status().as_u16(), 429);
        assert_eq!(overloaded.headers()[header::RETRY_AFTER], "1");
    }
}
