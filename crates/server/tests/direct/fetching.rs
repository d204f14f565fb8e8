//! The request-time source against a service that is fast, slow, broken or full of nonsense.

use crate::direct::service::{Asked, Service};
use crate::direct::support::{World, fetched, micros};
use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::Float64Type;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use thalweg_definition::{About, DirectFeature, OnDemandFeature};
use thalweg_engine::{FeatureRequest, FeatureResponse, Wanted};
use thalweg_server::{Clock, FetchCounts};

const HOUR: Duration = Duration::from_secs(3600);
/// Enough for an answer that is not delayed, also where the machine is busy.
const AMPLE: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn counts(world: &World) -> FetchCounts {
    world.instance.fetch_counts()
}

fn read(world: &World, feature: &str, users: &[String], as_of: Option<i64>) -> FeatureResponse {
    let users: ArrayRef = Arc::new(StringArray::from_iter_values(users));
    let wanted = Wanted::Features(vec![feature.to_owned()]);
    let request = FeatureRequest { wanted, entities: vec![("user".to_owned(), users)], request: vec![], as_of };
    world.session().read(request).unwrap()
}

#[test]
fn the_first_read_fetches_and_the_next_does_not() {
    let service = Service::start();
    let world = World::new(vec![fetched(&service.url, Some(HOUR), AMPLE)]);
    service.scores(7);
    let first = world.one("users.score", "ann");
    assert_eq!((first.value.clone(), first.status), (json!(7.0), "PRESENT"));
    service.scores(8);
    assert_eq!(world.one("users.score", "ann"), first, "the stored value is fresh enough");
    assert_eq!(service.asked().len(), 1);
    assert_eq!(counts(&world), FetchCounts { fetched: 1, cached: 1, ..FetchCounts::default() });
    // What was fetched is an event like any other.
    let ledger = world.instance.engine().ledger("users__score").unwrap();
    assert_eq!((ledger.applied, ledger.newest_event_time), (1, first.event_time));
    let world = world.restarted();
    assert_eq!(world.one("users.score", "ann"), first);
    assert_eq!(service.asked().len(), 1);
}

#[test]
fn without_a_freshness_every_read_of_now_fetches_and_no_other() {
    let service = Service::start();
    let world = World::new(vec![fetched(&service.url, None, AMPLE)]);
    for score in 1..4 {
        service.scores(score);
        assert_eq!(world.value("users.score", "ann"), json!(score as f64));
    }
    let then = world.one("users.score", "ann").event_time.unwrap();
    assert_eq!(service.asked().len(), 4);
    world.get("users.score", "ann", Some(then)).unwrap();
    assert_eq!(service.asked().len(), 4, "what was is not asked for");
}

#[test]
fn a_slow_service_is_not_waited_for_longer_than_the_timeout() {
    let service = Service::start();
    let staleness = Some(micros(millis(1500)));
    let world = World::new(vec![DirectFeature { staleness, ..fetched(&service.url, Some(millis(1)), SHORT) }]);
    let first = loop {
        // On a busy machine the answer may come too late once.
        let one = world.one("users.score", "ann");
        if one.status == "PRESENT" {
            break one;
        }
        thread::sleep(millis(1100));
    };
    service.delays(Duration::from_secs(3));
    thread::sleep(millis(5));
    let began = Instant::now();
    let stored = world.one("users.score", "ann");
    assert_eq!((stored.value, stored.event_time), (first.value, first.event_time));
    let took = began.elapsed();
    assert!(took >= SHORT / 2 && took < Duration::from_secs(2), "{took:?}");
    thread::sleep(millis(1500));
    let stale = world.one("users.score", "ann");
    assert_eq!((stale.value, stale.status, stale.event_time), (Json::Null, "STALE", first.event_time));
    assert!(counts(&world).timed_out >= 1);
}

#[test]
fn one_key_is_asked_for_once_however_many_need_it() {
    let service = Service::start();
    service.delays(millis(300));
    let world = World::new(vec![fetched(&service.url, Some(HOUR), AMPLE)]);
    let values: Vec<Json> = thread::scope(|scope| {
        let read = || scope.spawn(|| world.value("users.score", "ann"));
        let reads: Vec<_> = (0..8).map(|_| read()).collect();
        reads.into_iter().map(|read| read.join().unwrap()).collect()
    });
    assert_eq!(values, vec![json!(1.0); 8]);
    assert_eq!(service.asked().len(), 1);
}

#[test]
fn many_rows_fly_at_once_and_wait_no_longer_than_one() {
    let service = Service::start();
    let world = World::new(vec![fetched(&service.url, Some(HOUR), AMPLE)]);
    let users: Vec<String> = (0..300).map(|user| format!("u{}", user % 100)).collect();
    let response = read(&world, "users__score.value", &users, None);
    let scores = response.results[0].values.as_primitive::<Float64Type>();
    assert!(scores.iter().all(|score| score == Some(1.0)), "{scores:?}");
    assert_eq!(service.asked().len(), 100, "each key once");
    assert!(service.most_at_once() <= 32, "{}", service.most_at_once());

    let slow = Service::start();
    slow.delays(Duration::from_secs(3));
    let world = World::new(vec![fetched(&slow.url, Some(HOUR), SHORT)]);
    let users: Vec<String> = (0..2000).map(|user| format!("u{user}")).collect();
    let began = Instant::now();
    let response = read(&world, "users__score.value", &users, None);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(response.results[0].statuses.iter().all(|status| status.name() == "NOT_FOUND"));
}

