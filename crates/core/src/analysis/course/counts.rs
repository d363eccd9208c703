//! Events out of requests.

use super::excess::{Excess, Risk};
use super::harm::{Bet, Evident, Lanes, Second, Weighing, guard_bar};
use super::proof::{Exposure, Proofs, Worth, predicted};
use super::{Asked, Look, Newest, Prospect, Reading, StepMinutes, Warmth};
use crate::analysis::bars::Bars;
use crate::analysis::stats::{
    CanaryScatter, Dispersion, Guard, HarmBets, HarmNull, HarmProcess, Margin, PredictedShare, Rates, RatioInterval,
    RecentRate, Stratum, event_contrast, rate_ratio,
};
use crate::analysis::{Count, Interval, JudgePlan, Pair, PlannedCheck};
use crate::spec::Tolerance;
use crate::units::Minute;

/// Tolerances that are proposed where the one that is asked cannot be proven, as shares. More than the last would exclude
/// too little to be worth proving.
pub const PROPOSED_POINTS: [f64; 4] = [0.005, 0.01, 0.02, 0.05];

/// The evidence of a check that counts events.
#[derive(Debug)]
pub struct CountsCourse {
    tolerances: Vec<Tolerance>,
    /// Totals over the minutes with data of both versions.
    canary: Count,
    baseline: Count,
    harm: CountsHarm,
    proofs: Proofs,
    /// Only where weights are chosen by it.
    excess: Option<Excess>,
    /// What is expected of the baseline's next minute.
    predicted: PredictedShare,
    deadline_minutes: u32,
    step: StepMinutes,
    newest: Newest,
    strata: Vec<Stratum>,
    exposure: Exposure,
}

/// Evidence that the canary has more events.
#[derive(Debug)]
struct CountsHarm {
    null: HarmNull,
    bets: HarmBets,
    lanes: Lanes,
    catastrophe: HarmProcess,
    past: Option<Past>,
    second: CountsSecond,
}

/// What the second key is made of.
#[derive(Debug)]
struct CountsSecond {
    guard: Guard,
    scatter: CanaryScatter,
    /// Of the newest minute.
    dispersion: f64,
}

