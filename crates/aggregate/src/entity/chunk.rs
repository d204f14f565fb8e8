//! Chunks of packed rows with their tiles, and groups of chunks with theirs.

use super::{CHUNK_ROWS, GROUP_CHUNKS};
use crate::accumulator::Accumulator;
use crate::cell::Cell;
use crate::layout::{RowRef, Stamp};
use crate::view_plan::ViewPlan;

/// Rows in order of their stamps.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) words: Vec<u64>,
    pub(super) heap: Vec<u8>,
    newest_arrival: i64,
    retracted: bool,
    /// Partial results of every accumulator over all rows; kept for sealed chunks.
    tile: Option<Box<[Accumulator]>>,
}

impl Default for Chunk {
    fn default() -> Self {
        Self { words: Vec::new(), heap: Vec::new(), newest_arrival: i64::MIN, retracted: false, tile: None }
    }
}

impl Chunk {
    pub fn rows(&self, plan: &ViewPlan) -> usize {
        self.words.len() / plan.layout.width()
    }

    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub fn row<'a>(&'a self, plan: &'a ViewPlan, index: usize) -> RowRef<'a> {
        let width = plan.layout.width();
        plan.layout.row(&self.words[index * width..(index + 1) * width], &self.heap)
    }

    pub fn first(&self, plan: &ViewPlan) -> Option<Stamp> {
        (!self.is_empty()).then(|| self.row(plan, 0).stamp())
    }

    pub fn last(&self, plan: &ViewPlan) -> Option<Stamp> {
        (!self.is_empty()).then(|| self.row(plan, self.rows(plan) - 1).stamp())
    }

    /// Whether every row had arrived before the cut and none was ever taken back.
    pub fn all_known_at(&self, cut: i64) -> bool {
        self.newest_arrival < cut && !self.retracted
    }

    /// The tile, where it speaks for every row at this cut.
    pub fn tile_at(&self, cut: i64) -> Option<&[Accumulator]> {
        if self.all_known_at(cut) { self.tile.as_deref() } else { None }
    }

