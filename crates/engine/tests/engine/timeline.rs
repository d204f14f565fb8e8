//! Clocks, and the promise between writes and reads: a read at `q` sees exactly what had arrived before `q`.

use crate::expressions::Tiny;
use crate::support::{
    NEW_YEAR, World, backfill, column, counted, counts, finish, ids, ids_view, logged, manifest, order, push, read,
    request, source, try_read,
};
use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use thalweg_definition::{DAY, DataType, HOUR};
use thalweg_engine::{
    ARRIVAL, ArrivalKind, Clock, ClockMode, Components, Engine, EngineSettings, LoggedBatch, SystemClock,
};

fn arrivals(batch: &LoggedBatch) -> Vec<i64> {
    let column = batch.rows.column_by_name(ARRIVAL).expect("arrival times");
    column.as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

fn all_arrivals(engine: &Engine) -> Vec<i64> {
    logged(engine).iter().flat_map(|(_, batch)| arrivals(batch)).collect()
}

#[test]
fn a_read_does_not_see_a_write_in_flight_and_is_not_after_it() {
    let world = World::new();
    let engine = world.start(counted());
    push(&engine, "orders", &order("ann", 1, NEW_YEAR - 5));
    world.pass(10);
    let body = order("ann", 2, NEW_YEAR - 4).to_string();
    let ticket = engine.submit(request("orders", body.as_bytes(), None)).expect("taken");
    world.pass(1000);
    let during = read(&engine, "v.ids", "ann");
    assert_eq!(counts(&during), BTreeMap::from([(1, 1)]));
    assert!(!ticket.is_done());
    assert_eq!(engine.commit_pending(), 1);
    ticket.wait().expect("acknowledged");
    assert_eq!(ids(&engine, "ann"), [1, 2]);
    let arrived = all_arrivals(&engine)[1];
    assert!(during.as_of <= arrived, "the read at {} is after the write that arrived at {arrived}", during.as_of);
    // Asked again as of that moment, it answers the same.
    let again = try_read(&engine, &["v.ids"], &["ann"], Some(during.as_of)).expect("answered");
    assert_eq!(counts(&again), counts(&during));
}

#[test]
fn reads_stand_between_writes_though_the_clock_stands_still() {
    let world = World::new();
    let engine = world.start(counted());
    let mut answers = Vec::new();
    for id in 0..5 {
        answers.push(read(&engine, "v.ids", "ann"));
        push(&engine, "orders", &order("ann", id, NEW_YEAR - 5));
        assert_eq!(ids(&engine, "ann").len() as i64, id + 1);
    }
    for answer in answers {
        let again = try_read(&engine, &["v.ids"], &["ann"], Some(answer.as_of)).expect("answered");
        assert_eq!(counts(&again), counts(&answer), "at {}", answer.as_of);
    }
}

#[test]
fn a_clock_that_goes_back_takes_nothing_back() {
    let world = World::new();
    let engine = world.start(counted());
    push(&engine, "orders", &order("ann", 1, NEW_YEAR - 5));
    let first = read(&engine, "v.ids", "ann").as_of;
    world.pass(-DAY);
    push(&engine, "orders", &order("ann", 2, NEW_YEAR - 5));
    let second = read(&engine, "v.ids", "ann");
    assert!(second.as_of > first);
    assert_eq!(counts(&second).len(), 2);
}

#[test]
fn as_of_knows_what_had_happened_and_arrived() {
    let world = World::new();
    let engine = world.start(counted());
    push(&engine, "orders", &order("ann", 1, NEW_YEAR - 10 * HOUR));
    world.pass(2 * HOUR);
    push(&engine, "orders", &json!([order("ann", 2, NEW_YEAR - 10 * HOUR), order("ann", 3, NEW_YEAR + HOUR)]));
    backfill(&engine, "orders", &order("ann", 4, NEW_YEAR - 9 * HOUR));
    world.pass(HOUR);
    let as_of = |q: i64| {
        let response = try_read(&engine, &["v.ids"], &["ann"], Some(q)).expect("answered");
        counts(&response).into_keys().collect::<Vec<_>>()
    };
    assert_eq!(as_of(NEW_YEAR - 9 * HOUR), [0i64; 0], "neither had arrived, and one not happened");
    assert_eq!(as_of(NEW_YEAR - 9 * HOUR + 1), [4], "backfilled history arrived when it happened");
    assert_eq!(as_of(NEW_YEAR + HOUR), [1, 4]);
    assert_eq!(as_of(NEW_YEAR + 3 * HOUR), [1, 2, 3, 4]);
}

#[test]
fn declared_arrival_times_are_kept() {
    let world = World::new();
    let mut orders = source("orders");
    orders.columns.push(column("came", DataType::Timestamp));
    orders.arrival_time = Some("came".into());
    let engine = world.start(manifest(vec![orders], vec![ids_view("v", "orders")]));
    let mut late = order("ann", 1, NEW_YEAR - 10 * HOUR);
    late["came"] = json!(NEW_YEAR - HOUR);
    assert_eq!(push(&engine, "orders", &late).arrival_time, ArrivalKind::Column);
    let as_of = |q: i64| counts(&try_read(&engine, &["v.ids"], &["ann"], Some(q)).expect("answered")).len();
    assert_eq!((as_of(NEW_YEAR - HOUR), as_of(NEW_YEAR - HOUR + 1)), (0, 1));
    late["came"] = json!(null);
    assert_eq!(push(&engine, "orders", &late).quarantined, 1, "without one a row is set aside");
}

fn by_events() -> World {
    let mut world = World::new();
    world.settings.clock = ClockMode::Events;
    world
}

#[test]
fn the_clock_of_events_follows_them_and_never_goes_back() {
    let world = by_events();
    let engine = world.start(counted());
    let t = NEW_YEAR - 100 * DAY;
    for (id, at, now) in [(1, t, t), (2, t + HOUR, t + HOUR), (3, t - DAY, t + HOUR), (4, t + 2 * HOUR, t + 2 * HOUR)] {
        push(&engine, "orders", &order("ann", id, at));
        assert!((now..now + 10).contains(&engine.now()), "{} is not {now}", engine.now());
        assert_eq!(ids(&engine, "ann").len() as i64, id, "an acknowledged row is seen");
    }
    // Each row arrived when the events' clock said so: the late one after the one before it.
    let arrived = all_arrivals(&engine);
    assert!(arrived.is_sorted(), "{arrived:?}");
    assert!(arrived[2] >= t + HOUR && arrived[2] < t + HOUR + 10);
    drop(engine);
    let (engine, _) = world.open();
    assert!((t + 2 * HOUR..t + 2 * HOUR + 10).contains(&engine.now()));
    assert_eq!(ids(&engine, "ann"), [1, 2, 3, 4]);
}

#[test]
fn rows_of_one_push_arrive_one_after_the_other_by_the_clock_of_events() {
    let world = by_events();
    let engine = world.start(counted());
    let t = NEW_YEAR - 100 * DAY;
    let rows: Vec<_> =
        [t, t + HOUR, t - HOUR, t + 2 * HOUR].into_iter().zip(1..).map(|(at, id)| order("ann", id, at)).collect();
    push(&engine, "orders", &json!(rows));
    let arrived: Vec<i64> = all_arrivals(&engine);
    assert_eq!(arrived, [t, t + HOUR, t + HOUR, t + 2 * HOUR]);
}

/// Writers and readers at once, on the machine's clock: each writer sees its own rows as soon as they are
/// acknowledged, and every answer is the one that the log gives for its query time.
#[test]
fn every_answer_is_what_had_arrived_before_it() {
    let world = World::new();
    let components = Components {
        disk: world.disk.clone(),
        directory: "/data".into(),
        metadata: world.metadata.clone(),
        clock: Arc::new(SystemClock),
        expressions: Arc::new(Tiny),
        middlewares: vec![],
    };
    let (engine, _) = Engine::open(EngineSettings::default(), components, None).expect("the engine opens");
    let applied = world.apply(&engine, counted());
    finish(&engine, &applied.to_build);
    let stop = AtomicBool::new(false);
    let at = SystemClock.now() - HOUR;
    let answers: Vec<(i64, usize)> = thread::scope(|scope| {
        let writers: Vec<_> = (0..3i64)
            .map(|writer| {
                let engine = &engine;
                scope.spawn(move || {
                    for id in writer * 1000..writer * 1000 + 60 {
                        push(engine, "orders", &order("ann", id, at));
                        assert!(ids(engine, "ann").contains(&id), "an acknowledged row is seen");
                    }
                })
            })
            .collect();
        let reader = scope.spawn(|| {
            let mut answers = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let answer = read(&engine, "v.ids", "ann");
                answers.push((answer.as_of, counts(&answer).len()));
            }
            answers
        });
        let keeper = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                engine.checkpoint().expect("a checkpoint");
                engine.tidy().expect("tidied");
                thread::sleep(Duration::from_millis(2));
            }
        });
        let written: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        stop.store(true, Ordering::Relaxed);
        keeper.join().expect("the keeper ends well");
        written.into_iter().for_each(|writer| writer.expect("a writer ends well"));
        reader.join().expect("the reader ends well")
    });
    let arrived = all_arrivals(&engine);
    assert_eq!(arrived.len(), 180);
    for (q, seen) in answers {
        assert_eq!(seen, arrived.iter().filter(|arrival| **arrival < q).count(), "at {q}");
    }
}

/// By the events' clock a write may arrive at the very moment of what was acknowledged before it: while it was in
/// flight, reads stood at that moment and hid both.
#[test]
fn by_the_clock_of_events_a_write_in_flight_hides_nothing_acknowledged() {
    let world = by_events();
    let engine = world.start(counted());
    let t = NEW_YEAR - 100 * DAY;
    let mut answers = Vec::new();
    for id in 1..6 {
        push(&engine, "orders", &order("ann", id, t));
        let late = order("bob", id, t - HOUR).to_string();
        let ticket = engine.submit(request("orders", late.as_bytes(), None)).expect("taken");
        let answer = read(&engine, "v.ids", "ann");
        assert_eq!(counts(&answer).len() as i64, id, "an acknowledged row is seen");
        engine.commit_pending();
        ticket.wait().expect("acknowledged");
        assert_eq!(ids(&engine, "bob").len() as i64, id);
        answers.push(answer);
    }
    for answer in answers {
        let again = try_read(&engine, &["v.ids"], &["ann"], Some(answer.as_of)).expect("answered");
        assert_eq!(counts(&again), counts(&answer), "at {}", answer.as_of);
    }
}
