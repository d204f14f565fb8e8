//! A shop whose engine can be closed, crashed and opened again on the same disk and metadata.

use crate::expressions::Tiny;
use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::util::display::array_value_to_string;
use serde_json::{Value as Json, json};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use thalweg_aggregate::Status;
use thalweg_definition::{
    About, Aggregation, CheckedManifest, Column, DAY, DataType, Dedup, Duration, Entity, Feature, FeatureView, HOUR,
    Manifest, Source, SourceKind, Window, validate, view_state_key,
};
use thalweg_engine::{
    Ack, AppliedManifest, Clock, Components, Engine, EngineError, EngineSettings, FeatureRequest, FeatureResponse,
    InForce, Input, LoggedBatch, ManualClock, Middleware, NewManifest, PushRequest, Recovered, ViewRuntime, Wanted,
};
use thalweg_store::{Disk, FaultyDisk, Metadata};

/// 2024-01-01T00:00:00Z.
pub const NEW_YEAR: i64 = 1_704_067_200_000_000;
/// Everything a log may be cut to.
pub const ALL: (u64, i64) = (0, i64::MIN);

/// What outlives an engine.
pub struct World {
    pub disk: Arc<FaultyDisk>,
    pub metadata: Arc<Metadata>,
    pub clock: Arc<ManualClock>,
    pub settings: EngineSettings,
    pub middlewares: Vec<Arc<dyn Middleware>>,
    in_force: RefCell<Option<(u64, CheckedManifest)>>,
}

impl World {
    /// An empty disk; the clock stands at the new year; segments are so small that there are many.
    pub fn new() -> Self {
        Self {
            disk: Arc::new(FaultyDisk::new()),
            metadata: Arc::new(Metadata::in_memory().expect("a database in memory")),
            clock: ManualClock::at(NEW_YEAR),
            settings: EngineSettings { log_segment_bytes: 8 << 10, state_segment_bytes: 4 << 10, ..Default::default() },
            middlewares: vec![],
            in_force: RefCell::new(None),
        }
    }

    pub fn try_open(&self) -> Result<(Engine, Recovered), EngineError> {
        let components = Components {
            disk: self.disk.clone(),
            directory: "/data".into(),
            metadata: self.metadata.clone(),
            clock: self.clock.clone(),
            expressions: Arc::new(Tiny),
            middlewares: self.middlewares.clone(),
        };
        let in_force = self.in_force.borrow().clone().map(|(version, checked)| InForce {
            version,
            hash: format!("hash {version}"),
            state_keys: state_keys(&checked.manifest),
            checked,
        });
        Engine::open(self.settings.clone(), components, in_force)
    }

    pub fn open(&self) -> (Engine, Recovered) {
        self.try_open().unwrap_or_else(|error| panic!("the engine was to open: {error}"))
    }

    /// Opens an engine with a manifest whose views are complete from the start.
    pub fn start(&self, manifest: Manifest) -> Engine {
        let (engine, _) = self.open();
        let applied = self.apply(&engine, manifest);
        finish(&engine, &applied.to_build);
        engine
    }

    pub fn apply(&self, engine: &Engine, manifest: Manifest) -> AppliedManifest {
        let checked = validate(manifest, &BTreeMap::new(), &Tiny).unwrap_or_else(|error| panic!("{error}"));
        let applied = engine
            .apply_manifest(NewManifest {
                state_keys: state_keys(&checked.manifest),
                checked: checked.clone(),
                hash: "hash".into(),
                json: "{}".into(),
                protobuf: vec![],
                note: String::new(),
            })
            .unwrap_or_else(|error| panic!("the manifest was to be applied: {error}"));
        *self.in_force.borrow_mut() = Some((applied.version, checked));
        applied
    }

    /// Moves the clock on.
    pub fn pass(&self, micros: i64) {
        self.clock.set(self.clock.now() + micros);
    }

    /// Damages a byte in the middle of the checkpoint files, newest first.
    pub fn damage_checkpoints(&self, many: usize) {
        let directory = Path::new("/data/state");
        let names = self.disk.list(directory).expect("the state's directory");
        let mut checkpoints: Vec<String> = names.into_iter().filter(|name| name.starts_with("checkpoint-")).collect();
        checkpoints.sort();
        assert!(checkpoints.len() >= many, "{checkpoints:?}");
        for name in checkpoints.iter().rev().take(many) {
            let path = directory.join(name);
            let length = self.disk.read(&path).expect("a checkpoint").len() as u64;
            self.disk.damage(&path, length / 2);
        }
    }
}

fn state_keys(manifest: &Manifest) -> HashMap<String, String> {
    manifest.views.iter().map(|view| (view.name.clone(), view_state_key(manifest, view, &Tiny))).collect()
}

