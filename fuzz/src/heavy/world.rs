//! A running instance with something in it, on files in memory where there are such, for the targets that need one.

use arrow::array::RecordBatch;
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use thalweg_engine::{Input, PushRequest};
use thalweg_server::{Clock, Instance, Settings};
use tokio::runtime::Runtime;

/// After so many inputs the instance is another one, so that what they wrote does not pile up.
const INPUTS: u64 = 20_000;

pub struct World {
    pub instance: Arc<Instance>,
    pub tokio: Runtime,
    directory: PathBuf,
    left: u64,
}

static WORLD: Mutex<Option<World>> = Mutex::new(None);

/// Lends the world to one input.
pub fn with<T>(work: impl FnOnce(&World) -> T) -> T {
    // An input that broke something leaves the world as it was: it is told, and nothing is built on it.
    let mut held = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    if held.as_ref().is_none_or(|world| world.left == 0) {
        drop(held.take());
    }
    let world = held.get_or_insert_with(World::new);
    world.left -= 1;
    work(world)
}

/// A folder of this process alone. `THALWEG_FUZZ_SCRATCH` says where; whoever sets it removes it.
pub fn scratch() -> PathBuf {
    let root = std::env::var_os("THALWEG_FUZZ_SCRATCH").map(PathBuf::from);
    let memory = || Some(PathBuf::from("/dev/shm")).filter(|path| path.is_dir());
    let root = root.or_else(memory).unwrap_or_else(std::env::temp_dir);
    root.join(format!("thalweg-fuzz-{}", std::process::id()))
}

/// Closes the world, and removes the folder of this process.
pub fn clean_up() {
    drop(WORLD.lock().unwrap_or_else(PoisonError::into_inner).take());
    remove(&scratch());
}

impl World {
    fn new() -> Self {
        let directory = scratch().join("data");
        remove(&directory);
        let settings =
            Settings { data: directory.clone(), clock: Clock::Events, agreement_interval: None, ..Settings::default() };
        let instance = Instance::open(settings).expect("an empty folder");
        instance.apply(&definitions().to_string(), false).expect("the definitions are valid");
        let world = Self {
            instance,
            tokio: tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
            directory,
            left: INPUTS,
        };
        let payments = json!([
            {"card": "c1", "amount": 10.0, "paid_at": "2024-03-01T10:00:00Z", "tags": ["a"]},
            {"card": "c1", "amount": 20.0, "paid_at": "2024-03-01T11:00:00Z", "tags": []},
            {"card": "c2", "amount": 5.0, "paid_at": "2024-03-01T12:00:00Z", "tags": null},
        ]);
        let visits = json!([
            {"shop": 7, "user": "a:b%", "at": "2024-03-01T12:00:00Z"},
            {"shop": 7, "user": "later", "at": "2024-03-01T13:00:00Z"},
        ]);
        world.push("payments", &payments);
        world.push("visits", &visits);
        world
    }

    fn push(&self, source: &str, rows: &Json) {
        let text = rows.to_string();
        let input = Input::Json(text.as_bytes());
        let pushed = self.instance.push(PushRequest { source, input, idempotency_key: None, backfill: true });
        assert_eq!(pushed.expect("the rows are good").quarantined, 0);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.instance.close();
        remove(&self.directory);
    }
}

fn remove(directory: &Path) {
    if let Err(error) = std::fs::remove_dir_all(directory) {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}: {error}", directory.display());
    }
}

/// Columns as one table, where they are of one length.
pub fn table(columns: &[(String, arrow::array::ArrayRef)]) -> Option<RecordBatch> {
    RecordBatch::try_from_iter(columns.iter().map(|(name, column)| (name, column.clone()))).ok()
}

fn definitions() -> Json {
    let key = |name: &str, data_type: &str| json!({"name": name, "type": data_type});
    let column = |name: &str, data_type: &str| json!({"name": name, "type": data_type, "required": true});
    let over_7d = json!([{"kind": "sliding", "over": "7d"}]);
    json!({
        "project": "fuzz",
        "entities": [
            {"name": "card", "keys": [key("card", "string")]},
            {"name": "customer", "keys": [key("shop", "int64"), key("user", "string")]},
        ],
        "sources": [
            {"name": "payments", "kind": "SOURCE_KIND_EVENT", "timestamp": "paid_at",
             "columns": [column("card", "string"), column("amount", "float64"), column("paid_at", "timestamp"),
                key("tags", "list<string>"), key("place", "vector<float32,2>"), key("price", "decimal(10,2)")]},
            {"name": "visits", "kind": "SOURCE_KIND_EVENT", "timestamp": "at",
             "dedup": {"key": ["shop", "user", "at"], "within": "1h"},
             "columns": [column("shop", "int64"), column("user", "string"), column("at", "timestamp")]},
        ],
        "views": [
            {"name": "card_payments", "entity": "card", "sources": ["payments"], "features": [
                {"name": "attempts", "aggregation": "count", "windows": over_7d},
                {"name": "amount_mean", "aggregation": "mean", "input": "amount", "windows": over_7d},
                {"name": "amounts", "aggregation": "last_k", "input": "amount", "k": 2, "windows": over_7d},
                {"name": "place", "aggregation": "latest", "input": "place"},
                {"name": "by_price", "aggregation": "count", "by": "price", "windows": over_7d},
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
            {"name": "cards", "features": ["card_payments.attempts_7d", "card_payments.amount_mean_7d",
                "card_payments.amounts_7d", "card_payments.place", "card_payments.by_price_7d"]},
            {"name": "card_risk", "features": ["card_payments.amount_mean_7d", "amount_ratio"]},
            {"name": "visits", "features": ["customer_visits.visits_7d", "customer_visits.newest"]},
        ],
        "direct_features": [
            {"name": "clicks", "entity": "card", "primitive": "int", "keep_previous": 2,
             "about": {"namespace": "users"}},
            {"name": "seen", "entity": "customer", "primitive": "[string]", "about": {"namespace": "users"}},
            {"name": "spend", "entity": "card", "primitive": "float", "aggregations": ["count", "sum", "max"],
             "over": "1h", "about": {"namespace": "users"}},
        ],
    })
}
