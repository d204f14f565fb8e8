//! Direct features: the source and view that each stands for, and what a plan says of them.

mod rules;

use crate::support::{Names, base, checked, refused};
use std::collections::BTreeMap;
use thalweg_definition::{
    About, Aggregation, CheckedManifest, DAY, DataType, DirectFeature, Duration, HOUR, MAX_PREVIOUS, Manifest,
    Primitive, Scalar, plan, validate,
};

const INT: Primitive = Primitive { item: Scalar::Int, list: false };

fn hour() -> Option<Duration> {
    Some(Duration::from_micros(HOUR))
}

/// The number of clicks of a user, in namespace `users`.
fn clicks() -> DirectFeature {
    DirectFeature {
        name: "clicks".into(),
        entity: "user".into(),
        primitive: INT,
        keep_previous: 0,
        aggregations: vec![],
        over: None,
        freshness: None,
        staleness: None,
        timeout: None,
        fetch: None,
        about: About { namespace: "users".into(), owner: "web".into(), ..About::default() },
    }
}

fn windowed(aggregations: &[Aggregation]) -> DirectFeature {
    DirectFeature { aggregations: aggregations.to_vec(), over: hour(), ..clicks() }
}

fn with(feature: DirectFeature) -> Manifest {
    Manifest { direct: vec![feature], ..base() }
}

fn outputs(checked: &CheckedManifest) -> Vec<String> {
    let ours = |(name, kind): (String, DataType)| {
        name.starts_with("users__").then(|| format!("{}: {kind}", name.trim_start_matches("users__")))
    };
    checked.outputs().into_iter().filter_map(ours).collect()
}

#[test]
fn a_direct_feature_stands_for_a_source_and_a_view() {
    let checked = checked(with(DirectFeature { keep_previous: 2, staleness: hour(), ..clicks() }));
    let manifest = &checked.manifest;
    let source = manifest.source("users__clicks").unwrap();
    let columns: Vec<String> = source
        .columns
        .iter()
        .map(|column| format!("{} {}{}", column.name, column.data_type, if column.required { "!" } else { "" }))
        .collect();
    assert_eq!(
        columns,
        [
            "user_id string!",
            "at timestamp!",
            "value int64",
            "operation string!",
            "operand int64",
            "previous_1 int64",
            "previous_2 int64"
        ]
    );
    assert_eq!(source.timestamp, "at");
    assert_eq!(source.about, manifest.direct[0].about);
    let view = manifest.view("users__clicks").unwrap();
    assert_eq!((view.sources.as_slice(), view.staleness), (["users__clicks".to_owned()].as_slice(), hour()));
    assert_eq!(outputs(&checked), ["clicks.value: int64", "clicks.previous_1: int64", "clicks.previous_2: int64"]);

    assert_eq!(manifest.direct("users.clicks"), Some(&manifest.direct[0]));
    assert_eq!(manifest.direct("default.clicks"), None);
    assert_eq!(manifest.direct("clicks"), None);
}

#[test]
fn a_windowed_one_is_read_by_aggregation() {
    let checked = checked(with(windowed(&[Aggregation::Sum, Aggregation::Mean, Aggregation::Count])));
    assert_eq!(outputs(&checked), ["clicks.sum_1h: int64", "clicks.mean_1h: float64", "clicks.count_1h: int64"]);
    let source = checked.manifest.source("users__clicks").unwrap();
    assert!(source.column("value").unwrap().required, "each write to a window has a value");
}

#[test]
fn a_list_holds_items() {
    let checked = checked(with(DirectFeature { primitive: "[string]".parse().unwrap(), ..clicks() }));
    assert_eq!(outputs(&checked), ["clicks.value: list<string>"]);
    let source = checked.manifest.source("users__clicks").unwrap();
    assert_eq!(source.column("operand").unwrap().data_type, DataType::String);
}

#[test]
fn a_manifest_that_was_expanded_comes_out_as_it_was() {
    let mut manifest = with(clicks());
    manifest.direct.push(DirectFeature { name: "score".into(), ..windowed(&[Aggregation::Max]) });
    let once = checked(manifest);
    let names: Vec<&str> = once.manifest.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["clicks", "users__clicks", "users__score"]);
    let again = checked(once.manifest.clone());
    assert_eq!(again, once);
    assert!(plan(Some(&once), &again, &Names).is_empty());
}

