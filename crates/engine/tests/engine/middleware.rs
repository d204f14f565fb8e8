//! Middlewares: who is called when, what they may change, and that a bad one spoils only the request it was called for.

use crate::support::{
    NEW_YEAR, World, amounts, counted, counts, ids, ids_view, logged, manifest, order, push, push_with_key, read,
    request, source, try_read,
};
use arrow::array::{ArrayRef, Float64Array, StringArray};
use serde_json::json;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use thalweg_definition::{CheckedManifest, Manifest, Source};
use thalweg_engine::{
    Ack, Engine, EngineError, FeatureRequest, FeatureResponse, Middleware, Rows, Runtime, SourceRuntime, Wanted,
};

type Calls = Arc<Mutex<Vec<String>>>;

/// Takes part in `orders` and in reads of the view `v`, and writes down when it is called.
struct Witness {
    name: &'static str,
    priority: i32,
    source: &'static str,
    calls: Calls,
}

impl Witness {
    fn told(&self, hook: &str) {
        self.calls.lock().expect("no test holds it").push(format!("{} {hook}", self.name));
    }
}

impl Middleware for Witness {
    fn name(&self) -> &str {
        self.name
    }

    fn priority(&self) -> i32 {
        self.priority
    }

    fn concerns_source(&self, source: &Source) -> bool {
        source.name == self.source
    }

    fn concerns_read(&self, _: &CheckedManifest, features: &[String]) -> bool {
        self.source == "orders" && features.iter().any(|feature| feature.starts_with("v."))
    }

    fn before_get(&self, _: &Runtime, _: &mut FeatureRequest) -> Result<(), EngineError> {
        self.told("before_get");
        Ok(())
    }

    fn after_get(&self, _: &Runtime, _: &mut FeatureResponse) -> Result<(), EngineError> {
        self.told("after_get");
        Ok(())
    }

    fn before_set(&self, _: &SourceRuntime, _: &mut Rows<'_>) -> Result<(), EngineError> {
        self.told("before_set");
        Ok(())
    }

    fn after_set(&self, _: &Ack) {
        self.told("after_set");
    }
}

/// Two sources, each with its view.
fn two() -> Manifest {
    let views = vec![ids_view("v", "orders"), ids_view("w", "visits")];
    manifest(vec![source("orders"), source("visits")], views)
}

