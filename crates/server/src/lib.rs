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
mod grpc;
pub mod http;
mod instance;
mod listening;
mod nearest;
mod resp;
mod session;
mod settings;
mod telemetry;
mod ticker;

pub use cli::run;
pub use error::ServerError;
pub use http::json::{feature_response, parse_feature_request};
pub use http::{BackgroundServer, router};
pub use instance::*;
pub use session::{Door, Operation, Session};
pub use settings::{Bytes, Clock, LogFormat, Period, Settings};
