//! Writes in time: late ones, ones ahead of the clock, ones that are sent again, and after a restart.

use crate::direct::support::{World, feature, fetched, now, write};
use serde_json::json;
use std::time::{Duration, Instant};
use thalweg_definition::{DirectFeature, HOUR};
use thalweg_server::DirectOperation::{Append, Incr, Set};
use thalweg_server::{Clock, DirectWrite};

#[test]
fn a_late_set_changes_what_was_and_nothing_that_is() {
    let world = World::new(vec![feature("plan", "string")]);
    let ack = world.write(Set, "plan", "ann", json!("pro"));
    let before = ack.at - HOUR;
    let late = DirectWrite { at: Some(before), ..write(Set, "plan", "ann", json!("free")) };
    assert_eq!(world.try_write(late).unwrap().at, before);
    assert_eq!(world.value("users.plan", "ann"), json!("pro"));
    // It had happened by then, but nobody could have known.
    let then = world.get("users.plan", "ann", Some(ack.at - 1)).unwrap();
    assert_eq!(then.values[0].status, "NOT_FOUND");
    let newest = world.one("users.plan", "ann");
    assert_eq!((newest.status, newest.event_time), ("PRESENT", Some(ack.at)));
}

#[test]
fn what_builds_on_the_newest_value_cannot_be_late() {
    let clicks = feature("clicks", "int");
    let world = World::new(vec![
        clicks,
        feature("seen", "[int]"),
        DirectFeature { keep_previous: 1, ..feature("plan", "string") },
    ]);
    let at = world.write(Incr, "clicks", "ann", json!(1)).at;
    let late = |operation, name: &str, value| DirectWrite { at: Some(at - 1), ..write(operation, name, "ann", value) };
    let refused = world.refused(late(Incr, "clicks", json!(1)));
    assert!(refused.contains("leave `at` out, or use set"), "{refused}");
    world.write(Append, "seen", "ann", json!(1));
    assert!(world.refused(late(Append, "seen", json!(2))).contains("leave `at` out, or use set"));
    world.write(Set, "plan", "ann", json!("pro"));
    let refused = world.refused(late(Set, "plan", json!("free")));
    assert!(refused.contains("keeps the values before the newest"), "{refused}");
    let same = DirectWrite { at: Some(at), ..write(Incr, "clicks", "ann", json!(1)) };
    world.try_write(same).expect("of the same time it comes after, as it was sent after");
    assert_eq!(world.value("users.clicks", "ann"), json!(2));
}

#[test]
fn after_a_write_ahead_of_the_clock_time_has_to_be_given() {
    let world = World::new(vec![feature("clicks", "int")]);
    let ahead = now() + HOUR;
    world.try_write(DirectWrite { at: Some(ahead), ..write(Set, "clicks", "ann", json!(5)) }).unwrap();
    assert_eq!(world.one("users.clicks", "ann").status, "NOT_FOUND", "it has not happened yet");
    let refused = world.refused(write(Incr, "clicks", "ann", json!(1)));
    assert!(refused.contains("ahead of the clock"), "{refused}");
    world.try_write(DirectWrite { at: Some(ahead + 1), ..write(Incr, "clicks", "ann", json!(1)) }).unwrap();
    let then = world.get("users.clicks", "ann", Some(ahead + 2)).unwrap();
    assert_eq!(then.values[0].value, json!(6));
    let refused = world.refused(DirectWrite { at: Some(i64::MAX), ..write(Set, "clicks", "ann", json!(5)) });
    assert!(refused.contains("in the years 1 to 9999"), "{refused}");
}

#[test]
fn by_the_clock_of_events_the_first_write_has_a_time_of_its_own() {
    let world = World::with(vec![feature("clicks", "int")], vec![], Clock::Events);
    let refused = world.refused(write(Incr, "clicks", "ann", json!(1)));
    assert!(refused.contains("send the write's time as `at`"), "{refused}");
    world.try_write(DirectWrite { at: Some(1_000_000), ..write(Incr, "clicks", "ann", json!(1)) }).unwrap();
    assert_eq!(world.write(Incr, "clicks", "ann", json!(1)).at, 1_000_000);
    assert_eq!(world.value("users.clicks", "ann"), json!(2));
}

#[test]
fn a_write_that_is_sent_again_answers_as_the_first_time_and_counts_once() {
    let world = World::new(vec![feature("clicks", "int")]);
    let keyed =
        |key: &str| DirectWrite { idempotency_key: Some(key.to_owned()), ..write(Incr, "clicks", "ann", json!(1)) };
    let first = world.try_write(keyed("a")).unwrap();
    let second = world.try_write(keyed("b")).unwrap();
    let again = world.try_write(DirectWrite { at: Some(first.at), ..keyed("a") }).unwrap();
    assert_eq!(
        (again.sequence, again.at, again.repeated),
        (first.sequence, first.at, true),
        "though it is late by now"
    );
    assert!(!first.repeated && !second.repeated && second.sequence > first.sequence);
    assert_eq!(world.value("users.clicks", "ann"), json!(2));
    // From now on only the log knows when it was.
    let world = world.restarted();
    let again = world.try_write(keyed("a")).unwrap();
    assert_eq!((again.sequence, again.at, again.repeated), (first.sequence, first.at, true));
    assert_eq!(world.value("users.clicks", "ann"), json!(2));
}

#[test]
fn a_restart_keeps_values_and_what_builds_on_them() {
    let world =
        World::new(vec![DirectFeature { keep_previous: 1, ..feature("clicks", "int") }, feature("seen", "[string]")]);
    world.write(Incr, "clicks", "ann", json!(2));
    world.write(Append, "seen", "ann", json!("p1"));
    let world = world.restarted();
    assert_eq!(world.value("users.clicks", "ann"), json!(2));
    world.write(Incr, "clicks", "ann", json!(3));
    world.write(Append, "seen", "ann", json!("p2"));
    let world = world.restarted();
    assert_eq!(world.value("users.clicks", "ann"), json!(5));
    assert_eq!(world.value("users.clicks@-1", "ann"), json!(2));
    assert_eq!(world.value("users.seen", "ann"), json!(["p1", "p2"]));
}

/// Nobody listens at the address; the value is written, not fetched.
#[test]
fn a_write_waits_no_longer_than_its_timeout_and_can_be_sent_again() {
    let hour = Some(Duration::from_secs(3600));
    let world = World::new(vec![fetched("http://127.0.0.1:1", hour, Duration::from_micros(1))]);
    let keyed = || DirectWrite { idempotency_key: Some("k".to_owned()), ..write(Set, "score", "ann", json!(0.5)) };
    let error = world.try_write(keyed()).unwrap_err();
    assert_eq!(error.code(), "DEADLINE", "{error}");
    assert!(error.to_string().contains("same idempotency key"), "{error}");
    let began = Instant::now();
    let ack = loop {
        match world.try_write(keyed()) {
            Ok(ack) => break ack,
            Err(error) => assert_eq!(error.code(), "DEADLINE", "{error}"),
        }
        assert!(began.elapsed() < Duration::from_secs(10), "it never became durable");
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(ack.repeated);
    let one = world.one("users.score", "ann");
    assert_eq!((one.value, one.event_time), (json!(0.5), Some(ack.at)));
}
