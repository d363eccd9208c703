//! How a case's evidence grew, for a chart: so many points, however long the case is.

use crate::analysis::stats::rank::{Null, ROOT_TOLERANCE, RankTest, Shift, mann_whitney, shift};
use crate::analysis::{Analysis, Count, Evidence, Interval, MinuteSample};
use crate::units::Minute;

/// Points that are kept. When there would be twice as many, every other one is dropped.
const POINTS: usize = 240;

/// Minutes whose rates are kept for the rank test.
const RATES: usize = 1440;

/// What is kept of a case besides its verdict.
#[derive(Debug)]
pub struct Trace {
    pub points: Vec<Point>,
    /// For each check, a rank test of the per-minute rates, made once at the end; `None` where there is too little.
    pub ranks: Vec<Option<(RankTest, Shift)>>,
    /// Minutes between two points.
    stride: usize,
    since: usize,
    rates: Vec<Rates>,
}

/// All checks at one minute.
#[derive(Debug, Clone)]
pub struct Point {
    pub minute: Minute,
    pub checks: Vec<Total>,
}

/// One check at one minute.
#[derive(Debug, Clone, Copy)]
pub struct Total {
    pub evidence: Evidence,
    /// Of all minutes so far.
    pub canary: Count,
    pub baseline: Count,
    pub ratio: Option<Interval>,
}

/// Events per request of both versions, minute by minute.
#[derive(Debug, Default, Clone)]
struct Rates {
    canary: Vec<f64>,
    baseline: Vec<f64>,
}

impl Trace {
    pub fn new(checks: usize) -> Self {
        let rates = vec![Rates::default(); checks];
        Self { points: Vec::new(), ranks: Vec::new(), stride: 1, since: 0, rates }
    }

    pub fn minute(&mut self, sample: &MinuteSample) {
        self.since += 1;
        for (rates, pair) in self.rates.iter_mut().zip(&sample.pairs) {
            let rate = |count: Count| (count.requests > 0.0).then(|| count.events / count.requests);
            let (baseline, canary) = pair.counts();
            if let (Some(baseline), Some(canary)) = (baseline.and_then(rate), canary.and_then(rate))
                && rates.canary.len() < RATES
            {
                rates.canary.push(canary);
                rates.baseline.push(baseline);
            }
        }
    }

    pub fn is_due(&self) -> bool {
        self.since >= self.stride
    }

    pub fn point(&mut self, minute: Minute, analysis: &Analysis) {
        self.since = 0;
        if self.points.len() >= 2 * POINTS {
            let mut place = 0;
            self.points.retain(|_| {
                place += 1;
                place % 2 == 0
            });
            self.stride *= 2;
        }
        let totals = analysis.comparisons.iter().map(|comparison| Total {
            evidence: comparison.evidence,
            canary: comparison.canary,
            baseline: comparison.baseline,
            ratio: comparison.ratio,
        });
        self.points.push(Point { minute, checks: totals.collect() });
    }

    /// The case has ended.
    pub fn end(mut self, analysis: &Analysis) -> Self {
        if let Some(newest) = analysis.newest
            && self.points.last().is_none_or(|point| point.minute < newest)
        {
            self.point(newest, analysis);
        }
        self.ranks = self.rates.iter().map(Rates::compared).collect();
        self.rates.clear();
        self
    }
}

impl Rates {
    /// Kayenta's confidence level.
    const LEVEL: f64 = 0.98;

    fn compared(&self) -> Option<(RankTest, Shift)> {
        let test = mann_whitney(&self.canary, &self.baseline, Null::Exact)?;
        let shift = shift(&self.canary, &self.baseline, Self::LEVEL, Null::Exact, ROOT_TOLERANCE * 1e-4)?;
        Some((test, shift))
    }
}
