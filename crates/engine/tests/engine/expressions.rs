//! An expression language as small as the tests need: a column, a column compared with a number or a text
//! (`amount > 0`, `status = 'open'`), or a column times or plus a number (`amount * 2`).

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch};
use arrow::datatypes::{DataType as ArrowType, Float64Type};
use std::sync::Arc;
use thalweg_aggregate::{Expression, Expressions};
use thalweg_definition::{DataType, ExpressionTypes};

pub struct Tiny;

enum Parsed {
    Column(String),
    /// Column, operator, right side.
    Number(String, char, f64),
    Text(String, String),
}

fn parse(text: &str) -> Result<Parsed, String> {
    let text = text.trim();
    let Some(at) = text.find(['<', '>', '=', '*', '+']) else { return Ok(Parsed::Column(text.to_owned())) };
    let column = text[..at].trim().to_owned();
    let right = text[at + 1..].trim();
    match right.strip_prefix('\'').and_then(|right| right.strip_suffix('\'')) {
        Some(right) => Ok(Parsed::Text(column, right.to_owned())),
        None => {
            let number = right.parse().map_err(|_| format!("`{right}` is no number"))?;
            Ok(Parsed::Number(column, char::from(text.as_bytes()[at]), number))
        }
    }
}

impl Parsed {
    fn column(&self) -> &str {
        match self {
            Self::Column(column) | Self::Number(column, ..) | Self::Text(column, _) => column,
        }
    }
}

impl ExpressionTypes for Tiny {
    fn type_of(&self, expression: &str, columns: &[(String, DataType)]) -> Result<DataType, String> {
        let parsed = parse(expression)?;
        let found = columns.iter().find(|(name, _)| name == parsed.column());
        let (_, data_type) = found.ok_or_else(|| format!("no column `{}`", parsed.column()))?;
        Ok(match parsed {
            Parsed::Column(_) | Parsed::Number(_, '*' | '+', _) => data_type.clone(),
            Parsed::Number(..) | Parsed::Text(..) => DataType::Bool,
        })
    }

    fn references(&self, expression: &str) -> Result<Vec<String>, String> {
        Ok(vec![parse(expression)?.column().to_owned()])
    }
}

impl Expressions for Tiny {
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
            Self::Text(_, wanted) => column.as_string::<i32>().iter().map(|text| Some(text? == wanted)).collect(),
            Self::Number(_, operator @ ('*' | '+'), by) => {
                let numbers = arrow::compute::cast(column, &ArrowType::Float64).map_err(|error| error.to_string())?;
                let computed = |number: f64| if *operator == '*' { number * by } else { number + by };
                let computed: Float64Array =
                    numbers.as_primitive::<Float64Type>().iter().map(|number| number.map(computed)).collect();
                return arrow::compute::cast(&computed, column.data_type()).map_err(|error| error.to_string());
            }
            Self::Number(_, operator, wanted) => {
                let numbers = arrow::compute::cast(column, &ArrowType::Float64).map_err(|error| error.to_string())?;
                let holds = |number: f64| match operator {
                    '<' => number < *wanted,
                    '>' => number > *wanted,
                    _ => number == *wanted,
                };
                numbers.as_primitive::<Float64Type>().iter().map(|number| Some(holds(number?))).collect()
            }
        };
        debug_assert_eq!(truth.len(), batch.num_rows());
        Ok(Arc::new(truth))
    }
}
