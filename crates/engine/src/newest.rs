//! Where a write starts from that builds on the one before it: the newest value of an entity, wherever in time it is,
//! and what an earlier push with the same idempotency key came to.

use crate::commit::Ticket;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::runtime::ViewRuntime;
use std::borrow::Cow;
use std::sync::atomic::Ordering;
use thalweg_aggregate::Answer;

impl Engine {
    /// The outputs of a view for one entity, in the order of its plan, over every row that was applied: neither the
    /// clock nor the view's staleness keeps anything back. `key` has the form that
    /// [`KeyEncoder`](thalweg_aggregate::KeyEncoder) gives it. An error where the view is still being filled.
    pub fn newest(&self, view: &ViewRuntime, key: &[u8]) -> Result<Vec<Answer>, EngineError> {
        if !view.state.is_ready() {
            return Err(EngineError::Unavailable(format!(
                "view `{}` is being filled from history ({} rows so far): send again later",
                view.definition.name,
                view.state.backfilled.load(Ordering::Relaxed)
            )));
        }
        let mut plan = Cow::Borrowed(&view.plan);
        if plan.staleness.is_some() {
            plan.to_mut().staleness = None;
        }
        view.state.read(&self.store, &plan, key, i64::MAX, i64::MAX)
    }

    /// The ticket of an earlier push to a source with this idempotency key, acknowledged or on its way.
    pub fn pushed_before(&self, source: &str, idempotency_key: &str) -> Option<Ticket> {
        self.sequencer.lock().repeated(&format!("{source}\0{idempotency_key}"))
    }
}
