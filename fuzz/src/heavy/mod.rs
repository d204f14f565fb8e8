//! Targets of the lake and of the server's doors.

mod arrow_stream;
mod audit_log;
mod feast;
mod feature_request;
mod grpc_columns;
mod http_door;
mod resp_connection;
mod resp_key;
mod resp_parse;
mod resp_replies;
mod sql_expression;
mod world;

use crate::Target;

pub use world::clean_up;

/// What an answer takes of memory depends on what was asked of the world that the others have left; of those targets
/// the fuzzer's own bound on the process is the one that counts.
const ANY: usize = 1 << 20;

pub const TARGETS: &[Target] = &[
    Target { name: "arrow_stream", run: arrow_stream::run, bytes_each: 1024 },
    Target { name: "audit_log", run: audit_log::run, bytes_each: 1024 },
    Target { name: "feast_push", run: feast::run, bytes_each: 1024 },
    Target { name: "feature_request", run: feature_request::run, bytes_each: ANY },
    Target { name: "grpc_columns", run: grpc_columns::run, bytes_each: 512 },
    Target { name: "http_door", run: http_door::run, bytes_each: ANY },
    Target { name: "resp_connection", run: resp_connection::run, bytes_each: ANY },
    Target { name: "resp_key", run: resp_key::run, bytes_each: 256 },
    Target { name: "resp_parse", run: resp_parse::run, bytes_each: 256 },
    Target { name: "sql_expression", run: sql_expression::run, bytes_each: ANY },
];
