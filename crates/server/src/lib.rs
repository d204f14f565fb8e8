//! The one binary: settings, one running [`Instance`], and the doors to it.
//!
//! ```text
//! settings ──▶ Instance (engine, lake, background tasks) ◀── http ◀── clients
//!                        ▲                                     ▲
//!                        └── the Python module                 └── cli: load, get, training-set, check, ...
//! ```
//! What features mean is decided below, in `engine` and `lake`; here everything is wired together.

mod access;
pub mod cli;
mod error;
pub mod http;
mod instance;
mod nearest;
mod session;
mod settings;
mod telemetry;

pub use cli::run;
pub use error::ServerError;
pub use http::json::{feature_response, parse_feature_request};
pub use http::{BackgroundServer, listen, router, serve, stop_signal};
pub use instance::*;
pub use session::{Door, Operation, Session};
pub use settings::{Bytes, Clock, LogFormat, Period, Settings};
