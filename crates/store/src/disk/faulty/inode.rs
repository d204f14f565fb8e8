//! One file of the faulty disk: which of its bytes are durable, and what a crash leaves of it.

use crate::limits::SECTOR_BYTES;

/// A file's bytes as they are read, and what of them is durable: `data[..common]`, followed by
/// `durable_rest` where a cut was not synced yet.
#[derive(Default)]
pub(super) struct Inode {
    pub(super) data: Vec<u8>,
    common: usize,
    durable_rest: Vec<u8>,
    pub(super) sync_failed: bool,
    pub(super) dead: bool,
}

impl Inode {
    pub(super) fn durable(data: Vec<u8>) -> Inode {
        Inode { common: data.len(), data, ..Inode::default() }
    }

    pub(super) fn make_durable(&mut self) {
        self.common = self.data.len();
        self.durable_rest.clear();
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if len < self.common {
            let mut rest = self.data[len..self.common].to_vec();
            rest.append(&mut self.durable_rest);
            self.durable_rest = rest;
            self.common = len;
        }
        self.data.truncate(len);
    }

    /// What is left after the power went: the durable bytes, and any part of the others.
    pub(super) fn after_crash(&self, random: &mut Random) -> Vec<u8> {
        let mut survived = self.data[..self.common].to_vec();
        let unsynced = &self.data[self.common..];
        if !self.durable_rest.is_empty() && random.below(2) == 0 {
            survived.extend_from_slice(&self.durable_rest);
            return survived;
        }
        match random.below(4) {
            0 => {}
            1 => survived.extend_from_slice(unsynced),
            2 => {
                let torn_at = random.below(unsynced.len() as u64 + 1) as usize;
                survived.extend_from_slice(&unsynced[..torn_at]);
            }
            _ => {
                survived.extend_from_slice(unsynced);
                lose_sectors(&mut survived, self.common, random);
            }
        }
        survived
    }
}

/// Zeroes about half of the sectors from `from` on, and never a byte before it.
fn lose_sectors(bytes: &mut [u8], from: usize, random: &mut Random) {
    let sector = SECTOR_BYTES as usize;
    let mut start = from;
    while start < bytes.len() {
        let end = ((start / sector + 1) * sector).min(bytes.len());
        if random.below(2) == 0 {
            bytes[start..end].fill(0);
        }
        start = end;
    }
}

/// SplitMix64: all the chance this disk takes, from one seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
