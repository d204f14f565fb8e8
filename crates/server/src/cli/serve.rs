//! `thalweg serve`: settings, the log, the instance, the socket, and then answering until a signal comes.

use super::{Failure, Outcome};
use crate::http;
use crate::instance::Instance;
use crate::settings::{LogFormat, SettingFlags, Settings};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

pub fn serve(flags: &SettingFlags) -> Outcome {
    let settings = flags.resolve().map_err(|why| Failure::misuse(format!("thalweg: {why}")))?;
    start_log(&settings)?;
    let failed = |error: crate::ServerError| Failure::failed(format!("thalweg: {error}"));
    // Before the data are opened, so that a taken port is told at once.
    let listener = http::listen(&settings).map_err(failed)?;
    let address = listener.local_addr().map_err(|error| Failure::failed(format!("thalweg: {error}")))?;
    let workers = settings.workers;
    let instance = Instance::open(settings).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("thalweg-http")
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("thalweg: no async runtime: {error}")))?;
    let outcome = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)
            .map_err(|error| crate::ServerError::Internal(format!("the listening socket: {error}")))?;
        tracing::info!(url = %format!("http://{address}"), data = %instance.settings().data.display(), "listening");
        http::serve(instance.clone(), listener, http::stop_signal()).await
    });
    // Requests that were cut off must not outlive the instance, and that must not end inside the runtime.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    drop(instance);
    outcome.map_err(failed)?;
    tracing::info!("stopped");
    Ok(0)
}

/// Starts the log of the process, once; a process that has one already keeps it.
fn start_log(settings: &Settings) -> Result<(), Failure> {
    // A bare level is about this program; of the libraries under it only warnings are wanted.
    let level = &settings.log_level;
    let wanted = match level.contains(['=', ',']) {
        true => level.clone(),
        false => {
            format!("warn,thalweg_server={level},thalweg_engine={level},thalweg_lake={level},thalweg_store={level}")
        }
    };
    let filter = EnvFilter::try_new(wanted).map_err(|error| {
        Failure::misuse(format!(
            "thalweg: `log_level` is not a filter: {error}; write info, or info,thalweg_lake=debug"
        ))
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match settings.log_format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
