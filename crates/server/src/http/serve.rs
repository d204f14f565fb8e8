//! From listening sockets to a clean end: every door is served, told to stop, and finishes what is under way.

use super::limits::DRAIN_TIME;
use super::router;
use crate::error::ServerError;
use crate::instance::Instance;
use crate::listening::{Listening, Sockets};
use axum::serve::ListenerExt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

/// Serves every door until `stopping` says true, or its sender is gone; then finishes what is under way. The instance
/// goes on.
pub async fn serve(
    instance: Arc<Instance>,
    sockets: Sockets,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), ServerError> {
    let listening = sockets.http.listen()?;
    let redis = match sockets.redis {
        Some(bound) => Some(tokio::spawn(crate::resp::serve(instance.clone(), bound.listen()?, stopping.clone()))),
        None => None,
    };
    let stop = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let outcome = serve_http(instance, listening, stop).await;
    if let Some(mut redis) = redis
        && timeout(DRAIN_TIME, &mut redis).await.is_err()
    {
        tracing::warn!("connections of the Redis protocol that are still busy are cut off");
        redis.abort();
    }
    outcome
}

/// Answers HTTP requests, and gRPC on the same port, until `shutdown` completes; then finishes those under way.
async fn serve_http(
    instance: Arc<Instance>,
    listener: Listening,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServerError> {
    let (tell, told) = oneshot::channel();
    let stop = async move {
        shutdown.await;
        let _ = tell.send(());
    };
    // Wrapped, the listener hands the peer's address on to the handlers.
    let service = router(instance).into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener.tap_io(|_| {}), service).with_graceful_shutdown(stop);
    let overtime = async {
        match told.await {
            Ok(()) => sleep(DRAIN_TIME).await,
            Err(_) => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        outcome = serving.into_future() => outcome,
        () = overtime => {
            tracing::warn!("requests still under way after {} s are cut off", DRAIN_TIME.as_secs());
            Ok(())
        }
    };
    outcome.map_err(|error| ServerError::Internal(format!("the listening socket failed: {error}")))
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
