//! The sweep: partition by partition, entity by entity, each entity is built once and read at all its query times.

use super::gather::{Gathered, ViewTask};
use super::rows::{Buffer, PartitionRows};
use super::spine::{NO_KEY, Spine, SpineKeys};
use super::{OtherAnswers, ViewAnswers, stop_if_cancelled};
use crate::error::{LakeError, Result};
use arrow::array::{Array, ArrayRef, AsArray, UInt8Array, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::UInt8Type;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use thalweg_aggregate::{
    Answer, Cell, EntityState, NEVER, RowRef, Slider, Stamp, Status, Value, ViewPlan, array_from_values,
};

/// What all threads share.
struct Sweep<'a> {
    plan: &'a ViewPlan,
    spine: &'a Spine,
    keys: &'a SpineKeys,
    cancel: &'a AtomicBool,
    advance: &'a (dyn Fn(u64) + Send + Sync),
    done: AtomicU64,
}

/// The rows of a partition, and the rows of the spine that ask about them.
struct Part {
    rows: PartitionRows,
    asked: Vec<u32>,
}

/// The answers of a partition, in an order of its own.
struct PartAnswers {
    rows: Vec<u32>,
    values: Vec<ArrayRef>,
    statuses: Vec<UInt8Array>,
    other: Vec<ArrayRef>,
    /// The rows of the spine in which the other values differ.
    changed: Vec<u32>,
}

pub(super) fn sweep(
    task: &ViewTask<'_>,
    spine: &Spine,
    gathered: Gathered,
    advance: &(dyn Fn(u64) + Send + Sync),
    cancel: &AtomicBool,
) -> Result<ViewAnswers> {
    let Gathered { keys, partitions } = gathered;
    let mut asked: Vec<Vec<u32>> = vec![Vec::new(); partitions.len()];
    let mut strangers: Vec<u32> = Vec::new();
    for (row, key) in keys.of_row.iter().enumerate() {
        match *key {
            NO_KEY => strangers.push(row as u32),
            key => asked[keys.partition[key as usize] as usize].push(row as u32),
        }
    }
    let parts: Vec<Mutex<Option<Part>>> =
        partitions.into_iter().zip(asked).map(|(rows, asked)| Mutex::new(Some(Part { rows, asked }))).collect();
    let sweep = Sweep { plan: &task.plan, spine, keys: &keys, cancel, advance, done: AtomicU64::new(0) };
    let mut answers = in_parallel(&sweep, &parts)?;

    // Rows without a key name nobody, who was never seen.
    let absent = EntityState::never_seen(&task.plan);
    let mut nobody = Collector::new(&task.plan);
    for row in strangers {
        nobody.push(row, absent.clone(), None);
    }
    answers.push(nobody.finish(&task.plan));
    in_spine_order(&answers, spine.rows())
}

fn in_parallel(sweep: &Sweep<'_>, parts: &[Mutex<Option<Part>>]) -> Result<Vec<PartAnswers>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(parts.len().max(1));
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results: Vec<Mutex<Option<Result<PartAnswers>>>> = parts.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(index).and_then(|part| part.lock().take()) else { break };
            if failed.load(Ordering::Relaxed) {
                break;
            }
            let answers = sweep.partition(part);
            failed.fetch_or(answers.is_err(), Ordering::Relaxed);
            *results[index].lock() = Some(answers);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut done = Vec::with_capacity(results.len());
    let mut missing = false;
    for result in results {
        match result.into_inner() {
            Some(answers) => done.push(answers?),
            None => missing = true,
        }
    }
    if missing { Err(LakeError::Cancelled) } else { Ok(done) }
}

/// A packed row in the order of its entity's events.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: u32,
    stamp: Stamp,
    buffer: u32,
    row: u32,
}

/// How many rows of the spine are answered between two signs of progress.
const PROGRESS_ROWS: u64 = 4096;

