//! The expressions of the simulation's definitions: the name of a column, a column above a number (`amount > 10`), or
//! a column that is a text (`status = 'open'`).

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType as ArrowType, Float64Type};
use std::sync::Arc;
use thalweg_aggregate::{Expression, Expressions};
use thalweg_definition::{DataType, ExpressionTypes};

#[derive(Debug, Clone)]
pub(crate) enum Parsed {
    Column(String),
    Above(String, f64),
    Is(String, String),
}

fn parse(text: &str) -> Result<Parsed, String> {
    let text = text.trim();
    if let Some((column, number)) = text.split_once('>') {
        let number = number.trim().parse().map_err(|_| format!("`{number}` is no number"))?;
        return Ok(Parsed::Above(column.trim().to_owned(), number));
    }
    let Some((column, wanted)) = text.split_once('=') else { return Ok(Parsed::Column(text.to_owned())) };
    let wanted = wanted.trim().strip_prefix('\'').and_then(|wanted| wanted.strip_suffix('\''));
    let wanted = wanted.ok_or_else(|| format!("`{text}` compares with no text"))?;
    Ok(Parsed::Is(column.trim().to_owned(), wanted.to_owned()))
}

/// A condition of the definitions, which were checked.
pub(crate) fn condition(text: Option<&String>) -> Option<Parsed> {
    text.and_then(|text| parse(text).ok())
}

impl Parsed {
    fn column(&self) -> &str {
        match self {
            Self::Column(column) | Self::Above(column, _) | Self::Is(column, _) => column,
        }
    }
}

/// What the engine evaluates them with.
pub(crate) struct Small;

impl ExpressionTypes for Small {
    fn type_of(&self, expression: &str, columns: &[(String, DataType)]) -> Result<DataType, String> {
        let parsed = parse(expression)?;
        let found = columns.iter().find(|(name, _)| name == parsed.column());
        let (_, data_type) = found.ok_or_else(|| format!("no column `{}`", parsed.column()))?;
        Ok(if matches!(parsed, Parsed::Column(_)) { data_type.clone() } else { DataType::Bool })
    }

    fn references(&self, expression: &str) -> Result<Vec<String>, String> {
        Ok(vec![parse(expression)?.column().to_owned()])
    }
}

impl Expressions for Small {
    fn compile(&self, expression: &str, columns: &[(String, DataType)]) -> Result<Arc<dyn Expression>, String> {
        self.type_of(expression, columns)?;
        Ok(Arc::new(parse(expression)?))
    }
}

impl Expression for Parsed {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, String> {
        let column = batch.column_by_name(self.column()).ok_or_else(|| format!("no column `{}`", self.column()))?;
        let truth: BooleanArray = match self {
            Self::Column(_) => return Ok(column.clone()),
            Self::Is(_, wanted) => {
                column.as_string::<i32>().iter().map(|text| text.map(|text| text == wanted.as_str())).collect()
            }
            Self::Above(_, bound) => {
                let numbers = arrow::compute::cast(column, &ArrowType::Float64).map_err(|error| error.to_string())?;
                let numbers = numbers.as_primitive::<Float64Type>();
                numbers.iter().map(|number| number.map(|number| number > *bound)).collect()
            }
        };
        debug_assert_eq!(truth.len(), batch.num_rows());
        Ok(Arc::new(truth))
    }
}
