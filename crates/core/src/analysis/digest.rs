//! Names the counts a proof rests on, so that a second look can tell whether they changed.

use super::{JudgePlan, Samples};
use crate::spec::CheckMode;
use crate::units::Minute;

/// Equal for equal counts of the judged checks in the minutes before `before` (64-bit FNV-1a).
#[must_use]
pub fn settled_digest(plan: &JudgePlan, samples: &Samples, before: Minute) -> u64 {
    let mut hash = Fnv::default();
    for sample in samples.minutes.iter().filter(|sample| sample.minute < before) {
        hash.add(sample.minute.index().to_le_bytes());
        for (check, pair) in plan.checks.iter().zip(&sample.pairs) {
            if check.mode == CheckMode::Observe {
                continue;
            }
            for count in [pair.baseline, pair.canary] {
                hash.add([u8::from(count.is_some()); 8]);
                if let Some(count) = count {
                    hash.add(count.requests.to_bits().to_le_bytes());
                    hash.add(count.events.to_bits().to_le_bytes());
                }
            }
        }
    }
    hash.0
}

struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: [u8; 8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
