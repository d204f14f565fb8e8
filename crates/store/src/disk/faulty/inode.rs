//! One file of the faulty disk: which of its bytes are durable, and what a crash leaves of it.

use crate::limits::SECTOR_BYTES;

/// Versions of unsynced bytes that a crash can bring back; the oldest are forgotten first.
const MOST_VERSIONS: usize = 12;

/// A file's bytes as they are read, and what of them is durable: `data[..common]`, followed by
/// `durable_rest` where a cut was not synced yet.
#[derive(Default)]
pub(super) struct Inode {
    pub(super) data: Vec<u8>,
    common: usize,
    durable_rest: Vec<u8>,
    /// What followed `data[..common]` before each change since the last sync.
    earlier: Vec<Vec<u8>>,
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
        self.earlier.clear();
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.remember();
        self.data.extend_from_slice(bytes);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.remember();
        if len < self.common {
            let cut = self.data[len..self.common].to_vec();
            for version in self.earlier.iter_mut().chain([&mut self.durable_rest]) {
                *version = [cut.as_slice(), version.as_slice()].concat();
            }
            self.common = len;
        }
        self.data.truncate(len);
    }

    fn remember(&mut self) {
        if self.earlier.len() == MOST_VERSIONS {
            self.earlier.remove(0);
        }
        self.earlier.push(self.data[self.common..].to_vec());
    }

    /// What is left after the power went: the durable bytes, and any part of the others.
    pub(super) fn after_crash(&self, random: &mut Random) -> Vec<u8> {
        let mut survived = self.data[..self.common].to_vec();
        let unsynced = &self.data[self.common..];
        match random.below(5) {
            0 => survived.extend_from_slice(&self.durable_rest),
            1 => survived.extend_from_slice(unsynced),
            2 => {
                let torn_at = random.below(unsynced.len() as u64 + 1) as usize;
                survived.extend_from_slice(&unsynced[..torn_at]);
            }
            3 => {
                survived.extend_from_slice(unsynced);
                lose_sectors(&mut survived, self.common, random);
            }
            _ => self.mix(&mut survived, random),
        }
        survived
    }

    /// Each sector as some change since the last sync left it, in a file as long as some change made it.
    fn mix(&self, survived: &mut Vec<u8>, random: &mut Random) {
        let mut versions: Vec<&[u8]> = vec![self.durable_rest.as_slice()];
        versions.extend(self.earlier.iter().map(Vec::as_slice));
        versions.push(&self.data[self.common..]);
        let any = |random: &mut Random| versions[random.below(versions.len() as u64) as usize];
        let (sector, end) = (SECTOR_BYTES as usize, self.common + any(random).len());
        let mut start = self.common;
        while start < end {
            let stop = ((start / sector + 1) * sector).min(end);
            let version = any(random);
            survived.extend((start..stop).map(|at| version.get(at - self.common).copied().unwrap_or(0)));
            start = stop;
        }
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
#[derive(Default)]
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
