//! `thalweg.v1.Features`: reading features, one request at a time or as a stream of them.

use super::arrow_bytes::batches;
use super::budget::Share;
use super::columns::{read_column, write_column};
use super::errors::inside;
use super::gate::{Call, Threads};
use super::limits::{INLINE_BYTES, INLINE_ROWS, READS_IN_FLIGHT};
use super::v1::features_server::Features;
use super::v1::get_features_request::Wanted as Asked;
use super::v1::value_column::{Timestamps, Values};
use super::v1::{FeatureAnswer, FeatureStatus, GetFeaturesRequest, GetFeaturesResponse, ValueColumn};
use crate::error::ServerError;
use crate::http::feature_stream;
use crate::http::json::{expected, unexpected};
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use futures::StreamExt;
use futures::stream::BoxStream;
use prost::Message;
use std::collections::{HashMap, HashSet};
use thalweg_aggregate::{Status as ValueStatus, arrow_type};
use thalweg_definition::DataType;
use thalweg_engine::{FeatureRequest, FeatureResponse, FeatureResult, Runtime, Wanted};
use tonic::{Request, Response, Status, Streaming};

pub struct FeatureReads;

#[tonic::async_trait]
impl Features for FeatureReads {
    async fn get_features(
        &self,
        request: Request<GetFeaturesRequest>,
    ) -> Result<Response<GetFeaturesResponse>, Status> {
        let call = Call::of(&request)?;
        let message = request.into_inner();
        let held = call.hold(message.encoded_len())?;
        Ok(Response::new(answer(&call, message, held).await?))
    }

    type StreamFeaturesStream = BoxStream<'static, Result<GetFeaturesResponse, Status>>;

    async fn stream_features(
        &self,
        request: Request<Streaming<GetFeaturesRequest>>,
    ) -> Result<Response<Self::StreamFeaturesStream>, Status> {
        let call = Call::of(&request)?;
        let deadline = call.deadline;
        let answers = request.into_inner().map(move |message| {
            let call = call.clone();
            let taken = message.map(|message| call.hold(message.encoded_len()).map(|held| (message, held)));
            async move {
                let answered = match taken? {
                    Ok((message, held)) => answer(&call, message, held).await,
                    Err(error) => Err(error),
                };
                Ok::<_, Status>(answered.unwrap_or_else(failed))
            }
        });
        Ok(Response::new(deadline.until(answers.buffered(READS_IN_FLIGHT))))
    }
}

fn failed(error: ServerError) -> GetFeaturesResponse {
    GetFeaturesResponse { error: Some(inside(&error.into())), ..GetFeaturesResponse::default() }
}

/// Small reads that cannot block are answered on the spot.
async fn answer(call: &Call, message: GetFeaturesRequest, held: Share) -> Result<GetFeaturesResponse, ServerError> {
    call.deadline.check()?;
    let session = call.session.clone();
    if message.encoded_len() <= INLINE_BYTES && message.arrow.is_empty() {
        let runtime = session.runtime()?;
        let request = read_request(&runtime, &message)?;
        let rows = request.entities.first().map_or(0, |(_, column)| column.len());
        if rows <= INLINE_ROWS && !runtime.may_block(&request.wanted) {
            return write_response(&session.read(request)?, message.answer_as_arrow);
        }
    }
    call.blocking(Threads::Work, move || {
        let _held = held;
        let runtime = session.runtime()?;
        let request = read_request(&runtime, &message)?;
        write_response(&session.read(request)?, message.answer_as_arrow)
    })
    .await
}

/// A request typed by the manifest in force. The error says what to send instead.
fn read_request(runtime: &Runtime, message: &GetFeaturesRequest) -> Result<FeatureRequest, ServerError> {
    let wanted = match &message.wanted {
        Some(Asked::Service(service)) if !service.is_empty() => Wanted::Service(service.clone()),
        Some(Asked::Features(list)) if !list.names.is_empty() => Wanted::Features(list.names.clone()),
        _ => {
            let mend = "set either `service` or a list of `features`";
            return Err(ServerError::Invalid(format!("it is not said what to read: {mend}")));
        }
    };
    let (keys, values) = expected(runtime, &wanted)?;
    let as_columns = !message.entities.is_empty() || !message.request.is_empty();
    let (entities, request) = match (message.arrow.is_empty(), as_columns) {
        (true, _) => (
            typed(&message.entities, &keys, "entities", "key column")?,
            typed(&message.request, &values, "request", "request value")?,
        ),
        (false, false) => {
            let batch = whole(&message.arrow)?;
            known(&batch, &keys, &values)?;
            (cast(&batch, &keys)?, cast(&batch, &values)?)
        }
        (false, true) => {
            let mend = "set `entities` and `request`, or `arrow` with a column for each of both";
            return Err(ServerError::Invalid(format!("the entities came twice: {mend}")));
        }
    };
    Ok(FeatureRequest { wanted, entities, request, as_of: message.as_of })
}

/// Typed columns by name, in the order of the definitions. What is missing is refused by the engine.
type Columns = Vec<(String, ArrayRef)>;

