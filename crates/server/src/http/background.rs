//! A server beside the caller, for notebooks and tests: it stops when it is dropped, the instance goes on.

use super::{listen, router};
use crate::error::ServerError;
use crate::instance::Instance;
use crate::settings::Settings;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub struct BackgroundServer {
    url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl BackgroundServer {
    /// Serves at an address; port 0 takes a free one.
    pub fn start(instance: Arc<Instance>, host: &str, port: u16) -> Result<Self, ServerError> {
        let internal = |error: std::io::Error| ServerError::Internal(format!("cannot serve: {error}"));
        let settings = Settings { host: host.to_owned(), port, ..instance.settings().clone() };
        let listener = listen(&settings)?;
        let url = format!("http://{}", listener.local_addr().map_err(internal)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("thalweg-http")
            .enable_all()
            .build()
            .map_err(internal)?;
        let (stop, stopped) = oneshot::channel();
        let serving = move || {
            runtime.block_on(async move {
                let listener = match TcpListener::from_std(listener) {
                    Ok(listener) => listener,
                    Err(error) => return tracing::error!("cannot serve: {error}"),
                };
                let until = async {
                    let _ = stopped.await;
                };
                let serving = axum::serve(listener, router(instance)).with_graceful_shutdown(until);
                if let Err(error) = serving.await {
                    tracing::error!("serving ended: {error}");
                }
            });
        };
        let thread = std::thread::Builder::new().name("thalweg-http".to_owned()).spawn(serving).map_err(internal)?;
        Ok(Self { url, stop: Some(stop), thread: Some(thread) })
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for BackgroundServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
