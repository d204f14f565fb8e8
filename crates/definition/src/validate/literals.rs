//! Literals in a column's contract (`min`, `max`, `allowed`): whether they are values of the column's type.

use super::{Problems, names};
use crate::model::Column;
use crate::types::DataType;
use chrono::{DateTime, NaiveDate, NaiveDateTime};

/// Whether `text` is a value of the type: numbers in decimal, `true` or `false`, `2024-05-01`,
/// `2024-05-01T12:00:00Z`, bytes in base64. Lists, vectors and maps have no literals.
pub fn parse_literal_ok(data_type: &DataType, text: &str) -> bool {
    match data_type {
        DataType::Bool => matches!(text, "true" | "false"),
        DataType::Int32 => text.parse::<i32>().is_ok(),
        DataType::Int64 => text.parse::<i64>().is_ok(),
        DataType::Float32 => text.parse::<f32>().is_ok_and(f32::is_finite),
        DataType::Float64 => text.parse::<f64>().is_ok_and(f64::is_finite),
        DataType::Decimal(precision, scale) => is_decimal(text, usize::from(*precision), usize::from(*scale)),
        DataType::String => true,
        DataType::Bytes => is_base64(text),
        DataType::Date => NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok(),
        DataType::Timestamp => is_timestamp(text),
        DataType::List(_) | DataType::Vector(_) | DataType::Map(..) => false,
    }
}

/// The rules of a column wherever one is declared; `owner` is the object it belongs to.
pub(super) fn check_columns(owner: &str, columns: &[Column], problems: &mut Problems<'_>) {
    let mut seen = Vec::new();
    for column in columns {
        let object = format!("{owner}.{}", column.name);
        names::check_name(&object, &column.name, problems);
        names::check_unique(&object, &column.name, &mut seen, problems);
        if matches!(column.data_type, DataType::Map(..)) {
            problems.add(&object, "a column cannot be a map", "use a list, or one column per key");
        }
        check_contract(&object, column, problems);
    }
}

fn check_contract(object: &str, column: &Column, problems: &mut Problems<'_>) {
    let data_type = &column.data_type;
    let bounds = [("min", column.min.as_ref()), ("max", column.max.as_ref())];
    let literals = bounds.into_iter().filter_map(|(role, bound)| bound.map(|bound| (role, bound)));
    for (role, literal) in literals.chain(column.allowed.iter().map(|literal| ("allowed", literal))) {
        if !data_type.is_ordered() {
            let rule = format!("`{role}` needs a plain type, and the column is {data_type}");
            problems.add(object, rule, format!("remove `{role}`"));
            return;
        }
        if !parse_literal_ok(data_type, literal) {
            let rule = format!("`{role}` is `{literal}`, which is not a {data_type}");
            problems.add(object, rule, format!("write a literal of type {data_type}"));
        }
    }
    if let (Some(min), Some(max)) = (&column.min, &column.max)
        && data_type.is_numeric()
        && let (Ok(low), Ok(high)) = (min.parse::<f64>(), max.parse::<f64>())
        && low > high
    {
        problems.add(object, format!("`min` {min} is above `max` {max}"), "swap the two");
    }
}

fn is_decimal(text: &str, precision: usize, scale: usize) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    !(whole.is_empty() && fraction.is_empty())
        && all_digits(whole)
        && all_digits(fraction)
        && fraction.len() <= scale
        && whole.trim_start_matches('0').len() <= precision.saturating_sub(scale)
}

fn is_base64(text: &str) -> bool {
    let data = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && text.len() - data.len() <= 2
        && data.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/')
}

fn is_timestamp(text: &str) -> bool {
    DateTime::parse_from_rfc3339(text).is_ok()
        || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").is_ok()
        || NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").is_ok()
        || NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}
