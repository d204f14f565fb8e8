//! Views whose entities are read out of hostile bytes: over events and over changes, and one with unbounded windows of
//! one accumulator each. `seeds.py` writes states for them, so that their rows and accumulators stay as they are.

use std::sync::OnceLock;
use thalweg_aggregate::ViewPlan;
use thalweg_definition::{
    About, Aggregation, CheckedFeature, CheckedView, DAY, DataType, Duration, Feature, FeatureView, Window,
};

/// The columns that features read.
const COLUMNS: [(&str, DataType); 5] = [
    ("whole", DataType::Int64),
    ("real", DataType::Float64),
    ("price", DataType::Decimal(38, 2)),
    ("word", DataType::String),
    ("flag", DataType::Bool),
];

/// Over events, over changes, and [`unbounded`].
pub fn all() -> &'static [ViewPlan; 3] {
    static PLANS: OnceLock<[ViewPlan; 3]> = OnceLock::new();
    PLANS.get_or_init(|| [plan(&mixed(true), false), plan(&mixed(false), true), plan(&unbounded(), false)])
}

/// The plan with one accumulator of each kind, all of them folded into the base.
pub fn folded() -> &'static ViewPlan {
    &all()[2]
}

fn mixed(with_sketch: bool) -> Vec<Feature> {
    let over = Duration::from_micros(7 * DAY);
    let windows = || vec![Window::Sliding { over, hop: None }, Window::ToDate { over }, Window::Unbounded];
    let mut large = feature("large", Aggregation::Count, None, windows());
    large.filter = Some("flag".to_owned());
    let mut by_word = feature("by_word", Aggregation::Sum, Some("whole"), windows());
    by_word.by = Some("word".to_owned());
    let mut features = vec![
        feature("total", Aggregation::Sum, Some("whole"), windows()),
        feature("mean", Aggregation::Mean, Some("real"), windows()),
        feature("kurtosis", Aggregation::Kurtosis, Some("real"), windows()),
        feature("price", Aggregation::Sum, Some("price"), windows()),
        feature("words", Aggregation::LastK { k: 3 }, Some("word"), windows()),
        feature("top", Aggregation::TopK { k: 2 }, Some("price"), windows()),
        feature("counts", Aggregation::ValueCounts, Some("word"), windows()),
        feature("half", Aggregation::ApproxQuantile { quantile: 0.5, relative_error: 0.02 }, Some("real"), windows()),
        feature("latest", Aggregation::Latest, Some("word"), windows()),
        large,
        by_word,
    ];
    if with_sketch {
        features.push(feature("many", Aggregation::ApproxDistinct { lg_k: 6 }, Some("word"), windows()));
    }
    features
}

/// One feature for each kind of accumulator, in the order in which `docs/formats.md` numbers them.
fn unbounded() -> Vec<Feature> {
    let one = |name: &str, aggregation, input| feature(name, aggregation, input, vec![Window::Unbounded]);
    let mut by_word = one("by_word", Aggregation::Sum, Some("whole"));
    by_word.by = Some("word".to_owned());
    vec![
        one("rows", Aggregation::Count, None),
        one("total", Aggregation::Sum, Some("whole")),
        one("price", Aggregation::Sum, Some("price")),
        one("mean", Aggregation::Mean, Some("real")),
        one("skew", Aggregation::Skew, Some("real")),
        one("words", Aggregation::LastK { k: 3 }, Some("word")),
        one("top", Aggregation::TopK { k: 2 }, Some("whole")),
        one("counts", Aggregation::ValueCounts, Some("word")),
        one("many", Aggregation::ApproxDistinct { lg_k: 6 }, Some("word")),
        one("half", Aggregation::ApproxQuantile { quantile: 0.5, relative_error: 0.02 }, Some("real")),
        by_word,
    ]
}

fn feature(name: &str, aggregation: Aggregation, input: Option<&str>, windows: Vec<Window>) -> Feature {
    Feature {
        name: name.to_owned(),
        aggregation,
        input: input.map(str::to_owned),
        filter: None,
        by: None,
        windows,
        about: About::default(),
    }
}

fn plan(features: &[Feature], retractable: bool) -> ViewPlan {
    let view = FeatureView {
        name: "view".to_owned(),
        entity: "entity".to_owned(),
        sources: vec!["rows".to_owned()],
        filter: None,
        derived: Vec::new(),
        features: features.to_vec(),
        freshness: None,
        staleness: None,
        declared_retention: None,
        time_zone: Some("America/New_York".to_owned()),
        keep_nan: false,
        about: About::default(),
    };
    let checked = CheckedView { derived_types: Vec::new(), features: features.iter().map(checked).collect() };
    ViewPlan::new(&view, &checked, retractable)
}

fn checked(feature: &Feature) -> CheckedFeature {
    let input_type = feature.input.as_deref().map(type_of);
    let by_type = feature.by.as_deref().map(type_of);
    let own = feature.aggregation.output(input_type.as_ref()).expect("the aggregation takes the column");
    let value_type = match &by_type {
        Some(key) => DataType::Map(Box::new(key.clone()), Box::new(own)),
        None => own,
    };
    CheckedFeature { input_type, by_type, value_type }
}

fn type_of(column: &str) -> DataType {
    let found = COLUMNS.iter().find(|(name, _)| *name == column);
    found.map(|(_, data_type)| data_type.clone()).expect("a column of the plans")
}
