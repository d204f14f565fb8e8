//! What applying a manifest would change: which objects, and what follows for state and for the meaning of features.
//!
//! Two manifests are compared field by field for the reader, and output by output for the consequences: an
//! output changes its meaning when anything that decides its values differs (`meaning`), wherever it stands.

mod fields;
mod meaning;

use crate::direct::DirectFeature;
use crate::model::{FeatureService, FeatureView, Manifest, Source};
use crate::validate::{CheckedManifest, ExpressionTypes};
use fields::{Object, difference};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

pub use meaning::view_state_key;

/// The changes from one manifest to the next, in the order of the kinds and then by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Plan {
    pub changes: Vec<Change>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    pub kind: ChangeKind,
    /// The path of the object, such as `view:orders`.
    pub object: String,
    /// `field: old -> new` of an update, `field: value` of a creation.
    pub details: Vec<String>,
    pub consequences: Vec<Consequence>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Create,
    Update,
    Delete,
}

/// What follows from a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Consequence {
    /// The online state of a new view is built from history.
    BuildState {
        view: String,
    },
    /// The online state no longer fits the view, and is built again from history.
    RebuildState {
        view: String,
    },
    DropState {
        view: String,
    },
    /// The feature keeps its name and answers something else.
    ChangesMeaning {
        feature: String,
        why: String,
    },
    /// Who reads the feature no longer finds it.
    RemovesFeature {
        feature: String,
    },
    SchemaAddsColumn {
        source: String,
        column: String,
    },
    SchemaRemovesColumn {
        source: String,
        column: String,
    },
    SchemaRetypesColumn {
        source: String,
        column: String,
        from: String,
        to: String,
    },
    NoEffectOnValues,
}

/// Compares the applied manifest, if there is one, with the one to apply.
pub fn plan(old: Option<&CheckedManifest>, new: &CheckedManifest, types: &dyn ExpressionTypes) -> Plan {
    let nothing = CheckedManifest {
        manifest: Default::default(),
        views: Vec::new(),
        on_demand: Vec::new(),
        on_demand_order: Vec::new(),
    };
    let old = old.unwrap_or(&nothing);
    let changed = meaning::changed_meanings(old, new, types);
    let (from, to) = (&old.manifest, &new.manifest);

    // What direct features stand for is told with them, and not as objects that nobody declared.
    let (ours_before, ours_after) = (from.generated(), to.generated());
    let sources_before = from.sources.iter().filter(|source| !ours_before.contains(&source.name));
    let sources_after = to.sources.iter().filter(|source| !ours_after.contains(&source.name));
    let views_before = from.views.iter().filter(|view| !ours_before.contains(&view.name));
    let views_after = to.views.iter().filter(|view| !ours_after.contains(&view.name));
    let of_view = |before: Option<&FeatureView>, after: Option<&FeatureView>| {
        let key_before = before.map(|view| view_state_key(from, view, types));
        let key_after = after.map(|view| view_state_key(to, view, types));
        view_consequences(before, after, key_before == key_after, &changed)
    };

    let mut changes = Vec::new();
    changes.extend(compare(from.entities.iter(), to.entities.iter(), |_, _| Vec::new()));
    changes.extend(compare(sources_before, sources_after, source_consequences));
    changes.extend(compare(views_before, views_after, of_view));
    changes.extend(compare(from.direct.iter(), to.direct.iter(), |before, after| {
        let ((source_before, view_before), (source_after, view_after)) = (parts(from, before), parts(to, after));
        let mut consequences = source_consequences(source_before, source_after);
        consequences.extend(of_view(view_before, view_after));
        consequences
    }));
    changes.extend(compare(from.on_demand.iter(), to.on_demand.iter(), |before, after| match (before, after) {
        (Some(before), None) => vec![Consequence::RemovesFeature { feature: before.name.clone() }],
        (_, Some(after)) => changed_meaning(&after.name, &changed).into_iter().collect(),
        (None, None) => Vec::new(),
    }));
    changes.extend(compare(from.services.iter(), to.services.iter(), service_consequences));
    changes.extend(compare(from.training_sets.iter(), to.training_sets.iter(), |_, _| Vec::new()));
    Plan { changes }
}

