//! The steps that a source declares: in their order, over rows however they came, with every row accounted for.

use crate::support::{
    NEW_YEAR, Random, SeedNote, USERS, World, amounts, counted, everything, feature, finish, ids, logged, manifest,
    order, push, random_orders, read, source, view,
};
use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use thalweg_definition::{Aggregation, DAY, Dedup, Duration, Manifest, SourceStep, StepKind, Window};
use thalweg_engine::{Ack, Engine, EngineError, Input, Middleware, PushRequest, Rows, SourceRuntime};

fn validate(name: &str, priority: i32, condition: &str) -> SourceStep {
    let kind = StepKind::Validate { expression: condition.to_owned(), reason: format!("fails {name}") };
    SourceStep { name: name.to_owned(), priority, kind }
}

fn transform(name: &str, priority: i32, column: &str, expression: &str) -> SourceStep {
    let kind = StepKind::Transform { column: column.to_owned(), expression: expression.to_owned() };
    SourceStep { name: name.to_owned(), priority, kind }
}

fn stepped(steps: Vec<SourceStep>) -> Manifest {
    let mut manifest = counted();
    manifest.sources[0].steps = steps;
    manifest
}

fn costing(id: i64, amount: f64) -> Json {
    let mut order = order("ann", id, NEW_YEAR - 5);
    order["amount"] = json!(amount);
    order
}

/// The rows that an acknowledgement lists as set aside: index, column, reason.
fn set_aside(ack: &Ack) -> Vec<(u32, Option<&str>, &str)> {
    ack.errors.iter().map(|error| (error.row, error.column.as_deref(), error.reason.as_str())).collect()
}

fn raw(engine: &Engine) -> Vec<Json> {
    let held = engine.quarantined("orders", 100, 0).expect("the quarantine");
    held.iter().map(|row| serde_json::from_slice(&row.row.raw).expect("a row of JSON")).collect()
}

#[test]
fn rows_of_json_go_to_quarantine_as_they_came() {
    let world = World::new();
    let steps = vec![transform("double", -1, "amount", "amount * 2"), validate("costs", 0, "amount > 0")];
    let engine = world.start(stepped(steps));
    let mut free = costing(5, 0.0);
    free["amount"] = json!(null);
    let nobody = json!({"at": NEW_YEAR - 5, "id": 4, "amount": 5.0});
    let rows = json!([
        costing(1, 1.0),
        {"user": "ann", "at": "yesterday"},
        costing(3, -1.0),
        nobody,
        free,
        costing(6, 6.0),
    ]);
    let ack = push(&engine, "orders", &rows);
    assert_eq!((ack.read, ack.applied, ack.quarantined), (6, 2, 4));
    let told = set_aside(&ack);
    assert_eq!((told[0].0, told[0].1), (1, Some("at")));
    assert_eq!(told[1], (2, None, "fails costs"));
    assert_eq!((told[2].0, told[2].1), (3, Some("user")));
    assert_eq!(told[3], (4, None, "fails costs"), "null is not true");
    assert_eq!(raw(&engine), [1, 2, 3, 4].map(|row: usize| rows[row].clone()));
    assert_eq!(amounts(&engine), [Some(2.0), Some(12.0)]);
    assert_eq!(ids(&engine, "ann"), [1, 6]);
}

#[test]
fn rows_of_arrow_go_to_quarantine_as_they_came() {
    let world = World::new();
    let steps = vec![transform("double", -1, "amount", "amount * 2"), validate("costs", 0, "amount > 0")];
    let engine = world.start(stepped(steps));
    let users = [Some("ann"), Some("ann"), Some("ann"), None, Some("ann"), Some("ann")];
    let given = [Some("1"), Some("many"), Some("-1"), Some("5"), None, Some("6")];
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user", Arc::new(StringArray::from(users.to_vec()))),
        ("at", Arc::new(Int64Array::from(vec![NEW_YEAR - 5; 6]))),
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5, 6]))),
        ("amount", Arc::new(StringArray::from(given.to_vec()))),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("a batch");
    // In two parts, so that the rows of the second are counted on from those of the first.
    let input = Input::Arrow(vec![batch.slice(0, 2), batch.slice(2, 4)]);
    let request = PushRequest { source: "orders", input, idempotency_key: None, backfill: false };
    let ack = engine.push(request).expect("the push is taken");
    assert_eq!((ack.read, ack.applied, ack.quarantined), (6, 2, 4));
    let places: Vec<_> = set_aside(&ack).into_iter().map(|(row, column, _)| (row, column)).collect();
    assert_eq!(places, [(1, Some("amount")), (2, None), (3, Some("user")), (4, None)]);
    let held = raw(&engine);
    let told: Vec<(&Json, &Json)> = held.iter().map(|row| (&row["id"], &row["amount"])).collect();
    // What fits its column is kept as that; the rest as it came.
    let (many, minus, five) = (json!("many"), json!(-1.0), json!(5.0));
    assert_eq!(told, [(&json!(2), &many), (&json!(3), &minus), (&json!(4), &five), (&json!(5), &Json::Null)]);
    assert_eq!(amounts(&engine), [Some(2.0), Some(12.0)]);
    assert_eq!(ids(&engine, "ann"), [1, 6]);
}

