//! Each aggregation against a few lines of plain code over a list, and the rules for nulls, NaN and range.

use crate::support::{
    KEEP, Packed, Random, Row, SeedNote, assert_answers, feature, plan, plan_of, row, state_of, text, value_of, view,
};
use std::collections::BTreeMap;
use thalweg_aggregate::{Status, Value, ValueError};
use thalweg_definition::{Aggregation, Window};

/// Rows of `whole` with nulls, ties of value and ties of time, and a word to key by.
fn some_rows(random: &mut Random) -> Vec<Row> {
    let words = ["a", "b", "c"];
    (0..random.below(40))
        .map(|sequence| {
            let value = if random.chance(15) { Value::Null } else { Value::Int(random.between(-5, 6)) };
            let mut row = row(random.between(-20, 20), sequence, "whole", value);
            row.values[3] = if random.chance(15) { Value::Null } else { text(random.pick::<&str>(&words[..])) };
            row.keep = random.chance(70);
            row
        })
        .collect()
}

fn ints(values: impl IntoIterator<Item = i64>) -> Value {
    Value::List(values.into_iter().map(Value::Int).collect())
}

fn int(value: Option<i64>) -> Value {
    value.map_or(Value::Null, Value::Int)
}

/// What each aggregation says of values given with their stamps, in the order of stamps.
fn expected(aggregation: Aggregation, values: &[((i64, u64), i64)]) -> Value {
    let in_order: Vec<i64> = values.iter().map(|(_, value)| *value).collect();
    let mut ascending = values.to_vec();
    ascending.sort_by_key(|(stamp, value)| (*value, *stamp));
    let mut descending = values.to_vec();
    descending.sort_by_key(|(stamp, value)| (-*value, *stamp));
    let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
    in_order.iter().for_each(|value| *counts.entry(*value).or_default() += 1);
    let of = |list: &[((i64, u64), i64)], k: u32| ints(list.iter().take(k as usize).map(|(_, value)| *value));
    match aggregation {
        Aggregation::Count => Value::Int(values.len() as i64),
        Aggregation::Sum if values.is_empty() => Value::Null,
        Aggregation::Sum => Value::Int(in_order.iter().sum()),
        Aggregation::Min => int(in_order.iter().min().copied()),
        Aggregation::Max => int(in_order.iter().max().copied()),
        Aggregation::First => int(in_order.first().copied()),
        Aggregation::Last => int(in_order.last().copied()),
        Aggregation::FirstK { k } => ints(in_order.iter().take(k as usize).copied()),
        Aggregation::LastK { k } => ints(in_order.iter().skip(in_order.len().saturating_sub(k as usize)).copied()),
        Aggregation::TopK { k } => of(&descending, k),
        Aggregation::BottomK { k } => of(&ascending, k),
        Aggregation::DistinctCount => Value::Int(counts.len() as i64),
        Aggregation::ValueCounts => {
            Value::Map(counts.into_iter().map(|(value, count)| (Value::Int(value), Value::Int(count))).collect())
        }
        other => panic!("{other:?} is tested elsewhere"),
    }
}

const PLAIN: [Aggregation; 13] = [
    Aggregation::Count,
    Aggregation::Sum,
    Aggregation::Min,
    Aggregation::Max,
    Aggregation::First,
    Aggregation::Last,
    Aggregation::FirstK { k: 3 },
    Aggregation::LastK { k: 3 },
    Aggregation::TopK { k: 4 },
    Aggregation::BottomK { k: 4 },
    Aggregation::DistinctCount,
    Aggregation::ValueCounts,
    Aggregation::TopK { k: 1000 },
];

fn inputs(rows: &[Row], wanted: impl Fn(&Row) -> bool) -> Vec<((i64, u64), i64)> {
    let mut inputs: Vec<((i64, u64), i64)> = rows
        .iter()
        .filter(|row| wanted(row))
        .filter_map(|row| match row.values[1] {
            Value::Int(value) => Some(((row.time, row.sequence), value)),
            _ => None,
        })
        .collect();
    inputs.sort_by_key(|(stamp, _)| *stamp);
    inputs
}

#[test]
fn plain_aggregations_say_what_plain_code_says() {
    for seed in 0..200 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let mut rows = some_rows(&mut random);
        for aggregation in PLAIN {
            let plan = plan_of(aggregation, Some("whole"));
            let inputs = inputs(&rows, |_| true);
            let reading = value_of(&plan, &rows);
            assert_eq!(reading.value, Ok(expected(aggregation, &inputs)), "{aggregation:?}");
            assert_eq!(reading.event_time, inputs.last().map(|((time, _), _)| *time), "{aggregation:?}");
            random.shuffle(&mut rows);
        }
    }
}

