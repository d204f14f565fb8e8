//! `thalweg serve`: settings, the log, the sockets, the instance, and then answering until a signal comes.

use super::{Failure, Outcome};
use crate::http;
use crate::instance::Instance;
use crate::listening;
use crate::settings::SettingFlags;

pub fn serve(flags: &SettingFlags) -> Outcome {
    let settings = flags.resolve().map_err(|why| Failure::misuse(format!("thalweg: {why}")))?;
    // First, so that it is dropped last, and outside the runtime.
    let _traces = crate::telemetry::start(&settings).map_err(|why| Failure::misuse(format!("thalweg: {why}")))?;
    let failed = |error: crate::ServerError| Failure::failed(format!("thalweg: {error}"));
    // Before the data are opened, so that a taken port is told at once.
    let sockets = listening::bind(&settings).map_err(failed)?;
    let workers = settings.workers;
    let instance = Instance::open(settings).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("thalweg-http")
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("thalweg: no async runtime: {error}")))?;
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let outcome = runtime.block_on(async {
        tokio::spawn(async move {
            http::stop_signal().await;
            let _ = stop.send(true);
        });
        tracing::info!(url = %sockets.http.url(), data = %instance.settings().data.display(), "listening");
        if let Some(redis) = &sockets.redis {
            tracing::info!(redis = %redis.address(), "listening");
        }
        http::serve(instance.clone(), sockets, stopping).await
    });
    // Here, as the runtime goes on: a second signal still ends the process.
    instance.close();
    // Requests that were cut off must not outlive the instance, and that must not end inside the runtime.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    drop(instance);
    outcome.map_err(failed)?;
    tracing::info!("stopped");
    Ok(0)
}