impl Sweep<'_> {
    fn partition(&self, part: Part) -> Result<PartAnswers> {
        let Part { rows, mut asked } = part;
        let buffers = rows.load(&self.plan.layout)?;
        let entries = entries(self.plan, &buffers);
        asked.sort_unstable_by_key(|row| (self.key(*row), self.spine.times[*row as usize], *row));
        let absent = EntityState::never_seen(self.plan);
        let mut collector = Collector::new(self.plan);
        let mut reader = Reader::new(self.plan);
        let (mut rest, mut unreported) = (entries.as_slice(), 0);
        for rows in asked.chunk_by(|a, b| self.key(*a) == self.key(*b)) {
            stop_if_cancelled(self.cancel)?;
            let key = self.key(rows[0]);
            let (own, others) = rest.split_at(rest.partition_point(|entry| entry.key <= key));
            rest = others;
            if own.is_empty() {
                rows.iter().for_each(|row| collector.push(*row, absent.clone(), None));
            } else {
                self.read_entity(&mut reader, &buffers, own, rows, &mut collector);
            }
            unreported += rows.len() as u64;
            if unreported >= PROGRESS_ROWS {
                self.report(&mut unreported);
            }
        }
        self.report(&mut unreported);
        Ok(collector.finish(self.plan))
    }

    fn key(&self, row: u32) -> u32 {
        self.keys.of_row[row as usize]
    }

    fn report(&self, unreported: &mut u64) {
        let done = self.done.fetch_add(*unreported, Ordering::Relaxed) + *unreported;
        *unreported = 0;
        (self.advance)(done);
    }

    /// Reads an entity at all its query times: what can be slid in one pass, the rest from its state.
    fn read_entity(
        &self,
        reader: &mut Reader<'_>,
        buffers: &[Buffer],
        own: &[Entry],
        asked: &[u32],
        collector: &mut Collector,
    ) {
        let (width, layout) = (self.plan.layout.width(), &self.plan.layout);
        let packed = |entry: &Entry| {
            let buffer = &buffers[entry.buffer as usize];
            let at = entry.row as usize * width;
            layout.row(&buffer.words[at..at + width], &buffer.heap)
        };
        let mut state = None;
        let rows: Vec<RowRef<'_>> = if reader.slides() { own.iter().map(packed).collect() } else { Vec::new() };
        reader.queries.clear();
        reader.queries.extend(asked.iter().map(|row| self.spine.times[*row as usize]));
        let slid = reader.slides() && reader.slider.read(&rows, &reader.queries, &mut reader.answers);
        let outputs = reader.slider.outputs().len();
        for (number, row) in asked.iter().enumerate() {
            let index = *row as usize;
            let cut = self.spine.cuts[index];
            let other = self.spine.other_cuts.as_ref().map_or(cut, |cuts| cuts[index]);
            // All that happened before was known by either cut, so that both see the same rows.
            if slid && reader.slider.newest_arrivals()[number] < cut.min(other) {
                let answers = reader.answers[number * outputs..(number + 1) * outputs].iter_mut().map(std::mem::take);
                match &reader.rest {
                    None => collector.push(*row, answers, None),
                    Some(rest) => {
                        let (state, _) = state.get_or_insert_with(|| self.entity(buffers, own));
                        let others = state.read(&rest.plan, self.spine.times[index], cut);
                        collector.push(*row, rest.merge(answers, others), None);
                    }
                }
                continue;
            }
            let (state, late) = state.get_or_insert_with(|| self.entity(buffers, own));
            self.read(state, *late, *row, collector);
        }
    }

    /// An entity with its rows, and whether any of them came late, so that the two kinds of point in time can differ.
    fn entity(&self, buffers: &[Buffer], entries: &[Entry]) -> (EntityState, bool) {
        let layout = &self.plan.layout;
        let width = layout.width();
        let mut state = EntityState::default();
        let mut late = false;
        let (mut cells, mut passes): (Vec<Cell<'_>>, Vec<bool>) = Default::default();
        for entry in entries {
            let buffer = &buffers[entry.buffer as usize];
            let at = entry.row as usize * width;
            let row = layout.row(&buffer.words[at..at + width], &buffer.heap);
            cells.clear();
            cells.extend((0..layout.slots()).map(|slot| row.cell(slot)));
            passes.clear();
            passes.extend((0..self.plan.filters.len()).map(|filter| row.passes(filter)));
            state.insert(self.plan, row.stamp(), row.arrival(), &cells, &passes);
            late |= row.arrival() > row.time();
            let (time, arrival) = row.retraction();
            if time != NEVER {
                state.retract(self.plan, row.stamp(), time, arrival);
                late |= arrival > time;
            }
        }
        (state, late)
    }

    fn read(&self, state: &EntityState, late: bool, row: u32, collector: &mut Collector) {
        let (q, cut) = (self.spine.times[row as usize], self.spine.cuts[row as usize]);
        let answers = state.read(self.plan, q, cut);
        let other = self
            .spine
            .other_cuts
            .as_ref()
            .map(|cuts| cuts[row as usize])
            .filter(|other| late && !state.same_at(self.plan, q, cut, *other))
            .map(|other| state.read(self.plan, q, other))
            .filter(|other| other.iter().zip(&answers).any(|(a, b)| a.value != b.value));
        collector.push(row, answers, other);
    }
}

/// What a thread needs to read the entities of a partition.
struct Reader<'p> {
    slider: Slider<'p>,
    /// The outputs that are not slid; none where all are.
    rest: Option<Rest>,
    queries: Vec<i64>,
    /// Of the outputs that are slid, query by query.
    answers: Vec<Answer>,
}

struct Rest {
    plan: ViewPlan,
    /// For each output of the view, whether it is slid.
    slid: Vec<bool>,
}

impl<'p> Reader<'p> {
    fn new(plan: &'p ViewPlan) -> Self {
        let slider = Slider::new(plan);
        let mut slid = vec![false; plan.outputs.len()];
        slider.outputs().iter().for_each(|output| slid[*output] = true);
        let others: Vec<usize> = (0..slid.len()).filter(|output| !slid[*output]).collect();
        let rest = (!others.is_empty()).then(|| Rest { plan: plan.select(&others), slid });
        Self { slider, rest, queries: Vec::new(), answers: Vec::new() }
    }

