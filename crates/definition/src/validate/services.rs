//! The rules of services and training sets: what is asked for exists, once, under one name and type.

use super::{CheckedOnDemand, Problems, names};
use crate::model::{Column, FeatureService, Manifest, TrainingSet};

pub(super) fn check(manifest: &Manifest, on_demand: &[Option<CheckedOnDemand>], problems: &mut Problems<'_>) {
    let readable = names::readable(manifest);
    for service in &manifest.services {
        check_service(service, &readable, problems);
        check_request(manifest, on_demand, service, problems);
    }
    for training_set in &manifest.training_sets {
        check_training_set(manifest, training_set, problems);
    }
}

fn check_service(service: &FeatureService, readable: &[String], problems: &mut Problems<'_>) {
    let object = format!("service:{}", service.name);
    if service.features.is_empty() {
        problems.add(&object, "a service needs at least one feature", "name the features that it answers with");
    }
    if !(0.0..=1.0).contains(&service.log_sample) {
        problems.add(&object, format!("log_sample is {}", service.log_sample), "use a share from 0 to 1");
    }
    // A table has one column for each feature, and its name has no dot.
    let mut columns: Vec<(String, &str)> = Vec::new();
    for reference in &service.features {
        if !readable.contains(reference) {
            let mend = names::suggestion(reference, readable.iter().map(String::as_str));
            problems.add(&object, format!("unknown feature `{reference}`"), mend);
            continue;
        }
        let column = reference.replace('.', "__");
        match columns.iter().find(|(other, _)| *other == column) {
            Some((_, other)) if *other == reference => {
                problems.add(&object, format!("feature `{reference}` is named twice"), "name it once");
            }
            Some((_, other)) => {
                let rule = format!("features `{other}` and `{reference}` would share the table column `{column}`");
                problems.add(&object, rule, "rename one of the two");
            }
            None => columns.push((column, reference.as_str())),
        }
    }
}

/// One request answers all on-demand features of a service, those that they need included.
fn check_request(
    manifest: &Manifest,
    on_demand: &[Option<CheckedOnDemand>],
    service: &FeatureService,
    problems: &mut Problems<'_>,
) {
    let mut pending: Vec<&str> = service.features.iter().map(String::as_str).collect();
    let mut visited: Vec<usize> = Vec::new();
    let mut columns: Vec<(&Column, &str)> = Vec::new();
    while let Some(name) = pending.pop() {
        let Some(position) = manifest.on_demand.iter().position(|feature| feature.name == name) else { continue };
        if visited.contains(&position) {
            continue;
        }
        visited.push(position);
        let feature = &manifest.on_demand[position];
        for column in &feature.request {
            match columns.iter().find(|(other, _)| other.name == column.name) {
                Some((other, owner)) if other.data_type != column.data_type => problems.add(
                    &format!("service:{}", service.name),
                    format!(
                        "request column `{}` is {} for `{}` and {} for `{owner}`",
                        column.name, column.data_type, feature.name, other.data_type
                    ),
                    "give the column one type",
                ),
                Some(_) => {}
                None => columns.push((column, feature.name.as_str())),
            }
        }
        if let Some(checked) = &on_demand[position] {
            pending.extend(checked.references.iter().map(String::as_str));
        }
    }
}

fn check_training_set(manifest: &Manifest, training_set: &TrainingSet, problems: &mut Problems<'_>) {
    let object = format!("training_set:{}", training_set.name);
    if manifest.service(&training_set.service).is_none() {
        let known = manifest.services.iter().map(|service| service.name.as_str());
        let mend = names::suggestion(&training_set.service, known);
        problems.add(&object, format!("unknown service `{}`", training_set.service), mend);
    }
    if training_set.spine.is_empty() {
        problems.add(&object, "a training set needs a spine", "give SQL over history, or the path of a Parquet file");
    }
    if training_set.timestamp.is_empty() {
        problems.add(&object, "a training set needs a timestamp", "name the spine's column of query times");
    }
}
