//! Objects as lists of named fields in plain text: what a plan prints and compares.

use crate::aggregation::Aggregation;
use crate::direct::DirectFeature;
use crate::model::{
    About, Column, Entity, Feature, FeatureService, FeatureView, OnDemandFeature, Source, SourceKind, SourceStep,
    StepKind, TrainingSet,
};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Field and value, in the order in which they are shown; fields without a value are left out.
pub(super) type Fields = Vec<(String, String)>;

/// Something with a name that a manifest holds.
pub(super) trait Object {
    const KIND: &'static str;
    fn name(&self) -> Cow<'_, str>;
    fn fields(&self) -> Fields;
    /// Whether an update from `self` to `other` leaves all values alone, as far as the two alone can tell.
    fn same_values(&self, other: &Self) -> bool;
}

/// One line for each field that differs.
pub(super) fn difference(old: &[(String, String)], new: &[(String, String)]) -> Vec<String> {
    let old_values: BTreeMap<&str, &str> = old.iter().map(|(field, value)| (field.as_str(), value.as_str())).collect();
    let new_values: BTreeMap<&str, &str> = new.iter().map(|(field, value)| (field.as_str(), value.as_str())).collect();
    let gone = old.iter().filter(|(field, _)| !new_values.contains_key(field.as_str()));
    let mut lines = Vec::new();
    for (field, _) in new.iter().chain(gone) {
        let before = old_values.get(field.as_str()).copied().unwrap_or("none");
        let after = new_values.get(field.as_str()).copied().unwrap_or("none");
        if before != after {
            lines.push(format!("{field}: {before} -> {after}"));
        }
    }
    lines
}

impl Object for Entity {
    const KIND: &'static str = "entity";

    fn name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        let keys = self.keys.iter().map(|key| format!("{} {}", key.name, key.data_type));
        put(&mut fields, "keys", Some(keys.collect::<Vec<_>>().join(", ")));
        put_about(&mut fields, &self.about);
        fields
    }

    fn same_values(&self, other: &Self) -> bool {
        bare_columns(&self.keys) == bare_columns(&other.keys)
    }
}

impl Object for Source {
    const KIND: &'static str = "source";

    fn name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        match &self.kind {
            SourceKind::Event => put(&mut fields, "kind", Some("events")),
            SourceKind::Change { primary_key, operation } => {
                put(&mut fields, "kind", Some("changes"));
                put(&mut fields, "primary_key", Some(primary_key.join(", ")));
                put(&mut fields, "operation", Some(operation));
            }
        }
        put(&mut fields, "timestamp", Some(&self.timestamp));
        put(&mut fields, "arrival_time", self.arrival_time.as_ref());
        let dedup = self.dedup.as_ref().map(|dedup| format!("{} within {}", dedup.key.join(", "), dedup.within));
        put(&mut fields, "dedup", dedup);
        put(&mut fields, "filter", self.filter.as_ref());
        for step in &self.steps {
            let mut text = format!("{} (priority {})", step_text(step), step.priority);
            if let StepKind::Validate { reason, .. } = &step.kind {
                text += &format!(", or else: {reason}");
            }
            put(&mut fields, &format!("step {}", step.name), Some(text));
        }
        put(&mut fields, "retention", self.retention);
        put_columns(&mut fields, "column", &self.columns);
        put_about(&mut fields, &self.about);
        fields
    }

    fn same_values(&self, other: &Self) -> bool {
        // Of the steps counts what they do, in which order: not what they are called and what they say.
        let bare = |source: &Self| Self {
            columns: bare_columns(&source.columns),
            about: About::default(),
            retention: None,
            steps: Vec::new(),
            ..source.clone()
        };
        bare(self) == bare(other) && steps_text(&self.steps) == steps_text(&other.steps)
    }
}

impl Object for FeatureView {
    const KIND: &'static str = "view";

    fn name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        put(&mut fields, "entity", Some(&self.entity));
        put(&mut fields, "sources", Some(self.sources.join(", ")));
        put(&mut fields, "filter", self.filter.as_ref());
        for derived in &self.derived {
            put(&mut fields, &format!("derived {}", derived.name), Some(&derived.expression));
        }
        for feature in &self.features {
            put(&mut fields, &format!("feature {}", feature.name), Some(feature_text(feature)));
            put_named_about(&mut fields, &format!("feature {} ", feature.name), &feature.about);
        }
        put(&mut fields, "freshness", self.freshness);
        put(&mut fields, "staleness", self.staleness);
        put(&mut fields, "retention", self.declared_retention);
        put(&mut fields, "time_zone", self.time_zone.as_ref());
        put(&mut fields, "nan", self.keep_nan.then_some("keep"));
        put_about(&mut fields, &self.about);
        fields
    }

    /// What changes values in a view is told output by output.
    fn same_values(&self, _: &Self) -> bool {
        true
    }
}

impl Object for DirectFeature {
    const KIND: &'static str = "direct";

