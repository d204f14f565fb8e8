//! The way of a push: acknowledged and seen, once however often it is sent, every row accounted for.

use crate::support::{
    NEW_YEAR, Random, SeedNote, World, counted, days, deduplicating, feature, finish, ids, logged, manifest, order,
    push, push_with_key, random_orders, read, request, source, status, try_read, view,
};
use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use serde_json::json;
use std::sync::atomic::Ordering;
use thalweg_aggregate::Status;
use thalweg_definition::{Aggregation, DAY, HOUR, Manifest};
use thalweg_engine::{ArrivalKind, Engine, FeatureResponse, Input, PushRequest};

fn int(response: &FeatureResponse) -> i64 {
    response.results[0].values.as_primitive::<Int64Type>().value(0)
}

#[test]
fn what_was_acknowledged_is_read() {
    let world = World::new();
    let engine = world.start(counted());
    let ack = push(&engine, "orders", &json!([order("ann", 1, NEW_YEAR - 5), order("bob", 2, NEW_YEAR - 5)]));
    assert_eq!((ack.read, ack.applied, ack.repeated, ack.arrival_time), (2, 2, false, ArrivalKind::Clock));
    assert_eq!(ids(&engine, "ann"), [1]);
    let next = push(&engine, "orders", &order("ann", 3, NEW_YEAR - 9));
    assert_eq!(next.first_sequence, ack.first_sequence + 2);
    assert_eq!((ids(&engine, "ann"), ids(&engine, "bob")), (vec![1, 3], vec![2]));
    let unknown = read(&engine, "v.ids", "nobody");
    assert_eq!(status(&unknown), Status::NotFound);
    assert_eq!(ids(&engine, "nobody"), [0i64; 0]);
}

#[test]
fn lines_and_arrays_are_the_same_rows() {
    let world = World::new();
    let engine = world.start(counted());
    let lines = format!("{}\n\n{}\n", order("ann", 1, NEW_YEAR - 5), order("ann", 2, NEW_YEAR - 5));
    let push = |input| {
        let request = PushRequest { source: "orders", input, idempotency_key: None, backfill: false };
        engine.push(request).expect("the push is taken")
    };
    assert_eq!(push(Input::Lines(lines.as_bytes())).applied, 2);
    assert_eq!(push(Input::Arrow(vec![])).read, 0);
    assert_eq!(push(Input::Json(b"[]")).read, 0);
    assert_eq!(ids(&engine, "ann"), [1, 2]);
}

#[test]
fn a_retry_with_the_same_key_counts_once() {
    let world = World::new();
    let engine = world.start(counted());
    let row = order("ann", 1, NEW_YEAR - 5);
    let first = push_with_key(&engine, "orders", &row, Some("k")).expect("the push is taken");
    let again = push_with_key(&engine, "orders", &row, Some("k")).expect("the retry is acknowledged");
    assert!(!first.repeated && again.repeated);
    assert_eq!(first.first_sequence, again.first_sequence);
    assert_eq!(ids(&engine, "ann"), [1]);
    assert_eq!(engine.ledger("orders").expect("a ledger").read, 1);
    let long = "k".repeat(1000);
    assert_eq!(push_with_key(&engine, "orders", &row, Some(&long)).expect_err("too long").code(), "INVALID");
}

#[test]
fn a_retry_while_the_first_is_on_its_way_waits_for_it() {
    let world = World::new();
    let engine = world.start(counted());
    let body = order("ann", 1, NEW_YEAR - 5).to_string();
    let first = engine.submit(request("orders", body.as_bytes(), Some("k"))).expect("taken");
    let again = engine.submit(request("orders", body.as_bytes(), Some("k"))).expect("taken");
    assert!(!first.is_done() && !again.is_done());
    assert_eq!(engine.commit_pending(), 1);
    assert!(!first.wait().expect("acknowledged").repeated);
    assert!(again.wait().expect("acknowledged").repeated);
    assert_eq!(ids(&engine, "ann"), [1]);
}

