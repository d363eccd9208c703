//! Levels of both versions, minute by minute: a mean is shown and decides nothing, a gauge holds while the canary's is
//! higher than tolerated.

use super::{Look, Newest, StepMinutes, tolerance};
use crate::analysis::stats::PairedT;
use crate::analysis::{Count, JudgePlan, Level, LevelComparison, Measure, Pair, PlannedCheck};
use crate::units::Minute;

/// Minutes that make one pair of a gauge, because a level resembles that of the minute before. Single
/// minutes would count as evidence what is the same deviation lasting.
const BLOCK: i64 = 5;

/// Of the budget for false rollbacks, what a gauge may be wrong by: what lasts longer than a block is no chance either.
const GAUGE_SHARE: f64 = 0.1;

/// The levels of one check so far.
#[derive(Debug)]
pub struct LevelCourse {
    measure: Measure,
    /// A gauge may be this many times as high as the baseline's.
    factor: f64,
    threshold: f64,
    canary: Totals,
    baseline: Totals,
    /// Minutes by the readings they rest on, for how sure the difference is.
    differences: PairedT,
    /// A gauge's excess over what is tolerated, by blocks.
    excess: PairedT,
    block: Block,
    pub step: StepMinutes,
    pub newest: Newest,
}

#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    readings: f64,
    mean: f64,
}

impl Totals {
    fn add(&mut self, level: Level, mean: f64) {
        self.readings += level.readings;
        self.mean += (mean - self.mean) * (level.readings / self.readings);
    }

    fn count(self) -> Count {
        Count { requests: self.readings, events: 0.0 }
    }
}

/// Consecutive minutes that become one pair.
#[derive(Debug, Default, Clone, Copy)]
struct Block {
    first: Option<Minute>,
    sum: f64,
    minutes: f64,
}

impl LevelCourse {
    /// `None` for a check that is no level.
    pub fn new(plan: &JudgePlan, check: &PlannedCheck) -> Option<Self> {
        matches!(check.measure, Measure::Mean | Measure::Gauge).then(|| Self {
            measure: check.measure,
            factor: tolerance(check, 0).factor,
            threshold: -(GAUGE_SHARE * plan.false_rollback).ln(),
            canary: Totals::default(),
            baseline: Totals::default(),
            differences: PairedT::default(),
            excess: PairedT::default(),
            block: Block::default(),
            step: StepMinutes::default(),
            newest: Newest::default(),
        })
    }

    /// Takes one minute in; minutes come in rising order, each once. The minute of a raise is left out: a new version's
    /// first level is that of environments that have just begun.
    pub fn see(&mut self, look: Look, pair: &Pair) {
        if look.raised {
            self.step = StepMinutes::default();
        }
        let level = |measured: &Option<crate::analysis::Measured>| {
            let level = measured.as_ref()?.level()?;
            Some((level, level.mean()?))
        };
        let (baseline, canary) = (level(&pair.baseline), level(&pair.canary));
        let both = self.newest.book(&look, &mut self.step, baseline, canary);
        let Some(((baseline, old), (canary, new))) = both else { return };
        self.step.settled += usize::from(look.in_step && look.settled);
        if !look.raised {
            self.baseline.add(baseline, old);
            self.canary.add(canary, new);
            let weight = 1.0 / (1.0 / canary.readings + 1.0 / baseline.readings);
            self.differences.add(new - old, weight);
            self.gather(look.minute, new - self.tolerated(old));
        }
    }

    /// A level below zero is not worse for being closer to zero.
    fn tolerated(&self, old: f64) -> f64 {
        old + (self.factor - 1.0) * old.abs()
    }

    fn gather(&mut self, minute: Minute, excess: f64) {
        let block = &mut self.block;
        if block.first.is_none_or(|first| minute.minutes_since(first) >= BLOCK) {
            *block = Block { first: Some(minute), sum: 0.0, minutes: 0.0 };
        }
        block.sum += excess;
        block.minutes += 1.0;
        if block.first.is_some_and(|first| minute.minutes_since(first) == BLOCK - 1) {
            self.excess.add(block.sum / block.minutes, 1.0);
        }
    }

    /// Whether a gauge's canary is higher than tolerated, now. What was higher once and is no longer does not hold.
    pub fn looks_worse(&self) -> bool {
        self.measure == Measure::Gauge && self.excess.ln_e() >= self.threshold
    }

    pub fn is_gauge(&self) -> bool {
        self.measure == Measure::Gauge
    }

    /// Evidence for that, and what it must reach.
    pub fn evidence(&self) -> (f64, f64) {
        match self.measure {
            Measure::Gauge => (self.excess.ln_e(), self.threshold),
            Measure::Counts | Measure::Latency | Measure::Distribution | Measure::Mean => (0.0, 0.0),
        }
    }

    /// Readings of both versions, canary first.
    pub fn readings(&self) -> (Count, Count) {
        (self.canary.count(), self.baseline.count())
    }

    /// Both means and how sure their difference is; `None` without a minute of both versions.
    pub fn compared(&self, alpha: f64) -> Option<LevelComparison> {
        (self.canary.readings > 0.0 && self.baseline.readings > 0.0).then(|| LevelComparison {
            canary: self.canary.mean,
            baseline: self.baseline.mean,
            difference: self.differences.interval(alpha).map(|(mean, radius)| (mean - radius, mean + radius)),
        })
    }
}
