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
    digest.0
}

struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// What cannot be a count is missing.
    fn measured(&mut self, measured: Option<&Measured>) {
        let count = measured.and_then(Measured::count).map(|count| vec![count.requests, count.events]);
        match count.or_else(|| measured.and_then(Measured::bins).map(|bins| bins.counts.clone())) {
            Some(values) => {
                self.add(1);
                // Adding 0 makes -0 and 0 the same.
                values.into_iter().for_each(|value| self.add((value + 0.0).to_bits()));
            }
            None => self.add(0),
        }
    }

    fn add(&mut self, word: u64) {
        for byte in word.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
