//! The rules of a view: its entity, its sources, and the columns that its features are computed from.

use super::{CheckedFeature, CheckedView, ExpressionTypes, Problems, Scope, features, names};
use crate::duration::Duration;
use crate::model::{FeatureView, Manifest, Source};
use crate::types::DataType;

/// The types found in a view; none where a problem stands in the way.
pub(super) struct ViewTypes {
    derived: Vec<Option<DataType>>,
    pub(super) features: Vec<Option<CheckedFeature>>,
}

/// What the rules of a feature need to know of its view.
pub(super) struct Surroundings<'a> {
    pub(super) object: &'a str,
    pub(super) view: &'a FeatureView,
    pub(super) sources: &'a [&'a Source],
    pub(super) scope: &'a Scope,
    pub(super) types: &'a dyn ExpressionTypes,
}

impl ViewTypes {
    /// Of a view whose problems are reported elsewhere.
    pub(super) fn unknown(view: &FeatureView) -> Self {
        Self { derived: vec![None; view.derived.len()], features: vec![None; view.features.len()] }
    }

    pub(super) fn checked(self) -> CheckedView {
        CheckedView {
            derived_types: self.derived.into_iter().flatten().collect(),
            features: self.features.into_iter().flatten().collect(),
        }
    }
}

pub(super) fn check(
    manifest: &Manifest,
    view: &FeatureView,
    types: &dyn ExpressionTypes,
    problems: &mut Problems<'_>,
) -> ViewTypes {
    let object = format!("view:{}", view.name);
    let sources = known_sources(&object, manifest, view, problems);
    check_entity(&object, manifest, view, &sources, problems);
    check_settings(&object, view, &sources, problems);
    check_names(&object, view, problems);
    let Some(first) = sources.first() else {
        return ViewTypes::unknown(view);
    };

    let mut scope = Scope::of_source(first);
    let derived = derive(&object, view, &sources, &mut scope, types, problems);
    if let Some(filter) = &view.filter {
        scope.check_condition(&object, "the filter", filter, types, problems);
    }
    check_shape(&object, view, &sources, types, problems);
    let surroundings = Surroundings { object: &object, view, sources: &sources, scope: &scope, types };
    let features = view.features.iter().map(|feature| features::check(&surroundings, feature, problems)).collect();
    ViewTypes { derived, features }
}

fn known_sources<'m>(
    object: &str,
    manifest: &'m Manifest,
    view: &FeatureView,
    problems: &mut Problems<'_>,
) -> Vec<&'m Source> {
    if view.sources.is_empty() {
        problems.add(object, "a view needs at least one source", "name the source of its rows");
    }
    let mut seen = Vec::new();
    let mut sources = Vec::new();
    for name in &view.sources {
        if !names::check_unique(object, name, &mut seen, problems) {
            continue;
        }
        match manifest.source(name) {
            Some(source) => sources.push(source),
            None => {
                let mend = names::suggestion(name, manifest.sources.iter().map(|source| source.name.as_str()));
                problems.add(object, format!("unknown source `{name}`"), mend);
            }
        }
    }
    sources
}

fn check_entity(
    object: &str,
    manifest: &Manifest,
    view: &FeatureView,
    sources: &[&Source],
    problems: &mut Problems<'_>,
) {
    let Some(entity) = manifest.entity(&view.entity) else {
        let mend = names::suggestion(&view.entity, manifest.entities.iter().map(|entity| entity.name.as_str()));
        problems.add(object, format!("unknown entity `{}`", view.entity), mend);
        return;
    };
    for source in sources {
        for key in &entity.keys {
            let place = format!("key `{}` of entity `{}`", key.name, entity.name);
            match source.column(&key.name) {
                None => {
                    let mend = names::suggestion(&key.name, source.columns.iter().map(|column| column.name.as_str()));
                    problems.add(object, format!("{place} is not a column of source `{}`", source.name), mend);
                }
                Some(column) if column.data_type != key.data_type => {
                    let rule = format!(
                        "{place} is {}, and the column in source `{}` is {}",
                        key.data_type, source.name, column.data_type
                    );
                    problems.add(object, rule, "give both the same type");
                }
                Some(_) => {}
            }
        }
    }
}

