//! What surrounds every request: its identifier, its line in the log, and, while there is no authentication, that it
//! comes from this machine on purpose.

use super::errors::HttpError;
use super::limits::REQUEST_ID_BYTES;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an identifier, and writes its line when the answer is ready.
pub async fn observe(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let status = response.status();
    let ms = began.elapsed().as_secs_f64() * 1000.0;
    let shown = id.to_str().unwrap_or_default();
    if status.is_server_error() {
        tracing::warn!(%method, path, status = status.as_u16(), ms, request_id = shown, "request");
    } else if status.is_success() && is_frequent(&path) {
        tracing::debug!(%method, path, status = status.as_u16(), ms, request_id = shown, "request");
    } else {
        tracing::info!(%method, path, status = status.as_u16(), ms, request_id = shown, "request");
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Asked so often that a line each would cost more than the answer.
fn is_frequent(path: &str) -> bool {
    path == "/v1/features" || path.ends_with("/events") || path == "/healthz" || path == "/readyz"
}

/// The caller's, or a new one: the time at which the process first needed one, and a counter.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    static START: OnceLock<u128> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let given = headers.get(REQUEST_ID).filter(|value| !value.is_empty() && value.len() <= REQUEST_ID_BYTES);
    if let Some(given) = given.filter(|value| value.to_str().is_ok()) {
        return given.clone();
    }
    let micros = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let id = format!("{:x}-{}", START.get_or_init(micros), NEXT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::from_str(&id).expect("hexadecimal digits make a header")
}

/// Refuses what a web page of another site sends through a browser on this machine: listening on loopback does not
/// keep that out, and there is no authentication that would.
pub async fn only_from_here(request: Request, next: Next) -> Response {
    match foreign(request.headers()) {
        None => next.run(request).await,
        Some(name) => HttpError::forbidden(format!(
            "`{name}` is not an address of this machine, and this server takes no other: \
             start it with --insecure-listen if that is what you want"
        ))
        .into_response(),
    }
}

/// The host or origin that is not this machine.
fn foreign(headers: &HeaderMap) -> Option<String> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?").to_owned());
    let host = text(header::HOST);
    let origin = text(header::ORIGIN);
    let origin_host = origin.as_deref().map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    let mut named = host.as_deref().into_iter().chain(origin_host);
    named.find(|host| !is_loopback(host)).map(str::to_owned)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_sites_are_foreign() {
        let headers = |host: &str, origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if !origin.is_empty() {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            headers
        };
        assert_eq!(foreign(&HeaderMap::new()), None);
        assert_eq!(foreign(&headers("127.0.0.1:8765", "")), None);
        assert_eq!(foreign(&headers("localhost:8765", "http://localhost:8765")), None);
        assert_eq!(foreign(&headers("[::1]:8765", "http://[::1]:8765")), None);
        assert_eq!(foreign(&headers("127.0.0.1:8765", "https://evil.example")).as_deref(), Some("evil.example"));
        assert_eq!(foreign(&headers("127.0.0.1:8765", "null")).as_deref(), Some("null"));
        // A name that was made to point here.
        assert_eq!(foreign(&headers("evil.example:8765", "")).as_deref(), Some("evil.example:8765"));
    }
}
