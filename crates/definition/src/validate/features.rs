//! The rules of one feature of a view: its expressions, parameters and windows.

use super::views::Surroundings;
use super::{CheckedFeature, Problems};
use crate::aggregation::{Aggregation, LG_K, MAX_K};
use crate::duration::Duration;
use crate::model::Feature;
use crate::types::DataType;
use crate::window::Window;

/// Below it the bins of a sketch would be too many to number.
const MIN_RELATIVE_ERROR: f64 = 0.000_001;
/// Largest `ddof`.
const MAX_DDOF: u32 = 1_000;

/// The types of the feature, or none after saying what is wrong with them.
pub(super) fn check(
    around: &Surroundings<'_>,
    feature: &Feature,
    problems: &mut Problems<'_>,
) -> Option<CheckedFeature> {
    let object = format!("{}.{}", around.object, feature.name);
    check_parameters(&object, &feature.aggregation, problems);
    check_retraction(&object, around, feature, problems);
    if feature.windows.is_empty() {
        problems.add(&object, "a feature needs at least one window", "give `over`, or leave windows out for all time");
    }
    for window in &feature.windows {
        check_window(&object, around, window, problems);
    }

    let Surroundings { scope, types, .. } = *around;
    if let Some(filter) = &feature.filter {
        scope.check_condition(&object, "`where`", filter, types, problems);
    }
    let input = feature.input.as_ref().map(|input| scope.type_of(&object, "the input", input, types, problems));
    let by = feature.by.as_ref().map(|by| scope.type_of(&object, "`by`", by, types, problems));
    let input_type = absent_or_known(input)?;
    let by_type = absent_or_known(by)?;

    let inner = match feature.aggregation.output(input_type.as_ref()) {
        Ok(inner) => inner,
        Err(rule) => {
            problems.add(&object, rule, "change the input or the aggregation");
            return None;
        }
    };
    let value_type = match &by_type {
        None => inner,
        Some(key) => keyed(&object, key, input_type.as_ref(), inner, problems)?,
    };
    Some(CheckedFeature { input_type, by_type, value_type })
}

/// None where an expression is there and has no type.
fn absent_or_known(found: Option<Option<DataType>>) -> Option<Option<DataType>> {
    match found {
        None => Some(None),
        Some(None) => None,
        Some(Some(data_type)) => Some(Some(data_type)),
    }
}

/// The map that `by` makes of the values.
fn keyed(
    object: &str,
    key: &DataType,
    input: Option<&DataType>,
    inner: DataType,
    problems: &mut Problems<'_>,
) -> Option<DataType> {
    if !key.is_key() {
        problems.add(object, format!("`by` takes a plain value, not {key}"), "key by a column such as a string");
        return None;
    }
    if let Some(input @ (DataType::List(_) | DataType::Vector(_))) = input {
        problems.add(object, format!("`by` does not go with an input of type {input}"), "remove `by`");
        return None;
    }
    Some(DataType::Map(Box::new(key.clone()), Box::new(inner)))
}

fn check_parameters(object: &str, aggregation: &Aggregation, problems: &mut Problems<'_>) {
    let name = aggregation.name();
    match aggregation {
        Aggregation::FirstK { k } | Aggregation::LastK { k } | Aggregation::TopK { k } | Aggregation::BottomK { k } => {
            if !(1..=MAX_K).contains(k) {
                problems.add(object, format!("`{name}` has k = {k}"), format!("use 1 <= k <= {MAX_K}"));
            }
        }
        Aggregation::ApproxDistinct { lg_k } => {
            if !LG_K.contains(lg_k) {
                let mend = format!("use {} <= lg_k <= {}", LG_K.start(), LG_K.end());
                problems.add(object, format!("`{name}` has lg_k = {lg_k}"), mend);
            }
        }
        Aggregation::ApproxQuantile { quantile, relative_error } => {
            if !(0.0..=1.0).contains(quantile) {
                problems.add(object, format!("`{name}` has quantile = {quantile}"), "use 0 <= quantile <= 1");
            }
            if !(MIN_RELATIVE_ERROR..1.0).contains(relative_error) {
                let rule = format!("`{name}` has relative_error = {relative_error}");
                problems.add(object, rule, "use 0.000001 <= relative_error < 1, such as 0.01");
            }
        }
        Aggregation::Var { ddof } | Aggregation::Std { ddof } => {
            if *ddof > MAX_DDOF {
                problems.add(object, format!("`{name}` has ddof = {ddof}"), format!("use 0 <= ddof <= {MAX_DDOF}"));
            }
        }
        _ => {}
    }
}

fn check_retraction(object: &str, around: &Surroundings<'_>, feature: &Feature, problems: &mut Problems<'_>) {
    let Some(reason) = feature.aggregation.refuses_retraction() else { return };
    if let Some(source) = around.sources.iter().find(|source| source.is_change()) {
        let name = feature.aggregation.name();
        let rule =
            format!("`{name}` cannot take back the rows that change source `{}` retracts: {reason}", source.name);
        problems.add(object, rule, "use an aggregation that can, or an event source");
    }
}

fn check_window(object: &str, around: &Surroundings<'_>, window: &Window, problems: &mut Problems<'_>) {
    let over = match window {
        Window::Sliding { over, .. } | Window::Tumbling { over } | Window::ToDate { over } => Some(*over),
        Window::Unbounded => None,
    };
    if over == Some(Duration::default()) {
        problems.add(object, format!("the window `{window}` is empty"), "give a length of time, such as 7d");
        return;
    }
    if let Window::Sliding { over, hop: Some(hop) } = window
        && (hop.micros() == 0 || hop > over)
    {
        let mend = format!("use a hop above zero and at most {over}");
        problems.add(object, format!("the hop {hop} does not fit the window {over}"), mend);
    }
    let view = around.view.declared_retention.map(|kept| (kept, "the view".to_owned()));
    let sources = around
        .sources
        .iter()
        .filter_map(|source| source.retention.map(|kept| (kept, format!("source `{}`", source.name))));
    for (kept, keeper) in view.into_iter().chain(sources) {
        match window.reach() {
            None => {
                let rule = format!("the window has no end, and {keeper} keeps only {kept}");
                problems.add(object, rule, "give the window a length, or remove the retention");
            }
            Some(reach) if reach > kept => {
                let rule = format!("the window `{window}` reaches {reach} back, and {keeper} keeps only {kept}");
                problems.add(object, rule, format!("keep at least {reach}, or shorten the window"));
            }
            Some(_) => {}
        }
    }
}
