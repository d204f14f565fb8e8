//! Middlewares of an instance: in their order, where they are concerned, with the check none the wiser.

#[allow(dead_code, reason = "its `main` is for `cargo run --example middleware`")]
#[path = "../../examples/middleware.rs"]
mod example;

use arrow::array::{AsArray, Float64Array, StringArray};
use arrow::datatypes::Float64Type;
use example::{Cap, Round};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tempfile::TempDir;
use thalweg_definition::{CheckedManifest, Source};
use thalweg_engine::{
    Ack, EngineError, FeatureRequest, FeatureResponse, Input, Middleware, PushRequest, Rows, Runtime, SourceRuntime,
    Wanted,
};
use thalweg_server::{CheckOptions, Clock, Instance, ServerError, Settings};

/// An instance on a directory of its own, which it leaves in order.
struct Running {
    instance: Arc<Instance>,
    _directory: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.instance.close();
    }
}

/// One with the definitions below in force; `steps` are those of the payments.
fn start(middlewares: Vec<Arc<dyn Middleware>>, steps: &Json) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        data: directory.path().join("data"),
        clock: Clock::Events,
        serve_log: Some(1.0),
        ..Settings::default()
    };
    let instance = Instance::open_with(settings, middlewares).unwrap_or_else(|error| panic!("{error}"));
    instance.apply(&definitions(steps).to_string(), false).unwrap_or_else(|error| panic!("{error}"));
    Running { instance, _directory: directory }
}

fn definitions(steps: &Json) -> Json {
    let source = |name: &str, steps: &Json| {
        json!({
            "name": name, "kind": "SOURCE_KIND_EVENT", "timestamp": "paid_at", "steps": steps,
            "columns": [
                {"name": "card", "type": "string", "required": true},
                {"name": "amount", "type": "float64", "min": "0"},
                {"name": "paid_at", "type": "timestamp", "required": true},
            ],
        })
    };
    let view = |name: &str, source: &str| {
        let windows = json!([{"kind": "sliding", "over": "7d"}]);
        json!({
            "name": name, "entity": "card", "sources": [source],
            "features": [{"name": "amount_mean", "aggregation": "mean", "input": "amount", "windows": windows}],
        })
    };
    json!({
        "project": "payments",
        "entities": [{"name": "card", "keys": [{"name": "card", "type": "string"}]}],
        "sources": [source("payments", steps), source("refunds", &json!([]))],
        "views": [view("card_payments", "payments"), view("card_refunds", "refunds")],
        "services": [
            {"name": "paid", "features": ["card_payments.amount_mean_7d"]},
            {"name": "refunded", "features": ["card_refunds.amount_mean_7d"]},
        ],
    })
}

fn row(amount: f64, hour: u32) -> Json {
    json!({"card": "c1", "amount": amount, "paid_at": format!("2024-05-01T{hour:02}:00:00Z")})
}

fn push(running: &Running, source: &str, rows: &Json) -> Result<Ack, ServerError> {
    let body = rows.to_string();
    let input = Input::Json(body.as_bytes());
    running.instance.push(PushRequest { source, input, idempotency_key: None, backfill: false })
}

fn read(running: &Running, service: &str) -> Result<f64, ServerError> {
    let response = running.instance.read(FeatureRequest {
        wanted: Wanted::Service(service.to_owned()),
        entities: vec![("card".to_owned(), Arc::new(StringArray::from(vec!["c1"])))],
        request: vec![],
        as_of: None,
    })?;
    Ok(response.results[0].values.as_primitive::<Float64Type>().value(0))
}

#[test]
fn the_example_does_what_it_says() {
    let told = example::run().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        told,
        [
            "pushed: 3 of 3 rows are applied, the largest of them capped to 100",
            "served: card_payments.amount_mean_7d is 43.33",
            "checked: 0 of 1 values differ from history",
        ]
    );
}

/// Makes amounts ten times as large.
struct Scale(i32);

impl Middleware for Scale {
    fn name(&self) -> &str {
        "scale"
    }

    fn priority(&self) -> i32 {
        self.0
    }

    fn concerns_source(&self, _: &Source) -> bool {
        true
    }

    fn before_set(&self, _: &SourceRuntime, rows: &mut Rows<'_>) -> Result<(), EngineError> {
        let scaled: Float64Array = rows.batch()["amount"].as_primitive::<Float64Type>().unary(|amount| amount * 10.0);
        rows.replace("amount", Arc::new(scaled)).map_err(EngineError::Invalid)
    }
}

#[test]
fn the_lower_priority_runs_first() {
    for (priority, mean) in [(0, 100.0), (20, 500.0)] {
        let cap = Arc::new(Cap { column: "amount", most: 100.0 });
        let running = start(vec![cap, Arc::new(Scale(priority))], &json!([]));
        push(&running, "payments", &row(50.0, 10)).unwrap();
        assert_eq!(read(&running, "paid").unwrap(), mean, "scaled at {priority}, capped at 10");
    }
}

/// Counts its calls, and refuses when it is told to. It takes part where payments do.
#[derive(Default)]
struct Warden {
    refuses: AtomicBool,
    calls: AtomicUsize,
}

impl Warden {
    fn call(&self) -> Result<(), EngineError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let refuses = self.refuses.load(Ordering::SeqCst);
        if refuses { Err(EngineError::Invalid("not on a Sunday".to_owned())) } else { Ok(()) }
    }
}

impl Middleware for Warden {
    fn name(&self) -> &str {
        "warden"
    }

    fn concerns_source(&self, source: &Source) -> bool {
        source.name == "payments"
    }

    fn concerns_read(&self, _: &CheckedManifest, features: &[String]) -> bool {
        features.iter().any(|feature| feature.starts_with("card_payments."))
    }

