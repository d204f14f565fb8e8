//! What a run is about, drawn from its seed: the settings of the engine, the sources, and views that change.

use crate::expressions::Small;
use crate::random::Random;
use crate::rows::{LEAST_UNITS, column};
use std::collections::{BTreeMap, HashMap};
use thalweg_definition::{
    About, Aggregation, CheckedManifest, Column, DAY, DataType, Dedup, Duration, Entity, Feature, FeatureService,
    FeatureView, HOUR, MINUTE, Manifest, Source, SourceKind, Window, validate, view_state_key,
};
use thalweg_engine::{ClockMode, EngineSettings};

const ENTITY: &str = "user";
const MOST_VIEWS: usize = 4;

/// A source, and how its clients behave.
#[derive(Debug, Clone)]
pub(crate) struct SourceSpec {
    pub(crate) definition: Source,
    /// Whether some pushes are history that never arrived live.
    pub(crate) backfills: bool,
}

impl SourceSpec {
    /// Whether all arrival times are the engine's, so that no row claims a past that was read already.
    pub(crate) fn own_arrivals(&self) -> bool {
        !self.backfills && self.definition.arrival_time.is_none()
    }

    /// Within how much time of each other two rows with one key are the same.
    pub(crate) fn dedup_within(&self) -> Option<i64> {
        self.definition.dedup.as_ref().map(|dedup| dedup.within.micros())
    }
}

/// A manifest that was or may be in force.
#[derive(Clone)]
pub(crate) struct Version {
    pub(crate) checked: CheckedManifest,
    pub(crate) state_keys: HashMap<String, String>,
}

impl Version {
    pub(crate) fn views(&self) -> &[FeatureView] {
        &self.checked.manifest.views
    }

    pub(crate) fn view(&self, name: &str) -> Option<&FeatureView> {
        self.checked.manifest.view(name)
    }
}

pub(crate) fn settings(random: &mut Random) -> EngineSettings {
    EngineSettings {
        clock: if random.chance(1, 4) { ClockMode::Events } else { ClockMode::System },
        memory_bytes: if random.chance(1, 3) { 1 } else { 1 << 30 },
        log_segment_bytes: 1500 + random.below(15_000),
        state_segment_bytes: 400 + random.below(6_000),
        state_shards: 1 << random.below(7),
        queue_bytes: 256 << 20,
    }
}

/// One to three sources; the first is of events.
pub(crate) fn sources(random: &mut Random) -> Vec<SourceSpec> {
    let count = 1 + random.index(3);
    (0..count)
        .map(|index| {
            let changes = index > 0 && random.chance(1, 2);
            source(random, &format!("s{index}"), changes)
        })
        .collect()
}

fn plain(name: &str, data_type: DataType) -> Column {
    Column {
        name: name.to_owned(),
        data_type,
        required: false,
        min: None,
        max: None,
        allowed: Vec::new(),
        description: String::new(),
    }
}

fn source(random: &mut Random, name: &str, changes: bool) -> SourceSpec {
    let mut units = plain(column::UNITS, DataType::Int64);
    units.min = Some(LEAST_UNITS.to_string());
    let mut user = plain(column::USER, DataType::String);
    user.required = true;
    let mut columns = vec![
        user,
        plain(column::AT, DataType::Timestamp),
        plain(column::ID, DataType::Int64),
        plain(column::AMOUNT, DataType::Float64),
        units,
        plain(column::STATUS, DataType::String),
    ];
    let kind = if changes {
        columns.push(plain(column::OPERATION, DataType::String));
        SourceKind::Change { primary_key: vec![column::ID.to_owned()], operation: column::OPERATION.to_owned() }
    } else {
        SourceKind::Event
    };
    let declares_arrival = random.chance(1, 5);
    if declares_arrival {
        columns.push(plain(column::CAME, DataType::Timestamp));
    }
    let within = *random.pick(&[MINUTE, HOUR, DAY]);
    let dedup = Dedup { key: vec![column::ID.to_owned()], within: Duration::from_micros(within) };
    SourceSpec {
        definition: Source {
            name: name.to_owned(),
            kind,
            columns,
            timestamp: column::AT.to_owned(),
            arrival_time: declares_arrival.then(|| column::CAME.to_owned()),
            dedup: (!changes && random.chance(1, 2)).then_some(dedup),
            filter: (!changes && random.chance(1, 3)).then(|| "amount > 4".to_owned()),
            steps: Vec::new(),
            retention: None,
            about: About::default(),
        },
        backfills: !changes && !declares_arrival && random.chance(1, 5),
    }
}