    fn slides(&self) -> bool {
        !self.slider.outputs().is_empty()
    }
}

impl Rest {
    /// The answers of both kinds in the order of the view's outputs.
    fn merge(&self, slid: impl Iterator<Item = Answer>, others: Vec<Answer>) -> Vec<Answer> {
        let (mut slid, mut others) = (slid, others.into_iter());
        let one = |own: &bool| if *own { slid.next() } else { others.next() };
        self.slid.iter().filter_map(one).collect()
    }
}

fn entries(plan: &ViewPlan, buffers: &[Buffer]) -> Vec<Entry> {
    let width = plan.layout.width();
    let mut entries = Vec::with_capacity(buffers.iter().map(|buffer| buffer.keys.len()).sum());
    for (index, buffer) in buffers.iter().enumerate() {
        for (row, (key, words)) in buffer.keys.iter().zip(buffer.words.chunks_exact(width)).enumerate() {
            let stamp = plan.layout.row(words, &buffer.heap).stamp();
            entries.push(Entry { key: *key, stamp, buffer: index as u32, row: row as u32 });
        }
    }
    entries.sort_unstable();
    entries
}

/// Answers on their way to arrays.
struct Collector {
    rows: Vec<u32>,
    values: Vec<Vec<Value>>,
    statuses: Vec<Vec<u8>>,
    /// The other values where any differs, with their place among the rows.
    other: Vec<(usize, Vec<Value>)>,
}

impl Collector {
    fn new(plan: &ViewPlan) -> Self {
        let outputs = plan.outputs.len();
        Self {
            rows: Vec::new(),
            values: vec![Vec::new(); outputs],
            statuses: vec![Vec::new(); outputs],
            other: Vec::new(),
        }
    }

    fn push(&mut self, row: u32, answers: impl IntoIterator<Item = Answer>, other: Option<Vec<Answer>>) {
        if let Some(other) = other {
            self.other.push((self.rows.len(), other.into_iter().map(|answer| answer.value).collect()));
        }
        self.rows.push(row);
        for (output, answer) in answers.into_iter().enumerate() {
            self.values[output].push(answer.value);
            self.statuses[output].push(status_code(answer.status));
        }
    }

    fn finish(mut self, plan: &ViewPlan) -> PartAnswers {
        let arrays = |values: &[Vec<Value>]| -> Vec<ArrayRef> {
            let typed = values.iter().zip(&plan.outputs);
            typed.map(|(values, output)| array_from_values(values.iter(), &output.value_type)).collect()
        };
        let values = arrays(&self.values);
        let changed = self.other.iter().map(|(place, _)| self.rows[*place]).collect();
        let other = if self.other.is_empty() {
            values.clone()
        } else {
            for (place, others) in std::mem::take(&mut self.other) {
                for (output, value) in others.into_iter().enumerate() {
                    self.values[output][place] = value;
                }
            }
            arrays(&self.values)
        };
        let statuses = self.statuses.into_iter().map(UInt8Array::from).collect();
        PartAnswers { rows: self.rows, values, statuses, other, changed }
    }
}

fn in_spine_order(parts: &[PartAnswers], rows: usize) -> Result<ViewAnswers> {
    let mut places = vec![0u32; rows];
    for (place, row) in parts.iter().flat_map(|part| &part.rows).enumerate() {
        places[*row as usize] = place as u32;
    }
    let places = UInt32Array::from(places);
    let values = ordered(parts, &places, |part| part.values.clone())?;
    let statuses = ordered(parts, &places, |part| {
        part.statuses.iter().map(|codes| Arc::new(codes.clone()) as ArrayRef).collect()
    })?;
    let statuses = statuses.iter().map(|array| array.as_primitive::<UInt8Type>().clone()).collect();
    let mut changed: Vec<u32> = parts.iter().flat_map(|part| part.changed.iter().copied()).collect();
    changed.sort_unstable();
    let other = if changed.is_empty() {
        None
    } else {
        Some(OtherAnswers { values: ordered(parts, &places, |part| part.other.clone())?, rows: changed })
    };
    Ok(ViewAnswers { values, statuses, other })
}

/// One array per output: the parts' own, end to end, then each value at its place.
fn ordered(
    parts: &[PartAnswers],
    places: &UInt32Array,
    of: impl Fn(&PartAnswers) -> Vec<ArrayRef>,
) -> Result<Vec<ArrayRef>> {
    let pieces: Vec<Vec<ArrayRef>> = parts.iter().map(of).collect();
    let outputs = pieces.first().map_or(0, Vec::len);
    (0..outputs)
        .map(|output| {
            let arrays: Vec<&dyn Array> = pieces.iter().map(|piece| piece[output].as_ref()).collect();
            Ok(take(&concat(&arrays)?, places, None)?)
        })
        .collect()
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
