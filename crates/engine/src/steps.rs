//! The steps that a source declares, as middlewares of its pushes: validations and transformations in SQL, compiled
//! with the manifest.

use crate::decode::cast_column;
use crate::error::EngineError;
use crate::middleware::{Middleware, Rows};
use crate::runtime::SourceRuntime;
use arrow::array::{Array, AsArray};
use std::sync::Arc;
use thalweg_aggregate::{Expressions, RowExpression};
use thalweg_definition::{DataType, Source, SourceStep, StepKind};

/// The steps of a source whose columns are given, ready to run.
pub(crate) fn declared_steps(
    source: &Source,
    columns: &[(String, DataType)],
    expressions: &dyn Expressions,
) -> Result<Vec<Arc<dyn Middleware>>, String> {
    let step =
        |step: &SourceStep| compile(step, columns, expressions).map_err(|why| format!("step `{}`: {why}", step.name));
    source.steps.iter().map(step).collect()
}

fn compile(
    step: &SourceStep,
    columns: &[(String, DataType)],
    expressions: &dyn Expressions,
) -> Result<Arc<dyn Middleware>, String> {
    let (name, priority) = (step.name.clone(), step.priority);
    match &step.kind {
        StepKind::Validate { expression, reason } => {
            let found = expressions.type_of(expression, columns)?;
            if found != DataType::Bool {
                return Err(format!("`{expression}` is {found}: write a condition, which is true or false"));
            }
            let truth = RowExpression::compile(expressions, expression, columns, DataType::Bool)?;
            Ok(Arc::new(Validate { name, priority, truth, reason: reason.clone() }))
        }
        StepKind::Transform { column, expression } => {
            let target = columns.iter().find(|(own, _)| own == column);
            let (_, data_type) = target.ok_or_else(|| format!("the source has no column `{column}`"))?;
            let found = expressions.type_of(expression, columns)?;
            let value = RowExpression::compile(expressions, expression, columns, found)?;
            let (column, data_type) = (column.clone(), data_type.clone());
            Ok(Arc::new(Transform { name, priority, column, data_type, value }))
        }
    }
}

/// Sends rows for which a condition is not true to quarantine.
struct Validate {
    name: String,
    priority: i32,
    truth: RowExpression,
    reason: String,
}

impl Middleware for Validate {
    fn name(&self) -> &str {
        &self.name
    }

    fn priority(&self) -> i32 {
        self.priority
    }

    fn before_set(&self, _: &SourceRuntime, rows: &mut Rows<'_>) -> Result<(), EngineError> {
        let truth = self.truth.evaluate(rows.batch());
        let truth = truth.as_boolean();
        let refused = (0..truth.len()).filter(|row| truth.is_null(*row) || !truth.value(*row));
        let refused: Vec<(usize, String)> = refused.map(|row| (row, self.reason.clone())).collect();
        rows.reject(&refused, None).map_err(EngineError::Invalid)
    }
}

/// Gives a column the value of an expression over the row. What does not fit the column goes to quarantine, as does
/// what its contract refuses.
struct Transform {
    name: String,
    priority: i32,
    column: String,
    data_type: DataType,
    value: RowExpression,
}

impl Middleware for Transform {
    fn name(&self) -> &str {
        &self.name
    }

    fn priority(&self) -> i32 {
        self.priority
    }

    fn before_set(&self, _: &SourceRuntime, rows: &mut Rows<'_>) -> Result<(), EngineError> {
        let mut unfit = Vec::new();
        let values = self.value.evaluate(rows.batch());
        let values = cast_column(&values, &self.data_type, |row, why| unfit.push((row, why)));
        let values = values.map_err(EngineError::Invalid)?;
        rows.replace(&self.column, values).map_err(EngineError::Invalid)?;
        rows.reject(&unfit, Some(&self.column)).map_err(EngineError::Invalid)
    }
}
