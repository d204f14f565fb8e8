//! From an answer to Feast's JSON of it, column by column: the entities' keys first, then the features.

use crate::http::json::{separate, write_map, write_text, write_value};
use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{Datelike, NaiveDate};
use std::fmt::Write;
use thalweg_aggregate::{Status, data_type_of};
use thalweg_definition::DataType;
use thalweg_engine::{FeatureResponse, FeatureResult};

const TAKES: &str = "text takes text";
/// The time of what has none.
const NEVER: &str = "1970-01-01T00:00:00Z";
const MICROS: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;

/// A feature under the name by which it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// As the engine calls it.
    pub reference: String,
    pub shown: String,
    /// The view it is of; none for on-demand features of a service.
    pub view: Option<String>,
}

/// The answer. `with_views` adds the views that were read.
pub fn online_response(response: &FeatureResponse, names: &[Named], with_views: bool) -> String {
    let columns = response.entities.len() + response.results.len();
    let mut out = String::with_capacity(128 + columns * (96 + response.rows * 48));
    out.push_str("{\"results\":[");
    for (index, (_, column)) in response.entities.iter().enumerate() {
        separate(&mut out, index);
        write_key(&mut out, column.as_ref());
    }
    for (index, result) in response.results.iter().enumerate() {
        separate(&mut out, response.entities.len() + index);
        write_result(&mut out, result);
    }
    out.push_str("],\"metadata\":{\"feature_names\":[");
    let keys = response.entities.iter().map(|(name, _)| name.as_str());
    let features = response.results.iter().enumerate().map(|(index, result)| shown(names, index, &result.name));
    for (index, name) in keys.chain(features).enumerate() {
        separate(&mut out, index);
        write_text(&mut out, name);
    }
    out.push(']');
    if with_views {
        write_views(&mut out, names);
    }
    out.push_str("}}");
    out
}

/// The name of a result: nearly always that at its own place.
fn shown<'a>(names: &'a [Named], index: usize, reference: &'a str) -> &'a str {
    let own = names.get(index).filter(|named| named.reference == reference);
    let named = own.or_else(|| names.iter().find(|named| named.reference == reference));
    named.map_or(reference, |named| &named.shown)
}

fn write_views(out: &mut String, names: &[Named]) {
    let mut views: Vec<&str> = Vec::new();
    for view in names.iter().filter_map(|named| named.view.as_deref()) {
        if !views.contains(&view) {
            views.push(view);
        }
    }
    out.push_str(",\"feature_view_metadata\":[");
    for (index, view) in views.into_iter().enumerate() {
        separate(out, index);
        out.push_str("{\"name\":");
        write_text(out, view);
        out.push('}');
    }
    out.push(']');
}

/// A key column is as it was sent: always present, and of no time.
fn write_key(out: &mut String, column: &dyn Array) {
    // A column of another type cannot have been asked for.
    let data_type = data_type_of(column.data_type()).unwrap_or(DataType::String);
    out.push_str("{\"values\":");
    write_list(out, column, &data_type);
    out.push_str(",\"statuses\":[");
    for row in 0..column.len() {
        separate(out, row);
        out.push_str("\"PRESENT\"");
    }
    out.push_str("],\"event_timestamps\":[");
    for row in 0..column.len() {
        separate(out, row);
        write_time(out, None);
    }
    out.push_str("]}");
}

fn write_result(out: &mut String, result: &FeatureResult) {
    out.push_str("{\"values\":[");
    let nested = matches!(result.data_type, DataType::List(_) | DataType::Map(..));
    for (row, status) in result.statuses.iter().enumerate() {
        separate(out, row);
        // Feast's client cannot tell the type of a list or a map without items, and has null for who was never seen.
        if nested && *status == Status::NotFound {
            out.push_str("null");
        } else {
            write_one(out, &result.values, row, &result.data_type);
        }
    }
    out.push_str("],\"statuses\":[");
    for (row, status) in result.statuses.iter().enumerate() {
        separate(out, row);
        write!(out, "\"{}\"", status_name(*status)).expect(TAKES);
    }
    out.push_str("],\"event_timestamps\":[");
    for (row, time) in result.event_times.iter().enumerate() {
        separate(out, row);
        write_time(out, *time);
    }
    out.push_str("]}");
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Present => "PRESENT",
        Status::Null => "NULL_VALUE",
        Status::NotFound => "NOT_FOUND",
        Status::Stale => "OUTSIDE_MAX_AGE",
        Status::Error => "INVALID",
    }
}

fn write_list(out: &mut String, column: &dyn Array, data_type: &DataType) {
    out.push('[');
    for row in 0..column.len() {
        separate(out, row);
        write_one(out, column, row, data_type);
    }
    out.push(']');
}

/// A value as HTTP writes it, except that times are whole seconds since the epoch, which is all that Feast has.
fn write_one(out: &mut String, column: &dyn Array, row: usize, data_type: &DataType) {
    if column.is_null(row) {
        return out.push_str("null");
    }
    match data_type {
        DataType::Timestamp => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            write!(out, "{}", micros.div_euclid(MICROS)).expect(TAKES);
        }
        DataType::List(item) => write_list(out, &column.as_list::<i32>().value(row), item),
        DataType::Map(key, item) => write_map(out, column, row, key, &mut |out, values, entry| {
            write_one(out, values, entry, item);
        }),
        _ => write_value(out, column, row, data_type),
    }
}

