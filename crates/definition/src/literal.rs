//! Values of plain types as definitions and requests write them. There is one parser, so that what validation takes for
//! a value of a column's type is one to whoever holds rows against it.

use crate::types::DataType;
use base64::Engine as _;
use chrono::{DateTime, NaiveDate, NaiveDateTime};

/// Most digits of a decimal as a literal, zeros in front and those of its scale included.
const MAX_DECIMAL_DIGITS: usize = 77;

/// The value that a literal stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Bool(bool),
    /// Of an integer; a date's days or a timestamp's microseconds since the epoch.
    Int(i64),
    /// Finite, and of a float32 one that it can hold.
    Float(f64),
    /// Unscaled.
    Decimal(i128),
    /// Of text or bytes.
    Bytes(Vec<u8>),
}

/// The value of `text` as one of the type: numbers in decimal, `true` or `false`, `2024-05-01`, `2024-05-01T12:00:00Z`,
/// bytes in base64. Lists, vectors and maps have no literals. The error says what to write.
pub fn parse_literal(text: &str, data_type: &DataType) -> Result<Literal, String> {
    let literal = match data_type {
        DataType::Bool => text.parse().ok().map(Literal::Bool),
        DataType::Int32 => text.parse::<i32>().ok().map(|value| Literal::Int(value.into())),
        DataType::Int64 => text.parse().ok().map(Literal::Int),
        DataType::Float32 => {
            text.parse::<f32>().ok().filter(|value| value.is_finite()).map(|value| Literal::Float(value.into()))
        }
        DataType::Float64 => text.parse::<f64>().ok().filter(|value| value.is_finite()).map(Literal::Float),
        DataType::Decimal(precision, scale) => decimal(text, *precision, *scale).map(Literal::Decimal),
        DataType::String => Some(Literal::Bytes(text.as_bytes().to_vec())),
        DataType::Bytes => base64::engine::general_purpose::STANDARD.decode(text).ok().map(Literal::Bytes),
        DataType::Date => {
            let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
            date.map(|date| Literal::Int(date.to_epoch_days().into()))
        }
        DataType::Timestamp => parse_timestamp(text).map(Literal::Int),
        DataType::List(_) | DataType::Vector(_) | DataType::Map(..) => None,
    };
    literal.ok_or_else(|| match data_type {
        DataType::Date => format!("`{text}` is not a {data_type}: write YYYY-MM-DD"),
        DataType::Timestamp => format!("`{text}` is not a {data_type}: write ISO 8601 such as 2024-05-01T12:00:00Z"),
        DataType::Bytes => format!("`{text}` is not a {data_type}: write base64"),
        _ => format!("`{text}` is not a {data_type}"),
    })
}

/// Whether `text` is a literal of the type.
pub fn parse_literal_ok(data_type: &DataType, text: &str) -> bool {
    parse_literal(text, data_type).is_ok()
}

/// Microseconds since the epoch of an ISO 8601 time; without an offset it is UTC.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.timestamp_micros());
    }
    // Years of more than four digits, which RFC 3339 has not, may be in UTC as well.
    let plain = text.strip_suffix('Z').unwrap_or(text);
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f%:z"] {
        if let Ok(at) = DateTime::parse_from_str(text, format) {
            return Some(at.timestamp_micros());
        }
        if let Ok(at) = NaiveDateTime::parse_from_str(plain, format) {
            return Some(at.and_utc().timestamp_micros());
        }
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}

/// The unscaled value; none where digits would be lost.
fn decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let scale = usize::from(scale);
    if (whole.is_empty() && fraction.is_empty())
        || !all_digits(whole)
        || !all_digits(fraction)
        || whole.len() + scale > MAX_DECIMAL_DIGITS
    {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    if fraction.len() > scale || whole.len() > usize::from(precision).saturating_sub(scale) {
        return None;
    }
    let value: i128 = format!("0{whole}{fraction:0<scale$}").parse().ok()?;
    Some(if negative { -value } else { value })
}
