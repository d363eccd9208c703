//! Names the counts a proof rests on, so that a second look can tell whether they changed.

use super::{JudgePlan, Measure, Measured, Samples};
use crate::spec::CheckMode;
use crate::units::Minute;

/// Equal for equal counts, in the minutes before `before`, of the checks that a promotion needs (64-bit FNV-1a).
#[must_use]
pub fn settled_digest(plan: &JudgePlan, samples: &Samples, before: Minute) -> u64 {
    let mut digest = Digest::default();
    for (index, check) in plan.checks.iter().enumerate() {
        let judged = matches!(check.measure, Measure::Counts | Measure::Distribution);
        if !judged || check.mode == CheckMode::Observe {
            continue;
        }
        digest.add(index as u64);
        for sample in samples.minutes.iter().filter(|sample| sample.minute < before) {
            digest.add(sample.minute.index().cast_unsigned());
            let pair = sample.pairs.get(index);
            digest.measured(pair.and_then(|pair| pair.baseline.as_ref()));
            digest.measured(pair.and_then(|pair| pair.canary.as_ref()));
        }
    }
    digest.value()
}

/// The bytes that came last, all of them 0, are only counted yet.
struct Digest {
    value: u64,
    zeros: usize,
}

impl Default for Digest {
    fn default() -> Self {
        Self { value: 0xcbf2_9ce4_8422_2325, zeros: 0 }
    }
}

/// What so many bytes multiply by.
const POWERS: [u64; 9] = {
    let mut powers = [1_u64; 9];
    let mut bytes = 1;
    while bytes < powers.len() {
        powers[bytes] = powers[bytes - 1].wrapping_mul(0x0000_0100_0000_01b3);
        bytes += 1;
    }
    powers
};

impl Digest {
    /// What cannot be a count is missing.
    fn measured(&mut self, measured: Option<&Measured>) {
        let count = measured.and_then(Measured::count).map(|count| [count.requests, count.events]);
        let bins = measured.and_then(Measured::bins).map(|bins| bins.counts.as_slice());
        match count.as_ref().map(<[f64; 2]>::as_slice).or(bins) {
            Some(values) => {
                self.add(1);
                // Adding 0 makes -0 and 0 the same.
                values.iter().for_each(|value| self.add((value + 0.0).to_bits()));
            }
            None => self.add(0),
        }
    }

    /// Byte by byte, the lowest first. Most bytes of a count are 0, and a run of those is one multiplication.
    fn add(&mut self, word: u64) {
        let (mut rest, mut left) = (word, 8);
        while rest != 0 {
            let zeros = rest.trailing_zeros() as usize / 8;
            rest >>= 8 * zeros;
            self.skip(zeros);
            self.value = self.value() ^ (rest & 0xff);
            self.zeros = 1;
            rest >>= 8;
            left -= zeros + 1;
        }
        self.skip(left);
    }

    fn skip(&mut self, zeros: usize) {
        self.zeros += zeros;
        while self.zeros >= POWERS.len() {
            self.value = self.value.wrapping_mul(POWERS[8]);
            self.zeros -= 8;
        }
    }

    fn value(&self) -> u64 {
        self.value.wrapping_mul(POWERS[self.zeros])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_zeros_are_digested_as_if_byte_by_byte() {
        let counts = [0.0, 1.0, 150.0, 2700.0, 0.1, 1e12, 1_234.567_89].map(f64::to_bits);
        let words = [0, 1, u64::MAX, 1 << 63, 0x0100_0000_0000_0001, 0x00ff_00ff_00ff_00ff].into_iter().chain(counts);
        let (mut digest, mut plain) = (Digest::default(), 0xcbf2_9ce4_8422_2325_u64);
        for word in words.clone().chain([0; 3]).chain(words) {
            digest.add(word);
            for byte in word.to_le_bytes() {
                plain = (plain ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
            assert_eq!(digest.value(), plain, "{word:x}");
        }
    }
}
