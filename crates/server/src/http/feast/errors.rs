//! The one mapping of errors to Feast's forms: an exception as JSON inside of a JSON string, which its client raises
//! again by its class, or FastAPI's `{"detail": ..}`.
//!
//! Feast's client sends a request again that was answered 429, 500, 502, 503 or 504, and then hides the message. So a
//! request that is wrong is never answered 500 here, where Feast's server often does.

use crate::error::ServerError;
use crate::http::errors::{HttpError, JsonAnswer};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

/// The module of the exceptions.
const MODULE: &str = "feast.errors";
/// What is wrong in a way for which Feast has no class.
const ANY: &str = "FeastError";

/// A request that is not answered.
#[derive(Debug)]
pub struct Refused {
    status: StatusCode,
    said: Said,
    retry_after_ms: Option<u64>,
}

#[derive(Debug)]
enum Said {
    Exception { class: &'static str, message: String },
    Detail(Box<Json>),
}

impl Refused {
    /// There is nothing of that name; `class` is the exception of Feast's that says so.
    pub fn not_found(class: &'static str, message: impl Into<String>) -> Self {
        Self::exception(StatusCode::NOT_FOUND, class, message.into())
    }

    /// The push goes to nothing. Feast gives this one another status than what else is not there.
    pub fn no_push_source(message: impl Into<String>) -> Self {
        Self::exception(StatusCode::UNPROCESSABLE_ENTITY, "PushSourceNotFoundException", message.into())
    }

    /// Two features would have one name.
    pub fn collision(message: impl Into<String>) -> Self {
        Self::exception(StatusCode::UNPROCESSABLE_ENTITY, "FeatureNameCollisionError", message.into())
    }

    /// The request breaks a rule; sending it again changes nothing.
    pub fn wrong(message: impl Into<String>) -> Self {
        Self::exception(StatusCode::UNPROCESSABLE_ENTITY, ANY, message.into())
    }

    /// Fields that are missing or of another type, as FastAPI lists them.
    pub fn fields(faults: Vec<Json>) -> Self {
        Self::detail(StatusCode::UNPROCESSABLE_ENTITY, Json::Array(faults))
    }

    fn exception(status: StatusCode, class: &'static str, message: String) -> Self {
        Self { status, said: Said::Exception { class, message }, retry_after_ms: None }
    }

    fn detail(status: StatusCode, detail: Json) -> Self {
        Self { status, said: Said::Detail(Box::new(detail)), retry_after_ms: None }
    }

    fn of(code: &str, message: String, retry_after_ms: Option<u64>) -> Self {
        let (status, class) = match code {
            "UNAUTHENTICATED" => return Self::detail(StatusCode::UNAUTHORIZED, message.into()),
            "FORBIDDEN" => (StatusCode::FORBIDDEN, "FeastPermissionError"),
            "NOT_FOUND" => (StatusCode::NOT_FOUND, "FeastObjectNotFoundException"),
            "INVALID" | "BREAKING" | "CANCELLED" => (StatusCode::UNPROCESSABLE_ENTITY, ANY),
            "TIMEOUT" => (StatusCode::REQUEST_TIMEOUT, ANY),
            "TOO_LARGE" => (StatusCode::PAYLOAD_TOO_LARGE, ANY),
            "UNSUPPORTED" => (StatusCode::UNSUPPORTED_MEDIA_TYPE, ANY),
            "OVERLOADED" | "RATE_LIMITED" => (StatusCode::TOO_MANY_REQUESTS, ANY),
            "UNAVAILABLE" => (StatusCode::SERVICE_UNAVAILABLE, ANY),
            "DEADLINE" => (StatusCode::GATEWAY_TIMEOUT, ANY),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, ANY),
        };
        Self { retry_after_ms, ..Self::exception(status, class, message) }
    }
}

impl From<ServerError> for Refused {
    fn from(error: ServerError) -> Self {
        let refused = Self::of(error.code(), error.to_string(), error.retry_after_ms());
        if refused.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(code = error.code(), "{error}");
        }
        refused
    }
}

/// What the HTTP door found wrong before this one was reached: keys, sizes, encodings.
impl From<HttpError> for Refused {
    fn from(error: HttpError) -> Self {
        Self::of(error.code, error.message, error.retry_after_ms)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = match self.said {
            Said::Exception { class, message } => {
                let exception = json!({ "module": MODULE, "class": class, "message": message });
                Json::String(exception.to_string())
            }
            Said::Detail(detail) => json!({ "detail": *detail }),
        };
        let mut response = (self.status, JsonAnswer::text(body.to_string())).into_response();
        if let Some(wait) = self.retry_after_ms {
            // The header counts whole seconds.
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000).max(1)));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_engine::EngineError;

    fn answered(refused: Refused) -> (u16, Json) {
        let response = refused.into_response();
        let status = response.status().as_u16();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(axum::body::to_bytes(response.into_body(), usize::MAX)).unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn class(body: &Json) -> String {
        let exception: Json = serde_json::from_str(body.as_str().expect("JSON inside of a string")).unwrap();
        assert_eq!(exception["module"], "feast.errors");
        exception["class"].as_str().unwrap().to_owned()
    }

    #[test]
    fn exceptions_are_json_inside_of_a_string() {
        let (status, body) = answered(Refused::not_found("FeatureViewNotFoundException", "no `x`"));
        assert_eq!((status, class(&body).as_str()), (404, "FeatureViewNotFoundException"));
        let (status, body) = answered(ServerError::Forbidden("read only".to_owned()).into());
        assert_eq!((status, class(&body).as_str()), (403, "FeastPermissionError"));
    }

    #[test]
    fn a_missing_key_is_told_as_fastapi_does() {
        let (status, body) = answered(ServerError::Unauthenticated("send a key".to_owned()).into());
        assert_eq!((status, body), (401, json!({ "detail": "send a key" })));
        assert_eq!(answered(HttpError::unauthenticated("send a key").into()).0, 401);
    }

    #[test]
    fn a_wrong_request_is_not_sent_again_by_feasts_client() {
        const SENT_AGAIN: [u16; 5] = [429, 500, 502, 503, 504];
        let wrong = [
            Refused::from(ServerError::Invalid(String::new())),
            ServerError::from(EngineError::NotFound(String::new())).into(),
            HttpError::too_large("").into(),
            Refused::collision(""),
            Refused::fields(Vec::new()),
        ];
        for refused in wrong {
            assert!(!SENT_AGAIN.contains(&refused.status.as_u16()), "{refused:?}");
        }
    }

    #[test]
    fn overload_says_when_to_come_back() {
        let response = Refused::from(HttpError::overloaded("the queue is full", 1200)).into_response();
        assert_eq!(response.status().as_u16(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }
}
