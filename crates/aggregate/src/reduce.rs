//! From a batch of source rows to what a view keeps of them: filter, derived columns, inputs, keys.
//!
//! Expressions are SQL; who evaluates them is behind [`Expressions`], so that this crate needs no query engine.

use crate::arrays::{ColumnReader, arrow_field};
use crate::cell::Cell;
use crate::view_plan::ViewPlan;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{concat, filter_record_batch, prep_null_mask_filter};
use arrow::datatypes::{Field, Schema};
use std::collections::HashSet;
use std::sync::Arc;
use thalweg_definition::{CheckedView, DataType, Entity, ExpressionTypes, FeatureView};

/// A compiled row expression.
pub trait Expression: Send + Sync {
    /// Its value for every row of a batch, of the type it was compiled with; fails where any row fails.
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, String>;
}

/// Compiles SQL row expressions over named columns.
pub trait Expressions: ExpressionTypes + Send + Sync {
    fn compile(&self, expression: &str, columns: &[(String, DataType)]) -> Result<Arc<dyn Expression>, String>;
}

/// An expression with the rule for rows on which it fails: they are null, the others keep their values.
pub struct RowExpression {
    expression: Arc<dyn Expression>,
    data_type: DataType,
}

impl RowExpression {
    pub fn compile(
        expressions: &dyn Expressions,
        text: &str,
        columns: &[(String, DataType)],
        data_type: DataType,
    ) -> Result<Self, String> {
        Ok(Self { expression: expressions.compile(text, columns)?, data_type })
    }

    pub fn evaluate(&self, batch: &RecordBatch) -> ArrayRef {
        if let Ok(values) = self.expression.evaluate(batch) {
            return values;
        }
        let nulls = |rows| new_null_array(&crate::arrow_type(&self.data_type), rows);
        let rows = batch.num_rows();
        if rows <= 1 {
            return nulls(rows);
        }
        // The rows that fail are found by halving: the others are still computed many at a time.
        let halves =
            [batch.slice(0, rows / 2), batch.slice(rows / 2, rows - rows / 2)].map(|half| self.evaluate(&half));
        concat(&[&*halves[0], &*halves[1]]).unwrap_or_else(|_| nulls(rows))
    }
}

/// Reduces batches of one source's rows for one view.
pub struct Reducer {
    /// The source's columns that the view needs, in the order in which expressions were compiled.
    columns: Vec<(String, DataType)>,
    derived: Vec<(Field, RowExpression)>,
    filter: Option<RowExpression>,
    slots: Vec<(RowExpression, DataType)>,
    filters: Vec<RowExpression>,
    keys: Vec<(String, DataType)>,
}

/// The rows of a batch that a view takes, column by column.
pub struct ReducedRows {
    /// For each row taken, its index in the source batch.
    pub rows: Vec<u32>,
    keys: Vec<ColumnReader>,
    slots: Vec<ColumnReader>,
    filters: Vec<BooleanArray>,
}

impl Reducer {
    /// `columns` are the source's; `plan` is the view's.
    pub fn new(
        expressions: &dyn Expressions,
        view: &FeatureView,
        checked: &CheckedView,
        entity: &Entity,
        plan: &ViewPlan,
        columns: &[(String, DataType)],
    ) -> Result<Self, String> {
        let needed = needed_names(expressions, view, entity, plan)?;
        let mut columns: Vec<_> = columns.iter().filter(|(name, _)| needed.contains(name)).cloned().collect();
        let own = columns.clone();
        let mut derived = Vec::new();
        for (column, data_type) in view.derived.iter().zip(&checked.derived_types) {
            if needed.contains(&column.name) {
                let expression = RowExpression::compile(expressions, &column.expression, &columns, data_type.clone())?;
                derived.push((arrow_field(&column.name, data_type), expression));
                columns.push((column.name.clone(), data_type.clone()));
            }
        }
        let compile = |text: &String, data_type: &DataType| {
            RowExpression::compile(expressions, text, &columns, data_type.clone())
        };
        let filter = view.filter.as_ref().map(|filter| compile(filter, &DataType::Bool)).transpose()?;
        let slots = plan
            .slots
            .iter()
            .map(|slot| Ok((compile(&slot.expression, &slot.data_type)?, slot.data_type.clone())))
            .collect::<Result<_, String>>()?;
        let filters =
            plan.filters.iter().map(|filter| compile(filter, &DataType::Bool)).collect::<Result<_, String>>()?;
        let keys = entity.keys.iter().map(|key| (key.name.clone(), key.data_type.clone())).collect();
        Ok(Self { columns: own, derived, filter, slots, filters, keys })
    }

    /// The source's columns that the view needs.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// The rows that pass the view's filter and have no null key.
    pub fn reduce(&self, batch: &RecordBatch) -> Result<ReducedRows, String> {
        let mut batch = self.project(batch)?;
        for (field, expression) in &self.derived {
            let values = expression.evaluate(&batch);
            batch = with_column(&batch, field.clone(), values)?;
        }
        let keep = self.keep(&batch)?;
        let rows = (0..batch.num_rows() as u32).filter(|row| keep.value(*row as usize)).collect::<Vec<_>>();
        if rows.len() < batch.num_rows() {
            batch = filter_record_batch(&batch, &keep).map_err(|error| error.to_string())?;
        }
        let read = |array: &ArrayRef, data_type: &DataType| {
            ColumnReader::new(array, data_type).map_err(|error| error.to_string())
        };
        let keys = self.keys.iter().map(|(name, data_type)| read(column(&batch, name)?, data_type)).collect();
        let slots =
            self.slots.iter().map(|(expression, data_type)| read(&expression.evaluate(&batch), data_type)).collect();
        let filters = self.filters.iter().map(|filter| truth(&filter.evaluate(&batch))).collect();
        Ok(ReducedRows { rows, keys: collected(keys)?, slots: collected(slots)?, filters })
    }

