//! The contract of a source: required columns, bounds, allowed values. A row that breaks it goes to quarantine.

use crate::decode::Decoded;
use crate::limits::TIMES;
use crate::literal::from_text;
use arrow::array::{Array, AsArray, RecordBatch};
use thalweg_aggregate::{Cell, ColumnReader, Value};
use thalweg_definition::{Source, SourceKind};

pub struct Contract {
    rules: Vec<Rule>,
    /// Of a change source: the operation's column. A delete needs only its key.
    operation: Option<usize>,
    keys: Vec<usize>,
    /// The declared arrival time, which a delete needs too.
    arrival: Option<usize>,
}

struct Rule {
    column: usize,
    name: String,
    required: bool,
    min: Option<Value>,
    max: Option<Value>,
    allowed: Vec<Value>,
}

impl Contract {
    pub fn new(source: &Source) -> Result<Self, String> {
        let index = |name: &String| source.columns.iter().position(|column| column.name == *name);
        let (operation, keys) = match &source.kind {
            SourceKind::Event => (None, Vec::new()),
            SourceKind::Change { operation, primary_key } => {
                (index(operation), primary_key.iter().filter_map(index).collect())
            }
        };
        let arrival = source.arrival_time.as_ref().and_then(index);
        let mut rules = Vec::new();
        for (position, column) in source.columns.iter().enumerate() {
            let literal = |text: &String| from_text(text, &column.data_type);
            let is_time = column.name == source.timestamp || source.arrival_time.as_ref() == Some(&column.name);
            let needed = is_time || operation == Some(position) || keys.contains(&position);
            let rule = Rule {
                column: position,
                name: column.name.clone(),
                required: column.required || needed,
                min: column.min.as_ref().map(literal).transpose()?.or(is_time.then(|| Value::Int(*TIMES.start()))),
                max: column.max.as_ref().map(literal).transpose()?.or(is_time.then(|| Value::Int(*TIMES.end()))),
                allowed: column.allowed.iter().map(literal).collect::<Result<_, _>>()?,
            };
            if rule.required || rule.min.is_some() || rule.max.is_some() || !rule.allowed.is_empty() {
                rules.push(rule);
            }
        }
        Ok(Self { rules, operation, keys, arrival })
    }

    /// The rows that keep the contract; the others are set aside with the first rule that each breaks.
    pub fn check(&self, source: &Source, decoded: &mut Decoded) -> Result<(), String> {
        self.check_rules(source, decoded, |_| true)
    }

    /// Checks rows that had kept the contract, after the values of some columns (by index) were replaced.
    pub(crate) fn check_replaced(
        &self,
        source: &Source,
        decoded: &mut Decoded,
        replaced: &[usize],
    ) -> Result<(), String> {
        // The operation decides what else a row needs.
        let all = self.operation.is_some_and(|operation| replaced.contains(&operation));
        self.check_rules(source, decoded, |column| all || replaced.contains(&column))
    }

    fn check_rules(
        &self,
        source: &Source,
        decoded: &mut Decoded,
        concerned: impl Fn(usize) -> bool,
    ) -> Result<(), String> {
        let rows = decoded.batch.num_rows();
        let mut broken: Vec<Option<(usize, String)>> = vec![None; rows];
        for rule in self.rules.iter().filter(|rule| concerned(rule.column)) {
            let column = decoded.batch.column(rule.column);
            let reader =
                ColumnReader::new(column, &source.columns[rule.column].data_type).map_err(|error| error.to_string())?;
            for (row, broken) in broken.iter_mut().enumerate() {
                if broken.is_none()
                    && let Err(reason) = rule.check(reader.cell(row))
                    && !(reader.cell(row).is_null() && self.excused(&decoded.batch, row, rule.column))
                {
                    *broken = Some((rule.column, reason));
                }
            }
        }
        self.check_operations(&decoded.batch, &mut broken);
        if broken.iter().all(Option::is_none) {
            return Ok(());
        }
        let named = |(column, reason): (usize, String)| (Some(source.columns[column].name.clone()), reason);
        decoded.set_aside(broken.into_iter().map(|broken| broken.map(named)).collect())
    }

    fn check_operations(&self, batch: &RecordBatch, broken: &mut [Option<(usize, String)>]) {
        let Some(column) = self.operation else { return };
        let operations = batch.column(column).as_string::<i32>();
        for (row, broken) in broken.iter_mut().enumerate().filter(|(_, broken)| broken.is_none()) {
            if !matches!(operations.value(row), "insert" | "update" | "delete") {
                *broken = Some((column, "is none of insert, update, delete".to_owned()));
            }
        }
    }

    fn excused(&self, batch: &RecordBatch, row: usize, column: usize) -> bool {
        let Some(operation) = self.operation else { return false };
        operation != column
            && self.arrival != Some(column)
            && !self.keys.contains(&column)
            && is_delete(batch, operation, row)
    }
}

fn is_delete(batch: &RecordBatch, operation: usize, row: usize) -> bool {
    let operations = batch.column(operation).as_string::<i32>();
    operations.is_valid(row) && operations.value(row) == "delete"
}

impl Rule {
    fn check(&self, cell: Cell<'_>) -> Result<(), String> {
        if cell.is_null() {
            return if self.required { Err(format!("`{}` is required and is null", self.name)) } else { Ok(()) };
        }
        if self.min.as_ref().is_some_and(|min| cell.as_key().order(&min.as_cell().as_key()).is_lt()) {
            return Err(format!("`{}` is below its minimum", self.name));
        }
        if self.max.as_ref().is_some_and(|max| cell.as_key().order(&max.as_cell().as_key()).is_gt()) {
            return Err(format!("`{}` is above its maximum", self.name));
        }
        if !self.allowed.is_empty() && !self.allowed.iter().any(|value| cell.order(&value.as_cell()).is_eq()) {
            return Err(format!("`{}` is not one of the allowed values", self.name));
        }
        Ok(())
    }
}
