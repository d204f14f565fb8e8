//! From the typed manifest to protobuf, in its canonical form: objects by name, tags in order, durations and
//! types as they print, everything else as declared.

use super::read::sorted;
use crate::{aggregation, v1};
use thalweg_definition::{
    About, Column, Dedup, Derived, DirectFeature, Duration, Entity, Feature, FeatureService, FeatureView, Fetch,
    Manifest, OnDemandFeature, Source, SourceKind, SourceStep, StepKind, TrainingSet,
};

/// The canonical message: the same for the same definitions, whatever their order, and whether or not direct features
/// were expanded.
pub fn to_proto(manifest: &Manifest) -> v1::Manifest {
    let manifest = sorted(manifest.clone());
    let generated = manifest.generated();
    let sources = manifest.sources.iter().filter(|source| !generated.contains(&source.name));
    let views = manifest.views.iter().filter(|view| !generated.contains(&view.name));
    v1::Manifest {
        entities: manifest.entities.iter().map(entity).collect(),
        sources: sources.map(source).collect(),
        views: views.map(view).collect(),
        on_demand: manifest.on_demand.iter().map(on_demand).collect(),
        services: manifest.services.iter().map(service).collect(),
        training_sets: manifest.training_sets.iter().map(training_set).collect(),
        direct_features: manifest.direct.iter().map(direct).collect(),
        project: manifest.project,
    }
}

fn entity(entity: &Entity) -> v1::Entity {
    v1::Entity { name: entity.name.clone(), keys: columns(&entity.keys), about: about(&entity.about) }
}

fn source(source: &Source) -> v1::Source {
    let (kind, primary_key, operation) = match &source.kind {
        SourceKind::Event => (v1::SourceKind::Event, Vec::new(), String::new()),
        SourceKind::Change { primary_key, operation } => {
            (v1::SourceKind::Change, primary_key.clone(), operation.clone())
        }
    };
    v1::Source {
        name: source.name.clone(),
        kind: kind.into(),
        columns: columns(&source.columns),
        timestamp: source.timestamp.clone(),
        arrival_time: source.arrival_time.clone().unwrap_or_default(),
        dedup: source.dedup.as_ref().map(dedup),
        filter: source.filter.clone().unwrap_or_default(),
        primary_key,
        operation,
        retention: duration(source.retention),
        about: about(&source.about),
        steps: source.steps.iter().map(step).collect(),
    }
}

fn step(step: &SourceStep) -> v1::SourceStep {
    let kind = match step.kind.clone() {
        StepKind::Validate { expression, reason } => {
            v1::source_step::Kind::Validate(v1::ValidateStep { expression, reason })
        }
        StepKind::Transform { column, expression } => {
            v1::source_step::Kind::Transform(v1::TransformStep { column, expression })
        }
    };
    v1::SourceStep { name: step.name.clone(), priority: step.priority, kind: Some(kind) }
}

fn dedup(dedup: &Dedup) -> v1::Dedup {
    v1::Dedup { key: dedup.key.clone(), within: dedup.within.to_string() }
}

fn view(view: &FeatureView) -> v1::FeatureView {
    let derived =
        |derived: &Derived| v1::Derived { name: derived.name.clone(), expression: derived.expression.clone() };
    v1::FeatureView {
        name: view.name.clone(),
        entity: view.entity.clone(),
        sources: view.sources.clone(),
        filter: view.filter.clone().unwrap_or_default(),
        derived: view.derived.iter().map(derived).collect(),
        features: view.features.iter().map(feature).collect(),
        freshness: duration(view.freshness),
        staleness: duration(view.staleness),
        retention: duration(view.declared_retention),
        time_zone: view.time_zone.clone().unwrap_or_default(),
        keep_nan: view.keep_nan,
        about: about(&view.about),
    }
}

fn feature(feature: &Feature) -> v1::Feature {
    let mut proto = v1::Feature {
        name: feature.name.clone(),
        input: feature.input.clone().unwrap_or_default(),
        r#where: feature.filter.clone().unwrap_or_default(),
        by: feature.by.clone().unwrap_or_default(),
        windows: feature.windows.iter().map(aggregation::window_to_proto).collect(),
        about: about(&feature.about),
        ..Default::default()
    };
    aggregation::put_aggregation(&feature.aggregation, &mut proto);
    proto
}

fn on_demand(feature: &OnDemandFeature) -> v1::OnDemandFeature {
    v1::OnDemandFeature {
        name: feature.name.clone(),
        expression: feature.expression.clone(),
        request: columns(&feature.request),
        about: about(&feature.about),
    }
}

fn service(service: &FeatureService) -> v1::FeatureService {
    v1::FeatureService {
        name: service.name.clone(),
        features: service.features.clone(),
        log_sample: service.log_sample,
        about: about(&service.about),
    }
}

fn training_set(training_set: &TrainingSet) -> v1::TrainingSet {
    v1::TrainingSet {
        name: training_set.name.clone(),
        service: training_set.service.clone(),
        as_of: training_set.as_of.name().to_owned(),
        spine: training_set.spine.clone(),
        timestamp: training_set.timestamp.clone(),
        about: about(&training_set.about),
    }
}

fn direct(feature: &DirectFeature) -> v1::DirectFeature {
    v1::DirectFeature {
        name: feature.name.clone(),
        entity: feature.entity.clone(),
        primitive: feature.primitive.to_string(),
        keep_previous: feature.keep_previous,
        aggregations: feature.aggregations.iter().map(|aggregation| aggregation.name().to_owned()).collect(),
        over: duration(feature.over),
        freshness: duration(feature.freshness),
        staleness: duration(feature.staleness),
        timeout: duration(feature.timeout),
        fetch: feature.fetch.as_ref().map(fetch),
        about: about(&feature.about),
    }
}

fn fetch(fetch: &Fetch) -> v1::Fetch {
    let header = |(name, value): &(String, String)| v1::Header { name: name.clone(), value: value.clone() };
    v1::Fetch {
        url: fetch.url.clone(),
        field: fetch.field.clone(),
        headers: fetch.headers.iter().map(header).collect(),
    }
}

fn columns(columns: &[Column]) -> Vec<v1::Column> {
    let column = |column: &Column| v1::Column {
        name: column.name.clone(),
        r#type: column.data_type.to_string(),
        required: column.required,
        min: column.min.clone().unwrap_or_default(),
        max: column.max.clone().unwrap_or_default(),
        allowed: column.allowed.clone(),
        description: column.description.clone(),
    };
    columns.iter().map(column).collect()
}

/// None where nothing is said.
fn about(about: &About) -> Option<v1::About> {
    let About { description, owner, tags, namespace } = about.clone();
    (*about != About::default()).then_some(v1::About { description, owner, tags, namespace })
}

fn duration(duration: Option<Duration>) -> String {
    duration.as_ref().map(Duration::to_string).unwrap_or_default()
}