#[test]
fn where_and_by_choose_rows_and_keys() {
    for seed in 0..200 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let rows = some_rows(&mut random);
        for aggregation in PLAIN {
            let mut keyed = feature("f", aggregation, Some("whole"), vec![Window::Unbounded]);
            keyed.filter = Some(KEEP.to_owned());
            let filtered = plan(&view(vec![keyed.clone()]), false);
            let kept = inputs(&rows, |row| row.keep);
            assert_eq!(value_of(&filtered, &rows).value, Ok(expected(aggregation, &kept)), "{aggregation:?}");

            keyed.by = Some("word".to_owned());
            let by_word = plan(&view(vec![keyed]), false);
            let entries = ["a", "b", "c"].iter().filter_map(|word| {
                let own = inputs(&rows, |row| row.keep && row.values[3] == text(word));
                (!own.is_empty()).then(|| (text(word), expected(aggregation, &own)))
            });
            let wanted = Value::Map(entries.collect());
            assert_eq!(value_of(&by_word, &rows).value, Ok(wanted), "{aggregation:?} by word");
        }
    }
}

#[test]
fn rows_are_counted_whatever_is_in_them() {
    let rows = [row(1, 1, "whole", Value::Null), row(2, 2, "whole", Value::Int(4))];
    assert_eq!(value_of(&plan_of(Aggregation::Count, None), &rows).value, Ok(Value::Int(2)));
    for (column, value) in [("word", text("x")), ("flag", Value::Bool(false)), ("price", Value::Decimal(0))] {
        let rows = [row(1, 1, column, value), row(2, 2, column, Value::Null)];
        assert_eq!(value_of(&plan_of(Aggregation::Count, Some(column)), &rows).value, Ok(Value::Int(1)), "{column}");
    }
}

#[test]
fn latest_is_the_newest_row_null_and_nan_included() {
    let plan = plan_of(Aggregation::Latest, Some("real"));
    let mut rows = vec![row(1, 1, "real", Value::Float(1.0)), row(3, 2, "real", Value::Null)];
    let reading = value_of(&plan, &rows);
    assert_eq!((reading.value, reading.event_time), (Ok(Value::Null), Some(3)));
    rows.push(row(3, 3, "real", Value::Float(f64::NAN)));
    assert_eq!(value_of(&plan, &rows).value, Ok(Value::Float(f64::NAN)));
    // Of one time, the later sequence is the newer.
    rows.push(row(3, 1, "real", Value::Float(9.0)));
    assert_eq!(value_of(&plan, &rows).value, Ok(Value::Float(f64::NAN)));
}

#[test]
fn without_input_each_has_its_empty_value() {
    let empty_list = Value::List(vec![]);
    let cases = [
        (Aggregation::Count, Value::Int(0)),
        (Aggregation::DistinctCount, Value::Int(0)),
        (Aggregation::FirstK { k: 2 }, empty_list.clone()),
        (Aggregation::TopK { k: 2 }, empty_list),
        (Aggregation::ValueCounts, Value::Map(vec![])),
        (Aggregation::Sum, Value::Null),
        (Aggregation::Mean, Value::Null),
        (Aggregation::Var { ddof: 0 }, Value::Null),
        (Aggregation::Kurtosis, Value::Null),
        (Aggregation::Max, Value::Null),
        (Aggregation::First, Value::Null),
        (Aggregation::Latest, Value::Null),
    ];
    for (aggregation, empty) in cases {
        let plan = plan_of(aggregation, Some("whole"));
        for rows in [&[][..], &[row(1, 1, "whole", Value::Null)]] {
            let state = state_of(&plan, rows);
            let answer = &state.read(&plan, 10, i64::MAX)[0];
            let status = match (rows.is_empty(), empty.is_null()) {
                (true, _) => Status::NotFound,
                (false, true) => Status::Null,
                (false, false) => Status::Present,
            };
            assert_eq!((&answer.value, answer.status), (&empty, status), "{aggregation:?} of {rows:?}");
        }
    }
}

