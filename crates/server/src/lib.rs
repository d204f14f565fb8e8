//! The one binary: settings, one running [`Instance`], and the doors to it.
//!
//! ```text
//! settings ──▶ Instance (engine, lake, background tasks) ◀── Session ◀── http (and Feast), grpc, resp ◀── clients
//!                        ▲                                     ▲ access, telemetry                      ▲
//!                        └── the Python module ────────────────┘        cli: load, get, training-set ───┘
//! ```
//! What features mean is decided below, in `engine` and `lake`; here everything is wired together.

mod access;
pub mod cli;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod grpc;
pub mod http;
mod instance;
mod ipc;
mod listening;
mod nearest;
pub mod resp;
mod session;
mod settings;
mod telemetry;
mod ticker;

pub use cli::run;
pub use error::ServerError;
pub use http::json::{direct_get, direct_write, feature_response, parse_feature_request, point_in_time};
pub use http::{BackgroundServer, columnar_request, feature_batch, router};
pub use instance::*;
pub use session::{Door, Operation, Session};
pub use settings::{Bytes, Clock, LogFormat, Period, Settings};
