//! At 100 % there is no old version to compare with. What is left is a look at what the old one did before.

use crate::units::Minute;

use super::bars::Bars;
use super::stats::{Begins, HarmNull, HarmProcess, Stratum};
use super::{Count, JudgePlan, Pair, Samples};

/// The old version's rate counts as known, so that no minute's evidence is diluted by how few of its requests fell into
/// that minute. What is not known of it is added beforehand ([`highest_rate`]).
const AS_IF_KNOWN: f64 = 1e12;

/// The new version alone against the old one before it, the catastrophic lane only: the two did not see the same
/// requests, so only what no change of the traffic explains counts.
#[derive(Debug)]
pub(super) struct Aftermath {
    /// First minute that the new version had to itself.
    pub since: Minute,
    pub canary: Count,
    /// What is known of the old version in this rollout, before that.
    pub baseline: Count,
    /// Whether that is enough for any rate of the new version to be a catastrophe.
    pub usable: bool,
    pub evidence: f64,
    pub proven: bool,
}

impl Aftermath {
    /// `None` while the new version is not alone.
    pub fn take(plan: &JudgePlan, index: usize, samples: &Samples, bars: &Bars) -> Option<Self> {
        let since = samples.alone_since?;
        let (mut canary, mut baseline) = (Count::default(), Count::default());
        let mut alone = Vec::new();
        for sample in &samples.minutes {
            let (baseline_count, canary_count) = sample.pairs.get(index).map(Pair::counts).unwrap_or_default();
            if sample.minute < since {
                add(&mut baseline, baseline_count);
            } else if let Some(count) = canary_count {
                add(&mut canary, Some(count));
                alone.push(count);
            }
        }
        let null = HarmNull::NO_CATASTROPHE;
        let known = highest_rate(baseline, null.cluster * bars.catastrophe);
        let usable = null.factor * known + null.points < 1.0;
        let mut process = HarmProcess::new(null, Begins::evenly(plan.horizon_minutes));
        let mut evidence: f64 = 0.0;
        for count in alone.iter().filter(|_| usable) {
            let (n_b, x_b) = (AS_IF_KNOWN, known * AS_IF_KNOWN);
            process.observe(&Stratum { n_c: count.requests, x_c: count.events, n_b, x_b });
            evidence = evidence.max(process.ln_e());
        }
        Some(Self { since, canary, baseline, usable, evidence, proven: evidence >= bars.catastrophe })
    }
}

fn add(total: &mut Count, count: Option<Count>) {
    let Count { requests, events } = count.unwrap_or_default();
    total.requests += requests;
    total.events += events;
}

/// No rate above it makes so few events likelier than e^-`nats`: the Chernoff bound of a Poisson count, solved for its
/// mean. Infinite without requests.
fn highest_rate(seen: Count, nats: f64) -> f64 {
    if seen.requests <= 0.0 {
        return f64::INFINITY;
    }
    (seen.events + nats + (nats * nats + 2.0 * nats * seen.events).sqrt()) / seen.requests
}
