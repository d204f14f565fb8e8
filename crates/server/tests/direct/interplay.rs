//! Direct writes together with what changes around them: middlewares that see their rows, and definitions that are
//! applied meanwhile.

use crate::direct::support::{World, feature, micros, write};
use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};
use thalweg_definition::{DirectFeature, Source};
use thalweg_engine::{Ack, EngineError, Middleware, Rows, SourceRuntime};
use thalweg_server::DirectOperation::{Append, Incr, Set};
use thalweg_server::{DirectWrite, Door, Instance, Session};

const WRITERS: usize = 8;
const EACH: usize = 25;

/// Refuses numbers from 1000 on, and makes those from 300 on 300.
struct Bounds;

impl Middleware for Bounds {
    fn name(&self) -> &str {
        "bounds"
    }

    fn concerns_source(&self, source: &Source) -> bool {
        source.name == "users__clicks"
    }

    fn before_set(&self, _: &SourceRuntime, rows: &mut Rows<'_>) -> Result<(), EngineError> {
        let numbers = rows.batch().column_by_name("value").expect("a column").as_primitive::<Int64Type>().clone();
        let bounded: Int64Array = numbers.iter().map(|number| number.map(|number| number.min(300))).collect();
        rows.replace("value", Arc::new(bounded)).map_err(EngineError::Invalid)?;
        let large = numbers.iter().enumerate().filter(|(_, number)| number.is_some_and(|number| number >= 1000));
        let refused: Vec<(usize, String)> = large.map(|(row, _)| (row, "too large".to_owned())).collect();
        rows.reject(&refused, Some("value")).map_err(EngineError::Invalid)
    }
}

/// While the refused write is on its way the others must not take it for the newest value, nor one that was changed
/// for what it had been.
#[test]
fn writes_build_on_what_middlewares_left_of_those_before() {
    let world = World::watched(vec![DirectFeature { keep_previous: 1, ..feature("clicks", "int") }], Arc::new(Bounds));
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    assert!(world.refused(write(Set, "clicks", "ann", json!(5000))).contains("too large"));
                    world.write(Incr, "clicks", "ann", json!(1));
                }
            });
        }
    });
    let total = WRITERS * EACH;
    let both = || (world.value("users.clicks", "ann"), world.value("users.clicks@-1", "ann"));
    assert_eq!(both(), (json!(total), json!(total - 1)));
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    world.write(Incr, "clicks", "ann", json!(1));
                }
            });
        }
    });
    assert_eq!(both(), (json!(300), json!(300)));
}

/// Counts what it is told of.
#[derive(Default)]
struct Told(AtomicUsize);

impl Middleware for Told {
    fn name(&self) -> &str {
        "told"
    }

    fn concerns_source(&self, source: &Source) -> bool {
        source.name == "users__clicks"
    }

    fn after_set(&self, ack: &Ack) {
        self.0.fetch_add(ack.applied as usize, Ordering::SeqCst);
    }
}

#[test]
fn middlewares_are_told_once_of_a_write_whose_writer_gave_up() {
    let told = Arc::new(Told::default());
    let timeout = Some(micros(Duration::from_micros(1)));
    let world = World::watched(vec![DirectFeature { timeout, ..feature("clicks", "int") }], told.clone());
    let keyed = |number: usize| DirectWrite {
        idempotency_key: Some(format!("k{number}")),
        ..write(Incr, "clicks", "ann", json!(1))
    };
    // A disk can be quick enough to be in time, but not for ever.
    let given_up = (0..10_000).find(|number| match world.try_write(keyed(*number)) {
        Ok(_) => false,
        Err(error) => error.code() == "DEADLINE",
    });
    let given_up = given_up.expect("a microsecond is too short for one of them");
    let began = Instant::now();
    while told.0.load(Ordering::SeqCst) <= given_up || world.try_write(keyed(given_up)).is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "nobody was told");
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(world.value("users.clicks", "ann"), json!(given_up + 1));
    assert_eq!(told.0.load(Ordering::SeqCst), given_up + 1);
}

