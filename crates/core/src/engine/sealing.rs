//! Which minutes are old enough to be kept for good.

use crate::rollout::Rollout;
use crate::units::{Minute, Span, Timestamp};

use super::Window;

/// Datapoints that are later than the metric lag plus this are not waited for.
const LATE_DATA: Span = Span::from_minutes(15);

/// Minutes per sealed block: a write per quarter of an hour, and 96 blocks a day.
const BLOCK_MINUTES: i64 = 15;

/// The next block of minutes that will not change any more. Blocks follow one another in fixed strides from the first
/// minute on, so that two controllers that seal the same block agree on its bounds.
#[must_use]
pub fn block_to_seal(rollout: &Rollout, sealed_before: Option<Minute>, now: Timestamp) -> Option<Window> {
    let from = sealed_before.or_else(|| rollout.first_minute())?;
    let until = from.plus(BLOCK_MINUTES);
    let age = rollout.lag.plus(rollout.request_timeout).plus(LATE_DATA);
    (until <= (now.max(rollout.now) - age).minute()).then_some(Window { from, until })
}
