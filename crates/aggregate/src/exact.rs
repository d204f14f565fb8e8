//! Exact sums of binary floating-point numbers and of their powers.
//!
//! A finite double is an integer times a power of two, so a sum of doubles is one as well. Kept as such it is
//! exact: it does not depend on the order of the additions, can be merged, can be taken back, and is rounded once
//! when it is read. While mantissas fit, the integer is an `i128`; a sum of very unlike magnitudes goes on in
//! a big integer. Both forms hold the same number, so the reading does not depend on which one was taken.
//! (The idea is that of a superaccumulator: Neal, "Fast exact summation using small and large
//! superaccumulators", 2015.)

use num_bigint::{BigInt, Sign};
use num_traits::{Signed, Zero};
use serde::{Deserialize, Serialize};

/// The exact value `mantissa * 2^exponent`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ExactSum {
    mantissa: i128,
    exponent: i32,
    /// Takes over from `mantissa` (at the same exponent) once that would overflow.
    wide: Option<Box<BigInt>>,
}

/// Bits that a narrow mantissa may use; the rest is room for carries.
const NARROW_BITS: u32 = 126;
/// The last bit of the least double, and the only one of the largest power of two.
const LOWEST_EXPONENT: i32 = -1074;
const HIGHEST_EXPONENT: i32 = 1023;
/// Bits that a sum gets from there being many rows.
const CARRY_BITS: i32 = 64;

impl ExactSum {
    /// Adds a finite double.
    #[inline]
    pub fn add(&mut self, value: f64) {
        debug_assert!(value.is_finite());
        let (mantissa, exponent) = split(value);
        self.add_scaled(i128::from(mantissa), exponent);
    }

    /// Takes a finite double back.
    #[inline]
    pub fn subtract(&mut self, value: f64) {
        let (mantissa, exponent) = split(value);
        self.add_scaled(-i128::from(mantissa), exponent);
    }

    /// Adds `mantissa * 2^exponent`.
    #[inline]
    pub fn add_scaled(&mut self, mantissa: i128, exponent: i32) {
        if mantissa == 0 {
            return;
        }
        if self.wide.is_none() {
            if self.mantissa == 0 {
                (self.mantissa, self.exponent) = (mantissa, exponent);
                return;
            }
            if let Some((sum, exponent)) = narrow_add(self.mantissa, self.exponent, mantissa, exponent) {
                (self.mantissa, self.exponent) = (sum, exponent);
                return;
            }
        }
        self.add_wide(BigInt::from(mantissa), exponent);
    }

    /// Adds a big integer times a power of two.
    pub fn add_wide(&mut self, mut other: BigInt, exponent: i32) {
        if other.is_zero() {
            return;
        }
        let mut sum = match self.wide.take() {
            Some(wide) => *wide,
            None => BigInt::from(self.mantissa),
        };
        if sum.is_zero() {
            self.exponent = exponent;
        }
        if exponent >= self.exponent {
            other <<= (exponent - self.exponent) as u32;
        } else {
            sum <<= (self.exponent - exponent) as u32;
            self.exponent = exponent;
        }
        sum += other;
        self.mantissa = 0;
        match i128::try_from(&sum) {
            Ok(narrow) if magnitude_bits(narrow) <= NARROW_BITS => self.mantissa = narrow,
            _ => self.wide = Some(Box::new(sum)),
        }
    }

    /// Adds another exact sum.
    #[inline]
    pub fn merge(&mut self, other: &Self) {
        match &other.wide {
            None => self.add_scaled(other.mantissa, other.exponent),
            Some(wide) => self.add_wide((**wide).clone(), other.exponent),
        }
    }

    /// Whether this could be a sum of as many rows as there can be: of a power of doubles, or of that of integers of 128
    /// bits. Arithmetic on what was stored relies on it.
    pub(crate) fn fits(&self, of_floats: bool, power: i32) -> bool {
        let exponents = if of_floats { LOWEST_EXPONENT * power..=HIGHEST_EXPONENT * power } else { 0..=0 };
        let bits = match &self.wide {
            None => u64::from(magnitude_bits(self.mantissa)),
            Some(wide) => wide.bits(),
        };
        let widest_row = if of_floats { HIGHEST_EXPONENT + 1 } else { 127 };
        let widest = i64::from(widest_row * power + CARRY_BITS);
        exponents.contains(&self.exponent)
            && i64::try_from(bits).is_ok_and(|bits| bits + i64::from(self.exponent) <= widest)
    }

    /// The sum, rounded once to the nearest double, ties to even; infinite past the range of doubles.
    pub fn round(&self) -> f64 {
        match &self.wide {
            None => compose(self.mantissa < 0, self.mantissa.unsigned_abs(), false, self.exponent),
            Some(wide) => round_big(wide, self.exponent),
        }
    }

