//! One entity read at many query times in one pass over its rows: what a training set does.
//!
//! ```text
//! rows, sorted ─▶ per input: running counts, running exact sums, row positions
//! query times, sorted ─▶ each window has a lower edge and an upper edge that only move forward
//!                        count, sum, mean = difference of two running values; first, last = a position
//!                        min, max        = the best row from the lower edge on, from a stack that keeps only candidates
//! ```
//! The values are those of [`EntityState::read`](crate::EntityState), to the last bit, for counts, sums, means, extremes
//! and ends in every window: sums are exact, and the reading of an exact sum is the same code. Outputs of other
//! aggregations, and entities whose floats are too unlike in size for 128 bits, are left to it.

use crate::accumulator::{AccumulatorSpec, Kind, Reading, ValueError, read_count, read_float_sum, read_int_sum};
use crate::cell::{Cell, Value};
use crate::entity::{Answer, answer};
use crate::exact::{ExactSum, split};
use crate::layout::{RowRef, SlotKind};
use crate::view_plan::{Output, ViewPlan};
use crate::window::span;
use thalweg_definition::{Aggregation, Window};

/// Reads entities of one view, one after the other; what it needs for that is kept from one to the next.
pub struct Slider<'p> {
    plan: &'p ViewPlan,
    outputs: Vec<usize>,
    windows: Vec<SlidingWindow>,
    series: Vec<Series>,
    times: Vec<i64>,
    seen: Vec<bool>,
    newest_arrivals: Vec<i64>,
}

/// The outputs of one window.
struct SlidingWindow {
    window: Window,
    uses: Vec<Use>,
}

struct Use {
    output: usize,
    series: usize,
    how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Count,
    IntSum,
    FloatSum,
    Min,
    Max,
    First,
    Last,
}

/// One input of an entity at hand: which rows count, and running values over them. Position `i` of a running value
/// is over the first `i` rows.
struct Series {
    input: Option<usize>,
    filter: Option<usize>,
    /// Whether nulls and non-finite numbers count as well.
    all: bool,
    float: bool,
    needs: Needs,
    counts: Vec<u32>,
    /// Of integers, or of mantissas at one exponent.
    sums: Vec<i128>,
    exponent: i32,
    /// The rows that count.
    positions: Vec<u32>,
    /// The inputs, as integers of the same order; of rows that count.
    keys: Vec<i64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Needs {
    sums: bool,
    keys: bool,
    positions: bool,
}

/// The rows that can still be the least of a window that ends at the head, from the oldest to the newest.
#[derive(Default)]
struct Candidates(Vec<(u32, i64)>);

/// Bits that a running sum may take.
const SUM_BITS: i32 = 126;

impl<'p> Slider<'p> {
    pub fn new(plan: &'p ViewPlan) -> Self {
        let mut slider = Self {
            plan,
            outputs: Vec::new(),
            windows: Vec::new(),
            series: Vec::new(),
            times: Vec::new(),
            seen: Vec::new(),
            newest_arrivals: Vec::new(),
        };
        // A row that can be taken back is seen or not by more than its place; a stale value asks which row it is from.
        if !plan.layout.retractable() && plan.staleness.is_none() {
            for (index, output) in plan.outputs.iter().enumerate() {
                slider.take_on(index, output);
            }
        }
        slider
    }

    /// The outputs of the plan that are read here, by their places in it; ascending.
    pub fn outputs(&self) -> &[usize] {
        &self.outputs
    }

    fn take_on(&mut self, index: usize, output: &Output) {
        let spec = &self.plan.accumulators[output.accumulator];
        let Some(how) = how(self.plan, spec, &output.aggregation) else { return };
        let input = spec.input;
        let kind = input.map(|slot| self.plan.layout.kind(slot));
        let all = spec.kind == Kind::Latest;
        let same = |own: &Series| own.input == input && own.filter == spec.filter && own.all == all;
        let series = self.series.iter().position(same).unwrap_or_else(|| {
            self.series.push(Series::new(input, spec.filter, all, kind == Some(SlotKind::Float)));
            self.series.len() - 1
        });
        let needs = &mut self.series[series].needs;
        needs.sums |= matches!(how, How::IntSum | How::FloatSum);
        needs.keys |= matches!(how, How::Min | How::Max);
        needs.positions |= matches!(how, How::First | How::Last);
        let used = Use { output: index, series, how };
        self.outputs.push(index);
        match self.windows.iter_mut().find(|own| own.window == output.window) {
            Some(window) => window.uses.push(used),
            None => self.windows.push(SlidingWindow { window: output.window, uses: vec![used] }),
        }
    }

