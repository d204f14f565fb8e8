//! Values as the simulation compares them: those that the engine answers with and those that the model computes.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use std::cmp::Ordering;

#[derive(Debug, Clone)]
pub(crate) enum Val {
    Null,
    /// Times too.
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Val>),
    /// Sorted by key.
    Map(Vec<(Val, Val)>),
}

/// One feature of one entity, as it was answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) value: Val,
    pub(crate) event_time: Option<i64>,
    pub(crate) status: &'static str,
}

/// The statuses of an answer, by their names in the rule book.
pub(crate) mod status {
    pub(crate) const PRESENT: &str = "PRESENT";
    pub(crate) const NULL: &str = "NULL";
    pub(crate) const NOT_FOUND: &str = "NOT_FOUND";
    pub(crate) const STALE: &str = "STALE";
    pub(crate) const ERROR: &str = "ERROR";
}

/// Equal to the last bit.
impl PartialEq for Val {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            _ => false,
        }
    }
}

impl Val {
    pub(crate) fn text(text: Option<&str>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.to_owned()))
    }

    pub(crate) fn int(value: Option<i64>) -> Self {
        value.map_or(Self::Null, Self::Int)
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The order of values of one type.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            _ => Ordering::Equal,
        }
    }

    /// The value in a row of an Arrow array.
    pub(crate) fn of(array: &dyn Array, row: usize) -> Self {
        if array.is_null(row) {
            return Self::Null;
        }
        match array.data_type() {
            DataType::Int64 => Self::Int(array.as_primitive::<Int64Type>().value(row)),
            DataType::Float64 => Self::Float(array.as_primitive::<Float64Type>().value(row)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Self::Int(array.as_primitive::<TimestampMicrosecondType>().value(row))
            }
            DataType::Utf8 => Self::Text(array.as_string::<i32>().value(row).to_owned()),
            DataType::List(_) => {
                let items = array.as_list::<i32>().value(row);
                Self::List((0..items.len()).map(|index| Self::of(&*items, index)).collect())
            }
            DataType::Map(..) => {
                let entries = array.as_map().value(row);
                let (keys, values) = (entries.column(0), entries.column(1));
                Self::map((0..keys.len()).map(|index| (Self::of(&**keys, index), Self::of(&**values, index))).collect())
            }
            other => Self::Text(format!("a value of the type {other}, which the simulation does not use")),
        }
    }

    pub(crate) fn map(mut entries: Vec<(Self, Self)>) -> Self {
        entries.sort_by(|a, b| a.0.order(&b.0));
        Self::Map(entries)
    }
}
