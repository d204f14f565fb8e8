//! The sweep: partition by partition, entity by entity, each entity is built once and read at all its query times.

use super::collect::{Collector, PartAnswers};
use super::gather::{Gathered, ViewTask};
use super::rows::{Buffer, PartitionRows};
use super::spine::{NO_KEY, Spine, SpineKeys};
use super::{OtherAnswers, ViewAnswers, stop_if_cancelled};
use crate::error::{LakeError, Result};
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::UInt8Type;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use thalweg_aggregate::{Answer, Cell, EntityState, NEVER, RowRef, Slider, Stamp, ViewPlan};

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
    number: usize,
    rows: PartitionRows,
    asked: Vec<u32>,
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
    let part = |(number, (rows, asked))| Mutex::new(Some(Part { number, rows, asked }));
    let parts: Vec<Mutex<Option<Part>>> = partitions.into_iter().zip(asked).enumerate().map(part).collect();
    let sweep = Sweep { plan: &task.plan, spine, keys: &keys, cancel, advance, done: AtomicU64::new(0) };
    let mut answers = in_parallel(&sweep, &parts)?;

    // Rows without a key name nobody, who was never seen.
    let absent = EntityState::never_seen(&task.plan);
    let mut nobody = Collector::new(&task.plan, strangers.len());
    nobody.begin(&strangers);
    for place in 0..strangers.len() {
        nobody.put_all(place, absent.clone());
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

/// A packed row, and where it stands among its entity's events.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Entry {
    stamp: Stamp,
    buffer: u32,
    row: u32,
}

/// How many rows of the spine are answered between two signs of progress.
const PROGRESS_ROWS: u64 = 4096;

impl Sweep<'_> {
    fn partition(&self, part: Part) -> Result<PartAnswers> {
        let Part { number, rows, asked } = part;
        let size = self.keys.sizes[number] as usize;
        let buffers = rows.load(&self.plan.layout)?;
        let entries = self.entries(&buffers, size);
        let times = &self.spine.times;
        let asked = grouped(asked.iter().copied(), size, |row| self.place(self.keys.of_row[row as usize]));
        let mut collector = Collector::new(self.plan, asked.items.len());
        let mut reader = Reader::new(self.plan);
        let (mut rows, mut unreported): (Vec<u32>, u64) = (Vec::new(), 0);
        for place in 0..size {
            stop_if_cancelled(self.cancel)?;
            rows.clear();
            rows.extend_from_slice(asked.group(place));
            rows.sort_unstable_by_key(|row| (times[*row as usize], *row));
            self.read_entity(&mut reader, &buffers, entries.group(place), &rows, &mut collector);
            unreported += rows.len() as u64;
            if unreported >= PROGRESS_ROWS {
                self.report(&mut unreported);
            }
        }
        self.report(&mut unreported);
        Ok(collector.finish(self.plan))
    }

    /// The place of a key in its partition.
    fn place(&self, key: u32) -> usize {
        self.keys.place[key as usize] as usize
    }

    /// The rows of each entity, in the order of its events.
    fn entries(&self, buffers: &[Buffer], size: usize) -> Grouped<Entry> {
        let layout = &self.plan.layout;
        let rows = buffers.iter().enumerate().flat_map(|(index, buffer)| {
            let words = buffer.words.chunks_exact(layout.width());
            buffer.keys.iter().zip(words).enumerate().map(move |(row, (key, words))| {
                let stamp = layout.row(words, &buffer.heap).stamp();
                (*key, Entry { stamp, buffer: index as u32, row: row as u32 })
            })
        });
        let mut counts = vec![0u32; size + 1];
        buffers.iter().flat_map(|buffer| &buffer.keys).for_each(|key| counts[self.place(*key) + 1] += 1);
        let mut entries = Grouped::with_counts(counts);
        rows.for_each(|(key, entry)| entries.put(self.place(key), entry));
        // History gives an entity's rows in a few ascending runs, mostly in one.
        entries.each_group(|own| {
            if !own.is_sorted() {
                own.sort();
            }
        });
        entries
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
        let first = collector.begin(asked);
        if own.is_empty() {
            for (number, _) in asked.iter().enumerate() {
                collector.put_all(first + number, reader.absent.clone());
            }
            return;
        }
        let (width, layout) = (self.plan.layout.width(), &self.plan.layout);
        let packed = |entry: &Entry| {
            let buffer = &buffers[entry.buffer as usize];
            let at = entry.row as usize * width;
            layout.row(&buffer.words[at..at + width], &buffer.heap)
        };
        let mut slid = false;
        if reader.slides() {
            let rows: Vec<RowRef<'_>> = own.iter().map(packed).collect();
            reader.queries.clear();
            reader.queries.extend(asked.iter().map(|row| self.spine.times[*row as usize]));
            slid = reader.slider.read(&rows, &reader.queries, |number, output, answer| {
                collector.put(first + number, output, answer);
            });
        }
        let mut state = None;
        for (number, row) in asked.iter().enumerate() {
            let index = *row as usize;
            let cut = self.spine.cuts[index];
            let other = self.spine.other_cuts.as_ref().map_or(cut, |cuts| cuts[index]);
            // Where all that happened before was known by either cut, both see the same rows.
            if slid && reader.slider.newest_arrivals()[number] < cut.min(other) {
                if let Some(rest) = &reader.rest {
                    let (state, _) = state.get_or_insert_with(|| self.entity(buffers, own));
                    let answers = state.read(&rest.plan, self.spine.times[index], cut);
                    for (output, answer) in rest.outputs.iter().zip(answers) {
                        collector.put(first + number, *output, answer);
                    }
                }
                continue;
            }
            let (state, late) = state.get_or_insert_with(|| self.entity(buffers, own));
            self.read(state, *late, *row, first + number, collector);
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

    /// Reads one row of the spine from the state, at its place in the collector.
    fn read(&self, state: &EntityState, late: bool, row: u32, place: usize, collector: &mut Collector) {
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
        collector.put_all(place, answers);
        if let Some(other) = other {
            collector.put_other(place, other);
        }
    }
}

/// What a thread needs to read the entities of a partition.
struct Reader<'p> {
    slider: Slider<'p>,
    /// The outputs that are not slid; none where all are.
    rest: Option<Rest>,
    /// What is answered for an entity without rows.
    absent: Vec<Answer>,
    queries: Vec<i64>,
}

