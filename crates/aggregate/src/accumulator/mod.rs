//! Accumulators: each aggregation, once. The live path, the training set and whatever else computes a feature
//! add rows to these, merge them and read them.
//!
//! An accumulator's value is a function of the set of rows added to it: neither their order nor the way in which
//! they were merged shows.

mod ddsketch;
mod distinct;
mod ends;
mod fits;
mod hyperloglog;
mod powers;
mod ranked;
mod sums;

use crate::cell::{Cell, Value};
use crate::exact::ExactSum;
use crate::layout::RowRef;
use ddsketch::DdSketch;
use distinct::Distinct;
use ends::Ends;
use hyperloglog::HyperLogLog;
use powers::Powers;
use ranked::Ranked;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use sums::{DecimalSum, FloatSum, IntSum};
use thalweg_definition::{Aggregation, DataType};

/// What an accumulator keeps; several features can read one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Rows, or non-null inputs.
    Count,
    IntSum,
    DecimalSum,
    FloatSum,
    /// Sums of powers up to this one.
    Powers(u8),
    Min,
    Max,
    /// The first `k` inputs.
    First(u32),
    Last(u32),
    /// The input of the last row, null or not.
    Latest,
    Top(u32),
    Bottom(u32),
    Distinct,
    HyperLogLog(u32),
    DdSketch(f64),
}

/// An accumulator's recipe: which rows, which input, kept how.
#[derive(Debug, Clone, PartialEq)]
pub struct AccumulatorSpec {
    pub kind: Kind,
    /// The slot of the input; none for `count(*)`.
    pub input: Option<usize>,
    /// The filter a row has to pass.
    pub filter: Option<usize>,
    /// The slot of the key, for a map.
    pub by: Option<usize>,
    pub keep_nan: bool,
}

impl AccumulatorSpec {
    /// What `aggregation` over an input of type `input` needs to be kept.
    pub fn kind_for(aggregation: &Aggregation, input: Option<&DataType>) -> Kind {
        let sum = |input: &DataType| match input {
            DataType::Decimal(..) => Kind::DecimalSum,
            DataType::Float32 | DataType::Float64 => Kind::FloatSum,
            _ => Kind::IntSum,
        };
        match (*aggregation, input) {
            (Aggregation::Count, Some(input)) if input.is_numeric() => sum(input),
            (Aggregation::Count, _) => Kind::Count,
            (Aggregation::Sum | Aggregation::Mean, Some(input)) => sum(input),
            (Aggregation::Sum | Aggregation::Mean, None) => Kind::IntSum,
            (Aggregation::Min, _) => Kind::Min,
            (Aggregation::Max, _) => Kind::Max,
            (Aggregation::Var { .. } | Aggregation::Std { .. }, _) => Kind::Powers(2),
            (Aggregation::Skew, _) => Kind::Powers(3),
            (Aggregation::Kurtosis, _) => Kind::Powers(4),
            (Aggregation::First, _) => Kind::First(1),
            (Aggregation::Last, _) => Kind::Last(1),
            (Aggregation::FirstK { k }, _) => Kind::First(k),
            (Aggregation::LastK { k }, _) => Kind::Last(k),
            (Aggregation::TopK { k }, _) => Kind::Top(k),
            (Aggregation::BottomK { k }, _) => Kind::Bottom(k),
            (Aggregation::DistinctCount | Aggregation::ValueCounts, _) => Kind::Distinct,
            (Aggregation::ApproxDistinct { lg_k }, _) => Kind::HyperLogLog(lg_k),
            (Aggregation::ApproxQuantile { relative_error, .. }, _) => Kind::DdSketch(relative_error),
            (Aggregation::Latest, _) => Kind::Latest,
        }
    }

    /// Whether the input is one that this accumulator passes over; skipped inputs are counted by the engine.
    pub fn skips(&self, cell: &Cell<'_>) -> bool {
        self.kind != Kind::Latest && (cell.is_null() || (!self.keep_nan && cell.is_non_finite()))
    }
}

