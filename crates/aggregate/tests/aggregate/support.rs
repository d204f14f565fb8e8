//! Rows of a few columns, views over them, and what a read must say: plain accumulators over a filtered list.

use num_bigint::BigInt;
use num_traits::Signed;
use thalweg_aggregate::{Accumulator, Answer, Cell, EntityState, Reading, Stamp, Status, Value, ViewPlan, span};
use thalweg_definition::{
    About, Aggregation, CheckedFeature, CheckedView, DAY, DataType, Duration, Feature, FeatureView, HOUR, Window,
};

/// The columns that every test row has.
pub static COLUMNS: [(&str, DataType); 5] = [
    ("real", DataType::Float64),
    ("whole", DataType::Int64),
    ("price", DataType::Decimal(38, 2)),
    ("word", DataType::String),
    ("flag", DataType::Bool),
];

/// The one `where` there is.
pub const KEEP: &str = "keep";

#[derive(Debug, Clone)]
pub struct Row {
    pub time: i64,
    pub sequence: u64,
    pub arrival: i64,
    /// One per column.
    pub values: Vec<Value>,
    /// Whether it passes `keep`.
    pub keep: bool,
    /// Event time and arrival time of what takes it back.
    pub retracted: Option<(i64, i64)>,
}

/// A row that arrived when it happened, all of whose columns but one are null.
pub fn row(time: i64, sequence: u64, column: &str, value: Value) -> Row {
    let values = COLUMNS.iter().map(|(name, _)| if *name == column { value.clone() } else { Value::Null });
    Row { time, sequence, arrival: time, values: values.collect(), keep: true, retracted: None }
}

pub fn text(text: &str) -> Value {
    Value::Bytes(text.as_bytes().into())
}

pub fn micros(micros: i64) -> Duration {
    Duration::from_micros(micros)
}

pub fn days(days: i64) -> Window {
    Window::Sliding { over: micros(days * DAY), hop: None }
}

pub fn hours(hours: i64) -> Window {
    Window::Sliding { over: micros(hours * HOUR), hop: None }
}

pub fn feature(name: &str, aggregation: Aggregation, input: Option<&str>, windows: Vec<Window>) -> Feature {
    Feature {
        name: name.into(),
        aggregation,
        input: input.map(str::to_owned),
        filter: None,
        by: None,
        windows,
        about: About::default(),
    }
}

pub fn view(features: Vec<Feature>) -> FeatureView {
    FeatureView {
        name: "view".into(),
        entity: "entity".into(),
        sources: vec!["rows".into()],
        filter: None,
        derived: vec![],
        features,
        freshness: None,
        staleness: None,
        declared_retention: None,
        time_zone: None,
        keep_nan: false,
        about: About::default(),
    }
}

fn type_of(column: &str) -> DataType {
    let found = COLUMNS.iter().find(|(name, _)| *name == column);
    found.map(|(_, data_type)| data_type.clone()).expect("a column of the tests")
}

pub fn plan(view: &FeatureView, retractable: bool) -> ViewPlan {
    let features = view.features.iter().map(|feature| {
        let input_type = feature.input.as_deref().map(type_of);
        let by_type = feature.by.as_deref().map(type_of);
        let inner = feature.aggregation.output(input_type.as_ref()).expect("the aggregation takes the column");
        let value_type = match &by_type {
            Some(key) => DataType::Map(Box::new(key.clone()), Box::new(inner)),
            None => inner,
        };
        CheckedFeature { input_type, by_type, value_type }
    });
    let checked = CheckedView { derived_types: vec![], features: features.collect() };
    ViewPlan::new(view, &checked, retractable)
}

/// The plan of one feature over all time.
pub fn plan_of(aggregation: Aggregation, column: Option<&str>) -> ViewPlan {
    plan(&view(vec![feature("f", aggregation, column, vec![Window::Unbounded])]), false)
}

/// A row's inputs in the order of the plan's slots.
pub fn cells<'a>(plan: &ViewPlan, row: &'a Row) -> Vec<Cell<'a>> {
    let place = |name: &str| COLUMNS.iter().position(|(column, _)| *column == name).expect("a column of the tests");
    plan.slots.iter().map(|slot| row.values[place(&slot.expression)].as_cell()).collect()
}

pub fn passes(plan: &ViewPlan, row: &Row) -> Vec<bool> {
    plan.filters.iter().map(|_| row.keep).collect()
}

pub fn insert(plan: &ViewPlan, state: &mut EntityState, row: &Row) {
    let stamp = Stamp { time: row.time, sequence: row.sequence };
    state.insert(plan, stamp, row.arrival, &cells(plan, row), &passes(plan, row));
    if let Some((time, arrival)) = row.retracted {
        assert!(state.retract(plan, stamp, time, arrival), "the row was just inserted");
    }
}

pub fn state_of(plan: &ViewPlan, rows: &[Row]) -> EntityState {
    let mut state = EntityState::default();
    for row in rows {
        insert(plan, &mut state, row);
    }
    state
}