    /// Answers the outputs at each query time; `rows` are all of the entity's in their order, `queries` ascend. `put`
    /// is given the place of the query, that of the output in the plan, and the answer. Answers see every row before
    /// the query time: where some had not arrived, [`Self::newest_arrivals`] says so. False, with nothing answered,
    /// where this entity is to be read as any other.
    pub fn read(&mut self, rows: &[RowRef<'_>], queries: &[i64], mut put: impl FnMut(usize, usize, Answer)) -> bool {
        self.times.clear();
        self.times.extend(rows.iter().map(RowRef::time));
        if !self.series.iter_mut().all(|series| series.load(rows)) {
            return false;
        }
        self.look_before(rows, queries);
        for window in &self.windows {
            self.slide(window, rows, queries, &mut put);
        }
        true
    }

    /// For each query of the last read, the latest arrival time among the rows before it; `i64::MIN` without any.
    pub fn newest_arrivals(&self) -> &[i64] {
        &self.newest_arrivals
    }

    fn look_before(&mut self, rows: &[RowRef<'_>], queries: &[i64]) {
        self.seen.clear();
        self.newest_arrivals.clear();
        let (mut before, mut newest) = (0, i64::MIN);
        for q in queries {
            while before < rows.len() && self.times[before] < *q {
                newest = newest.max(rows[before].arrival());
                before += 1;
            }
            let since = self.plan.retention.map_or(i64::MIN, |retention| q.saturating_sub(retention));
            self.seen.push(before > 0 && self.times[before - 1] >= since);
            self.newest_arrivals.push(newest);
        }
    }

    fn slide(
        &self,
        window: &SlidingWindow,
        rows: &[RowRef<'_>],
        queries: &[i64],
        put: &mut impl FnMut(usize, usize, Answer),
    ) {
        let mut least: Vec<Candidates> = window.uses.iter().map(|_| Candidates::default()).collect();
        let (mut low, mut high) = (0, 0);
        for (number, q) in queries.iter().enumerate() {
            let covers = span(&window.window, *q, self.plan.zone);
            let pushed = high;
            while high < rows.len() && self.times[high] < covers.end {
                high += 1;
            }
            while low < high && self.times[low] < covers.start {
                low += 1;
            }
            for (used, least) in window.uses.iter().zip(&mut least) {
                let series = &self.series[used.series];
                if matches!(used.how, How::Min | How::Max) {
                    least.push(series, used.how, pushed, high);
                }
                let value = self.value(used, least, rows, low, high);
                let reading = Reading { value, event_time: None };
                put(number, used.output, answer(self.plan, reading, self.seen[number], *q));
            }
        }
    }

    /// The value over the rows from `low` up to `high`.
    fn value(
        &self,
        used: &Use,
        least: &Candidates,
        rows: &[RowRef<'_>],
        low: usize,
        high: usize,
    ) -> Result<Value, ValueError> {
        let series = &self.series[used.series];
        let aggregation = &self.plan.outputs[used.output].aggregation;
        let (before, through) = (series.counts[low], series.counts[high]);
        let count = u64::from(through - before);
        let cell = |row: u32| match series.input {
            Some(slot) => rows[row as usize].cell(slot).to_value(),
            None => Cell::Bool(true).to_value(),
        };
        match used.how {
            How::Count => Ok(read_count(count)),
            How::IntSum => read_int_sum(count, series.sums[high] - series.sums[low], aggregation),
            How::FloatSum => {
                let mut sum = ExactSum::default();
                sum.add_scaled(series.sums[high] - series.sums[low], series.exponent);
                Ok(read_float_sum(count, sum, aggregation))
            }
            How::Min | How::Max => Ok(least.first_from(low).map_or(Value::Null, cell)),
            How::First if count > 0 => Ok(cell(series.positions[before as usize])),
            How::Last if count > 0 => Ok(cell(series.positions[through as usize - 1])),
            How::First | How::Last => Ok(Value::Null),
        }
    }
}

/// How an output is slid; none where it cannot be.
fn how(plan: &ViewPlan, spec: &AccumulatorSpec, aggregation: &Aggregation) -> Option<How> {
    let kind = spec.input.map(|slot| plan.layout.kind(slot));
    let number = matches!(kind, Some(SlotKind::Int | SlotKind::Float));
    if spec.by.is_some() || (spec.keep_nan && kind == Some(SlotKind::Float)) {
        return None;
    }
    match spec.kind {
        Kind::Count => Some(How::Count),
        Kind::IntSum | Kind::FloatSum if *aggregation == Aggregation::Count => Some(How::Count),
        Kind::IntSum if kind == Some(SlotKind::Int) => Some(How::IntSum),
        Kind::FloatSum => Some(How::FloatSum),
        Kind::Min if number => Some(How::Min),
        Kind::Max if number => Some(How::Max),
        Kind::First(1) if *aggregation == Aggregation::First => Some(How::First),
        Kind::Last(1) if *aggregation == Aggregation::Last => Some(How::Last),
        Kind::Latest => Some(How::Last),
        _ => None,
    }
}

impl Series {
    fn new(input: Option<usize>, filter: Option<usize>, all: bool, float: bool) -> Self {
        Self {
            input,
            filter,
            all,
            float,
            needs: Needs::default(),
            counts: Vec::new(),
            sums: Vec::new(),
            exponent: 0,
            positions: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Takes up the rows of an entity; false where its sums are too wide.
    fn load(&mut self, rows: &[RowRef<'_>]) -> bool {
        self.counts.clear();
        self.positions.clear();
        self.keys.clear();
        let mut count = 0;
        self.counts.push(0);
        for (row, packed) in rows.iter().enumerate() {
            let cell = self.cell(packed);
            if let Some(cell) = &cell {
                count += 1;
                if self.needs.positions {
                    self.positions.push(row as u32);
                }
                if self.needs.keys {
                    self.keys.push(key(cell));
                }
            } else if self.needs.keys {
                self.keys.push(0);
            }
            self.counts.push(count);
        }
        !self.needs.sums || self.sum_up(rows)
    }

    /// The input of a row that counts.
    #[inline]
    fn cell<'a>(&self, row: &RowRef<'a>) -> Option<Cell<'a>> {
        if self.filter.is_some_and(|filter| !row.passes(filter)) {
            return None;
        }
        let Some(slot) = self.input else { return Some(Cell::Bool(true)) };
        let cell = row.cell(slot);
        (self.all || !(cell.is_null() || cell.is_non_finite())).then_some(cell)
    }

    fn sum_up(&mut self, rows: &[RowRef<'_>]) -> bool {
        self.exponent = 0;
        if self.float && !self.find_exponent(rows) {
            return false;
        }
        self.sums.clear();
        self.sums.reserve(rows.len() + 1);
        let mut sum = 0i128;
        self.sums.push(sum);
        for row in rows {
            match self.cell(row) {
                Some(Cell::Int(value)) => sum += i128::from(value),
                Some(Cell::Float(value)) if value != 0.0 => {
                    let (mantissa, exponent) = split(value);
                    sum += i128::from(mantissa) << (exponent - self.exponent);
                }
                _ => {}
            }
            self.sums.push(sum);
        }
        true
    }

    /// Finds the exponent at which every mantissa is whole; false where the sums would not fit.
    fn find_exponent(&mut self, rows: &[RowRef<'_>]) -> bool {
        let (mut lowest, mut highest) = (i32::MAX, i32::MIN);
        for row in rows {
            if let Some(Cell::Float(value)) = self.cell(row)
                && value != 0.0
            {
                let (mantissa, exponent) = split(value);
                lowest = lowest.min(exponent);
                highest = highest.max(exponent + 64 - mantissa.unsigned_abs().leading_zeros() as i32);
            }
        }
        if lowest == i32::MAX {
            return true;
        }
        self.exponent = lowest;
        let carries = 64 - (rows.len() as u64).leading_zeros() as i32;
        highest - lowest + carries <= SUM_BITS
    }
}

impl Candidates {
    /// Takes up the rows from `from` up to `until`.
    #[inline]
    fn push(&mut self, series: &Series, how: How, from: usize, until: usize) {
        for row in from..until {
            if series.counts[row] == series.counts[row + 1] {
                continue;
            }
            // The order of a maximum is that of a minimum, turned round. Of equals the older one stays.
            let key = if how == How::Max { !series.keys[row] } else { series.keys[row] };
            while self.0.last().is_some_and(|(_, other)| *other > key) {
                self.0.pop();
            }
            self.0.push((row as u32, key));
        }
    }

    /// The least of the rows from `low` on.
    #[inline]
    fn first_from(&self, low: usize) -> Option<u32> {
        let at = self.0.partition_point(|(row, _)| (*row as usize) < low);
        self.0.get(at).map(|(row, _)| *row)
    }
}

/// An integer that orders as the number does: -0.0 below 0.0.
#[inline]
fn key(cell: &Cell<'_>) -> i64 {
    match cell {
        Cell::Int(value) => *value,
        Cell::Float(value) => {
            let bits = value.to_bits() as i64;
            bits ^ (((bits >> 63) as u64) >> 1) as i64
        }
        _ => unreachable!("only numbers have an order here"),
    }
}