#[test]
fn nan_and_infinity_are_skipped_unless_kept() {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let value = |aggregation, values: &[f64], keep_nan| {
        let mut view = view(vec![feature("f", aggregation, Some("real"), vec![Window::Unbounded])]);
        view.keep_nan = keep_nan;
        let rows: Vec<Row> = (0u64..).zip(values).map(|(at, value)| row(0, at, "real", Value::Float(*value))).collect();
        value_of(&plan(&view, false), &rows).value.expect("a value")
    };
    let float = Value::Float;
    assert_eq!(value(Aggregation::Sum, &[1.0, nan, inf, 2.0], false), float(3.0));
    assert_eq!(value(Aggregation::Count, &[1.0, nan, inf, 2.0], false), Value::Int(2));
    assert_eq!(value(Aggregation::Max, &[nan, inf], false), Value::Null);
    assert_eq!(value(Aggregation::Var { ddof: 0 }, &[1.0, 3.0, nan], false), float(1.0));
    assert_eq!(value(Aggregation::Sum, &[1.0, nan], true), float(nan));
    assert_eq!(value(Aggregation::Sum, &[1.0, inf, inf], true), float(inf));
    assert_eq!(value(Aggregation::Mean, &[1.0, -inf], true), float(-inf));
    assert_eq!(value(Aggregation::Sum, &[inf, -inf], true), float(nan));
    assert_eq!(value(Aggregation::Count, &[1.0, nan, inf], true), Value::Int(3));
    assert_eq!(value(Aggregation::Max, &[1.0, nan, inf], true), float(nan));
    assert_eq!(value(Aggregation::Min, &[1.0, nan, -inf], true), float(-inf));
    assert_eq!(value(Aggregation::Var { ddof: 1 }, &[1.0, 2.0, inf], true), float(nan));
    assert_eq!(value(Aggregation::Skew, &[1.0, 2.0, inf], true), float(nan));
    assert_eq!(
        value(Aggregation::ApproxQuantile { quantile: 1.0, relative_error: 0.01 }, &[1.0, inf], true),
        float(inf)
    );
    // One NaN and one zero as keys, two zeros in order.
    assert_eq!(value(Aggregation::DistinctCount, &[nan, nan, 0.0, -0.0], true), Value::Int(2));
    assert_eq!(value(Aggregation::Min, &[0.0, -0.0], false), float(-0.0));
    assert_eq!(value(Aggregation::Max, &[-0.0, 0.0], false), float(0.0));
}

#[test]
fn sums_past_the_range_are_errors_and_come_back() {
    let plan = plan_of(Aggregation::Sum, Some("whole"));
    let mut rows = vec![row(0, 1, "whole", Value::Int(i64::MAX)), row(0, 2, "whole", Value::Int(1))];
    assert_eq!(value_of(&plan, &rows).value, Err(ValueError::IntegerOverflow));
    let answer = &state_of(&plan, &rows).read(&plan, 1, i64::MAX)[0];
    assert_eq!((answer.status, answer.error.clone()), (Status::Error, Some(ValueError::IntegerOverflow)));
    rows.push(row(0, 3, "whole", Value::Int(-1)));
    assert_eq!(value_of(&plan, &rows).value, Ok(Value::Int(i64::MAX)));

    let plan = plan_of(Aggregation::Sum, Some("price"));
    let largest = 10i128.pow(38) - 1;
    let mut rows = vec![row(0, 1, "price", Value::Decimal(largest)), row(0, 2, "price", Value::Decimal(1))];
    assert_eq!(value_of(&plan, &rows[..1]).value, Ok(Value::Decimal(largest)));
    assert_eq!(value_of(&plan, &rows).value, Err(ValueError::DecimalOverflow));
    rows.push(row(0, 3, "price", Value::Decimal(-largest)));
    assert_eq!(value_of(&plan, &rows).value, Ok(Value::Decimal(1)));
}

#[test]
fn one_error_fails_no_other_output() {
    let windows = || vec![Window::Unbounded];
    let view = view(vec![
        feature("sum", Aggregation::Sum, Some("whole"), windows()),
        feature("mean", Aggregation::Mean, Some("whole"), windows()),
        feature("count", Aggregation::Count, Some("whole"), windows()),
    ]);
    let plan = plan(&view, false);
    let rows = [row(0, 1, "whole", Value::Int(i64::MAX)), row(0, 2, "whole", Value::Int(i64::MAX))];
    let answers = state_of(&plan, &rows).read(&plan, 1, i64::MAX);
    let statuses: Vec<Status> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [Status::Error, Status::Present, Status::Present]);
    assert_answers(&plan, &answers, &Packed::new(&plan, &rows).answers(&plan, 1, i64::MAX), "past the range");
}
