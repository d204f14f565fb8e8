//! An entity with its tiles reads as plain accumulators over the visible rows of the window do.

use crate::support::{
    COLUMNS, KEEP, Packed, Random, Row, SeedNote, assert_answers, cells, days, feature, hours, insert, micros, passes,
    plan, row, state_of, text, view,
};
use thalweg_aggregate::{Answer, DecodeError, EntityState, RowRef, Slider, Stamp, Status, Value, ViewPlan};
use thalweg_definition::{Aggregation, DAY, Duration, Feature, FeatureView, HOUR, MINUTE, Window};

/// Times of rows lie in this stretch before `NOW`.
const STRETCH: i64 = 20 * DAY;
/// 2024-03-15, so that the stretch has a day of 23 hours in New York.
const NOW: i64 = 1_710_500_000_000_000;

const WINDOWS: [Window; 8] = [
    Window::Unbounded,
    Window::Sliding { over: Duration::from_micros(3 * HOUR + 1), hop: None },
    Window::Sliding { over: Duration::from_micros(2 * DAY), hop: None },
    Window::Sliding { over: Duration::from_micros(7 * DAY), hop: None },
    Window::Sliding { over: Duration::from_micros(2 * DAY), hop: Some(Duration::from_micros(DAY)) },
    Window::Tumbling { over: Duration::from_micros(DAY) },
    Window::ToDate { over: Duration::from_micros(7 * DAY) },
    Window::ToDate { over: Duration::from_micros(HOUR) },
];

const NUMBERS: [Aggregation; 19] = [
    Aggregation::Count,
    Aggregation::Sum,
    Aggregation::Mean,
    Aggregation::Min,
    Aggregation::Max,
    Aggregation::Var { ddof: 1 },
    Aggregation::Std { ddof: 0 },
    Aggregation::Skew,
    Aggregation::Kurtosis,
    Aggregation::First,
    Aggregation::Last,
    Aggregation::FirstK { k: 3 },
    Aggregation::LastK { k: 5 },
    Aggregation::TopK { k: 4 },
    Aggregation::BottomK { k: 4 },
    Aggregation::DistinctCount,
    Aggregation::ValueCounts,
    Aggregation::ApproxQuantile { quantile: 0.5, relative_error: 0.02 },
    Aggregation::Latest,
];

const WORDS: [Aggregation; 7] = [
    Aggregation::Count,
    Aggregation::Max,
    Aggregation::Last,
    Aggregation::LastK { k: 4 },
    Aggregation::DistinctCount,
    Aggregation::ValueCounts,
    Aggregation::Latest,
];

/// Every aggregation over some column, each with a few windows, some with `where` and `by`.
fn random_view(random: &mut Random, retractable: bool) -> FeatureView {
    let mut features: Vec<Feature> = Vec::new();
    let mut add = |random: &mut Random, aggregation, column: Option<&str>| {
        let mut windows: Vec<Window> = WINDOWS.to_vec();
        random.shuffle(&mut windows);
        windows.truncate(1 + random.below(2) as usize);
        let mut feature = feature(&format!("f{}", features.len()), aggregation, column, windows);
        feature.filter = random.chance(25).then(|| KEEP.to_owned());
        feature.by = random.chance(25).then(|| "word".to_owned());
        features.push(feature);
    };
    for aggregation in NUMBERS {
        let column = *random.pick(&["real", "whole", "price"]);
        add(random, aggregation, Some(column));
    }
    for aggregation in WORDS {
        add(random, aggregation, Some("word"));
    }
    add(random, Aggregation::Count, None);
    if !retractable {
        add(random, Aggregation::ApproxDistinct { lg_k: 6 }, Some("word"));
    }
    let mut view = view(features);
    view.keep_nan = random.chance(30);
    view.time_zone = random.chance(50).then(|| "America/New_York".to_owned());
    view.staleness = random.chance(30).then(|| micros(HOUR));
    view
}

