//! A restart changes no answer: from a checkpoint, from the log, from both, with entities hot or cold.

use crate::support::{
    ALL, NEW_YEAR, Random, SeedNote, USERS, World, deduplicating, everything, ids, ids_view, manifest, mixed_view,
    order, push, push_with_key, random_orders, read, source, status,
};
use thalweg_aggregate::Status;
use thalweg_definition::{HOUR, Manifest};
use thalweg_engine::{Clock, ClockMode, Engine};

fn mixed() -> Manifest {
    manifest(vec![source("orders")], vec![mixed_view("mixed", "orders"), ids_view("v", "orders")])
}

/// Pushes at random while the clock goes on, with checkpoints and tidying in between.
fn live(world: &World, engine: &Engine, random: &mut Random, pushes: u64, first_id: i64) {
    for push_number in 0..pushes as i64 {
        world.pass(random.below(2 * HOUR as u64) as i64);
        let rows = random_orders(random, first_id + push_number * 10, world.clock.now());
        push(engine, "orders", &rows);
        match random.below(12) {
            0 => {
                engine.checkpoint().expect("a checkpoint");
            }
            1 => engine.tidy().expect("tidied"),
            _ => {}
        }
    }
}

fn assert_restart_changes_nothing(world: &World, engine: Engine) -> Engine {
    let q = read(&engine, "v.ids", "ann").as_of;
    let before = everything(&engine, &USERS, q);
    let ledger = engine.ledger("orders").expect("a ledger");
    drop(engine);
    let (engine, recovered) = world.open();
    assert!(recovered.warnings.is_empty(), "{:?}", recovered.warnings);
    assert_eq!(recovered.to_build, [""; 0]);
    for (before, after) in before.iter().zip(everything(&engine, &USERS, q)) {
        assert_eq!(*before, after);
    }
    assert_eq!(engine.ledger("orders").expect("a ledger"), ledger);
    engine
}

#[test]
fn restarts_of_random_workloads_change_no_answer() {
    println!("seeds 0 to 19");
    for seed in 0..20 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let mut world = World::new();
        world.settings.clock = if seed % 4 == 3 { ClockMode::Events } else { ClockMode::System };
        let mut engine = world.start(mixed());
        for life in 0..3 {
            let pushes = random.below(40);
            live(&world, &engine, &mut random, pushes, life * 1000);
            engine = assert_restart_changes_nothing(&world, engine);
        }
    }
}

#[test]
fn cold_entities_answer_as_hot_ones() {
    println!("seeds 0 to 9");
    for seed in 0..10 {
        let _note = SeedNote(seed);
        let (mut random, mut same) = (Random(seed), Random(seed));
        let hot = World::new();
        let mut cold = World::new();
        cold.settings.memory_bytes = 1;
        let hot_engine = hot.start(mixed());
        let mut cold_engine = cold.start(mixed());
        for life in 0..3 {
            live(&hot, &hot_engine, &mut random, 25, life * 1000);
            live(&cold, &cold_engine, &mut same, 25, life * 1000);
            let q = read(&hot_engine, "v.ids", "ann").as_of;
            let wanted = everything(&hot_engine, &USERS, q);
            // Reading an entity makes it hot.
            assert_eq!(everything(&cold_engine, &USERS, q), wanted);
            let before = cold_engine.state_memory();
            cold_engine.tidy().expect("tidied");
            assert!(cold_engine.state_memory() < before, "entities were sent to the state store");
            assert_eq!(everything(&cold_engine, &USERS, q), wanted);
            cold_engine.tidy().expect("tidied");
            cold_engine = assert_restart_changes_nothing(&cold, cold_engine);
            assert_eq!(everything(&cold_engine, &USERS, q), wanted);
        }
    }
}

