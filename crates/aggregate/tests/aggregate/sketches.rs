//! Sketches keep their error bounds, and do not depend on the order of rows or merges.

use crate::support::{Random, Row, SeedNote, insert, plan_of, row, text, value_of};
use thalweg_aggregate::{EntityState, Reading, Value};
use thalweg_definition::Aggregation;

fn rows(column: &str, values: impl IntoIterator<Item = Value>) -> Vec<Row> {
    (0u64..).zip(values).map(|(at, value)| row(at as i64, at, column, value)).collect()
}

fn int(reading: Reading) -> i64 {
    match reading.value {
        Ok(Value::Int(value)) => value,
        other => panic!("an integer was expected, not {other:?}"),
    }
}

#[test]
fn approx_distinct_stays_within_four_standard_errors() {
    for lg_k in [4, 8, 12, 14] {
        let plan = plan_of(Aggregation::ApproxDistinct { lg_k }, Some("whole"));
        let bound = 4.0 * 1.04 / f64::from(1u32 << lg_k).sqrt();
        for distinct in [1i64, 2, 10, 100, 1_000, 30_000] {
            // Every value comes twice; only different ones count.
            let values = (0..2 * distinct).map(|value| Value::Int(value % distinct * 7_919));
            let estimate = int(value_of(&plan, &rows("whole", values)));
            let error = (estimate - distinct).abs() as f64;
            assert!(error <= bound * distinct as f64 + 0.5, "lg_k {lg_k}: {estimate} for {distinct}");
        }
    }
}

#[test]
fn approx_distinct_of_every_type() {
    let word = |at: i64| text(&format!("word {at}"));
    let cases: [(&str, Vec<Value>); 5] = [
        ("word", (0..100).map(word).collect()),
        ("real", (0..100).map(|at| Value::Float(f64::from(at) / 7.0)).collect()),
        ("price", (0..100).map(Value::Decimal).collect()),
        ("flag", vec![Value::Bool(true), Value::Bool(false), Value::Bool(true)]),
        ("real", vec![Value::Float(0.0), Value::Float(-0.0), Value::Null]),
    ];
    for ((column, values), wanted) in cases.into_iter().zip([100, 100, 100, 2, 1]) {
        let plan = plan_of(Aggregation::ApproxDistinct { lg_k: 12 }, Some(column));
        let estimate = int(value_of(&plan, &rows(column, values)));
        assert!((estimate - wanted).abs() <= 3, "{estimate} for {wanted} of `{column}`");
    }
    let plan = plan_of(Aggregation::ApproxDistinct { lg_k: 12 }, Some("word"));
    assert_eq!(value_of(&plan, &rows("word", [Value::Null])).value, Ok(Value::Null));
}

#[test]
fn approx_distinct_does_not_depend_on_order_or_tiles() {
    for seed in 0..20 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let plan = plan_of(Aggregation::ApproxDistinct { lg_k: 8 }, Some("whole"));
        let many = 1 + random.below(3_000);
        let mut rows = rows("whole", (0..many).map(|_| Value::Int(random.below(2_000) as i64)).collect::<Vec<_>>());
        let wanted = value_of(&plan, &rows).value;
        random.shuffle(&mut rows);
        assert_eq!(value_of(&plan, &rows).value, wanted);
        let mut state = EntityState::default();
        rows.iter().for_each(|row| insert(&plan, &mut state, row));
        assert_eq!(Ok(state.read(&plan, i64::MAX, i64::MAX)[0].value.clone()), wanted);
    }
}

fn quantile(quantile: f64, relative_error: f64) -> Aggregation {
    Aggregation::ApproxQuantile { quantile, relative_error }
}

fn spread(random: &mut Random) -> f64 {
    let magnitude = match random.below(4) {
        0 => random.below(100) as f64,
        1 => random.below(1_000_000) as f64 / 1e4,
        2 => 1e-12 * random.below(1_000) as f64,
        _ => 10f64.powi(random.between(-30, 30) as i32),
    };
    if random.chance(30) { -magnitude } else { magnitude }
}

#[test]
fn approx_quantile_keeps_its_relative_error() {
    for seed in 0..20 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let mut values: Vec<f64> = (0..=random.below(2_000)).map(|_| spread(&mut random)).collect();
        let rows = rows("real", values.iter().map(|value| Value::Float(*value)).collect::<Vec<_>>());
        values.sort_by(f64::total_cmp);
        for (share, error) in [(0.0, 0.01), (0.01, 0.05), (0.25, 0.01), (0.5, 0.001), (0.9, 0.01), (1.0, 0.02)] {
            let exact = values[(share * (values.len() - 1) as f64).floor() as usize];
            let Ok(Value::Float(value)) = value_of(&plan_of(quantile(share, error), Some("real")), &rows).value else {
                panic!("a float was expected");
            };
            let bound = error * exact.abs() * (1.0 + 1e-9);
            assert!((value - exact).abs() <= bound, "{value} for {exact} at {share} within {error}");
        }
    }
}

#[test]
fn approx_quantile_does_not_depend_on_order_or_tiles() {
    for seed in 0..10 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let plan = plan_of(quantile(0.5, 0.01), Some("real"));
        let values: Vec<Value> = (0..1_000).map(|_| Value::Float(spread(&mut random))).collect();
        let mut rows = rows("real", values);
        let wanted = value_of(&plan, &rows).value;
        random.shuffle(&mut rows);
        let mut state = EntityState::default();
        rows.iter().for_each(|row| insert(&plan, &mut state, row));
        assert_eq!(Ok(state.read(&plan, i64::MAX, i64::MAX)[0].value.clone()), wanted);
    }
}

#[test]
fn approx_quantile_of_integers_and_decimals() {
    let whole = rows("whole", (1..=101).map(Value::Int));
    let median = |column: &str, rows: &[Row]| value_of(&plan_of(quantile(0.5, 0.01), Some(column)), rows).value;
    let Ok(Value::Float(value)) = median("whole", &whole) else { panic!("a float was expected") };
    assert!((value - 51.0).abs() <= 0.51 * 1.000_001, "{value}");
    let price = rows("price", (1..=101).map(Value::Decimal));
    let Ok(Value::Float(value)) = median("price", &price) else { panic!("a float was expected") };
    assert!((value - 0.51).abs() <= 0.0051 * 1.000_001, "{value}");
    assert_eq!(median("whole", &[]), Ok(Value::Null));
}
