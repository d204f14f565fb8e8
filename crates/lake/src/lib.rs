//! The lake: history in Delta tables, SQL row expressions, training sets. The only crate that knows DataFusion.
//!
//! ```text
//! log ──append──▶ History (a Delta table a source) ──read──▶ Reducer ──▶ packed rows by entity ──sweep──┐
//! spine (entities and query times) ─────────────────────────────────────────────────────────────────────┴─▶ training set
//! ```
//! Values are computed by `thalweg-aggregate`, as in the live path: what is here finds the rows, brings them
//! together with the spine, and writes down what came out. Nothing here knows the engine or a protocol.
//!
//! ```
//! use thalweg_definition::{DataType, ExpressionTypes};
//! use thalweg_lake::SqlExpressions;
//!
//! let expressions = SqlExpressions::new();
//! let columns = [("amount".to_owned(), DataType::Float64)];
//! assert_eq!(expressions.type_of("amount > 10", &columns), Ok(DataType::Bool));
//! assert_eq!(expressions.references("coalesce(amount, 0)"), Ok(vec!["amount".to_owned()]));
//! ```

mod changes;
mod error;
mod expressions;
mod history;
mod infer;
mod limits;
mod rows;
mod sql;
mod training;

pub use error::{LakeError, Result};
pub use expressions::SqlExpressions;
pub use history::{ARRIVAL, AppendOutcome, DATE, History, ReadRequest, SEQUENCE};
pub use infer::{Batches, InferredColumn, infer_schema, read_file};
pub use rows::{ChangeHistory, Life, entity_rows, read_changes, read_parquet};
pub use sql::query;
pub use training::{
    FeatureReport, Progress, Report, SourceReport, SpineInput, TrainingRequest, TrainingSet, build, write_parquet,
};
