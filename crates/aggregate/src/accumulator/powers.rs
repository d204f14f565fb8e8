//! `var`, `std`, `skew`, `kurtosis`: exact sums of powers, and one fixed formula over them.
//!
//! The central moments are computed as exact rationals from the exact sums and rounded once, so they neither
//! cancel nor drift: `var = (n*S2 - S1^2) / (n*(n-ddof))`.

use super::fits::MAX_ROWS;
use crate::cell::Cell;
use crate::exact::{ExactSum, round_ratio, split};
use num_bigint::BigInt;
use num_traits::Zero;
use serde::{Deserialize, Serialize};

/// Sums of the first four powers (as many as asked for) of the finite inputs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Powers {
    pub count: u64,
    /// Inputs that are NaN or infinite, where those are kept.
    pub non_finite: u64,
    sums: [ExactSum; 4],
}

impl Powers {
    /// Adds a number. `highest` is 2 for a variance, 3 for skewness, 4 for kurtosis.
    pub fn add(&mut self, cell: Cell<'_>, highest: u8) {
        let (mantissa, exponent) = match cell {
            Cell::Float(value) if !value.is_finite() => {
                self.non_finite += 1;
                return;
            }
            Cell::Float(value) => {
                let (mantissa, exponent) = split(value);
                (i128::from(mantissa), exponent)
            }
            Cell::Int(value) => (i128::from(value), 0),
            Cell::Decimal(unscaled) => (unscaled, 0),
            _ => unreachable!("validated: a number"),
        };
        self.count += 1;
        let mut power = mantissa;
        let mut wide: Option<BigInt> = None;
        for (index, sum) in self.sums.iter_mut().enumerate().take(usize::from(highest)) {
            let exponent = exponent * (index as i32 + 1);
            if index > 0 {
                match wide.as_mut() {
                    Some(wide) => *wide *= mantissa,
                    None => match power.checked_mul(mantissa) {
                        Some(product) => power = product,
                        None => wide = Some(BigInt::from(power) * mantissa),
                    },
                }
            }
            match &wide {
                Some(wide) => sum.add_wide(wide.clone(), exponent),
                None => sum.add_scaled(power, exponent),
            }
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.non_finite += other.non_finite;
        for (sum, other) in self.sums.iter_mut().zip(&other.sums) {
            sum.merge(other);
        }
    }

    /// Whether rows could have made these sums.
    pub fn fits(&self, of_floats: bool) -> bool {
        let mut sums = (1..).zip(&self.sums);
        let rows = self.count <= MAX_ROWS && self.non_finite <= MAX_ROWS;
        rows && sums.all(|(power, sum)| sum.fits(of_floats, power))
    }

    /// The variance with `ddof` degrees of freedom taken off, of numbers with `scale` decimal places.
    pub fn variance(&self, ddof: u32, scale: u8) -> Option<f64> {
        if self.count + self.non_finite <= u64::from(ddof) {
            return None;
        }
        if self.non_finite > 0 {
            return Some(f64::NAN);
        }
        Some(self.second(BigInt::from(self.count) * BigInt::from(self.count - u64::from(ddof)), scale))
    }

    /// `m3 / (m2 * sqrt(m2))`, from central moments each rounded once.
    pub fn skewness(&self, scale: u8) -> Option<f64> {
        let m2 = self.central_second(scale)?;
        if m2.is_nan() {
            return Some(m2);
        }
        let (n, [s1, s2, s3, _], e) = self.aligned();
        // n^3 * m3 = n^2*S3 - 3*n*S1*S2 + 2*S1^3
        let third: BigInt = &n * &n * s3 - BigInt::from(3) * &n * &s1 * s2 + BigInt::from(2) * &s1 * &s1 * &s1;
        let m3 = round_ratio(&third, &(&n * &n * &n * ten_to(3 * u32::from(scale))), 3 * e);
        Some(m3 / (m2 * m2.sqrt()))
    }

    /// `m4 / (m2 * m2) - 3`, from central moments each rounded once.
    pub fn excess_kurtosis(&self, scale: u8) -> Option<f64> {
        let m2 = self.central_second(scale)?;
        if m2.is_nan() {
            return Some(m2);
        }
        let (n, [s1, s2, s3, s4], e) = self.aligned();
        // n^4 * m4 = n^3*S4 - 4*n^2*S1*S3 + 6*n*S1^2*S2 - 3*S1^4
        let fourth: BigInt = &n * &n * &n * s4 - BigInt::from(4) * &n * &n * &s1 * s3
            + BigInt::from(6) * &n * &s1 * &s1 * s2
            - BigInt::from(3) * &s1 * &s1 * &s1 * &s1;
        let m4 = round_ratio(&fourth, &(&n * &n * &n * &n * ten_to(4 * u32::from(scale))), 4 * e);
        Some(m4 / (m2 * m2) - 3.0)
    }

    /// The second central moment; none without rows or where it is zero, NaN with non-finite rows.
    fn central_second(&self, scale: u8) -> Option<f64> {
        if self.non_finite > 0 {
            return Some(f64::NAN);
        }
        if self.count == 0 {
            return None;
        }
        let n = BigInt::from(self.count);
        let m2 = self.second(&n * &n, scale);
        (m2 != 0.0).then_some(m2)
    }

    fn second(&self, denominator: BigInt, scale: u8) -> f64 {
        let (n, [s1, s2, _, _], e) = self.aligned();
        let numerator: BigInt = n * s2 - &s1 * &s1;
        round_ratio(&numerator, &(denominator * ten_to(2 * u32::from(scale))), 2 * e)
    }

    /// The count and the sums, where `sums[i]` is to be multiplied with `2^((i+1) * exponent)`.
    fn aligned(&self) -> (BigInt, [BigInt; 4], i32) {
        let parts: Vec<(BigInt, i32)> = self.sums.iter().map(ExactSum::to_parts).collect();
        let exponent = parts
            .iter()
            .enumerate()
            .filter(|(_, (mantissa, _))| !mantissa.is_zero())
            .map(|(index, (_, exponent))| exponent.div_euclid(index as i32 + 1))
            .min()
            .unwrap_or(0);
        let mut index = 0;
        let sums = parts.into_iter().map(|(mantissa, own)| {
            index += 1;
            if mantissa.is_zero() { mantissa } else { mantissa << (own - exponent * index) as u32 }
        });
        let sums: Vec<BigInt> = sums.collect();
        (BigInt::from(self.count), sums.try_into().expect("four sums"), exponent)
    }
}

fn ten_to(power: u32) -> BigInt {
    BigInt::from(10).pow(power)
}
