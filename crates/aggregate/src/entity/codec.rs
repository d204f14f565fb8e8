//! The stored form of an entity's state, as checkpoints and cold storage hold it.
//!
//! ```text
//! u8 version (1) │ u64 applied │ i64 dropped through │ u32 base length │ base (postcard) │ u32 chunks
//! per chunk: u32 words │ u32 heap length │ words (u64 each) │ heap
//! ```
//! All numbers are little-endian. Tiles are not stored: they are made again from the rows. What is read back is held to
//! the plan, so that nobody later meets a row or an accumulator that no rows could have made.

use super::chunk::{Chunk, Group};
use super::{Base, EntityState};
use crate::accumulator::Accumulator;
use crate::cell::Cell;
use crate::layout::Stamp;
use crate::view_plan::ViewPlan;
use thalweg_definition::DataType;

const VERSION: u8 = 1;

/// Why stored bytes are not an entity's state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("an entity's state of format version {0}, which this version does not read")]
    Version(u8),
    #[error("an entity's state ends early or does not fit its view")]
    Malformed,
}

impl EntityState {
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend(self.applied.to_le_bytes());
        out.extend(self.dropped_through.to_le_bytes());
        let base = self.base.as_ref().map_or(Vec::new(), |base| {
            postcard::to_allocvec(&(base.through, base.newest_arrival, &base.accumulators)).expect("plain data")
        });
        out.extend((base.len() as u32).to_le_bytes());
        out.extend(base);
        let chunks: Vec<&Chunk> = self.chunks().filter(|chunk| !chunk.is_empty()).collect();
        out.extend((chunks.len() as u32).to_le_bytes());
        for chunk in chunks {
            out.extend((chunk.words.len() as u32).to_le_bytes());
            out.extend((chunk.heap.len() as u32).to_le_bytes());
            for word in &chunk.words {
                out.extend(word.to_le_bytes());
            }
            out.extend(&chunk.heap);
        }
    }

    pub fn decode(plan: &ViewPlan, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input(bytes);
        let [version] = input.take::<1>()?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let mut state = Self { applied: u64::from_le_bytes(input.take()?), ..Self::default() };
        state.dropped_through = i64::from_le_bytes(input.take()?);
        let base = input.length()?;
        let base = input.bytes(base)?;
        if !base.is_empty() {
            state.base = Some(Box::new(decode_base(plan, base)?));
        }
        let mut rows = RowChecks::new(plan);
        let chunks = input.length()?;
        for index in 0..chunks {
            let chunk = decode_chunk(plan, &mut input)?;
            rows.check(plan, &chunk)?;
            if index + 1 == chunks {
                state.head = chunk;
            } else {
                let chunk = chunk.sealed(plan);
                match state.groups.last_mut() {
                    Some(group) if !group.is_full() => group.push(plan, chunk),
                    _ => state.groups.push(Group::new(plan, chunk)),
                }
            }
        }
        if input.0.is_empty() { Ok(state) } else { Err(DecodeError::Malformed) }
    }
}

fn decode_base(plan: &ViewPlan, bytes: &[u8]) -> Result<Base, DecodeError> {
    type Parts = (i64, i64, Vec<Accumulator>);
    let ((through, newest_arrival, accumulators), rest): (Parts, &[u8]) =
        postcard::take_from_bytes(bytes).map_err(|_| DecodeError::Malformed)?;
    let mut specs = accumulators.iter().zip(&plan.unbounded);
    let fits = accumulators.len() == plan.unbounded.len()
        && specs.all(|(own, spec)| own.fits(&plan.accumulators[*spec], &plan.slots));
    if fits && rest.is_empty() {
        Ok(Base { through, newest_arrival, accumulators })
    } else {
        Err(DecodeError::Malformed)
    }
}

/// What is held to be true of rows wherever they are read.
struct RowChecks {
    /// Of the row before.
    last: Stamp,
    /// The slots that hold decimals, and what these stay below.
    decimals: Vec<(usize, u128)>,
}

impl RowChecks {
    fn new(plan: &ViewPlan) -> Self {
        let decimals = plan.slots.iter().enumerate().filter_map(|(slot, own)| match own.data_type {
            DataType::Decimal(precision, _) => Some((slot, 10u128.pow(u32::from(precision)))),
            _ => None,
        });
        Self { last: Stamp { time: i64::MIN, sequence: 0 }, decimals: decimals.collect() }
    }

    fn check(&mut self, plan: &ViewPlan, chunk: &Chunk) -> Result<(), DecodeError> {
        for index in 0..chunk.rows(plan) {
            let row = chunk.row(plan, index);
            let in_order = self.last <= row.stamp();
            let narrow = |(slot, below): &(usize, u128)| match row.cell(*slot) {
                Cell::Decimal(value) => value.unsigned_abs() < *below,
                _ => true,
            };
            if !in_order || !row.has_its_text() || !self.decimals.iter().all(narrow) {
                return Err(DecodeError::Malformed);
            }
            self.last = row.stamp();
        }
        Ok(())
    }
}

fn decode_chunk(plan: &ViewPlan, input: &mut Input<'_>) -> Result<Chunk, DecodeError> {
    let (words, heap) = (input.length()?, input.length()?);
    if words == 0 || words % plan.layout.width() != 0 {
        return Err(DecodeError::Malformed);
    }
    let raw = input.bytes(words.checked_mul(8).ok_or(DecodeError::Malformed)?)?;
    let words = raw.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight"))).collect();
    Ok(Chunk::from_parts(plan, words, input.bytes(heap)?.to_vec()))
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        Ok(self.bytes(N)?.try_into().expect("as many as asked for"))
    }

    fn length(&mut self) -> Result<usize, DecodeError> {
        Ok(u32::from_le_bytes(self.take()?) as usize)
    }
}
