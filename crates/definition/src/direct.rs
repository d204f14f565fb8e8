//! Features that applications write themselves: what is declared, and the ordinary source and view it stands for.
//!
//! A direct feature is an event source of its writes and a view of the newest one, or of those in a window. So the
//! log, history, training sets, services and every protocol have it, and need not know that it is there.

use crate::aggregation::Aggregation;
use crate::duration::Duration;
use crate::model::{About, Column, Feature, FeatureView, Source, SourceKind};
use crate::types::DataType;
use crate::window::Window;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Most values before the newest that a direct feature keeps.
pub const MAX_PREVIOUS: u32 = 16;

/// A feature whose values are written, each as a whole, rather than computed from rows.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectFeature {
    /// Unique in the namespace.
    pub name: String,
    pub entity: String,
    pub primitive: Primitive,
    /// How many values before the newest can be read; at most [`MAX_PREVIOUS`].
    pub keep_previous: u32,
    /// Of count, sum, mean, min and max. Not empty: the feature is windowed.
    pub aggregations: Vec<Aggregation>,
    /// The window; there exactly where there are aggregations.
    pub over: Option<Duration>,
    /// The objective for the lag between a write and its being readable; with a fetch, how old a value may be before it
    /// is fetched again (none: every read fetches).
    pub freshness: Option<Duration>,
    pub staleness: Option<Duration>,
    /// How long a write may take to be durable, and a fetch to answer.
    pub timeout: Option<Duration>,
    pub fetch: Option<Fetch>,
    pub about: About,
}

/// What a direct feature holds: one value, or a list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Primitive {
    pub item: Scalar,
    pub list: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    Int,
    Float,
    String,
    Bool,
    Timestamp,
}

/// Where a value is asked for that is not there, or is older than the feature's freshness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// http or https, with `{column}` for each key column, percent-encoded when it is filled in.
    pub url: String,
    /// A JSON pointer into the answer (`/score`); empty: all of it.
    pub field: String,
    /// Names and values; a value is literal, or `env:NAME` for the server's environment variable NAME.
    pub headers: Vec<(String, String)>,
}

impl DirectFeature {
    /// The columns of the generated source beside the keys and the previous values.
    pub const AT: &str = "at";
    pub const VALUE: &str = "value";
    pub const OPERATION: &str = "operation";
    pub const OPERAND: &str = "operand";
    /// What the operation column holds.
    pub const OPERATIONS: [&str; 4] = ["set", "append", "incr", "add"];

    /// How the engine's interface names it: `namespace.name`.
    pub fn selector(&self) -> String {
        format!("{}.{}", self.about.namespace(), self.name)
    }

    /// The name of the source and of the view that it stands for.
    pub fn object_name(&self) -> String {
        format!("{}__{}", self.about.namespace(), self.name)
    }

    pub fn is_windowed(&self) -> bool {
        !self.aggregations.is_empty()
    }

    /// By namespace, then by name.
    pub fn order(&self, other: &Self) -> Ordering {
        (self.about.namespace(), &self.name).cmp(&(other.about.namespace(), &other.name))
    }

    /// The column of the value so many before the newest, counted from 1.
    pub fn previous(position: u32) -> String {
        format!("previous_{position}")
    }

    fn previous_columns(&self) -> impl Iterator<Item = String> {
        // What is past the bound is refused, and not made either.
        (1..=self.keep_previous.min(MAX_PREVIOUS)).map(Self::previous)
    }

    /// The source of its writes: one row a write, with the value after it.
    pub(crate) fn source(&self, keys: &[Column]) -> Source {
        let mut columns: Vec<Column> = keys.iter().map(|key| Column { required: true, ..key.clone() }).collect();
        columns.push(column(Self::AT, DataType::Timestamp, true, "when it was written"));
        columns.push(column(Self::VALUE, self.primitive.data_type(), self.is_windowed(), "the value after the write"));
        let mut operation = column(Self::OPERATION, DataType::String, true, "what the write did");
        operation.allowed = Self::OPERATIONS.map(str::to_owned).into();
        columns.push(operation);
        columns.push(column(Self::OPERAND, self.primitive.item_type(), false, "what was appended or added"));
        let before = "the value before, so many writes back";
        columns.extend(self.previous_columns().map(|name| column(&name, self.primitive.data_type(), false, before)));
        Source {
            name: self.object_name(),
            kind: SourceKind::Event,
            columns,
            timestamp: Self::AT.to_owned(),
            arrival_time: None,
            dedup: None,
            filter: None,
            steps: Vec::new(),
            retention: None,
            about: self.about.clone(),
        }
    }

    /// The view that reads them.
    pub(crate) fn view(&self) -> FeatureView {
        let features = if self.is_windowed() {
            let window = self.over.map_or(Window::Unbounded, |over| Window::Sliding { over, hop: None });
            let one = |aggregation: &Aggregation| feature(aggregation.name(), *aggregation, Self::VALUE, window);
            self.aggregations.iter().map(one).collect()
        } else {
            let names = std::iter::once(Self::VALUE.to_owned()).chain(self.previous_columns());
            names.map(|name| feature(&name, Aggregation::Latest, &name, Window::Unbounded)).collect()
        };
        FeatureView {
            name: self.object_name(),
            entity: self.entity.clone(),
            sources: vec![self.object_name()],
            filter: None,
            derived: Vec::new(),
            features,
            freshness: self.freshness,
            staleness: self.staleness,
            declared_retention: None,
            time_zone: None,
            keep_nan: false,
            about: self.about.clone(),
        }
    }
}

fn column(name: &str, data_type: DataType, required: bool, description: &str) -> Column {
    Column {
        name: name.to_owned(),
        data_type,
        required,
        min: None,
        max: None,
        allowed: Vec::new(),
        description: description.to_owned(),
    }
}

fn feature(name: &str, aggregation: Aggregation, input: &str, window: Window) -> Feature {
    Feature {
        name: name.to_owned(),
        aggregation,
        input: Some(input.to_owned()),
        filter: None,
        by: None,
        windows: vec![window],
        about: About::default(),
    }
}

impl Primitive {
    /// The type of the value column.
    pub fn data_type(self) -> DataType {
        let item = self.item_type();
        if self.list { DataType::List(Box::new(item)) } else { item }
    }

    /// The type of one item, that of the value itself where it is no list.
    pub fn item_type(self) -> DataType {
        match self.item {
            Scalar::Int => DataType::Int64,
            Scalar::Float => DataType::Float64,
            Scalar::String => DataType::String,
            Scalar::Bool => DataType::Bool,
            Scalar::Timestamp => DataType::Timestamp,
        }
    }
}

impl fmt::Display for Primitive {
    /// The written form: `int`, or `[int]` for a list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let item = match self.item {
            Scalar::Int => "int",
            Scalar::Float => "float",
            Scalar::String => "string",
            Scalar::Bool => "bool",
            Scalar::Timestamp => "timestamp",
        };
        if self.list { write!(f, "[{item}]") } else { f.write_str(item) }
    }
}

impl FromStr for Primitive {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let item = match inner.unwrap_or(text).trim() {
            "int" => Scalar::Int,
            "float" => Scalar::Float,
            "string" => Scalar::String,
            "bool" => Scalar::Bool,
            "timestamp" => Scalar::Timestamp,
            _ => {
                let rule = format!("`{text}` is not what a direct feature can hold");
                return Err(format!(
                    "{rule}: use int, float, string, bool or timestamp, or one of them in brackets for a list"
                ));
            }
        };
        Ok(Self { item, list: inner.is_some() })
    }
}
