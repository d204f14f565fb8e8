//! `thalweg.v1.Direct`: the engine API, one value of one entity at a time. Values cross to the session in the forms of
//! JSON, so that all doors read and write them alike.

use super::documents::written_time;
use super::gate::{Call, Threads};
use super::v1::direct_get_response::Answer;
use super::v1::direct_server::Direct;
use super::v1::direct_value::{Bools, Doubles, Ints, Strings, Timestamps, Value as Own};
use super::v1::key_scalar::Value as Key;
use super::v1::{
    DirectGetRequest, DirectGetResponse, DirectKey, DirectReading, DirectReadings, DirectValue, DirectWriteRequest,
    DirectWriteResponse, FeatureDescriptorRequest, FeatureDescriptorResponse, FeatureStatus, KeyScalar,
};
use crate::error::ServerError;
use crate::instance::direct::{DirectAnswer, DirectDescriptor, DirectOperation, DirectWrite, Selector};
use crate::session::Session;
use base64::Engine as _;
use prost::Message;
use serde_json::{Number, Value as Json};
use std::borrow::Cow;
use std::collections::HashMap;
use thalweg_aggregate::Value;
use thalweg_definition::DataType;
use thalweg_engine::literal::from_json;
use thalweg_engine::{Runtime, Wanted};
use tonic::{Request, Response, Status};

pub struct DirectCalls;

#[tonic::async_trait]
impl Direct for DirectCalls {
    async fn feature_descriptor(
        &self,
        request: Request<FeatureDescriptorRequest>,
    ) -> Result<Response<FeatureDescriptorResponse>, Status> {
        Call::answer(request, |session, asked| Ok(described(session.direct_descriptor(&asked.selector)?))).await
    }

    /// On the spot, unless the value may have to be fetched.
    async fn get(&self, request: Request<DirectGetRequest>) -> Result<Response<DirectGetResponse>, Status> {
        let call = Call::of(&request)?;
        let message = request.into_inner();
        let held = call.hold(message.encoded_len())?;
        let session = call.session.clone();
        let runtime = session.runtime()?;
        if !may_block(&runtime, &message.selector) {
            return Ok(Response::new(read(&session, message)?));
        }
        let answer = call.blocking(Threads::Work, move || {
            let _held = held;
            read(&session, message)
        });
        Ok(Response::new(answer.await?))
    }

    async fn set(&self, request: Request<DirectWriteRequest>) -> Result<Response<DirectWriteResponse>, Status> {
        write(request, DirectOperation::Set).await
    }

    async fn append(&self, request: Request<DirectWriteRequest>) -> Result<Response<DirectWriteResponse>, Status> {
        write(request, DirectOperation::Append).await
    }

    async fn incr(&self, request: Request<DirectWriteRequest>) -> Result<Response<DirectWriteResponse>, Status> {
        write(request, DirectOperation::Incr).await
    }

    async fn update(&self, request: Request<DirectWriteRequest>) -> Result<Response<DirectWriteResponse>, Status> {
        write(request, DirectOperation::Update).await
    }
}

/// What does not exist is refused without a wait.
fn may_block(runtime: &Runtime, selector: &str) -> bool {
    let Ok(selector) = Selector::parse(selector) else { return false };
    let Some(feature) = runtime.checked.manifest.direct(selector.feature) else { return false };
    let Ok(outputs) = selector.outputs(feature) else { return false };
    let object = feature.object_name();
    let names = outputs.iter().map(|selected| format!("{object}.{}", selected.output));
    runtime.may_block(&Wanted::Features(names.collect()))
}

fn read(session: &Session, asked: DirectGetRequest) -> Result<DirectGetResponse, ServerError> {
    let (answer, types) = session.direct_get_typed(&asked.selector, &keys(asked.keys), asked.as_of)?;
    answered(answer, &types, asked.selector.contains('+'))
}

