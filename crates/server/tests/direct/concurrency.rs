//! Many writers of one key: every write counts once, and each builds on the one before it.

use crate::direct::support::{World, feature, write};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;
use thalweg_definition::DirectFeature;
use thalweg_server::DirectOperation::{Append, Incr, Set};
use thalweg_server::{DirectAck, DirectWrite};

const WRITERS: usize = 16;
const EACH: usize = 25;

/// Calls `work` for every writer and each of its writes, all writers at once.
fn all_at_once(work: impl Fn(usize, usize) -> DirectAck + Sync) -> Vec<DirectAck> {
    let start = Barrier::new(WRITERS);
    thread::scope(|scope| {
        let writer = |writer: usize| {
            let (start, work) = (&start, &work);
            scope.spawn(move || {
                start.wait();
                (0..EACH).map(|number| work(writer, number)).collect::<Vec<DirectAck>>()
            })
        };
        let writers: Vec<_> = (0..WRITERS).map(writer).collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    })
}

#[test]
fn no_increment_is_lost() {
    let world = World::new(vec![DirectFeature { keep_previous: 3, ..feature("clicks", "int") }]);
    let acks = all_at_once(|_, _| world.write(Incr, "clicks", "ann", json!(1)));
    let sequences: BTreeSet<u64> = acks.iter().map(|ack| ack.sequence).collect();
    let total = WRITERS * EACH;
    assert_eq!(sequences.len(), total);
    assert!(acks.iter().all(|ack| !ack.repeated));
    let values = ["", "@-1", "@-2", "@-3"].map(|part| world.value(&format!("users.clicks{part}"), "ann"));
    assert_eq!(values, [0, 1, 2, 3].map(|back| json!(total - back)));
    let mut in_order = acks;
    in_order.sort_by_key(|ack| ack.sequence);
    assert!(in_order.is_sorted_by_key(|ack| ack.at), "event times follow the order of the log");
    let world = world.restarted();
    assert_eq!(world.value("users.clicks", "ann"), json!(total));
}

#[test]
fn no_item_is_lost_among_writes_of_other_keys() {
    let world = World::new(vec![feature("seen", "[int]"), feature("clicks", "int")]);
    all_at_once(|writer, number| {
        let user = if writer % 2 == 0 { "ann" } else { "bob" };
        world.write(Incr, "clicks", user, json!(1));
        world.write(Append, "seen", user, json!(writer * EACH + number))
    });
    for (user, rest) in [("ann", 0), ("bob", 1)] {
        let Json::Array(seen) = world.value("users.seen", user) else { panic!("a list") };
        let items: BTreeSet<usize> = seen.iter().map(|item| item.as_u64().unwrap() as usize).collect();
        assert_eq!(seen.len(), items.len(), "no item twice");
        let expected: BTreeSet<usize> = (0..WRITERS * EACH).filter(|item| item / EACH % 2 == rest).collect();
        assert_eq!(items, expected);
        // Of one writer, in its order.
        for writer in (rest..WRITERS).step_by(2) {
            let own: Vec<u64> = seen.iter().filter_map(Json::as_u64).filter(|i| *i as usize / EACH == writer).collect();
            assert!(own.is_sorted(), "{own:?}");
        }
        assert_eq!(world.value("users.clicks", user), json!(WRITERS * EACH / 2));
    }
}

#[test]
fn the_same_write_from_many_counts_once_for_each_key() {
    let world = World::new(vec![feature("clicks", "int")]);
    let acks = all_at_once(|_, number| {
        let key = Some(format!("k{number}"));
        world.try_write(DirectWrite { idempotency_key: key, ..write(Incr, "clicks", "ann", json!(1)) }).unwrap()
    });
    assert_eq!(acks.iter().filter(|ack| !ack.repeated).count(), EACH);
    let told: BTreeSet<(u64, i64)> = acks.iter().map(|ack| (ack.sequence, ack.at)).collect();
    assert_eq!(told.len(), EACH, "every answer to a write is the first one");
    assert_eq!(world.value("users.clicks", "ann"), json!(EACH));
}

/// A write under a key that was used for another entity must not pass for that entity's newest value.
#[test]
fn a_key_that_is_used_for_another_entity_writes_nothing_there() {
    let world = World::new(vec![feature("clicks", "int")]);
    all_at_once(|writer, number| {
        let user = format!("u{writer}");
        let key = Some(format!("k{number}"));
        let ack = world.try_write(DirectWrite { idempotency_key: key, ..write(Incr, "clicks", &user, json!(1)) });
        world.write(Set, "clicks", &format!("other{writer}"), json!(number));
        ack.unwrap()
    });
    let counted: i64 =
        (0..WRITERS).map(|user| world.value("users.clicks", &format!("u{user}")).as_i64().unwrap_or(0)).sum();
    assert_eq!(counted, EACH as i64);
}