/// A time as protobuf writes it in JSON: no fraction, three digits of it, or six.
fn write_time(out: &mut String, time: Option<i64>) {
    out.push('"');
    let seconds = time.map(|micros| micros.div_euclid(MICROS));
    let date = seconds.and_then(|seconds| i32::try_from(seconds.div_euclid(DAY_SECONDS)).ok());
    // Neither protobuf nor Python has other years.
    let date = date.and_then(NaiveDate::from_epoch_days).filter(|date| (1..=9999).contains(&date.year()));
    match (time, seconds, date) {
        (Some(micros), Some(seconds), Some(date)) => {
            let of_day = seconds.rem_euclid(DAY_SECONDS) as u32;
            digits(out, date.year() as u32, 4);
            for (mark, part) in [('-', date.month()), ('-', date.day())] {
                out.push(mark);
                digits(out, part, 2);
            }
            for (mark, part) in [('T', of_day / 3600), (':', of_day / 60 % 60), (':', of_day % 60)] {
                out.push(mark);
                digits(out, part, 2);
            }
            write_fraction(out, micros.rem_euclid(MICROS) as u32);
            out.push('Z');
        }
        _ => out.push_str(NEVER),
    }
    out.push('"');
}

fn write_fraction(out: &mut String, micros: u32) {
    match (micros, micros % 1000) {
        (0, _) => {}
        (_, 0) => {
            out.push('.');
            digits(out, micros / 1000, 3);
        }
        _ => {
            out.push('.');
            digits(out, micros, 6);
        }
    }
}

fn digits(out: &mut String, number: u32, width: u32) {
    for place in (0..width).rev() {
        out.push(char::from(b'0' + (number / 10u32.pow(place) % 10) as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use serde_json::{Value as Json, json};
    use std::sync::Arc;
    use thalweg_aggregate::{Value, array_from_values};

    fn time(micros: Option<i64>) -> String {
        let mut out = String::new();
        write_time(&mut out, micros);
        out
    }

    #[test]
    fn times_are_as_protobuf_writes_them() {
        const NOON: i64 = 1_714_564_800_000_000;
        assert_eq!(time(None), "\"1970-01-01T00:00:00Z\"");
        assert_eq!(time(Some(NOON)), "\"2024-05-01T12:00:00Z\"");
        assert_eq!(time(Some(NOON + 120_000)), "\"2024-05-01T12:00:00.120Z\"");
        assert_eq!(time(Some(NOON + 7)), "\"2024-05-01T12:00:00.000007Z\"");
        assert_eq!(time(Some(-1)), "\"1969-12-31T23:59:59.999999Z\"");
        assert_eq!(time(Some(i64::MAX)), "\"1970-01-01T00:00:00Z\"");
        assert_eq!(time(Some(-62_135_596_800_000_000)), "\"0001-01-01T00:00:00Z\"");
        assert_eq!(time(Some(-62_135_596_800_000_001)), "\"1970-01-01T00:00:00Z\"");
    }

    fn written(values: &[Value], data_type: &DataType) -> Json {
        let mut out = String::new();
        write_list(&mut out, &array_from_values(values.iter(), data_type), data_type);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    #[test]
    fn values_are_as_feasts_server_writes_them() {
        assert_eq!(written(&[Value::Int(1_500_000), Value::Null], &DataType::Timestamp), json!([1, null]));
        assert_eq!(written(&[Value::Int(-1)], &DataType::Timestamp), json!([-1]));
        assert_eq!(written(&[Value::Float(f64::NAN)], &DataType::Float64), json!(["NaN"]));
        assert_eq!(written(&[Value::Bytes(b"abc".as_slice().into())], &DataType::Bytes), json!(["YWJj"]));
        let times = DataType::List(Box::new(DataType::Timestamp));
        assert_eq!(written(&[Value::List(vec![Value::Int(2_000_000)])], &times), json!([[2]]));
        let map = DataType::Map(Box::new(DataType::Int64), Box::new(DataType::Timestamp));
        assert_eq!(written(&[Value::Map(vec![(Value::Int(7), Value::Int(3_000_000))])], &map), json!([{"7": 3}]));
    }

    #[test]
    fn keys_come_first_and_every_status_has_its_name() {
        let statuses = vec![Status::Present, Status::Null, Status::NotFound, Status::Stale, Status::Error];
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]));
        let values = [Value::Int(8), Value::Null, Value::Int(0), Value::Null, Value::Null];
        let result = FeatureResult {
            name: "card.count".to_owned(),
            data_type: DataType::Int64,
            values: array_from_values(values.iter(), &DataType::Int64),
            event_times: vec![Some(MICROS), None, None, None, None],
            statuses,
            errors: vec![(4, "past the int64 range".to_owned())],
        };
        let response = FeatureResponse {
            as_of: 0,
            cut: 0,
            manifest_hash: String::new(),
            service: None,
            log_sample: 0.0,
            rows: 5,
            results: vec![result],
            entities: vec![("card".to_owned(), keys)],
            request: Vec::new(),
            finishing: None,
        };
        let (reference, view) = ("card.count".to_owned(), Some("card".to_owned()));
        let names = [Named { reference, shown: "card__count".to_owned(), view }];
        let json: Json = serde_json::from_str(&online_response(&response, &names, true)).unwrap();
        let (never, views) = ("1970-01-01T00:00:00Z", json!([{"name": "card"}]));
        assert_eq!(json["metadata"], json!({"feature_names": ["card", "card__count"], "feature_view_metadata": views}));
        assert_eq!(json["results"][0]["values"], json!([1, 2, 3, 4, 5]));
        assert_eq!(json["results"][0]["statuses"], json!(vec!["PRESENT"; 5]));
        assert_eq!(
            json["results"][1],
            json!({
                "values": [8, null, 0, null, null],
                "statuses": ["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE", "INVALID"],
                "event_timestamps": ["1970-01-01T00:00:01Z", never, never, never, never],
            })
        );
    }
}
