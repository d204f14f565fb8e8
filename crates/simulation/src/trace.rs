//! What a run did, line by line: hashed, so that two runs can be compared, and shown where that is asked for.

use std::fmt;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

pub(crate) struct Trace {
    hash: u64,
    shown: bool,
}

impl Trace {
    pub(crate) fn new(shown: bool) -> Self {
        Self { hash: OFFSET, shown }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn note(&mut self, step: u64, line: fmt::Arguments<'_>) {
        let line = line.to_string();
        for byte in line.bytes().chain(step.to_le_bytes()) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(PRIME);
        }
        if self.shown {
            eprintln!("{step:>5}  {line}");
        }
    }
}
