//! The checksum of any part of some bytes, at a cost that does not grow with the part: a torn end
//! may be full of what looks like headers of long records, and each has to be held against its
//! checksum.
//!
//! The CRC of a part follows from those of all bytes up to its two ends: that up to its start,
//! moved on by as many zeros as the part has bytes, is taken out of that up to its end.

/// Every so many bytes the CRC of all bytes before is kept.
const STEP: usize = 256;

/// What some number of zero bytes makes of a CRC, bit by bit.
type Shift = [u32; 32];

pub(super) struct Checksums<'a> {
    bytes: &'a [u8],
    /// Made when the first is asked for.
    tables: Option<Tables>,
}

struct Tables {
    /// At `n`: of the first `n * STEP` bytes.
    before: Vec<u32>,
    /// At `n`: by `2^n` bytes.
    shifts: Vec<Shift>,
}

impl<'a> Checksums<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Checksums<'a> {
        Checksums { bytes, tables: None }
    }

    /// The CRC-32C of the bytes from `start` to `end`, which are inside.
    pub(super) fn of(&mut self, start: usize, end: usize) -> u32 {
        let part = &self.bytes[start..end];
        if part.len() <= STEP {
            return crc32c::crc32c(part);
        }
        let bytes = self.bytes;
        let tables = self.tables.get_or_insert_with(|| Tables::of(bytes));
        tables.before(bytes, end) ^ tables.shifted(tables.before(bytes, start), part.len())
    }
}

impl Tables {
    fn of(bytes: &[u8]) -> Tables {
        let mut before = vec![0];
        for step in bytes.chunks_exact(STEP) {
            let last = before[before.len() - 1];
            before.push(crc32c::crc32c_append(last, step));
        }
        let mut one: Shift = [0; 32];
        for (bit, moved) in one.iter_mut().enumerate() {
            *moved = crc32c::crc32c_combine(1 << bit, 0, 1);
        }
        let mut shifts = vec![one];
        while bytes.len() >> shifts.len() > 0 {
            let last = &shifts[shifts.len() - 1];
            let twice = last.map(|moved| apply(last, moved));
            shifts.push(twice);
        }
        Tables { before, shifts }
    }

    fn before(&self, bytes: &[u8], end: usize) -> u32 {
        let steps = end / STEP;
        crc32c::crc32c_append(self.before[steps], &bytes[steps * STEP..end])
    }

    fn shifted(&self, crc: u32, zeros: usize) -> u32 {
        let needed = self.shifts.iter().enumerate().filter(|(power, _)| (zeros >> power) & 1 == 1);
        needed.fold(crc, |crc, (_, shift)| apply(shift, crc))
    }
}

fn apply(shift: &Shift, mut crc: u32) -> u32 {
    let mut moved = 0;
    while crc != 0 {
        moved ^= shift[crc.trailing_zeros() as usize];
        crc &= crc - 1;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_part_is_that_of_its_bytes() {
        let bytes: Vec<u8> = (0..5000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut checksums = Checksums::new(&bytes);
        for start in (0..bytes.len()).step_by(97) {
            for end in (start..=bytes.len()).step_by(61).chain([bytes.len()]) {
                assert_eq!(checksums.of(start, end), crc32c::crc32c(&bytes[start..end]), "{start} to {end}");
            }
        }
    }
}
