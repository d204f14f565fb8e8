//! The engine: takes pushes, makes them durable, keeps the online state, answers reads.
//!
//! ```text
//! push ─▶ decode ─▶ contract ─▶ steps ─▶ filter ─▶ dedup ─▶ [queue] ─▶ log + fsync ─▶ apply ─▶ acknowledged
//!            └─────────┴───────────┴── quarantine                one commit for many      │
//! read ◀─ on-demand ◀─ answers at (q, cut) ◀─ entity state (tiles, rows) ◀────────────────┘
//! ```
//! Code of whoever runs it takes part as a [`Middleware`], before and after both ways.
//!
//! It is synchronous, takes its disk, its clock and the evaluation of SQL expressions as components, starts no
//! thread, and knows no server: whoever owns an [`Engine`] calls [`Engine::commit_pending`],
//! [`Engine::checkpoint`] and [`Engine::tidy`] when it sees fit.

mod apply;
mod batch;
mod change_rows;
mod changes;
mod checkpoint;
mod commit;
mod contract;
mod decode;
mod dedup;
mod engine;
mod error;
mod history;
mod ingest;
pub mod ipc;
pub mod json;
mod ledger;
pub mod limits;
pub mod literal;
mod manifest;
mod middleware;
mod newest;
mod open;
mod pipeline;
mod quarantine;
mod runtime;
mod serve;
mod steps;
mod timeline;
mod trace;
mod view;

pub use apply::RowLife;
pub use batch::{ARRIVAL, Ack, ArrivalKind, BATCH_RECORD, LoggedBatch, RowError, SEQUENCE, conform};
pub use checkpoint::CheckpointOutcome;
pub use commit::Ticket;
pub use decode::{Decoded, Input, Reject, decode, source_schema};
pub use engine::{Components, Engine, EngineSettings};
pub use error::EngineError;
pub use history::{HistoryTables, HistoryWriter, fill_view};
pub use ingest::{PushRequest, Submitted};
pub use ledger::Ledger;
pub use manifest::{AppliedManifest, NewManifest};
pub use middleware::{Middleware, Rows};
pub use open::{InForce, Recovered};
pub use pipeline::Pipeline;
pub use runtime::{Runtime, ServiceRuntime, ServiceView, SourceRuntime, ViewRuntime};
pub use serve::{FeatureRequest, FeatureResponse, FeatureResult, Finishing, Wanted};
pub use timeline::{Clock, ClockMode, ManualClock, SystemClock};
pub use trace::TRACE_TARGET;
pub use view::ViewState;