/// The first views.
pub(crate) fn first_views(random: &mut Random, sources: &[SourceSpec]) -> Vec<FeatureView> {
    (0..1 + random.index(3)).map(|index| view(random, &format!("v{index}"), sources)).collect()
}

/// Views after a change: one added, one made anew, one gone, or one that only withholds other values.
pub(crate) fn changed_views(random: &mut Random, sources: &[SourceSpec], old: &[FeatureView]) -> Vec<FeatureView> {
    let mut views = old.to_vec();
    let at = random.index(views.len());
    match random.below(4) {
        0 if views.len() < MOST_VIEWS => {
            let free = (0..).map(|index| format!("v{index}")).find(|name| old.iter().all(|view| view.name != *name));
            views.push(view(random, &free.expect("there are more names than views"), sources));
        }
        1 if views.len() > 1 => drop(views.remove(at)),
        2 => views[at].staleness = staleness(random),
        _ => views[at] = view(random, &old[at].name, sources),
    }
    views.sort_by(|a, b| a.name.cmp(&b.name));
    views
}

fn staleness(random: &mut Random) -> Option<Duration> {
    random.chance(1, 2).then(|| Duration::from_micros(*random.pick(&[HOUR, 6 * HOUR, 2 * DAY])))
}

fn view(random: &mut Random, name: &str, sources: &[SourceSpec]) -> FeatureView {
    let first = random.pick(sources);
    let mut over = vec![first.definition.name.clone()];
    let mut alike = sources.iter().filter(|other| {
        other.definition.name != first.definition.name && other.definition.is_change() == first.definition.is_change()
    });
    if let Some(other) = alike.next_back().filter(|_| random.chance(1, 3)) {
        over.push(other.definition.name.clone());
    }
    let unbounded = random.chance(2, 3);
    let features = (0..2 + random.index(4)).map(|index| feature(random, &format!("f{index}"), unbounded)).collect();
    let mut view = FeatureView {
        name: name.to_owned(),
        entity: ENTITY.to_owned(),
        sources: over,
        filter: random.chance(1, 4).then(|| condition(random)),
        derived: Vec::new(),
        features,
        freshness: None,
        staleness: if random.chance(1, 2) { staleness(random) } else { None },
        declared_retention: None,
        time_zone: None,
        keep_nan: false,
        about: About::default(),
    };
    if let Some(reach) = view.retention().filter(|_| random.chance(1, 3)) {
        view.declared_retention = Some(Duration::from_micros(reach.micros() + random.micros(4) * DAY));
    }
    view
}

fn condition(random: &mut Random) -> String {
    (*random.pick(&["amount > 10", "units > 3", "status = 'open'", "id > 20"])).to_owned()
}

fn feature(random: &mut Random, name: &str, unbounded: bool) -> Feature {
    let (aggregation, input) = aggregation(random);
    let keyed = !matches!(aggregation, Aggregation::Latest | Aggregation::ValueCounts) && random.chance(1, 5);
    Feature {
        name: name.to_owned(),
        aggregation,
        input: input.map(str::to_owned),
        filter: random.chance(1, 3).then(|| condition(random)),
        by: keyed.then(|| column::STATUS.to_owned()),
        windows: windows(random, unbounded),
        about: About::default(),
    }
}

