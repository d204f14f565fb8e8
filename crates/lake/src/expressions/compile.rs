//! From a parsed expression to one that DataFusion evaluates, held to what is the same in every run and every place.

use super::{Compiled, growth, parse, plain};
use arrow::datatypes::{DataType as ArrowType, Field, Schema};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::BinaryExpr;
use datafusion::sql::sqlparser::ast::ExprWithAlias;
use std::sync::Arc;
use thalweg_aggregate::{arrow_field, data_type_of};
use thalweg_definition::DataType;

pub(super) fn compile(state: &SessionState, text: &str, columns: &[(String, DataType)]) -> Result<Compiled, String> {
    let mut parsed = parse::parse(text)?;
    let known: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    parse::quote_names(&mut parsed, &known)?;
    let fields: Vec<Field> = columns.iter().map(|(name, data_type)| arrow_field(name, data_type)).collect();
    let arrow_schema = Arc::new(Schema::new(fields));
    let schema = DFSchema::try_from(arrow_schema.clone()).map_err(|error| plain(&error))?;
    let logical = state
        .create_logical_expr_from_sql_expr(ExprWithAlias { expr: parsed, alias: None }, &schema)
        .map_err(|error| plain(&error))?;
    check(&logical)?;
    growth::check(&logical)?;

    let physical = physical(state, logical, &schema).map_err(|error| plain(&error))?;
    let arrow = physical.data_type(&arrow_schema).map_err(|error| plain(&error))?;
    Ok(Compiled { physical, data_type: value_type(&arrow)?, schema: arrow_schema })
}

fn physical(state: &SessionState, logical: Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
    let context = SimplifyContext::builder()
        .with_schema(Arc::new(schema.clone()))
        .with_config_options(Arc::clone(state.config_options()))
        .build();
    let simplifier = ExprSimplifier::new(context);
    // Some functions (`coalesce`) exist only as what they are simplified to.
    let simplified = simplifier.simplify(simplifier.coerce(logical, schema)?)?;
    let physical = state.create_physical_expr(simplified, schema)?;
    physical
        .transform_up(|node| {
            let checked = node.downcast_ref::<BinaryExpr>().map(|binary| binary.clone().with_fail_on_overflow(true));
            Ok(match checked {
                // A sum past the end of its type fails; it never wraps around.
                Some(binary) => Transformed::yes(Arc::new(binary) as Arc<dyn PhysicalExpr>),
                None => Transformed::no(node),
            })
        })
        .data()
}

/// Refuses what is not a function of the row's own values.
fn check(expression: &Expr) -> Result<(), String> {
    let mut found: Option<String> = None;
    let walk = expression.apply(|node| {
        found = refusal(node);
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walk.map_err(|error| plain(&error))?;
    found.map_or(Ok(()), Err)
}

fn refusal(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Alias(_)
        | Expr::Column(_)
        | Expr::Literal(..)
        | Expr::BinaryExpr(_)
        | Expr::Like(_)
        | Expr::SimilarTo(_)
        | Expr::Not(_)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Negative(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::Cast(_)
        | Expr::TryCast(_)
        | Expr::InList(_) => None,
        Expr::ScalarFunction(function) => (function.func.signature().volatility != Volatility::Immutable).then(|| {
            let name = function.func.name();
            format!("`{name}` gives another value each time it is asked; use the columns of the row")
        }),
        Expr::AggregateFunction(function) => {
            let name = function.func.name();
            Some(format!("`{name}` is over many rows; an expression is over one: declare it as the aggregation"))
        }
        Expr::WindowFunction(_) => Some("window functions are over many rows; an expression is over one".to_owned()),
        other => Some(format!("`{other}` is not a row expression; use columns, literals, operators and functions")),
    }
}

fn value_type(arrow: &ArrowType) -> Result<DataType, String> {
    if arrow == &ArrowType::Null {
        return Err("its value is always null; cast it to the type you mean".to_owned());
    }
    match data_type_of(arrow) {
        Some(DataType::List(item)) if !item.is_ordered() => {
            Err("its value is a list of lists or vectors; a list of a feature holds plain values: take one out"
                .to_owned())
        }
        Some(found) => Ok(found),
        None => Err(format!("its type {arrow} is not one of a feature; cast it, such as to double")),
    }
}
