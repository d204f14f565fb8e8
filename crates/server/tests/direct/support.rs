//! An instance with directly written features of users, and short ways to write and read them.

use serde_json::{Value as Json, json};
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration as Time, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use thalweg_definition::{
    About, Aggregation, Column, DataType, DirectFeature, Duration, Entity, Fetch, HOUR, Manifest, OnDemandFeature,
    Primitive,
};
use thalweg_engine::Middleware;
use thalweg_server::{
    Clock, DirectAck, DirectAnswer, DirectOperation, DirectValue, DirectWrite, Door, Instance, ServerError, Session,
    Settings,
};

pub struct World {
    directory: TempDir,
    settings: Settings,
    pub instance: Running,
}

/// An instance that is closed at the end.
pub struct Running(Arc<Instance>);

impl Running {
    fn start(settings: &Settings, middlewares: Vec<Arc<dyn Middleware>>) -> Self {
        Self(Instance::open_with(settings.clone(), middlewares).unwrap_or_else(|error| panic!("{error}")))
    }
}

impl Deref for Running {
    type Target = Arc<Instance>;

    fn deref(&self) -> &Arc<Instance> {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl World {
    pub fn new(direct: Vec<DirectFeature>) -> Self {
        Self::with(direct, vec![], Clock::System)
    }

    pub fn with(direct: Vec<DirectFeature>, on_demand: Vec<OnDemandFeature>, clock: Clock) -> Self {
        Self::open(direct, on_demand, clock, vec![])
    }

    /// One whose writes a middleware takes part in.
    pub fn watched(direct: Vec<DirectFeature>, middleware: Arc<dyn Middleware>) -> Self {
        Self::open(direct, vec![], Clock::System, vec![middleware])
    }

    fn open(
        direct: Vec<DirectFeature>,
        on_demand: Vec<OnDemandFeature>,
        clock: Clock,
        middlewares: Vec<Arc<dyn Middleware>>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { data: directory.path().join("data"), clock, ..Settings::default() };
        let instance = Running::start(&settings, middlewares);
        let world = Self { directory, settings, instance };
        world.apply(direct, on_demand);
        world
    }

    /// Puts these features in force, whatever that means for those before.
    pub fn apply(&self, direct: Vec<DirectFeature>, on_demand: Vec<OnDemandFeature>) {
        let manifest = Manifest {
            project: "shop".into(),
            entities: vec![Entity { name: "user".into(), keys: vec![key()], about: About::default() }],
            direct,
            on_demand,
            ..Manifest::default()
        };
        self.instance.apply(&thalweg_wire::compile(&manifest).json, true).unwrap_or_else(|error| panic!("{error}"));
    }

    pub fn restarted(self) -> Self {
        let Self { directory, settings, instance } = self;
        drop(instance);
        let instance = Running::start(&settings, vec![]);
        Self { directory, settings, instance }
    }

    pub fn session(&self) -> Session {
        Session::enter(&self.instance, Door::Http, None, None).unwrap()
    }

    pub fn try_write(&self, write: DirectWrite) -> Result<DirectAck, ServerError> {
        self.session().direct_write(write)
    }

    pub fn write(&self, operation: DirectOperation, name: &str, user: &str, value: Json) -> DirectAck {
        self.try_write(write(operation, name, user, value)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Why a write is refused.
    pub fn refused(&self, write: DirectWrite) -> String {
        let error = self.try_write(write).expect_err("it was to be refused");
        assert_eq!(error.code(), "INVALID", "{error}");
        error.to_string()
    }

    pub fn get(&self, selector: &str, user: &str, as_of: Option<i64>) -> Result<DirectAnswer, ServerError> {
        self.session().direct_get(selector, &[("user".to_owned(), json!(user))], as_of)
    }

    /// The one value of a selector.
    pub fn one(&self, selector: &str, user: &str) -> DirectValue {
        let mut answer = self.get(selector, user, None).unwrap_or_else(|error| panic!("{selector}: {error}"));
        assert_eq!(answer.values.len(), 1, "{answer:?}");
        answer.values.remove(0)
    }

    pub fn value(&self, selector: &str, user: &str) -> Json {
        self.one(selector, user).value
    }
}

fn key() -> Column {
    Column {
        name: "user".into(),
        data_type: DataType::String,
        required: true,
        min: None,
        max: None,
        allowed: vec![],
        description: String::new(),
    }
}

pub fn write(operation: DirectOperation, name: &str, user: &str, value: Json) -> DirectWrite {
    DirectWrite {
        selector: format!("users.{name}"),
        keys: vec![("user".to_owned(), json!(user))],
        operation,
        value,
        at: None,
        idempotency_key: None,
    }
}

/// A feature of users, in the namespace of users.
pub fn feature(name: &str, primitive: &str) -> DirectFeature {
    let primitive: Primitive = primitive.parse().unwrap();
    DirectFeature {
        name: name.into(),
        entity: "user".into(),
        primitive,
        keep_previous: 0,
        aggregations: vec![],
        over: None,
        freshness: None,
        staleness: None,
        timeout: None,
        fetch: None,
        about: About { namespace: "users".into(), ..About::default() },
    }
}

/// How much was spent in the last hour.
pub fn spend() -> DirectFeature {
    DirectFeature {
        aggregations: vec![Aggregation::Count, Aggregation::Sum, Aggregation::Max],
        over: Some(Duration::from_micros(HOUR)),
        ..feature("spend", "float")
    }
}

/// A score that is asked for at `url`.
pub fn fetched(url: &str, freshness: Option<Time>, timeout: Time) -> DirectFeature {
    DirectFeature {
        freshness: freshness.map(micros),
        timeout: Some(micros(timeout)),
        fetch: Some(Fetch { url: format!("{url}/scores/{{user}}"), field: "/score".into(), headers: vec![] }),
        ..feature("score", "float")
    }
}

pub fn micros(time: Time) -> Duration {
    Duration::from_micros(i64::try_from(time.as_micros()).unwrap())
}

/// Microseconds since the epoch.
pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}