#[test]
fn a_fraction_is_not_cut_off_to_fit_a_column_of_integers() {
    let world = World::new();
    let engine = world.start(counted());
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("user", Arc::new(StringArray::from(vec!["ann"; 4]))),
        ("at", Arc::new(Int64Array::from(vec![NEW_YEAR - 5; 4]))),
        ("id", Arc::new(Float64Array::from(vec![1.0, 2.5, -0.0, f64::NAN]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("a batch");
    let input = Input::Arrow(vec![batch]);
    let request = PushRequest { source: "orders", input, idempotency_key: None, backfill: false };
    let ack = engine.push(request).expect("the push is taken");
    let reason = "the value does not fit int64";
    assert_eq!(set_aside(&ack), [(1, Some("id"), reason), (3, Some("id"), reason)]);
    assert_eq!(ids(&engine, "ann"), [0, 1]);
}

#[test]
fn steps_run_by_priority_and_then_by_name() {
    let logged = |steps: Vec<SourceStep>| {
        let engine = World::new().start(stepped(steps));
        push(&engine, "orders", &costing(1, 1.0));
        amounts(&engine)
    };
    let small = |priority| validate("small", priority, "amount < 10");
    let scale = |name: &str, priority| transform(name, priority, "amount", "amount * 100");
    assert_eq!(logged(vec![small(5), scale("scale", 9)]), [Some(100.0)]);
    assert_eq!(logged(vec![small(5), scale("scale", 1)]), [None::<f64>; 0]);
    assert_eq!(logged(vec![small(5), scale("tall", 5)]), [Some(100.0)], "`small` comes before `tall`");
    assert_eq!(logged(vec![small(5), scale("long", 5)]), [None::<f64>; 0], "`long` comes before `small`");
}

/// Adds one to each amount.
struct AddOne;

impl Middleware for AddOne {
    fn name(&self) -> &str {
        "add_one"
    }

    fn priority(&self) -> i32 {
        5
    }

    fn concerns_source(&self, source: &thalweg_definition::Source) -> bool {
        source.name == "orders"
    }

    fn before_set(&self, _: &SourceRuntime, rows: &mut Rows<'_>) -> Result<(), EngineError> {
        let column = rows.batch().column_by_name("amount").expect("a column").clone();
        let column: &Float64Array = column.as_any().downcast_ref().expect("floats");
        let more: Float64Array = column.iter().map(|amount| amount.map(|amount| amount + 1.0)).collect();
        rows.replace("amount", Arc::new(more)).map_err(EngineError::Invalid)
    }
}

#[test]
fn a_middleware_stands_among_the_steps_by_its_priority() {
    let mut world = World::new();
    world.middlewares = vec![Arc::new(AddOne)];
    let steps = vec![transform("early", 1, "amount", "amount * 2"), transform("late", 9, "amount", "amount * 10")];
    let engine = world.start(stepped(steps));
    push(&engine, "orders", &costing(1, 1.0));
    assert_eq!(amounts(&engine), [Some(30.0)]);
}

#[test]
fn what_is_logged_keeps_the_contract() {
    let world = World::new();
    let steps = vec![
        transform("owner", 0, "user", "status"),
        transform("scale", 1, "units", "units * 1000"),
        validate("below", 2, "units < 100000"),
    ];
    let engine = world.start(stepped(steps));
    let mut rows = [order("ann", 1, NEW_YEAR - 5), order("ann", 2, NEW_YEAR - 5), order("ann", 3, NEW_YEAR - 5)];
    rows[0]["status"] = json!(null);
    rows[1]["units"] = json!(-5);
    let rows = json!(rows);
    let ack = push(&engine, "orders", &rows);
    assert_eq!((ack.read, ack.applied, ack.quarantined), (3, 1, 2));
    assert_eq!(
        set_aside(&ack),
        [(0, Some("user"), "`user` is required and is null"), (1, Some("units"), "`units` is below its minimum")]
    );
    assert_eq!(raw(&engine), [rows[0].clone(), rows[1].clone()]);
    assert_eq!(ids(&engine, "open"), [3], "the third order went to who its status names");
}

/// Sums of amounts, of which each id counts once a day, and the small ones not at all.
fn summed() -> Manifest {
    let mut orders = source("orders");
    orders.dedup = Some(Dedup { key: vec!["id".into()], within: Duration::from_micros(DAY) });
    orders.filter = Some("amount > 10".to_owned());
    orders.steps = vec![validate("few", 0, "units < 8"), transform("double", 1, "amount", "amount * 2")];
    let total = feature("total", Aggregation::Sum, Some("amount"), vec![Window::Unbounded]);
    manifest(vec![orders], vec![view("v", "orders", vec![total])])
}

#[test]
fn every_row_is_accounted_for_and_no_restart_runs_a_step_again() {
    println!("seeds 0 to 9");
    for seed in 0..10 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let world = World::new();
        let mut engine = world.start(summed());
        let mut quarantined = 0;
        for life in 0..3 {
            for _ in 0..10 {
                let first_id = random.below(40) as i64;
                let mut rows = random_orders(&mut random, first_id, NEW_YEAR);
                if random.below(3) == 0 {
                    rows[0]["units"] = json!("many");
                }
                let few = rows.as_array().expect("rows").iter().filter(|row| row["units"].as_i64() < Some(8));
                let few = few.filter(|row| row["units"].is_i64()).count() as u64;
                let ack = push(&engine, "orders", &rows);
                assert_eq!(ack.read, ack.applied + ack.deduplicated + ack.filtered + ack.quarantined);
                assert_eq!(ack.quarantined, ack.read - few);
                quarantined += ack.quarantined;
            }
            let ledger = engine.ledger("orders").expect("a ledger");
            assert_eq!(ledger.quarantined, quarantined);
            assert_eq!(ledger.read, ledger.applied + ledger.deduplicated + ledger.filtered + ledger.quarantined);
            let q = read(&engine, "v.total", "ann").as_of;
            let before = (everything(&engine, &USERS, q), amounts(&engine), raw(&engine));
            if life == 1 {
                engine.checkpoint().expect("a checkpoint");
            }
            drop(engine);
            engine = world.open().0;
            assert_eq!(before, (everything(&engine, &USERS, q), amounts(&engine), raw(&engine)));
            assert_eq!(engine.ledger("orders").expect("a ledger"), ledger);
        }
        assert!(quarantined > 0 && amounts(&engine).iter().all(|amount| *amount > Some(10.0)));
    }
}

#[test]
fn replay_runs_the_steps_on_the_row_as_it_came() {
    let world = World::new();
    let steps = |least: &str| {
        vec![transform("double", 0, "amount", "amount * 2"), validate("least", 1, &format!("amount > {least}"))]
    };
    let engine = world.start(stepped(steps("0")));
    assert_eq!(push(&engine, "orders", &json!([costing(1, 4.0), costing(2, -1.0)])).quarantined, 1);
    let again = engine.replay_quarantine("orders").expect("the replay");
    assert_eq!((again.read, again.applied, again.quarantined), (1, 0, 1), "the rule is the same");
    assert_eq!(raw(&engine).last(), Some(&costing(2, -1.0)), "what waits is the row as it came, still");

    let applied = world.apply(&engine, stepped(steps("-100")));
    finish(&engine, &applied.to_build);
    let mended = engine.replay_quarantine("orders").expect("the replay");
    assert_eq!((mended.read, mended.applied, mended.quarantined), (1, 1, 0));
    assert_eq!(amounts(&engine), [Some(8.0), Some(-2.0)], "each was doubled once");
    assert_eq!(logged(&engine).len(), 3);
    let waiting = engine.metadata().quarantine_count("orders").expect("a count").waiting;
    assert_eq!(waiting, 0);
}
