//! Steps of a source: which are refused, in which order they run, and what changing them means.

use crate::support::{Names, base, checked};
use crate::{Case, run};
use thalweg_definition::{DataType, Manifest, SourceKind, SourceStep, StepKind, plan, view_state_key};

fn validate_step(name: &str, priority: i32, expression: &str) -> SourceStep {
    let kind = StepKind::Validate { expression: expression.into(), reason: "too small".into() };
    SourceStep { name: name.into(), priority, kind }
}

fn transform(name: &str, column: &str, expression: &str) -> SourceStep {
    let kind = StepKind::Transform { column: column.into(), expression: expression.into() };
    SourceStep { name: name.into(), priority: 0, kind }
}

fn put(manifest: &mut Manifest, step: SourceStep) {
    manifest.sources[0].steps.push(step);
}

#[test]
fn each_rule_of_steps_is_refused_in_words() {
    let cases: [Case; 13] = [
        (|m| put(m, validate_step("7up", 0, "large")), "source:clicks.steps.7up", "is not an identifier"),
        (
            |m| {
                put(m, validate_step("big", 0, "large"));
                put(m, validate_step("big", 1, "large"));
            },
            "source:clicks.steps.big",
            "declared twice",
        ),
        (|m| put(m, validate_step("big", 0, "amount")), "source:clicks.steps.big", "must be bool, and is float64"),
        (|m| put(m, validate_step("big", 0, "larg")), "source:clicks.steps.big", "did you mean `large`?"),
        (
            |m| {
                let kind = StepKind::Validate { expression: "large".into(), reason: " ".into() };
                put(m, SourceStep { name: "big".into(), priority: 0, kind });
            },
            "source:clicks.steps.big",
            "needs a reason",
        ),
        (
            |m| {
                let kind = StepKind::Validate { expression: "large".into(), reason: "x".repeat(1_025) };
                put(m, SourceStep { name: "big".into(), priority: 0, kind });
            },
            "source:clicks.steps.big",
            "longer than 1024 bytes",
        ),
        (|m| put(m, transform("t", "amout", "amount")), "source:clicks.steps.t", "did you mean `amount`?"),
        (|m| put(m, transform("t", "at", "at")), "source:clicks.steps.t", "is the source's `timestamp`"),
        (
            |m| {
                m.sources[0].columns.push(crate::support::column("known", DataType::Timestamp));
                m.sources[0].arrival_time = Some("known".into());
                put(m, transform("t", "known", "at"));
            },
            "source:clicks.steps.t",
            "is the source's `arrival_time`",
        ),
        (
            |m| put(m, transform("t", "amount", "user_id")),
            "source:clicks.steps.t",
            "the expression `user_id` is string, and column `amount` is float64",
        ),
        (|m| put(m, transform("t", "amount", "price")), "source:clicks.steps.t", "unknown column `price`"),
        (
            |m| {
                m.sources[0].kind =
                    SourceKind::Change { primary_key: vec!["amount".into()], operation: "user_id".into() };
                put(m, validate_step("big", 0, "large"));
            },
            "source:clicks",
            "a change source cannot have steps",
        ),
        (
            |m| (0..65).for_each(|at| put(m, validate_step(&format!("s{at}"), at, "large"))),
            "source:clicks",
            "65 steps, and a source has at most 64",
        ),
    ];
    run(&cases);
}

#[test]
fn steps_run_by_priority_and_then_by_name() {
    let mut manifest = base();
    put(&mut manifest, validate_step("late", 10, "large"));
    put(&mut manifest, transform("b", "amount", "amount"));
    put(&mut manifest, validate_step("a", 0, "large"));
    put(&mut manifest, validate_step("first", -1, "large"));
    let checked = checked(manifest);
    let order: Vec<&str> = checked.manifest.sources[0].steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(order, ["first", "a", "b", "late"]);
}

#[test]
fn steps_change_the_meaning_of_features_and_leave_their_state() {
    let (old, mut manifest) = (checked(base()), base());
    put(&mut manifest, validate_step("big", 0, "large"));
    let new = checked(manifest);
    let key = |manifest: &Manifest| view_state_key(manifest, &manifest.views[0], &Names);
    assert_eq!(key(&old.manifest), key(&new.manifest));

    let change = plan(Some(&old), &new, &Names);
    let text = change.text();
    assert!(change.is_breaking(), "{text}");
    for line in [
        "step big: none -> validate large (priority 0), or else: too small",
        "! feature `orders.seen` changes its meaning: steps of source clicks: none -> validate large",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    assert!(!text.contains("again from history"), "{text}");
}

#[test]
fn what_a_step_is_called_and_says_has_no_effect_on_values() {
    let with = |name: &str, reason: &str| {
        let mut manifest = base();
        let kind = StepKind::Validate { expression: "large".into(), reason: reason.into() };
        put(&mut manifest, SourceStep { name: name.into(), priority: 3, kind });
        checked(manifest)
    };
    let change = plan(Some(&with("big", "too small")), &with("size", "below the limit"), &Names);
    assert!(!change.is_breaking(), "{}", change.text());
    assert!(change.text().contains("> no effect on values"), "{}", change.text());
}
