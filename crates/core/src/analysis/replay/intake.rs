//! From a recording's line to what the judge takes: which field belongs to which check, and by which edges.

use crate::analysis::{
    Bins, Count, HistoryMinute, JudgePlan, Level, Measure, Measured, Pair, PlannedCheck, grouped, rebinned, stretched,
    take_edges,
};
use crate::recording::{Arm, Histogram, Latency, Line, Rate, Readings, When};

/// By how much a histogram may miss the requests of its minute: as a share, or in requests.
const UNCOUNTED_SHARE: f64 = 0.01;
const UNCOUNTED_REQUESTS: f64 = 1.0;

/// The two checks whose fields have places of their own in a line.
const ERRORS: &str = "errors";
const LATENCY: &str = "latency";

/// The old version's minutes in a recording, whoever had the rest of the traffic, and the plan with the recording's edges.
#[must_use]
pub fn past(plan: JudgePlan, lines: &[Line]) -> (JudgePlan, Vec<HistoryMinute>) {
    let mut intake = Intake::new(plan);
    let with_baseline = lines.iter().filter(|line| line.baseline.is_some());
    let minutes = with_baseline.map(|line| {
        intake.take_edges(line);
        intake.history_minute(line)
    });
    let minutes = minutes.collect();
    (intake.plan, minutes)
}

/// A minute of the old version alone, as a recording has it: what [`past`] reads again.
#[must_use]
pub fn line_of(plan: &JudgePlan, minute: &HistoryMinute) -> Line {
    let mut arm = Arm::default();
    for (check, measured) in plan.checks.iter().zip(&minute.measured) {
        let name = || check.name.clone();
        match (measured, &check.distribution) {
            (Some(Measured::Count(count)), _) if check.name == ERRORS => {
                (arm.requests, arm.errors) = (Some(count.requests), Some(count.events));
            }
            (Some(Measured::Count(count)), _) => {
                arm.rates.insert(name(), Rate { events: count.events, requests: count.requests });
            }
            (Some(Measured::Bins(bins)), Some(distribution)) if check.name == LATENCY => {
                arm.latency = Some(Latency { edges: distribution.edges.clone(), counts: bins.counts.clone() });
            }
            (Some(Measured::Bins(bins)), Some(distribution)) => {
                let histogram = Histogram { edges: distribution.edges.clone(), counts: bins.counts.clone() };
                arm.distributions.insert(name(), histogram);
            }
            (Some(Measured::Level(level)), _) => {
                arm.levels.insert(name(), Readings { readings: level.readings, sum: level.sum });
            }
            (Some(Measured::Bins(_)) | None, _) => {}
        }
    }
    Line { case: None, minute: When::Time(minute.minute), weight: None, baseline: Some(arm), canary: None }
}

/// Reads lines by a plan.
#[derive(Debug)]
pub struct Intake {
    plan: JudgePlan,
    /// The edges of both versions, for each check that has some.
    edges: Vec<Option<Edges>>,
    /// For each check, minutes whose histogram does not have the requests of its minute.
    incomplete: Vec<usize>,
}

#[derive(Debug)]
struct Edges {
    baseline: Vec<f64>,
    canary: Vec<f64>,
}

impl Intake {
    pub fn new(plan: JudgePlan) -> Self {
        let edges = plan.checks.iter().map(edges).collect();
        Self { incomplete: vec![0; plan.checks.len()], edges, plan }
    }

    pub fn plan(&self) -> &JudgePlan {
        &self.plan
    }

    /// Whether there is a distribution of which no baseline was seen yet.
    pub fn lacks_edges(&self) -> bool {
        let mut checks = self.plan.checks.iter().zip(&self.edges);
        checks.any(|(check, edges)| check.distribution.is_some() && edges.is_none())
    }

    /// The edges by which the baseline is counted first are those of the whole case.
    pub fn take_edges(&mut self, line: &Line) {
        for index in 0..self.plan.checks.len() {
            let check = &self.plan.checks[index];
            if check.distribution.is_none() || self.edges[index].is_some() {
                continue;
            }
            let Some((found, _)) = line.baseline.as_ref().and_then(|arm| histogram(check, arm)) else { continue };
            self.plan = take_edges(&self.plan, index, found);
            self.edges[index] = edges(&self.plan.checks[index]);
        }
    }