fn random_values(random: &mut Random) -> Vec<Value> {
    let value = |random: &mut Random, column: &str| match column {
        "real" => match random.below(20) {
            0 => Value::Float(f64::NAN),
            1 => Value::Float(f64::INFINITY),
            2 => Value::Float(-0.0),
            3 => Value::Float(1e15),
            4 => Value::Float(1e-15),
            _ => Value::Float(random.between(-1000, 1000) as f64 / 8.0),
        },
        "whole" => Value::Int(random.between(-30, 30)),
        "price" => Value::Decimal(i128::from(random.between(-5000, 5000))),
        "word" => text(["", "a", "bb", "ccc", "dddd"][random.below(5) as usize]),
        _ => Value::Bool(random.chance(50)),
    };
    COLUMNS.iter().map(|(column, _)| if random.chance(12) { Value::Null } else { value(random, column) }).collect()
}

/// Rows late and in time, many of them at equal times, in random order.
fn random_rows(random: &mut Random, many: u64, retractable: bool) -> Vec<Row> {
    let step = *random.pick(&[1, MINUTE, HOUR]);
    let mut rows: Vec<Row> = (0..many)
        .map(|sequence| {
            let time = NOW - random.below(STRETCH as u64) as i64 / step * step;
            let late = if random.chance(20) { random.below(3 * DAY as u64) as i64 } else { random.below(50) as i64 };
            let mut row = row(time, sequence, "", Value::Null);
            row.values = random_values(random);
            row.keep = random.chance(70);
            row.arrival = time + late;
            if retractable && random.chance(15) {
                let after = random.between(-HOUR, 2 * DAY);
                row.retracted = Some((time + after, row.arrival + random.below(DAY as u64) as i64));
            }
            row
        })
        .collect();
    random.shuffle(&mut rows);
    rows
}

/// Query times on, just before and just after rows and the tails of windows that end there, and a few others.
fn query_times(random: &mut Random, rows: &[Row], many: usize) -> Vec<i64> {
    (0..many)
        .map(|_| {
            let row = random.pick(rows);
            let around = *random.pick(&[row.time, row.arrival, row.retracted.map_or(NOW, |(time, _)| time)]);
            let tail = *random.pick(&[0, 0, 3 * HOUR + 1, 2 * DAY, 7 * DAY]);
            around + tail + random.between(-1, 2)
        })
        .chain([NOW, NOW + DAY, NOW - STRETCH - 1, NOW + 40 * DAY])
        .collect()
}

fn assert_reads(random: &mut Random, plan: &ViewPlan, state: &EntityState, rows: &[Row], reads: usize, place: &str) {
    let packed = Packed::new(plan, rows);
    for q in query_times(random, rows, reads) {
        let cut = match random.below(3) {
            0 => q,
            1 => i64::MAX,
            _ => q - random.below(2 * DAY as u64) as i64,
        };
        let place = format!("{place}, at {q} knowing what arrived before {cut}");
        assert_answers(plan, &state.read(plan, q, cut), &packed.answers(plan, q, cut), &place);
    }
}

fn stored_and_read_back(plan: &ViewPlan, state: &EntityState) -> EntityState {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    EntityState::decode(plan, &bytes).expect("what was encoded decodes")
}

#[test]
fn a_read_equals_a_recomputation() {
    println!("seeds 0 to 11");
    for seed in 0..12 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let retractable = seed % 2 == 1;
        let plan = plan(&random_view(&mut random, retractable), retractable);
        let many = 1 + random.below(1_500);
        let rows = random_rows(&mut random, many, retractable);
        let state = state_of(&plan, &rows);
        assert_reads(&mut random, &plan, &state, &rows, 8, "in memory");
        let state = stored_and_read_back(&plan, &state);
        assert_reads(&mut random, &plan, &state, &rows, 4, "read back");
    }
}

