//! From protobuf to the typed manifest: texts are parsed here, once.

use crate::{aggregation, v1};
use std::str::FromStr;
use thalweg_definition::{
    About, Aggregation, AsOf, Column, DEFAULT_NAMESPACE, DataType, Dedup, Derived, DirectFeature, Duration, Entity,
    Feature, FeatureService, FeatureView, Fetch, Manifest, OnDemandFeature, Primitive, Problem, Scalar, Source,
    SourceKind, SourceStep, StepKind, TrainingSet, Window,
};

/// The manifest, its objects sorted by name, or everything in it that cannot be read.
pub fn from_proto(proto: v1::Manifest) -> Result<Manifest, Vec<Problem>> {
    let mut reader = Reader { problems: Vec::new() };
    let manifest = Manifest {
        project: proto.project,
        entities: proto.entities.into_iter().map(|entity| reader.entity(entity)).collect(),
        sources: proto.sources.into_iter().map(|source| reader.source(source)).collect(),
        views: proto.views.into_iter().map(|view| reader.view(view)).collect(),
        on_demand: proto.on_demand.into_iter().map(|feature| reader.on_demand(feature)).collect(),
        services: proto.services.into_iter().map(service).collect(),
        training_sets: proto.training_sets.into_iter().map(|set| reader.training_set(set)).collect(),
        direct: proto.direct_features.into_iter().map(|feature| reader.direct(feature)).collect(),
    };
    if reader.problems.is_empty() { Ok(sorted(manifest)) } else { Err(reader.problems) }
}

/// Objects by name, direct features by namespace and name, steps as they run, headers by name; tags in order and once.
pub(super) fn sorted(mut manifest: Manifest) -> Manifest {
    manifest.entities.sort_by(|a, b| a.name.cmp(&b.name));
    manifest.sources.sort_by(|a, b| a.name.cmp(&b.name));
    manifest.views.sort_by(|a, b| a.name.cmp(&b.name));
    manifest.on_demand.sort_by(|a, b| a.name.cmp(&b.name));
    manifest.services.sort_by(|a, b| a.name.cmp(&b.name));
    manifest.training_sets.sort_by(|a, b| a.name.cmp(&b.name));
    manifest.direct.sort_by(DirectFeature::order);

    let Manifest { entities, sources, views, on_demand, services, training_sets, direct, .. } = &mut manifest;
    entities.iter_mut().for_each(|object| sort_tags(&mut object.about));
    for source in sources {
        sort_tags(&mut source.about);
        source.steps.sort_by(SourceStep::order);
    }
    on_demand.iter_mut().for_each(|object| sort_tags(&mut object.about));
    services.iter_mut().for_each(|object| sort_tags(&mut object.about));
    training_sets.iter_mut().for_each(|object| sort_tags(&mut object.about));
    for feature in direct {
        sort_tags(&mut feature.about);
        feature.fetch.iter_mut().for_each(|fetch| fetch.headers.sort());
    }
    for view in views {
        sort_tags(&mut view.about);
        view.features.iter_mut().for_each(|feature| sort_tags(&mut feature.about));
    }
    manifest
}

fn sort_tags(about: &mut About) {
    about.tags.sort();
    about.tags.dedup();
}