async fn write(
    request: Request<DirectWriteRequest>,
    operation: DirectOperation,
) -> Result<Response<DirectWriteResponse>, Status> {
    let call = Call::of(&request)?;
    let message = request.into_inner();
    let held = call.hold(message.encoded_len())?;
    let session = call.session.clone();
    let writing = call.blocking(Threads::Pushes, move || {
        let _held = held;
        session.direct_write(DirectWrite {
            selector: message.selector,
            keys: keys(message.keys),
            operation,
            value: message.value.and_then(|value| value.value).map_or(Json::Null, json_of),
            at: message.timestamp,
            idempotency_key: (!message.idempotency_key.is_empty()).then_some(message.idempotency_key),
        })
    });
    let ack = writing.await?;
    Ok(Response::new(DirectWriteResponse { sequence: ack.sequence, was_repeated: ack.repeated, at: ack.at }))
}

fn described(descriptor: DirectDescriptor) -> FeatureDescriptorResponse {
    let keys = descriptor.keys.into_iter().map(|key| DirectKey { name: key.name, r#type: key.data_type });
    FeatureDescriptorResponse {
        selector: descriptor.selector,
        namespace: descriptor.namespace,
        name: descriptor.name,
        entity: descriptor.entity,
        keys: keys.collect(),
        primitive: descriptor.primitive,
        aggregations: descriptor.aggregations,
        over: descriptor.over.unwrap_or_default(),
        keep_previous: descriptor.keep_previous,
        freshness: descriptor.freshness.unwrap_or_default(),
        staleness: descriptor.staleness.unwrap_or_default(),
        timeout: descriptor.timeout.unwrap_or_default(),
        fetch: descriptor.fetch,
    }
}

fn keys(given: HashMap<String, KeyScalar>) -> Vec<(String, Json)> {
    let json = |key: KeyScalar| match key.value {
        None => Json::Null,
        Some(Key::IntValue(value)) => value.into(),
        Some(Key::DoubleValue(value)) => float(value),
        Some(Key::StringValue(value)) => value.into(),
        Some(Key::BoolValue(value)) => value.into(),
        Some(Key::TimestampValue(micros)) => micros.into(),
        Some(Key::BytesValue(bytes)) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
    };
    given.into_iter().map(|(name, key)| (name, json(key))).collect()
}

fn json_of(value: Own) -> Json {
    match value {
        Own::IntValue(value) => value.into(),
        Own::DoubleValue(value) => float(value),
        Own::StringValue(value) => value.into(),
        Own::BoolValue(value) => value.into(),
        Own::TimestampValue(micros) => micros.into(),
        Own::Ints(list) => list.values.into(),
        Own::Doubles(list) => list.values.into_iter().map(float).collect(),
        Own::Strings(list) => list.values.into(),
        Own::Bools(list) => list.values.into(),
        Own::Timestamps(list) => list.values.into(),
    }
}

/// JSON has words for what it has no numbers for.
fn float(value: f64) -> Json {
    match Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

/// An answer as a message; `one` says that the selector names a single aggregation.
fn answered(answer: DirectAnswer, types: &[String], one: bool) -> Result<DirectGetResponse, ServerError> {
    let mut readings = Vec::with_capacity(answer.values.len());
    for (own, data_type) in answer.values.into_iter().zip(types) {
        let status = FeatureStatus::from_str_name(&format!("FEATURE_STATUS_{}", own.status));
        let reading = DirectReading {
            value: Some(typed(&own.value, data_type)?),
            status: status.unwrap_or_default().into(),
            event_time: own.event_time,
        };
        readings.push((own.aggregation, reading));
    }
    let whole = readings.len() != 1 || (readings[0].0.is_some() && !one);
    let answer_as = if whole {
        let readings = readings.into_iter().map(|(aggregation, reading)| (aggregation.unwrap_or_default(), reading));
        Some(Answer::Aggregations(DirectReadings { readings: readings.collect() }))
    } else {
        readings.pop().map(|(_, reading)| Answer::Value(reading))
    };
    Ok(DirectGetResponse { as_of: answer.as_of, answer: answer_as })
}

/// A value by its type, such as `int64` or `list<float64>`.
fn typed(json: &Json, data_type: &str) -> Result<DirectValue, ServerError> {
    let no_form = |why: String| ServerError::Internal(format!("a {data_type} has no form in a message: {why}"));
    let parsed: DataType = data_type.parse().map_err(no_form)?;
    let value = match from_json(&timed(json, &parsed), &parsed).map_err(no_form)? {
        Value::Null => None,
        Value::List(items) => Some(list(items, &parsed).map_err(no_form)?),
        item => Some(match (&parsed, item) {
            (DataType::Timestamp, Value::Int(micros)) => Own::TimestampValue(micros),
            (_, Value::Int(value)) => Own::IntValue(value),
            (_, Value::Float(value)) => Own::DoubleValue(value),
            (_, Value::Bool(value)) => Own::BoolValue(value),
            (_, Value::Bytes(text)) => Own::StringValue(String::from_utf8_lossy(&text).into_owned()),
            _ => return Err(no_form("it is no primitive".to_owned())),
        }),
    };
    Ok(DirectValue { value })
}

/// Times as numbers: those of years without four digits are written as text that is not taken from outside.
fn timed<'a>(json: &'a Json, data_type: &DataType) -> Cow<'a, Json> {
    match (data_type, json) {
        (DataType::Timestamp, Json::String(text)) => {
            written_time(text).map_or(Cow::Borrowed(json), |micros| Cow::Owned(micros.into()))
        }
        (DataType::List(item), Json::Array(items)) if **item == DataType::Timestamp => {
            Cow::Owned(items.iter().map(|json| timed(json, item).into_owned()).collect())
        }
        _ => Cow::Borrowed(json),
    }
}

fn list(items: Vec<Value>, data_type: &DataType) -> Result<Own, String> {
    fn all<T>(items: Vec<Value>, own: impl Fn(Value) -> Option<T>) -> Result<Vec<T>, String> {
        let items = items.into_iter().map(|item| own(item).ok_or_else(|| "an item of the list is null".to_owned()));
        items.collect()
    }
    let int = |item: Value| if let Value::Int(value) = item { Some(value) } else { None };
    let DataType::List(item) = data_type else { return Err("it is no list".to_owned()) };
    Ok(match **item {
        DataType::Timestamp => Own::Timestamps(Timestamps { values: all(items, int)? }),
        DataType::Int64 => Own::Ints(Ints { values: all(items, int)? }),
        DataType::Float64 => {
            let float = |item: Value| if let Value::Float(value) = item { Some(value) } else { None };
            Own::Doubles(Doubles { values: all(items, float)? })
        }
        DataType::Bool => {
            let bool = |item: Value| if let Value::Bool(value) = item { Some(value) } else { None };
            Own::Bools(Bools { values: all(items, bool)? })
        }
        DataType::String => {
            let text = |item: Value| match item {
                Value::Bytes(text) => Some(String::from_utf8_lossy(&text).into_owned()),
                _ => None,
            };
            Own::Strings(Strings { values: all(items, text)? })
        }
        _ => return Err("its items are no primitives".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::direct::DirectValue as Read;

    #[test]
    fn values_cross_in_both_directions() {
        let same = |own: Own, data_type: &str| {
            let json = json_of(own.clone());
            let back = typed(&json, data_type).unwrap_or_else(|error| panic!("{json}: {error}"));
            assert_eq!(back.value, Some(own), "{data_type}");
        };
        same(Own::IntValue(i64::MIN), "int64");
        same(Own::DoubleValue(f64::NEG_INFINITY), "float64");
        same(Own::DoubleValue(5e-324), "float64");
        same(Own::StringValue("NaN".to_owned()), "string");
        same(Own::BoolValue(false), "bool");
        same(Own::TimestampValue(-1), "timestamp");
        same(Own::Ints(Ints { values: vec![1, -1] }), "list<int64>");
        same(Own::Doubles(Doubles { values: vec![0.1, f64::INFINITY] }), "list<float64>");
        same(Own::Strings(Strings { values: vec![String::new()] }), "list<string>");
        same(Own::Bools(Bools { values: vec![true] }), "list<bool>");
        same(Own::Timestamps(Timestamps { values: vec![i64::MAX] }), "list<timestamp>");
        same(Own::Ints(Ints { values: Vec::new() }), "list<int64>");
        let Some(Own::DoubleValue(zero)) = typed(&float(-0.0), "float64").unwrap().value else { panic!("no double") };
        assert_eq!(zero.to_bits(), (-0.0f64).to_bits());
        let Some(Own::DoubleValue(nan)) = typed(&float(f64::NAN), "float64").unwrap().value else {
            panic!("no double")
        };
        assert!(nan.is_nan());
        let text = typed(&"1970-01-01T00:00:01.000000Z".into(), "timestamp").unwrap();
        assert_eq!(text.value, Some(Own::TimestampValue(1_000_000)));
        // As they are written for answers.
        for micros in [i64::MIN, -62_135_596_800_000_001, 253_402_300_800_000_000, i64::MAX] {
            let text = Json::from(thalweg_engine::literal::timestamp_text(micros));
            let one = typed(&text, "timestamp").unwrap();
            assert_eq!(one.value, Some(Own::TimestampValue(micros)), "{text}");
            let many = typed(&Json::Array(vec![text]), "list<timestamp>").unwrap();
            assert_eq!(many.value, Some(Own::Timestamps(Timestamps { values: vec![micros] })));
        }
        assert_eq!(typed(&Json::Null, "int64").unwrap().value, None);
        assert_eq!(typed(&1.into(), "decimal(5,2)").unwrap_err().code(), "INTERNAL");
    }

    #[test]
    fn keys_have_the_forms_of_json() {
        let given = HashMap::from([
            ("a".to_owned(), KeyScalar { value: Some(Key::BytesValue(b"abc".to_vec())) }),
            ("b".to_owned(), KeyScalar { value: Some(Key::DoubleValue(f64::NAN)) }),
            ("c".to_owned(), KeyScalar { value: None }),
        ]);
        let mut keys = keys(given);
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        let values: Vec<Json> = keys.into_iter().map(|(_, json)| json).collect();
        assert_eq!(values, ["YWJj".into(), "NaN".into(), Json::Null]);
    }

    fn one(aggregation: Option<&str>) -> Read {
        let aggregation = aggregation.map(str::to_owned);
        Read { aggregation, value: 7.into(), status: "PRESENT", event_time: Some(3) }
    }

    #[test]
    fn a_whole_window_is_a_map_and_all_else_one_value() {
        let types = ["int64".to_owned(), "int64".to_owned()];
        let asked = |values: Vec<Read>, single: bool| {
            answered(DirectAnswer { values, as_of: 9 }, &types, single).unwrap().answer.unwrap()
        };
        let Answer::Value(reading) = asked(vec![one(None)], false) else { panic!("no value") };
        assert_eq!((reading.status, reading.event_time), (FeatureStatus::Present as i32, Some(3)));
        assert_eq!(reading.value.unwrap().value, Some(Own::IntValue(7)));
        assert!(matches!(asked(vec![one(Some("sum"))], true), Answer::Value(_)));
        let Answer::Aggregations(map) = asked(vec![one(Some("sum"))], false) else { panic!("no map") };
        assert!(map.readings.contains_key("sum"));
        let Answer::Aggregations(map) = asked(vec![one(Some("sum")), one(Some("count"))], false) else {
            panic!("no map")
        };
        assert_eq!(map.readings.len(), 2);
    }
}
