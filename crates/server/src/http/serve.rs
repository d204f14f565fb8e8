//! From listening sockets to a clean end: every door is served, told to stop, and finishes what is under way.

use super::limits::{DRAIN_TIME, HEAD_TIME, PING_AFTER, PING_TIME};
use super::router;
use crate::error::ServerError;
use crate::instance::Instance;
use crate::listening::{Connection, Listening, Sockets};
use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tower::Layer;

/// Serves every door until `stopping` says true, or its sender is gone; then finishes what is under way. The instance
/// goes on.
pub async fn serve(
    instance: Arc<Instance>,
    sockets: Sockets,
    stopping: watch::Receiver<bool>,
) -> Result<(), ServerError> {
    let listening = sockets.http.listen()?;
    let redis = match sockets.redis {
        Some(bound) => Some(tokio::spawn(crate::resp::serve(instance.clone(), bound.listen()?, stopping.clone()))),
        None => None,
    };
    serve_http(router(instance), listening, stopping).await;
    if let Some(mut redis) = redis
        && timeout(DRAIN_TIME, &mut redis).await.is_err()
    {
        tracing::warn!("connections of the Redis protocol that are still busy are cut off");
        redis.abort();
    }
    Ok(())
}

/// Answers HTTP requests, and gRPC on the same port, until it is told to stop; then finishes those under way.
async fn serve_http(router: Router, mut listening: Listening, mut stopping: watch::Receiver<bool>) {
    let protocols = protocols();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            (connection, peer) = listening.accept() => {
                connections.spawn(converse(protocols.clone(), router.clone(), connection, peer, stopping.clone()));
            }
            Some(outcome) = connections.join_next() => ended(outcome),
            () = told(&mut stopping) => break,
        }
    }
    drop(listening);
    let drained = timeout(DRAIN_TIME, async {
        while let Some(outcome) = connections.join_next().await {
            ended(outcome);
        }
    });
    if drained.await.is_err() {
        tracing::warn!("requests still under way after {} s are cut off", DRAIN_TIME.as_secs());
        connections.shutdown().await;
    }
}

/// HTTP/1 and HTTP/2, as the client's first bytes say; neither waits for ever for a client that says nothing more.
fn protocols() -> Builder<TokioExecutor> {
    let mut protocols = Builder::new(TokioExecutor::new());
    protocols.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    protocols.http2().timer(TokioTimer::new()).keep_alive_interval(PING_AFTER).keep_alive_timeout(PING_TIME);
    protocols
}

/// Answers the requests of one client until it goes, or the server stops.
async fn converse(
    protocols: Builder<TokioExecutor>,
    router: Router,
    connection: Connection,
    peer: SocketAddr,
    mut stopping: watch::Receiver<bool>,
) {
    // Handlers ask for the peer's address by this.
    let service = TowerToHyperService::new(Extension(ConnectInfo(peer)).layer(router));
    let io = TokioIo::new(connection.speaking_within(HEAD_TIME));
    let mut serving = pin!(protocols.serve_connection(io, service));
    let outcome = tokio::select! {
        outcome = serving.as_mut() => outcome,
        () = told(&mut stopping) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = outcome {
        // Clients come and go as they like.
        tracing::debug!(%peer, "a connection ended: {error}");
    }
}

fn ended(outcome: Result<(), JoinError>) {
    if let Err(error) = outcome
        && error.is_panic()
    {
        tracing::error!("a connection panicked: {error}");
    }
}

async fn told(stopping: &mut watch::Receiver<bool>) {
    // Whoever could say so is gone: that is a stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Completes at the first SIGINT or SIGTERM; a second SIGINT ends the process at once, which the log survives.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::error!("signals cannot be received; stop the process with SIGKILL, which the log survives");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping: requests under way are finished, and everything is made durable");
    tokio::spawn(async move {
        interrupt.recv().await;
        std::process::exit(130);
    });
}
