//! Power lost at any moment: what was acknowledged is there once, what was not is there whole or not at all, and
//! sending it again makes it count once.

use crate::support::{
    ALL, NEW_YEAR, Random, SeedNote, USERS, World, counted, counts, deduplicating, order, push_with_key, read,
};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use thalweg_engine::{Ack, Engine, EngineError};

const SEEDS: u64 = 100;
const LIVES: u64 = 3;

/// A push: its key, if any, and its rows.
#[derive(Debug, Clone)]
struct Sent {
    key: Option<String>,
    rows: Vec<(usize, i64)>,
}

impl Sent {
    fn random(random: &mut Random, number: i64, always_keyed: bool) -> Self {
        let keyed = always_keyed || random.below(2) == 0;
        let rows =
            (0..1 + random.below(4) as i64).map(|row| (random.below(USERS.len() as u64) as usize, number * 10 + row));
        Self { rows: rows.collect(), key: keyed.then(|| format!("push {number}")) }
    }

    fn body(&self) -> Json {
        json!(self.rows.iter().map(|(user, id)| order(USERS[*user], *id, NEW_YEAR - 1 - id)).collect::<Vec<_>>())
    }

    fn push(&self, engine: &Engine) -> Result<Ack, EngineError> {
        push_with_key(engine, "orders", &self.body(), self.key.as_deref())
    }
}

/// What the engine holds: how often each row counts.
fn held(engine: &Engine) -> BTreeMap<(usize, i64), i64> {
    let of = |(user, name): (usize, &&str)| {
        let counts = counts(&read(engine, "v.ids", name));
        counts.into_iter().map(move |(id, count)| ((user, id), count)).collect::<Vec<_>>()
    };
    USERS.iter().enumerate().flat_map(of).collect()
}

/// Does things until the power fails; returns the push that was not acknowledged, if it was one.
fn live(
    engine: &Engine,
    random: &mut Random,
    next: &mut i64,
    always_keyed: bool,
    sure: &mut Vec<Sent>,
) -> Option<Sent> {
    for _ in 0..60 {
        let done = match random.below(10) {
            0 => engine.checkpoint().map(|_| ()),
            1 => engine.tidy(),
            2 => engine.truncate_log(u64::MAX, ALL.0, ALL.1).map(|_| ()),
            _ => {
                *next += 1;
                let sent = Sent::random(random, *next, always_keyed);
                match sent.push(engine) {
                    Ok(_) => sure.push(sent),
                    Err(_) => return Some(sent),
                }
                Ok(())
            }
        };
        if done.is_err() {
            return None;
        }
    }
    None
}

fn check(engine: &Engine, sure: &mut Vec<Sent>, unsure: Option<&Sent>) {
    let held = held(engine);
    for (row, count) in &held {
        assert_eq!(*count, 1, "{row:?} counts {count} times");
    }
    for row in sure.iter().flat_map(|sent| &sent.rows) {
        assert!(held.contains_key(row), "{row:?} was acknowledged and is gone");
    }
    let mut expected = sure.iter().map(|sent| sent.rows.len()).sum::<usize>();
    if let Some(sent) = unsure {
        let there = sent.rows.iter().filter(|row| held.contains_key(row)).count();
        assert!(there == 0 || there == sent.rows.len(), "{there} rows of {sent:?} are there");
        expected += there;
        // Sent again, it is acknowledged and counts once.
        let ack = sent.push(engine).expect("the retry is acknowledged");
        assert_eq!(ack.repeated || ack.deduplicated > 0, there > 0, "{ack:?}");
        sure.push(sent.clone());
    }
    assert_eq!(held.len(), expected, "rows that nobody sent");
    let after = self::held(engine);
    assert!(after.values().all(|count| *count == 1), "{after:?}");
    assert_eq!(after.len(), sure.iter().map(|sent| sent.rows.len()).sum::<usize>());
    let ledger = engine.ledger("orders").expect("a ledger");
    assert_eq!(ledger.applied, after.len() as u64);
    assert_eq!(ledger.read, ledger.applied + ledger.deduplicated + ledger.filtered + ledger.quarantined);
}

/// Lives of one engine, each ended by a loss of power after some changes to the disk.
fn run(seed: u64, deduplicated: bool) {
    let _note = SeedNote(seed);
    let mut random = Random(seed);
    let mut world = World::new();
    world.settings.log_segment_bytes = 2000 + random.below(20_000);
    world.settings.state_segment_bytes = 500 + random.below(5_000);
    if random.below(3) == 0 {
        world.settings.memory_bytes = 1;
    }
    let manifest = if deduplicated { deduplicating() } else { counted() };
    let mut engine = world.start(manifest);
    let (mut sure, mut next) = (Vec::new(), 0);
    for _ in 0..LIVES {
        world.disk.power_off_after(random.below(150));
        let unsure = live(&engine, &mut random, &mut next, !deduplicated, &mut sure);
        drop(engine);
        world.disk.crash(random.below(1 << 50));
        engine = world.open().0;
        check(&engine, &mut sure, unsure.as_ref());
    }
}

#[test]
fn what_was_acknowledged_survives_a_loss_of_power_once() {
    println!("seeds 0 to {}", SEEDS - 1);
    (0..SEEDS).for_each(|seed| run(seed, false));
}

#[test]
fn with_dedup_a_retry_needs_no_key() {
    println!("seeds 1000 to {}", 1000 + SEEDS - 1);
    (1000..1000 + SEEDS).for_each(|seed| run(seed, true));
}

#[test]
fn power_may_fail_while_the_engine_opens() {
    println!("seeds 0 to {}", SEEDS - 1);
    for seed in 0..SEEDS {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let mut world = World::new();
        world.settings.log_segment_bytes = 4000;
        let engine = world.start(counted());
        let (mut sure, mut next) = (Vec::new(), 0);
        world.disk.power_off_after(30 + random.below(60));
        let unsure = live(&engine, &mut random, &mut next, true, &mut sure);
        drop(engine);
        world.disk.crash(random.below(1 << 50));
        world.disk.power_off_after(random.below(8));
        drop(world.try_open());
        world.disk.crash(random.below(1 << 50));
        let (engine, _) = world.open();
        check(&engine, &mut sure, unsure.as_ref());
    }
}
