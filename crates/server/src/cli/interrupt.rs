//! Ctrl-C: the first asks a command to stop where it can go on later, the second ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

const STEP: Duration = Duration::from_millis(50);

impl Interrupt {
    /// Watches for Ctrl-C from now on.
    pub fn watch() -> Self {
        let asked = Self(Arc::default());
        let told = asked.clone();
        let watching = std::thread::Builder::new().name("thalweg-interrupt".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                if tokio::signal::ctrl_c().await.is_err() {
                    return;
                }
                told.0.store(true, Ordering::Release);
                if tokio::signal::ctrl_c().await.is_ok() {
                    std::process::exit(super::INTERRUPTED);
                }
            });
        });
        // Without the watch, Ctrl-C ends the process as it always does.
        drop(watching);
        asked
    }

    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Sleeps, or wakes early when asked to stop.
    pub fn sleep(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.is_asked() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(STEP));
        }
    }
}
