//! Every operation on every primitive, selectors, windows and values before the newest.

use crate::direct::support::{World, feature, now, spend, write};
use serde_json::{Value as Json, json};
use thalweg_definition::{DirectFeature, HOUR};
use thalweg_server::DirectOperation::{Append, Incr, Set, Update};
use thalweg_server::DirectWrite;

/// A primitive, two values of it, and whether it can be incremented.
const SCALARS: [(&str, &str, &str, bool); 5] = [
    ("int", "7", "-3", true),
    ("float", "1.5", "\"NaN\"", true),
    ("string", "\"a\"", "\"\"", false),
    ("bool", "true", "false", false),
    ("timestamp", "\"2024-05-01T12:00:00.000000Z\"", "\"1970-01-01T00:00:00.000001Z\"", false),
];

fn json_of(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

#[test]
fn scalars_are_set_and_updated_and_numbers_incremented() {
    let world = World::new(SCALARS.iter().map(|(primitive, ..)| feature(primitive, primitive)).collect());
    for (name, first, second, counts) in SCALARS {
        let selector = format!("users.{name}");
        let before = world.one(&selector, "ann");
        assert_eq!((before.value, before.status, before.event_time), (Json::Null, "NOT_FOUND", None), "{name}");
        let ack = world.write(Set, name, "ann", json_of(first));
        let after = world.one(&selector, "ann");
        assert_eq!((after.value, after.status, after.event_time), (json_of(first), "PRESENT", Some(ack.at)), "{name}");
        world.write(Update, name, "ann", json_of(second));
        assert_eq!(world.value(&selector, "ann"), json_of(second), "{name}");
        world.write(Set, name, "ann", Json::Null);
        assert_eq!(world.one(&selector, "ann").status, "NULL", "{name}");
        let refused = world.refused(write(Append, name, "ann", json_of(first)));
        assert!(refused.contains("only a list can be appended to"), "{refused}");
        if counts {
            world.write(Incr, name, "ann", json!(2));
            world.write(Incr, name, "ann", json!(3));
            assert_eq!(world.value(&selector, "ann").as_f64(), Some(5.0), "{name}: nothing counts as zero");
        } else {
            let refused = world.refused(write(Incr, name, "ann", json!(1)));
            assert!(refused.contains("only an int or a float"), "{refused}");
        }
        assert_eq!(world.one(&selector, "bob").status, "NOT_FOUND", "{name}: another user's");
    }
}

#[test]
fn lists_are_set_whole_and_appended_to() {
    let lists: Vec<String> = SCALARS.iter().map(|(primitive, ..)| format!("[{primitive}]")).collect();
    let world = World::new(SCALARS.iter().zip(&lists).map(|((name, ..), list)| feature(name, list)).collect());
    for (name, first, second, _) in SCALARS {
        let selector = format!("users.{name}");
        let (first, second) = (json_of(first), json_of(second));
        world.write(Append, name, "ann", first.clone());
        world.write(Update, name, "ann", second.clone());
        assert_eq!(world.value(&selector, "ann"), json!([first, second]), "{name}");
        world.write(Set, name, "ann", json!([second]));
        world.write(Append, name, "ann", first.clone());
        assert_eq!(world.value(&selector, "ann"), json!([second, first]), "{name}");
        world.write(Set, name, "ann", json!([]));
        assert_eq!((world.value(&selector, "ann"), world.one(&selector, "ann").status), (json!([]), "PRESENT"));
        let refused = world.refused(write(Incr, name, "ann", json!(1)));
        assert!(refused.contains("only an int or a float"), "{refused}");
        assert!(world.refused(write(Append, name, "ann", Json::Null)).contains("the item is null"));
    }
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let world = World::new(vec![feature("clicks", "int")]);
    world.write(Set, "clicks", "ann", json!(i64::MAX - 1));
    world.write(Incr, "clicks", "ann", json!(1.0));
    let refused = world.refused(write(Incr, "clicks", "ann", json!(1)));
    assert!(refused.contains("past the int64 range"), "{refused}");
    assert!(world.refused(write(Set, "clicks", "ann", json!(2.5))).contains("expected a whole number"));
    assert!(world.refused(write(Set, "clicks", "ann", json!("2"))).contains("expected a whole number"));
    assert_eq!(world.value("users.clicks", "ann"), json!(i64::MAX));
    let mut write = write(Set, "clicks", "ann", json!(1));
    write.keys = vec![];
    assert!(world.refused(write.clone()).contains("`keys` lacks `user`"));
    write.keys = vec![("usr".to_owned(), json!("ann"))];
    assert!(world.refused(write).contains("did you mean `user`?"));
    let ledger = world.instance.engine().ledger("users__clicks").unwrap();
    assert_eq!((ledger.applied, ledger.quarantined), (2, 0), "what is refused is no event");
}

#[test]
fn values_before_the_newest_are_those_before_the_newest() {
    let world = World::new(vec![DirectFeature { keep_previous: 2, ..feature("plan", "string") }]);
    for plan in ["free", "pro", "team", "pro"] {
        world.write(Set, "plan", "ann", json!(plan));
    }
    let values = ["users.plan", "users.plan@-1", "users.plan@-2"].map(|selector| world.value(selector, "ann"));
    assert_eq!(values, [json!("pro"), json!("team"), json!("pro")]);
    world.write(Set, "plan", "bob", json!("free"));
    assert_eq!(world.one("users.plan@-1", "bob").status, "NULL");
    let error = world.get("users.plan@-3", "ann", None).unwrap_err();
    assert_eq!(error.code(), "INVALID");
    assert!(error.to_string().contains("keeps 2 values before the newest"), "{error}");
}

#[test]
fn windowed_features_add_and_read_every_aggregation() {
    let world = World::new(vec![spend()]);
    for (operation, value) in [(Set, 1.5), (Incr, 2.0), (Update, 4.0)] {
        world.write(operation, "spend", "ann", json!(value));
    }
    for age in [HOUR / 2, 2 * HOUR] {
        let late = DirectWrite { at: Some(now() - age), ..write(Set, "spend", "ann", json!(100.0)) };
        world.try_write(late).unwrap();
    }
    let answer = world.get("users.spend", "ann", None).unwrap();
    let values: Vec<_> =
        answer.values.iter().map(|one| (one.aggregation.as_deref().unwrap(), one.value.clone())).collect();
    assert_eq!(values, [("count", json!(4)), ("sum", json!(107.5)), ("max", json!(100.0))]);
    assert_eq!(world.one("users.spend+sum", "ann").aggregation.as_deref(), Some("sum"));
    assert_eq!(world.value("users.spend+sum", "ann"), json!(107.5));
    assert!(world.refused(write(Append, "spend", "ann", json!(1))).contains("no list to append to"));
    assert!(world.refused(write(Set, "spend", "ann", Json::Null)).contains("is null"));
    let error = |selector: &str| world.get(selector, "ann", None).unwrap_err().to_string();
    assert!(error("users.spend+mean").contains("it has count, sum, max"));
    assert!(error("users.spend@-1").contains("keeps no values before the newest"));
}

#[test]
fn selectors_that_name_nothing_say_what_there_is() {
    let world = World::new(vec![feature("clicks", "int"), spend()]);
    let error = |selector: &str| world.get(selector, "ann", None).unwrap_err();
    assert_eq!(error("users.click").code(), "NOT_FOUND");
    assert!(error("users.click").to_string().contains("did you mean `users.clicks`?"));
    assert!(error("users.clicks+sum").to_string().contains("has no windows"));
    assert!(error("users.spend+sum@-1").to_string().contains("either windows or previous values"));
    let mut part = write(Set, "spend+sum", "ann", json!(1));
    assert!(world.refused(part.clone()).contains("write to `users.spend`"));
    part.selector = "clicks".to_owned();
    assert!(world.refused(part).contains("such as `default.clicks`"));
}

#[test]
fn descriptors_say_what_a_feature_is() {
    let world = World::new(vec![DirectFeature { keep_previous: 3, ..feature("seen", "[string]") }, spend()]);
    let session = world.session();
    let descriptor = session.direct_descriptor("users.seen@-1").unwrap();
    assert_eq!(
        serde_json::to_value(&descriptor).unwrap(),
        json!({
            "selector": "users.seen", "namespace": "users", "name": "seen", "entity": "user",
            "keys": [{"name": "user", "type": "string"}], "primitive": "[string]", "aggregations": [], "over": null,
            "keep_previous": 3, "freshness": null, "staleness": null, "timeout": null, "fetch": false,
        })
    );
    let all = session.direct_features().unwrap();
    let names: Vec<&str> = all.iter().map(|one| one.selector.as_str()).collect();
    assert_eq!(names, ["users.seen", "users.spend"]);
    assert_eq!((all[1].over.as_deref(), all[1].aggregations.len()), (Some("1h"), 3));
    assert_eq!(session.direct_descriptor("users.sean").unwrap_err().code(), "NOT_FOUND");
}