impl CountsSecond {
    fn now(&self) -> Second {
        let Self { guard, scatter, dispersion } = self;
        Second { guard: guard.ln_e(), dispersion: *dispersion, excess: scatter.dispersion() / dispersion }
    }
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
        let margins: Vec<Margin> = check.tolerances.iter().copied().map(Margin::from).collect();
        let history = check.learned.as_ref().and_then(|learned| learned.events.as_ref());
        let worth = Worth::of_events(plan, history);
        Self {
            tolerances: check.tolerances.clone(),
            canary: Count::default(),
            baseline: Count::default(),
            harm: CountsHarm::new(plan, check),
            proofs: Proofs::new(&margins, asked, worth, plan.auto.map(|auto| auto.largest)),
            excess: plan.auto.map(|_| Excess::new(margins.last().copied().unwrap_or(Margin::NONE), worth)),
            predicted: predicted(history),
            deadline_minutes: plan.deadline_minutes,
            step: StepMinutes::default(),
            newest: Newest::default(),
            strata: Vec::new(),
            exposure: Exposure::default(),
        }
    }

    pub fn bars(&self) -> &Bars {
        self.harm.lanes.bars()
    }

    pub fn proven_worse(&self) -> Option<Minute> {
        self.harm.lanes.proven().map(|(minute, _)| minute)
    }

    pub fn harm_now(&self) -> f64 {
        self.harm.lanes.now()
    }

    pub fn see(&mut self, look: Look, pair: &Pair) {
        if look.raised {
            self.step = StepMinutes::default();
            self.exposure = Exposure::default();
            self.harm.raise();
        }
        let stratum = self.note(look, pair);
        self.proofs.see(&look, stratum.as_ref(), self.guess());
        if let Some(stratum) = stratum {
            let guess = self.guess();
            self.excess.iter_mut().for_each(|excess| excess.see(&look, &stratum, guess));
            self.tally(&stratum);
            self.harm.observe(look.minute, &stratum);
        }
        if let (Some(baseline), _) = pair.counts() {
            self.predicted.observe(baseline.requests, baseline.events);
        }
    }

    /// A healthy canary does as the baseline.
    fn guess(&self) -> Option<Rates> {
        self.predicted.share().map(|share| Rates { baseline: share, canary: share })
    }

    /// Books what is known of a minute; a stratum if both versions served requests in it.
    fn note(&mut self, look: Look, pair: &Pair) -> Option<Stratum> {
        let (baseline, canary) = pair.counts();
        let (baseline, canary) = self.newest.book(&look, &mut self.step, baseline, canary)?;
        let stratum =
            Stratum { n_c: canary.requests, x_c: canary.events, n_b: baseline.requests, x_b: baseline.events };
        if look.in_step {
            self.step.settled += usize::from(look.settled && stratum.is_comparable());
            self.exposure.add(&stratum);
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
        (self.proofs.ln_e(step), self.step)
    }

    pub fn reading(&self, step: usize, alpha: f64) -> Reading {
        let tolerance = self.tolerance(step);
        let promotion = self.proofs.ln_e(step);
        let missing = self.bars().promotion - promotion;
        let requests_missing = self.proofs.requests_missing(step, missing, self.guess(), &self.exposure);
        Reading {
            canary: self.canary,
            baseline: self.baseline,
            events_over_tolerance: self.strata.iter().map(|stratum| over_tolerance(stratum, tolerance)).sum(),
            harm: self.harm.lanes.harm(|| self.harm.second.now()),
            promotion,
            requests_missing,
            prospect: self.prospect(step, requests_missing),
            step: self.step,
            newest: self.newest,
            ratio: self.ratio(alpha),
            slower: None,
            blind: None,
            warmth: Warmth::Warm,
        }
    }

    pub fn risk(&self) -> Option<Risk> {
        self.excess.as_ref().map(|excess| excess.risk(self.bars().promotion, self.guess()))
    }

    /// Past the last step its tolerance stays in force.
    fn tolerance(&self, step: usize) -> Tolerance {
        let tolerances = &self.tolerances;
        tolerances.get(step).or(tolerances.last()).copied().unwrap_or(Tolerance { factor: 1.0, points: 0.0 })
    }

    /// Whether what is missing can come by the deadline at the present traffic, and if not, what can be proven by then.
    fn prospect(&self, step: usize, missing: Option<f64>) -> Prospect {
        let per_minute = self.exposure.canary_per_minute();
        let Some(guess) = self.guess().filter(|_| self.deadline_minutes > 0 && per_minute > 0.0) else {
            return Prospect::Fine;
        };
        // A rollout has far fewer than 2^53 minutes.
        #[allow(clippy::cast_precision_loss)]
        let left = (f64::from(self.deadline_minutes) - self.strata.len() as f64).max(0.0) * per_minute;
        if missing.is_some_and(|missing| missing <= left) {
            return Prospect::Fine;
        }
        // A step that unlocks little may prove little; the last one must prove the tolerance itself.
        let asked = self.tolerance(usize::MAX).points;
        let wider = if asked > 0.0 { self.tolerance(step).points / asked } else { 1.0 };
        let provable = |points: &f64| {
            let margin = Margin::new(1.0, points * wider);
            let needed = self.exposure.requests_for(self.bars().promotion, margin, guess, self.proofs.worth());
            needed.is_some_and(|needed| needed - self.exposure.canary <= left)
        };
        let wider_ones = PROPOSED_POINTS.into_iter().filter(|points| *points > asked);
        wider_ones.into_iter().find(provable).map_or(Prospect::Nothing, Prospect::AtLeast)
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
            catastrophe: HarmProcess::new(HarmNull::NO_CATASTROPHE, plan.begins()),
            past,
            second: CountsSecond { guard: Guard::default(), scatter: CanaryScatter::default(), dispersion: 1.0 },
        }
    }

    fn raise(&mut self) {
        self.catastrophe.raise();
        self.lanes.raise();
    }

    fn observe(&mut self, minute: Minute, stratum: &Stratum) {
        self.second.guard.observe(&self.null.as_exposed(stratum));
        self.second.scatter.observe(stratum.n_c, stratum.x_c);
        let dispersion = self.past.as_mut().map_or(1.0, |past| past.next(stratum));
        self.second.dispersion = dispersion;
        self.catastrophe.observe_dispersed(stratum, dispersion);
        let bets = self.bets.ln_e(stratum).map(|ln_e| Bet { ln_e, dispersion });
        let evident = Evident { minute, bets: &bets, catastrophe: self.catastrophe.ln_e() };
        self.lanes.observe(&evident, || self.second.now());
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
