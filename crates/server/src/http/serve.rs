//! From a listening socket to a clean end: bounded connections, a signal to stop, requests finished, all durable.

use super::limits::{CONNECTION_PAUSE, DRAIN_TIME, MAX_CONNECTIONS};
use super::router;
use crate::error::ServerError;
use crate::instance::Instance;
use crate::settings::Settings;
use axum::serve::Listener;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, Sleep, sleep};

/// A socket at the address of the settings. Beyond this machine only where that was asked for by name.
pub fn listen(settings: &Settings) -> Result<std::net::TcpListener, ServerError> {
    let (host, port) = (settings.host.as_str(), settings.port);
    let invalid = |why: String| ServerError::Invalid(format!("cannot listen at {host}:{port}: {why}"));
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let addresses: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, port)],
        Err(_) => (bare, port).to_socket_addrs().map_err(|error| invalid(error.to_string()))?.collect(),
    };
    if !settings.insecure_listen && addresses.iter().any(|address| !address.ip().is_loopback()) {
        return Err(invalid(
            "other machines would reach it, and there is no authentication yet: use 127.0.0.1, or say --insecure-listen"
                .to_owned(),
        ));
    }
    let listener = std::net::TcpListener::bind(addresses.as_slice()).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => invalid("the port is taken: stop what is there, or name another --port".to_owned()),
        _ => invalid(error.to_string()),
    })?;
    listener.set_nonblocking(true).map_err(|error| invalid(error.to_string()))?;
    Ok(listener)
}

/// Answers requests until `shutdown` completes; then finishes those under way, and closes the instance.
pub async fn serve(
    instance: Arc<Instance>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServerError> {
    let (tell, told) = oneshot::channel();
    let stop = async move {
        shutdown.await;
        let _ = tell.send(());
    };
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let listener = Bounded { listener, connections };
    let serving = axum::serve(listener, router(instance.clone())).with_graceful_shutdown(stop);
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
    let closing = tokio::task::spawn_blocking(move || instance.close());
    closing.await.map_err(|_| ServerError::Internal("closing failed; the log says why".to_owned()))?;
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

/// Accepts no more connections at a time than there are permits.
struct Bounded {
    listener: TcpListener,
    connections: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let permit = self.connections.clone().acquire_owned().await.expect("the semaphore is never closed");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let _ = stream.set_nodelay(true);
        (Connection { stream, idle: Box::pin(sleep(CONNECTION_PAUSE)), _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when nothing moves on it for too long, whichever side is slow.
struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    fn moved(&mut self) {
        self.idle.as_mut().reset(Instant::now() + CONNECTION_PAUSE);
    }

    fn waited<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.idle.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.waited(context),
            done => {
                self.moved();
                done
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.waited(context),
            done => {
                self.moved();
                done
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(context, parts) {
            Poll::Pending => self.waited(context),
            done => {
                self.moved();
                done
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
