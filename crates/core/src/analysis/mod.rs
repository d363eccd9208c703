//! The judge: samples in, a verdict per check out. Knows nothing of rollouts, phases or AWS.
//!
//! Architecture Invariant: the judge is a pure function of the frozen [`JudgePlan`] and the [`Samples`] of the whole
//! rollout. No running statistic is kept anywhere, so any decision replays from what is stored.

mod aftermath;
mod auto;
mod bars;
mod blind;
mod course;
mod digest;
mod edges;
mod findings;
mod forecast;
mod history;
mod judge;
mod outside;
mod past_bins;
mod past_counts;
mod plan;
pub mod replay;
mod slower;
mod split;
pub mod stats;
#[cfg(test)]
mod tests;
mod words;

pub use auto::{Advice, AutoPlan, plan_auto};
pub use bars::{MINUTES_TO_MISS, MINUTES_TO_PASS};
use course::PROPOSED_POINTS;
pub use course::{Asked, Lane};
pub use digest::settled_digest;
pub use edges::{choose_edges, edge_quantiles, rebinned, stretched, take_edges};
pub use findings::findings;
pub use forecast::{Forecast, Load, StepForecast, deadline_problem, forecast, unknown_clusters};
pub use history::{DistributionHistory, EventHistory, History, HistoryMinute, Learned, learn};
pub use judge::{Judge, judge, passes_before};
pub use plan::{plan, plan_of_recording};
pub use slower::Slower;
pub use split::SplitFound;
pub use words::{figure, grouped, percent, times};

use serde::{Deserialize, Serialize};

use crate::spec::{CheckMode, OnNoData, Tolerance};
use crate::units::{Minute, Span, Weight};

/// What is judged and how strictly; frozen when the rollout starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JudgePlan {
    pub checks: Vec<PlannedCheck>,
    /// Probability that a harmless release is rolled back, for all checks together (alpha).
    pub false_rollback: f64,
    /// Probability that a check passes exactly at its tolerance (beta).
    pub false_promotion: f64,
    /// Longest time the rollout may take, in minutes, pauses and approvals included.
    pub horizon_minutes: u32,
    /// The time for all steps together, in minutes, without waiting for a person; 0 when it is not known.
    #[serde(default)]
    pub deadline_minutes: u32,
    #[serde(default)]
    pub guard: GuardMode,
    /// The canary's rate of events may be this many times the baseline's before it counts as harm.
    #[serde(default = "one")]
    pub tolerated_ratio: f64,
    /// How far the canary's share of the requests may be from its weight, as a share of the weight, before nothing that
    /// is compared is trusted. From 1 on, it may be anything.
    #[serde(default = "SplitFound::tolerated")]
    pub split_tolerance: f64,
    /// Failures are counted by the status that callers get, so that a handler cannot keep them to itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub errors_by_status: bool,
    /// The spec says that requests fail independently, so evidence for promotion is not divided.
    #[serde(default)]
    pub independent: bool,
    /// Weights are chosen as one goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<AutoPlan>,
}

impl JudgePlan {
    /// When a regression may begin: most likely while the steps run; pauses and approvals come on top.
    fn begins(&self) -> stats::Begins {
        stats::Begins::within(self.deadline_minutes, self.horizon_minutes)
    }

    /// What is left out after a raise, of the check that leaves out the most and that a promotion waits for.
    #[must_use]
    pub fn warm_up(&self) -> WarmUp {
        let counting = self.checks.iter().filter(|check| check.mode != CheckMode::Observe);
        let all = counting.filter_map(|check| Some(check.distribution.as_ref()?.warm_up));
        all.fold(WarmUp::default(), |most, one| WarmUp {
            minutes: most.minutes.max(one.minutes),
            requests: most.requests.max(one.requests),
        })
    }

    /// The same where traffic comes to new targets slowly: a warm-up, where there is one, is at least as long.
    #[must_use]
    pub fn started_slowly(mut self, slow_start: Span) -> Self {
        let minutes = u32::try_from(slow_start.minutes_ceil()).unwrap_or(u32::MAX);
        let distributions = self.checks.iter_mut().filter_map(|check| check.distribution.as_mut());
        for distribution in distributions.filter(|distribution| distribution.warm_up != WarmUp::default()) {
            distribution.warm_up.minutes = distribution.warm_up.minutes.max(minutes);
        }
        self
    }

