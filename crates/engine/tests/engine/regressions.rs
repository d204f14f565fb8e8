//! One test for each fault that was found in the engine; each opens with what it keeps out.

use crate::support::{
    ALL, NEW_YEAR, SeedNote, World, backfill, change_source, column, counted, counts, days, deduplicating, feature,
    finish, ids, ids_view, logged, manifest, order, push, push_with_key, read, request, source, status, try_read, view,
    views,
};
use serde_json::{Value as Json, json};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use thalweg_aggregate::Status;
use thalweg_definition::{Aggregation, DAY, DataType, HOUR, Manifest};
use thalweg_engine::{ClockMode, RowLife};

fn changed() -> Manifest {
    manifest(vec![change_source("orders")], vec![ids_view("v", "orders")])
}

fn change(op: &str, user: &str, id: i64) -> Json {
    json!({"op": op, "user": user, "id": id, "at": NEW_YEAR - 5, "amount": 20.0})
}

/// Deleting an old row made an entity without rows, newly touched; when it left, everything up to the deletion
/// counted as forgotten, and for a whole window every unknown entity of the view answered an error.
#[test]
fn an_old_row_deleted_makes_no_other_entity_unreadable() {
    let world = World::new();
    let rows = feature("rows", Aggregation::Count, None, vec![days(1)]);
    let engine = world.start(manifest(vec![change_source("orders")], vec![view("recent", "orders", vec![rows])]));
    push(&engine, "orders", &change("insert", "ann", 1));
    world.pass(10 * DAY);
    engine.tidy().expect("tidied");
    let mut delete = change("delete", "ann", 1);
    delete["at"] = json!(NEW_YEAR + 10 * DAY - 5);
    push(&engine, "orders", &delete);
    engine.tidy().expect("tidied");
    assert_eq!(status(&read(&engine, "recent.rows_1d", "bob")), Status::NotFound);
    let mut insert = change("insert", "eve", 2);
    insert["at"] = json!(NEW_YEAR + 10 * DAY - 5);
    push(&engine, "orders", &insert);
    assert_eq!(status(&read(&engine, "recent.rows_1d", "eve")), Status::Present);
}

/// The entity was marked as gone before its deletion was stored; where that failed it stayed in the map, and the
/// next row for it waited for ever, with the committer in its hands.
#[test]
fn an_entity_whose_removal_fails_can_still_be_written() {
    let world = World::new();
    let rows = feature("rows", Aggregation::Count, None, vec![days(1)]);
    let engine = world.start(manifest(vec![source("orders")], vec![view("recent", "orders", vec![rows])]));
    push(&engine, "orders", &order("ann", 1, NEW_YEAR - HOUR));
    engine.checkpoint().expect("a checkpoint");
    drop(engine);
    let (engine, _) = world.open();
    world.pass(5 * DAY);
    world.disk.set_capacity(Some(world.disk.used()));
    engine.tidy().expect_err("the disk is full, and the deletion needs a new segment");
    world.disk.set_capacity(None);
    let (done, finished) = mpsc::channel();
    thread::spawn(move || {
        push(&engine, "orders", &order("ann", 2, NEW_YEAR + 5 * DAY - HOUR));
        done.send(status(&read(&engine, "recent.rows_1d", "ann")))
    });
    let status = finished.recv_timeout(Duration::from_secs(20)).expect("the push was never answered");
    assert_eq!(status, Status::Present);
}

/// A checkpoint that failed had taken what was fresh, so that the next one lacked it: after a restart a retry and
/// a duplicate counted again.
#[test]
fn a_failed_checkpoint_loses_nothing_for_the_next() {
    let world = World::new();
    let engine = world.start(deduplicating());
    let row = order("ann", 1, NEW_YEAR - 5);
    push_with_key(&engine, "orders", &row, Some("k")).expect("taken");
    world.disk.set_capacity(Some(world.disk.used()));
    engine.checkpoint().expect_err("the disk is full");
    world.disk.set_capacity(None);
    engine.checkpoint().expect("there is room");
    drop(engine);
    let (engine, _) = world.open();
    assert!(push_with_key(&engine, "orders", &row, Some("k")).expect("taken").repeated, "the key is known");
    assert_eq!(push(&engine, "orders", &row).deduplicated, 1, "the row is known");
    assert_eq!(ids(&engine, "ann"), [1]);
}

