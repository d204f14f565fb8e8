//! What decides the values of a feature, spelt out: two definitions of a feature mean the same exactly when
//! these lists are the same, and a view's online state can be kept exactly when its key is.

use super::fields::{Fields, aggregation_text, difference, steps_text};
use crate::model::{Column, Feature, FeatureView, Manifest, Source, SourceKind};
use crate::validate::{CheckedManifest, ExpressionTypes};
use crate::window::Window;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// How the facts about the type of a source column begin.
const TYPE_OF: &str = "type of ";

/// Which of the features that both manifests have change their meaning, and why.
pub(super) fn changed_meanings(
    old: &CheckedManifest,
    new: &CheckedManifest,
    types: &dyn ExpressionTypes,
) -> BTreeMap<String, String> {
    let mut changed = BTreeMap::new();
    let before = output_meanings(old, types);
    for (reference, meaning) in output_meanings(new, types) {
        if let Some(earlier) = before.get(&reference) {
            let lines = difference(&comparable(earlier, &meaning), &comparable(&meaning, earlier));
            if !lines.is_empty() {
                changed.insert(reference, lines.join("; "));
            }
        }
    }
    for position in &new.on_demand_order {
        let feature = &new.manifest.on_demand[*position];
        let Some(earlier) = old.manifest.on_demand(&feature.name) else { continue };
        let request = |columns: &[Column]| -> Fields {
            columns.iter().map(|c| (format!("request column {}", c.name), c.data_type.to_string())).collect()
        };
        let mut lines = difference(&request(&earlier.request), &request(&feature.request));
        if earlier.expression != feature.expression {
            lines.push(format!("expression: {} -> {}", earlier.expression, feature.expression));
        }
        let needed = new.on_demand[*position].references.iter().filter(|name| changed.contains_key(*name));
        lines.extend(needed.map(|name| format!("`{name}` changes its meaning")));
        if !lines.is_empty() {
            changed.insert(feature.name.clone(), lines.join("; "));
        }
    }
    changed
}

/// The facts without the types of columns that only one side reads: that it reads them says why by itself.
fn comparable(facts: &[(String, String)], other: &[(String, String)]) -> Fields {
    let there = |fact: &str| other.iter().any(|(known, _)| known == fact);
    facts.iter().filter(|(fact, _)| !fact.starts_with(TYPE_OF) || there(fact)).cloned().collect()
}