    fn before_get(&self, _: &Runtime, _: &mut FeatureRequest) -> Result<(), EngineError> {
        self.call()
    }

    fn after_get(&self, _: &Runtime, _: &mut FeatureResponse) -> Result<(), EngineError> {
        self.call()
    }

    fn before_set(&self, _: &SourceRuntime, _: &mut Rows<'_>) -> Result<(), EngineError> {
        self.call()
    }

    fn after_set(&self, _: &Ack) {
        self.calls.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn one_that_refuses_is_named_and_one_that_is_not_concerned_is_not_called() {
    let warden = Arc::new(Warden::default());
    let running = start(vec![warden.clone()], &json!([]));
    let called = || warden.calls.swap(0, Ordering::SeqCst);
    push(&running, "payments", &row(50.0, 10)).unwrap();
    assert_eq!(called(), 2, "before and after");
    read(&running, "paid").unwrap();
    assert_eq!(called(), 2, "before and after");
    warden.refuses.store(true, Ordering::SeqCst);
    for error in [push(&running, "payments", &row(5.0, 11)).unwrap_err(), read(&running, "paid").unwrap_err()] {
        assert_eq!((error.code(), error.to_string()), ("INVALID", "middleware `warden`: not on a Sunday".to_owned()));
    }
    assert_eq!(called(), 2, "once each");
    push(&running, "refunds", &row(5.0, 12)).unwrap();
    assert_eq!(read(&running, "refunded").unwrap(), 5.0);
    assert_eq!(called(), 0);
    warden.refuses.store(false, Ordering::SeqCst);
    assert_eq!(read(&running, "paid").unwrap(), 50.0, "nothing of the refused push was taken");
}

/// Sends away what is dear, until it is told that this is fine.
#[derive(Default)]
struct Limit(AtomicBool);

impl Middleware for Limit {
    fn name(&self) -> &str {
        "limit"
    }

    fn priority(&self) -> i32 {
        1
    }

    fn concerns_source(&self, source: &Source) -> bool {
        source.name == "payments"
    }

    fn before_set(&self, source: &SourceRuntime, rows: &mut Rows<'_>) -> Result<(), EngineError> {
        assert_eq!(source.definition.name, "payments");
        if self.0.load(Ordering::SeqCst) {
            return Ok(());
        }
        let amounts = rows.batch()["amount"].as_primitive::<Float64Type>();
        let dear = amounts.iter().enumerate().filter(|(_, amount)| *amount > Some(1000.0));
        let dear: Vec<(usize, String)> = dear.map(|(row, _)| (row, "too dear".to_owned())).collect();
        rows.reject(&dear, Some("amount")).map_err(EngineError::Invalid)
    }
}

#[test]
fn a_row_sent_away_waits_as_it_came_and_comes_back() {
    let limit = Arc::new(Limit::default());
    let running = start(vec![Arc::new(Scale(0)), limit.clone()], &json!([]));
    let rows = json!([row(10.0, 10), row(500.0, 11), row(30.0, 12)]);
    let ack = push(&running, "payments", &rows).unwrap();
    assert_eq!((ack.read, ack.applied, ack.quarantined), (3, 2, 1));
    let error = &ack.errors[0];
    assert_eq!((error.row, error.column.as_deref(), error.reason.as_str()), (1, Some("amount"), "too dear"));
    let held = running.instance.engine().quarantined("payments", 10, 0).unwrap();
    let raw: Vec<Json> = held.iter().map(|row| serde_json::from_slice(&row.row.raw).unwrap()).collect();
    assert_eq!(raw, [rows[1].clone()], "as it came, before it was scaled");
    limit.0.store(true, Ordering::SeqCst);
    let again = running.instance.replay_quarantine("payments").unwrap();
    assert_eq!((again.read, again.applied, again.quarantined), (1, 1, 0));
    assert_eq!(read(&running, "paid").unwrap(), 1800.0, "each was scaled once");
}

#[test]
fn what_goes_out_is_not_what_the_check_compares() {
    let running = start(vec![Arc::new(Round { view: "card_payments" })], &json!([]));
    push(&running, "payments", &json!([row(10.0, 10), row(20.0, 11), row(100.0, 12)])).unwrap();
    assert_eq!(read(&running, "paid").unwrap(), 43.33);
    let report = running.instance.check(&CheckOptions::default()).unwrap();
    assert_eq!((report.rows, report.compared, report.mismatches), (1, 1, 0), "{:?}", report.samples);
}

#[test]
fn declared_steps_are_sql_and_stand_among_the_middlewares() {
    let steps = json!([
        {"name": "costs", "priority": -5, "validate": {"expression": "amount > 0", "reason": "it costs nothing"}},
        {"name": "with_tax", "priority": 5, "transform": {"column": "amount", "expression": "amount * 1.25"}},
    ]);
    let running = start(vec![Arc::new(Scale(0)), Arc::new(Cap { column: "amount", most: 100.0 })], &steps);
    let ack = push(&running, "payments", &json!([row(4.0, 10), row(0.0, 11), row(20.0, 12)])).unwrap();
    assert_eq!((ack.read, ack.applied, ack.quarantined), (3, 2, 1));
    assert_eq!((ack.errors[0].row, ack.errors[0].reason.as_str()), (1, "it costs nothing"));
    // 4 becomes 40 and then 50; 20 becomes 200, 250, and no more than 100.
    assert_eq!(read(&running, "paid").unwrap(), 75.0);
    let report = running.instance.check(&CheckOptions::default()).unwrap();
    assert_eq!((report.compared, report.mismatches), (1, 0), "history has what the steps made: {:?}", report.samples);
}
