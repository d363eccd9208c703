//! Events out of requests.

use super::{Asked, Harm, Look, Newest, Reading, StepMinutes, tolerance};
use crate::analysis::bars::Bars;
use crate::analysis::stats::{
    Guard, HarmNull, HarmProcess, NonInferiority, RatioInterval, Stratum, growth_per_request, rate_ratio,
};
use crate::analysis::{Count, Interval, JudgePlan, Pair, PlannedCheck};
use crate::spec::Tolerance;

/// The evidence of a check that counts events.
#[derive(Debug)]
pub struct CountsCourse {
    bars: Bars,
    tolerances: Vec<Tolerance>,
    /// Totals over the minutes with data of both versions.
    canary: Count,
    baseline: Count,
    lanes: Lanes,
    harm: Harm,
    proofs: Vec<Proof>,
    step: StepMinutes,
    newest: Newest,
    strata: Vec<Stratum>,
    exposure: Exposure,
}

/// Evidence that one step's tolerance is kept.
#[derive(Debug)]
struct Proof {
    step: usize,
    process: NonInferiority,
}

/// Requests of both versions in the present step, which say how fast evidence comes in now.
#[derive(Debug, Default, Clone, Copy)]
struct Exposure {
    canary: f64,
    baseline: f64,
}

/// The processes that see every minute.
#[derive(Debug)]
struct Lanes {
    harm: HarmProcess,
    catastrophe: HarmProcess,
    guard: Guard,
}

impl CountsCourse {
    pub fn new(plan: &JudgePlan, check: &PlannedCheck, asked: Asked) -> Self {
        let steps = match asked {
            Asked::Step(step) => step..step + 1,
            Asked::EveryStep => 0..check.tolerances.len().max(1),
        };
        let proof = |step| {
            let Tolerance { factor, points } = tolerance(check, step);
            Proof { step, process: NonInferiority::new(factor, points) }
        };
        Self {
            bars: Bars::of(plan, check),
            tolerances: check.tolerances.clone(),
            canary: Count::default(),
            baseline: Count::default(),
            lanes: Lanes {
                harm: HarmProcess::new(HarmNull::NO_WORSE, plan.horizon_minutes),
                catastrophe: HarmProcess::new(HarmNull::NO_CATASTROPHE, plan.horizon_minutes),
                guard: Guard::default(),
            },
            harm: Harm::default(),
            proofs: steps.map(proof).collect(),
            step: StepMinutes::default(),
            newest: Newest::default(),
            strata: Vec::new(),
            exposure: Exposure::default(),
        }
    }

    pub fn bars(&self) -> &Bars {
        &self.bars
    }

    pub fn harm(&self) -> &Harm {
        &self.harm
    }

    pub fn see(&mut self, look: Look, pair: &Pair) {
        if look.raised {
            self.step = StepMinutes::default();
            self.exposure = Exposure::default();
        }
        let Some(stratum) = self.note(look, pair) else { return };
        self.tally(&stratum);
        self.weigh(look, &stratum);
        if look.settled {
            self.proofs.iter_mut().for_each(|proof| proof.process.observe(&stratum));
        }
    }

    /// Books what is known of a minute; a stratum if both versions served requests in it.
    fn note(&mut self, look: Look, pair: &Pair) -> Option<Stratum> {
        let (baseline, canary) = pair.counts();
        if baseline.is_some() {
            self.newest.baseline = Some(look.minute);
        }
        if canary.is_some() {
            self.newest.canary = Some(look.minute);
        }
        let (Some(baseline), Some(canary)) = (baseline, canary) else {
            self.step.unseen += usize::from(look.in_step);
            return None;
        };
        self.newest.both = Some(look.minute);
        let stratum =
            Stratum { n_c: canary.requests, x_c: canary.events, n_b: baseline.requests, x_b: baseline.events };
        if look.in_step {
            self.step.seen += 1;
            self.step.settled += usize::from(look.settled && stratum.is_comparable());
            self.exposure.canary += stratum.n_c;
            self.exposure.baseline += stratum.n_b;
        }
        stratum.is_comparable().then_some(stratum)
    }

    fn tally(&mut self, stratum: &Stratum) {
        self.canary.requests += stratum.n_c;
        self.canary.events += stratum.x_c;
        self.baseline.requests += stratum.n_b;
        self.baseline.events += stratum.x_b;
        self.strata.push(*stratum);
    }

    /// The standard lane needs two keys, the catastrophic lane one.
    fn weigh(&mut self, look: Look, stratum: &Stratum) {
        let (lanes, harm) = (&mut self.lanes, &mut self.harm);
        lanes.harm.observe(stratum);
        lanes.catastrophe.observe(stratum);
        lanes.guard.observe(stratum);
        harm.now = lanes.harm.ln_e();
        harm.most = harm.most.max(harm.now);
        let catastrophe = lanes.catastrophe.ln_e();
        harm.catastrophe_most = harm.catastrophe_most.max(catastrophe);
        if harm.proven.is_none() {
            harm.guard = lanes.guard.ln_e();
            let standard = harm.most >= self.bars.harm && harm.guard >= self.bars.guard;
            let proven = standard || catastrophe >= self.bars.catastrophe;
            harm.proven = proven.then_some(look.minute);
        }
    }

    pub fn promotion(&self, step: usize) -> (f64, StepMinutes) {
        // Past the last step its tolerance stays in force.
        let proof = self.proofs.iter().find(|proof| proof.step == step).or(self.proofs.last());
        (proof.map_or(0.0, |proof| proof.process.ln_e()), self.step)
    }

    pub fn reading(&self, step: usize, alpha: f64) -> Reading {
        let tolerance = self
            .tolerances
            .get(step)
            .or(self.tolerances.last())
            .copied()
            .unwrap_or(Tolerance { factor: 1.0, points: 0.0 });
        let (promotion, _) = self.promotion(step);
        Reading {
            canary: self.canary,
            baseline: self.baseline,
            events_over_tolerance: self.strata.iter().map(|stratum| over_tolerance(stratum, tolerance)).sum(),
            harm: self.harm,
            promotion,
            requests_missing: self.requests_missing(tolerance, self.bars.promotion - promotion),
            step: self.step,
            newest: self.newest,
            ratio: self.ratio(alpha),
            blind: None,
        }
    }

    /// Canary requests that are expected to be missing for the proof if the canary is as good as the baseline, at the
    /// present split; zero when it is there, `None` when more requests would not bring it.
    fn requests_missing(&self, tolerance: Tolerance, missing: f64) -> Option<f64> {
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
    fn ratio(&self, alpha: f64) -> Option<Interval> {
        let RatioInterval { estimate, lower, upper } = rate_ratio(&self.strata, alpha)?;
        Some(Interval { estimate, lower, upper })
    }
}

fn over_tolerance(stratum: &Stratum, tolerance: Tolerance) -> f64 {
    let tolerated = tolerance.factor * stratum.x_b / stratum.n_b + tolerance.points;
    stratum.x_c - stratum.n_c * tolerated
}
