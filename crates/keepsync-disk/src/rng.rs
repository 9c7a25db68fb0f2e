//! Chance, from a seed: SplitMix64.

#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform enough in `0..bound`; 0 for 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        if bound == 0 {
            return 0;
        }
        usize::try_from(self.next() % bound).unwrap_or(0)
    }
}

/// How much of what was not synced arrives: little, half, or almost all.
#[derive(Debug)]
pub(crate) struct Tear {
    rng: Rng,
    of_64: usize,
}

impl Tear {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let of_64 = [8, 32, 56, 63][rng.below(4)];
        Self { rng, of_64 }
    }

    pub(crate) fn arrives(&mut self) -> bool {
        self.rng.below(64) < self.of_64
    }

    /// How many of a row of changes that happen in order arrive.
    pub(crate) fn prefix(&mut self, count: usize) -> usize {
        self.rng.below(count + 1)
    }
}
