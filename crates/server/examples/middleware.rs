//! Two middlewares: one caps a column on the way in, one rounds what is served on the way out. Run it with
//! `cargo run -p thalweg-server --example middleware`.
//!
//! What came in capped is what the log has, so training sets have it capped as well. What went out rounded was
//! recorded before, so the check still compares the exact value.

use arrow::array::{AsArray, Float64Array, StringArray};
use arrow::datatypes::Float64Type;
use std::error::Error;
use std::sync::Arc;
use thalweg_definition::{CheckedManifest, DataType, Source};
use thalweg_engine::{
    EngineError, FeatureRequest, FeatureResponse, Input, Middleware, PushRequest, Rows, Runtime, SourceRuntime, Wanted,
};
use thalweg_server::{CheckOptions, Clock, Instance, Settings};

/// Lowers what is above `most` to it, in every source that has this column.
pub struct Cap {
    pub column: &'static str,
    pub most: f64,
}

impl Middleware for Cap {
    fn name(&self) -> &str {
        "cap"
    }

    fn priority(&self) -> i32 {
        10
    }

    fn concerns_source(&self, source: &Source) -> bool {
        source.column(self.column).is_some_and(|column| column.data_type == DataType::Float64)
    }

    fn before_set(&self, _: &SourceRuntime, rows: &mut Rows<'_>) -> Result<(), EngineError> {
        let values = rows.batch()[self.column].as_primitive::<Float64Type>();
        let capped: Float64Array = values.unary(|value| if value > self.most { self.most } else { value });
        rows.replace(self.column, Arc::new(capped)).map_err(EngineError::Invalid)
    }
}

/// Rounds the served floats of a view to two digits.
pub struct Round {
    pub view: &'static str,
}

impl Round {
    fn is_of_view(&self, feature: &str) -> bool {
        feature.split_once('.').is_some_and(|(view, _)| view == self.view)
    }
}

impl Middleware for Round {
    fn name(&self) -> &str {
        "round"
    }

    fn concerns_read(&self, _: &CheckedManifest, features: &[String]) -> bool {
        features.iter().any(|feature| self.is_of_view(feature))
    }

    fn after_get(&self, _: &Runtime, response: &mut FeatureResponse) -> Result<(), EngineError> {
        for result in &mut response.results {
            if self.is_of_view(&result.name) && result.data_type == DataType::Float64 {
                let exact = result.values.as_primitive::<Float64Type>();
                let rounded: Float64Array = exact.unary(|value| (value * 100.0).round() / 100.0);
                result.values = Arc::new(rounded);
            }
        }
        Ok(())
    }
}

const DEFINITIONS: &str = r#"{
    "project": "payments",
    "entities": [{"name": "card", "keys": [{"name": "card", "type": "string"}]}],
    "sources": [{
        "name": "payments", "kind": "SOURCE_KIND_EVENT", "timestamp": "paid_at",
        "columns": [
            {"name": "card", "type": "string", "required": true},
            {"name": "amount", "type": "float64", "min": "0"},
            {"name": "paid_at", "type": "timestamp", "required": true}
        ]
    }],
    "views": [{
        "name": "card_payments", "entity": "card", "sources": ["payments"],
        "features": [{
            "name": "amount_mean", "aggregation": "mean", "input": "amount",
            "windows": [{"kind": "sliding", "over": "7d"}]
        }]
    }],
    "services": [{"name": "card_risk", "features": ["card_payments.amount_mean_7d"], "log_sample": 1.0}]
}"#;

const PAYMENTS: &[u8] = br#"[
    {"card": "c1", "amount": 10, "paid_at": "2024-05-01T10:00:00Z"},
    {"card": "c1", "amount": 20, "paid_at": "2024-05-01T11:00:00Z"},
    {"card": "c1", "amount": 5000, "paid_at": "2024-05-01T12:00:00Z"}
]"#;

/// What happened, in sentences.
pub fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    // By the clock of the events the payments above are of this week.
    let settings = Settings { data: directory.path().join("data"), clock: Clock::Events, ..Settings::default() };
    let middlewares: Vec<Arc<dyn Middleware>> =
        vec![Arc::new(Cap { column: "amount", most: 100.0 }), Arc::new(Round { view: "card_payments" })];
    let instance = Instance::open_with(settings, middlewares)?;
    let told = push_and_read(&instance);
    instance.close();
    told
}

fn push_and_read(instance: &Arc<Instance>) -> Result<Vec<String>, Box<dyn Error>> {
    instance.apply(DEFINITIONS, false)?;
    let ack = instance.push(PushRequest {
        source: "payments",
        input: Input::Json(PAYMENTS),
        idempotency_key: None,
        backfill: false,
    })?;
    let response = instance.read(FeatureRequest {
        wanted: Wanted::Service("card_risk".to_owned()),
        entities: vec![("card".to_owned(), Arc::new(StringArray::from(vec!["c1"])))],
        request: vec![],
        as_of: None,
    })?;
    let mean = &response.results[0];
    let report = instance.check(&CheckOptions::default())?;
    Ok(vec![
        format!("pushed: {} of {} rows are applied, the largest of them capped to 100", ack.applied, ack.read),
        format!("served: {} is {}", mean.name, mean.values.as_primitive::<Float64Type>().value(0)),
        format!("checked: {} of {} values differ from history", report.mismatches, report.compared),
    ])
}

pub fn main() -> Result<(), Box<dyn Error>> {
    for sentence in run()? {
        println!("{sentence}");
    }
    Ok(())
}