#[test]
fn the_first_of_duplicates_wins_whatever_its_time() {
    let world = World::new();
    let engine = world.start(deduplicating());
    let t = NEW_YEAR - 5 * DAY;
    let ack = push(&engine, "orders", &json!([order("ann", 1, t), order("bob", 1, t - DAY), order("ann", 2, t)]));
    assert_eq!((ack.applied, ack.deduplicated), (2, 1));
    assert_eq!(push(&engine, "orders", &order("bob", 1, t + DAY)).deduplicated, 1);
    assert_eq!(push(&engine, "orders", &order("bob", 1, t + DAY + 1)).applied, 1, "too far from the first");
    assert_eq!(push(&engine, "orders", &order("bob", 1, t - DAY - 1)).applied, 1, "too far from both");
    assert_eq!(ids(&engine, "ann"), [1, 2]);
    let mut nameless = order("ann", 0, t);
    nameless["id"] = json!(null);
    assert_eq!(push(&engine, "orders", &json!([nameless, nameless])).applied, 2, "a null key duplicates nothing");
}

#[test]
fn bad_rows_are_set_aside_and_come_back_when_the_rule_is_mended() {
    let world = World::new();
    let engine = world.start(counted());
    let mut small = order("ann", 3, NEW_YEAR - 5);
    small["units"] = json!(-5000);
    let rows = json!([
        order("ann", 1, NEW_YEAR - 5),
        {"user": "ann", "at": "yesterday"},
        {"at": NEW_YEAR - 5, "id": 2},
        small,
        7,
    ]);
    let ack = push(&engine, "orders", &rows);
    assert_eq!((ack.read, ack.applied, ack.quarantined), (5, 1, 4));
    let places: Vec<(u32, Option<&str>)> =
        ack.errors.iter().map(|error| (error.row, error.column.as_deref())).collect();
    assert_eq!(places, [(1, Some("at")), (2, Some("user")), (3, Some("units")), (4, None)]);
    let held = engine.quarantined("orders", 10, 0).expect("the quarantine");
    assert_eq!(held.len(), 4);
    let raw = |index: usize| serde_json::from_slice(&held[index].row.raw).expect("the raw row");
    let (second, fourth): (serde_json::Value, serde_json::Value) = (raw(0), raw(2));
    assert_eq!((&second, &fourth), (&rows[1], &rows[3]));

    let mut mended = counted();
    mended.sources[0].columns.iter_mut().for_each(|column| column.min = None);
    let applied = world.apply(&engine, mended);
    finish(&engine, &applied.to_build);
    let ack = engine.replay_quarantine("orders").expect("the replay");
    assert_eq!((ack.read, ack.applied, ack.quarantined), (4, 1, 3));
    assert_eq!(ids(&engine, "ann"), [1, 3]);
    let waiting = |engine: &Engine| engine.metadata().quarantine_count("orders").expect("a count").waiting;
    assert_eq!(waiting(&engine), 3, "those still bad wait again");
    assert_eq!(engine.replay_quarantine("orders").expect("the replay").applied, 0);
    assert_eq!(ids(&engine, "ann"), [1, 3]);
}

#[test]
fn every_row_is_accounted_for() {
    for seed in 0..10 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let world = World::new();
        let mut manifest = deduplicating();
        manifest.sources[0].filter = Some("amount > 5".to_owned());
        let engine = world.start(manifest);
        let (mut read, mut applied) = (0, 0);
        for _ in 0..30 {
            let first_id = random.below(40) as i64;
            let mut rows = random_orders(&mut random, first_id, NEW_YEAR);
            if random.below(3) == 0 {
                rows[0]["units"] = json!("many");
            }
            let ack = push(&engine, "orders", &rows);
            assert_eq!(ack.read, ack.applied + ack.deduplicated + ack.filtered + ack.quarantined);
            (read, applied) = (read + ack.read, applied + ack.applied);
            let ledger = engine.ledger("orders").expect("a ledger");
            assert_eq!((ledger.read, ledger.applied), (read, applied));
            assert_eq!(ledger.read, ledger.applied + ledger.deduplicated + ledger.filtered + ledger.quarantined);
        }
        let ledger = engine.ledger("orders").expect("a ledger");
        assert_eq!(logged(&engine).len() as u64, ledger.pushes);
        drop(engine);
        assert_eq!(world.open().0.ledger("orders").expect("a ledger"), ledger);
    }
}

