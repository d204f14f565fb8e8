//! What an instance says of itself.

use super::Instance;
use crate::error::ServerError;
use crate::telemetry::{Objective, Reading, Standing, Targets, scrape};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use thalweg_engine::literal::timestamp_text;
use thalweg_engine::{Ledger, ViewRuntime};

impl Instance {
    pub fn status(&self) -> Value {
        let runtime = self.engine.runtime().ok();
        let mut sources = serde_json::Map::new();
        let mut views = serde_json::Map::new();
        if let Some(runtime) = &runtime {
            for name in runtime.sources.keys() {
                sources.insert(name.clone(), self.source_status(name).unwrap_or_default());
            }
            for name in runtime.views.keys() {
                views.insert(name.clone(), self.view_status(name).unwrap_or_default());
            }
        }
        sources.sort_keys();
        views.sort_keys();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "manifest": runtime.map(|runtime| json!({"version": runtime.version, "hash": runtime.hash})),
            "ready": self.ready().is_ok(),
            "clock": timestamp_text(self.engine.now()),
            "applied_until": self.engine.applied_until(),
            "log_bytes": self.engine.log_bytes(),
            "state_bytes": self.engine.state_memory(),
            "rows_outside_history": self.rows_outside_history(),
            "unrecorded_answers": self.served.unrecorded.load(Ordering::Relaxed),
            "sources": sources,
            "views": views,
        })
    }

    /// The ledger of a source, and where its history is.
    pub fn source_status(&self, source: &str) -> Result<Value, ServerError> {
        let ledger = self.engine.ledger(source)?;
        let counts = self.engine.metadata().quarantine_count(source)?;
        let runtime = self.engine.runtime()?;
        // An apply may have come in between.
        let found = runtime.sources.get(source);
        let found = found.ok_or_else(|| ServerError::NotFound(format!("there is no source `{source}` any more")))?;
        let definition = &found.definition;
        let columns: Vec<Value> = definition
            .columns
            .iter()
            .map(|column| {
                let data_type = column.data_type.to_string();
                json!({"name": column.name, "type": data_type, "required": column.required, "description": column.description})
            })
            .collect();
        Ok(json!({
            "name": source,
            "description": definition.about.description,
            "kind": if definition.is_change() { "change" } else { "event" },
            "timestamp": definition.timestamp,
            "columns": columns,
            "read": ledger.read,
            "applied": ledger.applied,
            "deduplicated": ledger.deduplicated,
            "filtered": ledger.filtered,
            "quarantined": ledger.quarantined,
            "quarantine_waiting": counts.waiting,
            "pushes": ledger.pushes,
            "newest_event_time": ledger.newest_event_time.map(timestamp_text),
            "history": self.history.table_uri(source),
        }))
    }

    /// Where a source's history is.
    pub fn history_uri(&self, source: &str) -> String {
        self.history.table_uri(source)
    }

    /// A view's features and the size of its state.
    pub fn view_status(&self, view: &str) -> Result<Value, ServerError> {
        let runtime = self.engine.runtime()?;
        let found = runtime.views.get(view);
        let found = found.ok_or_else(|| ServerError::NotFound(format!("there is no view `{view}`")))?;
        let features: Vec<Value> = found
            .plan
            .outputs
            .iter()
            .map(|output| json!({"name": output.name, "type": output.value_type.to_string()}))
            .collect();
        let state = &found.state;
        Ok(json!({
            "name": view,
            "description": found.definition.about.description,
            "entity": found.definition.entity,
            "keys": found.entity.keys.iter().map(|key| json!({"name": key.name, "type": key.data_type.to_string()})).collect::<Vec<_>>(),
            "sources": found.definition.sources,
            "ready": state.is_ready(),
            "entities": state.entities(),
            "applied": state.applied.load(Ordering::Relaxed),
            "expired": state.expired.load(Ordering::Relaxed),
            "non_finite": state.non_finite.load(Ordering::Relaxed),
            "backfilled": state.backfilled.load(Ordering::Relaxed),
            "memory_bytes": state.memory(),
            "features": features,
        }))
    }

    /// The metrics of a scrape, in the OpenMetrics text form.
    pub fn metrics(&self) -> Result<String, ServerError> {
        let page = scrape(self, &self.standings());
        page.openmetrics().map_err(|error| ServerError::Internal(format!("the metrics have no text form: {error}")))
    }

    /// How the objectives stand: target, measured, samples, state, since.
    pub fn objectives(&self) -> Value {
        let window = self.settings.objective_window.to_string();
        let objectives: Vec<Value> = self.standings().iter().map(Standing::json).collect();
        json!({"window": window, "objectives": objectives})
    }

    /// Answers that were not recorded for the check, because too many came at once.
    pub(crate) fn unrecorded_answers(&self) -> u64 {
        self.served.unrecorded.load(Ordering::Relaxed)
    }

    /// Bytes of recorded answers on the disk, about.
    pub(crate) fn served_bytes(&self) -> u64 {
        self.served.bytes_on_disk()
    }

    /// Measures the objectives, and says how they stand.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        let settings = &self.settings;
        let targets = Targets {
            availability: settings.objective_availability,
            latency_p99: settings.objective_latency_p99.duration().as_secs_f64(),
            freshness: settings.objective_freshness.duration().as_secs_f64(),
            agreement: settings.objective_agreement,
            window: settings.objective_window.duration(),
        };
        self.telemetry.measure(&targets, self.fresh_views(), self.engine.wall())
    }

    /// The views that declare how fresh they are to be, and the age of their newest event.
    fn fresh_views(&self) -> Vec<Reading> {
        let Ok(runtime) = self.engine.runtime() else { return Vec::new() };
        let declared: Vec<(&ViewRuntime, i64)> =
            runtime.views.values().filter_map(|view| Some((&**view, view.definition.freshness?.micros()))).collect();
        if declared.is_empty() {
            return Vec::new();
        }
        let (_, ledgers) = self.engine.ledgers();
        let now = self.engine.now();
        let seconds = |micros: i64| micros as f64 / 1e6;
        declared
            .into_iter()
            .map(|(view, freshness)| {
                let newest = newest_event(view, &ledgers);
                Reading {
                    objective: Objective::Freshness,
                    view: Some(view.definition.name.clone()),
                    target: seconds(freshness),
                    measured: newest.map(|newest| seconds(now.saturating_sub(newest).max(0))),
                    samples: newest.map_or(0, |_| 1),
                }
            })
            .collect()
    }
}

/// The newest event of the sources that feed a view.
fn newest_event(view: &ViewRuntime, ledgers: &HashMap<String, Ledger>) -> Option<i64> {
    view.definition.sources.iter().filter_map(|source| ledgers.get(source)?.newest_event_time).max()
}
