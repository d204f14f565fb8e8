//! A small shop to define features over, and an expression language of nothing but names.

use std::collections::BTreeMap;
use thalweg_definition::{
    About, Aggregation, CheckedManifest, Column, DAY, DataType, Derived, Duration, Entity, ExpressionTypes, Feature,
    FeatureService, FeatureView, Manifest, OnDemandFeature, Problem, Source, SourceKind, Window, validate,
};

/// Expressions that are one name, or several joined by `/`, which make a float64.
pub struct Names;

impl ExpressionTypes for Names {
    fn type_of(&self, expression: &str, columns: &[(String, DataType)]) -> Result<DataType, String> {
        let names = self.references(expression)?;
        if names.len() > 1 {
            return Ok(DataType::Float64);
        }
        let found = columns.iter().find(|(column, _)| *column == names[0]);
        found.map(|(_, data_type)| data_type.clone()).ok_or_else(|| format!("no column `{expression}`"))
    }

    fn references(&self, expression: &str) -> Result<Vec<String>, String> {
        let mut names: Vec<String> = Vec::new();
        for name in expression.split('/').map(str::trim) {
            if name.is_empty() {
                return Err("a name is missing".to_owned());
            }
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}

/// Orders of users: a sum in two windows, a count, a ratio with a request column, and a service over them.
pub fn base() -> Manifest {
    let days = |n: i64| Window::Sliding { over: Duration::from_micros(n * DAY), hop: None };
    let mut total = feature("total", Aggregation::Sum, Some("amount"));
    total.windows = vec![days(7), days(30)];
    Manifest {
        project: "shop".into(),
        entities: vec![Entity {
            name: "user".into(),
            keys: vec![column("user_id", DataType::String)],
            about: About::default(),
        }],
        sources: vec![clicks()],
        views: vec![FeatureView {
            name: "orders".into(),
            entity: "user".into(),
            sources: vec!["clicks".into()],
            filter: None,
            derived: vec![Derived { name: "scaled".into(), expression: "amount".into() }],
            features: vec![total, feature("seen", Aggregation::Count, None)],
            freshness: None,
            staleness: None,
            declared_retention: None,
            time_zone: None,
            keep_nan: false,
            about: About::default(),
        }],
        on_demand: vec![OnDemandFeature {
            name: "ratio".into(),
            expression: "orders.total_7d / request.x".into(),
            request: vec![column("x", DataType::Float64)],
            about: About::default(),
        }],
        services: vec![FeatureService {
            name: "shop".into(),
            features: vec!["orders.total_7d".into(), "ratio".into()],
            log_sample: 0.0,
            about: About::default(),
        }],
        training_sets: vec![],
        direct: vec![],
    }
}

fn clicks() -> Source {
    Source {
        name: "clicks".into(),
        kind: SourceKind::Event,
        columns: vec![
            column("user_id", DataType::String),
            column("at", DataType::Timestamp),
            column("amount", DataType::Float64),
            column("large", DataType::Bool),
        ],
        timestamp: "at".into(),
        arrival_time: None,
        dedup: None,
        filter: None,
        steps: vec![],
        retention: None,
        about: About::default(),
    }
}

/// A feature over all time.
pub fn feature(name: &str, aggregation: Aggregation, input: Option<&str>) -> Feature {
    Feature {
        name: name.into(),
        aggregation,
        input: input.map(str::to_owned),
        filter: None,
        by: None,
        windows: vec![Window::Unbounded],
        about: About::default(),
    }
}

pub fn column(name: &str, data_type: DataType) -> Column {
    Column {
        name: name.into(),
        data_type,
        required: false,
        min: None,
        max: None,
        allowed: vec![],
        description: String::new(),
    }
}

pub fn checked(manifest: Manifest) -> CheckedManifest {
    validate(manifest, &BTreeMap::new(), &Names).unwrap_or_else(|error| panic!("{error}"))
}

pub fn refused(manifest: Manifest) -> Vec<Problem> {
    validate(manifest, &BTreeMap::new(), &Names).expect_err("the manifest breaks a rule").0
}
