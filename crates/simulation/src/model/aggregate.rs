//! The aggregations over a plain list of rows in the total order, the slow way.

use super::Accepted;
use crate::values::Val;
use thalweg_definition::{Aggregation, Feature};

/// The value where there is nothing to aggregate.
pub(super) fn no_input(feature: &Feature) -> Val {
    if feature.by.is_some() {
        return Val::Map(Vec::new());
    }
    match feature.aggregation {
        Aggregation::ValueCounts => Val::Map(Vec::new()),
        Aggregation::Count | Aggregation::DistinctCount => Val::Int(0),
        Aggregation::FirstK { .. } | Aggregation::LastK { .. } => Val::List(Vec::new()),
        Aggregation::TopK { .. } | Aggregation::BottomK { .. } => Val::List(Vec::new()),
        _ => Val::Null,
    }
}

/// The value over rows in the total order, and the rows that counted.
pub(super) fn aggregate<'a>(feature: &Feature, rows: &[&'a Accepted]) -> (Val, Vec<&'a Accepted>) {
    let Some(input) = &feature.input else { return (Val::Int(rows.len() as i64), rows.to_vec()) };
    if feature.aggregation == Aggregation::Latest {
        let last: Vec<&Accepted> = rows.last().copied().into_iter().collect();
        return (last.first().map_or(Val::Null, |row| row.row.column(input)), last);
    }
    let counted: Vec<&Accepted> = rows.iter().copied().filter(|row| !row.row.column(input).is_null()).collect();
    let values: Vec<Val> = counted.iter().map(|row| row.row.column(input)).collect();
    let value = if values.is_empty() {
        no_input(&Feature { by: None, ..feature.clone() })
    } else {
        over(feature.aggregation, &values)
    };
    (value, counted)
}

/// Over one value or more, none of them null, in the total order of their rows.
fn over(aggregation: Aggregation, values: &[Val]) -> Val {
    match aggregation {
        Aggregation::Count => Val::Int(values.len() as i64),
        Aggregation::Sum => sum(values),
        Aggregation::Mean => Val::Float(sum(values).number().unwrap_or(f64::NAN) / values.len() as f64),
        Aggregation::Min => ranked(values, false)[0].clone(),
        Aggregation::Max => ranked(values, true)[0].clone(),
        Aggregation::TopK { k } => Val::List(ranked(values, true).into_iter().take(k as usize).collect()),
        Aggregation::BottomK { k } => Val::List(ranked(values, false).into_iter().take(k as usize).collect()),
        Aggregation::First => values[0].clone(),
        Aggregation::Last => values[values.len() - 1].clone(),
        Aggregation::FirstK { k } => Val::List(values.iter().take(k as usize).cloned().collect()),
        Aggregation::LastK { k } => Val::List(values[values.len().saturating_sub(k as usize)..].to_vec()),
        Aggregation::DistinctCount => Val::Int(counts(values).len() as i64),
        Aggregation::ValueCounts => Val::map(counts(values)),
        other => Val::Text(format!("`{}` is not in the model", other.name())),
    }
}

fn sum(values: &[Val]) -> Val {
    let whole: Option<i64> =
        values.iter().map(|value| if let Val::Int(value) = value { Some(*value) } else { None }).sum();
    // Floats are multiples of one eighth and few, so that no addition rounds.
    whole.map_or_else(|| Val::Float(values.iter().filter_map(Val::number).sum::<f64>() + 0.0), Val::Int)
}

/// By size; of equal values the one that is first in the total order stays first.
fn ranked(values: &[Val], largest: bool) -> Vec<Val> {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| if largest { b.order(a) } else { a.order(b) });
    sorted
}

fn counts(values: &[Val]) -> Vec<(Val, Val)> {
    let mut counts: Vec<(Val, i64)> = Vec::new();
    for value in values {
        match counts.iter_mut().find(|(known, _)| known == value) {
            Some((_, count)) => *count += 1,
            None => counts.push((value.clone(), 1)),
        }
    }
    counts.into_iter().map(|(value, count)| (value, Val::Int(count))).collect()
}