    /// The sum as an integer and the power of two it is to be multiplied with.
    pub fn to_parts(&self) -> (BigInt, i32) {
        match &self.wide {
            None => (BigInt::from(self.mantissa), self.exponent),
            Some(wide) => ((**wide).clone(), self.exponent),
        }
    }
}

fn magnitude_bits(value: i128) -> u32 {
    128 - value.unsigned_abs().leading_zeros()
}

fn narrow_add(a: i128, a_exponent: i32, b: i128, b_exponent: i32) -> Option<(i128, i32)> {
    let (high, high_exponent, low, low_exponent) =
        if a_exponent >= b_exponent { (a, a_exponent, b, b_exponent) } else { (b, b_exponent, a, a_exponent) };
    let shift = (high_exponent - low_exponent) as u32;
    if shift + magnitude_bits(high) > NARROW_BITS || magnitude_bits(low) > NARROW_BITS {
        return None;
    }
    let sum = (high << shift) + low;
    (magnitude_bits(sum) <= NARROW_BITS).then_some((sum, low_exponent))
}

/// A finite double as an odd integer (or zero) and a power of two.
#[inline]
pub(crate) fn split(value: f64) -> (i64, i32) {
    let bits = value.to_bits();
    let biased = ((bits >> 52) & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    let (magnitude, exponent) = if biased == 0 { (fraction, -1074) } else { (fraction | (1 << 52), biased - 1075) };
    if magnitude == 0 {
        return (0, 0);
    }
    let zeros = magnitude.trailing_zeros();
    let odd = (magnitude >> zeros) as i64;
    (if bits >> 63 == 1 { -odd } else { odd }, exponent + zeros as i32)
}

/// `±(magnitude + something in (0,1) if sticky) * 2^exponent`, rounded to nearest, ties to even.
fn compose(negative: bool, magnitude: u128, sticky: bool, exponent: i32) -> f64 {
    if magnitude == 0 {
        return 0.0;
    }
    let bits = 128 - magnitude.leading_zeros() as i32;
    // The exponent of the last bit that the result can hold.
    let last = (exponent + bits - 53).max(-1074);
    let shift = last - exponent;
    let rounded = if shift <= 0 {
        debug_assert!(!sticky, "sticky bits need a magnitude of more than 53 bits");
        magnitude
    } else if shift >= 128 {
        0
    } else {
        let kept = magnitude >> shift;
        let rest = magnitude & ((1u128 << shift) - 1);
        let half = 1u128 << (shift - 1);
        let up = rest > half || (rest == half && (sticky || kept & 1 == 1));
        kept + u128::from(up)
    };
    let exponent = if shift <= 0 { exponent } else { last };
    // At most 53 bits (or exactly 2^53), so the conversion is exact, and so is the scaling.
    let value = libm::ldexp(rounded as f64, exponent);
    if negative { -value } else { value }
}

/// `mantissa * 2^exponent`, rounded once.
pub(crate) fn round_big(mantissa: &BigInt, exponent: i32) -> f64 {
    let magnitude = mantissa.magnitude();
    let bits = magnitude.bits();
    if bits <= 127 {
        let narrow = u128::try_from(magnitude).expect("checked to fit");
        return compose(mantissa.sign() == Sign::Minus, narrow, false, exponent);
    }
    let shift = bits - 120;
    let top = u128::try_from(&(magnitude >> shift)).expect("120 bits");
    let sticky = magnitude.trailing_zeros().is_some_and(|zeros| zeros < shift);
    let exponent = i64::from(exponent) + shift as i64;
    compose(mantissa.sign() == Sign::Minus, top, sticky, exponent.clamp(-100_000, 100_000) as i32)
}

/// `numerator / denominator * 2^exponent`, rounded once. The denominator is positive.
pub(crate) fn round_ratio(numerator: &BigInt, denominator: &BigInt, exponent: i32) -> f64 {
    if numerator.is_zero() {
        return 0.0;
    }
    // Enough quotient bits that only the remainder's being zero or not still matters.
    let shift = (denominator.bits() as i64 - numerator.bits() as i64 + 120).max(0);
    let scaled = numerator.abs() << shift as u64;
    let quotient = &scaled / denominator;
    let exact = (&quotient * denominator) == scaled;
    // A last bit below all others stands for the remainder.
    let mantissa = (quotient << 1u32) + u32::from(!exact);
    let exponent = (i64::from(exponent) - shift - 1) as i32;
    let value = round_big(&mantissa, exponent);
    if numerator.is_negative() { -value } else { value }
}
