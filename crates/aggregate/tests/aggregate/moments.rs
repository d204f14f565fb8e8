//! Means and central moments against rationals of big integers.

use crate::support::{Packed, Random, Row, SeedNote, feature, nearest, plan, plan_of, row, units, value_of, view};
use num_bigint::BigInt;
use thalweg_aggregate::{Reading, Value};
use thalweg_definition::{Aggregation, Window};

/// Numbers as integers over one common denominator.
struct Numbers {
    numerators: Vec<BigInt>,
    denominator: BigInt,
}

impl Numbers {
    fn sum(&self, power: u32) -> BigInt {
        self.numerators.iter().map(|number| number.pow(power)).sum()
    }

    fn count(&self) -> BigInt {
        BigInt::from(self.numerators.len())
    }

    fn variance(&self, ddof: usize) -> Option<f64> {
        let n = self.numerators.len();
        if n <= ddof {
            return None;
        }
        let (s1, s2) = (self.sum(1), self.sum(2));
        let free = BigInt::from(n - ddof);
        let numerator: BigInt = self.count() * s2 - &s1 * &s1;
        Some(nearest(&numerator, &(self.count() * free * self.denominator.pow(2))))
    }

    fn skewness(&self) -> Option<f64> {
        let m2 = self.variance(0).filter(|m2| *m2 != 0.0)?;
        let (n, s1, s2, s3) = (self.count(), self.sum(1), self.sum(2), self.sum(3));
        let numerator: BigInt = n.pow(2) * s3 - BigInt::from(3) * &n * &s1 * s2 + BigInt::from(2) * s1.pow(3);
        let m3 = nearest(&numerator, &(n.pow(3) * self.denominator.pow(3)));
        Some(m3 / (m2 * m2.sqrt()))
    }

    fn kurtosis(&self) -> Option<f64> {
        let m2 = self.variance(0).filter(|m2| *m2 != 0.0)?;
        let (n, s1) = (self.count(), self.sum(1));
        let (s2, s3, s4) = (self.sum(2), self.sum(3), self.sum(4));
        let numerator: BigInt = n.pow(3) * s4 - BigInt::from(4) * n.pow(2) * &s1 * s3
            + BigInt::from(6) * &n * s1.pow(2) * s2
            - BigInt::from(3) * s1.pow(4);
        let m4 = nearest(&numerator, &(n.pow(4) * self.denominator.pow(4)));
        Some(m4 / (m2 * m2) - 3.0)
    }

    /// Every aggregation with what it must say.
    fn expected(&self) -> Vec<(Aggregation, Option<f64>)> {
        vec![
            (Aggregation::Var { ddof: 1 }, self.variance(1)),
            (Aggregation::Var { ddof: 0 }, self.variance(0)),
            (Aggregation::Std { ddof: 1 }, self.variance(1).map(f64::sqrt)),
            (Aggregation::Skew, self.skewness()),
            (Aggregation::Kurtosis, self.kurtosis()),
        ]
    }
}

fn check(column: &str, values: &[Value], numbers: &Numbers) {
    let rows: Vec<Row> = (0u64..).zip(values).map(|(at, value)| row(at as i64, at, column, value.clone())).collect();
    for (aggregation, wanted) in numbers.expected() {
        let reading = value_of(&plan_of(aggregation, Some(column)), &rows);
        let wanted = wanted.map_or(Value::Null, Value::Float);
        assert_eq!(reading.value, Ok(wanted), "{aggregation:?} of {values:?}");
    }
}

fn float(random: &mut Random) -> f64 {
    match random.below(5) {
        0 => random.between(-50, 50) as f64,
        1 => random.between(-100_000, 100_000) as f64 / 1000.0,
        2 => 1e9 + random.below(100) as f64 / 64.0,
        // Any sign and mantissa, about a quarter.
        3 => f64::from_bits((random.bits() & !(0x3ff << 53)) | (0x1fe << 53)),
        _ => f64::from_bits(random.below(1 << 52)),
    }
}

#[test]
fn moments_of_floats_are_exact_until_rounded() {
    for seed in 0..60 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let values: Vec<f64> = (0..random.below(12)).map(|_| float(&mut random)).collect();
        let numerators = values.iter().map(|value| units(*value)).collect();
        let numbers = Numbers { numerators, denominator: BigInt::from(1) << 1074u32 };
        check("real", &values.into_iter().map(Value::Float).collect::<Vec<_>>(), &numbers);
    }
}