#[test]
fn what_is_asked_wrongly_is_refused_by_kind() {
    let world = World::new();
    let (engine, _) = world.open();
    assert_eq!(try_read(&engine, &["v.ids"], &["ann"], None).expect_err("nothing is defined").code(), "NOT_FOUND");
    world.apply(&engine, counted());
    let building = read(&engine, "v.ids", "ann");
    assert_eq!(status(&building), Status::Error);
    assert!(building.results[0].errors[0].1.contains("being filled"), "{:?}", building.results[0].errors);
    assert_eq!(try_read(&engine, &["v.no"], &["ann"], None).expect_err("no such feature").code(), "NOT_FOUND");
    let push = |source, body: &[u8]| engine.push(request(source, body, None)).expect_err("refused").code();
    assert_eq!(push("no", b"[]"), "NOT_FOUND");
    assert_eq!(push("orders", b"[{"), "INVALID");
    assert_eq!(engine.ledger("orders").expect("a ledger").read, 0);
}

fn recent() -> Manifest {
    let rows = feature("rows", Aggregation::Count, None, vec![days(1)]);
    manifest(vec![source("orders")], vec![view("recent", "orders", vec![rows])])
}

#[test]
fn a_row_past_retention_is_acknowledged_and_counted_as_expired() {
    let world = World::new();
    let engine = world.start(recent());
    assert_eq!(push(&engine, "orders", &order("ann", 1, NEW_YEAR - 3 * DAY)).applied, 1);
    let expired = || engine.runtime().expect("a manifest").views["recent"].state.expired.load(Ordering::Relaxed);
    assert_eq!(expired(), 1);
    let answer = read(&engine, "recent.rows_1d", "ann");
    assert_eq!((status(&answer), int(&answer)), (Status::NotFound, 0));
    push(&engine, "orders", &order("ann", 2, NEW_YEAR - DAY + 1000));
    let answer = read(&engine, "recent.rows_1d", "ann");
    assert_eq!((status(&answer), int(&answer), expired()), (Status::Present, 1, 1));
    // A read that would need the row that is not held says so.
    let earlier = try_read(&engine, &["recent.rows_1d"], &["ann"], Some(NEW_YEAR - 2 * DAY)).expect("answered");
    assert_eq!(status(&earlier), Status::Error);
}

#[test]
fn entities_leave_when_their_rows_are_past_retention() {
    let world = World::new();
    let engine = world.start(recent());
    push(&engine, "orders", &json!([order("ann", 1, NEW_YEAR - HOUR), order("bob", 2, NEW_YEAR - 20 * HOUR)]));
    engine.checkpoint().expect("a checkpoint");
    let entities = |engine: &Engine| engine.runtime().expect("a manifest").views["recent"].state.entities();
    world.pass(5 * HOUR);
    engine.tidy().expect("tidied");
    assert_eq!(entities(&engine), 1, "one of them is still recent");
    assert_eq!(status(&read(&engine, "recent.rows_1d", "bob")), Status::NotFound);
    assert_eq!(int(&read(&engine, "recent.rows_1d", "ann")), 1);
    engine.checkpoint().expect("a checkpoint");
    drop(engine);
    let (engine, recovered) = world.open();
    assert_eq!((recovered.entities, entities(&engine)), (1, 1));
    push(&engine, "orders", &order("bob", 3, NEW_YEAR + HOUR));
    assert_eq!(int(&read(&engine, "recent.rows_1d", "bob")), 1);
}
