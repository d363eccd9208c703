//! Names the counts a proof rests on, so that a second look can tell whether they changed.

use super::{Count, JudgePlan, Measure, Samples};
use crate::spec::CheckMode;
use crate::units::Minute;

/// Equal for equal counts, in the minutes before `before`, of the checks that a promotion needs (64-bit FNV-1a).
#[must_use]
pub fn settled_digest(plan: &JudgePlan, samples: &Samples, before: Minute) -> u64 {
    let mut digest = Digest::default();
    for (index, check) in plan.checks.iter().enumerate() {
        if check.measure != Measure::Counts || check.mode == CheckMode::Observe {
            continue;
        }
        digest.add(index as u64);
        for sample in samples.minutes.iter().filter(|sample| sample.minute < before) {
            let pair = sample.pairs.get(index).copied().unwrap_or_default();
            digest.add(sample.minute.index().cast_unsigned());
            for count in [pair.baseline, pair.canary] {
                match count.and_then(Count::sane) {
                    // Adding 0 makes -0 and 0 the same.
                    Some(count) => [1, (count.requests + 0.0).to_bits(), (count.events + 0.0).to_bits()]
                        .into_iter()
                        .for_each(|word| digest.add(word)),
                    None => digest.add(0),
                }
            }
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
    fn add(&mut self, word: u64) {
        for byte in word.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