/// The value of the plan's only output, of all rows.
pub fn value_of(plan: &ViewPlan, rows: &[Row]) -> Reading {
    Packed::new(plan, rows).reading(plan, 0, (0..rows.len()).collect())
}

/// Rows, packed once, to be added to plain accumulators.
pub struct Packed<'a> {
    rows: &'a [Row],
    words: Vec<u64>,
    heap: Vec<u8>,
}

impl<'a> Packed<'a> {
    pub fn new(plan: &ViewPlan, rows: &'a [Row]) -> Self {
        let (mut words, mut heap) = (Vec::new(), Vec::new());
        for row in rows {
            let stamp = Stamp { time: row.time, sequence: row.sequence };
            plan.layout.push(&mut words, &mut heap, stamp, row.arrival, &cells(plan, row), &passes(plan, row));
        }
        Self { rows, words, heap }
    }

    /// What an output says of some of the rows.
    pub fn reading(&self, plan: &ViewPlan, output: usize, rows: Vec<usize>) -> Reading {
        let output = &plan.outputs[output];
        let spec = &plan.accumulators[output.accumulator];
        let mut total = Accumulator::new(spec);
        let width = plan.layout.width();
        for index in rows {
            total.add(spec, plan.layout.row(&self.words[index * width..(index + 1) * width], &self.heap));
        }
        total.read(&output.aggregation, output.input_type.as_ref())
    }

    /// Every answer at `q`, knowing what arrived before `cut`, from the definition of a window alone.
    pub fn answers(&self, plan: &ViewPlan, q: i64, cut: i64) -> Vec<Answer> {
        let visible = |row: &Row| {
            let taken_back = row.retracted.is_some_and(|(time, arrival)| time < q && arrival < cut);
            row.time < q && row.arrival < cut && !taken_back
        };
        let first_seen = plan.retention.map_or(i64::MIN, |retention| q.saturating_sub(retention));
        let seen = self.rows.iter().any(|row| visible(row) && row.time >= first_seen);
        (0..plan.outputs.len())
            .map(|output| {
                let span = span(&plan.outputs[output].window, q, plan.zone);
                let inside = |row: &Row| span.start <= row.time && row.time < span.end && visible(row);
                let rows = (0..self.rows.len()).filter(|index| inside(&self.rows[*index])).collect();
                answer(plan, self.reading(plan, output, rows), seen, q)
            })
            .collect()
    }
}

fn answer(plan: &ViewPlan, reading: Reading, seen: bool, q: i64) -> Answer {
    let event_time = reading.event_time;
    let stale = plan.staleness.is_some_and(|staleness| event_time.is_some_and(|time| q - time > staleness));
    match reading.value {
        Err(error) => Answer { value: Value::Null, event_time, status: Status::Error, error: Some(error) },
        Ok(_) if stale => Answer { value: Value::Null, event_time, status: Status::Stale, error: None },
        Ok(value) => {
            let status = match (seen, value.is_null()) {
                (false, _) => Status::NotFound,
                (true, true) => Status::Null,
                (true, false) => Status::Present,
            };
            Answer { value, event_time, status, error: None }
        }
    }
}

/// Compares output by output, so that a failure names the one that differs.
pub fn assert_answers(plan: &ViewPlan, got: &[Answer], expected: &[Answer], place: &str) {
    for (output, (got, expected)) in plan.outputs.iter().zip(got.iter().zip(expected)) {
        assert_eq!(got, expected, "`{}` {place}", output.name);
    }
}

/// The double nearest to `numerator / denominator`, ties to even, by way of the standard library's parser.
pub fn nearest(numerator: &BigInt, denominator: &BigInt) -> f64 {
    const PLACES: u32 = 1200;
    let scaled: BigInt = numerator.abs() << PLACES;
    let quotient: BigInt = &scaled / denominator;
    let rest = u32::from(&quotient * denominator != scaled);
    // In units of 2^-1201 the last bit says whether anything was left over; far below what a double resolves.
    let units: BigInt = (quotient << 1u32) + rest;
    let digits: BigInt = units * BigInt::from(5).pow(PLACES + 1);
    let value: f64 = format!("{digits}e-{}", PLACES + 1).parse().expect("a number");
    if numerator.is_negative() { -value } else { value }
}

/// A finite double in units of 2^-1074.
pub fn units(value: f64) -> BigInt {
    let bits = value.to_bits();
    let biased = ((bits >> 52) & 0x7ff) as u32;
    let fraction = bits & ((1 << 52) - 1);
    let magnitude =
        if biased == 0 { BigInt::from(fraction) } else { BigInt::from(fraction | (1 << 52)) << (biased - 1) };
    if value.is_sign_negative() { -magnitude } else { magnitude }
}

/// SplitMix64, so that a seed is all a test depends on.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low) as u64) as i64
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index as u64 + 1) as usize);
        }
    }
}

/// Tells which seed a panic came from.
pub struct SeedNote(pub u64);

impl Drop for SeedNote {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}