/// A partial result: what was added so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Accumulator {
    /// The newest event time among the rows that counted; `i64::MIN` before the first.
    newest: i64,
    state: State,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum State {
    Count(u64),
    IntSum(IntSum),
    DecimalSum(Box<DecimalSum>),
    FloatSum(FloatSum),
    Powers(Box<Powers>),
    Ends(Ends),
    Ranked(Ranked),
    Distinct(Distinct),
    HyperLogLog(HyperLogLog),
    DdSketch(DdSketch),
    By(#[serde(deserialize_with = "crate::nesting::bounded")] BTreeMap<Value, Accumulator>),
}

/// A feature's value before it gets a status.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub value: Result<Value, ValueError>,
    /// The newest event time among the rows that counted.
    pub event_time: Option<i64>,
}

/// Why a value cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    #[error("the sum is past the range of int64: sum a float64 or a decimal instead")]
    IntegerOverflow,
    #[error("the sum is past 38 digits: sum a float64 instead")]
    DecimalOverflow,
    #[error("as_of lies before what the online state still holds: ask for a training set")]
    BeforeState,
}

impl Accumulator {
    pub fn new(spec: &AccumulatorSpec) -> Self {
        let state = if spec.by.is_some() { State::By(BTreeMap::new()) } else { State::new(spec.kind) };
        Self { newest: i64::MIN, state }
    }

    fn inner(spec: &AccumulatorSpec) -> Self {
        Self { newest: i64::MIN, state: State::new(spec.kind) }
    }

    /// Adds a visible row.
    #[inline]
    pub fn add(&mut self, spec: &AccumulatorSpec, row: RowRef<'_>) {
        if spec.filter.is_some_and(|filter| !row.passes(filter)) {
            return;
        }
        let cell = match spec.input {
            None => Cell::Bool(true),
            Some(slot) => row.cell(slot),
        };
        if spec.skips(&cell) {
            return;
        }
        if let State::By(map) = &mut self.state {
            let key = row.cell(spec.by.expect("a map has a key")).as_key();
            if key.is_null() {
                return;
            }
            let inner = map.entry(key.to_value()).or_insert_with(|| Self::inner(spec));
            inner.add_cell(spec, cell, row);
            self.newest = self.newest.max(row.time());
            return;
        }
        self.add_cell(spec, cell, row);
    }

    #[inline]
    fn add_cell(&mut self, spec: &AccumulatorSpec, cell: Cell<'_>, row: RowRef<'_>) {
        self.newest = self.newest.max(row.time());
        match &mut self.state {
            State::Count(count) => *count += 1,
            State::IntSum(sum) => sum.add(cell),
            State::DecimalSum(sum) => sum.add(cell),
            State::FloatSum(sum) => sum.add(cell),
            State::Powers(powers) => {
                let Kind::Powers(highest) = spec.kind else { unreachable!("kinds agree") };
                powers.add(cell, highest);
            }
            State::Ends(ends) => ends.add(spec.kind, row.stamp(), cell),
            State::Ranked(ranked) => ranked.add(spec.kind, row.stamp(), cell),
            State::Distinct(distinct) => distinct.add(cell),
            State::HyperLogLog(registers) => registers.add(spec.kind, cell),
            State::DdSketch(sketch) => sketch.add(spec.kind, cell),
            State::By(_) => unreachable!("maps do not nest"),
        }
    }

    /// Adds the rows of another accumulator of the same spec; the two share no row.
    pub fn merge(&mut self, spec: &AccumulatorSpec, other: &Self) {
        self.newest = self.newest.max(other.newest);
        match (&mut self.state, &other.state) {
            (State::Count(count), State::Count(other)) => *count += other,
            (State::IntSum(sum), State::IntSum(other)) => sum.merge(other),
            (State::DecimalSum(sum), State::DecimalSum(other)) => sum.merge(other),
            (State::FloatSum(sum), State::FloatSum(other)) => sum.merge(other),
            (State::Powers(powers), State::Powers(other)) => powers.merge(other),
            (State::Ends(ends), State::Ends(other)) => ends.merge(spec.kind, other),
            (State::Ranked(ranked), State::Ranked(other)) => ranked.merge(spec.kind, other),
            (State::Distinct(distinct), State::Distinct(other)) => distinct.merge(other),
            (State::HyperLogLog(registers), State::HyperLogLog(other)) => registers.merge(spec.kind, other),
            (State::DdSketch(sketch), State::DdSketch(other)) => sketch.merge(other),
            (State::By(map), State::By(other)) => {
                for (key, other) in other {
                    match map.get_mut(key) {
                        Some(inner) => inner.merge(spec, other),
                        None => {
                            map.insert(key.clone(), other.clone());
                        }
                    }
                }
            }
            _ => unreachable!("accumulators of one spec have one state"),
        }
    }

