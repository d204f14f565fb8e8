//! What is kept of one entity for one view, and the reading of it.
//!
//! Rows are kept in the total order of events, in chunks; chunks are gathered in groups. A full chunk and a full
//! group carry partial results of every accumulator (a *tile*), so that a read merges the tiles that lie inside
//! a window and looks at single rows only where an edge of the window, or the arrival cut, falls.
//! ```text
//!  base ┆ group [chunk chunk … chunk] group […] ┆ head (newest rows, no tile yet)
//!  rows older than every window with an end, folded; read by unbounded windows only
//! ```

mod chunk;
mod codec;
mod read;

use crate::accumulator::Accumulator;
use crate::cell::Cell;
use crate::layout::{RowRef, Stamp};
use crate::view_plan::ViewPlan;
use chunk::{Chunk, Group};
pub use codec::DecodeError;
pub(crate) use read::answer;
pub use read::{Answer, Status};

/// Rows in a full chunk.
const CHUNK_ROWS: usize = 64;
/// Chunks in a full group.
const GROUP_CHUNKS: usize = 16;

/// The rows of an entity, and their tiles.
#[derive(Debug, Clone)]
pub struct EntityState {
    groups: Vec<Group>,
    head: Chunk,
    base: Option<Box<Base>>,
    /// Rows up to this event time may be missing: they are past retention, or folded.
    dropped_through: i64,
    /// The last log sequence that was applied; replay skips what is not past it.
    pub applied: u64,
}

/// Rows folded together because only unbounded windows still see them.
#[derive(Debug, Clone)]
struct Base {
    /// The newest event time folded.
    through: i64,
    /// The newest arrival time folded.
    newest_arrival: i64,
    /// One per accumulator that an unbounded window reads, in the plan's order.
    accumulators: Vec<Accumulator>,
}

impl Default for EntityState {
    fn default() -> Self {
        Self { groups: Vec::new(), head: Chunk::default(), base: None, dropped_through: i64::MIN, applied: 0 }
    }
}

impl EntityState {
    /// An entity without rows, of which rows up to an event time may have been let go.
    pub fn without(dropped_through: i64) -> Self {
        Self { dropped_through, ..Self::default() }
    }

    /// Adds a row, wherever in the order of events it belongs. One that is older than what is folded stays a row until
    /// it is folded itself, so that reads which do not know it yet can leave it out.
    pub fn insert(&mut self, plan: &ViewPlan, stamp: Stamp, arrival: i64, cells: &[Cell<'_>], passes: &[bool]) {
        if self.groups.is_empty() || self.head.first(plan).is_some_and(|first| stamp >= first) {
            self.head.insert(plan, stamp, arrival, cells, passes);
            if self.head.rows(plan) >= 2 * CHUNK_ROWS {
                self.seal_head(plan);
            }
            return;
        }
        // Older than the head, which is never empty once there are groups: it belongs to a group.
        let group = self.groups.partition_point(|group| group.first(plan) <= stamp).saturating_sub(1);
        self.groups[group].insert(plan, stamp, arrival, cells, passes);
        if self.groups[group].is_overfull() {
            let rest = self.groups[group].split(plan);
            self.groups.insert(group + 1, rest);
        }
    }

    /// Takes back the row with this stamp. False where it is not held (any more).
    pub fn retract(&mut self, plan: &ViewPlan, stamp: Stamp, time: i64, arrival: i64) -> bool {
        if self.head.retract(plan, stamp, time, arrival) {
            return true;
        }
        let group = self.groups.partition_point(|group| group.first(plan) <= stamp);
        group > 0 && self.groups[group - 1].retract(plan, stamp, time, arrival)
    }

    /// Drops or folds what no read at `now` or later can see; returns whether anything of the entity is left.
    pub fn expire(&mut self, plan: &ViewPlan, now: i64) -> bool {
        if let Some(retention) = plan.retention {
            self.drop_before(plan, now.saturating_sub(retention));
        } else if !plan.layout.retractable() {
            self.fold_before(plan, now.saturating_sub(plan.reach), now);
        }
        self.base.is_some() || !self.groups.is_empty() || !self.head.is_empty()
    }

    /// The oldest event time held as a row.
    pub fn oldest(&self, plan: &ViewPlan) -> Option<i64> {
        match self.groups.first() {
            Some(group) => Some(group.first(plan).time),
            None => self.head.first(plan).map(|stamp| stamp.time),
        }
    }

    /// The newest event time held, folded rows included; `i64::MIN` where there is none.
    pub fn newest(&self, plan: &ViewPlan) -> i64 {
        let base = self.base.as_ref().map_or(i64::MIN, |base| base.through);
        self.head.last(plan).map_or(base, |stamp| stamp.time)
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.head.bytes()
            + self.groups.iter().map(Group::bytes).sum::<usize>()
            + self.base.as_ref().map_or(0, |base| base.accumulators.len() * size_of::<Accumulator>())
    }

    /// All rows held, in order.
    pub fn for_each_row(&self, plan: &ViewPlan, mut visit: impl FnMut(RowRef<'_>)) {
        for chunk in self.chunks() {
            for index in 0..chunk.rows(plan) {
                visit(chunk.row(plan, index));
            }
        }
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.groups.iter().flat_map(Group::chunks).chain(std::iter::once(&self.head))
    }

    fn seal_head(&mut self, plan: &ViewPlan) {
        let sealed = self.head.split_older(plan, CHUNK_ROWS);
        match self.groups.last_mut() {
            Some(group) if !group.is_full() => group.push(plan, sealed),
            _ => self.groups.push(Group::new(plan, sealed)),
        }
    }

    /// Takes note of a row that came too late to be kept: reads that would see it are not answered.
    pub fn drop_through(&mut self, time: i64) {
        self.dropped_through = self.dropped_through.max(time);
    }

    fn drop_before(&mut self, plan: &ViewPlan, horizon: i64) {
        let gone = self.groups.iter().take_while(|group| group.last(plan).time < horizon).count();
        if gone > 0 {
            self.dropped_through = self.dropped_through.max(self.groups[gone - 1].last(plan).time);
            self.groups.drain(..gone);
        }
        if let Some(last) = self.head.last(plan)
            && last.time < horizon
        {
            self.dropped_through = self.dropped_through.max(last.time);
            self.head = Chunk::default();
        }
    }

    fn fold_before(&mut self, plan: &ViewPlan, horizon: i64, now: i64) {
        // Whole groups only: single rows cost little, and folding is for entities with many.
        let gone = self
            .groups
            .iter()
            .take_while(|group| group.last(plan).time < horizon && group.newest_arrival() < now)
            .count();
        if gone == 0 {
            return;
        }
        let mut base = self.base.take().unwrap_or_else(|| Base::new(plan));
        for group in self.groups.drain(..gone) {
            base.through = base.through.max(group.last(plan).time);
            base.newest_arrival = base.newest_arrival.max(group.newest_arrival());
            group.merge_into(plan, &plan.unbounded, &mut base.accumulators);
        }
        self.dropped_through = self.dropped_through.max(base.through);
        self.base = Some(base);
    }
}

impl Base {
    fn new(plan: &ViewPlan) -> Box<Self> {
        let accumulators = plan.unbounded.iter().map(|spec| Accumulator::new(&plan.accumulators[*spec])).collect();
        Box::new(Self { through: i64::MIN, newest_arrival: i64::MIN, accumulators })
    }
}
