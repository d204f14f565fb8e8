//! Packed rows: what is kept of an event for one view, in the layout in which it is aggregated.
//!
//! A row is a fixed number of 64-bit words; text goes to a heap beside them.
//! ```text
//! words: event time │ sequence │ arrival │ [retracted at │ retraction arrived]* │ flags… │ slots…
//! flags: one bit a slot (set: null), then one bit a filter (set: the row passes)      *change sources only
//! slot:  bool, int, float: 1 word · decimal: 2 words · text, bytes, list, vector: heap offset (32 bits), length (32)
//! ```

use crate::cell::Cell;
use thalweg_definition::DataType;

/// When a row happened, in the total order of an entity's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Stamp {
    pub time: i64,
    pub sequence: u64,
}

/// How a slot is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    Bool,
    Int,
    Float,
    Decimal,
    Bytes,
}

impl SlotKind {
    pub fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Bool => Self::Bool,
            DataType::Int32 | DataType::Int64 | DataType::Date | DataType::Timestamp => Self::Int,
            DataType::Float32 | DataType::Float64 => Self::Float,
            DataType::Decimal(..) => Self::Decimal,
            DataType::String | DataType::Bytes | DataType::List(_) | DataType::Vector(_) | DataType::Map(..) => {
                Self::Bytes
            }
        }
    }
}

/// Where everything is in a packed row.
#[derive(Debug, Clone)]
pub struct RowLayout {
    kinds: Vec<SlotKind>,
    offsets: Vec<usize>,
    filters: usize,
    retractable: bool,
    width: usize,
}

const TIME: usize = 0;
const SEQUENCE: usize = 1;
const ARRIVAL: usize = 2;
const RETRACTED_AT: usize = 3;
const RETRACTION_ARRIVAL: usize = 4;
/// In a row that was never retracted.
pub const NEVER: i64 = i64::MAX;

impl RowLayout {
    pub fn new(kinds: Vec<SlotKind>, filters: usize, retractable: bool) -> Self {
        let head = if retractable { 5 } else { 3 };
        let mut width = head + (kinds.len() + filters).div_ceil(64);
        let mut offsets = Vec::with_capacity(kinds.len());
        for kind in &kinds {
            offsets.push(width);
            width += if *kind == SlotKind::Decimal { 2 } else { 1 };
        }
        Self { kinds, offsets, filters, retractable, width }
    }

    /// Words a row takes.
    pub fn width(&self) -> usize {
        self.width
    }

    pub fn retractable(&self) -> bool {
        self.retractable
    }

    pub fn kind(&self, slot: usize) -> SlotKind {
        self.kinds[slot]
    }

    pub fn slots(&self) -> usize {
        self.kinds.len()
    }

    fn flags_at(&self) -> usize {
        if self.retractable { 5 } else { 3 }
    }

    /// Appends a row; `cells` has one per slot, `passes` one per filter. Fails where the heap would outgrow 4 GiB.
    pub fn push(
        &self,
        words: &mut Vec<u64>,
        heap: &mut Vec<u8>,
        stamp: Stamp,
        arrival: i64,
        cells: &[Cell<'_>],
        passes: &[bool],
    ) {
        debug_assert_eq!((cells.len(), passes.len()), (self.kinds.len(), self.filters));
        let start = words.len();
        words.resize(start + self.width, 0);
        let row = &mut words[start..];
        row[TIME] = stamp.time as u64;
        row[SEQUENCE] = stamp.sequence;
        row[ARRIVAL] = arrival as u64;
        if self.retractable {
            row[RETRACTED_AT] = NEVER as u64;
            row[RETRACTION_ARRIVAL] = NEVER as u64;
        }
        let flags = self.flags_at();
        for (slot, cell) in cells.iter().enumerate() {
            let at = self.offsets[slot];
            match *cell {
                Cell::Null => row[flags + slot / 64] |= 1 << (slot % 64),
                Cell::Bool(value) => row[at] = u64::from(value),
                Cell::Int(value) => row[at] = value as u64,
                Cell::Float(value) => row[at] = value.to_bits(),
                Cell::Decimal(value) => {
                    row[at] = value as u64;
                    row[at + 1] = (value >> 64) as u64;
                }
                Cell::Bytes(value) => {
                    row[at] = (heap.len() as u64) << 32 | value.len() as u64;
                    heap.extend_from_slice(value);
                }
            }
        }
        for (filter, passes) in passes.iter().enumerate() {
            let bit = self.kinds.len() + filter;
            row[flags + bit / 64] |= u64::from(*passes) << (bit % 64);
        }
    }

    /// Appends a copy of a row, moving its text to another heap.
    pub fn copy(&self, row: RowRef<'_>, words: &mut Vec<u64>, heap: &mut Vec<u8>) {
        let start = words.len();
        words.extend_from_slice(row.words);
        for (slot, kind) in self.kinds.iter().enumerate() {
            if *kind == SlotKind::Bytes
                && let Cell::Bytes(value) = row.cell(slot)
            {
                words[start + self.offsets[slot]] = (heap.len() as u64) << 32 | value.len() as u64;
                heap.extend_from_slice(value);
            }
        }
    }

    pub fn retract(&self, row: &mut [u64], time: i64, arrival: i64) {
        debug_assert!(self.retractable);
        row[RETRACTED_AT] = time as u64;
        row[RETRACTION_ARRIVAL] = arrival as u64;
    }

    pub fn row<'a>(&'a self, words: &'a [u64], heap: &'a [u8]) -> RowRef<'a> {
        RowRef { layout: self, words, heap }
    }
}

