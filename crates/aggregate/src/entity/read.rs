//! Reading an entity: each output's value, event time and status at a query time.

use super::EntityState;
use super::chunk::{Chunk, Group};
use crate::accumulator::{Accumulator, Reading, ValueError};
use crate::cell::Value;
use crate::view_plan::{Output, ViewPlan, WindowClass};
use crate::window::{Span, span};

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Present,
    /// Computed, and null.
    Null,
    /// No visible row of the entity within the view's retention; the value is that of no input.
    NotFound,
    /// Older than the view's staleness; the value is withheld.
    Stale,
    Error,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Present => "PRESENT",
            Self::Null => "NULL",
            Self::NotFound => "NOT_FOUND",
            Self::Stale => "STALE",
            Self::Error => "ERROR",
        }
    }
}

/// One output, answered. The default is that of nothing computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub value: Value,
    pub event_time: Option<i64>,
    pub status: Status,
    /// Why, where the status is `Error`.
    pub error: Option<ValueError>,
}

impl Default for Answer {
    fn default() -> Self {
        Self { value: Value::Null, event_time: None, status: Status::Null, error: None }
    }
}

impl EntityState {
    /// Answers every output of the plan at query time `q`, knowing the rows that arrived before `cut`.
    pub fn read(&self, plan: &ViewPlan, q: i64, cut: i64) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = vec![None; plan.outputs.len()];
        let seen = self.seen(plan, q, cut);
        for class in &plan.classes {
            self.read_class(plan, class, q, cut, seen, &mut answers);
        }
        let mut answers: Vec<Answer> =
            answers.into_iter().map(|answer| answer.expect("every output is in a class")).collect();
        if !seen && self.may_have_dropped_what_was_seen(plan, q) {
            // No window misses a row, but whether the entity was ever seen is not known any more.
            answers.fill(answer(plan, Reading { value: Err(ValueError::BeforeState), event_time: None }, false, q));
        }
        answers
    }

    fn may_have_dropped_what_was_seen(&self, plan: &ViewPlan, q: i64) -> bool {
        self.base.is_some()
            || plan.retention.is_some_and(|retention| q.saturating_sub(retention) <= self.dropped_through)
    }

    /// Whether reads at `q` with these two cuts see the same rows, so that their answers are the same.
    pub fn same_at(&self, plan: &ViewPlan, q: i64, cut: i64, other: i64) -> bool {
        let start = if plan.unbounded.is_empty() {
            q.saturating_sub(plan.reach.max(plan.retention.unwrap_or(0)))
        } else {
            i64::MIN
        };
        let known = cut.min(other);
        let same = |chunk: &Chunk| {
            chunk.all_known_at(known)
                || (chunk.lower_bound(plan, start)..chunk.lower_bound(plan, q)).all(|index| {
                    let row = chunk.row(plan, index);
                    row.visible(q, cut) == row.visible(q, other)
                })
        };
        let until = self.groups.partition_point(|group| group.first(plan).time < q);
        let from = self.groups.partition_point(|group| group.last(plan).time < start);
        let groups = self.groups.get(from..until).unwrap_or_default();
        same(&self.head) && groups.iter().all(|group| group.all_known_at(known) || group.chunks().all(same))
    }

    /// The answers for an entity of which nothing was ever seen.
    pub fn never_seen(plan: &ViewPlan) -> Vec<Answer> {
        let empty = |output: &Output| {
            let reading = Accumulator::new(&plan.accumulators[output.accumulator])
                .read(&output.aggregation, output.input_type.as_ref());
            answer(plan, reading, false, i64::MIN)
        };
        plan.outputs.iter().map(empty).collect()
    }

    fn read_class(
        &self,
        plan: &ViewPlan,
        class: &WindowClass,
        q: i64,
        cut: i64,
        seen: bool,
        answers: &mut [Option<Answer>],
    ) {
        let mut order: Vec<(Span, usize)> =
            class.windows.iter().enumerate().map(|(index, used)| (span(&used.window, q, plan.zone), index)).collect();
        // Nearly always sorted already; aligned windows can change places with sliding ones.
        let sorted = order.windows(2).all(|pair| pair[0].0.start >= pair[1].0.start);
        if !sorted {
            order.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
        }
        let all = &class.windows[0].accumulators;
        let mut totals: Vec<Option<Accumulator>> = vec![None; plan.accumulators.len()];
        for spec in all {
            totals[*spec] = Some(Accumulator::new(&plan.accumulators[*spec]));
        }
        let mut end = order[0].0.end;
        for (span, index) in order {
            let used = &class.windows[index];
            let active = if sorted { &used.accumulators } else { all };
            self.accumulate(plan, active, Span { start: span.start, end }, q, cut, &mut totals);
            end = end.min(span.start);
            let unbounded = span.start == i64::MIN;
            for output in &used.outputs {
                let spec = &plan.outputs[*output];
                let total = totals[spec.accumulator].as_ref().expect("active until its last window");
                let mut reading = if unbounded && self.base.is_some() {
                    self.with_base(plan, spec.accumulator, total).read(&spec.aggregation, spec.input_type.as_ref())
                } else {
                    total.read(&spec.aggregation, spec.input_type.as_ref())
                };
                if self.misses(span, q, cut, unbounded) {
                    reading.value = Err(ValueError::BeforeState);
                }
                answers[*output] = Some(answer(plan, reading, seen, q));
            }
        }
    }

    /// Whether rows that the window should see may be gone.
    fn misses(&self, span: Span, q: i64, cut: i64, unbounded: bool) -> bool {
        if unbounded {
            self.base.as_ref().is_some_and(|base| base.through >= q || base.newest_arrival >= cut)
        } else {
            span.start <= self.dropped_through
        }
    }

    fn with_base(&self, plan: &ViewPlan, spec: usize, total: &Accumulator) -> Accumulator {
        let mut total = total.clone();
        if let Some(base) = &self.base
            && let Some(at) = plan.unbounded.iter().position(|own| *own == spec)
        {
            total.merge(&plan.accumulators[spec], &base.accumulators[at]);
        }
        total
    }

    fn accumulate(
        &self,
        plan: &ViewPlan,
        active: &[usize],
        span: Span,
        q: i64,
        cut: i64,
        totals: &mut [Option<Accumulator>],
    ) {
        if span.start >= span.end {
            return;
        }
        let from = self.groups.partition_point(|group| group.last(plan).time < span.start);
        for group in &self.groups[from..] {
            if group.first(plan).time >= span.end {
                break;
            }
            accumulate_group(plan, group, active, span, q, cut, totals);
        }
        accumulate_chunk(plan, &self.head, active, span, q, cut, totals);
    }

    /// Whether a row of the entity is visible within the view's retention before `q`.
    fn seen(&self, plan: &ViewPlan, q: i64, cut: i64) -> bool {
        let start = plan.retention.map_or(i64::MIN, |retention| q.saturating_sub(retention));
        if self.base.as_ref().is_some_and(|base| base.through < q && base.newest_arrival < cut) {
            return true;
        }
        let visible = |chunk: &Chunk| {
            let (low, high) = (chunk.lower_bound(plan, start), chunk.lower_bound(plan, q));
            (low..high).rev().any(|index| chunk.row(plan, index).visible(q, cut))
        };
        // Whole groups at or after `q`, or before the retention, are not looked at.
        let until = self.groups.partition_point(|group| group.first(plan).time < q);
        let from = self.groups.partition_point(|group| group.last(plan).time < start);
        let groups = self.groups.get(from..until).unwrap_or_default();
        visible(&self.head) || groups.iter().rev().any(|group| group.chunks().any(visible))
    }
}