#[test]
fn a_service_that_fails_is_left_alone_for_a_while() {
    let service = Service::start();
    service.answers(500);
    let world = World::new(vec![fetched(&service.url, Some(HOUR), AMPLE)]);
    assert_eq!(world.one("users.score", "ann").status, "NOT_FOUND");
    assert_eq!(world.one("users.score", "ann").status, "NOT_FOUND");
    assert_eq!(service.asked().len(), 1, "the key rests");
    for user in ["b", "c", "d", "e"] {
        world.one("users.score", user);
    }
    assert_eq!(service.asked().len(), 5);
    for user in ["f", "g", "h"] {
        world.one("users.score", user);
    }
    assert_eq!(service.asked().len(), 5, "all of the feature rests");
    assert_eq!(counts(&world), FetchCounts { failed: 5, held_back: 4, ..FetchCounts::default() });
    service.answers(200);
    let began = Instant::now();
    while world.one("users.score", "z").status != "PRESENT" {
        assert!(began.elapsed() < AMPLE, "it was never tried again");
        thread::sleep(millis(50));
    }
    assert_eq!(world.one("users.score", "y").status, "PRESENT", "after one that worked all may fly");
}

#[test]
fn answers_that_cannot_be_used_change_nothing() {
    let service = Service::start();
    let world = World::new(vec![fetched(&service.url, Some(HOUR), AMPLE)]);
    let bodies = ["{}", "[1]", "no json", r#"{"score": "high"}"#, r#"{"score": {}}"#];
    for (number, body) in bodies.into_iter().enumerate() {
        service.says(body);
        assert_eq!(world.one("users.score", &format!("u{number}")).status, "NOT_FOUND", "{body}");
    }
    service.says(format!("{{\"score\": 1, \"more\": \"{}\"}}", "x".repeat(1 << 20)));
    assert_eq!(world.one("users.score", "large").status, "NOT_FOUND");
    service.says(r#"{"score": 1}"#);
    for status in [204, 302, 404] {
        service.answers(status);
        assert_eq!(world.one("users.score", &format!("s{status}")).status, "NOT_FOUND", "{status}");
    }
    assert_eq!(counts(&world).failed, 9);
    assert!(service.asked().iter().all(|asked| asked.path.starts_with("/scores/")), "no redirect is followed");
    service.answers(200);
    service.says(r#"{"score": null}"#);
    assert_eq!(world.one("users.score", "null").status, "NULL", "that there is none is an answer");
}

#[test]
fn keys_and_headers_are_sent_as_they_are_declared() {
    let service = Service::start();
    let mut score = fetched(&service.url, Some(HOUR), AMPLE);
    let fetch = score.fetch.as_mut().unwrap();
    fetch.headers = vec![("X-Token".to_owned(), "open sesame".to_owned())];
    let mut secret = fetched(&service.url, Some(HOUR), AMPLE);
    secret.name = "secret".into();
    let fetch = secret.fetch.as_mut().unwrap();
    fetch.headers = vec![("X-Token".to_owned(), "env:THALWEG_TEST_IS_NOT_SET".to_owned())];
    let world = World::new(vec![score, secret]);
    assert_eq!(world.one("users.score", "a b/../ü").status, "PRESENT");
    let expected = Asked { path: "/scores/a%20b%2F..%2F%C3%BC".to_owned(), token: Some("open sesame".to_owned()) };
    assert_eq!(service.asked(), [expected]);
    assert_eq!(world.one("users.score", "..").status, "NOT_FOUND", "a key is no step in the path");
    assert_eq!(world.one("users.secret", "ann").status, "NOT_FOUND", "without its header nothing is sent");
    assert_eq!(service.asked().len(), 1);
}

#[test]
fn features_that_are_made_from_a_fetched_one_fetch_it() {
    let service = Service::start();
    service.scores(21);
    let twice = OnDemandFeature {
        name: "twice".into(),
        expression: "users__score.value * 2.0".into(),
        request: vec![],
        about: About { namespace: "users".into(), ..About::default() },
    };
    let world = World::with(vec![fetched(&service.url, Some(HOUR), AMPLE)], vec![twice], Clock::System);
    let users = ["ann".to_owned()];
    let runtime = world.session().runtime().unwrap();
    assert!(runtime.may_block(&Wanted::Features(vec!["twice".to_owned()])));
    let response = read(&world, "twice", &users, None);
    assert_eq!(response.results[0].values.as_primitive::<Float64Type>().value(0), 42.0);
    assert_eq!(service.asked().len(), 1);
}