/// A hash over everything that decides the content and the layout of a view's online state. Where it stays
/// the same, the state can be kept; what only decides how a value is answered or described is not in it.
pub fn view_state_key(manifest: &Manifest, view: &FeatureView, types: &dyn ExpressionTypes) -> String {
    let mut facts = view_facts(manifest, view);
    let mut expressions: Vec<&str> = view.filter.as_deref().into_iter().collect();
    for feature in &view.features {
        expressions.extend(feature_expressions(feature));
    }
    facts.extend(used_facts(manifest, view, &expressions, types));
    for feature in &view.features {
        facts.push(("feature".to_owned(), feature.name.clone()));
        facts.extend(feature_facts(feature));
        facts.extend(feature.windows.iter().map(|window| ("window".to_owned(), window.to_string())));
    }
    let retention = view.retention().map_or_else(|| "for ever".to_owned(), |retention| retention.to_string());
    facts.push(("retention".to_owned(), retention));
    facts.push(("time zone".to_owned(), time_zone(view).to_owned()));
    facts.push(("nan".to_owned(), nan_policy(view).to_owned()));

    let mut hasher = Sha256::new();
    for (fact, value) in &facts {
        // With lengths in front, no two lists of facts read alike.
        hasher.update(format!("{}:{fact}={}:{value}\n", fact.len(), value.len()));
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What decides each output of each view, by reference.
fn output_meanings(checked: &CheckedManifest, types: &dyn ExpressionTypes) -> BTreeMap<String, Fields> {
    let manifest = &checked.manifest;
    let mut meanings = BTreeMap::new();
    for (view, checked_view) in manifest.views.iter().zip(&checked.views) {
        for (feature, checked_feature) in view.features.iter().zip(&checked_view.features) {
            let skips_nan = checked_feature.input_type.as_ref().is_some_and(|input| input.is_float());
            let mut expressions: Vec<&str> = view.filter.as_deref().into_iter().collect();
            expressions.extend(feature_expressions(feature));
            let mut shared = view_facts(manifest, view);
            shared.extend(step_facts(manifest, view));
            shared.extend(feature_facts(feature));
            shared.extend(used_facts(manifest, view, &expressions, types));
            if let Some(staleness) = view.staleness {
                shared.push(("staleness".to_owned(), staleness.to_string()));
            }
            if skips_nan {
                shared.push(("nan".to_owned(), nan_policy(view).to_owned()));
            }
            for window in &feature.windows {
                let mut meaning = shared.clone();
                meaning.extend(window_facts(view, window));
                meanings.insert(format!("{}.{}{}", view.name, feature.name, window.suffix()), meaning);
            }
        }
    }
    meanings
}

/// Which rows the view sees, and whose they are.
fn view_facts(manifest: &Manifest, view: &FeatureView) -> Fields {
    let mut facts = Fields::new();
    if let Some(entity) = manifest.entity(&view.entity) {
        let keys: Vec<String> = entity.keys.iter().map(|key| format!("{} {}", key.name, key.data_type)).collect();
        facts.push(("entity keys".to_owned(), keys.join(", ")));
    }
    facts.push(("sources".to_owned(), view.sources.join(", ")));
    for source in known_sources(manifest, view) {
        facts.extend(source_facts(source));
    }
    if let Some(filter) = &view.filter {
        facts.push(("filter".to_owned(), filter.clone()));
    }
    facts
}

fn source_facts(source: &Source) -> Fields {
    let mut facts = Fields::new();
    let mut put = |fact: &str, value: String| facts.push((format!("{fact} of source {}", source.name), value));
    match &source.kind {
        SourceKind::Event => put("kind", "events".to_owned()),
        SourceKind::Change { primary_key, operation } => {
            put("kind", "changes".to_owned());
            put("primary key", primary_key.join(", "));
            put("operation", operation.clone());
        }
    }
    put("timestamp", source.timestamp.clone());
    if let Some(arrival_time) = &source.arrival_time {
        put("arrival time", arrival_time.clone());
    }
    if let Some(dedup) = &source.dedup {
        put("dedup", format!("{} within {}", dedup.key.join(", "), dedup.within));
    }
    if let Some(filter) = &source.filter {
        put("filter", filter.clone());
    }
    facts
}

/// What is done to rows on their way in. It is not in the state key: history holds rows as the steps left them, so
/// that state built again from it would be what it was.
fn step_facts(manifest: &Manifest, view: &FeatureView) -> Fields {
    let sources = known_sources(manifest, view).filter(|source| !source.steps.is_empty());
    sources.map(|source| (format!("steps of source {}", source.name), steps_text(&source.steps))).collect()
}

/// The derived columns that the expressions come down to, and the types of the source columns they read.
fn used_facts(manifest: &Manifest, view: &FeatureView, expressions: &[&str], types: &dyn ExpressionTypes) -> Fields {
    let mut pending: Vec<String> = Vec::new();
    for expression in expressions {
        pending.extend(types.references(expression).unwrap_or_default());
    }
    let mut used: Vec<String> = Vec::new();
    while let Some(name) = pending.pop() {
        if used.contains(&name) {
            continue;
        }
        if let Some(derived) = view.derived.iter().find(|derived| derived.name == name) {
            pending.extend(types.references(&derived.expression).unwrap_or_default());
        }
        used.push(name);
    }
    used.sort();

    let derived = view.derived.iter().filter(|derived| used.contains(&derived.name));
    let mut facts: Fields =
        derived.map(|derived| (format!("derived {}", derived.name), derived.expression.clone())).collect();
    for source in known_sources(manifest, view) {
        let filtered = source.filter.as_ref().and_then(|filter| types.references(filter).ok()).unwrap_or_default();
        for column in &source.columns {
            if used.contains(&column.name) || filtered.contains(&column.name) {
                let fact = format!("{TYPE_OF}{}.{}", source.name, column.name);
                facts.push((fact, column.data_type.to_string()));
            }
        }
    }
    facts
}

fn feature_facts(feature: &Feature) -> Fields {
    let mut facts = vec![("aggregation".to_owned(), aggregation_text(&feature.aggregation))];
    let parts = [("input", &feature.input), ("where", &feature.filter), ("by", &feature.by)];
    for (fact, expression) in parts {
        facts.extend(expression.iter().map(|expression| (fact.to_owned(), expression.clone())));
    }
    facts
}

fn window_facts(view: &FeatureView, window: &Window) -> Fields {
    let mut facts = vec![("window".to_owned(), window.to_string())];
    if window.alignment().is_some_and(|unit| unit.is_whole_days()) {
        facts.push(("time zone".to_owned(), time_zone(view).to_owned()));
    }
    facts
}

fn feature_expressions(feature: &Feature) -> impl Iterator<Item = &str> {
    [&feature.input, &feature.filter, &feature.by].into_iter().filter_map(|expression| expression.as_deref())
}

fn known_sources<'m>(manifest: &'m Manifest, view: &FeatureView) -> impl Iterator<Item = &'m Source> {
    view.sources.iter().filter_map(move |name| manifest.source(name))
}

fn time_zone(view: &FeatureView) -> &str {
    view.time_zone.as_deref().unwrap_or("UTC")
}

fn nan_policy(view: &FeatureView) -> &'static str {
    if view.keep_nan { "keep" } else { "skip" }
}
