//! The spans that show where the time of a push or a read goes: push → log → apply, and read → serve.
//!
//! The work of a push is spread over threads: it is decoded where it was sent, and committed together with others. So
//! a push keeps the span it was made in, and the commit shows its part of the work as children of that. Where nobody
//! listens, or the push was made outside any span, nothing is recorded and nothing allocated.

use crate::batch::LoggedBatch;
use crate::serve::Wanted;
use tracing::Span;

/// The target of the spans, all of level `INFO`, so that a filter can tell them from what is logged.
pub const TRACE_TARGET: &str = "thalweg::trace";

/// Writing a push to the log, until it is synced; ends when it is dropped.
pub(crate) fn log(push: &Span, batch: &LoggedBatch) -> Option<Span> {
    if push.is_disabled() {
        return None;
    }
    let ack = &batch.header.ack;
    Some(tracing::info_span!(
        target: TRACE_TARGET,
        parent: push,
        "log",
        thalweg.source = ack.source,
        thalweg.rows = ack.applied,
        thalweg.sequence = ack.first_sequence
    ))
}

/// Making the rows of a push visible.
pub(crate) fn apply(push: &Span, batch: &LoggedBatch) -> Span {
    if push.is_disabled() {
        return Span::none();
    }
    let ack = &batch.header.ack;
    tracing::info_span!(
        target: TRACE_TARGET,
        parent: push,
        "apply",
        thalweg.source = ack.source,
        thalweg.rows = ack.applied,
        thalweg.sequence = ack.first_sequence
    )
}

/// Answering a read from the state.
pub(crate) fn serve(wanted: &Wanted, rows: usize) -> Span {
    let service = match wanted {
        Wanted::Service(name) => name.as_str(),
        Wanted::Features(_) => "",
    };
    tracing::info_span!(target: TRACE_TARGET, "serve", thalweg.service = service, thalweg.rows = rows)
}
