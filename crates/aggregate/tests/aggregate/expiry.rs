//! What an entity lets go of is what no read at that time or later can see.

use crate::support::{
    Packed, Random, Row, SeedNote, assert_answers, days, feature, hours, insert, micros, plan, row, state_of, text,
    view,
};
use thalweg_aggregate::{EntityState, Stamp, Status, Value, ValueError, ViewPlan};
use thalweg_definition::{Aggregation, DAY, FeatureView, HOUR, Window};

const NOW: i64 = 1_710_500_000_000_000;

/// So many rows that some groups of chunks, which go as a whole, are old.
const MANY: u64 = 30_000;

/// Rows over twenty days up to `NOW`, in order, all arrived.
fn rows(random: &mut Random) -> Vec<Row> {
    let mut rows: Vec<Row> = (0..MANY)
        .map(|sequence| {
            let time = NOW - 1 - random.below(20 * DAY as u64) as i64 / HOUR * HOUR;
            let mut row = row(time, sequence, "whole", Value::Int(random.between(-9, 9)));
            row.values[3] = text(["a", "b"][random.below(2) as usize]);
            row.arrival = (time + random.below(HOUR as u64) as i64).min(NOW - 1);
            row
        })
        .collect();
    rows.sort_by_key(|row| (row.time, row.sequence));
    rows
}

fn a_view(windows: impl Fn() -> Vec<Window>) -> FeatureView {
    let mut by = feature("by", Aggregation::Sum, Some("whole"), windows());
    by.by = Some("word".to_owned());
    view(vec![
        by,
        feature("sum", Aggregation::Sum, Some("whole"), windows()),
        feature("first", Aggregation::FirstK { k: 3 }, Some("whole"), windows()),
        feature("top", Aggregation::TopK { k: 3 }, Some("whole"), windows()),
        feature("words", Aggregation::ApproxDistinct { lg_k: 5 }, Some("word"), windows()),
        feature(
            "median",
            Aggregation::ApproxQuantile { quantile: 0.5, relative_error: 0.01 },
            Some("whole"),
            windows(),
        ),
        feature("rows", Aggregation::Count, None, windows()),
    ])
}

fn assert_now(plan: &ViewPlan, state: &EntityState, rows: &[Row], place: &str) {
    let packed = Packed::new(plan, rows);
    for q in [NOW, NOW + 1, NOW + HOUR, NOW + 3 * DAY, NOW + 30 * DAY] {
        assert_answers(plan, &state.read(plan, q, q), &packed.answers(plan, q, q), &format!("{place}, at {q}"));
    }
}

fn read_back(plan: &ViewPlan, state: &EntityState) -> EntityState {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    EntityState::decode(plan, &bytes).expect("what was encoded decodes")
}

#[test]
fn dropping_what_is_past_retention_changes_no_read_at_now() {
    for seed in 0..3 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let day = Window::Tumbling { over: micros(DAY) };
        let plan = plan(&a_view(|| vec![days(3), hours(5), day]), false);
        let rows = rows(&mut random);
        let mut state = state_of(&plan, &rows);
        let before = state.bytes();
        assert!(state.expire(&plan, NOW), "some rows are recent");
        assert!(state.bytes() < before, "old rows are gone");
        assert_now(&plan, &state, &rows, "after expiry");
        assert_now(&plan, &read_back(&plan, &state), &rows, "after expiry and a round trip");
        // What is gone is not taken for nothing: reads that would need it say so.
        let answers = state.read(&plan, NOW - 10 * DAY, NOW);
        for answer in answers {
            assert_eq!((answer.status, answer.error), (Status::Error, Some(ValueError::BeforeState)));
        }
        // The rest goes as a whole once the newest is past.
        assert!(!state.expire(&plan, NOW + 30 * DAY));
    }
}

