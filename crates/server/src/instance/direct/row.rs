//! A write as a row of the feature's generated source, and what the feature's view keeps of it as values again.

use super::change::{Base, Row};
use crate::error::ServerError;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use std::iter::once;
use thalweg_aggregate::{Answer, ColumnReader, Value, array_from_values};
use thalweg_definition::{DataType, DirectFeature, Entity};
use thalweg_engine::{SourceRuntime, ViewRuntime};

/// One row in the source's schema. The columns beside the key are `value`, `operation`, `operand`, `previous_1` and so
/// on, and the event time.
pub fn batch(
    source: &SourceRuntime,
    entity: &Entity,
    key: &[Value],
    row: &Row,
    time: i64,
) -> Result<RecordBatch, ServerError> {
    let (null, time) = (Value::Null, Value::Int(time));
    let operation = Value::Bytes(row.operation.as_bytes().into());
    let of = |name: &str| match entity.keys.iter().position(|key| key.name == name) {
        Some(at) => &key[at],
        None if name == source.definition.timestamp => &time,
        None => match name {
            DirectFeature::VALUE => &row.value,
            DirectFeature::OPERATION => &operation,
            DirectFeature::OPERAND => &row.operand,
            name => number(name).and_then(|number| row.previous.get(number - 1)).unwrap_or(&null),
        },
    };
    let columns = source.columns.iter().map(|(name, data_type)| array_from_values(once(of(name)), data_type));
    RecordBatch::try_new(source.schema.clone(), columns.collect()).map_err(|error| {
        ServerError::Internal(format!("a row of `{}` cannot be made: {error}", source.definition.name))
    })
}

/// The number of `previous_{number}`, from 1.
fn number(name: &str) -> Option<usize> {
    name.strip_prefix("previous_")?.parse().ok().filter(|number| *number > 0)
}

/// What a view's answers for one entity, in the order of its plan, say of the values before the next write.
pub fn base(feature: &DirectFeature, view: &ViewRuntime, answers: &[Answer]) -> Result<Base, ServerError> {
    let data_type = feature.primitive.data_type();
    let answer = |output: &str| view.plan.output(output).and_then(|at| answers.get(at));
    let value = |output: String| answer(&output).map_or(Ok(Value::Null), |answer| whole(&answer.value, &data_type));
    Ok(Base {
        value: value(DirectFeature::VALUE.to_owned())?,
        previous: (1..=feature.keep_previous)
            .map(|back| value(DirectFeature::previous(back)))
            .collect::<Result<_, _>>()?,
        time: answer(DirectFeature::VALUE).and_then(|answer| answer.event_time),
    })
}

/// What the key has after a write that goes to the log as this one row.
pub fn after(feature: &DirectFeature, source: &SourceRuntime, rows: &RecordBatch) -> Result<Base, ServerError> {
    let data_type = feature.primitive.data_type();
    let value = |name: &str, data_type: &DataType| match rows.column_by_name(name) {
        Some(column) => first(column, data_type),
        None => Ok(Value::Null),
    };
    let time = match value(&source.definition.timestamp, &DataType::Timestamp)? {
        Value::Int(time) => Some(time),
        _ => None,
    };
    let previous = (1..=feature.keep_previous).map(|back| value(&DirectFeature::previous(back), &data_type));
    Ok(Base { value: value(DirectFeature::VALUE, &data_type)?, previous: previous.collect::<Result<_, _>>()?, time })
}

/// A value as it is computed with: a list as its items, however the state keeps it.
fn whole(value: &Value, data_type: &DataType) -> Result<Value, ServerError> {
    match data_type {
        DataType::List(_) => first(&array_from_values(once(value), data_type), data_type),
        _ => Ok(value.clone()),
    }
}

/// The first value of a column, a list as its items.
fn first(column: &ArrayRef, data_type: &DataType) -> Result<Value, ServerError> {
    let reader = |column: &ArrayRef, data_type: &DataType| {
        ColumnReader::new(column, data_type)
            .map_err(|error| ServerError::Internal(format!("{data_type} values do not decode: {error}")))
    };
    match data_type {
        _ if column.is_null(0) => Ok(Value::Null),
        DataType::List(item) => {
            let items = column.as_list::<i32>().value(0);
            let reader = reader(&items, item)?;
            Ok(Value::List((0..items.len()).map(|index| reader.cell(index).to_value()).collect()))
        }
        _ => Ok(reader(column, data_type)?.cell(0).to_value()),
    }
}