pub fn views(engine: &Engine, names: &[String]) -> Vec<Arc<ViewRuntime>> {
    let runtime = engine.runtime().expect("a manifest is in force");
    names.iter().map(|name| runtime.views[name].clone()).collect()
}

pub fn finish(engine: &Engine, names: &[String]) {
    engine.finish_builds(&views(engine, names)).expect("the views are declared complete");
}

pub fn column(name: &str, data_type: DataType) -> Column {
    Column {
        name: name.into(),
        data_type,
        required: false,
        min: None,
        max: None,
        allowed: vec![],
        description: String::new(),
    }
}

pub fn source(name: &str) -> Source {
    let mut user = column("user", DataType::String);
    user.required = true;
    let mut units = column("units", DataType::Int64);
    units.min = Some("-1000".to_owned());
    Source {
        name: name.into(),
        kind: SourceKind::Event,
        columns: vec![
            user,
            column("at", DataType::Timestamp),
            column("id", DataType::Int64),
            column("amount", DataType::Float64),
            units,
            column("status", DataType::String),
        ],
        timestamp: "at".into(),
        arrival_time: None,
        dedup: None,
        filter: None,
        steps: vec![],
        retention: None,
        about: About::default(),
    }
}

/// The same columns, changed by their `id`.
pub fn change_source(name: &str) -> Source {
    let mut source = source(name);
    source.columns.push(column("op", DataType::String));
    source.kind = SourceKind::Change { primary_key: vec!["id".into()], operation: "op".into() };
    source
}

pub fn feature(name: &str, aggregation: Aggregation, input: Option<&str>, windows: Vec<Window>) -> Feature {
    Feature {
        name: name.into(),
        aggregation,
        input: input.map(str::to_owned),
        filter: None,
        by: None,
        windows,
        about: About::default(),
    }
}

pub fn days(days: i64) -> Window {
    Window::Sliding { over: Duration::from_micros(days * DAY), hop: None }
}

pub fn view(name: &str, source: &str, features: Vec<Feature>) -> FeatureView {
    FeatureView {
        name: name.into(),
        entity: "user".into(),
        sources: vec![source.into()],
        filter: None,
        derived: vec![],
        features,
        freshness: None,
        staleness: None,
        declared_retention: None,
        time_zone: None,
        keep_nan: false,
        about: About::default(),
    }
}

/// How often each id counts, over all time.
pub fn ids_view(name: &str, source: &str) -> FeatureView {
    view(name, source, vec![feature("ids", Aggregation::ValueCounts, Some("id"), vec![Window::Unbounded])])
}

/// Sums, ends and counts over a week and over all time.
pub fn mixed_view(name: &str, source: &str) -> FeatureView {
    let windows = || vec![days(7), Window::Tumbling { over: Duration::from_micros(DAY) }, Window::Unbounded];
    let mut by = feature("by_status", Aggregation::Sum, Some("amount"), windows());
    by.by = Some("status".to_owned());
    let mut large = feature("large", Aggregation::Count, None, windows());
    large.filter = Some("amount > 10".to_owned());
    let features = vec![
        feature("total", Aggregation::Sum, Some("amount"), windows()),
        feature("std", Aggregation::Std { ddof: 1 }, Some("amount"), windows()),
        feature("last", Aggregation::LastK { k: 3 }, Some("id"), windows()),
        feature("top", Aggregation::TopK { k: 2 }, Some("units"), windows()),
        feature("most", Aggregation::Max, Some("amount"), windows()),
        by,
        large,
    ];
    view(name, source, features)
}

pub fn manifest(sources: Vec<Source>, views: Vec<FeatureView>) -> Manifest {
    let mut key = column("user", DataType::String);
    key.required = true;
    Manifest {
        project: "shop".into(),
        entities: vec![Entity { name: "user".into(), keys: vec![key], about: About::default() }],
        sources,
        views,
        ..Manifest::default()
    }
}

/// One source, counted by id.
pub fn counted() -> Manifest {
    manifest(vec![source("orders")], vec![ids_view("v", "orders")])
}

/// One source, counted by id, of which each counts once within a day.
pub fn deduplicating() -> Manifest {
    let mut manifest = counted();
    manifest.sources[0].dedup = Some(Dedup { key: vec!["id".into()], within: Duration::from_micros(DAY) });
    manifest
}

pub fn request<'a>(source: &'a str, body: &'a [u8], key: Option<&str>) -> PushRequest<'a> {
    PushRequest { source, input: Input::Json(body), idempotency_key: key.map(str::to_owned), backfill: false }
}

pub fn push_with_key(engine: &Engine, source: &str, rows: &Json, key: Option<&str>) -> Result<Ack, EngineError> {
    engine.push(request(source, rows.to_string().as_bytes(), key))
}

pub fn push(engine: &Engine, source: &str, rows: &Json) -> Ack {
    push_with_key(engine, source, rows, None).unwrap_or_else(|error| panic!("the push was to be taken: {error}"))
}