#[test]
fn they_run_in_their_order_and_only_where_they_are_concerned() {
    let mut world = World::new();
    let calls = Calls::default();
    let witness = |name, priority, source| -> Arc<dyn Middleware> {
        Arc::new(Witness { name, priority, source, calls: calls.clone() })
    };
    world.middlewares = vec![
        witness("b", 0, "orders"),
        witness("x", -9, "other"),
        witness("a", 0, "orders"),
        witness("z", -1, "orders"),
    ];
    let engine = world.start(two());
    let called = || std::mem::take(&mut *calls.lock().expect("no test holds it"));
    push(&engine, "orders", &order("ann", 1, NEW_YEAR - 5));
    let set = ["z before_set", "a before_set", "b before_set", "b after_set", "a after_set", "z after_set"];
    assert_eq!(called(), set);
    let mut answer = read(&engine, "v.ids", "ann");
    assert_eq!(called(), ["z before_get", "a before_get", "b before_get"], "the answer is not on its way out yet");
    engine.finish_read(&mut answer).expect("the answer is shaped");
    assert_eq!(called(), ["b after_get", "a after_get", "z after_get"]);
    engine.finish_read(&mut answer).expect("nothing is left to do");
    push(&engine, "visits", &order("ann", 1, NEW_YEAR - 5));
    engine.finish_read(&mut read(&engine, "w.ids", "ann")).expect("nothing is to be done");
    push(&engine, "orders", &json!([]));
    let after_nothing = ["b after_set", "a after_set", "z after_set"];
    assert_eq!(called(), after_nothing, "there was no row for the others to see");
    let names = |source: &str| {
        let runtime = engine.runtime().expect("a manifest");
        runtime.sources[source].pipeline.names().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!((names("orders"), names("visits")), (vec!["z".into(), "a".into(), "b".into()], vec![]));
}

const LETS_PASS: u8 = 0;
const FAILS: u8 = 1;
const PANICS: u8 = 2;

/// Does in every hook what it is told to do.
#[derive(Default)]
struct Gate(AtomicU8);

impl Gate {
    fn pass(&self) -> Result<(), EngineError> {
        match self.0.load(Ordering::SeqCst) {
            FAILS => Err(EngineError::Unavailable("closed".to_owned())),
            PANICS => panic!("broken"),
            _ => Ok(()),
        }
    }
}

impl Middleware for Gate {
    fn name(&self) -> &str {
        "gate"
    }

    fn concerns_source(&self, _: &Source) -> bool {
        true
    }

    fn concerns_read(&self, _: &CheckedManifest, _: &[String]) -> bool {
        true
    }

    fn before_get(&self, _: &Runtime, _: &mut FeatureRequest) -> Result<(), EngineError> {
        self.pass()
    }

    fn after_get(&self, _: &Runtime, _: &mut FeatureResponse) -> Result<(), EngineError> {
        self.pass()
    }

    fn before_set(&self, _: &SourceRuntime, _: &mut Rows<'_>) -> Result<(), EngineError> {
        self.pass()
    }
}

#[test]
fn one_that_fails_refuses_the_request_with_its_name_and_nothing_else() {
    let mut world = World::new();
    let gate = Arc::new(Gate::default());
    world.middlewares = vec![gate.clone()];
    let engine = world.start(counted());
    let row = order("ann", 1, NEW_YEAR - 5);
    let told = |error: EngineError| (error.code(), error.to_string());
    let ways = [
        (FAILS, "UNAVAILABLE", "middleware `gate`: closed"),
        (PANICS, "INTERNAL", "middleware `gate`: panicked: broken"),
    ];
    for (way, code, message) in ways {
        let mut answer = read(&engine, "v.ids", "ann");
        gate.0.store(way, Ordering::SeqCst);
        let expected = (code, message.to_owned());
        assert_eq!(told(push_with_key(&engine, "orders", &row, Some("k")).expect_err("refused")), expected);
        assert_eq!(told(try_read(&engine, &["v.ids"], &["ann"], None).expect_err("refused")), expected);
        assert_eq!(told(engine.finish_read(&mut answer).expect_err("refused")), expected);
        gate.0.store(LETS_PASS, Ordering::SeqCst);
        assert!(logged(&engine).is_empty(), "nothing of it was taken");
    }
    let ack = push_with_key(&engine, "orders", &row, Some("k")).expect("taken");
    assert!(!ack.repeated, "what was refused had not been taken");
    assert_eq!(ids(&engine, "ann"), [1]);
    gate.0.store(FAILS, Ordering::SeqCst);
    let again = push_with_key(&engine, "orders", &row, Some("k")).expect("acknowledged before");
    assert!(again.repeated, "a repeat is known before any middleware is asked");
}

/// Reads, when rows have come, what can be seen of them; then pushes to the other source, then panics.
#[derive(Default)]
struct Follower {
    engine: OnceLock<Weak<Engine>>,
    called: AtomicUsize,
    seen: Mutex<Vec<i64>>,
}

impl Middleware for Follower {
    fn name(&self) -> &str {
        "follower"
    }

    fn concerns_source(&self, source: &Source) -> bool {
        source.name == "orders"
    }

    fn after_set(&self, ack: &Ack) {
        let engine = self.engine.get().and_then(Weak::upgrade).expect("it was told of the engine");
        self.called.fetch_add(1, Ordering::SeqCst);
        assert_eq!((ack.source.as_str(), ack.repeated), ("orders", false));
        *self.seen.lock().expect("nobody holds it") = ids(&engine, "ann");
        push(&engine, "visits", &order("ann", 7, NEW_YEAR - 5));
        panic!("after all was done");
    }
}

#[test]
fn after_a_push_its_rows_are_seen_and_whatever_happens_it_stands() {
    let mut world = World::new();
    let follower = Arc::new(Follower::default());
    world.middlewares = vec![follower.clone()];
    let engine = Arc::new(world.start(two()));
    follower.engine.set(Arc::downgrade(&engine)).expect("set once");
    let row = order("ann", 1, NEW_YEAR - 5);
    let body = row.to_string();
    let first = engine.submit(request("orders", body.as_bytes(), Some("k"))).expect("taken");
    let again = engine.submit(request("orders", body.as_bytes(), Some("k"))).expect("taken");
    engine.commit_pending();
    assert!(again.wait().expect("acknowledged").repeated);
    assert_eq!(follower.called.load(Ordering::SeqCst), 0, "the repeat is not the push");
    assert!(!first.wait().expect("acknowledged").repeated);
    assert!(!first.wait().expect("acknowledged again").repeated);
    assert!(push_with_key(&engine, "orders", &row, Some("k")).expect("acknowledged").repeated);
    assert_eq!(follower.called.load(Ordering::SeqCst), 1);
    assert_eq!(*follower.seen.lock().expect("nobody holds it"), [1]);
    assert_eq!(counts(&read(&engine, "w.ids", "ann")).into_keys().collect::<Vec<_>>(), [7]);
}

/// Brings a row when it is asked for one, as from another system, and answers for `w` with what `v` says.
#[derive(Default)]
struct Fetch {
    engine: OnceLock<Weak<Engine>>,
}

impl Middleware for Fetch {
    fn name(&self) -> &str {
        "fetch"
    }

    fn concerns_read(&self, checked: &CheckedManifest, features: &[String]) -> bool {
        assert_eq!(checked.manifest.views.len(), 2);
        features == ["w.ids"]
    }

    fn may_block(&self) -> bool {
        true
    }

    fn before_get(&self, runtime: &Runtime, request: &mut FeatureRequest) -> Result<(), EngineError> {
        assert!(runtime.views.contains_key("v"));
        let engine = self.engine.get().and_then(Weak::upgrade).expect("it was told of the engine");
        push(&engine, "orders", &order("ann", 1, NEW_YEAR - 5));
        request.wanted = Wanted::Features(vec!["v.ids".to_owned()]);
        Ok(())
    }

    fn after_get(&self, _: &Runtime, response: &mut FeatureResponse) -> Result<(), EngineError> {
        response.results[0].name = "w.ids".to_owned();
        response.results[0].statuses.clear();
        Ok(())
    }
}

#[test]
fn a_read_sees_what_was_pushed_for_it_and_keeps_its_form() {
    let mut world = World::new();
    let fetch = Arc::new(Fetch::default());
    world.middlewares = vec![fetch.clone()];
    let engine = Arc::new(world.start(two()));
    fetch.engine.set(Arc::downgrade(&engine)).expect("set once");
    let runtime = engine.runtime().expect("a manifest");
    let listed = |feature: &str| Wanted::Features(vec![feature.to_owned()]);
    assert!(runtime.may_block(&listed("w.ids")) && !runtime.may_block(&listed("v.ids")));
    assert!(!runtime.may_block(&Wanted::Service("none".to_owned())));
    let mut answer = read(&engine, "w.ids", "ann");
    assert_eq!(answer.results[0].name, "v.ids", "another feature is read than was asked for");
    assert_eq!(counts(&answer).into_keys().collect::<Vec<_>>(), [1]);
    let error = engine.finish_read(&mut answer).expect_err("an answer without statuses is none");
    let message = "middleware `fetch`: it left `w.ids` with 1 values, 1 event times and 0 statuses for 1 entities";
    assert_eq!((error.code(), error.to_string()), ("INTERNAL", message.to_owned()));
}

/// Tries what is not allowed, then doubles amounts and sends two rows away.
#[derive(Default)]
struct Careless(Mutex<Vec<String>>);

impl Middleware for Careless {
    fn name(&self) -> &str {
        "careless"
    }

    fn concerns_source(&self, _: &Source) -> bool {
        true
    }

    fn before_set(&self, _: &SourceRuntime, rows: &mut Rows<'_>) -> Result<(), EngineError> {
        let floats = |values: Vec<f64>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
        let words: ArrayRef = Arc::new(StringArray::from(vec!["1"; 3]));
        let tried = [
            rows.replace("cost", floats(vec![1.0; 3])),
            rows.replace("amount", floats(vec![1.0; 2])),
            rows.replace("id", floats(vec![1.0, 1.5, 2.0])),
            rows.reject(&[(0, "first".to_owned()), (3, "none".to_owned())], None),
            rows.reject(&[(0, "first".to_owned())], Some("cost")),
            rows.replace("amount", words),
            rows.reject(&[(0, "the first".to_owned()), (2, "the last".to_owned())], Some("amount")),
        ];
        assert_eq!(rows.batch().num_rows(), 1);
        let refused = tried.into_iter().filter_map(Result::err);
        self.0.lock().expect("nobody holds it").extend(refused);
        Ok(())
    }
}

#[test]
fn rows_take_only_what_keeps_their_form() {
    let mut world = World::new();
    let careless = Arc::new(Careless::default());
    world.middlewares = vec![careless.clone()];
    let engine = world.start(counted());
    let rows = [1, 2, 3].map(|id| order("ann", id, NEW_YEAR - 5));
    let ack = push(&engine, "orders", &json!(rows));
    assert_eq!((ack.read, ack.applied, ack.quarantined), (3, 1, 2));
    let reasons: Vec<(u32, &str)> = ack.errors.iter().map(|error| (error.row, error.reason.as_str())).collect();
    assert_eq!(reasons, [(0, "the first"), (2, "the last")]);
    assert_eq!((amounts(&engine), ids(&engine, "ann")), (vec![Some(1.0)], vec![2]));
    assert_eq!(
        *careless.0.lock().expect("nobody holds it"),
        [
            "source `orders` has no column `cost`; it has: user, at, id, amount, units, status",
            "`amount` was given 2 values for 3 rows: give one per row of the batch",
            "`id`, row 1 of the batch: the value does not fit int64",
            "there is no row 3: the batch has 3",
            "source `orders` has no column `cost`; it has: user, at, id, amount, units, status",
        ]
    );
}