#[test]
fn services_read_them_like_any_view() {
    let mut manifest = with(clicks());
    manifest.services[0].features.push("users__clicks.value".into());
    checked(manifest.clone());
    // What is wrong with a direct feature is said once, and not again of what stands on it.
    manifest.direct[0].entity = "usr".into();
    let problems = refused(manifest);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert_eq!(problems[0].to_string(), "direct:users.clicks: unknown entity `usr`; did you mean `user`?");
}

#[test]
fn a_problem_says_where_the_feature_was_written() {
    let origins = BTreeMap::from([("direct:users.clicks".to_owned(), "features.py:7".to_owned())]);
    let mut feature = clicks();
    feature.keep_previous = MAX_PREVIOUS + 1;
    let error = validate(with(feature), &origins, &Names).unwrap_err();
    let expected = "features.py:7: direct:users.clicks: keep_previous is 17; keep at most 16 previous values";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_written_form_of_a_primitive() {
    for text in ["int", "float", "string", "bool", "timestamp", "[int]", "[timestamp]"] {
        assert_eq!(text.parse::<Primitive>().unwrap().to_string(), text);
    }
    for text in ["", "int64", "[int", "list<int>", "[[int]]", "[]"] {
        assert!(text.parse::<Primitive>().is_err(), "{text}");
    }
}

/// A change to the feature, whether it breaks readers, and lines of the plan.
type PlanCase = (fn(&mut DirectFeature), bool, &'static [&'static str]);

#[test]
fn a_plan_tells_what_follows_for_whom() {
    let cases: [PlanCase; 9] = [
        (|f| f.about.owner = "shop".into(), false, &["owner: web -> shop", "> no effect on values"]),
        (
            |f| f.freshness = Some(Duration::from_micros(DAY)),
            false,
            &["freshness: none -> 1d", "> no effect on values"],
        ),
        (
            |f| f.keep_previous = 2,
            false,
            &["keep_previous: 1 -> 2", "> history of source `users__clicks` gains the column `previous_2`"],
        ),
        (|f| f.keep_previous = 0, true, &["! feature `users__clicks.previous_1` can no longer be read here"]),
        (
            |f| f.primitive.item = Scalar::Float,
            true,
            &["primitive: int -> float", "! feature `users__clicks.value` changes its meaning"],
        ),
        (|f| f.entity = "item".into(), true, &["entity: user -> item", "changes its meaning: entity keys"]),
        (
            |f| *f = windowed(&[Aggregation::Sum]),
            true,
            &["aggregations: none -> sum", "over: none -> 1h", "! feature `users__clicks.value` can no longer be read"],
        ),
        (|f| f.staleness = hour(), true, &["staleness: none -> 1h"]),
        (|f| f.name = "taps".into(), true, &["- direct:users.clicks", "+ direct:users.taps"]),
    ];
    let before = || {
        let mut manifest = with(DirectFeature { keep_previous: 1, ..clicks() });
        manifest.entities.insert(0, manifest.entities[0].clone());
        manifest.entities[0].name = "item".into();
        manifest.entities[0].keys[0].name = "item_id".into();
        manifest
    };
    let old = checked(before());
    for (change, breaking, lines) in cases {
        let mut manifest = before();
        change(&mut manifest.direct[0]);
        let plan = plan(Some(&old), &checked(manifest), &Names);
        let text = plan.text();
        for line in lines {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        assert_eq!(plan.is_breaking(), breaking, "{text}");
        let hidden = plan.changes.iter().all(|change| !change.object.contains("__"));
        assert!(hidden, "what it stands for is no object of the plan:\n{text}");
    }
}

#[test]
fn a_wider_window_takes_its_outputs_from_readers() {
    let old = checked(with(windowed(&[Aggregation::Sum])));
    let over = Some(Duration::from_micros(DAY));
    let new = checked(with(DirectFeature { over, ..windowed(&[Aggregation::Sum]) }));
    let change = plan(Some(&old), &new, &Names);
    assert!(change.is_breaking());
    assert!(change.text().contains("feature `users__clicks.sum_1h` can no longer be read here"), "{}", change.text());
}

#[test]
fn a_feature_that_goes_breaks_and_one_that_comes_does_not() {
    let (without, with) = (checked(base()), checked(with(clicks())));
    let comes = plan(Some(&without), &with, &Names);
    assert!(!comes.is_breaking());
    assert!(
        comes.text().starts_with("+ direct:users.clicks\n    entity: user\n    primitive: int\n"),
        "{}",
        comes.text()
    );
    let goes = plan(Some(&with), &without, &Names);
    assert!(goes.is_breaking());
    assert_eq!(goes.changes.len(), 1, "{}", goes.text());
}