#[test]
fn rows_past_retention_that_come_late_change_nothing() {
    let plan = plan(&a_view(|| vec![days(3)]), false);
    let mut random = Random(3);
    let mut all = rows(&mut random);
    let mut state = state_of(&plan, &all);
    state.expire(&plan, NOW);
    for (sequence, age) in (10_000..).zip([4 * DAY, 10 * DAY, 3 * DAY, 3 * DAY - 1, HOUR]) {
        let mut late = row(NOW - age, sequence, "whole", Value::Int(100));
        late.arrival = NOW - 1;
        insert(&plan, &mut state, &late);
        all.push(late);
        assert_now(&plan, &state, &all, "after a late row");
    }
}

#[test]
fn folding_changes_no_read_at_now() {
    for seed in 0..3 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let plan = plan(&a_view(|| vec![Window::Unbounded, days(3), hours(5)]), false);
        let mut all = rows(&mut random);
        let mut state = state_of(&plan, &all);
        let before = state.bytes();
        assert!(state.expire(&plan, NOW));
        assert!(state.bytes() < before, "whole groups were folded");
        assert_now(&plan, &state, &all, "after folding");
        let mut state = read_back(&plan, &state);
        assert_now(&plan, &state, &all, "after folding and a round trip");
        // Late rows still count, those older than all that was folded too.
        for (sequence, age) in (100_000..).zip([19 * DAY, 30 * DAY, 5 * DAY, 2 * DAY, 19 * DAY]) {
            let mut late = row(NOW - age, sequence, "whole", Value::Int(100));
            late.arrival = NOW - 1;
            insert(&plan, &mut state, &late);
            all.push(late);
        }
        assert_now(&plan, &state, &all, "after late rows");
        state.expire(&plan, NOW + 30 * DAY);
        let packed = Packed::new(&plan, &all);
        let q = NOW + 30 * DAY;
        assert_answers(&plan, &state.read(&plan, q, q), &packed.answers(&plan, q, q), "after folding again");
    }
}

#[test]
fn a_read_before_the_fold_is_refused_and_the_rest_is_exact() {
    let mut random = Random(1);
    let plan = plan(&a_view(|| vec![Window::Unbounded, hours(5)]), false);
    let all = rows(&mut random);
    let mut state = state_of(&plan, &all);
    state.expire(&plan, NOW);
    let packed = Packed::new(&plan, &all);
    let mut refused = 0;
    for hour in (1..20 * 24).step_by(7) {
        let q = NOW - hour * HOUR;
        for (got, wanted) in state.read(&plan, q, NOW).into_iter().zip(packed.answers(&plan, q, NOW)) {
            if got.status == Status::Error {
                assert_eq!(got.error, Some(ValueError::BeforeState));
                refused += 1;
            } else {
                assert_eq!(got, wanted, "at {q}");
            }
        }
    }
    assert!(refused > 0, "something was folded");
}

#[test]
fn a_row_that_has_not_arrived_yet_is_not_folded() {
    let plan = plan(&a_view(|| vec![Window::Unbounded]), false);
    let mut random = Random(2);
    let mut all = rows(&mut random);
    for row in &mut all {
        row.arrival = NOW + 10;
    }
    let mut state = state_of(&plan, &all);
    state.expire(&plan, NOW);
    assert_now(&plan, &state, &all, "before arrival");
}

#[test]
fn rows_that_can_be_taken_back_are_not_folded() {
    let view = view(vec![feature("rows", Aggregation::Count, None, vec![Window::Unbounded])]);
    let plan = plan(&view, true);
    let mut random = Random(4);
    let all = rows(&mut random);
    let mut state = state_of(&plan, &all);
    assert!(state.expire(&plan, NOW + 100 * DAY));
    for row in &all {
        let stamp = Stamp { time: row.time, sequence: row.sequence };
        assert!(state.retract(&plan, stamp, NOW, NOW));
    }
    assert_eq!(state.read(&plan, NOW + 1, NOW + 1)[0].value, Value::Int(0));
}
