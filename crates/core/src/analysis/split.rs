//! Is the traffic split as the weights say? If not, somebody else's traffic is in the comparison, or some is missing,
//! and nothing that is compared can be trusted.

use serde::{Deserialize, Serialize};

use crate::units::{Minute, Weight};

use super::stats::ln_e_split_within;
use super::{JudgePlan, MinuteSample, Pair, grouped, percent};

/// Probability that a split as stated is ever taken for another one.
const ALPHA: f64 = 0.001;

/// Nobody says how fine Lambda's weights are; ten of its ten thousand steps are borne however small a weight is. It is also
/// the smallest share that a load balancer can give.
const COARSE: f64 = 0.001;

/// Requests that the version with less traffic should have in a minute for the minute to count. A minute in which a
/// version has none is missing, not zero, so below this the minutes that are there have too many of them.
const LEAST_EXPECTED: f64 = 5.0;

/// Traffic that is not split as the weights say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SplitFound {
    /// The weight at which it was seen.
    pub weight: Weight,
    /// Requests there.
    pub canary: f64,
    pub baseline: f64,
    /// ln of the evidence, and what it had to reach.
    pub evidence: f64,
    pub threshold: f64,
    /// Both numbers, and what to look for.
    pub sentence: String,
}

impl SplitFound {
    /// A tenth of the weight: 5 % may be 4.5 to 5.5 %. How services draw is not documented, and a busy one would see
    /// deviations that harm no comparison.
    #[must_use]
    pub fn tolerated() -> f64 {
        0.1
    }
}

/// The split as it is seen minute by minute: a product over stretches of one weight each, of an e-value that grows
/// while the share is further from the weight than tolerated. The minute of a change is left out and those before and
/// after it, for a weight takes seconds to be live everywhere, and one that others set is seen up to a minute later.
#[derive(Debug)]
pub(super) struct SplitWatch {
    /// Of the weight, in both directions.
    tolerated: f64,
    /// ln E of the stretches that are over.
    before: f64,
    now: Stretch,
    /// Requests of the last minute, canary first, until the next one has the same weight.
    last: Option<(f64, f64)>,
    changed: Option<Minute>,
    /// Each stretch as it was after each of its minutes that counts.
    seen: Vec<Stretch>,
}

/// Minutes at one weight.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    weight: Weight,
    canary: f64,
    baseline: f64,
}

impl Stretch {
    fn at(weight: Weight) -> Self {
        Self { weight, canary: 0.0, baseline: 0.0 }
    }

    /// 0 where all traffic goes one way, for there is no split, and where every split is tolerated.
    fn ln_e(&self, tolerated: f64) -> f64 {
        let share = self.weight.share();
        if self.weight == Weight::ZERO || self.weight == Weight::FULL || tolerated >= 1.0 {
            return 0.0;
        }
        let reach = (tolerated * share.min(1.0 - share)).max(COARSE);
        let [lower, upper] = [share - reach, share + reach].map(|end| end.clamp(0.5 * share, 0.5 * (1.0 + share)));
        ln_e_split_within(self.canary, self.baseline, share, lower, upper)
    }
}

impl SplitWatch {
    pub fn new(plan: &JudgePlan) -> Self {
        let tolerated = plan.split_tolerance.clamp(0.0, 1.0);
        Self { tolerated, before: 0.0, now: Stretch::at(Weight::ZERO), last: None, changed: None, seen: Vec::new() }
    }

    /// Takes one minute in. `moving`: its weight is not known.
    pub fn see(&mut self, sample: &MinuteSample, moving: bool) {
        let last = self.last.take();
        let changed = sample.weight != self.now.weight;
        if changed {
            self.before += self.now.ln_e(self.tolerated);
            self.now = Stretch::at(sample.weight);
        }
        if changed || moving {
            self.changed = Some(sample.minute);
            return;
        }
        if let Some(last) = last {
            self.add(last);
        }
        if self.changed.is_none_or(|changed| sample.minute.minutes_since(changed) >= 2) {
            // The first check that has both versions' requests; all of them see the same traffic.
            self.last = sample.pairs.iter().find_map(requests);
        }
    }

    /// Which minutes count is decided by all of their requests, which say nothing of how they are split.
    fn add(&mut self, (canary, baseline): (f64, f64)) {
        let share = self.now.weight.share();
        if (canary + baseline) * share.min(1.0 - share) < LEAST_EXPECTED {
            return;
        }
        self.now.canary += canary;
        self.now.baseline += baseline;
        self.seen.push(self.now);
    }

    /// ln of the evidence that something is wrong with the split now. One that has become right again outweighs it in
    /// time.
    fn evidence(&self) -> f64 {
        if self.seen.is_empty() { 0.0 } else { self.before + self.now.ln_e(self.tolerated) }
    }

    pub fn is_unexpected(&self) -> bool {
        self.evidence() >= threshold()
    }

    /// The stretch whose share was furthest off. Only a split that is wrong has somebody ask.
    fn furthest(&self) -> Option<Stretch> {
        let mut most: Option<(f64, Stretch)> = None;
        for stretch in &self.seen {
            let evidence = stretch.ln_e(self.tolerated);
            if most.is_none_or(|(most, _)| evidence > most) {
                most = Some((evidence, *stretch));
            }
        }
        most.map(|(_, stretch)| stretch)
    }

    /// What is wrong with the split now.
    pub fn found(&self) -> Option<SplitFound> {
        let (evidence, threshold) = (self.evidence(), threshold());
        if evidence < threshold {
            return None;
        }
        let stretch = self.furthest()?;
        let all = stretch.canary + stretch.baseline;
        (all > 0.0).then(|| SplitFound {
            weight: stretch.weight,
            canary: stretch.canary,
            baseline: stretch.baseline,
            evidence,
            threshold,
            sentence: format!(
                "{} of requests went to the new version ({} of {}), the weight says {}: the comparison cannot be \
                 trusted, and nothing is promoted; do callers reach one of the versions in another way, are they sticky, \
                 or does provisioned concurrency of one version spill over?",
                percent(stretch.canary / all),
                grouped(stretch.canary),
                grouped(all),
                stretch.weight,
            ),
        })
    }
}

/// What the evidence must reach, as a logarithm.
fn threshold() -> f64 {
    -ALPHA.ln()
}

/// Requests of both versions, canary first.
fn requests(pair: &Pair) -> Option<(f64, f64)> {
    let requests = |measured: &Option<super::Measured>| {
        let measured = measured.as_ref()?;
        measured.count().map(|count| count.requests).or_else(|| measured.bins().map(super::Bins::requests))
    };
    requests(&pair.canary).zip(requests(&pair.baseline))
}
