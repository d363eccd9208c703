//! Seeded randomness: a failing test fails again.

/// SplitMix64.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// True with this probability.
    pub fn hits(&mut self, probability: f64) -> bool {
        ((self.draw() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }

    /// One of so many numbers from 0.
    pub fn below(&mut self, numbers: u64) -> u64 {
        self.draw() % numbers
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// How many of `tries` hit.
    pub fn count(&mut self, tries: u64, probability: f64) -> u64 {
        (0..tries).filter(|_| self.hits(probability)).count() as u64
    }
}
