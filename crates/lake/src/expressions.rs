//! SQL row expressions: their types, what they refer to, and their evaluation over batches.
//!
//! Text is read by the SQL parser, held to a portable subset, and compiled by DataFusion. Names of columns may be
//! dotted (`view.output`, `request.x`); they are matched as a whole, with their case, before DataFusion sees them.

mod compile;
mod growth;
mod parse;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::Decimal128Type;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::{SessionConfig, SessionContext};
use std::sync::Arc;
use thalweg_aggregate::{Expression, Expressions, arrow_type};
use thalweg_definition::{DataType, ExpressionTypes};

/// Compiles expressions; one serves a whole process.
pub struct SqlExpressions {
    state: SessionState,
}

impl SqlExpressions {
    pub fn new() -> Self {
        let mut config = SessionConfig::new().with_target_partitions(1);
        config.options_mut().execution.time_zone = Some("UTC".to_owned());
        Self { state: SessionContext::new_with_config(config).state() }
    }
}

impl Default for SqlExpressions {
    fn default() -> Self {
        Self::new()
    }
}

impl ExpressionTypes for SqlExpressions {
    fn type_of(&self, expression: &str, columns: &[(String, DataType)]) -> Result<DataType, String> {
        compile::compile(&self.state, expression, columns).map(|compiled| compiled.data_type)
    }

    fn references(&self, expression: &str) -> Result<Vec<String>, String> {
        Ok(parse::references(&parse::parse(expression)?))
    }
}

impl Expressions for SqlExpressions {
    fn compile(&self, expression: &str, columns: &[(String, DataType)]) -> Result<Arc<dyn Expression>, String> {
        Ok(Arc::new(compile::compile(&self.state, expression, columns)?))
    }
}

/// An expression, compiled for columns of given names and types.
struct Compiled {
    physical: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    schema: arrow::datatypes::SchemaRef,
}

impl Expression for Compiled {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, String> {
        let conformed = self.conform(batch)?;
        let batch = conformed.as_ref().unwrap_or(batch);
        let value = self.physical.evaluate(batch).map_err(|error| plain(&error))?;
        let array = value.into_array(batch.num_rows()).map_err(|error| plain(&error))?;
        let array = cast(&array, &arrow_type(&self.data_type))?;
        match self.data_type {
            DataType::Decimal(precision, scale) => narrowed(array, precision, scale),
            _ => Ok(array),
        }
    }
}

impl Compiled {
    /// The batch with the columns in the order and of the types that were compiled; none where it has them already.
    fn conform(&self, batch: &RecordBatch) -> Result<Option<RecordBatch>, String> {
        let own = self.schema.fields();
        let given = batch.schema_ref().fields();
        let same = own.len() == given.len()
            && own.iter().zip(given).all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type());
        if same {
            return Ok(None);
        }
        let columns = own
            .iter()
            .map(|field| {
                let missing = || format!("column `{}` is not in the batch", field.name());
                cast(batch.column_by_name(field.name()).ok_or_else(missing)?, field.data_type())
            })
            .collect::<Result<Vec<_>, String>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map(Some)
            .map_err(|error| error.to_string())
    }
}

fn cast(array: &ArrayRef, wanted: &arrow::datatypes::DataType) -> Result<ArrayRef, String> {
    if array.data_type() == wanted {
        return Ok(array.clone());
    }
    // A value that does not fit fails, so that it never becomes another value.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, wanted, &options).map_err(|error| error.to_string())
}

/// Decimals without those of more digits than their type has: arithmetic of 38 digits, and arrays from outside, bring
/// such.
fn narrowed(array: ArrayRef, precision: u8, scale: u8) -> Result<ArrayRef, String> {
    let decimals = array.as_primitive::<Decimal128Type>();
    if decimals.validate_decimal_precision(precision).is_ok() {
        return Ok(array);
    }
    let narrowed = decimals.null_if_overflow_precision(precision).with_precision_and_scale(precision, scale as i8);
    Ok(Arc::new(narrowed.map_err(|error| error.to_string())?))
}

/// Longest reason taken over from DataFusion.
const MAX_REASON: usize = 300;

/// DataFusion's reason in one short line.
fn plain(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let mut line = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(2).collect::<Vec<_>>().join(" ");
    for prefix in ["Error during planning: ", "Arrow error: ", "Execution error: ", "Schema error: "] {
        if let Some(rest) = line.strip_prefix(prefix) {
            line = rest.to_owned();
        }
    }
    let mut letters = line.chars();
    let first = letters.next().map(|letter| letter.to_lowercase().to_string()).unwrap_or_default();
    first.chars().chain(letters).take(MAX_REASON).collect()
}