#[test]
fn what_is_remembered_of_pushes_survives_by_log_and_by_checkpoint() {
    for by_checkpoint in [false, true] {
        let world = World::new();
        let engine = world.start(deduplicating());
        let row = order("ann", 1, NEW_YEAR - 5);
        push_with_key(&engine, "orders", &row, Some("k")).expect("taken");
        push(&engine, "orders", &order("bob", 2, NEW_YEAR - 5));
        if by_checkpoint {
            engine.checkpoint().expect("a checkpoint");
            engine.checkpoint().expect("a second one, so that the log may go");
            push(&engine, "orders", &order("eve", 3, NEW_YEAR - 5));
        }
        drop(engine);
        let (engine, recovered) = world.open();
        // Declaring the views complete made the first checkpoint.
        assert_eq!(recovered.replayed, if by_checkpoint { 1 } else { 2 });
        assert!(push_with_key(&engine, "orders", &row, Some("k")).expect("taken").repeated);
        assert_eq!(push(&engine, "orders", &order("bob", 2, NEW_YEAR - 7)).deduplicated, 1);
        assert_eq!((ids(&engine, "ann"), ids(&engine, "bob")), (vec![1], vec![2]));
    }
}

#[test]
fn the_log_is_cut_only_where_nobody_needs_it() {
    let world = World::new();
    let engine = world.start(mixed());
    let mut random = Random(1);
    let fill = |random: &mut Random, first_id: i64| {
        for number in 0..40i64 {
            push(&engine, "orders", &random_orders(random, first_id + number * 10, world.clock.now()));
        }
    };
    fill(&mut random, 0);
    let all = engine.log_bytes();
    let cut = |history| engine.truncate_log(history, ALL.0, ALL.1).expect("the log is cut");
    assert_eq!(cut(u64::MAX), 0, "the older of two checkpoints needs it");
    engine.checkpoint().expect("a checkpoint");
    assert_eq!(cut(u64::MAX), 0, "the older of two checkpoints needs it still");
    engine.checkpoint().expect("a checkpoint");
    assert_eq!(cut(1), 0, "history does not have it yet");
    let freed = cut(u64::MAX);
    assert!(freed > all / 2, "{freed} of {all}");
    fill(&mut random, 10_000);
    let engine = assert_restart_changes_nothing(&world, engine);
    assert_eq!(status(&read(&engine, "v.ids", "nobody")), Status::NotFound);
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before() {
    println!("seeds 0 to 9");
    for seed in 0..10 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let world = World::new();
        let engine = world.start(mixed());
        for life in 0..3 {
            let pushes = 1 + random.below(20);
            live(&world, &engine, &mut random, pushes, life * 1000);
            engine.checkpoint().expect("a checkpoint");
            engine.truncate_log(u64::MAX, ALL.0, ALL.1).expect("the log is cut");
        }
        live(&world, &engine, &mut random, 5, 9000);
        engine.checkpoint().expect("a checkpoint");
        let q = read(&engine, "v.ids", "ann").as_of;
        let before = everything(&engine, &USERS, q);
        drop(engine);
        world.damage_checkpoints(1);
        let (engine, recovered) = world.open();
        assert_eq!(recovered.warnings.len(), 1, "{:?}", recovered.warnings);
        assert_eq!(recovered.to_build, [""; 0]);
        assert_eq!(everything(&engine, &USERS, q), before);
    }
}

#[test]
fn without_any_checkpoint_the_log_gives_everything() {
    let world = World::new();
    let engine = world.start(mixed());
    let mut random = Random(5);
    live(&world, &engine, &mut random, 30, 0);
    let q = read(&engine, "v.ids", "ann").as_of;
    let before = everything(&engine, &USERS, q);
    engine.checkpoint().expect("a checkpoint");
    drop(engine);
    world.damage_checkpoints(2);
    let (engine, recovered) = world.open();
    assert_eq!((recovered.checkpoint, recovered.warnings.len()), (None, 2), "{:?}", recovered.warnings);
    assert_eq!(recovered.to_build, [""; 0]);
    assert_eq!(everything(&engine, &USERS, q), before);
}
