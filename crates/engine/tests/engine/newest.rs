//! What writes that build on each other need: the newest value whatever the clock says, and never to stand on a push
//! that could not be written.

use crate::support::{
    NEW_YEAR, World, counted, feature, ids, manifest, order, push, read, request, source, status, view,
};
use serde_json::{Value as Json, json};
use std::time::Duration as Patience;
use thalweg_aggregate::{Answer, Cell, Status, Value, encode_key};
use thalweg_definition::{Aggregation, Duration, HOUR, Manifest, SECOND, Window};
use thalweg_engine::Engine;

/// The newest amount, stale after a second.
fn latest() -> Manifest {
    let latest = feature("amount", Aggregation::Latest, Some("amount"), vec![Window::Unbounded]);
    let mut view = view("newest", "orders", vec![latest]);
    view.staleness = Some(Duration::from_micros(SECOND));
    manifest(vec![source("orders")], vec![view])
}

fn newest(engine: &Engine, user: &str) -> Answer {
    let mut key = Vec::new();
    encode_key(Cell::Bytes(user.as_bytes()), &mut key);
    let runtime = engine.runtime().expect("a manifest is in force");
    engine.newest(&runtime.views["newest"], &key).expect("the view is filled").remove(0)
}

#[test]
fn the_newest_value_is_known_whatever_the_clock_and_staleness_say() {
    let world = World::new();
    let engine = world.start(latest());
    assert_eq!(newest(&engine, "ann").status, Status::NotFound);
    push(&engine, "orders", &order("ann", 1, NEW_YEAR - HOUR));
    assert_eq!(status(&read(&engine, "newest.amount", "ann")), Status::Stale);
    let answer = newest(&engine, "ann");
    assert_eq!((answer.value, answer.event_time), (Value::Float(1.0), Some(NEW_YEAR - HOUR)));
    push(&engine, "orders", &order("ann", 2, NEW_YEAR + HOUR));
    let answer = newest(&engine, "ann");
    assert_eq!((answer.value, answer.event_time), (Value::Float(2.0), Some(NEW_YEAR + HOUR)));
}

#[test]
fn an_earlier_push_is_known_by_its_key_before_and_after_its_commit() {
    let world = World::new();
    let engine = world.start(counted());
    assert!(engine.pushed_before("orders", "k").is_none());
    let body = order("ann", 1, NEW_YEAR - 5).to_string();
    let first = engine.submit(request("orders", body.as_bytes(), Some("k"))).expect("taken");
    assert!(!first.is_repeated());
    let again = engine.pushed_before("orders", "k").expect("it is on its way");
    assert!(again.is_repeated() && !again.is_done());
    assert!(again.wait_for(Patience::from_millis(1)).is_none(), "nobody has committed");
    engine.commit_pending();
    assert!(!first.wait().expect("durable").repeated);
    let again = again.wait_for(Patience::ZERO).expect("settled").expect("durable");
    assert!(again.repeated);
    let later = engine.pushed_before("orders", "k").expect("it is remembered");
    assert!(later.is_repeated() && later.wait().expect("durable").first_sequence == again.first_sequence);
    assert!(engine.pushed_before("others", "k").is_none());
}

/// A row that was computed from another could slip in right after the other was taken back.
#[test]
fn nothing_is_taken_that_builds_on_a_failed_push() {
    let world = World::new();
    let engine = world.start(counted());
    world.disk.set_capacity(Some(world.disk.used()));
    let body = order("ann", 1, NEW_YEAR - 5).to_string();
    let first = engine.submit(request("orders", body.as_bytes(), None)).expect("taken");
    let second = order("ann", 2, NEW_YEAR - 5).to_string();
    let second = engine.submit_after(request("orders", second.as_bytes(), None), Some(&first)).expect("taken").ticket;
    engine.commit_pending();
    first.wait().expect_err("the disk is full");
    second.wait().expect_err("it went with the first");
    world.disk.set_capacity(None);
    let third = order("ann", 3, NEW_YEAR - 5).to_string();
    let refused = engine.submit_after(request("orders", third.as_bytes(), None), Some(&first)).err();
    assert_eq!(refused.expect("it stands on nothing").code(), "OVERLOADED");
    let alone = engine.submit_after(request("orders", third.as_bytes(), None), None).expect("taken").ticket;
    engine.commit_pending();
    let alone_settled = alone.wait().expect("durable");
    assert_eq!(alone_settled.applied, 1);
    let fourth = order("ann", 4, NEW_YEAR - 5).to_string();
    let fourth = engine.submit_after(request("orders", fourth.as_bytes(), None), Some(&alone)).expect("taken").ticket;
    engine.commit_pending();
    fourth.wait().expect("the one it stands on is durable");
    assert_eq!(ids(&engine, "ann"), [3, 4]);
}

/// What the next write builds on are the rows that the log gets, and not those that were sent.
#[test]
fn a_push_says_which_of_its_rows_go_to_the_log() {
    let world = World::new();
    let engine = world.start(counted());
    let rows = |row: &Json, key: Option<&str>| {
        let body = row.to_string();
        let submitted = engine.submit_after(request("orders", body.as_bytes(), key), None).expect("taken");
        engine.commit_pending();
        submitted.ticket.wait().expect("acknowledged");
        submitted.rows.map(|rows| rows.num_rows())
    };
    let mut row = order("ann", 1, NEW_YEAR - 5);
    assert_eq!(rows(&row, Some("k")), Some(1));
    assert_eq!(rows(&row, Some("k")), None, "a repeat brings none");
    row["units"] = json!(-2000);
    assert_eq!(rows(&row, None), Some(0), "it breaks the contract");
}
