//! The rules of direct features, and their expansion into the sources and views that they stand for.

use super::{Problems, fetch, names};
use crate::aggregation::Aggregation;
use crate::direct::{DirectFeature, MAX_PREVIOUS, Primitive, Scalar};
use crate::duration::{Duration, MINUTE};
use crate::model::{Entity, Manifest};
use std::collections::{BTreeMap, BTreeSet};

/// Longest time that a write or a fetch may take.
const MAX_TIMEOUT: Duration = Duration::from_micros(MINUTE);

/// The names of the sources and views that were put into the manifest, or were there from an expansion before.
#[derive(Default)]
pub(super) struct Expanded {
    pub(super) made: BTreeSet<String>,
    /// Of these, those of features that broke a rule: what is wrong with them is said, and not said again.
    pub(super) broken: BTreeSet<String>,
}

pub(super) fn expand(manifest: &mut Manifest, problems: &mut Problems<'_>) -> Expanded {
    let features = std::mem::take(&mut manifest.direct);
    let mut expanded = Expanded::default();
    let mut owners: BTreeMap<String, String> = BTreeMap::new();
    for feature in &features {
        let (selector, name) = (feature.selector(), feature.object_name());
        let object = format!("direct:{selector}");
        if let Some(owner) = owners.get(&name) {
            let rule = if *owner == selector {
                format!("the name `{}` is declared twice in namespace `{}`", feature.name, feature.about.namespace())
            } else {
                format!("it and `{owner}` would both stand for the source and the view `{name}`")
            };
            problems.add(&object, rule, "rename or remove one of the two");
            continue;
        }
        owners.insert(name.clone(), selector);

        let known = problems.found.len();
        check(&object, feature, manifest, problems);
        if !place(&object, feature, manifest, problems) {
            continue;
        }
        if problems.found.len() > known {
            expanded.broken.insert(name.clone());
        }
        expanded.made.insert(name);
    }
    manifest.direct = features;
    expanded
}

/// Puts the feature's source and view in their places; false after saying that the name is taken.
fn place(object: &str, feature: &DirectFeature, manifest: &mut Manifest, problems: &mut Problems<'_>) -> bool {
    let keys = manifest.entity(&feature.entity).map(|entity| entity.keys.as_slice()).unwrap_or_default();
    let (source, view) = (feature.source(keys), feature.view());
    let (old_source, old_view) = (manifest.source(&source.name), manifest.view(&view.name));
    // What is there already and just so was put there by an expansion before.
    let taken = [
        ("source", old_source.is_some_and(|declared| *declared != source)),
        ("view", old_view.is_some_and(|declared| *declared != view)),
    ];
    if let Some((kind, _)) = taken.iter().find(|(_, taken)| *taken) {
        let rule = format!("it stands for a {kind} `{}`, and one of that name is declared", source.name);
        problems.add(object, rule, "rename one of the two");
        return false;
    }
    let (no_source, no_view) = (old_source.is_none(), old_view.is_none());
    if no_source {
        let at = manifest.sources.partition_point(|other| other.name < source.name);
        manifest.sources.insert(at, source);
    }
    if no_view {
        let at = manifest.views.partition_point(|other| other.name < view.name);
        manifest.views.insert(at, view);
    }
    true
}

fn check(object: &str, feature: &DirectFeature, manifest: &Manifest, problems: &mut Problems<'_>) {
    check_names(object, feature, problems);
    let entity = manifest.entity(&feature.entity);
    match entity {
        Some(entity) => check_keys(object, entity, problems),
        None => {
            let mend = names::suggestion(&feature.entity, manifest.entities.iter().map(|entity| entity.name.as_str()));
            problems.add(object, format!("unknown entity `{}`", feature.entity), mend);
        }
    }
    if feature.keep_previous > MAX_PREVIOUS {
        let rule = format!("keep_previous is {}", feature.keep_previous);
        problems.add(object, rule, format!("keep at most {MAX_PREVIOUS} previous values"));
    }
    check_window(object, feature, problems);
    check_durations(object, feature, problems);
    if let Some(fetch) = &feature.fetch {
        fetch::check(object, fetch, entity, problems);
    }
}