    pub fn history_minute(&mut self, line: &Line) -> HistoryMinute {
        let pairs = self.pairs(line);
        HistoryMinute { minute: line.minute.minute(), measured: pairs.into_iter().map(|pair| pair.baseline).collect() }
    }

    /// What both versions brought, one pair per check of the plan.
    pub fn pairs(&mut self, line: &Line) -> Vec<Pair> {
        let Self { plan, edges, incomplete } = self;
        let checks = plan.checks.iter().zip(edges.iter()).zip(incomplete);
        checks
            .map(|((check, edges), incomplete)| {
                let baseline_edges = edges.as_ref().map(|edges| edges.baseline.as_slice());
                let canary_edges = edges.as_ref().map(|edges| edges.canary.as_slice());
                let baseline = line.baseline.as_ref().map(|arm| measured(check, arm, baseline_edges));
                let canary = line.canary.as_ref().map(|arm| measured(check, arm, canary_edges));
                let odd = |found: &Option<Found>| matches!(found, Some(Found::Incomplete));
                *incomplete += usize::from(odd(&baseline) || odd(&canary));
                Pair { baseline: baseline.and_then(Found::there), canary: canary.and_then(Found::there) }
            })
            .collect()
    }

    pub fn notes(&self) -> impl Iterator<Item = String> {
        let checks = self.plan.checks.iter().zip(&self.incomplete).filter(|(_, minutes)| **minutes > 0);
        checks.map(|(check, minutes)| {
            #[allow(clippy::cast_precision_loss, reason = "minutes are few")]
            let minutes = grouped(*minutes as f64);
            format!(
                "{}: {minutes} minutes were left out because their counts do not add up to the requests",
                check.name
            )
        })
    }
}

fn edges(check: &PlannedCheck) -> Option<Edges> {
    let distribution = check.distribution.as_ref().filter(|distribution| !distribution.edges.is_empty())?;
    let canary = stretched(&distribution.edges, distribution.stretch);
    Some(Edges { baseline: distribution.edges.clone(), canary })
}

/// What one version's minute has for a check.
enum Found {
    There(Measured),
    Missing,
    /// It is there, and not all of it.
    Incomplete,
}

impl Found {
    fn there(self) -> Option<Measured> {
        match self {
            Self::There(measured) => Some(measured),
            Self::Missing | Self::Incomplete => None,
        }
    }
}

fn measured(check: &PlannedCheck, arm: &Arm, edges: Option<&[f64]>) -> Found {
    let found = match check.measure {
        Measure::Counts => count(check, arm).map(Measured::Count),
        Measure::Latency | Measure::Distribution => return bins(check, arm, edges),
        Measure::Mean | Measure::Gauge => {
            let level = arm.levels.get(&check.name);
            level.map(|level| Measured::Level(Level { readings: level.readings, sum: level.sum }))
        }
    };
    found.map_or(Found::Missing, Found::There)
}

fn count(check: &PlannedCheck, arm: &Arm) -> Option<Count> {
    if check.name == ERRORS {
        return Count::new(arm.requests?, arm.errors?);
    }
    let rate = arm.rates.get(&check.name)?;
    Count::new(rate.requests, rate.events)
}

/// Edges and counts.
fn histogram<'a>(check: &PlannedCheck, arm: &'a Arm) -> Option<(&'a [f64], &'a [f64])> {
    if check.name == LATENCY {
        let latency = arm.latency.as_ref()?;
        return Some((&latency.edges, &latency.counts));
    }
    let found = arm.distributions.get(&check.name)?;
    Some((&found.edges, &found.counts))
}

fn bins(check: &PlannedCheck, arm: &Arm, edges: Option<&[f64]>) -> Found {
    let Some((from, counts)) = histogram(check, arm) else { return Found::Missing };
    let counted: f64 = counts.iter().sum();
    // A part that is missing would be the slow one: it is late.
    let off = arm.requests.filter(|_| check.name == LATENCY).map_or(0.0, |requests| (requests - counted).abs());
    if off > UNCOUNTED_REQUESTS.max(UNCOUNTED_SHARE * counted) {
        return Found::Incomplete;
    }
    let bins = edges.and_then(|to| rebinned(counts, from, to)).and_then(Bins::new);
    bins.map_or(Found::Missing, |bins| Found::There(Measured::Bins(bins)))
}
