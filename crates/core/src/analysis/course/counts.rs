//! Events out of requests.

use super::harm::{Bet, Evident, Lanes, Weighing, guard_bar};
use super::{Asked, Harm, Look, Newest, Reading, StepMinutes, tolerance};
use crate::analysis::bars::Bars;
use crate::analysis::stats::{
    CanaryScatter, Dispersion, Guard, HarmBets, HarmNull, HarmProcess, NonInferiority, RatioInterval, RecentRate,
    Stratum, event_contrast, growth_per_request, rate_ratio,
};
use crate::analysis::{Count, Interval, JudgePlan, Pair, PlannedCheck};
use crate::spec::Tolerance;
use crate::units::Minute;

/// The evidence of a check that counts events.
#[derive(Debug)]
pub struct CountsCourse {
    tolerances: Vec<Tolerance>,
    /// Totals over the minutes with data of both versions.
    canary: Count,
    baseline: Count,
    harm: CountsHarm,
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

/// Evidence that the canary has more events.
#[derive(Debug)]
struct CountsHarm {
    null: HarmNull,
    bets: HarmBets,
    lanes: Lanes,
    catastrophe: HarmProcess,
    guard: Guard,
    past: Option<Past>,
    scatter: CanaryScatter,
}

/// What the history says, and how it goes on.
#[derive(Debug, Clone, Copy)]
struct Past {
    dispersion: Dispersion,
    weighing: Weighing,
    /// Of the baseline, before the minute that is seen.
    recent: RecentRate,
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
            tolerances: check.tolerances.clone(),
            canary: Count::default(),
            baseline: Count::default(),
            harm: CountsHarm::new(plan, check),
            proofs: steps.map(proof).collect(),
            step: StepMinutes::default(),
            newest: Newest::default(),
            strata: Vec::new(),
            exposure: Exposure::default(),
        }
    }

    pub fn bars(&self) -> &Bars {
        self.harm.lanes.bars()
    }

    pub fn harm(&self) -> &Harm {
        self.harm.lanes.harm()
    }

    pub fn see(&mut self, look: Look, pair: &Pair) {
        if look.raised {
            self.step = StepMinutes::default();
            self.exposure = Exposure::default();
        }
        let Some(stratum) = self.note(look, pair) else { return };
        self.tally(&stratum);
        self.harm.observe(look.minute, &stratum);
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
            harm: *self.harm(),
            promotion,
            requests_missing: self.requests_missing(tolerance, self.bars().promotion - promotion),
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

impl CountsHarm {
    fn new(plan: &JudgePlan, check: &PlannedCheck) -> Self {
        let null = HarmNull::at_most(plan.tolerated_ratio);
        let learned = check.learned.as_ref().and_then(|learned| learned.events);
        let past = Weighing::of(plan, check).zip(learned).map(|(weighing, learned)| Past {
            dispersion: learned.dispersion,
            weighing,
            recent: RecentRate::from(learned.recent_requests, learned.recent_events),
        });
        let guard_bar = guard_bar(past.as_ref().map(|past| &past.dispersion));
        Self {
            lanes: Lanes::new(plan, Bars::of(plan, check), HarmBets::COUNT, past.map(|past| past.weighing), guard_bar),
            null,
            bets: HarmBets::new(null),
            catastrophe: HarmProcess::new(HarmNull::NO_CATASTROPHE, plan.horizon_minutes),
            guard: Guard::default(),
            past,
            scatter: CanaryScatter::default(),
        }
    }

    fn observe(&mut self, minute: Minute, stratum: &Stratum) {
        self.catastrophe.observe(stratum);
        self.guard.observe(&self.null.as_exposed(stratum));
        self.scatter.observe(stratum.n_c, stratum.x_c);
        let dispersion = self.past.as_mut().map_or(1.0, |past| past.next(stratum));
        let bets = self.bets.ln_e(stratum).map(|ln_e| Bet { ln_e, dispersion });
        self.lanes.observe(&Evident {
            minute,
            bets: &bets,
            dispersion,
            excess: self.scatter.dispersion() / dispersion,
            guard: self.guard.ln_e(),
            catastrophe: self.catastrophe.ln_e(),
        });
    }
}

impl Past {
    /// The dispersion of a minute's contrast, from the minutes before it.
    fn next(&mut self, stratum: &Stratum) -> f64 {
        let contrast = event_contrast(stratum, self.recent.rate());
        self.recent.observe(stratum.n_b, stratum.x_b);
        self.dispersion.of_contrast(contrast, self.weighing.z)
    }
}

fn over_tolerance(stratum: &Stratum, tolerance: Tolerance) -> f64 {
    let tolerated = tolerance.factor * stratum.x_b / stratum.n_b + tolerance.points;
    stratum.x_c - stratum.n_c * tolerated
}