/// Writes a feature whenever it sees another one written.
#[derive(Default)]
struct Busy(OnceLock<Weak<Instance>>);

impl Middleware for Busy {
    fn name(&self) -> &str {
        "busy"
    }

    fn concerns_source(&self, source: &Source) -> bool {
        source.name == "users__seen"
    }

    fn before_set(&self, _: &SourceRuntime, _: &mut Rows<'_>) -> Result<(), EngineError> {
        let instance = self.0.get().and_then(Weak::upgrade).expect("it is running");
        let session = Session::enter(&instance, Door::Http, None, None).expect("nobody asks for a key");
        let written = session.direct_write(write(Incr, "clicks", "ann", json!(1)));
        written.map(|_| ()).map_err(|error| EngineError::Invalid(error.to_string()))
    }
}

#[test]
fn a_middleware_that_writes_within_a_write_is_refused_and_waits_for_nobody() {
    let busy = Arc::new(Busy::default());
    let world = World::watched(vec![feature("seen", "[int]"), feature("clicks", "int")], busy.clone());
    let instance: &Arc<Instance> = &world.instance;
    busy.0.set(Arc::downgrade(instance)).expect("set once");
    let why = world.refused(write(Append, "seen", "ann", json!(1)));
    assert!(why.contains("middleware `busy`") && why.contains("cannot write such a feature"), "{why}");
    assert_eq!(world.value("users.seen", "ann"), json!(null));
    world.write(Incr, "clicks", "ann", json!(1));
    assert_eq!(world.value("users.clicks", "ann"), json!(1));
}

/// Each apply makes a view of its own, filled from history. Who still holds the definitions before must not count on
/// from what their view had.
#[test]
fn no_increment_is_lost_while_definitions_change() {
    let clicks = |keep_previous| vec![DirectFeature { keep_previous, ..feature("clicks", "int") }];
    let world = World::new(clicks(0));
    let (done, acknowledged, began) = (AtomicBool::new(false), AtomicUsize::new(0), Instant::now());
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) && began.elapsed() < Duration::from_secs(60) {
                    match world.try_write(write(Incr, "clicks", "ann", json!(1))) {
                        Ok(_) => {
                            acknowledged.fetch_add(1, Ordering::SeqCst);
                        }
                        // The view is being filled: nothing was written.
                        Err(error) => assert_eq!(error.code(), "UNAVAILABLE", "{error}"),
                    }
                    thread::sleep(Duration::from_micros(200));
                }
            });
        }
        for keep_previous in [1, 0, 2, 1] {
            thread::sleep(Duration::from_millis(50));
            world.apply(clicks(keep_previous), vec![]);
        }
        done.store(true, Ordering::SeqCst);
    });
    world.write(Incr, "clicks", "ann", json!(1));
    let acknowledged = acknowledged.load(Ordering::SeqCst) + 1;
    assert_eq!(world.value("users.clicks", "ann"), json!(acknowledged));
    assert_eq!(world.value("users.clicks@-1", "ann"), json!(acknowledged - 1));
}

/// What was written before is in history, and what is written after follows on it there.
#[test]
fn a_feature_that_is_taken_out_and_put_back_has_its_value() {
    let both = || vec![feature("clicks", "int"), feature("seen", "[int]")];
    let world = World::new(both());
    world.write(Incr, "clicks", "ann", json!(7));
    world.apply(vec![feature("seen", "[int]")], vec![]);
    world.write(Append, "seen", "ann", json!(1));
    world.instance.flush().unwrap();
    world.apply(both(), vec![]);
    world.write(Incr, "clicks", "ann", json!(1));
    assert_eq!(world.value("users.clicks", "ann"), json!(8));
    world.instance.flush().unwrap();
    let world = world.restarted();
    assert_eq!(world.value("users.clicks", "ann"), json!(8));
}