    /// The same where calls may go elsewhere than the weights say: a split may be off by half of the weight.
    #[must_use]
    pub fn spilling(mut self, spills: bool) -> Self {
        if spills {
            self.split_tolerance = self.split_tolerance.max(SPILLED);
        }
        self
    }
}

/// Of the weight, in both directions: what provisioned concurrency may move. Twice the stated share or none of it is no
/// spillover any more.
const SPILLED: f64 = 0.5;

fn one() -> f64 {
    1.0
}

fn infinite() -> f64 {
    f64::INFINITY
}

/// How evidence for harm is guarded against errors in clusters and versions with noise of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum GuardMode {
    /// By the old version's history, and by the canary's own minutes.
    #[default]
    Standard,
    /// By the history alone: a minute faster, and not proof against single bursts.
    Fast,
    /// By the upper end of what the history says.
    Strict,
    /// By the two-key rule, as if there were no history.
    Off,
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
    /// What a distribution must prove, instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<PlannedDistribution>,
    /// What the old version's past says about this check; `None` when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<Learned>,
}

/// A distribution's tolerances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedDistribution {
    /// How much slower is no harm, as a share: 0.05. The canary is counted above edges that are that much higher.
    pub stretch: f64,
    pub at: Vec<PlannedQuantile>,
    /// By which the baseline is counted; rising, and empty until they are [chosen](choose_edges). The canary is counted
    /// by the [stretched] ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<f64>,
    #[serde(default)]
    pub read: ReadBy,
    /// Of the edges, as people write it: `ms`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// What is left out after each raise.
    #[serde(default)]
    pub warm_up: WarmUp,
}

/// How CloudWatch is asked for a distribution's bins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReadBy {
    /// Counts between the edges.
    #[default]
    Counts,
    /// Percentiles, from which the bins are rebuilt: where the counts did not add up to the number of samples.
    Percentiles,
}

/// The first minutes after a raise, in which the canary has yet to start its environments. Left out while either
/// number is not reached, so that it is decided by past minutes only.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WarmUp {
    /// Minutes after the one in which the weight was raised.
    pub minutes: u32,
    /// Requests that the canary has served since then.
    pub requests: f64,
}

/// One quantile that must not get worse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedQuantile {
    /// 0.99 for p99.
    pub quantile: f64,
    /// How many more of the canary's requests may lie above the stretched quantile, as a share, for each step.
    pub margins: Vec<f64>,
    /// The edge that is its value. `None`: the edge above which about that share of the baseline's requests lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<f64>,
}

/// How a check's samples are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Measure {
    /// Events out of requests, per version and minute.
    Counts,
    /// A distribution that was planned by a version which could not judge it.
    Latency,
    /// Requests by how large something was, usually how long they took.
    Distribution,
    /// A mean of both versions, which is shown and decides nothing.
    Mean,
    /// A level of both versions, minute by minute, which may hold and never rolls back.
    Gauge,
}

/// Requests of one version in one minute. The largest services of all have about 1e9.
const MOST_REQUESTS: f64 = 1e12;

/// No reading is larger, and its square can still be summed.
const LARGEST_LEVEL: f64 = 1e100;

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

/// Requests of one version in one minute by how large something was: below the first edge, between edges, above the
/// last. The edges are those of the [plan](PlannedDistribution::edges); for the canary they are [stretched].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Bins {
    #[serde(rename = "h")]
    pub counts: Vec<f64>,
}

impl Bins {
    /// `None` for numbers that cannot be counts.
    #[must_use]
    pub fn new(counts: Vec<f64>) -> Option<Self> {
        let sane = |count: &f64| (0.0..=MOST_REQUESTS).contains(count);
        (!counts.is_empty() && counts.iter().all(sane)).then_some(Self { counts })
    }

    #[must_use]
    pub fn requests(&self) -> f64 {
        self.counts.iter().sum()
    }
}

/// A level in one minute: the sum of so many readings.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Level {
    #[serde(rename = "k")]
    pub readings: f64,
    #[serde(rename = "s")]
    pub sum: f64,
}

/// What one version's minute brought for one check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Measured {
    Count(Count),
    Bins(Bins),
    Level(Level),
}

