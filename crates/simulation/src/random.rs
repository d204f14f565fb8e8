//! All the chance of a run: SplitMix64, from the run's seed and the number of the step.

pub(crate) struct Random(u64);

impl Random {
    /// The numbers of one stream of a seed; they depend on no other stream, so that steps can be left out.
    pub(crate) fn of(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed);
        let mixed = random.draw();
        Self(mixed ^ stream.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    /// A number from 0 to `bound` exclusive, as a signed one: times and ages.
    pub(crate) fn micros(&mut self, bound: i64) -> i64 {
        self.below(bound.unsigned_abs()) as i64
    }

    /// True `times` out of `of`.
    pub(crate) fn chance(&mut self, times: u64, of: u64) -> bool {
        self.below(of) < times
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// Another stream, that draws from this one once.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.draw())
    }
}
