//! A disk that is full refuses and goes on; a sync that fails stops the writing.

use crate::support::{
    NEW_YEAR, SeedNote, World, change_source, counted, deduplicating, ids, ids_view, manifest, order, push,
    push_with_key, request,
};
use serde_json::json;

#[test]
fn a_push_refused_by_a_full_disk_never_happened() {
    let world = World::new();
    let engine = world.start(deduplicating());
    push(&engine, "orders", &order("ann", 1, NEW_YEAR - 5));
    let ledger = engine.ledger("orders").expect("a ledger");
    world.disk.set_capacity(Some(world.disk.used()));
    let row = order("ann", 2, NEW_YEAR - 5);
    for _ in 0..2 {
        let refused = push_with_key(&engine, "orders", &row, Some("k")).expect_err("the disk is full");
        assert_eq!(refused.code(), "UNAVAILABLE", "{refused}");
    }
    assert!(!engine.has_failed());
    assert_eq!(ids(&engine, "ann"), [1]);
    assert_eq!(engine.ledger("orders").expect("a ledger"), ledger);
    world.disk.set_capacity(None);
    let ack = push_with_key(&engine, "orders", &row, Some("k")).expect("there is room");
    assert_eq!((ack.applied, ack.deduplicated, ack.repeated), (1, 0, false));
    assert!(push_with_key(&engine, "orders", &row, Some("k")).expect("a retry").repeated);
    assert_eq!(push(&engine, "orders", &row).deduplicated, 1);
    assert_eq!(ids(&engine, "ann"), [1, 2]);
    drop(engine);
    world.disk.crash(1);
    assert_eq!(ids(&world.open().0, "ann"), [1, 2]);
}

#[test]
fn of_a_group_those_before_the_full_disk_are_kept_and_those_after_are_refused() {
    let mut world = World::new();
    world.settings.log_segment_bytes = 1 << 20;
    let engine = world.start(deduplicating());
    push(&engine, "orders", &order("ann", 1, NEW_YEAR - 5));
    let before = world.disk.used();
    push(&engine, "orders", &order("ann", 2, NEW_YEAR - 5));
    let one = world.disk.used() - before;
    // Room for one and a half.
    world.disk.set_capacity(Some(world.disk.used() + one + one / 2));
    let bodies: Vec<String> = (3..6).map(|id| order("ann", id, NEW_YEAR - 5).to_string()).collect();
    let submit = |body: &String| engine.submit(request("orders", body.as_bytes(), None)).expect("taken");
    let tickets: Vec<_> = bodies.iter().map(submit).collect();
    engine.commit_pending();
    let taken: Vec<bool> = tickets.iter().map(|ticket| ticket.wait().is_ok()).collect();
    assert_eq!(taken, [true, false, false]);
    assert_eq!(ids(&engine, "ann"), [1, 2, 3]);
    world.disk.set_capacity(None);
    for (id, body) in (3..6).zip(&bodies) {
        let ack = engine.push(request("orders", body.as_bytes(), None)).expect("there is room");
        assert_eq!((ack.applied, ack.deduplicated), if id == 3 { (0, 1) } else { (1, 0) });
    }
    assert_eq!(ids(&engine, "ann"), [1, 2, 3, 4, 5]);
    drop(engine);
    let (engine, _) = world.open();
    assert_eq!(ids(&engine, "ann"), [1, 2, 3, 4, 5]);
}

#[test]
fn a_refused_change_leaves_the_row_before_it() {
    let world = World::new();
    let engine = world.start(manifest(vec![change_source("orders")], vec![ids_view("v", "orders")]));
    let change = |op: &str, user: &str, id: i64| json!({"op": op, "user": user, "id": id, "at": NEW_YEAR - 5});
    push(&engine, "orders", &change("insert", "ann", 1));
    world.disk.set_capacity(Some(world.disk.used()));
    let changes = json!([change("delete", "ann", 1), change("insert", "bob", 1), change("insert", "bob", 2)]);
    push_with_key(&engine, "orders", &changes, None).expect_err("the disk is full");
    world.disk.set_capacity(None);
    assert_eq!(push(&engine, "orders", &change("delete", "bob", 2)).quarantined, 1, "it was never there");
    assert_eq!(push(&engine, "orders", &change("update", "eve", 1)).applied, 1);
    let all = |user| ids(&engine, user);
    assert_eq!((all("ann"), all("bob"), all("eve")), (vec![], vec![], vec![1]));
}

#[test]
fn a_failed_sync_stops_the_writing_until_a_restart() {
    println!("seeds 0 to 19");
    for seed in 0..20 {
        let _note = SeedNote(seed);
        let world = World::new();
        let engine = world.start(counted());
        push(&engine, "orders", &order("ann", 1, NEW_YEAR - 5));
        world.disk.fail_next_sync();
        let row = order("ann", 2, NEW_YEAR - 5);
        push_with_key(&engine, "orders", &row, Some("k")).expect_err("the sync failed");
        assert!(engine.has_failed());
        let refused = push_with_key(&engine, "orders", &row, Some("k")).expect_err("writing has stopped");
        assert_eq!(refused.code(), "UNAVAILABLE");
        assert_eq!(ids(&engine, "ann"), [1], "reads go on, of what is durable");
        drop(engine);
        world.disk.crash(seed);
        let (engine, _) = world.open();
        assert!(!engine.has_failed());
        push_with_key(&engine, "orders", &row, Some("k")).expect("the retry is taken");
        assert_eq!(ids(&engine, "ann"), [1, 2]);
    }
}

#[test]
fn a_full_disk_refuses_a_checkpoint_and_the_next_one_has_it_all() {
    let world = World::new();
    let engine = world.start(counted());
    for id in 0..20 {
        push(&engine, "orders", &order("ann", id, NEW_YEAR - 5));
    }
    world.disk.set_capacity(Some(world.disk.used()));
    engine.checkpoint().expect_err("the disk is full");
    assert_eq!(ids(&engine, "ann").len(), 20);
    world.disk.set_capacity(None);
    engine.checkpoint().expect("there is room");
    drop(engine);
    let (engine, recovered) = world.open();
    assert_eq!((recovered.replayed, ids(&engine, "ann").len()), (0, 20));
}
