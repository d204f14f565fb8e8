//! The request-time source: a directly written feature whose value is fetched from a service over HTTP when a read
//! finds it older than its freshness allows.
//!
//! ```text
//! read of now ─▶ keys that are too old ─▶ one flight a key ─▶ GET ─▶ field ─▶ `set`, durable ─▶ the read goes on
//!                                            └ not within the feature's timeout: with what is stored ─▶┘
//! ```
//! What is fetched is written like any other value before it is answered, so that history and training sets have what
//! reads were answered with.

mod ask;
mod flights;
mod guard;
mod url;

use super::Instance;
use super::direct::value_json;
use arrow::array::Array;
use ask::Ask;
use flights::{Flight, Flights, Joined};
use serde_json::Value as Json;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use thalweg_aggregate::{ColumnReader, KeyEncoder, Value, array_from_values};
use thalweg_definition::{CheckedManifest, DataType, DirectFeature, Entity};
use thalweg_engine::limits::MAX_READ_ENTITIES;
use thalweg_engine::{EngineError, FeatureRequest, Middleware, Runtime, Wanted};

/// How long a service may take where the feature does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(500);

/// What became of the values that reads needed, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FetchCounts {
    /// The service was asked and its answer written.
    pub fetched: u64,
    /// The stored value was fresh enough.
    pub cached: u64,
    /// The service's answer was none, or could not be used.
    pub failed: u64,
    /// There was no answer in time.
    pub timed_out: u64,
    /// The service was not asked, as it had just failed.
    pub held_back: u64,
}

#[derive(Default)]
struct Counters {
    fetched: AtomicU64,
    cached: AtomicU64,
    failed: AtomicU64,
    timed_out: AtomicU64,
    held_back: AtomicU64,
}

/// The middleware that fetches before reads. It is made before the engine, and told afterwards whose it is.
pub struct RequestTimeSource {
    instance: OnceLock<Weak<Instance>>,
    counters: Arc<Counters>,
    flights: Flights,
}

impl RequestTimeSource {
    pub fn new() -> Arc<Self> {
        let counters = Arc::new(Counters::default());
        Arc::new(Self { instance: OnceLock::new(), flights: Flights::new(counters.clone()), counters })
    }

    /// Says for which instance it fetches; until then it leaves reads alone.
    pub fn attach(&self, instance: &Arc<Instance>) {
        // Only the first instance counts, and there is only one.
        let _ = self.instance.set(Arc::downgrade(instance));
    }

