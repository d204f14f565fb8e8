//! A view that is added later and filled from history says what it would have said from the start.

use crate::support::{
    NEW_YEAR, Random, SeedNote, USERS, World, change_source, counts, everything, finish, ids, ids_view, logged,
    manifest, mixed_view, order, push, random_orders, read, request, source, status, views,
};
use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use serde_json::json;
use thalweg_aggregate::Status;
use thalweg_definition::{HOUR, Manifest};
use thalweg_engine::{ARRIVAL, Clock, Engine, RowLife};

fn first() -> Manifest {
    manifest(vec![source("orders")], vec![ids_view("v", "orders")])
}

fn both() -> Manifest {
    manifest(vec![source("orders")], vec![mixed_view("mixed", "orders"), ids_view("v", "orders")])
}

/// Fills views with what the log has before a sequence, as history would.
fn fill(engine: &Engine, names: &[String], until: u64) {
    for view in views(engine, names) {
        for (first_sequence, batch) in logged(engine) {
            let column = batch.rows.column_by_name(ARRIVAL).expect("arrival times");
            let arrivals = column.as_primitive::<TimestampMicrosecondType>().values().to_vec();
            let sequences: Vec<u64> = (first_sequence..).take(arrivals.len()).collect();
            let rows = sequences.iter().filter(|sequence| **sequence < until).count();
            engine
                .backfill(&view, "orders", &batch.rows.slice(0, rows), &arrivals[..rows], &sequences[..rows])
                .expect("history is taken");
        }
    }
}

fn pushes(world: &World, engines: &[&Engine], random: &mut Random, many: i64, first_id: i64) {
    for number in 0..many {
        world.pass(random.below(HOUR as u64) as i64);
        let rows = random_orders(random, first_id + number * 10, world.clock.now());
        engines.iter().for_each(|engine| drop(push(engine, "orders", &rows)));
    }
}

#[test]
fn a_view_added_later_equals_one_that_was_there_first() {
    println!("seeds 0 to 9");
    for seed in 0..10 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let (world, mut other) = (World::new(), World::new());
        other.clock = world.clock.clone();
        let whole = other.start(both());
        let engine = world.start(first());
        pushes(&world, &[&engine, &whole], &mut random, 15, 0);
        let applied = world.apply(&engine, both());
        assert_eq!(applied.to_build, ["mixed"]);
        assert_eq!(status(&read(&engine, "mixed.total", "ann")), Status::Error, "it is being filled");
        assert_ne!(status(&read(&engine, "v.ids", "ann")), Status::Error, "the other one goes on");
        // Live rows come before history and after it.
        pushes(&world, &[&engine, &whole], &mut random, 5, 1000);
        fill(&engine, &applied.to_build, applied.history_until);
        pushes(&world, &[&engine, &whole], &mut random, 5, 2000);
        finish(&engine, &applied.to_build);
        pushes(&world, &[&engine, &whole], &mut random, 5, 3000);
        let q = world.clock.now() + HOUR;
        world.pass(2 * HOUR);
        let wanted = everything(&whole, &USERS, q);
        assert_eq!(everything(&engine, &USERS, q), wanted);
        drop(engine);
        let (engine, recovered) = world.open();
        assert_eq!(recovered.to_build, [""; 0]);
        assert_eq!(everything(&engine, &USERS, q), wanted, "after a restart");
    }
}

#[test]
fn a_build_cut_off_by_a_crash_starts_over() {
    println!("seeds 0 to 19");
    for seed in 0..20 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let (world, mut other) = (World::new(), World::new());
        other.clock = world.clock.clone();
        let whole = other.start(both());
        let engine = world.start(first());
        pushes(&world, &[&engine, &whole], &mut random, 10, 0);
        let applied = world.apply(&engine, both());
        pushes(&world, &[&engine, &whole], &mut random, 3, 1000);
        fill(&engine, &applied.to_build, applied.history_until);
        if random.below(2) == 0 {
            engine.checkpoint().expect("a checkpoint of a view half filled");
            pushes(&world, &[&engine, &whole], &mut random, 3, 2000);
        }
        drop(engine);
        world.disk.crash(random.below(1 << 40));
        let (engine, recovered) = world.open();
        assert_eq!(recovered.to_build, ["mixed"]);
        assert_eq!(status(&read(&engine, "mixed.total", "ann")), Status::Error, "it is to be filled again");
        pushes(&world, &[&engine, &whole], &mut random, 3, 3000);
        fill(&engine, &recovered.to_build, recovered.build_until);
        finish(&engine, &recovered.to_build);
        let q = world.clock.now() + HOUR;
        world.pass(2 * HOUR);
        assert_eq!(everything(&engine, &USERS, q), everything(&whole, &USERS, q));
    }
}