fn typed(
    given: &HashMap<String, ValueColumn>,
    expected: &[(String, DataType)],
    place: &str,
    what: &str,
) -> Result<Columns, ServerError> {
    if let Some(name) = given.keys().find(|name| !has(expected, name)) {
        return Err(unexpected(name, expected, place, what));
    }
    let wanted = expected.iter().filter_map(|(name, data_type)| Some((name, data_type, given.get(name)?)));
    wanted
        .map(|(name, data_type, column)| {
            let column = read_column(column, data_type);
            let column = column.map_err(|why| ServerError::Invalid(format!("`{place}`, column `{name}`: {why}")))?;
            Ok((name.clone(), column))
        })
        .collect()
}

fn has(columns: &[(String, DataType)], name: &str) -> bool {
    columns.iter().any(|(own, _)| own == name)
}

fn whole(bytes: &[u8]) -> Result<RecordBatch, ServerError> {
    let (schema, batches) = batches(bytes)?;
    concat_batches(&schema, &batches).map_err(|error| ServerError::Invalid(format!("`arrow`: {error}")))
}

/// Refuses columns that nothing asks for, and names that stand twice.
fn known(batch: &RecordBatch, keys: &[(String, DataType)], values: &[(String, DataType)]) -> Result<(), ServerError> {
    let mut seen = HashSet::new();
    for field in batch.schema_ref().fields() {
        let name = field.name().as_str();
        if !has(keys, name) && !has(values, name) {
            let all: Vec<(String, DataType)> = keys.iter().chain(values).cloned().collect();
            return Err(unexpected(name, &all, "arrow", "key column or request value"));
        }
        if !seen.insert(name) {
            return Err(ServerError::Invalid(format!("`arrow` has two columns `{name}`: send one")));
        }
    }
    Ok(())
}

fn cast(batch: &RecordBatch, wanted: &[(String, DataType)]) -> Result<Columns, ServerError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let given = wanted.iter().filter_map(|(name, data_type)| Some((name, data_type, batch.column_by_name(name)?)));
    given
        .map(|(name, data_type, column)| {
            let column = cast_with_options(column, &arrow_type(data_type), &options).map_err(|error| {
                ServerError::Invalid(format!("`arrow`, column `{name}`: {error}; send {data_type} values"))
            })?;
            Ok((name.clone(), column))
        })
        .collect()
}

fn write_response(response: &FeatureResponse, as_arrow: bool) -> Result<GetFeaturesResponse, ServerError> {
    let mut message = GetFeaturesResponse {
        as_of: response.as_of,
        manifest_hash: response.manifest_hash.clone(),
        // A read has at most 100,000 entities.
        rows: response.rows as u32,
        ..GetFeaturesResponse::default()
    };
    if as_arrow {
        let stream = feature_stream(response);
        message.arrow =
            stream.map_err(|error| ServerError::Internal(format!("the answer has no Arrow form: {error}")))?;
    } else {
        message.features = response.results.iter().map(write_result).collect();
    }
    Ok(message)
}

fn write_result(result: &FeatureResult) -> FeatureAnswer {
    FeatureAnswer {
        name: result.name.clone(),
        r#type: result.data_type.to_string(),
        values: Some(write_column(&result.values, &result.data_type)),
        event_times: Some(write_times(&result.event_times)),
        statuses: result.statuses.iter().map(|status| write_status(*status).into()).collect(),
        errors: result.errors.iter().map(|(row, why)| (*row as u32, why.clone())).collect(),
    }
}

/// As [`write_column`] writes timestamps, without an Arrow array on the way.
fn write_times(times: &[Option<i64>]) -> ValueColumn {
    let nulls = match times.iter().any(Option::is_none) {
        true => times.iter().map(Option::is_none).collect(),
        false => Vec::new(),
    };
    let values = times.iter().map(|time| time.unwrap_or_default()).collect();
    ValueColumn { nulls, values: Some(Values::Timestamps(Timestamps { values })) }
}