#[test]
fn rows_after_a_round_trip_find_their_places() {
    for seed in 100..104 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let retractable = seed % 2 == 1;
        let plan = plan(&random_view(&mut random, retractable), retractable);
        let rows = random_rows(&mut random, 1_000, retractable);
        let mut state = EntityState::default();
        for (index, row) in rows.iter().enumerate() {
            insert(&plan, &mut state, row);
            if index % 297 == 0 {
                state = stored_and_read_back(&plan, &state);
            }
        }
        assert_reads(&mut random, &plan, &state, &rows, 6, "after round trips");
    }
}

/// Few outputs, so that groups of chunks fill, overflow and split.
#[test]
fn groups_of_chunks_fill_and_split() {
    let windows = || vec![Window::Unbounded, days(2), hours(3)];
    let view = view(vec![
        feature("sum", Aggregation::Sum, Some("real"), windows()),
        feature("last", Aggregation::LastK { k: 3 }, Some("word"), windows()),
        feature("rows", Aggregation::Count, None, windows()),
    ]);
    for (seed, order) in [(0, "random"), (1, "ascending"), (2, "descending"), (3, "nearly ascending")] {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let retractable = seed == 3;
        let plan = plan(&view, retractable);
        let mut rows = random_rows(&mut random, 24_000, retractable);
        match order {
            "ascending" => rows.sort_by_key(|row| (row.time, row.sequence)),
            "descending" => rows.sort_by_key(|row| std::cmp::Reverse((row.time, row.sequence))),
            "nearly ascending" => rows.sort_by_key(|row| row.time + row.sequence as i64 % 100 * MINUTE),
            _ => {}
        }
        let state = state_of(&plan, &rows);
        let mut previous: Option<Stamp> = None;
        let mut held = 0;
        state.for_each_row(&plan, |row| {
            assert!(previous.is_none_or(|previous| previous < row.stamp()), "rows are in the order of events");
            previous = Some(row.stamp());
            held += 1;
        });
        assert_eq!(held, rows.len());
        assert_reads(&mut random, &plan, &state, &rows, 12, order);
        assert_reads(&mut random, &plan, &stored_and_read_back(&plan, &state), &rows, 4, order);
    }
}

#[test]
fn the_head_of_a_window_is_exclusive_and_its_tail_inclusive() {
    let view = view(vec![feature("rows", Aggregation::Count, None, vec![hours(1)])]);
    let plan = plan(&view, false);
    let state = state_of(&plan, &[row(NOW, 1, "whole", Value::Int(1))]);
    let count = |q| state.read(&plan, q, i64::MAX)[0].value.clone();
    assert_eq!(count(NOW), Value::Int(0));
    assert_eq!(count(NOW + 1), Value::Int(1));
    assert_eq!(count(NOW + HOUR), Value::Int(1));
    assert_eq!(count(NOW + HOUR + 1), Value::Int(0));
    let known = |cut| state.read(&plan, NOW + 1, cut)[0].value.clone();
    assert_eq!((known(NOW), known(NOW + 1)), (Value::Int(0), Value::Int(1)));
}

#[test]
fn an_entity_is_found_as_long_as_its_view_keeps_it() {
    let mut view = view(vec![feature("rows", Aggregation::Count, None, vec![hours(1)])]);
    view.declared_retention = Some(micros(DAY));
    let plan = plan(&view, false);
    let state = state_of(&plan, &[row(NOW, 1, "whole", Value::Int(1))]);
    let status = |q| state.read(&plan, q, i64::MAX)[0].status;
    assert_eq!(status(NOW), Status::NotFound);
    assert_eq!(status(NOW + 1), Status::Present);
    assert_eq!(status(NOW + DAY), Status::Present);
    assert_eq!(status(NOW + DAY + 1), Status::NotFound);
}

