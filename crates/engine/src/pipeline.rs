//! The middlewares that take part in a push or a read, in their order, and the calling of them.

use crate::batch::Ack;
use crate::decode::Decoded;
use crate::error::EngineError;
use crate::middleware::{Middleware, Rows};
use crate::runtime::{Runtime, SourceRuntime};
use crate::serve::{FeatureRequest, FeatureResponse};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use thalweg_aggregate::arrow_type;
use thalweg_definition::{CheckedManifest, Source};

/// Middlewares by priority, then by name. Before the state they run in this order, after it in the opposite one, so
/// that the first to see a request is the last to see what became of it.
#[derive(Clone, Default)]
pub struct Pipeline {
    /// None where nobody takes part: such a request costs one look at this.
    list: Option<Arc<[Arc<dyn Middleware>]>>,
}

impl Pipeline {
    pub fn new(mut middlewares: Vec<Arc<dyn Middleware>>) -> Self {
        if middlewares.is_empty() {
            return Self::default();
        }
        middlewares.sort_by(|a, b| (a.priority(), a.name()).cmp(&(b.priority(), b.name())));
        Self { list: Some(middlewares.into()) }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_none()
    }

    /// The names, in the order in which they run before the state.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.in_order().iter().map(|middleware| middleware.name())
    }

    /// Whether one of them may block before a read.
    pub fn may_block(&self) -> bool {
        self.in_order().iter().any(|middleware| middleware.may_block())
    }

    fn in_order(&self) -> &[Arc<dyn Middleware>] {
        self.list.as_deref().unwrap_or_default()
    }

    /// Those that take part in pushes to a source, with the steps that it declares.
    pub(crate) fn of_source(&self, source: &Source, steps: Vec<Arc<dyn Middleware>>) -> Self {
        let concerned = self.in_order().iter().filter(|middleware| middleware.concerns_source(source));
        Self::new(steps.into_iter().chain(concerned.cloned()).collect())
    }

    /// Those that take part in reads of these features.
    pub(crate) fn of_read(&self, checked: &CheckedManifest, features: &[String]) -> Self {
        let concerned = self.in_order().iter().filter(|middleware| middleware.concerns_read(checked, features));
        Self::new(concerned.cloned().collect())
    }

    /// Whether one of those that take part in reads of these features may block.
    pub(crate) fn may_block_reading(&self, checked: &CheckedManifest, features: &[String]) -> bool {
        let mut blocking = self.in_order().iter().filter(|middleware| middleware.may_block());
        blocking.any(|middleware| middleware.concerns_read(checked, features))
    }

    pub(crate) fn before_get(&self, runtime: &Runtime, request: &mut FeatureRequest) -> Result<(), EngineError> {
        for middleware in self.in_order() {
            guarded(&**middleware, || middleware.before_get(runtime, request))?;
        }
        Ok(())
    }

    pub(crate) fn after_get(&self, runtime: &Runtime, response: &mut FeatureResponse) -> Result<(), EngineError> {
        for middleware in self.in_order().iter().rev() {
            guarded(&**middleware, || {
                middleware.after_get(runtime, response)?;
                check_form(response).map_err(EngineError::Internal)
            })?;
        }
        Ok(())
    }

    /// Each sees the rows as those before it left them; all of them keep the contract, always.
    pub(crate) fn before_set(&self, source: &SourceRuntime, decoded: &mut Decoded) -> Result<(), EngineError> {
        for middleware in self.in_order() {
            if decoded.batch.num_rows() == 0 {
                break;
            }
            let mut rows = Rows::new(source, decoded);
            guarded(&**middleware, || {
                middleware.before_set(source, &mut rows)?;
                rows.keep_contract().map_err(EngineError::Invalid)
            })?;
        }
        Ok(())
    }

    pub(crate) fn after_set(&self, ack: &Ack) {
        for middleware in self.in_order().iter().rev() {
            let told = guarded(&**middleware, || {
                middleware.after_set(ack);
                Ok(())
            });
            if let Err(error) = told {
                tracing::error!(source = ack.source, "after a push, which stands: {error}");
            }
        }
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Calls a hook. An error has the middleware's name in front; a panic is an error too, so that it ends this request
/// and no thread of the engine.
fn guarded<T>(middleware: &dyn Middleware, hook: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    let outcome = catch_unwind(AssertUnwindSafe(hook));
    let outcome = outcome.unwrap_or_else(|panic| Err(EngineError::Internal(format!("panicked: {}", told(&*panic)))));
    outcome.map_err(|error| error.raised_by(&format!("middleware `{}`", middleware.name())))
}

fn told(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// Every door relies on the form of an answer.
fn check_form(response: &FeatureResponse) -> Result<(), String> {
    let rows = response.rows;
    for (name, column) in response.entities.iter().chain(&response.request) {
        if column.len() != rows {
            return Err(format!("it left `{name}` with {} values for {rows} entities", column.len()));
        }
    }
    for result in &response.results {
        let name = &result.name;
        let lengths = [result.values.len(), result.event_times.len(), result.statuses.len()];
        if lengths != [rows; 3] {
            let [values, times, statuses] = lengths;
            return Err(format!(
                "it left `{name}` with {values} values, {times} event times and {statuses} statuses for {rows} entities"
            ));
        }
        if *result.values.data_type() != arrow_type(&result.data_type) {
            return Err(format!(
                "it left `{name}` with values of {} where the result says {}: set `data_type` with them",
                result.values.data_type(),
                result.data_type
            ));
        }
        if let Some((row, _)) = result.errors.iter().find(|(row, _)| *row >= rows) {
            return Err(format!("it left `{name}` with an error for entity {row} of {rows}"));
        }
    }
    Ok(())
}
