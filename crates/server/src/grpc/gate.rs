//! What every call passes before its message is read: who it is from, how long it may take, whether there is room. So
//! nobody without a key takes memory, and no service has rules of its own.

use super::budget::{Budget, Share};
use super::deadline::Deadline;
use super::errors::overloaded;
use super::limits::{CALLS, PUSHES_AT_ONCE, WORK_AT_ONCE};
use crate::error::ServerError;
use crate::instance::Instance;
use crate::session::{Door, Session};
use crate::telemetry::parent_of;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

/// The instance behind the door, and the room before it.
#[derive(Clone)]
pub struct Gate {
    instance: Arc<Instance>,
    budget: Budget,
    calls: Arc<Semaphore>,
    pushes: Arc<Semaphore>,
    work: Arc<Semaphore>,
}

/// A call that was let in. Cheap to clone.
#[derive(Clone)]
pub struct Call {
    pub session: Session,
    pub deadline: Deadline,
    gate: Gate,
    share: Arc<Share>,
    _place: Arc<OwnedSemaphorePermit>,
}

/// Which threads are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// Those that wait for the log.
    Pushes,
    /// Those for all else.
    Work,
}

impl Gate {
    pub fn new(instance: Arc<Instance>) -> Self {
        let budget = Budget::new(instance.settings().max_body.bytes());
        let room = |places| Arc::new(Semaphore::new(places));
        Self { instance, budget, calls: room(CALLS), pushes: room(PUSHES_AT_ONCE), work: room(WORK_AT_ONCE) }
    }

    fn admit(&self, request: Request, deadline: Deadline) -> Result<Request, ServerError> {
        deadline.check()?;
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let parent = text("traceparent").and_then(|said| parent_of(said, text("tracestate")));
        let session = Session::enter(&self.instance, Door::Grpc, presented(request.headers())?, peer)?.part_of(parent);
        let place = self.calls.clone().try_acquire_owned();
        let place = place.map_err(|_| overloaded(&format!("{CALLS} calls are open, and there is room for no more")))?;
        let share = self.budget.share();
        let (mut parts, body) = request.into_parts();
        if !is_compressed(&parts.headers) {
            parts.headers.remove("grpc-accept-encoding");
        }
        let body = share.counted(body);
        let gate = self.clone();
        parts.extensions.insert(Call { session, deadline, gate, share, _place: Arc::new(place) });
        Ok(Request::from_parts(parts, body))
    }
}

/// Lets a call in, or answers why not; and gives up waiting for it when its time is over.
pub async fn enter(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    if !is_grpc(request.headers()) {
        let mend = "gRPC is served here: send application/grpc over HTTP/2, or see the routes under /v1\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, mend).into_response();
    }
    let outcome = match Deadline::of(request.headers()) {
        Err(error) => Err(error),
        Ok(deadline) => match gate.admit(request, deadline) {
            Err(error) => Err(error),
            Ok(request) => deadline.limit(next.run(request)).await,
        },
    };
    outcome.unwrap_or_else(|error| Status::from(error).into_http())
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Answers are compressed for those who compress: every C and Python client says that it takes gzip, and for small
/// answers it costs more than the read.
fn is_compressed(headers: &HeaderMap) -> bool {
    headers.get("grpc-encoding").is_some_and(|value| value != "identity")
}

/// The API key of `authorization: Bearer <key>` or `x-api-key: <key>`.
fn presented(headers: &HeaderMap) -> Result<Option<&str>, ServerError> {
    if let Some(key) = headers.get("x-api-key").and_then(|value| value.to_str().ok()) {
        return Ok(Some(key));
    }
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    match value.to_str().ok().and_then(|value| value.split_once(' ')) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(key.trim())),
        _ => Err(ServerError::Unauthenticated(
            "write the API key as metadata `authorization: Bearer <key>`, or as `x-api-key`".to_owned(),
        )),
    }
}

impl Call {
    /// The call that a request belongs to.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, Status> {
        let call = request.extensions().get::<Self>().cloned();
        call.ok_or_else(|| ServerError::Internal("a call came past the gate; restart the server".to_owned()).into())
    }

    /// A message of this size takes its part of the memory, until the share is dropped. Of a stream, to be called as
    /// each message comes: one that waits for those before it is in memory as well, and may have come compressed.
    pub fn hold(&self, bytes: usize) -> Result<Share, ServerError> {
        self.share.made_into(bytes)
    }

    /// Does what blocks on a thread that may block, as soon as one of those is free. What is begun is finished, also
    /// where nobody waits any longer.
    pub async fn blocking<T: Send + 'static>(
        &self,
        threads: Threads,
        work: impl FnOnce() -> Result<T, ServerError> + Send + 'static,
    ) -> Result<T, ServerError> {
        let places = match threads {
            Threads::Pushes => &self.gate.pushes,
            Threads::Work => &self.gate.work,
        };
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let deadline = self.deadline;
        let working = tokio::task::spawn_blocking(move || {
            let _place = place;
            deadline.check()?;
            work()
        });
        working.await.unwrap_or_else(|_| {
            Err(ServerError::Internal("the request could not be finished; the server's log says why".to_owned()))
        })
    }

    /// A call of one message that is worked on with the session, on a thread that may block.
    pub async fn answer<M: prost::Message + 'static, T: Send + 'static>(
        request: tonic::Request<M>,
        work: impl FnOnce(&Session, M) -> Result<T, ServerError> + Send + 'static,
    ) -> Result<tonic::Response<T>, Status> {
        let call = Self::of(&request)?;
        let message = request.into_inner();
        let held = call.hold(message.encoded_len())?;
        let session = call.session.clone();
        let answer = call.blocking(Threads::Work, move || {
            let _held = held;
            work(&session, message)
        });
        Ok(tonic::Response::new(answer.await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|&(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn keys_come_in_either_of_two_ways() {
        assert_eq!(presented(&headers(&[])).unwrap(), None);
        assert_eq!(presented(&headers(&[("x-api-key", "k1")])).unwrap(), Some("k1"));
        assert_eq!(presented(&headers(&[("authorization", "Bearer k2")])).unwrap(), Some("k2"));
        assert_eq!(presented(&headers(&[("authorization", "bearer  k3 ")])).unwrap(), Some("k3"));
        let error = presented(&headers(&[("authorization", "Basic abc")])).unwrap_err();
        assert_eq!(error.code(), "UNAUTHENTICATED");
    }

    #[test]
    fn only_grpc_passes_and_only_those_who_compress_get_compressed_answers() {
        assert!(is_grpc(&headers(&[("content-type", "application/grpc+proto")])));
        assert!(!is_grpc(&headers(&[("content-type", "application/json")])));
        assert!(!is_grpc(&headers(&[])));
        assert!(is_compressed(&headers(&[("grpc-encoding", "gzip")])));
        assert!(!is_compressed(&headers(&[("grpc-encoding", "identity")])));
        assert!(!is_compressed(&headers(&[])));
    }
}
