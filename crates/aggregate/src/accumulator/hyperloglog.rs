//! `approx_distinct`: a HyperLogLog whose hashes, registers and bytes are those of Apache DataSketches (HLL_8).
//!
//! DataSketches' own default estimator (HIP) depends on the order of insertions; here the estimate is always the
//! composite one, which looks at the registers alone. Few registers are kept as a sorted list.

use super::Kind;
use crate::cell::Cell;
use datasketches::hll::HllSketch;
use mur3::murmurhash3_x64_128;
use serde::{Deserialize, Serialize};

/// Largest value of a register: one more than the leading zeros that are counted.
const MAX_VALUE: u8 = 63;

/// The seed with which every DataSketches library hashes.
const SEED: u32 = 9001;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum HyperLogLog {
    /// (register, value), sorted by register.
    Sparse(Vec<(u32, u8)>),
    Dense(Vec<u8>),
}

impl Default for HyperLogLog {
    fn default() -> Self {
        Self::Sparse(Vec::new())
    }
}

impl HyperLogLog {
    pub fn add(&mut self, kind: Kind, cell: Cell<'_>) {
        let (low, high) = match cell.as_key() {
            Cell::Bool(value) => hash(&i64::from(value).to_le_bytes()),
            Cell::Int(value) => hash(&value.to_le_bytes()),
            Cell::Float(value) => hash(&value.to_bits().to_le_bytes()),
            Cell::Decimal(value) => hash(&value.to_le_bytes()),
            Cell::Bytes(value) => hash(value),
            Cell::Null => return,
        };
        let lg_k = lg_k(kind);
        // A coupon has 26 bits of address, of which the lowest choose the register.
        let register = low as u32 & ((1 << lg_k) - 1);
        self.raise(lg_k, register, high.leading_zeros().min(u32::from(MAX_VALUE) - 1) as u8 + 1);
    }

    /// Whether hashes could have made these registers.
    pub fn fits(&self, lg_k: u32) -> bool {
        match self {
            Self::Sparse(entries) => {
                let possible = |(register, value): &(u32, u8)| *register < 1 << lg_k && (1..=MAX_VALUE).contains(value);
                entries.iter().all(possible) && entries.is_sorted_by(|(a, _), (b, _)| a < b)
            }
            Self::Dense(registers) => registers.len() == 1 << lg_k && registers.iter().all(|value| *value <= MAX_VALUE),
        }
    }

    pub fn merge(&mut self, kind: Kind, other: &Self) {
        let lg_k = lg_k(kind);
        match other {
            Self::Sparse(entries) => entries.iter().for_each(|(register, value)| self.raise(lg_k, *register, *value)),
            Self::Dense(registers) => {
                for (register, value) in registers.iter().enumerate().filter(|(_, value)| **value > 0) {
                    self.raise(lg_k, register as u32, *value);
                }
            }
        }
    }

    fn raise(&mut self, lg_k: u32, register: u32, value: u8) {
        match self {
            Self::Dense(registers) => {
                let own = &mut registers[register as usize];
                *own = (*own).max(value);
            }
            Self::Sparse(entries) => match entries.binary_search_by_key(&register, |(register, _)| *register) {
                Ok(at) => entries[at].1 = entries[at].1.max(value),
                Err(at) => {
                    entries.insert(at, (register, value));
                    // An entry takes eight bytes.
                    if entries.len() * 8 > 1 << lg_k {
                        *self = Self::Dense(self.registers(lg_k));
                    }
                }
            },
        }
    }

    fn registers(&self, lg_k: u32) -> Vec<u8> {
        match self {
            Self::Dense(registers) => registers.clone(),
            Self::Sparse(entries) => {
                let mut registers = vec![0; 1 << lg_k];
                for (register, value) in entries {
                    registers[*register as usize] = *value;
                }
                registers
            }
        }
    }

    /// The sketch as DataSketches writes it: an HLL_8 register array, marked as merged out of order so that every
    /// reader takes the composite estimate.
    pub fn to_bytes(&self, lg_k: u32) -> Vec<u8> {
        const PREAMBLE_INTS: u8 = 10;
        const SERIAL_VERSION: u8 = 1;
        const FAMILY_HLL: u8 = 7;
        const OUT_OF_ORDER: u8 = 16;
        const MODE_HLL_8: u8 = 2 | 2 << 2;
        let registers = self.registers(lg_k);
        let (mut low, mut high) = (0.0, 0.0);
        for value in &registers {
            let inverse = 1.0 / (1u64 << value) as f64;
            *(if *value < 32 { &mut low } else { &mut high }) += inverse;
        }
        let zeros = registers.iter().filter(|value| **value == 0).count() as u32;
        let mut bytes = vec![PREAMBLE_INTS, SERIAL_VERSION, FAMILY_HLL, lg_k as u8, 0, OUT_OF_ORDER, 0, MODE_HLL_8];
        for number in [0.0f64, low, high] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(zeros.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(registers);
        bytes
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Sparse(entries) if entries.is_empty())
    }

    pub fn estimate(&self, lg_k: u32) -> f64 {
        HllSketch::deserialize(&self.to_bytes(lg_k)).expect("our own bytes").composite_estimate()
    }
}

fn hash(bytes: &[u8]) -> (u64, u64) {
    murmurhash3_x64_128(bytes, SEED)
}

fn lg_k(kind: Kind) -> u32 {
    match kind {
        Kind::HyperLogLog(lg_k) => lg_k,
        _ => unreachable!("kinds agree"),
    }
}
