//! Exact sums: whatever the order, the halves or what is taken back, the sum is the true one rounded once.

use crate::support::{nearest, units};
use num_bigint::BigInt;
use proptest::prelude::*;
use thalweg_aggregate::ExactSum;

/// Finite doubles of every size, with plenty near each other and near the ends of the range.
fn finite() -> impl Strategy<Value = f64> {
    let signed = |(magnitude, negative): (f64, bool)| if negative { -magnitude } else { magnitude };
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite()),
        (-1000i32..1000).prop_map(f64::from),
        -1.0e3..1.0e3f64,
        ((0u64..1 << 52).prop_map(f64::from_bits), any::<bool>()).prop_map(signed),
        ((0u64..1 << 53).prop_map(|down| f64::from_bits(f64::MAX.to_bits() - down)), any::<bool>()).prop_map(signed),
        ((-1074i32..1024).prop_map(|power| 2f64.powi(power)), any::<bool>()).prop_map(signed),
    ]
}

fn sum_of<'a>(values: impl IntoIterator<Item = &'a f64>) -> ExactSum {
    let mut sum = ExactSum::default();
    values.into_iter().for_each(|value| sum.add(*value));
    sum
}

fn expected<'a>(values: impl IntoIterator<Item = &'a f64>) -> f64 {
    let total: BigInt = values.into_iter().map(|value| units(*value)).sum();
    nearest(&total, &(BigInt::from(1) << 1074u32))
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_sum_is_the_true_one_rounded_once(values in prop::collection::vec(finite(), 0..40)) {
        let wanted = expected(&values).to_bits();
        prop_assert_eq!(sum_of(&values).round().to_bits(), wanted);
        prop_assert_eq!(sum_of(values.iter().rev()).round().to_bits(), wanted);
    }

    #[test]
    fn halves_merge_to_the_whole(values in prop::collection::vec(finite(), 0..40), at in 0usize..40) {
        let (left, right) = values.split_at(at.min(values.len()));
        let (mut sum, other) = (sum_of(left), sum_of(right));
        sum.merge(&other);
        prop_assert_eq!(sum.round().to_bits(), expected(&values).to_bits());
        let mut sum = sum_of(right);
        sum.merge(&sum_of(left));
        prop_assert_eq!(sum.round().to_bits(), expected(&values).to_bits());
    }

    #[test]
    fn what_is_taken_back_leaves_no_trace(
        values in prop::collection::vec(finite(), 0..30),
        passing in prop::collection::vec(finite(), 0..30),
    ) {
        let mut sum = sum_of(passing.iter().chain(&values));
        passing.iter().for_each(|value| sum.subtract(*value));
        prop_assert_eq!(sum.round().to_bits(), expected(&values).to_bits());
    }

    #[test]
    fn scaled_integers_add_up(parts in prop::collection::vec((any::<i128>(), 0i32..200), 0..20)) {
        let mut sum = ExactSum::default();
        let mut total = BigInt::from(0);
        for (mantissa, exponent) in parts {
            // The least i128 has no counterpart above zero; no input makes it.
            let mantissa = mantissa.max(-i128::MAX);
            sum.add_scaled(mantissa, exponent);
            total += BigInt::from(mantissa) << exponent as u32;
        }
        let (mantissa, exponent) = sum.to_parts();
        prop_assert_eq!(mantissa << exponent as u32, total.clone());
        prop_assert_eq!(sum.round().to_bits(), nearest(&total, &BigInt::from(1)).to_bits());
    }
}

#[test]
fn ties_go_to_even() {
    let two_53 = 9_007_199_254_740_992.0;
    let tiny = f64::from_bits(1);
    let cases: [(&[f64], f64); 10] = [
        (&[], 0.0),
        (&[-0.0, -0.0], 0.0),
        (&[two_53, 1.0], two_53),
        (&[two_53, 1.0, tiny], two_53 + 2.0),
        (&[two_53 + 2.0, 1.0], two_53 + 4.0),
        (&[two_53 + 2.0, 1.0, -tiny], two_53 + 2.0),
        (&[1.0, f64::EPSILON / 2.0], 1.0),
        (&[1.0, f64::EPSILON / 2.0, tiny], 1.0 + f64::EPSILON),
        (&[-1.0, -f64::EPSILON / 2.0, -tiny], -1.0 - f64::EPSILON),
        (&[0.1, 0.2, -0.3], 2f64.powi(-55)),
    ];
    for (values, wanted) in cases {
        assert_eq!(sum_of(values).round().to_bits(), wanted.to_bits(), "{values:?}");
    }
}

#[test]
fn a_sum_comes_back_from_past_the_range() {
    let mut sum = sum_of(&[f64::MAX, f64::MAX, 1.0]);
    assert_eq!(sum.round(), f64::INFINITY);
    sum.subtract(f64::MAX);
    assert_eq!(sum.round(), f64::MAX);
    sum.subtract(f64::MAX);
    assert_eq!(sum.round(), 1.0);
    // Half a unit in the last place above the largest double is where infinity begins.
    let half = 2f64.powi(970);
    assert_eq!(sum_of(&[f64::MAX, half]).round(), f64::INFINITY);
    assert_eq!(sum_of(&[f64::MAX, half, -f64::from_bits(1)]).round(), f64::MAX);
    assert_eq!(sum_of(&[-f64::MAX, -half]).round(), f64::NEG_INFINITY);
}
