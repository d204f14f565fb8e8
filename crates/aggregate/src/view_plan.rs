//! A feature view, resolved for computing: which expressions a row is reduced to, what is kept of rows, and how
//! each output is read from it.

use crate::accumulator::{AccumulatorSpec, Kind};
use crate::layout::{RowLayout, SlotKind};
use chrono_tz::Tz;
use thalweg_definition::{Aggregation, CheckedView, DataType, Feature, FeatureView, Window};

/// An expression whose value is kept per row, and its type.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    pub expression: String,
    pub data_type: DataType,
}

/// One value that can be read.
#[derive(Debug, Clone)]
pub struct Output {
    /// Within the view, such as `delay_mean_7d`.
    pub name: String,
    pub accumulator: usize,
    pub window: Window,
    pub aggregation: Aggregation,
    pub input_type: Option<DataType>,
    pub value_type: DataType,
}

/// Windows that end at the same time, so that the longer go on from where the shorter stop.
#[derive(Debug, Clone)]
pub(crate) struct WindowClass {
    /// From the shortest to the longest.
    pub windows: Vec<WindowUse>,
}

#[derive(Debug, Clone)]
pub(crate) struct WindowUse {
    pub window: Window,
    pub outputs: Vec<usize>,
    /// Accumulators that this window or a longer one of the class reads.
    pub accumulators: Vec<usize>,
}

/// A view as the engine and the training set compute it.
#[derive(Debug, Clone)]
pub struct ViewPlan {
    pub slots: Vec<Slot>,
    /// `where` expressions; rows keep whether they pass.
    pub filters: Vec<String>,
    pub layout: RowLayout,
    pub accumulators: Vec<AccumulatorSpec>,
    pub outputs: Vec<Output>,
    pub zone: Tz,
    /// Microseconds; none: for ever.
    pub retention: Option<i64>,
    pub staleness: Option<i64>,
    /// The longest reach of a window that has an end, in microseconds.
    pub reach: i64,
    pub(crate) classes: Vec<WindowClass>,
    /// Accumulators that unbounded windows read.
    pub(crate) unbounded: Vec<usize>,
}

impl ViewPlan {
    /// Resolves a checked view; `retractable` where its sources are change sources.
    pub fn new(view: &FeatureView, checked: &CheckedView, retractable: bool) -> Self {
        let mut builder = Builder::default();
        for (feature, types) in view.features.iter().zip(&checked.features) {
            builder.feature(view, feature, types.input_type.as_ref(), types.by_type.as_ref(), &types.value_type);
        }
        let kinds = builder.slots.iter().map(|slot| SlotKind::of(&slot.data_type)).collect();
        let layout = RowLayout::new(kinds, builder.filters.len(), retractable);
        let classes = classes(&builder.outputs);
        let mut unbounded: Vec<usize> = builder
            .outputs
            .iter()
            .filter(|output| output.window == Window::Unbounded)
            .map(|output| output.accumulator)
            .collect();
        unbounded.sort_unstable();
        unbounded.dedup();
        let reach = builder.outputs.iter().filter_map(|output| output.window.reach()).max();
        Self {
            layout,
            classes,
            unbounded,
            slots: builder.slots,
            filters: builder.filters,
            accumulators: builder.accumulators,
            outputs: builder.outputs,
            zone: view.time_zone.as_deref().and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC),
            retention: view.retention().map(|retention| retention.micros()),
            staleness: view.staleness.map(|staleness| staleness.micros()),
            reach: reach.map_or(0, |reach| reach.micros()),
        }
    }

    pub fn output(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|output| output.name == name)
    }

    /// The plan with only some outputs, in the order given, over the same rows.
    pub fn select(&self, outputs: &[usize]) -> Self {
        let outputs: Vec<Output> = outputs.iter().map(|index| self.outputs[*index].clone()).collect();
        Self { classes: classes(&outputs), outputs, ..self.clone() }
    }
}

#[derive(Default)]
struct Builder {
    slots: Vec<Slot>,
    filters: Vec<String>,
    accumulators: Vec<AccumulatorSpec>,
    outputs: Vec<Output>,
}

impl Builder {
    fn feature(
        &mut self,
        view: &FeatureView,
        feature: &Feature,
        input_type: Option<&DataType>,
        by_type: Option<&DataType>,
        value_type: &DataType,
    ) {
        let input = feature.input.as_ref().zip(input_type).map(|(input, data_type)| self.slot(input, data_type));
        let by = feature.by.as_ref().zip(by_type).map(|(by, data_type)| self.slot(by, data_type));
        let filter = feature.filter.as_ref().map(|filter| self.filter(filter));
        let kind = AccumulatorSpec::kind_for(&feature.aggregation, input_type);
        let accumulator = self.accumulator(AccumulatorSpec { kind, input, filter, by, keep_nan: view.keep_nan });
        for window in &feature.windows {
            self.outputs.push(Output {
                name: format!("{}{}", feature.name, window.suffix()),
                accumulator,
                window: *window,
                aggregation: feature.aggregation,
                input_type: input_type.cloned(),
                value_type: value_type.clone(),
            });
        }
    }

    fn slot(&mut self, expression: &str, data_type: &DataType) -> usize {
        let slot = Slot { expression: expression.to_owned(), data_type: data_type.clone() };
        position_or_push(&mut self.slots, slot)
    }

    fn filter(&mut self, expression: &str) -> usize {
        position_or_push(&mut self.filters, expression.to_owned())
    }

    fn accumulator(&mut self, spec: AccumulatorSpec) -> usize {
        // Sums of fewer powers are part of sums of more.
        if let Kind::Powers(power) = spec.kind {
            for (index, other) in self.accumulators.iter_mut().enumerate() {
                if let Kind::Powers(own) = other.kind
                    && *other == (AccumulatorSpec { kind: other.kind, ..spec.clone() })
                {
                    other.kind = Kind::Powers(own.max(power));
                    return index;
                }
            }
        }
        position_or_push(&mut self.accumulators, spec)
    }
}

fn position_or_push<T: PartialEq>(items: &mut Vec<T>, item: T) -> usize {
    items.iter().position(|other| *other == item).unwrap_or_else(|| {
        items.push(item);
        items.len() - 1
    })
}

fn classes(outputs: &[Output]) -> Vec<WindowClass> {
    let mut uses: Vec<WindowUse> = Vec::new();
    for (index, output) in outputs.iter().enumerate() {
        match uses.iter_mut().find(|used| used.window == output.window) {
            Some(used) => used.outputs.push(index),
            None => {
                uses.push(WindowUse { window: output.window, outputs: vec![index], accumulators: Vec::new() });
            }
        }
    }
    let (tumbling, mut to_now): (Vec<_>, Vec<_>) =
        uses.into_iter().partition(|used| matches!(used.window, Window::Tumbling { .. }));
    to_now.sort_by_key(|used| used.window.reach().map_or(i64::MAX, |reach| reach.micros()));
    let mut classes: Vec<WindowClass> = tumbling.into_iter().map(|used| WindowClass { windows: vec![used] }).collect();
    if !to_now.is_empty() {
        classes.push(WindowClass { windows: to_now });
    }
    for class in &mut classes {
        let mut needed: Vec<usize> = Vec::new();
        for used in class.windows.iter_mut().rev() {
            needed.extend(used.outputs.iter().map(|output| outputs[*output].accumulator));
            needed.sort_unstable();
            needed.dedup();
            used.accumulators.clone_from(&needed);
        }
    }
    classes
}
