//! A server beside the caller, for notebooks and tests: it stops when it is dropped, the instance goes on.

use super::serve::serve;
use crate::error::ServerError;
use crate::instance::Instance;
use crate::listening::bind;
use crate::settings::Settings;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::watch;

pub struct BackgroundServer {
    url: String,
    redis: Option<SocketAddr>,
    stop: Option<watch::Sender<bool>>,
    thread: Option<JoinHandle<()>>,
}

impl BackgroundServer {
    /// Serves at an address; port 0 takes a free one. The Redis protocol, where the instance's settings have a port for
    /// it, is served beside it at the same host.
    pub fn start(instance: Arc<Instance>, host: &str, port: u16) -> Result<Self, ServerError> {
        let internal = |error: std::io::Error| ServerError::Internal(format!("cannot serve: {error}"));
        let settings = Settings { host: host.to_owned(), port, ..instance.settings().clone() };
        let sockets = bind(&settings)?;
        let url = sockets.http.url();
        let redis = sockets.redis.as_ref().map(|bound| bound.address());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("thalweg-http")
            .enable_all()
            .build()
            .map_err(internal)?;
        let (stop, stopping) = watch::channel(false);
        let serving = move || {
            // Held past the runtime: an instance must not end within one.
            let kept = instance.clone();
            if let Err(error) = runtime.block_on(serve(instance, sockets, stopping)) {
                tracing::error!("serving ended: {error}");
            }
            drop(runtime);
            drop(kept);
        };
        let thread = std::thread::Builder::new().name("thalweg-http".to_owned()).spawn(serving).map_err(internal)?;
        Ok(Self { url, redis, stop: Some(stop), thread: Some(thread) })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the Redis protocol is served.
    pub fn redis_address(&self) -> Option<SocketAddr> {
        self.redis
    }
}

impl Drop for BackgroundServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(true);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