/// The same of change sources: a later delete found no row to take back.
#[test]
fn a_failed_checkpoint_loses_no_current_row() {
    let world = World::new();
    let engine = world.start(changed());
    push(&engine, "orders", &change("insert", "ann", 1));
    world.disk.set_capacity(Some(world.disk.used()));
    engine.checkpoint().expect_err("the disk is full");
    world.disk.set_capacity(None);
    engine.checkpoint().expect("there is room");
    drop(engine);
    let (engine, _) = world.open();
    assert_eq!(push(&engine, "orders", &change("delete", "ann", 1)).applied, 1);
    assert_eq!(ids(&engine, "ann"), [0i64; 0]);
}

/// While pushes were waiting, a checkpoint left out all current rows, also those before its position, which no
/// replay brings back.
#[test]
fn a_checkpoint_under_load_has_the_current_rows() {
    let world = World::new();
    let engine = world.start(changed());
    push(&engine, "orders", &change("insert", "ann", 1));
    let waiting = change("insert", "bob", 2).to_string();
    let _ = engine.submit(request("orders", waiting.as_bytes(), None)).expect("taken");
    engine.checkpoint().expect("a checkpoint");
    drop(engine);
    world.disk.crash(3);
    let (engine, _) = world.open();
    assert_eq!(ids(&engine, "ann"), [1]);
    assert_eq!(push(&engine, "orders", &change("delete", "ann", 1)).applied, 1);
    assert_eq!(ids(&engine, "ann"), [0i64; 0]);
    assert_eq!(push(&engine, "orders", &change("delete", "bob", 2)).quarantined, 1, "it was never durable");
}

/// After a failed sync the duplicates' memory kept the rows that were not durable, and a checkpoint made that
/// memory durable: the retry after the restart was dropped as a duplicate, and the rows were lost.
#[test]
fn a_checkpoint_after_a_failed_sync_remembers_no_lost_row() {
    println!("seeds 0 to 19");
    for seed in 0..20 {
        let _note = SeedNote(seed);
        let world = World::new();
        let engine = world.start(deduplicating());
        push(&engine, "orders", &order("ann", 1, NEW_YEAR - 5));
        world.disk.fail_next_sync();
        push_with_key(&engine, "orders", &order("ann", 2, NEW_YEAR - 5), None).expect_err("the sync failed");
        // Whether it refuses or not.
        let _ = engine.checkpoint();
        drop(engine);
        world.disk.crash(seed);
        let (engine, _) = world.open();
        push(&engine, "orders", &order("ann", 2, NEW_YEAR - 5));
        assert_eq!(ids(&engine, "ann"), [1, 2]);
    }
}

/// On the system's clock a restart took the newest event time for a time that the clock had shown: one device with
/// a wrong clock moved the engine's into the future, and everything in the present was expired.
#[test]
fn an_event_from_the_future_does_not_move_the_systems_clock() {
    for by_checkpoint in [false, true] {
        let world = World::new();
        let engine = world.start(counted());
        push(&engine, "orders", &json!([order("ann", 1, NEW_YEAR - 5), order("ann", 2, NEW_YEAR + 1000 * DAY)]));
        assert_eq!(ids(&engine, "ann"), [1]);
        if by_checkpoint {
            engine.checkpoint().expect("a checkpoint");
        }
        drop(engine);
        let (engine, _) = world.open();
        assert!(engine.now() < NEW_YEAR + HOUR, "the clock shows {}", engine.now());
        assert_eq!(ids(&engine, "ann"), [1]);
    }
}

/// A push that a full disk refused had moved the clock of events, which then fell back at a restart.
#[test]
fn a_refused_push_does_not_move_the_clock_of_events() {
    let mut world = World::new();
    world.settings.clock = ClockMode::Events;
    let engine = world.start(counted());
    push(&engine, "orders", &order("ann", 1, NEW_YEAR));
    world.disk.set_capacity(Some(world.disk.used()));
    push_with_key(&engine, "orders", &order("ann", 2, NEW_YEAR + DAY), None).expect_err("the disk is full");
    world.disk.set_capacity(None);
    assert!(engine.now() < NEW_YEAR + HOUR, "the clock shows {}", engine.now());
    assert!(read(&engine, "v.ids", "ann").as_of < NEW_YEAR + HOUR);
}

