//! The rules of entities and of sources, each looked at on its own.

use super::literals::check_columns;
use super::{ExpressionTypes, Problems, Scope, names, steps};
use crate::model::{Entity, Source, SourceKind};
use crate::types::DataType;

/// Most columns a source may declare.
const MAX_COLUMNS: usize = 4096;

pub(super) fn check_entity(entity: &Entity, problems: &mut Problems<'_>) {
    let object = format!("entity:{}", entity.name);
    if entity.keys.is_empty() {
        problems.add(&object, "an entity needs at least one key", "name the columns that identify it");
    }
    check_columns(&object, &entity.keys, problems);
    for key in entity.keys.iter().filter(|key| !key.data_type.is_key()) {
        problems.add(
            &format!("{object}.{}", key.name),
            format!("a key must be a plain value, and this one is {}", key.data_type),
            "use a key such as string or int64",
        );
    }
}

pub(super) fn check(source: &Source, types: &dyn ExpressionTypes, problems: &mut Problems<'_>) {
    let object = format!("source:{}", source.name);
    if source.columns.is_empty() {
        problems.add(&object, "a source needs columns", "declare the columns of its rows");
    }
    if source.columns.len() > MAX_COLUMNS {
        let rule = format!("{} columns, and a source has at most {MAX_COLUMNS}", source.columns.len());
        problems.add(&object, rule, "declare only the columns that features use");
    }
    check_columns(&object, &source.columns, problems);

    check_time_column(&object, "timestamp", &source.timestamp, source, problems);
    if let Some(arrival_time) = &source.arrival_time {
        check_time_column(&object, "arrival_time", arrival_time, source, problems);
    }
    if source.retention.is_some_and(|retention| retention.micros() == 0) {
        problems.add(&object, "the retention is zero", "keep history for some time, or leave retention out");
    }
    check_dedup(&object, source, problems);
    check_change(&object, source, problems);
    if let Some(filter) = &source.filter {
        let scope = Scope::of_source(source);
        scope.check_condition(&object, "the filter", filter, types, problems);
        if source.is_change() {
            let rule = "a change source cannot have a filter: a row that no longer passes would stay for ever";
            problems.add(&object, rule, "move the filter to the views over the source");
        }
    }
    steps::check(&object, source, types, problems);
}

fn check_time_column(object: &str, role: &str, name: &str, source: &Source, problems: &mut Problems<'_>) {
    let Some(data_type) = existing(object, role, name, source, problems) else { return };
    if *data_type != DataType::Timestamp {
        problems.add(
            &format!("{object}.{name}"),
            format!("`{role}` must be a column of type timestamp, and `{name}` is {data_type}"),
            "declare the column as timestamp",
        );
    }
}

fn check_dedup(object: &str, source: &Source, problems: &mut Problems<'_>) {
    let Some(dedup) = &source.dedup else { return };
    if dedup.key.is_empty() {
        problems.add(object, "dedup needs a key", "name the columns that make two rows the same");
    }
    check_key_columns(object, "the dedup key", &dedup.key, source, problems);
    if dedup.within.micros() == 0 {
        problems.add(object, "dedup within no time drops nothing", "set `within`, such as 1d");
    }
}

fn check_change(object: &str, source: &Source, problems: &mut Problems<'_>) {
    let SourceKind::Change { primary_key, operation } = &source.kind else { return };
    if primary_key.is_empty() {
        problems.add(object, "a change source needs a primary key", "name the columns that identify a row");
    }
    check_key_columns(object, "the primary key", primary_key, source, problems);
    if let Some(data_type) = existing(object, "the operation", operation, source, problems)
        && *data_type != DataType::String
    {
        problems.add(
            &format!("{object}.{operation}"),
            format!("the operation must be a string (insert, update, delete), and `{operation}` is {data_type}"),
            "declare the column as string",
        );
    }
    if source.dedup.is_some() {
        problems.add(
            object,
            "a change source cannot have dedup: the primary key already says which rows are the same",
            "remove dedup",
        );
    }
}

fn check_key_columns(object: &str, role: &str, key: &[String], source: &Source, problems: &mut Problems<'_>) {
    let mut seen = Vec::new();
    for name in key {
        if !names::check_unique(object, name, &mut seen, problems) {
            continue;
        }
        if let Some(data_type) = existing(object, role, name, source, problems)
            && !data_type.is_key()
        {
            let rule = format!("{role} must be of plain values, and `{name}` is {data_type}");
            problems.add(&format!("{object}.{name}"), rule, "choose another column");
        }
    }
}

/// The type of a column of the source, or none after saying that there is no such column.
pub(super) fn existing<'s>(
    object: &str,
    role: &str,
    name: &str,
    source: &'s Source,
    problems: &mut Problems<'_>,
) -> Option<&'s DataType> {
    let column = source.column(name);
    if column.is_none() {
        let mend = names::suggestion(name, source.columns.iter().map(|column| column.name.as_str()));
        problems.add(object, format!("{role} names the unknown column `{name}`"), mend);
    }
    column.map(|column| &column.data_type)
}