impl Level {
    /// `None` for numbers that cannot be a level: no readings, or not finite ones.
    #[must_use]
    pub fn new(readings: f64, sum: f64) -> Option<Self> {
        let level = Self { readings, sum };
        level.mean().is_some().then_some(level)
    }

    /// The mean of the readings; `None` for numbers that cannot be a level.
    #[must_use]
    pub fn mean(self) -> Option<f64> {
        let readings = (1.0..=MOST_REQUESTS).contains(&self.readings);
        let mean = self.sum / self.readings;
        (readings && mean.abs() <= LARGEST_LEVEL).then_some(mean)
    }
}

impl From<Count> for Measured {
    fn from(count: Count) -> Self {
        Self::Count(count)
    }
}

impl From<Bins> for Measured {
    fn from(bins: Bins) -> Self {
        Self::Bins(bins)
    }
}

impl From<Level> for Measured {
    fn from(level: Level) -> Self {
        Self::Level(level)
    }
}

impl Measured {
    /// The count, if it is one, and one that can be.
    #[must_use]
    pub fn count(&self) -> Option<Count> {
        match self {
            Self::Count(count) => count.sane(),
            Self::Bins(_) | Self::Level(_) => None,
        }
    }

    /// The level, if it is one, and one that can be.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        match self {
            Self::Level(level) => level.mean().map(|_| *level),
            Self::Count(_) | Self::Bins(_) => None,
        }
    }

    /// The bins, if it is that, and such that can be.
    #[must_use]
    pub fn bins(&self) -> Option<&Bins> {
        match self {
            Self::Bins(bins) => {
                let sane = |count: &f64| (0.0..=MOST_REQUESTS).contains(count);
                bins.counts.iter().all(sane).then_some(bins)
            }
            Self::Count(_) | Self::Level(_) => None,
        }
    }
}

/// What both versions brought for one check in one minute; `None` is missing, which is not zero.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Pair {
    #[serde(rename = "b", skip_serializing_if = "Option::is_none", default)]
    pub baseline: Option<Measured>,
    #[serde(rename = "c", skip_serializing_if = "Option::is_none", default)]
    pub canary: Option<Measured>,
}

impl Pair {
    /// Both are missing.
    const NOTHING: Self = Self { baseline: None, canary: None };

    #[must_use]
    pub fn of(baseline: Option<Count>, canary: Option<Count>) -> Self {
        Self { baseline: baseline.map(Measured::Count), canary: canary.map(Measured::Count) }
    }

    /// Both versions' counts, baseline first, as far as they are there and can be.
    #[must_use]
    pub fn counts(&self) -> (Option<Count>, Option<Count>) {
        let count = |measured: &Option<Measured>| measured.as_ref().and_then(Measured::count);
        (count(&self.baseline), count(&self.canary))
    }
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
    /// First minute that is mostly in the present step; `None` when no step is baking.
    pub step_since: Option<Minute>,
    /// Index into [`PlannedCheck::tolerances`] of the step that asks for promotion.
    pub step: usize,
    /// First minute in which the canary had all traffic, while it is watched there; `None` before. From then on there is
    /// nothing to compare with, and catastrophes are looked for against what the baseline did before.
    pub alone_since: Option<Minute>,
    /// From a weight's being asked for to its being seen live, both included: nobody knows at which weight these minutes
    /// were.
    pub moving: Vec<(Minute, Minute)>,
    /// Minutes in which the weight changed and that are mostly at the one before.
    pub mixed: Vec<Minute>,
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
    /// The proof is there, but the step has not lasted long enough.
    StillBaking,
    /// Data came, they are not enough.
    TooLittleTraffic,
    /// Data came, but what the check asks cannot be told from them.
    Blind,
    /// The traffic is not split as the weights say, so the comparison cannot be trusted.
    SplitUnexpected,
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
    /// The traffic is not split as the weights say: nothing passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitFound>,
    /// Newest minute with data of both versions.
    pub newest: Option<Minute>,
    /// Identifies the settled counts a Pass was based on: equal for equal counts. See [`Samples::settled_before`].
    pub settled_digest: u64,
    /// Which weight is affordable, if the plan lets the judge choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto: Option<Advice>,
}