#[test]
fn a_stale_value_is_withheld() {
    let mut view = view(vec![
        feature("sum", Aggregation::Sum, Some("whole"), vec![Window::Unbounded]),
        feature("none", Aggregation::Sum, Some("real"), vec![Window::Unbounded]),
    ]);
    view.staleness = Some(micros(HOUR));
    let plan = plan(&view, false);
    let state = state_of(&plan, &[row(NOW, 1, "whole", Value::Int(7))]);
    let fresh = &state.read(&plan, NOW + HOUR, i64::MAX)[0];
    assert_eq!((&fresh.value, fresh.status), (&Value::Int(7), Status::Present));
    let answers = state.read(&plan, NOW + HOUR + 1, i64::MAX);
    assert_eq!((&answers[0].value, answers[0].status), (&Value::Null, Status::Stale));
    assert_eq!(answers[0].event_time, Some(NOW));
    // Nothing contributed to this one, so that it has no age.
    assert_eq!(answers[1].status, Status::Null);
}

#[test]
fn a_row_is_taken_back_when_that_is_known() {
    let view = view(vec![
        feature("rows", Aggregation::Count, None, vec![Window::Unbounded]),
        feature("max", Aggregation::Max, Some("whole"), vec![Window::Unbounded]),
    ]);
    let plan = plan(&view, true);
    let mut taken = row(10, 1, "whole", Value::Int(9));
    taken.retracted = Some((20, 30));
    let mut state = state_of(&plan, &[taken, row(10, 2, "whole", Value::Int(5))]);
    let max = |state: &EntityState, q, cut| state.read(&plan, q, cut)[1].value.clone();
    assert_eq!(max(&state, 20, i64::MAX), Value::Int(9));
    assert_eq!(max(&state, 21, i64::MAX), Value::Int(5));
    assert_eq!(max(&state, 100, 30), Value::Int(9));
    assert_eq!(max(&state, 100, 31), Value::Int(5));
    assert!(!state.retract(&plan, Stamp { time: 10, sequence: 3 }, 20, 20), "no such row");
    assert!(!state.retract(&plan, Stamp { time: 11, sequence: 2 }, 20, 20), "no such time");
    assert_eq!(state.read(&plan, 100, i64::MAX)[0].value, Value::Int(1));
}

#[test]
fn an_entity_never_seen_answers_like_one_without_rows() {
    let mut random = Random(7);
    let plan = plan(&random_view(&mut random, false), false);
    let empty = EntityState::default().read(&plan, NOW, NOW);
    assert_answers(&plan, &empty, &EntityState::never_seen(&plan), "without rows");
    assert!(empty.iter().all(|answer| answer.status == Status::NotFound));
}

#[test]
fn a_plan_with_some_outputs_reads_the_same_of_the_same_state() {
    for seed in 0..6 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let whole = plan(&random_view(&mut random, false), false);
        let rows = random_rows(&mut random, 800, false);
        let state = state_of(&whole, &rows);
        let mut outputs: Vec<usize> = (0..whole.outputs.len()).collect();
        random.shuffle(&mut outputs);
        outputs.truncate(5);
        let part = whole.select(&outputs);
        for q in query_times(&mut random, &rows, 10) {
            let all = state.read(&whole, q, q);
            let wanted: Vec<_> = outputs.iter().map(|output| all[*output].clone()).collect();
            assert_answers(&part, &state.read(&part, q, q), &wanted, "selected");
        }
    }
}

#[test]
fn bytes_that_are_no_state_are_refused() {
    let mut random = Random(11);
    let plan = plan(&random_view(&mut random, false), false);
    let mut bytes = Vec::new();
    let mut state = state_of(&plan, &random_rows(&mut random, 300, false));
    state.applied = 77;
    state.encode(&mut bytes);
    assert_eq!(stored_and_read_back(&plan, &state).applied, 77);
    for length in [0, 1, 5, 20, bytes.len() / 2, bytes.len() - 1] {
        assert_eq!(EntityState::decode(&plan, &bytes[..length]).err(), Some(DecodeError::Malformed), "{length} bytes");
    }
    bytes.push(0);
    assert_eq!(EntityState::decode(&plan, &bytes).err(), Some(DecodeError::Malformed));
    bytes[0] = 9;
    assert_eq!(EntityState::decode(&plan, &bytes).err(), Some(DecodeError::Version(9)));
}

