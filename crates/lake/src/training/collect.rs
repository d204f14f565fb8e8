//! Answers on their way to arrays: numbers are kept as numbers, so that nothing is made twice.

use arrow::array::{ArrayRef, Float64Array, Int64Array, TimestampMicrosecondArray, UInt8Array};
use arrow::buffer::NullBuffer;
use std::sync::Arc;
use thalweg_aggregate::{Answer, Status, Value, ViewPlan, array_from_values};
use thalweg_definition::DataType;

/// The answers of a partition, in an order of its own.
pub(super) struct PartAnswers {
    pub(super) rows: Vec<u32>,
    pub(super) values: Vec<ArrayRef>,
    pub(super) statuses: Vec<UInt8Array>,
    pub(super) other: Vec<ArrayRef>,
    /// The rows of the spine in which the other values differ.
    pub(super) changed: Vec<u32>,
}

/// Collects the answers of rows of the spine, by output.
pub(super) struct Collector {
    rows: Vec<u32>,
    columns: Vec<Column>,
    statuses: Vec<Vec<u8>>,
    /// The other values where any differs, with their place among the rows.
    other: Vec<(usize, Vec<Value>)>,
}

#[derive(Clone)]
enum Column {
    Ints { values: Vec<i64>, present: Vec<bool> },
    Floats { values: Vec<f64>, present: Vec<bool> },
    Values(Vec<Value>),
}

impl Collector {
    /// For about so many rows.
    pub(super) fn new(plan: &ViewPlan, rows: usize) -> Self {
        let column = |output: &thalweg_aggregate::Output| Column::of(&output.value_type, rows);
        Self {
            rows: Vec::with_capacity(rows),
            columns: plan.outputs.iter().map(column).collect(),
            statuses: plan.outputs.iter().map(|_| Vec::with_capacity(rows)).collect(),
            other: Vec::new(),
        }
    }

    /// Makes places for these rows of the spine; returns the first of them. Each has to be filled.
    pub(super) fn begin(&mut self, rows: &[u32]) -> usize {
        let first = self.rows.len();
        self.rows.extend_from_slice(rows);
        let places = self.rows.len();
        self.columns.iter_mut().for_each(|column| column.resize(places));
        self.statuses.iter_mut().for_each(|codes| codes.resize(places, 0));
        first
    }

    #[inline]
    pub(super) fn put(&mut self, place: usize, output: usize, answer: Answer) {
        self.statuses[output][place] = status_code(answer.status);
        self.columns[output].set(place, answer.value);
    }

    pub(super) fn put_all(&mut self, place: usize, answers: Vec<Answer>) {
        for (output, answer) in answers.into_iter().enumerate() {
            self.put(place, output, answer);
        }
    }

    /// What the other of the two kinds of point in time says there.
    pub(super) fn put_other(&mut self, place: usize, answers: Vec<Answer>) {
        self.other.push((place, answers.into_iter().map(|answer| answer.value).collect()));
    }

    pub(super) fn finish(self, plan: &ViewPlan) -> PartAnswers {
        let Self { rows, mut columns, statuses, other } = self;
        let arrays = |columns: Vec<Column>| -> Vec<ArrayRef> {
            columns.into_iter().zip(&plan.outputs).map(|(column, output)| column.finish(&output.value_type)).collect()
        };
        let changed = other.iter().map(|(place, _)| rows[*place]).collect();
        let statuses = statuses.into_iter().map(UInt8Array::from).collect();
        if other.is_empty() {
            let values = arrays(columns);
            return PartAnswers { rows, other: values.clone(), values, statuses, changed };
        }
        let values = arrays(columns.clone());
        for (place, others) in other {
            others.into_iter().enumerate().for_each(|(output, value)| columns[output].set(place, value));
        }
        PartAnswers { rows, values, statuses, other: arrays(columns), changed }
    }
}

impl Column {
    fn of(data_type: &DataType, rows: usize) -> Self {
        let present = Vec::with_capacity(rows);
        match data_type {
            DataType::Int64 | DataType::Timestamp => Self::Ints { values: Vec::with_capacity(rows), present },
            DataType::Float64 => Self::Floats { values: Vec::with_capacity(rows), present },
            _ => Self::Values(Vec::with_capacity(rows)),
        }
    }

    fn resize(&mut self, places: usize) {
        match self {
            Self::Ints { values, present } => {
                values.resize(places, 0);
                present.resize(places, false);
            }
            Self::Floats { values, present } => {
                values.resize(places, 0.0);
                present.resize(places, false);
            }
            Self::Values(values) => values.resize(places, Value::Null),
        }
    }

    #[inline]
    fn set(&mut self, place: usize, value: Value) {
        match (self, value) {
            (Self::Ints { values, present }, Value::Int(value)) => (values[place], present[place]) = (value, true),
            (Self::Floats { values, present }, Value::Float(value)) => (values[place], present[place]) = (value, true),
            (Self::Ints { present, .. } | Self::Floats { present, .. }, _) => present[place] = false,
            (Self::Values(values), value) => values[place] = value,
        }
    }

    fn finish(self, data_type: &DataType) -> ArrayRef {
        let nulls = |present: Vec<bool>| Some(NullBuffer::from(present)).filter(|nulls| nulls.null_count() > 0);
        match (self, data_type) {
            (Self::Ints { values, present }, DataType::Timestamp) => {
                Arc::new(TimestampMicrosecondArray::new(values.into(), nulls(present)).with_timezone("UTC"))
            }
            (Self::Ints { values, present }, _) => Arc::new(Int64Array::new(values.into(), nulls(present))),
            (Self::Floats { values, present }, _) => Arc::new(Float64Array::new(values.into(), nulls(present))),
            (Self::Values(values), data_type) => array_from_values(values.iter(), data_type),
        }
    }
}

/// Statuses in the order of their codes.
const STATUSES: [Status; 5] = [Status::Present, Status::Null, Status::NotFound, Status::Stale, Status::Error];

/// A status as a small number, as it is kept in arrays.
pub(super) fn status_code(status: Status) -> u8 {
    STATUSES.iter().position(|own| *own == status).map_or(0, |code| code as u8)
}

/// The name of the status that a code stands for.
pub(super) fn status_name(code: u8) -> &'static str {
    STATUSES.get(usize::from(code)).unwrap_or(&Status::Error).name()
}