/// Under the clock of events the newest row of a backfill was acknowledged and not seen by the next read.
#[test]
fn the_newest_row_of_a_backfill_is_seen() {
    let mut world = World::new();
    world.settings.clock = ClockMode::Events;
    let engine = world.start(counted());
    backfill(&engine, "orders", &json!([order("ann", 1, NEW_YEAR - 5), order("ann", 2, NEW_YEAR)]));
    assert_eq!(ids(&engine, "ann"), [1, 2]);
    drop(engine);
    assert_eq!(ids(&world.open().0, "ann"), [1, 2]);
}

/// Current rows were kept by the position of their columns: after a manifest with a new column in front, what was
/// taken back was read from the wrong ones.
#[test]
fn current_rows_outlive_a_new_column() {
    for restart in [false, true] {
        let world = World::new();
        let mut engine = world.start(changed());
        push(&engine, "orders", &change("insert", "ann", 1));
        let mut wider = changed();
        wider.sources[0].columns.insert(0, column("region", DataType::String));
        let applied = world.apply(&engine, wider);
        assert_eq!(applied.to_build, [""; 0], "the view does not use the column");
        if restart {
            engine.checkpoint().expect("a checkpoint");
            drop(engine);
            engine = world.open().0;
        }
        assert_eq!(push(&engine, "orders", &change("delete", "ann", 1)).applied, 1);
        assert_eq!(ids(&engine, "ann"), [0i64; 0]);
    }
}

/// A row was taken back live before history had brought it to a view being filled: the retraction found nothing,
/// and the row stayed for ever.
#[test]
fn a_row_taken_back_before_history_brings_it_stays_away() {
    let world = World::new();
    let engine = world.start(changed());
    push(&engine, "orders", &change("insert", "ann", 1));
    let mut with_another = changed();
    with_another.views.push(ids_view("w", "orders"));
    let applied = world.apply(&engine, with_another);
    push(&engine, "orders", &json!([change("delete", "ann", 1), change("insert", "ann", 2)]));
    let rows = logged(&engine)[0].1.rows.clone();
    let life = RowLife { time: NEW_YEAR - 5, arrival: NEW_YEAR, sequence: 1, retracted: None };
    let view = &views(&engine, &applied.to_build)[0];
    engine.backfill_change(view, "orders", &rows, &[life]).expect("history is taken");
    finish(&engine, &applied.to_build);
    assert_eq!(counts(&read(&engine, "w.ids", "ann")).into_keys().collect::<Vec<_>>(), [2]);
}

/// With every checkpoint damaged and the log cut, views are filled again from history; a checkpoint of the half
/// filled ones made the next start take them for whole.
#[test]
fn a_lost_state_stays_to_be_built_until_it_is() {
    let world = World::new();
    let engine = world.start(counted());
    for id in 0..40 {
        push(&engine, "orders", &order("ann", id, NEW_YEAR - 5));
    }
    engine.checkpoint().expect("a checkpoint");
    engine.checkpoint().expect("a checkpoint");
    assert!(engine.truncate_log(u64::MAX, ALL.0, ALL.1).expect("the log is cut") > 0);
    drop(engine);
    world.damage_checkpoints(2);
    let (engine, recovered) = world.open();
    assert_eq!(recovered.to_build, ["v"]);
    assert_eq!(status(&read(&engine, "v.ids", "ann")), Status::Error);
    engine.checkpoint().expect("a checkpoint");
    drop(engine);
    let (engine, recovered) = world.open();
    assert_eq!(recovered.to_build, ["v"], "it is still not built");
    assert_eq!(status(&read(&engine, "v.ids", "ann")), Status::Error);
}