fn write_status(status: ValueStatus) -> FeatureStatus {
    match status {
        ValueStatus::Present => FeatureStatus::Present,
        ValueStatus::Null => FeatureStatus::Null,
        ValueStatus::NotFound => FeatureStatus::NotFound,
        ValueStatus::Stale => FeatureStatus::Stale,
        ValueStatus::Error => FeatureStatus::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::v1::value_column::{Int64s, Strings};
    use arrow::array::{Int32Array, Int64Array, StringArray};
    use arrow_ipc::writer::StreamWriter;
    use std::sync::Arc;
    use thalweg_aggregate::{Value, array_from_values};

    fn keys() -> Vec<(String, DataType)> {
        vec![("card".to_owned(), DataType::String), ("shop".to_owned(), DataType::Int64)]
    }

    fn column(values: Values) -> ValueColumn {
        ValueColumn { nulls: Vec::new(), values: Some(values) }
    }

    fn text(words: &[&str]) -> ValueColumn {
        column(Values::Strings(Strings { values: words.iter().map(|word| (*word).to_owned()).collect() }))
    }

    #[test]
    fn columns_come_in_the_order_of_the_definitions() {
        let shops = column(Values::Int64s(Int64s { values: vec![1, 2] }));
        let given = HashMap::from([("shop".to_owned(), shops), ("card".to_owned(), text(&["a", "b"]))]);
        let columns = typed(&given, &keys(), "entities", "key column").unwrap();
        assert_eq!(columns[0].0, "card");
        assert_eq!(columns[1].1.len(), 2);
        let given = HashMap::from([("crad".to_owned(), text(&["a"]))]);
        let error = typed(&given, &keys(), "entities", "key column").unwrap_err().to_string();
        assert_eq!(error, "`entities` has no key column `crad`: did you mean `card`?");
        let given = HashMap::from([("shop".to_owned(), text(&["a"]))]);
        let error = typed(&given, &keys(), "entities", "key column").unwrap_err().to_string();
        assert!(error.contains("column `shop`: it came as `strings`: send int64 values as `int64s`"), "{error}");
    }

    fn stream(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = StreamWriter::try_new(Vec::new(), batch.schema_ref()).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    #[test]
    fn arrow_is_cast_to_the_types_of_the_definitions() {
        let values = vec![("amount".to_owned(), DataType::Float64)];
        let card: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let shop: ArrayRef = Arc::new(Int32Array::from(vec![7]));
        let amount: ArrayRef = Arc::new(Int64Array::from(vec![3]));
        let bytes = stream(vec![("amount", amount.clone()), ("shop", shop), ("card", card.clone())]);
        let batch = whole(&bytes).unwrap();
        known(&batch, &keys(), &values).unwrap();
        let entities = cast(&batch, &keys()).unwrap();
        assert_eq!(entities[0], ("card".to_owned(), card.clone()));
        assert_eq!(entities[1].1.data_type(), &arrow_type(&DataType::Int64));
        assert_eq!(cast(&batch, &values).unwrap()[0].1.data_type(), &arrow_type(&DataType::Float64));

        let batch = whole(&stream(vec![("kard", card.clone())])).unwrap();
        let error = known(&batch, &keys(), &values).unwrap_err().to_string();
        assert!(error.contains("did you mean `card`?"), "{error}");
        let batch = whole(&stream(vec![("shop", card)])).unwrap();
        assert!(cast(&batch, &keys()).unwrap_err().to_string().contains("send int64 values"));
        assert!(whole(b"no arrow").unwrap_err().to_string().contains("not an Arrow IPC stream"));
    }

    #[test]
    fn times_are_those_of_a_column() {
        for times in [vec![Some(-1), Some(i64::MAX)], vec![Some(5), None], vec![None], Vec::new()] {
            let array: arrow::array::TimestampMicrosecondArray = times.iter().copied().collect();
            assert_eq!(write_times(&times), write_column(&array, &DataType::Timestamp), "{times:?}");
        }
    }

    fn response() -> FeatureResponse {
        let result = FeatureResult {
            name: "v.sum".to_owned(),
            data_type: DataType::Int64,
            values: array_from_values([Value::Int(1), Value::Null].iter(), &DataType::Int64),
            event_times: vec![Some(5), None],
            statuses: vec![ValueStatus::Present, ValueStatus::Error],
            errors: vec![(1, "past the int64 range".to_owned())],
        };
        FeatureResponse {
            as_of: 9,
            cut: 9,
            manifest_hash: "h".to_owned(),
            service: None,
            log_sample: 0.0,
            rows: 2,
            results: vec![result],
            entities: vec![("card".to_owned(), Arc::new(StringArray::from(vec!["a", "b"])))],
            request: Vec::new(),
            finishing: None,
        }
    }

    #[test]
    fn answers_have_values_times_statuses_and_reasons() {
        let message = write_response(&response(), false).unwrap();
        assert_eq!((message.as_of, message.rows, message.manifest_hash.as_str()), (9, 2, "h"));
        assert!(message.arrow.is_empty() && message.error.is_none());
        let feature = &message.features[0];
        assert_eq!((feature.name.as_str(), feature.r#type.as_str()), ("v.sum", "int64"));
        assert_eq!(feature.values.as_ref().unwrap().nulls, [false, true]);
        let times = feature.event_times.as_ref().unwrap();
        assert_eq!(times.nulls, [false, true]);
        assert_eq!(times.values, Some(Values::Timestamps(Timestamps { values: vec![5, 0] })));
        assert_eq!(feature.statuses, [FeatureStatus::Present as i32, FeatureStatus::Error as i32]);
        assert_eq!(feature.errors[&1], "past the int64 range");

        let message = write_response(&response(), true).unwrap();
        assert!(message.features.is_empty());
        let batch = whole(&message.arrow).unwrap();
        assert_eq!(batch.num_rows(), 2);
        assert!(batch.column_by_name("v__sum__status").is_some());
    }

    #[test]
    fn a_failed_read_of_a_stream_is_its_error_alone() {
        let message = failed(ServerError::NotFound("no".to_owned()));
        assert_eq!(message.error.as_ref().map(|error| error.code), Some(5));
        assert!(message.features.is_empty());
    }
}
