//! Change sources: what an update or a delete takes back is gone from every aggregation, and the rest stays.

use crate::support::{
    NEW_YEAR, Random, SeedNote, USERS, World, change_source, counts, feature, ids, ids_view, manifest, push, try_read,
    view,
};
use arrow::array::{Array, AsArray};
use arrow::datatypes::Float64Type;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use thalweg_definition::{Aggregation, HOUR, Manifest, Window};
use thalweg_engine::{Clock, Engine};

fn changed() -> Manifest {
    let most =
        view("most", "orders", vec![feature("amount", Aggregation::Max, Some("amount"), vec![Window::Unbounded])]);
    manifest(vec![change_source("orders")], vec![most, ids_view("v", "orders")])
}

fn change(op: &str, user: &str, id: i64, at: i64, amount: f64) -> Json {
    json!({"op": op, "user": user, "id": id, "at": at, "amount": amount})
}

fn most(engine: &Engine, user: &str) -> Option<f64> {
    let response = try_read(engine, &["most.amount"], &[user], None).expect("the read is answered");
    let values = response.results[0].values.as_primitive::<Float64Type>();
    (!values.is_null(0)).then(|| values.value(0))
}

#[test]
fn an_update_takes_the_row_before_it_back() {
    let world = World::new();
    let engine = world.start(changed());
    push(
        &engine,
        "orders",
        &json!([change("insert", "ann", 1, NEW_YEAR - 9, 5.0), change("insert", "ann", 2, NEW_YEAR - 8, 9.0)]),
    );
    assert_eq!(most(&engine, "ann"), Some(9.0));
    push(&engine, "orders", &change("update", "ann", 2, NEW_YEAR - 7, 3.0));
    assert_eq!((most(&engine, "ann"), ids(&engine, "ann")), (Some(5.0), vec![1, 2]));
    push(&engine, "orders", &change("delete", "ann", 1, NEW_YEAR - 6, 0.0));
    assert_eq!((most(&engine, "ann"), ids(&engine, "ann")), (Some(3.0), vec![2]));
    push(&engine, "orders", &change("delete", "ann", 2, NEW_YEAR - 5, 0.0));
    assert_eq!((most(&engine, "ann"), ids(&engine, "ann")), (None, vec![]));
    push(&engine, "orders", &change("insert", "ann", 2, NEW_YEAR - 4, 1.0));
    assert_eq!((most(&engine, "ann"), ids(&engine, "ann")), (Some(1.0), vec![2]));
}

#[test]
fn an_update_may_move_a_row_to_another_entity() {
    let world = World::new();
    let engine = world.start(changed());
    push(&engine, "orders", &change("insert", "ann", 1, NEW_YEAR - 9, 5.0));
    push(&engine, "orders", &change("update", "bob", 1, NEW_YEAR - 8, 6.0));
    assert_eq!((ids(&engine, "ann"), ids(&engine, "bob")), (vec![], vec![1]));
    assert_eq!((most(&engine, "ann"), most(&engine, "bob")), (None, Some(6.0)));
}

#[test]
fn changes_of_one_row_in_one_push_follow_each_other() {
    let world = World::new();
    let engine = world.start(changed());
    let ack = push(
        &engine,
        "orders",
        &json!([
            change("insert", "ann", 1, NEW_YEAR - 9, 5.0),
            change("update", "ann", 1, NEW_YEAR - 8, 7.0),
            change("insert", "ann", 2, NEW_YEAR - 8, 1.0),
            change("update", "bob", 1, NEW_YEAR - 7, 8.0),
            change("delete", "bob", 1, NEW_YEAR - 6, 0.0),
            change("insert", "ann", 1, NEW_YEAR - 5, 2.0),
        ]),
    );
    assert_eq!((ack.applied, ack.quarantined), (6, 0));
    assert_eq!((ids(&engine, "ann"), ids(&engine, "bob")), (vec![1, 2], vec![]));
    assert_eq!((most(&engine, "ann"), most(&engine, "bob")), (Some(2.0), None));
}

