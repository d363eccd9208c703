//! One check's evidence, gathered in one pass over the window.

use crate::spec::Tolerance;
use crate::units::Minute;

use super::judge::{Bars, is_settled};
use super::stats::{
    Guard, HarmNull, HarmProcess, NonInferiority, RatioInterval, Stratum, growth_per_request, rate_ratio,
};
use super::{Count, Interval, JudgePlan, Pair, Samples};

/// Everything the minutes say about one check.
#[derive(Debug)]
pub(super) struct Reading {
    /// Totals over the minutes with data of both versions.
    pub canary: Count,
    pub baseline: Count,
    /// Canary events beyond what the tolerance allows, minute by minute; negative when there are fewer.
    pub events_over_tolerance: f64,
    /// ln E of the harm e-process: now, and at most so far.
    pub harm: f64,
    pub harm_most: f64,
    /// The guard now; once harm is proven, as it was then.
    pub guard: f64,
    pub catastrophe_most: f64,
    /// Harm was proven at some minute.
    pub proven_worse: bool,
    /// ln E of non-inferiority over the settled minutes.
    pub promotion: f64,
    pub step: StepMinutes,
    /// Newest minute with data of both versions, of the canary, and of the baseline.
    pub newest: Option<Minute>,
    pub newest_canary: Option<Minute>,
    pub newest_baseline: Option<Minute>,
    strata: Vec<Stratum>,
    exposure: Exposure,
}

/// Minutes of the present step; of the whole window when no step is baking.
#[derive(Debug, Default)]
pub(super) struct StepMinutes {
    /// With data of both versions.
    pub seen: usize,
    /// Without.
    pub unseen: usize,
    /// Seen, settled, and with requests of both versions.
    pub settled: usize,
}

/// Requests of both versions in the present step, which say how fast evidence comes in now.
#[derive(Debug, Default, Clone, Copy)]
struct Exposure {
    canary: f64,
    baseline: f64,
}

/// The processes that see every minute.
struct Lanes {
    harm: HarmProcess,
    catastrophe: HarmProcess,
    guard: Guard,
}

impl Reading {
    pub fn take(plan: &JudgePlan, index: usize, samples: &Samples, tolerance: Tolerance, bars: &Bars) -> Self {
        let mut reading = Self::empty(samples.minutes.len());
        let mut lanes = Lanes {
            harm: HarmProcess::new(HarmNull::NO_WORSE, plan.horizon_minutes),
            catastrophe: HarmProcess::new(HarmNull::NO_CATASTROPHE, plan.horizon_minutes),
            guard: Guard::default(),
        };
        let mut promotion = NonInferiority::new(tolerance.factor, tolerance.points);
        let mut last = None;
        for sample in &samples.minutes {
            // Evidence counts each minute once, whatever the caller hands in.
            if last.is_some_and(|last| sample.minute <= last) {
                continue;
            }
            last = Some(sample.minute);
            let in_step = samples.step_since.is_none_or(|since| sample.minute >= since);
            let settled = is_settled(samples, sample.minute);
            let pair = sample.pairs.get(index).copied().unwrap_or_default();
            let Some(stratum) = reading.note(sample.minute, &pair, in_step, settled) else { continue };
            reading.tally(&stratum, tolerance);
            reading.weigh(&mut lanes, &stratum, bars);
            if settled {
                promotion.observe(&stratum);
            }
        }
        reading.promotion = promotion.ln_e();
        reading
    }

    fn empty(minutes: usize) -> Self {
        Self {
            canary: Count::default(),
            baseline: Count::default(),
            events_over_tolerance: 0.0,
            harm: 0.0,
            harm_most: 0.0,
            guard: 0.0,
            catastrophe_most: 0.0,
            proven_worse: false,
            promotion: 0.0,
            step: StepMinutes::default(),
            newest: None,
            newest_canary: None,
            newest_baseline: None,
            strata: Vec::with_capacity(minutes),
            exposure: Exposure::default(),
        }
    }

    /// Books what is known of a minute; a stratum if both versions served requests in it.
    fn note(&mut self, minute: Minute, pair: &Pair, in_step: bool, settled: bool) -> Option<Stratum> {
        let (baseline, canary) = (pair.baseline.and_then(Count::sane), pair.canary.and_then(Count::sane));
        if baseline.is_some() {
            self.newest_baseline = Some(minute);
        }
        if canary.is_some() {
            self.newest_canary = Some(minute);
        }
        let (Some(baseline), Some(canary)) = (baseline, canary) else {
            self.step.unseen += usize::from(in_step);
            return None;
        };
        self.newest = Some(minute);
        let stratum =
            Stratum { n_c: canary.requests, x_c: canary.events, n_b: baseline.requests, x_b: baseline.events };
        if in_step {
            self.step.seen += 1;
            self.step.settled += usize::from(settled && stratum.is_comparable());
            self.exposure.canary += stratum.n_c;
            self.exposure.baseline += stratum.n_b;
        }
        stratum.is_comparable().then_some(stratum)
    }

    fn tally(&mut self, stratum: &Stratum, tolerance: Tolerance) {
        self.canary.requests += stratum.n_c;
        self.canary.events += stratum.x_c;
        self.baseline.requests += stratum.n_b;
        self.baseline.events += stratum.x_b;
        let tolerated = tolerance.factor * stratum.x_b / stratum.n_b + tolerance.points;
        self.events_over_tolerance += stratum.x_c - stratum.n_c * tolerated;
        self.strata.push(*stratum);
    }

    /// The standard lane needs two keys, the catastrophic lane one.
    fn weigh(&mut self, lanes: &mut Lanes, stratum: &Stratum, bars: &Bars) {
        lanes.harm.observe(stratum);
        lanes.catastrophe.observe(stratum);
        lanes.guard.observe(stratum);
        self.harm = lanes.harm.ln_e();
        self.harm_most = self.harm_most.max(self.harm);
        let catastrophe = lanes.catastrophe.ln_e();
        self.catastrophe_most = self.catastrophe_most.max(catastrophe);
        if !self.proven_worse {
            self.guard = lanes.guard.ln_e();
            let standard = self.harm_most >= bars.harm && self.guard >= bars.guard;
            self.proven_worse = standard || catastrophe >= bars.catastrophe;
        }
    }

    /// Canary requests that are expected to be missing for the proof if the canary is as good as the baseline, at the
    /// present split; zero when it is there, `None` when more requests would not bring it.
    pub fn requests_missing(&self, tolerance: Tolerance, threshold: f64) -> Option<f64> {
        let missing = threshold - self.promotion;
        if missing <= 0.0 {
            return Some(0.0);
        }
        let Exposure { canary, baseline } = self.exposure;
        if canary <= 0.0 || baseline <= 0.0 {
            return None;
        }
        let rate = self.baseline.events / self.baseline.requests;
        let growth = growth_per_request(rate, canary / baseline, tolerance.factor, tolerance.points);
        let fastest = growth.into_iter().fold(0.0, f64::max);
        (fastest > 0.0).then(|| missing / fastest)
    }

    /// The ratio of the rates; `None` without events, for then there is nothing to compare.
    pub fn ratio(&self, alpha: f64) -> Option<Interval> {
        let RatioInterval { estimate, lower, upper } = rate_ratio(&self.strata, alpha)?;
        Some(Interval { estimate, lower, upper })
    }
}