    fn project(&self, batch: &RecordBatch) -> Result<RecordBatch, String> {
        let mut fields = Vec::with_capacity(self.columns.len());
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (name, data_type) in &self.columns {
            let field = arrow_field(name, data_type);
            let array = column(batch, name)?;
            arrays.push(if array.data_type() == field.data_type() {
                array.clone()
            } else {
                arrow::compute::cast(array, field.data_type()).map_err(|error| format!("column `{name}`: {error}"))?
            });
            fields.push(field);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
            .map_err(|error| error.to_string())
    }

    fn keep(&self, batch: &RecordBatch) -> Result<BooleanArray, String> {
        let mut keep = match &self.filter {
            Some(filter) => truth(&filter.evaluate(batch)),
            None => BooleanArray::from(vec![true; batch.num_rows()]),
        };
        for (name, _) in &self.keys {
            let column = column(batch, name)?;
            if column.null_count() > 0 {
                let present = arrow::compute::is_not_null(column).map_err(|error| error.to_string())?;
                keep = arrow::compute::and(&keep, &present).map_err(|error| error.to_string())?;
            }
        }
        Ok(keep)
    }
}

/// The names of source columns and derived columns that the view's values depend on.
fn needed_names(
    expressions: &dyn Expressions,
    view: &FeatureView,
    entity: &Entity,
    plan: &ViewPlan,
) -> Result<HashSet<String>, String> {
    let mut needed: HashSet<String> = entity.keys.iter().map(|key| key.name.clone()).collect();
    let texts = plan.slots.iter().map(|slot| &slot.expression).chain(&plan.filters).chain(&view.filter);
    for text in texts {
        needed.extend(expressions.references(text)?);
    }
    // Derived columns refer to earlier ones only.
    for derived in view.derived.iter().rev() {
        if needed.contains(&derived.name) {
            needed.extend(expressions.references(&derived.expression)?);
        }
    }
    Ok(needed)
}

fn collected<T>(items: Vec<Result<T, String>>) -> Result<Vec<T>, String> {
    items.into_iter().collect()
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, String> {
    batch.column_by_name(name).ok_or_else(|| format!("column `{name}` is not in the batch"))
}

/// True where true; null counts as false.
fn truth(values: &ArrayRef) -> BooleanArray {
    let values = values.as_boolean();
    if values.null_count() > 0 { prep_null_mask_filter(values) } else { values.clone() }
}

fn with_column(batch: &RecordBatch, field: Field, values: ArrayRef) -> Result<RecordBatch, String> {
    let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(field));
    let mut columns = batch.columns().to_vec();
    columns.push(values);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| error.to_string())
}

impl ReducedRows {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the entity key of the `index`th row taken.
    pub fn key(&self, index: usize, out: &mut Vec<u8>) {
        out.clear();
        for reader in &self.keys {
            encode_key(reader.cell(index), out);
        }
    }

    /// The kept inputs of the `index`th row taken.
    pub fn cells<'a>(&'a self, index: usize, out: &mut Vec<Cell<'a>>) {
        out.clear();
        out.extend(self.slots.iter().map(|slot| slot.cell(index)));
    }

    /// How many inputs are NaN or infinite.
    pub fn non_finite(&self) -> u64 {
        self.slots.iter().map(ColumnReader::non_finite).sum()
    }

    pub fn passes(&self, index: usize, out: &mut Vec<bool>) {
        out.clear();
        out.extend(self.filters.iter().map(|filter| filter.value(index)));
    }
}

/// Encodes entity keys from columns of a request or a spine, as [`ReducedRows::key`] does from rows.
pub struct KeyEncoder {
    readers: Vec<ColumnReader>,
}

impl KeyEncoder {
    /// One array per key of the entity, in its order; cast to the keys' types.
    pub fn new(entity: &Entity, columns: &[ArrayRef]) -> Result<Self, String> {
        let readers = entity
            .keys
            .iter()
            .zip(columns)
            .map(|(key, column)| {
                ColumnReader::new(column, &key.data_type).map_err(|error| {
                    format!("key `{}` of entity `{}`: {error}; send {} values", key.name, entity.name, key.data_type)
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { readers })
    }

    /// Writes a row's key; false where part of it is null, so that it names no entity.
    pub fn key(&self, row: usize, out: &mut Vec<u8>) -> bool {
        out.clear();
        self.readers.iter().all(|reader| {
            let cell = reader.cell(row);
            encode_key(cell, out);
            !cell.is_null()
        })
    }
}

/// Appends the byte form of a part of a key: fixed-width numbers, length-prefixed text; nothing for null.
pub fn encode_key(cell: Cell<'_>, out: &mut Vec<u8>) {
    match cell.as_key() {
        Cell::Null => {}
        Cell::Bool(value) => out.push(u8::from(value)),
        Cell::Int(value) => out.extend(value.to_le_bytes()),
        Cell::Float(value) => out.extend(value.to_bits().to_le_bytes()),
        Cell::Decimal(value) => out.extend(value.to_le_bytes()),
        Cell::Bytes(value) => {
            out.extend((value.len() as u32).to_le_bytes());
            out.extend(value);
        }
    }
}
