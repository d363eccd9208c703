//! How much traffic a canary may get when all that is known of the harm it may do is an upper bound.

use super::bound::nats_per_canary_request;

/// What detection costs beyond what an oracle would need, on average.
const DETECTION_COST: f64 = 1.4;

/// What must be seen until harm is proven, with 1 % of false alarms.
const DETECTION_NATS: f64 = 4.605;

/// All of them, as far as logarithms can tell.
const MOST_RATE: f64 = 0.999_999;

/// From one weight that is tried to the next.
const FINER: f64 = 1.1;

/// No less traffic than this is of any use; nor is less than a request a minute.
const LEAST_SHARE: f64 = 0.0005;

/// Where no weight fits the budget, no more than this.
const CAUTIOUS_SHARE: f64 = 0.05;

/// What the plan knows of the target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AutoLimits {
    /// Of both versions together.
    pub requests_per_minute: f64,
    /// Expected rate of events of the baseline.
    pub rate: f64,
    /// Minutes until a minute is read.
    pub lag_minutes: f64,
    /// How much more of the canary's requests may fail, as a share: that is no harm.
    pub tolerated: f64,
    pub largest_share: f64,
}

/// Further events that a canary at the share `share` is expected to cost when its rate exceeds the baseline's by `excess`:
/// those in the minutes that nobody has read yet, and those that it takes until the harm is proven.
#[must_use]
pub fn planned_harm(limits: &AutoLimits, share: f64, excess: f64) -> f64 {
    let AutoLimits { requests_per_minute, rate, lag_minutes, tolerated, .. } = *limits;
    let harm = (excess - tolerated).max(0.0);
    if harm <= 0.0 {
        return 0.0;
    }
    let in_flight = requests_per_minute * share * (lag_minutes + 1.0);
    let bad = (rate + excess).min(MOST_RATE);
    let until_detected = DETECTION_COST * DETECTION_NATS / nats_per_canary_request(rate, bad, share);
    harm * (in_flight + until_detected)
}

/// The largest share whose planned harm fits what is left of the budget, for an excess that has not been ruled out. Never
/// zero: where nothing fits, as little as still teaches something.
#[must_use]
pub fn budget_weight(limits: &AutoLimits, budget_left: f64, excess: f64) -> f64 {
    let AutoLimits { requests_per_minute, lag_minutes, largest_share, .. } = *limits;
    let least = (1.0 / requests_per_minute).max(LEAST_SHARE).min(largest_share);
    let mut share = largest_share;
    while share >= least {
        if planned_harm(limits, share, excess) <= budget_left {
            return share;
        }
        share /= FINER;
    }
    let affordable = budget_left.max(0.1) / (requests_per_minute * excess * (lag_minutes + 1.0));
    least.max(affordable.min(CAUTIOUS_SHARE))
}