pub(crate) fn answer(plan: &ViewPlan, reading: Reading, seen: bool, q: i64) -> Answer {
    let event_time = reading.event_time;
    let stale =
        plan.staleness.is_some_and(|staleness| event_time.is_some_and(|time| q.saturating_sub(time) > staleness));
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

fn accumulate_group(
    plan: &ViewPlan,
    group: &Group,
    active: &[usize],
    span: Span,
    q: i64,
    cut: i64,
    totals: &mut [Option<Accumulator>],
) {
    let inside = span.start <= group.first(plan).time && group.last(plan).time < span.end;
    if inside && let Some(tile) = group.tile_at(cut) {
        return merge_tile(plan, tile, active, totals);
    }
    for chunk in group.chunks() {
        accumulate_chunk(plan, chunk, active, span, q, cut, totals);
    }
}

fn accumulate_chunk(
    plan: &ViewPlan,
    chunk: &Chunk,
    active: &[usize],
    span: Span,
    q: i64,
    cut: i64,
    totals: &mut [Option<Accumulator>],
) {
    let (Some(first), Some(last)) = (chunk.first(plan), chunk.last(plan)) else { return };
    if last.time < span.start || first.time >= span.end {
        return;
    }
    let inside = span.start <= first.time && last.time < span.end;
    if inside && let Some(tile) = chunk.tile_at(cut) {
        return merge_tile(plan, tile, active, totals);
    }
    let (low, high) = (chunk.lower_bound(plan, span.start), chunk.lower_bound(plan, span.end));
    for index in low..high {
        let row = chunk.row(plan, index);
        if row.visible(q, cut) {
            for spec in active {
                let total = totals[*spec].as_mut().expect("active ones are there");
                total.add(&plan.accumulators[*spec], row);
            }
        }
    }
}

fn merge_tile(plan: &ViewPlan, tile: &[Accumulator], active: &[usize], totals: &mut [Option<Accumulator>]) {
    for spec in active {
        let total = totals[*spec].as_mut().expect("active ones are there");
        total.merge(&plan.accumulators[*spec], &tile[*spec]);
    }
}