pub fn backfill(engine: &Engine, source: &str, rows: &Json) -> Ack {
    let body = rows.to_string();
    let pushed = engine.push(PushRequest { backfill: true, ..request(source, body.as_bytes(), None) });
    pushed.unwrap_or_else(|error| panic!("the push was to be taken: {error}"))
}

/// An order of `user` with an id, at a time.
pub fn order(user: &str, id: i64, at: i64) -> Json {
    json!({"user": user, "id": id, "at": at, "amount": id as f64, "units": id % 10, "status": "open"})
}

pub fn try_read(
    engine: &Engine,
    features: &[&str],
    users: &[&str],
    as_of: Option<i64>,
) -> Result<FeatureResponse, EngineError> {
    engine.read_features(FeatureRequest {
        wanted: Wanted::Features(features.iter().map(|name| (*name).to_owned()).collect()),
        entities: vec![("user".to_owned(), Arc::new(StringArray::from(users.to_vec())))],
        request: vec![],
        as_of,
    })
}

pub fn read(engine: &Engine, feature: &str, user: &str) -> FeatureResponse {
    try_read(engine, &[feature], &[user], None).unwrap_or_else(|error| panic!("the read was to be answered: {error}"))
}

pub fn status(response: &FeatureResponse) -> Status {
    response.results[0].statuses[0]
}

/// How often each id counts in the answer's first feature, for its first entity.
pub fn counts(response: &FeatureResponse) -> BTreeMap<i64, i64> {
    let result = &response.results[0];
    assert!(result.errors.is_empty(), "{:?}", result.errors);
    let entries = result.values.as_map().value(0);
    let keys = entries.column(0).as_primitive::<Int64Type>();
    let values = entries.column(1).as_primitive::<Int64Type>();
    keys.values().iter().copied().zip(values.values().iter().copied()).collect()
}

/// Ids that count for a user now; each is to count once.
pub fn ids(engine: &Engine, user: &str) -> Vec<i64> {
    let counts = counts(&read(engine, "v.ids", user));
    assert!(counts.values().all(|count| *count == 1), "{user} has rows twice: {counts:?}");
    counts.into_keys().collect()
}

/// One cell of an answer, in a form to compare.
pub type Told = (String, String, Option<i64>, Status);

/// Everything every view says of some users at `as_of`.
pub fn everything(engine: &Engine, users: &[&str], as_of: i64) -> Vec<Told> {
    let runtime = engine.runtime().expect("a manifest is in force");
    let names: Vec<String> = runtime.checked.outputs().into_iter().map(|(name, _)| name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let response = try_read(engine, &names, users, Some(as_of)).expect("the read is answered");
    let mut told = Vec::new();
    for result in &response.results {
        assert!(result.errors.is_empty(), "{}: {:?}", result.name, result.errors);
        for (row, user) in users.iter().enumerate() {
            let value = if result.values.is_null(row) {
                "null".to_owned()
            } else {
                array_value_to_string(&result.values, row).expect("a value is shown")
            };
            told.push((format!("{} of {user}", result.name), value, result.event_times[row], result.statuses[row]));
        }
    }
    told
}

/// The batches in the log, each with its first sequence.
pub fn logged(engine: &Engine) -> Vec<(u64, LoggedBatch)> {
    let records = engine.log_from(1).map(|record| record.expect("a good record"));
    records.map(|record| (record.first_sequence, LoggedBatch::decode(&record.payload).expect("a batch"))).collect()
}

/// The amounts of the rows in the log, in their order.
pub fn amounts(engine: &Engine) -> Vec<Option<f64>> {
    let column = |batch: &LoggedBatch| batch.rows.column_by_name("amount").expect("a column").clone();
    let columns: Vec<_> = logged(engine).iter().map(|(_, batch)| column(batch)).collect();
    columns.iter().flat_map(|column| column.as_primitive::<Float64Type>().iter()).collect()
}

/// Rows at random: late and in time, of a few users.
pub fn random_orders(random: &mut Random, first_id: i64, now: i64) -> Json {
    let rows = (0..1 + random.below(6) as i64).map(|row| {
        let user = USERS[random.below(USERS.len() as u64) as usize];
        let age = if random.below(3) == 0 { random.below(9 * DAY as u64) } else { random.below(HOUR as u64) };
        let mut order = order(user, first_id + row, now - 1 - age as i64);
        order["amount"] = json!(random.below(400) as f64 / 8.0);
        order["status"] = json!(["open", "shut", "late"][random.below(3) as usize]);
        order
    });
    Json::Array(rows.collect())
}

pub const USERS: [&str; 6] = ["ann", "bob", "cem", "dia", "eve", "fay"];

/// SplitMix64, so that a seed is all a test depends on.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Tells which seed a panic came from.
pub struct SeedNote(pub u64);

impl Drop for SeedNote {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}
