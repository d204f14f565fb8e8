//! `count(col)`, `sum`, `mean` of integers, decimals and floats, all exact until they are read.

use super::fits::MAX_ROWS;
use super::{ValueError, count_value};
use crate::cell::{Cell, Value};
use crate::exact::ExactSum;
use num_bigint::BigInt;
use serde::{Deserialize, Serialize};
use thalweg_definition::Aggregation;

/// A sum of int64: 2^64 of them fit in 128 bits.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct IntSum {
    count: u64,
    sum: i128,
}

impl IntSum {
    pub fn of(count: u64, sum: i128) -> Self {
        Self { count, sum }
    }

    #[inline]
    pub fn add(&mut self, cell: Cell<'_>) {
        let Cell::Int(value) = cell else { unreachable!("validated: an integer") };
        self.count += 1;
        self.sum += i128::from(value);
    }

    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
    }

    /// Whether so many int64 could have this sum.
    pub fn fits(&self) -> bool {
        self.count <= MAX_ROWS && self.sum.unsigned_abs() <= u128::from(self.count) << 63
    }

    pub fn read(&self, aggregation: &Aggregation) -> Result<Value, ValueError> {
        match aggregation {
            Aggregation::Count => Ok(count_value(self.count)),
            _ if self.count == 0 => Ok(Value::Null),
            Aggregation::Mean => Ok(Value::Float(self.sum as f64 / self.count as f64)),
            _ => i64::try_from(self.sum).map(Value::Int).map_err(|_| ValueError::IntegerOverflow),
        }
    }
}

/// A sum of unscaled decimals of one scale.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DecimalSum {
    count: u64,
    sum: ExactSum,
}

/// The largest unscaled value of 38 digits.
const MAX_DECIMAL: i128 = 99_999_999_999_999_999_999_999_999_999_999_999_999;

impl DecimalSum {
    pub fn add(&mut self, cell: Cell<'_>) {
        let Cell::Decimal(value) = cell else { unreachable!("validated: a decimal") };
        self.count += 1;
        self.sum.add_scaled(value, 0);
    }

    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum.merge(&other.sum);
    }

    /// Whether decimals could have this sum.
    pub fn fits(&self) -> bool {
        self.count <= MAX_ROWS && self.sum.fits(false, 1)
    }

    pub fn read(&self, aggregation: &Aggregation, scale: u8) -> Result<Value, ValueError> {
        match aggregation {
            Aggregation::Count => Ok(count_value(self.count)),
            _ if self.count == 0 => Ok(Value::Null),
            // 10^scale is exact up to 10^22 and one fixed double past that.
            Aggregation::Mean => {
                Ok(Value::Float(self.sum.round() / libm::pow(10.0, f64::from(scale)) / self.count as f64))
            }
            _ => {
                let (mantissa, exponent) = self.sum.to_parts();
                let sum: BigInt = mantissa << exponent as u32;
                match i128::try_from(&sum) {
                    Ok(sum) if sum.unsigned_abs() <= MAX_DECIMAL.unsigned_abs() => Ok(Value::Decimal(sum)),
                    _ => Err(ValueError::DecimalOverflow),
                }
            }
        }
    }
}

/// A sum of floats. Non-finite inputs come here only where the view keeps them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FloatSum {
    count: u64,
    not_a_number: u32,
    infinite: u32,
    minus_infinite: u32,
    sum: ExactSum,
}

impl FloatSum {
    /// Of finite inputs.
    pub fn of(count: u64, sum: ExactSum) -> Self {
        Self { count, sum, ..Self::default() }
    }

    #[inline]
    pub fn add(&mut self, cell: Cell<'_>) {
        let Cell::Float(value) = cell else { unreachable!("validated: a float") };
        self.count += 1;
        if value.is_finite() {
            self.sum.add(value);
        } else if value.is_nan() {
            self.not_a_number = self.not_a_number.saturating_add(1);
        } else if value > 0.0 {
            self.infinite = self.infinite.saturating_add(1);
        } else {
            self.minus_infinite = self.minus_infinite.saturating_add(1);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.not_a_number = self.not_a_number.saturating_add(other.not_a_number);
        self.infinite = self.infinite.saturating_add(other.infinite);
        self.minus_infinite = self.minus_infinite.saturating_add(other.minus_infinite);
        self.sum.merge(&other.sum);
    }

    /// Whether floats could have this sum.
    pub fn fits(&self) -> bool {
        self.count <= MAX_ROWS && self.sum.fits(true, 1)
    }

    pub fn read(&self, aggregation: &Aggregation) -> Value {
        match aggregation {
            Aggregation::Count => count_value(self.count),
            _ if self.count == 0 => Value::Null,
            Aggregation::Mean => Value::Float(self.sum() / self.count as f64),
            _ => Value::Float(self.sum()),
        }
    }

    fn sum(&self) -> f64 {
        match (self.not_a_number, self.infinite, self.minus_infinite) {
            (0, 0, 0) => self.sum.round(),
            (0, _, 0) => f64::INFINITY,
            (0, 0, _) => f64::NEG_INFINITY,
            _ => f64::NAN,
        }
    }
}
