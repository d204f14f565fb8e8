//! Protobuf, the one truth of the API, and its conversions.
//!
//! ```text
//! JSON ──parse_request──▶ v1::Manifest ──from_proto──▶ Manifest ──compile──▶ canonical JSON, bytes, hash
//! ```
//!
//! The same definitions give the same bytes, in whatever order they were written.

mod aggregation;
mod manifest;

pub use manifest::{Compiled, compile, from_proto, parse_json, parse_request, to_proto};

/// The messages of `proto/thalweg/v1`, with their JSON mapping.
#[allow(clippy::all)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/thalweg.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/thalweg.v1.serde.rs"));
}