#[test]
fn a_delete_of_a_row_that_is_not_there_is_set_aside() {
    let world = World::new();
    let engine = world.start(changed());
    let ack = push(
        &engine,
        "orders",
        &json!([
            change("delete", "ann", 1, NEW_YEAR - 9, 0.0),
            change("insert", "ann", 1, NEW_YEAR - 8, 1.0),
            {"op": "delete", "id": 1, "user": "ann"},
            {"op": "delete", "id": 1, "user": "ann"},
            {"op": "upsert", "id": 2, "user": "ann", "at": NEW_YEAR - 8},
        ]),
    );
    assert_eq!((ack.applied, ack.quarantined), (2, 3));
    let rows: Vec<u32> = ack.errors.iter().map(|error| error.row).collect();
    assert_eq!(rows, [0, 3, 4]);
    assert_eq!(ids(&engine, "ann"), [0i64; 0]);
}

#[test]
fn what_was_taken_back_is_still_seen_before_that() {
    let world = World::new();
    let engine = world.start(changed());
    push(&engine, "orders", &change("insert", "ann", 1, NEW_YEAR - 9, 5.0));
    world.pass(HOUR);
    let before = NEW_YEAR + HOUR / 2;
    push(&engine, "orders", &change("delete", "ann", 1, NEW_YEAR + HOUR - 1, 0.0));
    assert_eq!(ids(&engine, "ann"), [0i64; 0]);
    let earlier = try_read(&engine, &["v.ids"], &["ann"], Some(before)).expect("the read is answered");
    assert_eq!(counts(&earlier), BTreeMap::from([(1, 1)]));
}

#[test]
fn changes_in_an_envelope_are_changes() {
    let world = World::new();
    let engine = world.start(changed());
    let image = |amount: f64, at: i64| json!({"user": "ann", "id": 1, "at": at, "amount": amount});
    let rows = json!([
        {"op": "c", "before": null, "after": image(5.0, NEW_YEAR - 9)},
        {"op": "u", "before": image(5.0, NEW_YEAR - 9), "after": image(2.0, NEW_YEAR - 8)},
    ]);
    assert_eq!(push(&engine, "orders", &rows).applied, 2);
    assert_eq!(most(&engine, "ann"), Some(2.0));
    let gone = json!({"op": "d", "before": image(2.0, NEW_YEAR - 7), "after": null});
    assert_eq!(push(&engine, "orders", &gone).applied, 1);
    assert_eq!(most(&engine, "ann"), None);
}

/// A table as the changes leave it: user and amount by id.
type Table = BTreeMap<i64, (usize, f64)>;

fn random_changes(random: &mut Random, table: &mut Table, now: i64) -> Json {
    let changes = (0..1 + random.below(5)).map(|_| {
        let (id, user) = (random.below(15) as i64, random.below(3) as usize);
        let at = now - 1 - random.below(HOUR as u64) as i64;
        if table.contains_key(&id) && random.below(3) == 0 {
            table.remove(&id);
            return change("delete", USERS[user], id, at, 0.0);
        }
        let amount = random.below(800) as f64 / 8.0;
        let op = if table.insert(id, (user, amount)).is_some() { "update" } else { "insert" };
        change(op, USERS[user], id, at, amount)
    });
    Json::Array(changes.collect())
}

#[test]
fn random_changes_leave_what_the_table_holds_across_crashes() {
    println!("seeds 0 to 29");
    for seed in 0..30 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let world = World::new();
        let mut engine = world.start(changed());
        let mut table = Table::new();
        for _ in 0..40 {
            world.pass(2 * HOUR);
            let changes = random_changes(&mut random, &mut table, world.clock.now());
            assert_eq!(push(&engine, "orders", &changes).quarantined, 0);
            match random.below(6) {
                0 => {
                    engine.checkpoint().expect("a checkpoint");
                }
                1 => engine.tidy().expect("tidied"),
                2 => {
                    drop(engine);
                    world.disk.crash(random.below(1 << 40));
                    engine = world.open().0;
                }
                _ => {}
            }
            for (user, name) in USERS.iter().enumerate().take(3) {
                let own = || table.iter().filter(move |(_, (owner, _))| *owner == user);
                let wanted: Vec<i64> = own().map(|(id, _)| *id).collect();
                assert_eq!(ids(&engine, name), wanted, "{name}");
                let highest = own().map(|(_, (_, amount))| *amount).max_by(f64::total_cmp);
                assert_eq!(most(&engine, name), highest, "{name}");
            }
        }
    }
}