/// Goes on after a problem with a stand-in, so that all problems are found; the stand-ins are never seen.
struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn entity(&mut self, proto: v1::Entity) -> Entity {
        let object = format!("entity:{}", proto.name);
        Entity { keys: self.columns(&object, proto.keys), name: proto.name, about: about(proto.about) }
    }

    fn source(&mut self, proto: v1::Source) -> Source {
        let object = format!("source:{}", proto.name);
        let dedup = proto
            .dedup
            .map(|dedup| Dedup { key: dedup.key, within: self.parsed(&object, &dedup.within).unwrap_or_default() });
        Source {
            kind: self.source_kind(&object, proto.kind, proto.primary_key, proto.operation),
            columns: self.columns(&object, proto.columns),
            timestamp: proto.timestamp,
            arrival_time: text(proto.arrival_time),
            dedup,
            filter: text(proto.filter),
            steps: proto.steps.into_iter().map(|step| self.step(&object, step)).collect(),
            retention: self.duration(&object, &proto.retention),
            name: proto.name,
            about: about(proto.about),
        }
    }

    fn source_kind(&mut self, object: &str, kind: i32, primary_key: Vec<String>, operation: String) -> SourceKind {
        match v1::SourceKind::try_from(kind) {
            Ok(v1::SourceKind::Change) => return SourceKind::Change { primary_key, operation },
            Ok(v1::SourceKind::Event | v1::SourceKind::Unspecified) => {}
            Err(_) => self.refuse(object, format!("unknown kind of source {kind}"), "use an event or a change source"),
        }
        if !primary_key.is_empty() || !operation.is_empty() {
            let rule = "an event source has no primary key and no operation";
            self.refuse(object, rule, "remove them, or make it a change source");
        }
        SourceKind::Event
    }

    fn step(&mut self, source: &str, proto: v1::SourceStep) -> SourceStep {
        let kind = match proto.kind {
            Some(v1::source_step::Kind::Validate(step)) => {
                StepKind::Validate { expression: trimmed(&step.expression), reason: trimmed(&step.reason) }
            }
            Some(v1::source_step::Kind::Transform(step)) => {
                StepKind::Transform { column: step.column, expression: trimmed(&step.expression) }
            }
            None => {
                let object = format!("{source}.steps.{}", proto.name);
                self.refuse(&object, "the step does nothing", "give it `validate` or `transform`");
                StepKind::Validate { expression: String::new(), reason: String::new() }
            }
        };
        SourceStep { name: proto.name, priority: proto.priority, kind }
    }

    fn view(&mut self, proto: v1::FeatureView) -> FeatureView {
        let object = format!("view:{}", proto.name);
        let derived =
            |derived: v1::Derived| Derived { name: derived.name, expression: derived.expression.trim().to_owned() };
        FeatureView {
            entity: proto.entity,
            sources: proto.sources,
            filter: text(proto.filter),
            derived: proto.derived.into_iter().map(derived).collect(),
            features: proto.features.into_iter().map(|feature| self.feature(&object, feature)).collect(),
            freshness: self.duration(&object, &proto.freshness),
            staleness: self.duration(&object, &proto.staleness),
            declared_retention: self.duration(&object, &proto.retention),
            time_zone: text(proto.time_zone),
            keep_nan: proto.keep_nan,
            name: proto.name,
            about: about(proto.about),
        }
    }

    fn feature(&mut self, view: &str, proto: v1::Feature) -> Feature {
        let object = format!("{view}.{}", proto.name);
        let aggregation = aggregation::aggregation(&proto).unwrap_or_else(|rule| {
            self.refuse(&object, rule, format!("use one of: {}", Aggregation::NAMES.join(", ")));
            Aggregation::Count
        });
        let mut windows = Vec::new();
        for window in &proto.windows {
            match aggregation::window(window) {
                Ok(window) => windows.push(window),
                Err(rule) => {
                    self.refuse(&object, rule, "use a sliding, tumbling, to_date or unbounded window such as over 7d");
                }
            }
        }
        if proto.windows.is_empty() {
            windows.push(Window::Unbounded);
        }
        Feature {
            name: proto.name,
            aggregation,
            input: text(proto.input),
            filter: text(proto.r#where),
            by: text(proto.by),
            windows,
            about: about(proto.about),
        }
    }

    fn on_demand(&mut self, proto: v1::OnDemandFeature) -> OnDemandFeature {
        let object = format!("on_demand:{}", proto.name);
        OnDemandFeature {
            request: self.columns(&object, proto.request),
            name: proto.name,
            expression: proto.expression.trim().to_owned(),
            about: about(proto.about),
        }
    }

    fn training_set(&mut self, proto: v1::TrainingSet) -> TrainingSet {
        let object = format!("training_set:{}", proto.name);
        let as_of = if proto.as_of.is_empty() { Some(AsOf::EventTime) } else { self.parsed(&object, &proto.as_of) };
        TrainingSet {
            name: proto.name,
            service: proto.service,
            as_of: as_of.unwrap_or(AsOf::EventTime),
            spine: proto.spine.trim().to_owned(),
            timestamp: proto.timestamp,
            about: about(proto.about),
        }
    }

    fn direct(&mut self, proto: v1::DirectFeature) -> DirectFeature {
        let about = about(proto.about);
        let object = format!("direct:{}.{}", about.namespace(), proto.name);
        let mut aggregations = Vec::new();
        for name in &proto.aggregations {
            match aggregation::of_direct(name) {
                Ok(aggregation) => aggregations.push(aggregation),
                Err(rule) => self.refuse(&object, rule, "use count, sum, mean, min or max"),
            }
        }
        let whole = Primitive { item: Scalar::Int, list: false };
        DirectFeature {
            entity: proto.entity,
            primitive: self.parsed(&object, &proto.primitive).unwrap_or(whole),
            keep_previous: proto.keep_previous,
            aggregations,
            over: self.duration(&object, &proto.over),
            freshness: self.duration(&object, &proto.freshness),
            staleness: self.duration(&object, &proto.staleness),
            timeout: self.duration(&object, &proto.timeout),
            fetch: proto.fetch.map(fetch),
            name: proto.name,
            about,
        }
    }

    fn columns(&mut self, owner: &str, columns: Vec<v1::Column>) -> Vec<Column> {
        columns.into_iter().map(|column| self.column(owner, column)).collect()
    }

    fn column(&mut self, owner: &str, proto: v1::Column) -> Column {
        let object = format!("{owner}.{}", proto.name);
        let given = |literal: String| if literal.is_empty() { None } else { Some(literal) };
        Column {
            data_type: self.parsed(&object, &proto.r#type).unwrap_or(DataType::String),
            name: proto.name,
            required: proto.required,
            min: given(proto.min),
            max: given(proto.max),
            allowed: proto.allowed,
            description: proto.description,
        }
    }

    /// None where nothing is written.
    fn duration(&mut self, object: &str, written: &str) -> Option<Duration> {
        if written.trim().is_empty() { None } else { self.parsed(object, written) }
    }

    fn parsed<T: FromStr<Err = String>>(&mut self, object: &str, written: &str) -> Option<T> {
        match written.parse() {
            Ok(value) => Some(value),
            Err(reason) => {
                // Most reasons are a rule and its mend in one sentence: `x` is not a y: write a z.
                let parts = reason.rsplit_once(": ");
                let parts = parts.filter(|(_, mend)| mend.starts_with("use ") || mend.starts_with("write "));
                let (rule, mend) = parts.unwrap_or((reason.as_str(), "write another"));
                self.refuse(object, rule, mend);
                None
            }
        }
    }

    fn refuse(&mut self, object: &str, rule: impl Into<String>, mend: impl Into<String>) {
        self.problems.push(Problem::new(object, rule, mend));
    }
}

fn service(proto: v1::FeatureService) -> FeatureService {
    FeatureService {
        name: proto.name,
        features: proto.features,
        log_sample: proto.log_sample,
        about: about(proto.about),
    }
}

fn fetch(proto: v1::Fetch) -> Fetch {
    let headers = proto.headers.into_iter().map(|header| (header.name, header.value)).collect();
    Fetch { url: trimmed(&proto.url), field: proto.field, headers }
}

fn about(proto: Option<v1::About>) -> About {
    let proto = proto.unwrap_or_default();
    // Written out or left out, it is the same namespace, and the same manifest.
    let namespace = if proto.namespace == DEFAULT_NAMESPACE { String::new() } else { proto.namespace };
    About { description: proto.description, owner: proto.owner, tags: proto.tags, namespace }
}

fn trimmed(written: &str) -> String {
    written.trim().to_owned()
}

/// Expressions and names without the blanks around them; none where nothing is left.
fn text(written: String) -> Option<String> {
    let trimmed = written.trim();
    if trimmed.is_empty() { None } else { Some(trimmed.to_owned()) }
}
