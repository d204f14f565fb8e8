//! Documents of the instance, which are JSON, as messages: `google.protobuf.Struct` as a whole, or field by field.

use chrono::NaiveDateTime;
use prost_types::value::Kind;
use prost_types::{ListValue, NullValue, Struct, Value};
use serde_json::Value as Json;
use thalweg_engine::literal::timestamp;

/// An object as a whole. Its numbers are doubles, as everywhere in a `Struct`.
pub fn document(json: Json) -> Struct {
    match json {
        Json::Object(fields) => Struct { fields: fields.into_iter().map(|(name, json)| (name, value(json))).collect() },
        _ => Struct::default(),
    }
}

fn value(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(NullValue::NullValue.into()),
        Json::Bool(own) => Kind::BoolValue(own),
        Json::Number(own) => Kind::NumberValue(own.as_f64().unwrap_or(f64::NAN)),
        Json::String(own) => Kind::StringValue(own),
        Json::Array(items) => Kind::ListValue(ListValue { values: items.into_iter().map(value).collect() }),
        object @ Json::Object(_) => Kind::StructValue(document(object)),
    };
    Value { kind: Some(kind) }
}

/// A field that is text, or empty.
pub fn text(document: &Json, field: &str) -> String {
    document[field].as_str().unwrap_or_default().to_owned()
}

/// A field that is a whole number, or 0.
pub fn number(document: &Json, field: &str) -> u64 {
    document[field].as_u64().unwrap_or_default()
}

/// A field that is a time, in microseconds; none where it is null.
pub fn micros(document: &Json, field: &str) -> Option<i64> {
    document[field].as_str().and_then(written_time)
}

/// The microseconds of a time that the server wrote: what has no year of four digits has a sign, and what no calendar
/// has is a number, neither of which is taken from outside.
pub fn written_time(text: &str) -> Option<i64> {
    let signed = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.fZ").ok();
    let signed = || signed().map(|time| time.and_utc().timestamp_micros());
    timestamp(text).or_else(signed).or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_keep_their_shape() {
        let own = document(json!({"a": [1, null, {"b": "x"}], "c": true, "d": 0.5}));
        let Some(Kind::ListValue(list)) = &own.fields["a"].kind else { panic!("{own:?}") };
        assert_eq!(list.values[0].kind, Some(Kind::NumberValue(1.0)));
        assert_eq!(list.values[1].kind, Some(Kind::NullValue(0)));
        let Some(Kind::StructValue(inner)) = &list.values[2].kind else { panic!("{list:?}") };
        assert_eq!(inner.fields["b"].kind, Some(Kind::StringValue("x".to_owned())));
        assert_eq!(own.fields["c"].kind, Some(Kind::BoolValue(true)));
        assert_eq!(own.fields["d"].kind, Some(Kind::NumberValue(0.5)));
        assert_eq!(document(Json::Null), Struct::default());
    }

    #[test]
    fn every_time_that_is_written_is_read() {
        let nines = 253_402_300_799_999_999;
        for micros in [0, -1, 1, nines, nines + 1, -62_135_596_800_000_001, -99_999_999_999_999_999] {
            let text = thalweg_engine::literal::timestamp_text(micros);
            assert_eq!(written_time(&text), Some(micros), "{text}");
        }
        for micros in [i64::MIN, i64::MAX] {
            assert_eq!(written_time(&thalweg_engine::literal::timestamp_text(micros)), Some(micros));
        }
        assert_eq!(written_time("soon"), None);
    }

    #[test]
    fn fields_are_read_by_name() {
        let own = json!({"name": "s", "read": 7, "at": "1970-01-01T00:00:01.000000Z", "none": null});
        assert_eq!((text(&own, "name").as_str(), text(&own, "none").as_str()), ("s", ""));
        assert_eq!((number(&own, "read"), number(&own, "missing")), (7, 0));
        assert_eq!((micros(&own, "at"), micros(&own, "none")), (Some(1_000_000), None));
    }
}