/// An aggregation that the model computes exactly, and what it is over.
fn aggregation(random: &mut Random) -> (Aggregation, Option<&'static str>) {
    const NUMBERS: [&str; 2] = [column::AMOUNT, column::UNITS];
    const ORDERED: [&str; 3] = [column::AMOUNT, column::UNITS, column::STATUS];
    const ANY: [&str; 4] = [column::AMOUNT, column::UNITS, column::STATUS, column::ID];
    const KEYS: [&str; 3] = [column::UNITS, column::STATUS, column::ID];
    let k = 1 + random.below(4) as u32;
    let kind = random.below(16);
    let input = match kind {
        0 => None,
        2 | 3 => Some(*random.pick(&NUMBERS)),
        4..8 => Some(*random.pick(&ORDERED)),
        8 | 9 => Some(*random.pick(&KEYS)),
        _ => Some(*random.pick(&ANY)),
    };
    let aggregation = match kind {
        0 | 1 => Aggregation::Count,
        2 => Aggregation::Sum,
        3 => Aggregation::Mean,
        4 => Aggregation::Min,
        5 => Aggregation::Max,
        6 => Aggregation::TopK { k },
        7 => Aggregation::BottomK { k },
        8 => Aggregation::DistinctCount,
        9 => Aggregation::ValueCounts,
        10 => Aggregation::First,
        11 => Aggregation::Last,
        12 => Aggregation::FirstK { k },
        13 => Aggregation::LastK { k },
        _ => Aggregation::Latest,
    };
    (aggregation, input)
}

fn windows(random: &mut Random, unbounded: bool) -> Vec<Window> {
    let micros = Duration::from_micros;
    let all = [
        Window::Sliding { over: micros(HOUR), hop: None },
        Window::Sliding { over: micros(DAY), hop: None },
        Window::Sliding { over: micros(7 * DAY), hop: None },
        Window::Sliding { over: micros(6 * HOUR), hop: Some(micros(15 * MINUTE)) },
        Window::Sliding { over: micros(DAY), hop: Some(micros(HOUR)) },
        Window::Tumbling { over: micros(HOUR) },
        Window::Tumbling { over: micros(DAY) },
        Window::ToDate { over: micros(HOUR) },
        Window::ToDate { over: micros(DAY) },
        Window::Unbounded,
    ];
    let choice = &all[..if unbounded { all.len() } else { all.len() - 1 }];
    let mut windows = vec![*random.pick(choice)];
    for _ in 0..random.index(3) {
        let another = *random.pick(choice);
        if !windows.contains(&another) {
            windows.push(another);
        }
    }
    windows
}

/// The name of the service that answers with all of a view.
pub(crate) fn service_of(view: &str) -> String {
    format!("all_of_{view}")
}

/// The manifest of these sources and views, checked; its services have a view each.
pub(crate) fn version(sources: &[SourceSpec], views: Vec<FeatureView>) -> Result<Version, String> {
    let mut key = plain(column::USER, DataType::String);
    key.required = true;
    let service = |view: &FeatureView| FeatureService {
        name: service_of(&view.name),
        features: view.outputs().map(|(_, _, output)| format!("{}.{output}", view.name)).collect(),
        log_sample: 0.0,
        about: About::default(),
    };
    let manifest = Manifest {
        project: "simulation".to_owned(),
        entities: vec![Entity { name: ENTITY.to_owned(), keys: vec![key], about: About::default() }],
        sources: sources.iter().map(|source| source.definition.clone()).collect(),
        services: views.iter().map(service).collect(),
        views,
        ..Manifest::default()
    };
    let checked = validate(manifest, &BTreeMap::new(), &Small).map_err(|error| error.to_string())?;
    let manifest = &checked.manifest;
    let key = |view: &FeatureView| (view.name.clone(), view_state_key(manifest, view, &Small));
    let state_keys = manifest.views.iter().map(key).collect();
    Ok(Version { state_keys, checked })
}
