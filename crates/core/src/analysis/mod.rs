//! The judge: samples in, a verdict per check out. Knows nothing of rollouts, phases or AWS.
//!
//! Architecture Invariant: the judge is a pure function of the frozen [`JudgePlan`] and the [`Samples`] of the whole
//! rollout. No running statistic is kept anywhere, so any decision replays from what is stored.

mod aftermath;
mod digest;
mod evidence;
mod forecast;
mod judge;
mod plan;
pub mod stats;
#[cfg(test)]
mod tests;
mod words;

pub use digest::settled_digest;
pub use forecast::{Forecast, Load, StepForecast, deadline_problem, forecast};
pub use judge::{MINUTES_TO_MISS, MINUTES_TO_PASS, judge};
pub use plan::plan;
pub use words::{grouped, percent};

use serde::{Deserialize, Serialize};

use crate::spec::{CheckMode, OnNoData, Tolerance};
use crate::units::{Minute, Weight};

/// What is judged and how strictly; frozen when the rollout starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JudgePlan {
    pub checks: Vec<PlannedCheck>,
    /// Probability that a harmless release is rolled back, for all checks together (alpha).
    pub false_rollback: f64,
    /// Probability that a check passes exactly at its tolerance (beta).
    pub false_promotion: f64,
    /// Longest time the rollout may take, in minutes: the prior over when a regression starts is spread over it.
    pub horizon_minutes: u32,
}

/// One check of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedCheck {
    pub name: String,
    pub measure: Measure,
    pub mode: CheckMode,
    pub on_no_data: OnNoData,
    /// This check's part of `false_rollback`; the parts of the enforced checks add up to 1.
    pub alpha_share: f64,
    /// What each step must prove, in the order of the ladder: the tolerance divided by the weight the step unlocks.
    pub tolerances: Vec<Tolerance>,
}

/// How a check's samples are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Measure {
    /// Events out of requests, per version and minute.
    Counts,
    /// A distribution of times. Shown as not judged until the judge can.
    Latency,
}

/// Requests of one version in one minute. The largest services of all have about 1e9.
const MOST_REQUESTS: f64 = 1e12;

/// Events out of requests of one version in one minute. May be fractional; never negative or NaN when made by
/// [`Count::new`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Count {
    #[serde(rename = "n")]
    pub requests: f64,
    #[serde(rename = "x")]
    pub events: f64,
}

impl Count {
    /// `None` for numbers that cannot be counts: NaN, infinite, negative, or more events than requests.
    #[must_use]
    pub fn new(requests: f64, events: f64) -> Option<Self> {
        let sane = requests.is_finite() && events.is_finite() && events >= 0.0 && requests >= events;
        sane.then_some(Self { requests, events })
    }

    /// What was read from outside did not pass [`Count::new`]: numbers that cannot be counts are missing. So are more
    /// requests in a minute than anybody serves, beyond which sums would lose their digits.
    fn sane(self) -> Option<Self> {
        Self::new(self.requests, self.events).filter(|count| count.requests <= MOST_REQUESTS)
    }
}

/// Both versions' counts for one check in one minute; `None` is missing, which is not zero.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Pair {
    #[serde(rename = "b", skip_serializing_if = "Option::is_none", default)]
    pub baseline: Option<Count>,
    #[serde(rename = "c", skip_serializing_if = "Option::is_none", default)]
    pub canary: Option<Count>,
}

/// Everything counted in one minute of the rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MinuteSample {
    #[serde(rename = "m")]
    pub minute: Minute,
    /// The canary's weight when the minute ended.
    #[serde(rename = "w")]
    pub weight: Weight,
    /// One per check of the plan, in its order.
    #[serde(rename = "p")]
    pub pairs: Vec<Pair>,
}

/// The whole window that is judged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Samples {
    /// In rising order, each minute once, closed minutes only.
    pub minutes: Vec<MinuteSample>,
    /// The minutes before this one are old enough to promote on: the metric lag and the function's timeout are over.
    pub settled_before: Option<Minute>,
    /// First minute that lies wholly in the present step; `None` when no step is baking.
    pub step_since: Option<Minute>,
    /// Index into [`PlannedCheck::tolerances`] of the step that asks for promotion.
    pub step: usize,
    /// First minute in which the canary had all traffic, while it is watched there; `None` before. From then on there is
    /// nothing to compare with, and catastrophes are looked for against what the baseline did before.
    pub alone_since: Option<Minute>,
    /// Series that could not be read: their minutes are missing above. While there are any, no weight rises.
    pub unread: Vec<String>,
}

/// How good the canary looks. The order matters: the overall verdict is the worst one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Proven: not worse than the baseline by more than the tolerance.
    Pass,
    /// Neither proven. "No data" and "error" are reasons for this, never for Pass.
    Inconclusive,
    /// Proven: worse.
    Fail,
}

/// Why nothing is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Doubt {
    /// Data came, they are not enough.
    TooLittleTraffic,
    /// No minute of this step has data of both versions.
    NoData,
    /// The canary looks worse than the tolerance, without proof.
    LooksWorse,
}

/// The judge's output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[must_use = "a verdict that nobody reads holds nothing back"]
pub struct Analysis {
    pub comparisons: Vec<Comparison>,
    pub verdict: Verdict,
    /// The gravest doubt of the checks that hold the promotion back; `None` unless the verdict is Inconclusive.
    pub doubt: Option<Doubt>,
    /// Newest minute with data of both versions.
    pub newest: Option<Minute>,
    /// Identifies the settled counts a Pass was based on: equal for equal counts. See [`Samples::settled_before`].
    pub settled_digest: u64,
}

/// One check, both versions, and how sure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    pub check: String,
    pub mode: CheckMode,
    pub verdict: Verdict,
    pub doubt: Option<Doubt>,
    /// Totals over the judged minutes.
    pub canary: Count,
    pub baseline: Count,
    /// Newest minute with data of both versions.
    pub newest: Option<Minute>,
    /// Canary's rate over the baseline's, minute by minute; `None` where no event came.
    pub ratio: Option<Interval>,
    pub evidence: Evidence,
    /// What this step had to prove.
    pub tolerance: Tolerance,
    /// One sentence with both numbers, then the ratio, then how sure.
    pub sentence: String,
}

/// An estimate and its anytime-valid interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Interval {
    /// Infinite when only the canary had events: serialised as null.
    #[serde(with = "null_is_infinite")]
    pub estimate: f64,
    pub lower: f64,
    /// Infinite when nothing bounds it from above: serialised as null.
    #[serde(with = "null_is_infinite")]
    pub upper: f64,
}

/// JSON has no infinity.
mod null_is_infinite {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
    }
}

/// Evidence as natural logarithms, each with its threshold.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Largest so far of the harm e-process.
    pub harm: f64,
    pub harm_threshold: f64,
    /// The second key against overdispersion.
    pub guard: f64,
    pub guard_threshold: f64,
    /// The lane for catastrophes, which needs no second key.
    pub catastrophe: f64,
    pub catastrophe_threshold: f64,
    /// Non-inferiority at this minute.
    pub promotion: f64,
    pub promotion_threshold: f64,
    /// Canary requests that are expected to be missing for the proof.
    pub requests_missing: Option<f64>,
}
