//! Middlewares: code of whoever runs the engine, which takes part in pushes and reads.
//!
//! ```text
//! push ─▶ decode ─▶ contract ─▶ before_set ─▶ filter ─▶ dedup ─▶ log ─▶ state ─▶ after_set ─▶ acknowledged
//! read ─▶ before_get ─▶ answer from the state ─▶ (recorded for the check) ─▶ after_get ─▶ handed out
//! ```
//! What `before_set` made of the rows is what the log has, and with it history, training sets and every later read.
//! What `after_get` makes of an answer is on the wire alone.

use crate::batch::Ack;
use crate::decode::{Decoded, Refusal, cast_column};
use crate::error::EngineError;
use crate::runtime::{Runtime, SourceRuntime};
use crate::serve::{FeatureRequest, FeatureResponse};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use thalweg_definition::{CheckedManifest, DataType, Source};

/// Takes part in pushes and reads.
///
/// Hooks run on the caller's thread and hold no lock of the engine, so they may read and push themselves. One that
/// fails or panics refuses the request it was called for, with its name in front, and nothing else.
pub trait Middleware: Send + Sync {
    /// By which errors name it.
    fn name(&self) -> &str;

    /// Lower runs earlier before the state, and later after it; of the same, by name.
    fn priority(&self) -> i32 {
        0
    }

    /// Whether it takes part in pushes to this source. Asked once per manifest.
    fn concerns_source(&self, source: &Source) -> bool {
        let _ = source;
        false
    }

    /// Whether it takes part in reads of these features (`view.output`, or the name of an on-demand feature). Asked
    /// once per manifest for each service, and per read for features that are listed in it.
    fn concerns_read(&self, checked: &CheckedManifest, features: &[String]) -> bool {
        let _ = (checked, features);
        false
    }

    /// Whether [`Middleware::before_get`] may block, on the network or on a push. Doors then call it on a thread that
    /// may.
    fn may_block(&self) -> bool {
        false
    }

    /// Sees a read before it is answered, and may change it. What it pushes and waits for, the read sees.
    ///
    /// # Errors
    /// Any error refuses the read.
    fn before_get(&self, runtime: &Runtime, request: &mut FeatureRequest) -> Result<(), EngineError> {
        let _ = (runtime, request);
        Ok(())
    }

    /// Shapes what goes out, after the answer was recorded for the check. The answer keeps its form: one value, event
    /// time and status per entity, and values of the type that each result says.
    ///
    /// # Errors
    /// Any error refuses the read.
    fn after_get(&self, runtime: &Runtime, response: &mut FeatureResponse) -> Result<(), EngineError> {
        let _ = (runtime, response);
        Ok(())
    }

    /// Rows that were decoded and keep the contract, before the source's filter, dedup and the log; there is at least
    /// one. They are rows of a first try: a push that was refused after this comes again, one that was acknowledged
    /// does not.
    ///
    /// # Errors
    /// Any error refuses the whole push; to refuse single rows, see [`Rows::reject`].
    fn before_set(&self, source: &SourceRuntime, rows: &mut Rows<'_>) -> Result<(), EngineError> {
        let _ = (source, rows);
        Ok(())
    }

    /// The rows are durable and visible. Called once per push of this process that was not a repeat, before its pusher
    /// is told, unless that one waits no longer; the push stands, whatever happens here.
    fn after_set(&self, ack: &Ack) {
        let _ = ack;
    }
}

/// The rows of a push while middlewares see them.
pub struct Rows<'a> {
    source: &'a SourceRuntime,
    decoded: &'a mut Decoded,
    /// The columns, by index, whose values were replaced.
    replaced: Vec<usize>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(source: &'a SourceRuntime, decoded: &'a mut Decoded) -> Self {
        Self { source, decoded, replaced: Vec::new() }
    }

    /// The rows, in the source's schema.
    pub fn batch(&self) -> &RecordBatch {
        &self.decoded.batch
    }

    /// Gives a column other values, one per row of the batch. When the hook returns, rows whose new values break the
    /// column's contract go to quarantine.
    ///
    /// # Errors
    /// The source has no such column, the number of values is not that of the rows, or a value does not fit the
    /// column's type. Nothing is replaced then.
    pub fn replace(&mut self, column: &str, values: ArrayRef) -> Result<(), String> {
        let (index, data_type) = self.column(column)?;
        let rows = self.batch().num_rows();
        if values.len() != rows {
            return Err(format!(
                "`{column}` was given {} values for {rows} rows: give one per row of the batch",
                values.len()
            ));
        }
        let mut unfit = None;
        let values = cast_column(&values, data_type, |row, why| {
            unfit.get_or_insert((row, why));
        })
        .map_err(|why| format!("`{column}`: {why}"))?;
        if let Some((row, why)) = unfit {
            return Err(format!("`{column}`, row {row} of the batch: {why}"));
        }
        let mut columns = self.batch().columns().to_vec();
        columns[index] = values;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        self.decoded.batch = RecordBatch::try_new_with_options(self.source.schema.clone(), columns, &options)
            .map_err(|error| error.to_string())?;
        self.replaced.push(index);
        Ok(())
    }

    /// Sends rows to quarantine, each by its index in the batch and with the reason, as it came from the client.
    /// `column` is the one to blame, if one is. The rows leave the batch at once: those after them move up.
    ///
    /// # Errors
    /// The batch has no such row, or the source no such column. Nothing is set aside then.
    pub fn reject(&mut self, rows: &[(usize, String)], column: Option<&str>) -> Result<(), String> {
        if let Some(column) = column {
            self.column(column)?;
        }
        if rows.is_empty() {
            return Ok(());
        }
        let there = self.batch().num_rows();
        let mut refusals: Vec<Option<Refusal>> = vec![None; there];
        for (row, reason) in rows {
            let refusal = refusals.get_mut(*row);
            let refusal = refusal.ok_or_else(|| format!("there is no row {row}: the batch has {there}"))?;
            refusal.get_or_insert_with(|| (column.map(str::to_owned), reason.clone()));
        }
        self.decoded.set_aside(refusals)
    }

    /// Sets aside the rows that break the contract by what was replaced.
    pub(crate) fn keep_contract(self) -> Result<(), String> {
        if self.replaced.is_empty() {
            return Ok(());
        }
        self.source.contract.check_replaced(&self.source.definition, self.decoded, &self.replaced)
    }

    fn column(&self, name: &str) -> Result<(usize, &'a DataType), String> {
        let source = self.source;
        let columns = source.columns.iter().enumerate();
        let mut found = columns.filter(|(_, (own, _))| own == name).map(|(index, (_, data_type))| (index, data_type));
        found.next().ok_or_else(|| {
            let names: Vec<&str> = source.columns.iter().map(|(own, _)| own.as_str()).collect();
            let source = &source.definition.name;
            format!("source `{source}` has no column `{name}`; it has: {}", names.join(", "))
        })
    }
}