/// The source and the view that a direct feature stands for.
fn parts<'m>(manifest: &'m Manifest, feature: Option<&DirectFeature>) -> (Option<&'m Source>, Option<&'m FeatureView>) {
    let Some(name) = feature.map(DirectFeature::object_name) else { return (None, None) };
    (manifest.source(&name), manifest.view(&name))
}

/// The changes of one kind; an object that is as it was, and that nothing happens to, is left out.
fn compare<'m, T: Object + 'm>(
    old: impl Iterator<Item = &'m T>,
    new: impl Iterator<Item = &'m T>,
    consequences: impl Fn(Option<&T>, Option<&T>) -> Vec<Consequence>,
) -> Vec<Change> {
    let mut pairs: BTreeMap<Cow<'m, str>, (Option<&'m T>, Option<&'m T>)> = BTreeMap::new();
    for object in old {
        pairs.entry(object.name()).or_default().0 = Some(object);
    }
    for object in new {
        pairs.entry(object.name()).or_default().1 = Some(object);
    }
    let mut changes = Vec::new();
    for (name, (before, after)) in pairs {
        let mut consequences = consequences(before, after);
        let (kind, details) = match (before, after) {
            (Some(before), Some(after)) => (ChangeKind::Update, difference(&before.fields(), &after.fields())),
            (None, Some(after)) => (ChangeKind::Create, listed(after)),
            (_, None) => (ChangeKind::Delete, Vec::new()),
        };
        if kind == ChangeKind::Update && consequences.is_empty() {
            if details.is_empty() {
                continue;
            }
            if let (Some(before), Some(after)) = (before, after)
                && before.same_values(after)
            {
                consequences.push(Consequence::NoEffectOnValues);
            }
        }
        changes.push(Change { kind, object: format!("{}:{name}", T::KIND), details, consequences });
    }
    changes
}

fn listed<T: Object>(object: &T) -> Vec<String> {
    object.fields().iter().map(|(field, value)| format!("{field}: {value}")).collect()
}

fn source_consequences(before: Option<&Source>, after: Option<&Source>) -> Vec<Consequence> {
    let (Some(before), Some(after)) = (before, after) else { return Vec::new() };
    let source = &after.name;
    let removed = before.columns.iter().filter(|column| after.column(&column.name).is_none());
    let mut consequences: Vec<Consequence> = removed
        .map(|column| Consequence::SchemaRemovesColumn { source: source.clone(), column: column.name.clone() })
        .collect();
    for column in &after.columns {
        match before.column(&column.name) {
            None => {
                let (source, column) = (source.clone(), column.name.clone());
                consequences.push(Consequence::SchemaAddsColumn { source, column });
            }
            Some(old) if old.data_type != column.data_type => {
                consequences.push(Consequence::SchemaRetypesColumn {
                    source: source.clone(),
                    column: column.name.clone(),
                    from: old.data_type.to_string(),
                    to: column.data_type.to_string(),
                });
            }
            Some(_) => {}
        }
    }
    consequences
}

fn view_consequences(
    before: Option<&FeatureView>,
    after: Option<&FeatureView>,
    same_state: bool,
    changed: &BTreeMap<String, String>,
) -> Vec<Consequence> {
    let references = |view: Option<&FeatureView>| -> Vec<String> {
        let Some(view) = view else { return Vec::new() };
        view.outputs().map(|(_, _, output)| format!("{}.{output}", view.name)).collect()
    };
    let (old_outputs, new_outputs) = (references(before), references(after));
    let mut consequences = Vec::new();
    match (before, after) {
        (None, Some(view)) => consequences.push(Consequence::BuildState { view: view.name.clone() }),
        (Some(_), Some(view)) if !same_state => {
            consequences.push(Consequence::RebuildState { view: view.name.clone() });
        }
        (Some(view), None) => consequences.push(Consequence::DropState { view: view.name.clone() }),
        _ => {}
    }
    consequences.extend(new_outputs.iter().filter_map(|output| changed_meaning(output, changed)));
    let removed = old_outputs.into_iter().filter(|output| !new_outputs.contains(output));
    consequences.extend(removed.map(|feature| Consequence::RemovesFeature { feature }));
    consequences
}

