//! Lengths of time as people write them: `90s`, `1h`, `7d`, `2w`, `500ms`, `1h30m`.

use std::fmt;
use std::str::FromStr;

/// A length of time in microseconds, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(i64);

/// Longest duration: a thousand years, so that adding one to a time never overflows.
const LONGEST: i64 = 1000 * 366 * DAY;
pub const SECOND: i64 = 1_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

const UNITS: [(&str, i64); 7] =
    [("w", 7 * DAY), ("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", 1000), ("us", 1)];

impl Duration {
    pub const fn from_micros(micros: i64) -> Self {
        assert!(micros >= 0);
        Self(micros)
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    pub fn is_whole_days(self) -> bool {
        self.0 > 0 && self.0 % DAY == 0
    }
}

impl fmt::Display for Duration {
    /// The canonical form: each unit from days down at most once (`7d`, `1h30m`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, size) in &UNITS[1..] {
            if rest >= *size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text.trim()).map(Self).ok_or_else(|| {
            format!("`{text}` is not a duration: write a number and a unit, such as 90s, 15m, 1h, 7d or 1h30m")
        })
    }
}

fn parse(mut text: &str) -> Option<i64> {
    let mut total = 0i64;
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = text[..digits].parse().ok()?;
        let rest = &text[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (_, size) = UNITS.iter().find(|(unit, _)| *unit == &rest[..end])?;
        total = total.checked_add(number.checked_mul(*size)?)?;
        text = &rest[end..];
    }
    (total <= LONGEST).then_some(total)
}