/// A packed row, read.
#[derive(Clone, Copy)]
pub struct RowRef<'a> {
    layout: &'a RowLayout,
    words: &'a [u64],
    heap: &'a [u8],
}

impl<'a> RowRef<'a> {
    #[inline]
    pub fn time(&self) -> i64 {
        self.words[TIME] as i64
    }

    #[inline]
    pub fn stamp(&self) -> Stamp {
        Stamp { time: self.time(), sequence: self.words[SEQUENCE] }
    }

    #[inline]
    pub fn arrival(&self) -> i64 {
        self.words[ARRIVAL] as i64
    }

    /// The event time and arrival time of what took the row back; [`NEVER`] twice where nothing did.
    #[inline]
    pub fn retraction(&self) -> (i64, i64) {
        if self.layout.retractable {
            (self.words[RETRACTED_AT] as i64, self.words[RETRACTION_ARRIVAL] as i64)
        } else {
            (NEVER, NEVER)
        }
    }

    /// Whether the row is seen at query time `q` by one who knows what arrived before `cut`.
    #[inline]
    pub fn visible(&self, q: i64, cut: i64) -> bool {
        if self.time() >= q || self.arrival() >= cut {
            return false;
        }
        let (time, arrival) = self.retraction();
        !(time < q && arrival < cut)
    }

    #[inline]
    pub fn cell(&self, slot: usize) -> Cell<'a> {
        let flags = self.layout.flags_at();
        if self.words[flags + slot / 64] >> (slot % 64) & 1 == 1 {
            return Cell::Null;
        }
        let at = self.layout.offsets[slot];
        let word = self.words[at];
        match self.layout.kinds[slot] {
            SlotKind::Bool => Cell::Bool(word != 0),
            SlotKind::Int => Cell::Int(word as i64),
            SlotKind::Float => Cell::Float(f64::from_bits(word)),
            SlotKind::Decimal => Cell::Decimal((self.words[at + 1] as i128) << 64 | i128::from(word)),
            SlotKind::Bytes => {
                let (offset, length) = ((word >> 32) as usize, (word & 0xffff_ffff) as usize);
                Cell::Bytes(&self.heap[offset..offset + length])
            }
        }
    }

    /// Whether all text that the row refers to is in the heap. Asked of rows that were stored.
    pub(crate) fn has_its_text(&self) -> bool {
        let flags = self.layout.flags_at();
        self.layout.kinds.iter().zip(&self.layout.offsets).enumerate().all(|(slot, (kind, at))| {
            let null = self.words[flags + slot / 64] >> (slot % 64) & 1 == 1;
            let word = self.words[*at];
            // Two numbers of 32 bits: their sum does not overflow.
            *kind != SlotKind::Bytes || null || (word >> 32) + (word & 0xffff_ffff) <= self.heap.len() as u64
        })
    }

    #[inline]
    pub fn passes(&self, filter: usize) -> bool {
        let bit = self.layout.kinds.len() + filter;
        self.words[self.layout.flags_at() + bit / 64] >> (bit % 64) & 1 == 1
    }
}