fn check_names(object: &str, feature: &DirectFeature, problems: &mut Problems<'_>) {
    let known = problems.found.len();
    names::check_name(object, &feature.name, problems);
    names::check_namespace(object, &feature.about, problems);
    let name = feature.object_name();
    if problems.found.len() == known && name.len() > names::MAX_NAME {
        let rule = format!("it stands for a source and a view `{name}`, longer than {} characters", names::MAX_NAME);
        problems.add(object, rule, "choose a shorter name or namespace");
    }
}

/// The keys become columns beside those of the writes.
fn check_keys(object: &str, entity: &Entity, problems: &mut Problems<'_>) {
    let own = [DirectFeature::AT, DirectFeature::VALUE, DirectFeature::OPERATION, DirectFeature::OPERAND];
    let previous: Vec<String> = (1..=MAX_PREVIOUS).map(DirectFeature::previous).collect();
    for key in &entity.keys {
        if own.contains(&key.name.as_str()) || previous.contains(&key.name) {
            let rule = format!(
                "key `{}` of entity `{}` has the name of a column of every direct feature",
                key.name, entity.name
            );
            problems.add(object, rule, "rename the key, such as to the entity's name with `_id`");
        }
    }
}

fn check_window(object: &str, feature: &DirectFeature, problems: &mut Problems<'_>) {
    match (feature.is_windowed(), feature.over) {
        (true, None) => problems.add(object, "its aggregations have no window", "give `over`, such as 1h"),
        (false, Some(over)) => {
            let rule = format!("it has a window of {over}, and no aggregations");
            problems.add(object, rule, "give `aggregations`, such as sum, or remove `over`");
        }
        _ => {}
    }
    let mut seen = Vec::new();
    for aggregation in &feature.aggregations {
        let name = aggregation.name();
        if seen.contains(&name) {
            problems.add(object, format!("the aggregation `{name}` is named twice"), "name it once");
        } else {
            check_aggregation(object, aggregation, feature.primitive, problems);
        }
        seen.push(name);
    }
    if !feature.is_windowed() {
        return;
    }
    if feature.primitive.list {
        let rule = format!("a windowed feature holds plain values, and the primitive is {}", feature.primitive);
        problems.add(object, rule, "use the primitive without brackets, or remove the aggregations");
    }
    if feature.keep_previous > 0 {
        let rule = "a windowed feature has no previous values";
        problems.add(object, rule, "remove `keep_previous`, or the aggregations");
    }
    if feature.fetch.is_some() {
        problems.add(
            object,
            "a windowed feature cannot be fetched: a fetch gives one value, and not those of a window",
            "remove `fetch`, or the aggregations",
        );
    }
}

fn check_aggregation(object: &str, aggregation: &Aggregation, primitive: Primitive, problems: &mut Problems<'_>) {
    let name = aggregation.name();
    match aggregation {
        // Whatever the values are, they can be counted.
        Aggregation::Count => {}
        Aggregation::Sum | Aggregation::Mean | Aggregation::Min | Aggregation::Max => {
            if !matches!(primitive.item, Scalar::Int | Scalar::Float) {
                let rule = format!("`{name}` takes int or float, and the primitive is {primitive}");
                problems.add(object, rule, "use count, or the primitive int or float");
            }
        }
        _ => {
            let rule = format!("a direct feature has no aggregation `{name}`");
            problems.add(object, rule, "use count, sum, mean, min or max; or a view over an event source");
        }
    }
}

fn check_durations(object: &str, feature: &DirectFeature, problems: &mut Problems<'_>) {
    let durations = [
        ("over", feature.over),
        ("freshness", feature.freshness),
        ("staleness", feature.staleness),
        ("timeout", feature.timeout),
    ];
    for (role, _) in durations.iter().filter(|(_, duration)| *duration == Some(Duration::default())) {
        problems.add(object, format!("`{role}` is zero"), format!("give a length of time, or leave `{role}` out"));
    }
    if let Some(timeout) = feature.timeout
        && timeout > MAX_TIMEOUT
    {
        problems.add(object, format!("the timeout is {timeout}"), format!("use at most {MAX_TIMEOUT}"));
    }
}
