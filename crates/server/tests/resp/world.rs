//! An instance with something in it, and connections to its Redis door.

use super::client::Client;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use tempfile::TempDir;
use thalweg_engine::{Input, PushRequest};
use thalweg_server::resp::{Common, converse};
use thalweg_server::{Clock, Instance, Settings};
use tokio::io::duplex;
use tokio::sync::watch;

/// Bytes that a connection in memory holds in each direction.
const IN_FLIGHT: usize = 4096;

pub struct World {
    pub instance: Arc<Instance>,
    _directory: TempDir,
}

/// The door within an async runtime.
pub struct Door {
    common: Arc<Common>,
    pub stop: watch::Sender<bool>,
}

impl World {
    /// Payments of two cards an hour and more before the newest row, and visits by shop and user.
    pub fn of_events() -> Self {
        let world = Self::open(Clock::Events);
        world.instance.apply(&definitions().to_string(), false).unwrap();
        world.push(
            "payments",
            &json!([
                {"card": "c1", "amount": 10.0, "paid_at": "2024-03-01T10:00:00Z"},
                {"card": "c1", "amount": 20.0, "paid_at": "2024-03-01T11:00:00Z"},
                {"card": "c2", "amount": 5.0, "paid_at": "2024-03-01T12:00:00Z"},
            ]),
        );
        world.push(
            "visits",
            &json!([
                {"shop": 7, "user": "a:b%", "at": "2024-03-01T12:00:00Z"},
                {"shop": 7, "user": "later", "at": "2024-03-01T13:00:00Z"},
            ]),
        );
        world
    }

    pub fn open(clock: Clock) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { data: directory.path().join("data"), clock, ..Settings::default() };
        Self { instance: Instance::open(settings).unwrap(), _directory: directory }
    }

    fn push(&self, source: &str, rows: &Json) {
        let text = rows.to_string();
        let input = Input::Json(text.as_bytes());
        let ack = self.instance.push(PushRequest { source, input, idempotency_key: None, backfill: true }).unwrap();
        assert_eq!(ack.applied, ack.read);
    }

    pub fn run(&self, test: impl AsyncFnOnce(Door)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (stop, _) = watch::channel(false);
        runtime.block_on(test(Door { common: Common::new(self.instance.clone()), stop }));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.instance.close();
    }
}

impl Door {
    pub fn connect(&self) -> Client {
        let (near, far) = duplex(IN_FLIGHT);
        tokio::spawn(converse(self.common.clone(), far, None, self.stop.subscribe()));
        Client::new(near)
    }
}

fn definitions() -> Json {
    let key = |name: &str, data_type: &str| json!({"name": name, "type": data_type});
    let column = |name: &str, data_type: &str| json!({"name": name, "type": data_type, "required": true});
    let over_7d = json!([{"kind": "sliding", "over": "7d"}]);
    json!({
        "project": "payments",
        "entities": [
            {"name": "card", "keys": [key("card", "string")]},
            {"name": "customer", "keys": [key("shop", "int64"), key("user", "string")]},
        ],
        "sources": [
            {"name": "payments", "kind": "SOURCE_KIND_EVENT", "timestamp": "paid_at",
             "columns": [column("card", "string"), column("amount", "float64"), column("paid_at", "timestamp")]},
            {"name": "visits", "kind": "SOURCE_KIND_EVENT", "timestamp": "at",
             "columns": [column("shop", "int64"), column("user", "string"), column("at", "timestamp")]},
        ],
        "views": [
            {"name": "card_payments", "entity": "card", "sources": ["payments"], "features": [
                {"name": "attempts", "aggregation": "count", "windows": over_7d},
                {"name": "amount_mean", "aggregation": "mean", "input": "amount", "windows": over_7d},
                {"name": "amounts", "aggregation": "last_k", "input": "amount", "k": 2, "windows": over_7d},
            ]},
            {"name": "customer_visits", "entity": "customer", "sources": ["visits"], "features": [
                {"name": "newest", "aggregation": "latest", "input": "at"},
                {"name": "visits", "aggregation": "count", "windows": over_7d},
            ]},
        ],
        "on_demand": [
            {"name": "amount_ratio", "expression": "request.amount / card_payments.amount_mean_7d",
             "request": [{"name": "amount", "type": "float64"}]},
        ],
        "services": [
            {"name": "cards", "features": [
                "card_payments.attempts_7d", "card_payments.amount_mean_7d", "card_payments.amounts_7d"]},
            {"name": "card_risk", "features": ["card_payments.amount_mean_7d", "amount_ratio"]},
            {"name": "visits", "features": ["customer_visits.visits_7d", "customer_visits.newest"]},
        ],
    })
}