    /// Reads what `aggregation` over an input of type `input` says of the rows added.
    pub fn read(&self, aggregation: &Aggregation, input: Option<&DataType>) -> Reading {
        let event_time = (self.newest != i64::MIN).then_some(self.newest);
        let value = match &self.state {
            State::By(map) => map
                .iter()
                .map(|(key, inner)| Ok((key.clone(), inner.value(aggregation, input)?)))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Map),
            _ => self.value(aggregation, input),
        };
        Reading { value, event_time }
    }

    fn value(&self, aggregation: &Aggregation, input: Option<&DataType>) -> Result<Value, ValueError> {
        let scale = match input {
            Some(DataType::Decimal(_, scale)) => *scale,
            _ => 0,
        };
        let float = |value: Option<f64>| Ok(value.map_or(Value::Null, Value::Float));
        match (&self.state, aggregation) {
            (State::Count(count), _) => Ok(count_value(*count)),
            (State::IntSum(sum), _) => sum.read(aggregation),
            (State::DecimalSum(sum), _) => sum.read(aggregation, scale),
            (State::FloatSum(sum), _) => Ok(sum.read(aggregation)),
            (State::Powers(powers), Aggregation::Var { ddof }) => float(powers.variance(*ddof, scale)),
            (State::Powers(powers), Aggregation::Std { ddof }) => float(powers.variance(*ddof, scale).map(f64::sqrt)),
            (State::Powers(powers), Aggregation::Skew) => float(powers.skewness(scale)),
            (State::Powers(powers), _) => float(powers.excess_kurtosis(scale)),
            (State::Ends(ends), Aggregation::FirstK { .. } | Aggregation::LastK { .. }) => Ok(ends.list()),
            (State::Ends(ends), _) => Ok(ends.single()),
            (State::Ranked(ranked), Aggregation::Min | Aggregation::Max) => Ok(ranked.single()),
            (State::Ranked(ranked), _) => Ok(ranked.list()),
            (State::Distinct(distinct), Aggregation::ValueCounts) => Ok(distinct.counts()),
            (State::Distinct(distinct), _) => Ok(count_value(distinct.len())),
            (State::HyperLogLog(registers), _) if registers.is_empty() => Ok(Value::Null),
            (State::HyperLogLog(registers), Aggregation::ApproxDistinct { lg_k }) => {
                Ok(Value::Int(registers.estimate(*lg_k).round() as i64))
            }
            (State::DdSketch(sketch), Aggregation::ApproxQuantile { quantile, relative_error }) => {
                float(sketch.quantile(*quantile, *relative_error, scale))
            }
            _ => unreachable!("the aggregation belongs to the state"),
        }
    }
}

impl State {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Count => Self::Count(0),
            Kind::IntSum => Self::IntSum(IntSum::default()),
            Kind::DecimalSum => Self::DecimalSum(Box::default()),
            Kind::FloatSum => Self::FloatSum(FloatSum::default()),
            Kind::Powers(_) => Self::Powers(Box::default()),
            Kind::First(_) | Kind::Last(_) | Kind::Latest => Self::Ends(Ends::default()),
            Kind::Min | Kind::Max | Kind::Top(_) | Kind::Bottom(_) => Self::Ranked(Ranked::default()),
            Kind::Distinct => Self::Distinct(Distinct::default()),
            Kind::HyperLogLog(_) => Self::HyperLogLog(HyperLogLog::default()),
            Kind::DdSketch(_) => Self::DdSketch(DdSketch::default()),
        }
    }
}

/// A count as a value.
pub(crate) fn read_count(count: u64) -> Value {
    count_value(count)
}

/// What `aggregation` says of a sum of integers.
pub(crate) fn read_int_sum(count: u64, sum: i128, aggregation: &Aggregation) -> Result<Value, ValueError> {
    IntSum::of(count, sum).read(aggregation)
}

/// What `aggregation` says of an exact sum of finite floats.
pub(crate) fn read_float_sum(count: u64, sum: ExactSum, aggregation: &Aggregation) -> Value {
    FloatSum::of(count, sum).read(aggregation)
}

fn count_value(count: u64) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}