/// The checkpoint fallen back to is older than the building of a view; the view was taken for whole, with nothing
/// of what history had given it.
#[test]
fn a_view_built_after_the_checkpoint_in_use_is_built_again() {
    let world = World::new();
    let engine = world.start(counted());
    push(&engine, "orders", &order("ann", 1, NEW_YEAR - 5));
    engine.checkpoint().expect("a checkpoint");
    let mut with_another = counted();
    with_another.views.push(ids_view("w", "orders"));
    let applied = world.apply(&engine, with_another);
    let (_, batch) = &logged(&engine)[0];
    let view = &views(&engine, &applied.to_build)[0];
    engine.backfill(view, "orders", &batch.rows, &[NEW_YEAR], &[1]).expect("history is taken");
    finish(&engine, &applied.to_build);
    assert_eq!(counts(&read(&engine, "w.ids", "ann")).len(), 1);
    drop(engine);
    world.damage_checkpoints(1);
    let (engine, recovered) = world.open();
    let answer = read(&engine, "w.ids", "ann");
    let known_to_be_missing = recovered.to_build == ["w"] && status(&answer) == Status::Error;
    assert!(known_to_be_missing || counts(&answer).len() == 1, "an answer without what history gave");
}

/// A restart forgot the position of the older checkpoint, so that the log was cut up to the newer one; when that
/// was damaged, the start from the older one went over the gap without a word.
#[test]
fn a_gap_between_a_checkpoint_and_the_log_is_never_passed_over() {
    let world = World::new();
    let mut engine = world.start(counted());
    for round in 0..2 {
        for id in 0..40 {
            push(&engine, "orders", &order("ann", round * 40 + id, NEW_YEAR - 5));
        }
        engine.checkpoint().expect("a checkpoint");
    }
    drop(engine);
    engine = world.open().0;
    engine.truncate_log(u64::MAX, ALL.0, ALL.1).expect("the log is cut");
    drop(engine);
    world.damage_checkpoints(1);
    let (engine, recovered) = world.open();
    let answer = read(&engine, "v.ids", "ann");
    let known_to_be_missing = recovered.to_build == ["v"] && status(&answer) == Status::Error;
    assert!(known_to_be_missing || counts(&answer).len() == 80, "{} of 80 rows, and no word", counts(&answer).len());
}

/// A delete may come without its event time; backfilled, it was taken to have happened in 1970.
#[test]
fn a_backfilled_delete_without_a_time_does_not_reach_into_the_past() {
    let world = World::new();
    let engine = world.start(changed());
    let mut insert = change("insert", "ann", 1);
    insert["at"] = json!(NEW_YEAR - 2 * DAY);
    backfill(&engine, "orders", &insert);
    world.pass(DAY);
    backfill(&engine, "orders", &json!({"op": "delete", "user": "ann", "id": 1}));
    world.pass(DAY);
    let as_of = |q| counts(&try_read(&engine, &["v.ids"], &["ann"], Some(q)).expect("answered")).len();
    assert_eq!((as_of(NEW_YEAR), as_of(NEW_YEAR + 2 * DAY)), (1, 0));
}

/// Idempotency keys were of the engine and not of the source: a push to another source with the same key was
/// acknowledged with the first one's numbers, and its rows were dropped.
#[test]
fn an_idempotency_key_belongs_to_its_source() {
    let world = World::new();
    let sources = vec![source("orders"), source("returns")];
    let engine = world.start(manifest(sources, vec![ids_view("v", "orders"), ids_view("w", "returns")]));
    push_with_key(&engine, "orders", &order("ann", 1, NEW_YEAR - 5), Some("2024-01-01")).expect("taken");
    let ack = push_with_key(&engine, "returns", &order("ann", 2, NEW_YEAR - 5), Some("2024-01-01")).expect("taken");
    assert_eq!((ack.source.as_str(), ack.applied, ack.repeated), ("returns", 1, false));
    assert_eq!(counts(&read(&engine, "w.ids", "ann")).len(), 1);
}

/// Bounds were compared in the order of aggregations, in which -0.0 is below 0.0.
#[test]
fn a_negative_zero_is_not_below_zero() {
    let world = World::new();
    let mut manifest = counted();
    manifest.sources[0].columns[3].min = Some("0".to_owned());
    let engine = world.start(manifest);
    let mut row = order("ann", 1, NEW_YEAR - 5);
    row["amount"] = json!(-0.0);
    assert_eq!(push(&engine, "orders", &row).applied, 1);
}