#[test]
fn moments_of_integers_and_decimals_are_exact_until_rounded() {
    for seed in 0..60 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let ends = [i64::MIN, i64::MAX, 0, 1, -1];
        let whole = |random: &mut Random| match random.below(3) {
            0 => *random.pick(&ends),
            1 => random.between(-1000, 1000),
            _ => random.bits() as i64,
        };
        let values: Vec<i64> = (0..random.below(20)).map(|_| whole(&mut random)).collect();
        let numerators: Vec<BigInt> = values.iter().map(|value| BigInt::from(*value)).collect();
        let numbers = Numbers { numerators: numerators.clone(), denominator: BigInt::from(1) };
        check("whole", &values.iter().map(|value| Value::Int(*value)).collect::<Vec<_>>(), &numbers);

        // The same unscaled integers, stretched towards 38 digits, with two decimal places.
        let stretch: i128 = 7_000_000_000_000_000_000;
        let decimals: Vec<i128> = values.iter().map(|value| i128::from(*value) * stretch).collect();
        let numerators = decimals.iter().map(|value| BigInt::from(*value)).collect();
        let numbers = Numbers { numerators, denominator: BigInt::from(100) };
        check("price", &decimals.into_iter().map(Value::Decimal).collect::<Vec<_>>(), &numbers);
    }
}

#[test]
fn a_mean_is_the_rounded_sum_divided() {
    for seed in 0..60 {
        let _note = SeedNote(seed);
        let mut random = Random(seed);
        let values: Vec<f64> = (0..=random.below(30)).map(|_| float(&mut random)).collect();
        let total: BigInt = values.iter().map(|value| units(*value)).sum();
        let wanted = nearest(&total, &(BigInt::from(1) << 1074u32)) / values.len() as f64;
        let rows: Vec<Row> =
            (0u64..).zip(&values).map(|(at, value)| row(0, at, "real", Value::Float(*value))).collect();
        assert_eq!(value_of(&plan_of(Aggregation::Mean, Some("real")), &rows).value, Ok(Value::Float(wanted)));
    }
    let rows: Vec<Row> = [i64::MAX, i64::MAX, 1].iter().map(|v| row(0, *v as u64, "whole", Value::Int(*v))).collect();
    let wanted = (2 * i128::from(i64::MAX) + 1) as f64 / 3.0;
    assert_eq!(value_of(&plan_of(Aggregation::Mean, Some("whole")), &rows).value, Ok(Value::Float(wanted)));
    let rows: Vec<Row> = [101, 202, 404].iter().map(|v| row(0, *v as u64, "price", Value::Decimal(*v))).collect();
    assert_eq!(value_of(&plan_of(Aggregation::Mean, Some("price")), &rows).value, Ok(Value::Float(7.07 / 3.0)));
}

#[test]
fn moments_do_not_depend_on_how_features_share_sums() {
    // A skew raises the powers that the variance beside it keeps; the variance must not notice.
    let values = [2.5, -1.25, 8.0, 8.0, 1e-3];
    let rows: Vec<Row> = (0u64..).zip(values).map(|(at, value)| row(0, at, "real", Value::Float(value))).collect();
    let windows = || vec![Window::Unbounded];
    let shared = plan(
        &view(vec![
            feature("var", Aggregation::Var { ddof: 1 }, Some("real"), windows()),
            feature("kurtosis", Aggregation::Kurtosis, Some("real"), windows()),
            feature("skew", Aggregation::Skew, Some("real"), windows()),
        ]),
        false,
    );
    assert_eq!(shared.accumulators.len(), 1);
    let packed = Packed::new(&shared, &rows);
    for (output, aggregation) in
        [Aggregation::Var { ddof: 1 }, Aggregation::Kurtosis, Aggregation::Skew].into_iter().enumerate()
    {
        let alone: Reading = value_of(&plan_of(aggregation, Some("real")), &rows);
        assert_eq!(packed.reading(&shared, output, (0..rows.len()).collect()), alone, "{aggregation:?}");
    }
}

#[test]
fn moments_of_few_or_equal_values_are_null() {
    let numbers = |values: &[i64]| Numbers {
        numerators: values.iter().map(|value| BigInt::from(*value)).collect(),
        denominator: BigInt::from(1),
    };
    for values in [&[][..], &[5], &[5, 5, 5]] {
        let numbers = numbers(values);
        check("whole", &values.iter().map(|value| Value::Int(*value)).collect::<Vec<_>>(), &numbers);
        assert_eq!(numbers.skewness(), None);
    }
}
