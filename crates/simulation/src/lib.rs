//! The simulation: the engine and the store as they are, on a clock, a disk and a network that are not, in one thread.
//!
//! ```text
//! seed ─▶ world (sources, views, settings) ─┐
//! seed, step ─▶ what happens next ──────────┤
//!                                           ▼
//!  clients ─▶ network ─▶ Engine ─▶ Log, StateStore ─▶ FaultyDisk ◀─one power─▶ Metadata (SQLite in memory)
//!     │                    │  └─▶ HistoryWriter ─▶ simulated tables
//!     ▼                    ▼
//!   model  ◀──compared── acknowledgements, answers, ledgers, log and history, quarantine
//! ```
//! Every choice follows from the seed and the number of the step, so that a seed repeats a run, and steps can be left
//! out when a failure is shrunk. What is promised, and checked after every step, is listed in [`Promise`].
//!
//! Not in it: Delta, SQL beyond the simplest, protocols, threads. What the engine is built on must not decide by the
//! order of a hash map either, or a seed would not repeat its run.

mod campaign;
mod definitions;
mod expressions;
mod machine;
mod model;
mod promises;
mod random;
mod rows;
mod run;
mod shrink;
mod tables;
mod trace;
mod values;

pub use campaign::{Budget, Campaign, Failure, guarded, keep_panics_quiet};
pub use promises::{Broken, Checked, Promise};
pub use run::{Report, Tally, run, steps_of};
pub use shrink::{list_of, read_list, shrink};
