//! What surrounds every request: its identifier, its line in the log, and, while no API keys are asked for, that it
//! comes from this machine on purpose.

use super::errors::HttpError;
use super::limits::{DRAINED_BYTES, DRAINED_TIME, REQUEST_ID_BYTES};
use crate::instance::Instance;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an identifier, and writes its line when the answer is ready.
pub async fn observe(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut body = None;
    let request = if request.version() <= Version::HTTP_11 && may_have_a_body(&request) {
        let (parts, whole) = request.into_parts();
        let shared = SharedBody(Arc::new(Mutex::new(whole.into_data_stream())));
        body = Some(shared.clone());
        Request::from_parts(parts, Body::from_stream(shared))
    } else {
        request
    };
    let mut response = next.run(request).await;
    if let Some(body) = body.filter(|_| REFUSED_UNREAD.contains(&response.status()))
        && !body.drained().await
    {
        // What is still to come would be taken for the next request.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
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

/// With what a request is refused before its body was read.
const REFUSED_UNREAD: [StatusCode; 7] = [
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::TOO_MANY_REQUESTS,
];

/// A body that can still be read to its end after a handler has refused the request without reading it: a connection
/// that is closed with bytes unread is reset, and the client may never see the answer.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<BodyDataStream>>);

impl Stream for SharedBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.lock().poll_next_unpin(context)
    }
}

impl SharedBody {
    /// Reads what is left of a small body; whether that was all of it.
    async fn drained(mut self) -> bool {
        let rest = async {
            let mut bytes = 0;
            while let Some(Ok(chunk)) = self.next().await {
                bytes += chunk.len();
                if bytes > DRAINED_BYTES {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(DRAINED_TIME, rest).await.unwrap_or(false)
    }
}

fn may_have_a_body(request: &Request) -> bool {
    let headers = request.headers();
    let length = headers.get(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length.as_bytes() != b"0")
}

/// Asked so often that a line each would cost more than the answer.
fn is_frequent(path: &str) -> bool {
    let frequent = ["/v1/features", "/healthz", "/readyz", "/metrics", "/get-online-features", "/push"];
    frequent.contains(&path)
        || path.ends_with("/events")
        || path.starts_with("/v1/direct/")
        || path.starts_with("/thalweg.")
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

/// Refuses what a web page of another site sends through a browser on this machine, as long as no API keys are asked
/// for: listening on loopback does not keep that out. A page has no key; so where one is asked for, this is not needed.
pub async fn only_from_here(State(instance): State<Arc<Instance>>, request: Request, next: Next) -> Response {
    if instance.settings().insecure_listen || instance.access().is_keyed() {
        return next.run(request).await;
    }
    // HTTP/2 names the host in the address.
    let authority = request.uri().authority().map(|authority| authority.as_str());
    match foreign(authority, request.headers()) {
        None => next.run(request).await,
        Some(name) => HttpError::forbidden(format!(
            "`{name}` is not an address of this machine, and this server takes no other as long as it has no API keys: \
             make one with `thalweg keys create`, or start it with --insecure-listen"
        ))
        .into_response(),
    }
}

/// The host or origin that is not this machine.
fn foreign(authority: Option<&str>, headers: &HeaderMap) -> Option<String> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?").to_owned());
    let host = text(header::HOST);
    let origin = text(header::ORIGIN);
    let origin_host = origin.as_deref().map(|origin| origin.split_once("://").map_or(origin, |(_, host)| host));
    let mut named = host.as_deref().into_iter().chain(origin_host).chain(authority);
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
        let foreign = |headers: &HeaderMap| super::foreign(None, headers);
        assert_eq!(foreign(&HeaderMap::new()), None);
        assert_eq!(foreign(&headers("127.0.0.1:8765", "")), None);
        assert_eq!(foreign(&headers("localhost:8765", "http://localhost:8765")), None);
        assert_eq!(foreign(&headers("[::1]:8765", "http://[::1]:8765")), None);
        assert_eq!(foreign(&headers("127.0.0.1:8765", "https://evil.example")).as_deref(), Some("evil.example"));
        assert_eq!(foreign(&headers("127.0.0.1:8765", "null")).as_deref(), Some("null"));
        // A name that was made to point here.
        assert_eq!(foreign(&headers("evil.example:8765", "")).as_deref(), Some("evil.example:8765"));
        assert_eq!(super::foreign(Some("evil.example"), &HeaderMap::new()).as_deref(), Some("evil.example"));
    }
}
