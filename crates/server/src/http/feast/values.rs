//! From Feast's JSON of a value to the engine's: times are seconds since the epoch, and numbers and their text stand
//! for each other, as they do where Feast converts a value to its declared type.

use arrow::array::{ArrayRef, Int64Array, StringArray};
use serde_json::Value as Json;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;
use thalweg_aggregate::{Value, array_from_values};
use thalweg_definition::DataType;
use thalweg_engine::literal::from_json;

/// What Feast's client sends for a time that is null: numpy's "not a time" as a number.
const NO_TIME: &str = "-9223372036854775808";

/// A list of values as a column of a type. The error says what was expected.
pub fn column(values: &RawValue, data_type: &DataType) -> Result<ArrayRef, String> {
    // Nearly all keys are one of these, and are as their type wants them.
    match data_type {
        DataType::Int64 => {
            if let Ok(values) = serde_json::from_str::<Vec<Option<i64>>>(values.get()) {
                return Ok(Arc::new(Int64Array::from(values)));
            }
        }
        DataType::String => {
            if let Ok(values) = serde_json::from_str::<Vec<Option<String>>>(values.get()) {
                return Ok(Arc::new(StringArray::from(values)));
            }
        }
        _ => {}
    }
    let values: Vec<&RawValue> =
        serde_json::from_str(values.get()).map_err(|_| format!("write a list of {data_type} values"))?;
    let values = values
        .into_iter()
        .enumerate()
        .map(|(row, raw)| value(raw.get(), data_type).map_err(|why| format!("value {row}: {why}")))
        .collect::<Result<Vec<Value>, String>>()?;
    Ok(array_from_values(values.iter(), data_type))
}

fn value(raw: &str, data_type: &DataType) -> Result<Value, String> {
    let json: Json = serde_json::from_str(&plain(raw, data_type)).map_err(|error| error.to_string())?;
    from_json(&json, data_type)
}

/// A value's JSON in the form that the engine reads. What stays wrong is left as it is, for the engine to refuse.
pub fn plain<'a>(raw: &'a str, data_type: &DataType) -> Cow<'a, str> {
    let is_number = raw.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    match data_type {
        DataType::Timestamp if raw == NO_TIME => "null".into(),
        // As text, a number of seconds past all times is refused like any other text that is no time.
        DataType::Timestamp if is_number => {
            micros(raw).map_or_else(|| format!("\"{raw}\""), |micros| micros.to_string()).into()
        }
        DataType::Int32 | DataType::Int64 => {
            let text = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            match text.and_then(|text| text.trim().parse::<i64>().ok()) {
                Some(whole) => whole.to_string().into(),
                None => raw.into(),
            }
        }
        DataType::String if is_number => format!("\"{raw}\"").into(),
        DataType::List(item) => match serde_json::from_str::<Vec<&RawValue>>(raw) {
            Ok(items) => list(&items, item).into(),
            Err(_) => raw.into(),
        },
        _ => raw.into(),
    }
}

fn list(items: &[&RawValue], item: &DataType) -> String {
    let items: Vec<Cow<'_, str>> = items.iter().map(|raw| plain(raw.get(), item)).collect();
    format!("[{}]", items.join(","))
}

/// Microseconds of seconds since the epoch.
fn micros(raw: &str) -> Option<i64> {
    if let Ok(seconds) = raw.parse::<i64>() {
        return seconds.checked_mul(1_000_000);
    }
    let micros = (raw.parse::<f64>().ok()? * 1e6).round();
    (micros.abs() < i64::MAX as f64).then_some(micros as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};

    #[test]
    fn numbers_and_their_text_stand_for_each_other() {
        let of = |raw, data_type| plain(raw, &data_type).into_owned();
        assert_eq!(of("\"17\"", DataType::Int64), "17");
        assert_eq!(of("\"x\"", DataType::Int64), "\"x\"");
        assert_eq!(of("17", DataType::String), "\"17\"");
        assert_eq!(of("true", DataType::String), "true");
        assert_eq!(of("1714564800", DataType::Timestamp), "1714564800000000");
        assert_eq!(of("0.5", DataType::Timestamp), "500000");
        assert_eq!(of("9223372036854775807", DataType::Timestamp), "\"9223372036854775807\"");
        assert_eq!(of("-9223372036854775808", DataType::Timestamp), "null");
        assert_eq!(of("\"2024-05-01\"", DataType::Timestamp), "\"2024-05-01\"");
        let times = DataType::List(Box::new(DataType::Timestamp));
        assert_eq!(of("[ 1, null , -2]", times), "[1000000,null,-2000000]");
        assert_eq!(of("0.1", DataType::Float64), "0.1");
    }

    #[test]
    fn columns_have_the_type_of_what_they_are_for() {
        let of = |text: &str, data_type: DataType| -> Result<ArrayRef, String> {
            column(&RawValue::from_string(text.to_owned()).unwrap(), &data_type)
        };
        let whole = of("[1, null, 3]", DataType::Int64).unwrap();
        assert_eq!((whole.as_primitive::<Int64Type>().value(2), whole.is_null(1)), (3, true));
        let told = of("[1, \"2\"]", DataType::Int64).unwrap();
        assert_eq!(told.as_primitive::<Int64Type>().value(1), 2);
        assert_eq!(of("[7, \"x\"]", DataType::String).unwrap().as_string::<i32>().value(0), "7");
        let times = of("[60]", DataType::Timestamp).unwrap();
        assert_eq!(times.as_primitive::<TimestampMicrosecondType>().value(0), 60_000_000);
        assert!(of("[1, 1.5]", DataType::Int64).unwrap_err().contains("value 1: expected a whole number"));
        assert!(of("[true]", DataType::String).unwrap_err().contains("expected a string"));
    }
}