struct Rest {
    plan: ViewPlan,
    /// The places of its outputs among the view's.
    outputs: Vec<usize>,
}

impl<'p> Reader<'p> {
    fn new(plan: &'p ViewPlan) -> Self {
        let slider = Slider::new(plan);
        let outputs: Vec<usize> = (0..plan.outputs.len()).filter(|output| !slider.outputs().contains(output)).collect();
        let rest = (!outputs.is_empty()).then(|| Rest { plan: plan.select(&outputs), outputs });
        Self { slider, rest, absent: EntityState::never_seen(plan), queries: Vec::new() }
    }

    fn slides(&self) -> bool {
        !self.slider.outputs().is_empty()
    }
}

/// Items by the group they belong to, in the order in which they were put there.
struct Grouped<T> {
    items: Vec<T>,
    /// Where each group ends, as far as it is filled.
    ends: Vec<u32>,
}

impl<T: Copy + Default> Grouped<T> {
    /// `counts[group + 1]` is how many items a group will have.
    fn with_counts(mut counts: Vec<u32>) -> Self {
        for group in 1..counts.len() {
            counts[group] += counts[group - 1];
        }
        let total = counts.pop().unwrap_or(0);
        Self { items: vec![T::default(); total as usize], ends: counts }
    }

    fn put(&mut self, group: usize, item: T) {
        let at = &mut self.ends[group];
        self.items[*at as usize] = item;
        *at += 1;
    }

    /// Of groups that are filled.
    fn group(&self, group: usize) -> &[T] {
        &self.items[self.start(group)..self.ends[group] as usize]
    }

    fn each_group(&mut self, mut work: impl FnMut(&mut [T])) {
        for group in 0..self.ends.len() {
            let start = self.start(group);
            work(&mut self.items[start..self.ends[group] as usize]);
        }
    }

    fn start(&self, group: usize) -> usize {
        if group == 0 { 0 } else { self.ends[group - 1] as usize }
    }
}

fn grouped<T: Copy + Default>(
    items: impl Iterator<Item = T> + Clone,
    groups: usize,
    group: impl Fn(T) -> usize,
) -> Grouped<T> {
    let mut counts = vec![0u32; groups + 1];
    items.clone().for_each(|item| counts[group(item) + 1] += 1);
    let mut grouped = Grouped::with_counts(counts);
    items.for_each(|item| grouped.put(group(item), item));
    grouped
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
