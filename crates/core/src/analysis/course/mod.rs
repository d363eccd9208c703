//! One check's evidence, minute by minute: every kind of check has a course of its own, and all of them end in the same
//! [`Reading`].

mod counts;
mod distribution;
mod excess;
pub(super) mod harm;
mod level;
mod proof;
mod thresholds;
mod warming;

use crate::spec::Tolerance;
use crate::units::{Minute, Weight};

use super::bars::Bars;
use super::{Count, Interval, JudgePlan, Measure, Pair, PlannedCheck, Slower};

pub(super) use counts::{CountsCourse, PROPOSED_POINTS};
pub(super) use distribution::DistributionCourse;
pub(super) use excess::{Risk, bounds, tolerated};
pub(super) use harm::Harm;
pub use harm::Lane;
pub(super) use level::LevelCourse;
pub(super) use proof::{Exposure, Worth};

/// What is known of a minute besides its numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub minute: Minute,
    /// When the minute ended.
    pub weight: Weight,
    /// First minute at a larger weight than before: partly still the weight before.
    pub raised: bool,
    /// The weight changed in it, and it is mostly at the one before.
    pub mixed: bool,
    /// Lies mostly in the present step, or no step is baking.
    pub in_step: bool,
    /// Old enough to promote on.
    pub settled: bool,
}

/// For which steps of the ladder proof is gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Only for the one that asks for promotion.
    Step(usize),
    /// For all of them at once, because the minutes themselves say at which weight they are.
    EveryStep,
}

/// What all minutes so far say about one check, asked for one step.
#[derive(Debug)]
pub(super) struct Reading {
    /// Totals over the minutes with data of both versions.
    pub canary: Count,
    pub baseline: Count,
    /// Canary events beyond what the tolerance allows, minute by minute; negative when there are fewer.
    pub events_over_tolerance: f64,
    pub harm: Harm,
    /// ln E of non-inferiority over the settled minutes, now.
    pub promotion: f64,
    /// Canary requests that are expected to be missing for the proof; `None` when more would not bring it.
    pub requests_missing: Option<f64>,
    pub prospect: Prospect,
    pub step: StepMinutes,
    pub newest: Newest,
    /// Canary's rate over the baseline's; `None` without events.
    pub ratio: Option<Interval>,
    /// Of a distribution: what the counts above are the requests of.
    pub slower: Option<Slower>,
    /// What the check asks cannot be told from this data, and why.
    pub blind: Option<String>,
    pub warmth: Warmth,
}

/// Whether the canary has had the requests that warm its environments, where that matters.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) enum Warmth {
    #[default]
    Warm,
    /// Its minutes do not count yet; requests served since the raise, and needed.
    WarmingUp { served: f64, needed: f64 },
    /// Harm was proven, and the canary may only be cold: it has to be proven once more.
    Cold,
}

/// What the present traffic can prove by the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) enum Prospect {
    /// The tolerance, or it is not known.
    #[default]
    Fine,
    /// Only a tolerance of so many points, as a share.
    AtLeast(f64),
    /// No tolerance that would still mean something.
    Nothing,
}

/// Minutes of the present step; of the whole window when no step is baking.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct StepMinutes {
    /// With data of both versions.
    pub seen: usize,
    /// Without.
    pub unseen: usize,
    /// Seen, settled, and with requests of both versions.
    pub settled: usize,
}

/// Newest minute with data of both versions, of the canary, and of the baseline.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Newest {
    pub both: Option<Minute>,
    pub canary: Option<Minute>,
    pub baseline: Option<Minute>,
}

impl Newest {
    /// Books what a minute brought of either version; both, if there are both. A minute without is one of the step's that
    /// were not seen.
    fn book<B, C>(
        &mut self,
        look: &Look,
        step: &mut StepMinutes,
        baseline: Option<B>,
        canary: Option<C>,
    ) -> Option<(B, C)> {
        if baseline.is_some() {
            self.baseline = Some(look.minute);
        }
        if canary.is_some() {
            self.canary = Some(look.minute);
        }
        let both = baseline.zip(canary);
        if both.is_some() {
            self.both = Some(look.minute);
        }
        let minutes = if both.is_some() { &mut step.seen } else { &mut step.unseen };
        *minutes += usize::from(look.in_step);
        both
    }
}

/// The evidence of one check as it grows.
#[derive(Debug)]
pub(super) enum Course {
    Counts(Box<CountsCourse>),
    Distribution(Box<DistributionCourse>),
}

impl Course {
    /// `None` for a check that is not judged.
    pub fn new(plan: &JudgePlan, check: &PlannedCheck, asked: Asked) -> Option<Self> {
        match check.measure {
            Measure::Counts => Some(Self::Counts(Box::new(CountsCourse::new(plan, check, asked)))),
            Measure::Distribution => DistributionCourse::new(plan, check, asked).map(Box::new).map(Self::Distribution),
            Measure::Latency | Measure::Mean | Measure::Gauge => None,
        }
    }

    pub fn bars(&self) -> &Bars {
        match self {
            Self::Counts(course) => course.bars(),
            Self::Distribution(course) => course.bars(),
        }
    }

    /// Takes one minute in; minutes come in rising order, each once.
    pub fn see(&mut self, look: Look, pair: &Pair) {
        match self {
            Self::Counts(course) => course.see(look, pair),
            Self::Distribution(course) => course.see(look, pair),
        }
    }

    /// First minute at which harm was proven.
    pub fn proven_worse(&self) -> Option<Minute> {
        match self {
            Self::Counts(course) => course.proven_worse(),
            Self::Distribution(course) => course.proven_worse(),
        }
    }

    /// ln E of non-inferiority for a step, now, and the minutes it rests on.
    pub fn promotion(&self, step: usize) -> (f64, StepMinutes) {
        match self {
            Self::Counts(course) => course.promotion(step),
            Self::Distribution(course) => course.promotion(step),
        }
    }

    pub fn reading(&self, step: usize, alpha: f64) -> Reading {
        match self {
            Self::Counts(course) => course.reading(step, alpha),
            Self::Distribution(course) => course.reading(step, alpha),
        }
    }

    /// How much harm it may still do; `None` where the plan does not ask.
    pub fn risk(&self) -> Option<Risk> {
        match self {
            Self::Counts(course) => course.risk(),
            Self::Distribution(course) => course.risk(),
        }
    }

    /// ln E of harm, now.
    pub fn harm_now(&self) -> f64 {
        match self {
            Self::Counts(course) => course.harm_now(),
            Self::Distribution(course) => course.harm_now(),
        }
    }
}

/// Past the last step its tolerance stays in force. A plan without any tolerance tolerates nothing.
pub(super) fn tolerance(check: &PlannedCheck, step: usize) -> Tolerance {
    let tolerances = &check.tolerances;
    tolerances.get(step).or(tolerances.last()).copied().unwrap_or(Tolerance { factor: 1.0, points: 0.0 })
}