    fn name(&self) -> Cow<'_, str> {
        Cow::Owned(self.selector())
    }

    fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        let aggregations: Vec<&str> = self.aggregations.iter().map(Aggregation::name).collect();
        put(&mut fields, "entity", Some(&self.entity));
        put(&mut fields, "primitive", Some(self.primitive));
        put(&mut fields, "keep_previous", (self.keep_previous > 0).then_some(self.keep_previous));
        put(&mut fields, "aggregations", Some(aggregations.join(", ")));
        put(&mut fields, "over", self.over);
        put(&mut fields, "freshness", self.freshness);
        put(&mut fields, "staleness", self.staleness);
        put(&mut fields, "timeout", self.timeout);
        if let Some(fetch) = &self.fetch {
            put(&mut fields, "fetch url", Some(&fetch.url));
            put(&mut fields, "fetch field", Some(&fetch.field));
            for (name, value) in &fetch.headers {
                put(&mut fields, &format!("fetch header {name}"), Some(value));
            }
        }
        put_about(&mut fields, &self.about);
        fields
    }

    /// What changes the values of its view is told output by output; what is left is how it is fetched.
    fn same_values(&self, other: &Self) -> bool {
        let fetching = |feature: &Self| feature.fetch.clone().map(|fetch| (fetch, feature.freshness, feature.timeout));
        fetching(self) == fetching(other)
    }
}

impl Object for OnDemandFeature {
    const KIND: &'static str = "on_demand";

    fn name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        put(&mut fields, "expression", Some(&self.expression));
        put_columns(&mut fields, "request", &self.request);
        put_about(&mut fields, &self.about);
        fields
    }

    fn same_values(&self, _: &Self) -> bool {
        true
    }
}

impl Object for FeatureService {
    const KIND: &'static str = "service";

    fn name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        put(&mut fields, "features", Some(self.features.join(", ")));
        put(&mut fields, "log_sample", Some(self.log_sample));
        put_about(&mut fields, &self.about);
        fields
    }

    fn same_values(&self, _: &Self) -> bool {
        true
    }
}

impl Object for TrainingSet {
    const KIND: &'static str = "training_set";

    fn name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        put(&mut fields, "service", Some(&self.service));
        put(&mut fields, "as_of", Some(self.as_of.name()));
        put(&mut fields, "spine", Some(&self.spine));
        put(&mut fields, "timestamp", Some(&self.timestamp));
        put_about(&mut fields, &self.about);
        fields
    }

    fn same_values(&self, other: &Self) -> bool {
        Self { about: other.about.clone(), ..self.clone() } == *other
    }
}

/// An aggregation with its parameters: `first_k(k=3)`.
pub(super) fn aggregation_text(aggregation: &Aggregation) -> String {
    let name = aggregation.name();
    match aggregation {
        Aggregation::Var { ddof } | Aggregation::Std { ddof } => format!("{name}(ddof={ddof})"),
        Aggregation::FirstK { k } | Aggregation::LastK { k } | Aggregation::TopK { k } | Aggregation::BottomK { k } => {
            format!("{name}(k={k})")
        }
        Aggregation::ApproxDistinct { lg_k } => format!("{name}(lg_k={lg_k})"),
        Aggregation::ApproxQuantile { quantile, relative_error } => {
            format!("{name}(quantile={quantile}, relative_error={relative_error})")
        }
        _ => name.to_owned(),
    }
}

/// What the steps of a source do to its rows, in their order; empty where there are none.
pub(super) fn steps_text(steps: &[SourceStep]) -> String {
    steps.iter().map(step_text).collect::<Vec<_>>().join("; ")
}

fn step_text(step: &SourceStep) -> String {
    match &step.kind {
        StepKind::Validate { expression, .. } => format!("validate {expression}"),
        StepKind::Transform { column, expression } => format!("transform {column} = {expression}"),
    }
}

fn feature_text(feature: &Feature) -> String {
    let mut text = format!("{} of {}", aggregation_text(&feature.aggregation), feature.input.as_deref().unwrap_or("*"));
    if let Some(filter) = &feature.filter {
        text += &format!(" where {filter}");
    }
    if let Some(by) = &feature.by {
        text += &format!(" by {by}");
    }
    let windows: Vec<String> = feature.windows.iter().map(ToString::to_string).collect();
    text += &format!(" [{}]", windows.join("; "));
    text
}

/// Columns without what has no meaning for values.
fn bare_columns(columns: &[Column]) -> Vec<Column> {
    columns.iter().map(|column| Column { description: String::new(), ..column.clone() }).collect()
}

fn put_columns(fields: &mut Fields, role: &str, columns: &[Column]) {
    for column in columns {
        let mut text = column.data_type.to_string();
        if column.required {
            text += " required";
        }
        for (bound, literal) in [("min", &column.min), ("max", &column.max)] {
            if let Some(literal) = literal {
                text += &format!(" {bound} {literal}");
            }
        }
        if !column.allowed.is_empty() {
            text += &format!(" allowed {}", column.allowed.join("|"));
        }
        put(fields, &format!("{role} {}", column.name), Some(text));
        put(fields, &format!("{role} {} description", column.name), Some(&column.description));
    }
}

fn put_about(fields: &mut Fields, about: &About) {
    put_named_about(fields, "", about);
}

fn put_named_about(fields: &mut Fields, prefix: &str, about: &About) {
    put(fields, &format!("{prefix}description"), Some(&about.description));
    put(fields, &format!("{prefix}owner"), Some(&about.owner));
    put(fields, &format!("{prefix}tags"), Some(about.tags.join(", ")));
    put(fields, &format!("{prefix}namespace"), Some(&about.namespace));
}

fn put(fields: &mut Fields, field: &str, value: Option<impl ToString>) {
    let value = value.map(|value| value.to_string()).unwrap_or_default();
    if !value.is_empty() {
        fields.push((field.to_owned(), value));
    }
}