/// What a training set does in one pass says what the state says at each query time.
#[test]
fn a_slide_over_the_rows_reads_as_the_state_does() {
    let mut compared = 0;
    for seed in 0..60 {
        let _note = SeedNote(seed);
        let random = &mut Random(seed);
        let view = FeatureView { staleness: None, ..random_view(random, false) };
        let plan = plan(&view, false);
        let many = *random.pick(&[1, 20, 700]);
        let mut rows = random_rows(random, many, false);
        // Beside 1e15 it would be too wide, which the next test is about.
        let tiny = |value: &&mut Value| **value == Value::Float(1e-15);
        rows.iter_mut().flat_map(|row| &mut row.values).filter(tiny).for_each(|value| *value = Value::Float(0.25));
        let state = state_of(&plan, &rows);
        rows.sort_by_key(|row| (row.time, row.sequence));
        let (mut words, mut heap) = (Vec::new(), Vec::new());
        for row in &rows {
            let stamp = Stamp { time: row.time, sequence: row.sequence };
            plan.layout.push(&mut words, &mut heap, stamp, row.arrival, &cells(&plan, row), &passes(&plan, row));
        }
        let packed: Vec<RowRef<'_>> =
            words.chunks_exact(plan.layout.width()).map(|words| plan.layout.row(words, &heap)).collect();
        let mut queries = query_times(random, &rows, 60);
        queries.sort_unstable();
        let mut slider = Slider::new(&plan);
        let outputs = slider.outputs().to_vec();
        assert!(!outputs.is_empty() && outputs.len() < plan.outputs.len(), "some of each kind");
        let mut answers = vec![None; queries.len() * plan.outputs.len()];
        let put = |query: usize, output: usize, answer: Answer| {
            let before = answers[query * plan.outputs.len() + output].replace(answer);
            assert!(before.is_none(), "each is answered once");
        };
        assert!(slider.read(&packed, &queries, put), "these floats are alike enough");
        for (number, q) in queries.iter().enumerate() {
            let expected = state.read(&plan, *q, i64::MAX);
            for output in &outputs {
                let (got, expected) = (&answers[number * plan.outputs.len() + output], &expected[*output]);
                let got = got.as_ref().expect("it is answered");
                let name = &plan.outputs[*output].name;
                assert_eq!((&got.value, got.status), (&expected.value, expected.status), "`{name}` at {q}");
                compared += 1;
            }
            let known = rows.iter().filter(|row| row.time < *q).map(|row| row.arrival).max();
            assert_eq!(slider.newest_arrivals()[number], known.unwrap_or(i64::MIN));
        }
    }
    assert!(compared > 20_000, "{compared}");
}

/// Floats too unlike in size are left to the state, with nothing said.
#[test]
fn a_slide_says_where_sums_are_too_wide() {
    let plan = plan(&view(vec![feature("f", Aggregation::Sum, Some("real"), vec![days(1)])]), false);
    let rows = [row(0, 0, "real", Value::Float(1e300)), row(1, 1, "real", Value::Float(1e-300))];
    let (mut words, mut heap) = (Vec::new(), Vec::new());
    for row in &rows {
        let stamp = Stamp { time: row.time, sequence: row.sequence };
        plan.layout.push(&mut words, &mut heap, stamp, row.arrival, &cells(&plan, row), &passes(&plan, row));
    }
    let width = plan.layout.width();
    let packed: Vec<RowRef<'_>> = words.chunks_exact(width).map(|words| plan.layout.row(words, &heap)).collect();
    let mut slider = Slider::new(&plan);
    assert!(!slider.read(&packed, &[2], |_, _, _| panic!("nothing is answered")));
    assert!(slider.read(&packed[..1], &[2], |_, _, _| {}));
}