#[test]
fn a_build_that_failed_halfway_is_made_anew() {
    println!("seeds 0 to 9");
    for seed in 0..10 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let (mut world, mut other) = (World::new(), World::new());
        other.clock = world.clock.clone();
        if random.below(2) == 0 {
            world.settings.memory_bytes = 1;
        }
        let whole = other.start(both());
        let engine = world.start(first());
        pushes(&world, &[&engine, &whole], &mut random, 10, 0);
        let applied = world.apply(&engine, both());
        pushes(&world, &[&engine, &whole], &mut random, 3, 1000);
        fill(&engine, &applied.to_build, 1 + random.below(applied.history_until));
        engine.tidy().expect("tidied");
        let until = engine.fill_again(&views(&engine, &applied.to_build)[0]).expect("it is emptied");
        pushes(&world, &[&engine, &whole], &mut random, 3, 2000);
        fill(&engine, &applied.to_build, until);
        finish(&engine, &applied.to_build);
        let q = world.clock.now() + HOUR;
        world.pass(2 * HOUR);
        let wanted = everything(&whole, &USERS, q);
        assert_eq!(everything(&engine, &USERS, q), wanted);
        drop(engine);
        world.disk.crash(random.below(1 << 40));
        assert_eq!(everything(&world.open().0, &USERS, q), wanted, "after a crash");
    }
}

#[test]
fn a_manifest_applied_again_keeps_every_state() {
    let world = World::new();
    let engine = world.start(first());
    push(&engine, "orders", &order("ann", 1, NEW_YEAR - 5));
    let before = engine.runtime().expect("a manifest").version;
    let applied = world.apply(&engine, first());
    assert_eq!(applied.to_build, [""; 0], "nothing has changed");
    assert!(applied.version > before);
    assert_eq!(ids(&engine, "ann"), [1]);
}

#[test]
fn a_view_taken_out_and_put_back_is_built_again() {
    let world = World::new();
    let engine = world.start(both());
    let mut random = Random(2);
    pushes(&world, &[&engine], &mut random, 5, 0);
    let q = world.clock.now();
    let wanted = everything(&engine, &USERS, q);
    assert_eq!(world.apply(&engine, first()).to_build, [""; 0]);
    let applied = world.apply(&engine, both());
    assert_eq!(applied.to_build, ["mixed"]);
    fill(&engine, &applied.to_build, applied.history_until);
    finish(&engine, &applied.to_build);
    assert_eq!(everything(&engine, &USERS, q), wanted);
}

#[test]
fn a_view_over_changes_takes_what_the_log_brings_after_history() {
    let world = World::new();
    let changed = |with: bool| {
        let mut views = vec![ids_view("v", "orders")];
        views.extend(with.then(|| ids_view("w", "orders")));
        manifest(vec![change_source("orders")], views)
    };
    let engine = world.start(changed(false));
    let change = |op: &str, id: i64| json!({"op": op, "user": "ann", "id": id, "at": NEW_YEAR - 5});
    push(&engine, "orders", &change("insert", 1));
    let applied = world.apply(&engine, changed(true));
    let rows = logged(&engine)[0].1.rows.clone();
    let life = RowLife { time: NEW_YEAR - 5, arrival: NEW_YEAR, sequence: 1, retracted: None };
    let view = &views(&engine, &applied.to_build)[0];
    engine.backfill_change(view, "orders", &rows, &[life]).expect("history is taken");
    push(&engine, "orders", &json!([change("insert", 2), change("delete", 1)]));
    finish(&engine, &applied.to_build);
    assert_eq!(ids(&engine, "ann"), [2]);
    assert_eq!(counts(&read(&engine, "w.ids", "ann")).into_keys().collect::<Vec<_>>(), [2]);
}

/// The rows are in the log and nobody reads them, as after a restart; what is pushed elsewhere goes on.
#[test]
fn a_push_that_waits_while_its_source_is_taken_out_stops_nothing() {
    let world = World::new();
    let two = vec![ids_view("v", "orders"), ids_view("w", "visits")];
    let engine = world.start(manifest(vec![source("orders"), source("visits")], two));
    let body = order("ann", 1, NEW_YEAR - 5).to_string();
    let waiting = engine.submit(request("visits", body.as_bytes(), None)).expect("taken");
    assert_eq!(world.apply(&engine, first()).to_build, [""; 0]);
    engine.commit_pending();
    assert_eq!(waiting.wait().expect("it is durable").applied, 1);
    assert!(!engine.has_failed());
    push(&engine, "orders", &order("ann", 2, NEW_YEAR - 4));
    assert_eq!(ids(&engine, "ann"), [2]);
}
