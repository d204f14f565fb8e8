//! `approx_quantile`: a DDSketch (Masson, Rim, Lee, "DDSketch: a fast and fully-mergeable quantile sketch with
//! relative-error guarantees", 2019): counts of values in bins whose width grows with the value.
//!
//! Bins are never collapsed, so the sketch depends on the set of rows alone. The logarithm is a software one, so
//! that a value falls into the same bin on every machine.

use super::Kind;
use super::fits::MAX_ROWS;
use crate::cell::Cell;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DdSketch {
    negative: BTreeMap<i32, u64>,
    zero: u64,
    positive: BTreeMap<i32, u64>,
    /// Kept infinities, and NaN, which sorts above all.
    minus_infinite: u64,
    infinite: u64,
    not_a_number: u64,
}

impl DdSketch {
    pub fn add(&mut self, kind: Kind, cell: Cell<'_>) {
        let Kind::DdSketch(error) = kind else { unreachable!("kinds agree") };
        let value = match cell {
            Cell::Int(value) => value as f64,
            Cell::Float(value) => value,
            Cell::Decimal(value) => value as f64,
            _ => unreachable!("validated: a number"),
        };
        if value.is_nan() {
            self.not_a_number += 1;
        } else if value == f64::INFINITY {
            self.infinite += 1;
        } else if value == f64::NEG_INFINITY {
            self.minus_infinite += 1;
        } else if value == 0.0 {
            self.zero += 1;
        } else {
            let bin = libm::ceil(libm::log(value.abs()) / libm::log(gamma(error))) as i32;
            let bins = if value > 0.0 { &mut self.positive } else { &mut self.negative };
            *bins.entry(bin).or_default() += 1;
        }
    }

    pub fn merge(&mut self, other: &Self) {
        for (bins, other) in [(&mut self.negative, &other.negative), (&mut self.positive, &other.positive)] {
            for (bin, count) in other {
                *bins.entry(*bin).or_default() += count;
            }
        }
        self.zero += other.zero;
        self.minus_infinite += other.minus_infinite;
        self.infinite += other.infinite;
        self.not_a_number += other.not_a_number;
    }

    /// Whether rows could have made this sketch: its bins are those of doubles, and its counts can be added up.
    pub fn fits(&self, error: f64) -> bool {
        let last = libm::ceil(LARGEST_LOG / libm::log(gamma(error)));
        let bins = self.negative.iter().chain(&self.positive);
        let within = bins.clone().all(|(bin, _)| f64::from(*bin).abs() <= last);
        let rest = [self.zero, self.minus_infinite, self.infinite, self.not_a_number];
        let rows = bins.map(|(_, count)| *count).chain(rest).map(u128::from).sum::<u128>();
        within && rows <= u128::from(MAX_ROWS)
    }

    /// The value at rank `floor(quantile * (n - 1))` in ascending order, within the relative error.
    pub fn quantile(&self, quantile: f64, error: f64, scale: u8) -> Option<f64> {
        let negatives: u64 = self.negative.values().sum();
        let positives: u64 = self.positive.values().sum();
        let count = negatives + self.zero + positives + self.minus_infinite + self.infinite + self.not_a_number;
        if count == 0 {
            return None;
        }
        let mut rank = (quantile * (count - 1) as f64).floor() as u64;
        let gamma = gamma(error);
        let middle = |bin: i32| {
            // 2 * gamma^bin / (gamma + 1), multiplied so that the largest doubles do not overflow on the way.
            let value = libm::pow(gamma, f64::from(bin - 1)) * (2.0 * gamma / (gamma + 1.0));
            value.min(f64::MAX) / libm::pow(10.0, f64::from(scale))
        };
        let bins = std::iter::once((f64::NEG_INFINITY, self.minus_infinite))
            .chain(self.negative.iter().rev().map(|(bin, count)| (-middle(*bin), *count)))
            .chain(std::iter::once((0.0, self.zero)))
            .chain(self.positive.iter().map(|(bin, count)| (middle(*bin), *count)))
            .chain(std::iter::once((f64::INFINITY, self.infinite)));
        for (value, count) in bins {
            if rank < count {
                return Some(value);
            }
            rank -= count;
        }
        Some(f64::NAN)
    }
}

/// Above the size of the logarithm of every finite double but zero.
const LARGEST_LOG: f64 = 746.0;

fn gamma(error: f64) -> f64 {
    (1.0 + error) / (1.0 - error)
}
