//! What users declare, resolved into typed form once. `wire` makes it from protobuf and back.

use crate::aggregation::Aggregation;
use crate::direct::DirectFeature;
use crate::duration::Duration;
use crate::types::DataType;
use crate::window::Window;
use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Everything a project declares. Objects are sorted by name; names are unique per kind, and those of direct features
/// per namespace.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Manifest {
    pub project: String,
    pub entities: Vec<Entity>,
    pub sources: Vec<Source>,
    pub views: Vec<FeatureView>,
    pub on_demand: Vec<OnDemandFeature>,
    pub services: Vec<FeatureService>,
    pub training_sets: Vec<TrainingSet>,
    /// By namespace, then by name. Once validated, `sources` and `views` hold what they stand for.
    pub direct: Vec<DirectFeature>,
}

/// Who owns an object and what it is about: no meaning for values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct About {
    pub description: String,
    pub owner: String,
    pub tags: Vec<String>,
    /// Whose it is: what API keys are given for. Empty: [`DEFAULT_NAMESPACE`].
    pub namespace: String,
}

/// Where objects are that name no namespace.
pub const DEFAULT_NAMESPACE: &str = "default";

impl About {
    pub fn namespace(&self) -> &str {
        if self.namespace.is_empty() { DEFAULT_NAMESPACE } else { &self.namespace }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub name: String,
    pub data_type: DataType,
    pub required: bool,
    /// Inclusive bounds, as literals of the type.
    pub min: Option<String>,
    pub max: Option<String>,
    pub allowed: Vec<String>,
    pub description: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    pub name: String,
    pub keys: Vec<Column>,
    pub about: About,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SourceKind {
    Event,
    /// Rows that are inserted, updated and deleted.
    Change {
        primary_key: Vec<String>,
        operation: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Dedup {
    pub key: Vec<String>,
    pub within: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    pub name: String,
    pub kind: SourceKind,
    pub columns: Vec<Column>,
    /// The column of the event time.
    pub timestamp: String,
    /// The column of the arrival time; none: the engine's clock.
    pub arrival_time: Option<String>,
    pub dedup: Option<Dedup>,
    pub filter: Option<String>,
    /// What is done to each row before the filter, in the order in which it is done: by priority, then by name.
    pub steps: Vec<SourceStep>,
    pub retention: Option<Duration>,
    pub about: About,
}

/// One thing done to each row of an event source, between its contract and its filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceStep {
    /// Unique in the source.
    pub name: String,
    /// Lower runs earlier.
    pub priority: i32,
    pub kind: StepKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepKind {
    /// A row for which the condition is not true goes to quarantine, with the reason.
    Validate { expression: String, reason: String },
    /// The column takes the expression's value over the row as the steps before left it.
    Transform { column: String, expression: String },
}

impl SourceStep {
    /// Which of two steps of a source runs first.
    pub fn order(&self, other: &Self) -> Ordering {
        (self.priority, &self.name).cmp(&(other.priority, &other.name))
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Derived {
    pub name: String,
    pub expression: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    pub name: String,
    pub aggregation: Aggregation,
    /// A row expression; none only for `count(*)`.
    pub input: Option<String>,
    pub filter: Option<String>,
    pub by: Option<String>,
    /// Never empty.
    pub windows: Vec<Window>,
    pub about: About,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FeatureView {
    pub name: String,
    pub entity: String,
    /// Never empty; all of one shape.
    pub sources: Vec<String>,
    pub filter: Option<String>,
    pub derived: Vec<Derived>,
    pub features: Vec<Feature>,
    pub freshness: Option<Duration>,
    pub staleness: Option<Duration>,
    /// Declared retention; see [`FeatureView::retention`].
    pub declared_retention: Option<Duration>,
    pub time_zone: Option<String>,
    pub keep_nan: bool,
    pub about: About,
}

#[derive(Debug, Clone, PartialEq)]
pub struct OnDemandFeature {
    pub name: String,
    pub expression: String,
    pub request: Vec<Column>,
    pub about: About,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FeatureService {
    pub name: String,
    pub features: Vec<String>,
    /// The share of answers recorded for the check, 0 to 1.
    pub log_sample: f64,
    pub about: About,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AsOf {
    /// All events before the query time, however late they arrived.
    EventTime,
    /// Of those, only events that had arrived before the query time.
    Arrival,
}

#[derive(Debug, Clone, PartialEq)]
pub struct TrainingSet {
    pub name: String,
    pub service: String,
    pub as_of: AsOf,
    pub spine: String,
    pub timestamp: String,
    pub about: About,
}

impl Manifest {
    pub fn entity(&self, name: &str) -> Option<&Entity> {
        self.entities.iter().find(|entity| entity.name == name)
    }

    pub fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.name == name)
    }

    pub fn view(&self, name: &str) -> Option<&FeatureView> {
        self.views.iter().find(|view| view.name == name)
    }

    pub fn on_demand(&self, name: &str) -> Option<&OnDemandFeature> {
        self.on_demand.iter().find(|feature| feature.name == name)
    }

    pub fn service(&self, name: &str) -> Option<&FeatureService> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The direct feature with a selector, `namespace.name`.
    pub fn direct(&self, selector: &str) -> Option<&DirectFeature> {
        let (namespace, name) = selector.split_once('.')?;
        self.direct.iter().find(|feature| feature.name == name && feature.about.namespace() == namespace)
    }

    /// The names of the sources and views that direct features stand for. Nobody declares them, so that they are
    /// neither written out nor shown.
    pub fn generated(&self) -> BTreeSet<String> {
        self.direct.iter().map(DirectFeature::object_name).collect()
    }
}

impl Source {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub fn is_change(&self) -> bool {
        matches!(self.kind, SourceKind::Change { .. })
    }
}

impl FeatureView {
    /// The names under which the view's values are read: one per feature and window, in order.
    pub fn outputs(&self) -> impl Iterator<Item = (&Feature, &Window, String)> {
        self.features.iter().flat_map(|feature| {
            feature.windows.iter().map(move |window| (feature, window, format!("{}{}", feature.name, window.suffix())))
        })
    }

    /// How long rows and keys stay, and how far back an entity counts as seen: as declared, or the reach
    /// of the longest window, or for ever (none) where a window has no end.
    pub fn retention(&self) -> Option<Duration> {
        if self.declared_retention.is_some() {
            return self.declared_retention;
        }
        let mut longest = Duration::default();
        for window in self.features.iter().flat_map(|feature| &feature.windows) {
            longest = longest.max(window.reach()?);
        }
        Some(longest)
    }
}

impl AsOf {
    pub fn name(self) -> &'static str {
        match self {
            Self::EventTime => "event_time",
            Self::Arrival => "arrival",
        }
    }
}

impl std::str::FromStr for AsOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "event_time" => Ok(Self::EventTime),
            "arrival" => Ok(Self::Arrival),
            _ => Err(format!("as_of=`{text}`: use `event_time` or `arrival`")),
        }
    }
}