    pub fn counts(&self) -> FetchCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FetchCounts {
            fetched: read(&self.counters.fetched),
            cached: read(&self.counters.cached),
            failed: read(&self.counters.failed),
            timed_out: read(&self.counters.timed_out),
            held_back: read(&self.counters.held_back),
        }
    }

    /// Sends for nothing more, and waits for what is under way: at most the longest timeout.
    pub fn stop(&self) {
        self.flights.stop();
    }

    /// Sends for the values of one feature that are too old; the flights to wait for, each with its end.
    fn send(
        &self,
        instance: &Arc<Instance>,
        runtime: &Runtime,
        feature: &DirectFeature,
        request: &FeatureRequest,
        began: Instant,
    ) -> Vec<(Arc<Flight>, Instant)> {
        let object = feature.object_name();
        let (Some(view), Some(fetch)) = (runtime.views.get(&object), &feature.fetch) else { return Vec::new() };
        let Some(keys) = Keys::of(&view.entity, request) else { return Vec::new() };
        let deadline = began + timeout(feature);
        let now = instance.engine().now();
        let value = view.plan.output(DirectFeature::VALUE);
        let (mut flights, mut seen, mut encoded) = (Vec::new(), HashSet::new(), Vec::new());
        for row in 0..keys.rows {
            if !keys.encoder.key(row, &mut encoded) || !seen.insert(encoded.clone()) {
                continue;
            }
            // While the view is being filled the read itself says so.
            let Ok(answers) = instance.engine().newest(view, &encoded) else { return flights };
            let newest = value.and_then(|value| answers.get(value)).and_then(|answer| answer.event_time);
            if is_fresh(feature, newest, now) {
                count(&self.counters.cached);
                continue;
            }
            let ask = || Ask {
                instance: Arc::downgrade(instance),
                selector: feature.selector(),
                fetch: fetch.clone(),
                entity: view.entity.clone(),
                key: keys.values(row),
                deadline,
            };
            match self.flights.join(&object, &encoded, deadline, ask) {
                Joined::Flight(flight) => flights.push((flight, deadline)),
                Joined::HeldBack => count(&self.counters.held_back),
                Joined::TooLate => count(&self.counters.timed_out),
            }
        }
        flights
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Middleware for RequestTimeSource {
    fn name(&self) -> &str {
        "request_time_source"
    }

    fn concerns_read(&self, checked: &CheckedManifest, features: &[String]) -> bool {
        !fetched(checked, features).is_empty()
    }

    fn may_block(&self) -> bool {
        true
    }

    fn before_get(&self, runtime: &Runtime, request: &mut FeatureRequest) -> Result<(), EngineError> {
        if request.as_of.is_some() {
            return Ok(());
        }
        let Some(instance) = self.instance.get().and_then(Weak::upgrade) else { return Ok(()) };
        let features = match &request.wanted {
            Wanted::Features(features) => features.as_slice(),
            Wanted::Service(name) => match runtime.checked.manifest.service(name) {
                Some(service) => service.features.as_slice(),
                None => return Ok(()),
            },
        };
        let began = Instant::now();
        let wanted = fetched(&runtime.checked, features);
        let send = |feature: &DirectFeature| self.send(&instance, runtime, feature, request, began);
        let flights: Vec<(Arc<Flight>, Instant)> = wanted.into_iter().flat_map(send).collect();
        // All fly at once, so that together they take no longer than the one that may take longest.
        for (flight, deadline) in flights {
            flight.wait_until(deadline);
        }
        Ok(())
    }
}

/// The fetched features that a read needs, also those that its on-demand features are made from.
fn fetched<'a>(checked: &'a CheckedManifest, features: &[String]) -> Vec<&'a DirectFeature> {
    let manifest = &checked.manifest;
    let any = manifest.direct.iter().filter(|feature| feature.fetch.is_some() && !feature.is_windowed());
    let mut any = any.peekable();
    if any.peek().is_none() {
        return Vec::new();
    }
    let (mut views, mut seen) = (HashSet::new(), HashSet::new());
    let mut open: Vec<&str> = features.iter().map(String::as_str).collect();
    while let Some(reference) = open.pop() {
        if let Some((view, _)) = reference.split_once('.') {
            views.insert(view);
        } else if seen.insert(reference)
            && let Some(at) = manifest.on_demand.iter().position(|feature| feature.name == reference)
        {
            open.extend(checked.on_demand[at].references.iter().map(String::as_str));
        }
    }
    any.filter(|feature| views.contains(feature.object_name().as_str())).collect()
}

/// Whether a value of this event time needs no fetching. Without a freshness every read fetches.
fn is_fresh(feature: &DirectFeature, newest: Option<i64>, now: i64) -> bool {
    match (feature.freshness, newest) {
        (Some(freshness), Some(newest)) => now.saturating_sub(newest) <= freshness.micros(),
        _ => false,
    }
}

fn timeout(feature: &DirectFeature) -> Duration {
    feature.timeout.map_or(DEFAULT_TIMEOUT, |timeout| Duration::from_micros(timeout.micros().unsigned_abs()))
}

/// The keys of an entity in a read.
struct Keys<'a> {
    entity: &'a Entity,
    encoder: KeyEncoder,
    readers: Vec<ColumnReader>,
    rows: usize,
}

impl<'a> Keys<'a> {
    /// None where the read does not have them as they must be: the engine refuses it then, and says why.
    fn of(entity: &'a Entity, request: &FeatureRequest) -> Option<Self> {
        let column =
            |name: &str| request.entities.iter().find(|(own, _)| own == name).map(|(_, column)| column.clone());
        let columns = entity.keys.iter().map(|key| column(&key.name)).collect::<Option<Vec<_>>>()?;
        let encoder = KeyEncoder::new(entity, &columns).ok()?;
        let readers =
            entity.keys.iter().zip(&columns).map(|(key, column)| ColumnReader::new(column, &key.data_type).ok());
        let readers = readers.collect::<Option<Vec<_>>>()?;
        let rows = columns.iter().map(|column| column.len()).min().filter(|rows| *rows <= MAX_READ_ENTITIES)?;
        Some(Self { entity, encoder, readers, rows })
    }

    fn values(&self, row: usize) -> Vec<(String, Value)> {
        let keys = self.entity.keys.iter().zip(&self.readers);
        keys.map(|(key, reader)| (key.name.clone(), reader.cell(row).to_value())).collect()
    }
}

/// A value in its JSON form.
fn json_of(value: &Value, data_type: &DataType) -> Json {
    value_json(&array_from_values(std::iter::once(value), data_type), 0, data_type)
}
