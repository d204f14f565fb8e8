//! Reading history as a stream: only the columns, days and rows that are asked for.

use super::prepare::day;
use super::{ARRIVAL, DATE, History, SEQUENCE};
use crate::error::Result;
use arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, ListArray, RecordBatch, RecordBatchOptions,
    new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType as ArrowType, Field, FieldRef, Float32Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use datafusion::datasource::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::{Expr, SessionConfig, SessionContext, ident, lit};
use futures::StreamExt;
use std::sync::Arc;
use thalweg_aggregate::arrow_type;
use thalweg_definition::{DataType, Source};

/// Which part of a source's history.
#[derive(Debug, Clone, Default)]
pub struct ReadRequest {
    /// Of the source's columns, [`ARRIVAL`] and [`SEQUENCE`]; in the order in which they are wanted.
    pub columns: Vec<String>,
    /// The first event time, in microseconds. A row without an event time counts with its arrival time.
    pub from_time: Option<i64>,
    /// The event time before which to stop.
    pub until_time: Option<i64>,
    /// The log sequence before which to stop.
    pub max_sequence: Option<u64>,
    pub delta_version: Option<i64>,
}

impl History {
    /// The rows, in no order, of the types that the source declares. Columns that the table does not have are null;
    /// without a table there are no rows.
    pub async fn read(&self, source: &Source, request: &ReadRequest) -> Result<SendableRecordBatchStream> {
        let schema = asked_schema(source, &request.columns);
        let context = context(None)?;
        let Some(provider) = self.provider(&source.name, request.delta_version, &context).await? else {
            let nothing = futures::stream::empty::<std::result::Result<RecordBatch, DataFusionError>>();
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, nothing)));
        };
        let stored = provider.schema();
        let mut frame = context.read_table(provider)?;
        for filter in filters(source, request) {
            frame = frame.filter(filter)?;
        }
        // At least one column is read, so that batches have their rows even where none that is asked for is stored.
        let mut columns: Vec<Expr> = request
            .columns
            .iter()
            .filter(|name| stored.column_with_name(name).is_some())
            .map(|name| ident(name.as_str()))
            .collect();
        if columns.is_empty() {
            columns.push(ident(SEQUENCE));
        }
        let rows = frame.select(columns)?.execute_stream().await?;
        let wanted = schema.clone();
        let conformed = rows.map(move |batch| batch.and_then(|batch| conform(&batch, &wanted)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, conformed)))
    }

    /// A source's table for DataFusion, or none where there is no table yet.
    pub(crate) async fn provider(
        &self,
        source: &str,
        version: Option<i64>,
        context: &SessionContext,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(table) = self.table(source, version).await? else { return Ok(None) };
        table.update_datafusion_session(&context.state())?;
        let provider = table.table_provider().with_session(Arc::new(context.state())).await?;
        Ok(Some(provider))
    }
}

/// A session that reads Delta tables: filters go down to the files, strings stay strings, names keep their case.
pub(crate) fn context(memory_bytes: Option<usize>) -> Result<SessionContext> {
    let mut config = SessionConfig::new();
    let options = config.options_mut();
    options.execution.time_zone = Some("UTC".to_owned());
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.enable_ident_normalization = false;
    let runtime = RuntimeEnvBuilder::new();
    let runtime = match memory_bytes {
        Some(bytes) => runtime.with_memory_limit(bytes, 1.0),
        None => runtime,
    };
    Ok(SessionContext::new_with_config_rt(config, runtime.build_arc()?))
}

/// The types of a source's columns and of those that the lake adds, nullable.
pub(crate) fn asked_schema(source: &Source, columns: &[String]) -> SchemaRef {
    let field = |name: &String| {
        let arrow = match (name.as_str(), source.column(name)) {
            (ARRIVAL, _) => arrow_type(&DataType::Timestamp),
            (SEQUENCE, _) => ArrowType::Int64,
            (_, Some(column)) => arrow_type(&column.data_type),
            (_, None) => ArrowType::Null,
        };
        Field::new(name, arrow, true)
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn filters(source: &Source, request: &ReadRequest) -> Vec<Expr> {
    let mut filters = Vec::new();
    // Whole days first: they leave out files by their partition alone.
    if let Some(from) = request.from_time {
        filters.push(ident(DATE).gt_eq(lit(ScalarValue::Date32(Some(day(from))))));
    }
    if let Some(until) = request.until_time {
        filters.push(ident(DATE).lt_eq(lit(ScalarValue::Date32(Some(day(until.saturating_sub(1)))))));
    }
    let time = |name: &str| {
        let mut within: Option<Expr> = None;
        let from = request.from_time.map(|from| ident(name).gt_eq(timestamp(from)));
        let until = request.until_time.map(|until| ident(name).lt(timestamp(until)));
        for bound in from.into_iter().chain(until) {
            within = Some(match within {
                Some(other) => other.and(bound),
                None => bound,
            });
        }
        within
    };
    if let (Some(event), Some(arrival)) = (time(&source.timestamp), time(ARRIVAL)) {
        let required = source.column(&source.timestamp).is_some_and(|column| column.required) && !source.is_change();
        let missing = ident(source.timestamp.as_str()).is_null().and(arrival);
        filters.push(if required { event } else { event.or(missing) });
    }
    if let Some(sequence) = request.max_sequence {
        filters.push(ident(SEQUENCE).lt(lit(i64::try_from(sequence).unwrap_or(i64::MAX))));
    }
    filters
}

fn timestamp(micros: i64) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())))
}

fn conform(batch: &RecordBatch, schema: &SchemaRef) -> std::result::Result<RecordBatch, DataFusionError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let columns = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            Some(array) if array.data_type() == field.data_type() => Ok(array.clone()),
            Some(array) => match (array.data_type(), field.data_type()) {
                (ArrowType::List(_), ArrowType::FixedSizeList(item, length)) => vectors(array.as_list(), item, *length),
                (_, wanted) => cast_with_options(array, wanted, &options),
            },
        })
        .collect::<std::result::Result<Vec<ArrayRef>, ArrowError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// Vectors are stored as lists. Arrow's own cast is not used: it reads slices of lists from their wrong end.
fn vectors(lists: &ListArray, item: &FieldRef, length: i32) -> std::result::Result<ArrayRef, ArrowError> {
    let floats = cast_with_options(lists.values(), &ArrowType::Float32, &CastOptions::default())?;
    let floats = floats.as_primitive::<Float32Type>();
    let offsets = lists.value_offsets();
    let mut values: Vec<Option<f32>> = Vec::with_capacity(lists.len() * length as usize);
    let mut valid = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
        let fits = !lists.is_null(row) && to - from == length as usize;
        valid.push(fits);
        if fits {
            values.extend((from..to).map(|place| floats.is_valid(place).then(|| floats.value(place))));
        } else {
            values.extend(std::iter::repeat_n(None, length as usize));
        }
    }
    let values = Arc::new(Float32Array::from(values));
    Ok(Arc::new(FixedSizeListArray::try_new(item.clone(), length, values, Some(NullBuffer::from(valid)))?))
}
