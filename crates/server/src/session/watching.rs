//! Watching an instance: metrics and objectives. Both show names and figures of all namespaces.

use super::{Operation, Session};
use crate::access::Reach;
use crate::error::ServerError;
use serde_json::Value as Json;

impl Session {
    /// The metrics of a scrape, in the OpenMetrics text form. Blocks for about as long as one commit.
    pub fn metrics(&self) -> Result<String, ServerError> {
        self.perform(Operation::Metrics, "", Reach::Everything, |_| 0, || self.instance.metrics())
    }

    /// How the objectives stand. Blocks as `metrics` does.
    pub fn objectives(&self) -> Result<Json, ServerError> {
        self.perform(Operation::Metrics, "", Reach::Everything, |_| 0, || Ok(self.instance.objectives()))
    }

    /// Counts a request that could not be read at the door, and so never became an operation's work.
    pub(crate) fn unreadable(&self, operation: Operation, error: &ServerError) {
        self.instance.telemetry().unreadable(self.door, operation, error.code());
    }
}