    /// Index of the first row with an event time of at least `time`.
    pub fn lower_bound(&self, plan: &ViewPlan, time: i64) -> usize {
        let (mut low, mut high) = (0, self.rows(plan));
        while low < high {
            let middle = low.midpoint(high);
            if self.row(plan, middle).time() < time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    pub fn insert(&mut self, plan: &ViewPlan, stamp: Stamp, arrival: i64, cells: &[Cell<'_>], passes: &[bool]) {
        let width = plan.layout.width();
        let start = self.words.len();
        plan.layout.push(&mut self.words, &mut self.heap, stamp, arrival, cells, passes);
        self.newest_arrival = self.newest_arrival.max(arrival);
        if let Some(tile) = &mut self.tile {
            let row = plan.layout.row(&self.words[start..], &self.heap);
            for (accumulator, spec) in tile.iter_mut().zip(&plan.accumulators) {
                accumulator.add(spec, row);
            }
        }
        let place = {
            let (mut low, mut high) = (0, start / width);
            while low < high {
                let middle = low.midpoint(high);
                if self.row(plan, middle).stamp() < stamp {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            low
        };
        self.words[place * width..].rotate_right(width);
    }

    pub fn retract(&mut self, plan: &ViewPlan, stamp: Stamp, time: i64, arrival: i64) -> bool {
        let mut index = self.lower_bound(plan, stamp.time);
        while index < self.rows(plan) && self.row(plan, index).stamp() < stamp {
            index += 1;
        }
        if index == self.rows(plan) || self.row(plan, index).stamp() != stamp {
            return false;
        }
        let width = plan.layout.width();
        plan.layout.retract(&mut self.words[index * width..(index + 1) * width], time, arrival);
        self.retracted = true;
        true
    }

    /// Splits off the oldest `rows` rows as a sealed chunk.
    pub fn split_older(&mut self, plan: &ViewPlan, rows: usize) -> Self {
        let older = self.copy_rows(plan, 0, rows);
        let mut newer = self.copy_rows(plan, rows, self.rows(plan));
        newer.tile = None;
        *self = newer;
        older.sealed(plan)
    }

    fn copy_rows(&self, plan: &ViewPlan, from: usize, to: usize) -> Self {
        let mut copy = Self::default();
        copy.words.reserve_exact((to - from) * plan.layout.width());
        for index in from..to {
            let row = self.row(plan, index);
            copy.newest_arrival = copy.newest_arrival.max(row.arrival());
            copy.retracted |= row.retraction().0 != crate::layout::NEVER;
            plan.layout.copy(row, &mut copy.words, &mut copy.heap);
        }
        copy
    }

    pub fn sealed(mut self, plan: &ViewPlan) -> Self {
        let mut tile: Box<[Accumulator]> = plan.accumulators.iter().map(Accumulator::new).collect();
        for index in 0..self.rows(plan) {
            let row = self.row(plan, index);
            for (accumulator, spec) in tile.iter_mut().zip(&plan.accumulators) {
                accumulator.add(spec, row);
            }
        }
        self.tile = Some(tile);
        self
    }

    /// A chunk from its stored parts.
    pub fn from_parts(plan: &ViewPlan, words: Vec<u64>, heap: Vec<u8>) -> Self {
        let mut chunk = Self { words, heap, ..Self::default() };
        for index in 0..chunk.rows(plan) {
            let (arrival, retracted) = {
                let row = chunk.row(plan, index);
                (row.arrival(), row.retraction().0 != crate::layout::NEVER)
            };
            chunk.newest_arrival = chunk.newest_arrival.max(arrival);
            chunk.retracted |= retracted;
        }
        chunk
    }

    pub fn bytes(&self) -> usize {
        let tile = self.tile.as_ref().map_or(0, |tile| tile.len() * size_of::<Accumulator>());
        size_of::<Self>() + self.words.capacity() * 8 + self.heap.capacity() + tile
    }
}

/// Neighbouring sealed chunks, never none, and the tile over all of them.
#[derive(Debug, Clone)]
pub(super) struct Group {
    chunks: Vec<Chunk>,
    newest_arrival: i64,
    retracted: bool,
    tile: Option<Box<[Accumulator]>>,
}

impl Group {
    pub fn new(plan: &ViewPlan, chunk: Chunk) -> Self {
        let mut group = Self { chunks: Vec::new(), newest_arrival: i64::MIN, retracted: false, tile: None };
        group.push(plan, chunk);
        group
    }

    pub fn push(&mut self, plan: &ViewPlan, chunk: Chunk) {
        self.newest_arrival = self.newest_arrival.max(chunk.newest_arrival);
        self.retracted |= chunk.retracted;
        self.chunks.push(chunk);
        if self.is_full() {
            let mut tile: Box<[Accumulator]> = plan.accumulators.iter().map(Accumulator::new).collect();
            for chunk in &self.chunks {
                let parts = chunk.tile.as_deref().expect("chunks of a group are sealed");
                for ((total, part), spec) in tile.iter_mut().zip(parts).zip(&plan.accumulators) {
                    total.merge(spec, part);
                }
            }
            self.tile = Some(tile);
        }
    }

    pub fn is_full(&self) -> bool {
        self.chunks.len() >= GROUP_CHUNKS
    }

    pub fn is_overfull(&self) -> bool {
        self.chunks.len() >= 2 * GROUP_CHUNKS
    }

    pub fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter()
    }

    pub fn first(&self, plan: &ViewPlan) -> Stamp {
        self.chunks[0].first(plan).expect("sealed chunks are never empty")
    }

    pub fn last(&self, plan: &ViewPlan) -> Stamp {
        self.chunks[self.chunks.len() - 1].last(plan).expect("sealed chunks are never empty")
    }

    pub fn newest_arrival(&self) -> i64 {
        self.newest_arrival
    }

    pub fn all_known_at(&self, cut: i64) -> bool {
        self.newest_arrival < cut && !self.retracted
    }

    pub fn tile_at(&self, cut: i64) -> Option<&[Accumulator]> {
        if self.all_known_at(cut) { self.tile.as_deref() } else { None }
    }

    pub fn insert(&mut self, plan: &ViewPlan, stamp: Stamp, arrival: i64, cells: &[Cell<'_>], passes: &[bool]) {
        let at = self
            .chunks
            .partition_point(|chunk| chunk.first(plan).is_some_and(|first| first <= stamp))
            .saturating_sub(1);
        let chunk = &mut self.chunks[at];
        chunk.insert(plan, stamp, arrival, cells, passes);
        self.newest_arrival = self.newest_arrival.max(arrival);
        if let Some(tile) = &mut self.tile {
            let (mut words, mut heap) = (Vec::new(), Vec::new());
            plan.layout.push(&mut words, &mut heap, stamp, arrival, cells, passes);
            for (accumulator, spec) in tile.iter_mut().zip(&plan.accumulators) {
                accumulator.add(spec, plan.layout.row(&words, &heap));
            }
        }
        if chunk.rows(plan) >= 2 * CHUNK_ROWS {
            let older = chunk.split_older(plan, CHUNK_ROWS);
            let newer = std::mem::take(chunk).sealed(plan);
            self.chunks[at] = older;
            self.chunks.insert(at + 1, newer);
        }
    }

    pub fn retract(&mut self, plan: &ViewPlan, stamp: Stamp, time: i64, arrival: i64) -> bool {
        let at = self.chunks.partition_point(|chunk| chunk.first(plan).is_some_and(|first| first <= stamp));
        let found = at > 0 && self.chunks[at - 1].retract(plan, stamp, time, arrival);
        self.retracted |= found;
        found
    }

    /// Splits an overfull group in two; the newer half is returned.
    pub fn split(&mut self, plan: &ViewPlan) -> Self {
        let chunks = std::mem::take(&mut self.chunks);
        let mut halves = [None, None];
        for (index, chunk) in chunks.into_iter().enumerate() {
            let half: &mut Option<Self> = &mut halves[usize::from(index >= GROUP_CHUNKS)];
            match half {
                Some(group) => group.push(plan, chunk),
                None => *half = Some(Self::new(plan, chunk)),
            }
        }
        let [older, newer] = halves;
        *self = older.expect("an overfull group has both halves");
        newer.expect("an overfull group has both halves")
    }

    /// Adds all rows to accumulators of some specs.
    pub fn merge_into(&self, plan: &ViewPlan, specs: &[usize], totals: &mut [Accumulator]) {
        for chunk in &self.chunks {
            let tile = chunk.tile.as_deref().expect("chunks of a group are sealed");
            for (total, spec) in totals.iter_mut().zip(specs) {
                total.merge(&plan.accumulators[*spec], &tile[*spec]);
            }
        }
    }

    pub fn bytes(&self) -> usize {
        let tile = self.tile.as_ref().map_or(0, |tile| tile.len() * size_of::<Accumulator>());
        size_of::<Self>() + self.chunks.iter().map(Chunk::bytes).sum::<usize>() + tile
    }
}
