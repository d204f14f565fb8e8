//! The kinds of values that settings have, each read from the text that people write and shown the same way.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// An amount of bytes: `512MB`, `1GiB`, or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(u64);

/// Larger ones first, binary before decimal, so that an amount shows in the largest unit that divides it.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1000),
    ("B", 1),
];

impl Bytes {
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) =
            UNITS.iter().find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size)).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a size: write a number and a unit, such as 512MB or 1GiB");
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = (&trimmed[..end], trimmed[end..].trim());
        let size = match unit {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(bad)?.1,
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(size).map(Self).ok_or_else(bad);
        }
        let bytes = number.parse::<f64>().map_err(|_| bad())? * size as f64;
        if bytes < 1e18 { Ok(Self(bytes as u64)) } else { Err(bad()) }
    }
}

/// A length of time: `500ms`, `30s`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(thalweg_definition::Duration);

impl Period {
    pub const fn from_millis(millis: i64) -> Self {
        Self(thalweg_definition::Duration::from_micros(millis * 1000))
    }

    pub const fn from_secs(seconds: i64) -> Self {
        Self(thalweg_definition::Duration::from_micros(seconds * 1_000_000))
    }

    pub const fn micros(self) -> i64 {
        self.0.micros()
    }

    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0.micros() as u64)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration: thalweg_definition::Duration = text.parse()?;
        if duration.micros() == 0 {
            return Err(format!("`{text}` is no time at all: write a longer one"));
        }
        Ok(Self(duration))
    }
}

/// What time it is for the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The machine's.
    System,
    /// That of the latest event accepted: history replays as if it were live.
    Events,
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::Events => "events",
        })
    }
}

impl FromStr for Clock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "system" => Ok(Self::System),
            "events" => Ok(Self::Events),
            _ => Err(format!("`{text}` is not a clock: write system or events")),
        }
    }
}

/// The form of the lines that the server writes about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{text}` is not a form of log: write text or json")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_they_show() {
        for (text, bytes, shown) in [
            ("1GB", 1_000_000_000, "1GB"),
            ("512 MB", 512_000_000, "512MB"),
            ("1gib", 1 << 30, "1GiB"),
            ("1.5KB", 1500, "1500B"),
            ("17", 17, "17B"),
            ("0", 0, "0B"),
        ] {
            let size: Bytes = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, shown), "{text}");
            assert_eq!(shown.parse::<Bytes>().unwrap(), size);
        }
        for text in ["", "GB", "1XB", "-1GB", "1..2MB", "99999999999TB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }
}
