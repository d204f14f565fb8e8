//! The rules of a source's steps: they check and rewrite rows, and leave times and types as they are.

use super::sources::existing;
use super::{ExpressionTypes, Problems, Scope, names};
use crate::model::{Source, StepKind};

/// Most steps of a source: each is evaluated for every row of every push.
const MAX_STEPS: usize = 64;
/// Longest reason, which each row in quarantine carries.
const MAX_REASON: usize = 1_024;

pub(super) fn check(object: &str, source: &Source, types: &dyn ExpressionTypes, problems: &mut Problems<'_>) {
    if source.steps.is_empty() {
        return;
    }
    if source.is_change() {
        let rule = "a change source cannot have steps: what they refuse or rewrite could not be taken back";
        problems.add(object, rule, "remove the steps, or use derived columns and filters of the views");
    }
    if source.steps.len() > MAX_STEPS {
        let rule = format!("{} steps, and a source has at most {MAX_STEPS}", source.steps.len());
        problems.add(object, rule, "join conditions with AND, or do it before the push");
    }
    let scope = Scope::of_source(source);
    let mut seen = Vec::new();
    for step in &source.steps {
        let place = format!("{object}.steps.{}", step.name);
        names::check_name(&place, &step.name, problems);
        names::check_unique(&place, &step.name, &mut seen, problems);
        match &step.kind {
            StepKind::Validate { expression, reason } => {
                scope.check_condition(&place, "the condition", expression, types, problems);
                check_reason(&place, reason, problems);
            }
            StepKind::Transform { column, expression } => {
                check_transform(&place, source, column, expression, &scope, types, problems);
            }
        }
    }
}

fn check_reason(place: &str, reason: &str, problems: &mut Problems<'_>) {
    if reason.trim().is_empty() {
        problems.add(place, "a row in quarantine needs a reason", "say what is wrong with a row that fails");
    } else if reason.len() > MAX_REASON {
        problems.add(place, format!("the reason is longer than {MAX_REASON} bytes"), "say it in a sentence");
    }
}

fn check_transform(
    place: &str,
    source: &Source,
    column: &str,
    expression: &str,
    scope: &Scope,
    types: &dyn ExpressionTypes,
    problems: &mut Problems<'_>,
) {
    let Some(wanted) = existing(place, "the step", column, source, problems) else { return };
    for (role, name) in [("timestamp", Some(&source.timestamp)), ("arrival_time", source.arrival_time.as_ref())] {
        if name.is_some_and(|name| name == column) {
            let rule = format!("`{column}` is the source's `{role}`, and a step cannot rewrite a time");
            problems.add(place, rule, "rewrite another column, or push rows with the right time");
        }
    }
    if let Some(found) = scope.type_of(place, "the expression", expression, types, problems)
        && found != *wanted
    {
        let rule = format!("the expression `{expression}` is {found}, and column `{column}` is {wanted}");
        problems.add(place, rule, "cast the expression, or give the column its type");
    }
}
