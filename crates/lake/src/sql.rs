//! SQL over history: each source is a table by its name. Only questions are allowed.

use crate::error::{LakeError, Result};
use crate::history::{ARRIVAL, DATE, History, SEQUENCE, asked_schema, context};
use crate::limits::MAX_QUERY_BYTES;
use arrow::array::RecordBatch;
use datafusion::common::TableReference;
use datafusion::datasource::{MemTable, TableProvider};
use datafusion::error::DataFusionError;
use datafusion::prelude::{Expr, SQLOptions, SessionContext, ident};
use std::sync::Arc;
use thalweg_definition::Source;

/// The answer to a SELECT over the sources' tables, which have their columns, `__arrival` and `__sequence`. There is
/// always at least one batch, so that the columns are known.
pub async fn query(history: &History, sources: &[Source], sql: &str) -> Result<Vec<RecordBatch>> {
    let context = context(Some(MAX_QUERY_BYTES))?;
    for source in sources {
        let table = table(history, source, &context).await?;
        context.register_table(TableReference::bare(source.name.as_str()), table)?;
    }
    let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let frame = context.sql_with_options(sql, options).await.map_err(|error| refused(&error))?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.map_err(|error| refused(&error))?;
    Ok(if batches.is_empty() { vec![RecordBatch::new_empty(schema)] } else { batches })
}

async fn table(history: &History, source: &Source, context: &SessionContext) -> Result<Arc<dyn TableProvider>> {
    let Some(provider) = history.provider(&source.name, None, context).await? else {
        let mut names: Vec<String> = source.columns.iter().map(|column| column.name.clone()).collect();
        names.extend([ARRIVAL.to_owned(), SEQUENCE.to_owned()]);
        let schema = asked_schema(source, &names);
        return Ok(Arc::new(MemTable::try_new(schema, vec![vec![]])?));
    };
    // The day is how the table is laid out, not what it says.
    let stored = provider.schema();
    let columns: Vec<Expr> =
        stored.fields().iter().filter(|field| field.name() != DATE).map(|field| ident(field.name().as_str())).collect();
    Ok(context.read_table(provider)?.select(columns)?.into_view())
}

fn refused(error: &DataFusionError) -> LakeError {
    let text = error.strip_backtrace();
    LakeError::Invalid(text.strip_prefix("Error during planning: ").unwrap_or(&text).to_owned())
}