fn changed_meaning(feature: &str, changed: &BTreeMap<String, String>) -> Option<Consequence> {
    let why = changed.get(feature)?.clone();
    Some(Consequence::ChangesMeaning { feature: feature.to_owned(), why })
}

fn service_consequences(before: Option<&FeatureService>, after: Option<&FeatureService>) -> Vec<Consequence> {
    let kept = after.map(|service| service.features.as_slice()).unwrap_or_default();
    let asked = before.map(|service| service.features.as_slice()).unwrap_or_default();
    let removed = asked.iter().filter(|feature| !kept.contains(feature));
    removed.map(|feature| Consequence::RemovesFeature { feature: feature.clone() }).collect()
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether what is read today would be gone or mean something else.
    pub fn is_breaking(&self) -> bool {
        self.changes.iter().any(Change::is_breaking)
    }

    /// The plan as people read it.
    pub fn text(&self) -> String {
        if self.is_empty() {
            return "nothing to change: the definitions are as applied\n".to_owned();
        }
        let mut text: String = self.changes.iter().map(Change::to_string).collect();
        let count = |kind: ChangeKind| self.changes.iter().filter(|change| change.kind == kind).count();
        let (create, update, delete) =
            (count(ChangeKind::Create), count(ChangeKind::Update), count(ChangeKind::Delete));
        text += &format!("plan: {create} to create, {update} to update, {delete} to delete");
        text += if self.is_breaking() { "; breaking: it needs --allow-breaking\n" } else { "\n" };
        text
    }
}

impl Change {
    fn is_breaking(&self) -> bool {
        let is_written_to = self.object.starts_with("source:") || self.object.starts_with("direct:");
        let goes = self.kind == ChangeKind::Delete && is_written_to;
        goes || self.consequences.iter().any(Consequence::is_breaking)
    }
}

impl Consequence {
    fn is_breaking(&self) -> bool {
        match self {
            Self::ChangesMeaning { .. }
            | Self::RemovesFeature { .. }
            | Self::SchemaRemovesColumn { .. }
            | Self::SchemaRetypesColumn { .. } => true,
            Self::BuildState { .. }
            | Self::RebuildState { .. }
            | Self::DropState { .. }
            | Self::SchemaAddsColumn { .. }
            | Self::NoEffectOnValues => false,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            ChangeKind::Create => '+',
            ChangeKind::Update => '~',
            ChangeKind::Delete => '-',
        };
        writeln!(f, "{sign} {}", self.object)?;
        for detail in &self.details {
            writeln!(f, "    {detail}")?;
        }
        for consequence in &self.consequences {
            let mark = if consequence.is_breaking() { '!' } else { '>' };
            writeln!(f, "  {mark} {consequence}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Consequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuildState { view } => write!(f, "builds the online state of view `{view}` from history"),
            Self::RebuildState { view } => write!(f, "builds the online state of view `{view}` again from history"),
            Self::DropState { view } => write!(f, "drops the online state of view `{view}`"),
            Self::ChangesMeaning { feature, why } => write!(f, "feature `{feature}` changes its meaning: {why}"),
            Self::RemovesFeature { feature } => write!(f, "feature `{feature}` can no longer be read here"),
            Self::SchemaAddsColumn { source, column } => {
                write!(f, "history of source `{source}` gains the column `{column}`, null in the rows before")
            }
            Self::SchemaRemovesColumn { source, column } => {
                write!(f, "history of source `{source}` no longer receives the column `{column}`")
            }
            Self::SchemaRetypesColumn { source, column, from, to } => {
                write!(f, "column `{column}` of source `{source}` turns from {from} into {to}")
            }
            Self::NoEffectOnValues => f.write_str("no effect on values"),
        }
    }
}