/// What an analysis amounts to, in two numbers that grow with the data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    pub verdict: Verdict,
    /// Of the evidence that proves harm, the share that is there, of the check that has most: 1 is enough, but for the
    /// second key. `None` without a check that may roll back and has data.
    pub harm: Option<f64>,
    /// Of the evidence that proves the new version no worse, the share that is there, of the check that has least. `None`
    /// without a check that is needed for it and has data.
    pub proof: Option<f64>,
}

impl Analysis {
    /// What it amounts to.
    #[must_use]
    pub fn found(&self) -> Found {
        let share = |evidence: f64, needed: f64| {
            let share = evidence / needed;
            (needed > 0.0 && share.is_finite()).then_some(share.max(0.0))
        };
        let with_data = || self.comparisons.iter().filter(|check| check.newest.is_some());
        let enforced = with_data().filter(|check| check.mode == CheckMode::Enforce);
        let harm = enforced.filter_map(|check| share(check.evidence.harm, check.evidence.harm_threshold));
        let needed = with_data().filter(|check| check.mode != CheckMode::Observe);
        let proof = needed.filter_map(|check| share(check.evidence.promotion, check.evidence.promotion_threshold));
        Found { verdict: self.verdict, harm: harm.reduce(f64::max), proof: proof.reduce(f64::min) }
    }
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
    /// Of a distribution: which requests the counts are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slower: Option<Slower>,
    /// Of a mean or a gauge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<LevelComparison>,
    pub evidence: Evidence,
    /// What this step had to prove.
    pub tolerance: Tolerance,
    /// One sentence with both numbers, then the ratio, then how sure.
    pub sentence: String,
}

impl Comparison {
    /// Whether a check that never rolls back has found harm: a rate or a distribution has proven it, or a gauge is higher
    /// than tolerated.
    #[must_use]
    pub fn holds_for_harm(&self) -> bool {
        let found = self.evidence.lane.is_some() || self.level.is_some();
        self.mode == CheckMode::Hold && self.doubt == Some(Doubt::LooksWorse) && found
    }
}

/// Two levels, and how sure their difference is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LevelComparison {
    /// Means of all readings.
    pub canary: f64,
    pub baseline: f64,
    /// Canary minus baseline, from and to; anytime-valid, `None` while nothing bounds it.
    pub difference: Option<(f64, f64)>,
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
    /// Whether the canary is worse in most minutes; a second key against overdispersion that needs no history.
    pub guard: f64,
    /// Infinite where noise lasts for many minutes: serialised as null.
    #[serde(with = "null_is_infinite")]
    pub guard_threshold: f64,
    /// The harm e-process divided by the dispersion of each minute; 0 without history.
    #[serde(default)]
    pub tempered: f64,
    /// Infinite without history: serialised as null.
    #[serde(default = "infinite", with = "null_is_infinite")]
    pub tempered_threshold: f64,
    /// By what the newest minute's evidence for harm is divided: 1 for independent requests.
    #[serde(default = "one")]
    pub dispersion: f64,
    /// The way by which harm was proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
    /// The lane for catastrophes, which needs no second key.
    pub catastrophe: f64,
    pub catastrophe_threshold: f64,
    /// Non-inferiority at this minute.
    pub promotion: f64,
    pub promotion_threshold: f64,
    /// Canary requests that are expected to be missing for the proof.
    pub requests_missing: Option<f64>,
}

impl Evidence {
    /// How much of the evidence that a rollback needs is there, as a share, by the way that is nearest to it: 1 is enough.
    #[must_use]
    pub fn towards_rollback(&self) -> f64 {
        let part = |found: f64, needed: f64| if needed > 0.0 && needed.is_finite() { found / needed } else { 0.0 };
        let second = part(self.tempered, self.tempered_threshold).max(part(self.guard, self.guard_threshold));
        let both = part(self.harm, self.harm_threshold).min(second);
        both.max(part(self.catastrophe, self.catastrophe_threshold))
    }

    /// How much of the evidence that a proof needs is there, as a share: 1 is enough.
    #[must_use]
    pub fn towards_proof(&self) -> f64 {
        let share = self.promotion / self.promotion_threshold;
        if self.promotion_threshold > 0.0 && share.is_finite() { share } else { 0.0 }
    }
}