fn check_settings(object: &str, view: &FeatureView, sources: &[&Source], problems: &mut Problems<'_>) {
    let durations =
        [("freshness", view.freshness), ("staleness", view.staleness), ("retention", view.declared_retention)];
    for (role, _) in durations.iter().filter(|(_, duration)| *duration == Some(Duration::default())) {
        problems.add(object, format!("the {role} is zero"), format!("give a length of time, or leave {role} out"));
    }
    if let Some(zone) = &view.time_zone
        && zone.parse::<chrono_tz::Tz>().is_err()
    {
        problems.add(object, format!("unknown time zone `{zone}`"), "use an IANA name, such as `Europe/Amsterdam`");
    }
    let Some(declared) = view.declared_retention else { return };
    for source in sources {
        if let Some(kept) = source.retention
            && declared > kept
        {
            let rule =
                format!("the retention {declared} is longer than the {kept} that source `{}` keeps", source.name);
            problems.add(object, rule, format!("keep the source for at least {declared}, or shorten the view's"));
        }
    }
}

fn check_names(object: &str, view: &FeatureView, problems: &mut Problems<'_>) {
    if view.features.is_empty() {
        problems.add(object, "a view needs at least one feature", "declare a feature");
    }
    let mut seen = Vec::new();
    for feature in &view.features {
        let place = format!("{object}.{}", feature.name);
        names::check_name(&place, &feature.name, problems);
        names::check_unique(&place, &feature.name, &mut seen, problems);
    }
    let mut outputs: Vec<(String, &str)> = Vec::new();
    for (feature, _, output) in view.outputs() {
        let place = format!("{object}.{}", feature.name);
        match outputs.iter().find(|(other, _)| *other == output) {
            // Two features of one name are reported already.
            Some((_, owner)) if *owner != feature.name => {
                let rule = format!("its output `{output}` is also one of feature `{owner}`");
                problems.add(&place, rule, "rename one of the two features");
            }
            Some(_) if view.features.iter().filter(|other| other.name == feature.name).count() == 1 => {
                problems.add(&place, format!("the window of `{output}` is declared twice"), "remove one of the two");
            }
            Some(_) => {}
            None => outputs.push((output, feature.name.as_str())),
        }
    }
}

/// The types of the derived columns, each of which may use those before it; they join the scope.
fn derive(
    object: &str,
    view: &FeatureView,
    sources: &[&Source],
    scope: &mut Scope,
    types: &dyn ExpressionTypes,
    problems: &mut Problems<'_>,
) -> Vec<Option<DataType>> {
    let mut derived_types = Vec::new();
    let mut seen = Vec::new();
    for derived in &view.derived {
        let place = format!("{object}.{}", derived.name);
        names::check_name(&place, &derived.name, problems);
        names::check_unique(&place, &derived.name, &mut seen, problems);
        if let Some(source) = sources.iter().find(|source| source.column(&derived.name).is_some()) {
            let rule = format!("the derived column has the name of a column of source `{}`", source.name);
            problems.add(&place, rule, "choose another name");
        }
        let data_type = scope.type_of(&place, "the derived column", &derived.expression, types, problems);
        match &data_type {
            Some(data_type) => scope.columns.push((derived.name.clone(), data_type.clone())),
            None => scope.broken.push(derived.name.clone()),
        }
        derived_types.push(data_type);
    }
    derived_types
}

/// Several sources feed one view as one stream of rows: they must agree on the columns that it uses.
fn check_shape(
    object: &str,
    view: &FeatureView,
    sources: &[&Source],
    types: &dyn ExpressionTypes,
    problems: &mut Problems<'_>,
) {
    let [first, others @ ..] = sources else { return };
    if others.is_empty() {
        return;
    }
    let derived = view.derived.iter().map(|derived| Some(&derived.expression));
    let features = view.features.iter().flat_map(|feature| [&feature.input, &feature.filter, &feature.by]);
    let expressions = derived.chain(features.map(Option::as_ref)).chain([view.filter.as_ref()]).flatten();
    let mut used: Vec<String> = Vec::new();
    for name in expressions.filter_map(|expression| types.references(expression).ok()).flatten() {
        if !used.contains(&name) {
            used.push(name);
        }
    }
    for other in others {
        if other.is_change() != first.is_change() {
            let rule = format!("source `{}` holds events and source `{}` holds changes", first.name, other.name);
            let swapped = format!("source `{}` holds events and source `{}` holds changes", other.name, first.name);
            problems.add(
                object,
                if other.is_change() { rule } else { swapped },
                "give all sources of a view the same kind, or make two views",
            );
        }
        for expected in used.iter().filter_map(|name| first.column(name)) {
            let name = &expected.name;
            match other.column(name) {
                None => problems.add(
                    object,
                    format!("source `{}` lacks the column `{name}`, which source `{}` has", other.name, first.name),
                    "give all sources of a view the columns that it uses",
                ),
                Some(column) if column.data_type != expected.data_type => problems.add(
                    object,
                    format!(
                        "column `{name}` is {} in source `{}` and {} in source `{}`",
                        expected.data_type, first.name, column.data_type, other.name
                    ),
                    "give the column one type",
                ),
                Some(_) => {}
            }
        }
    }
}
