//! From CloudWatch to a recording: what both versions did in a window, and the old one before it.

use crate::analysis::{Bins, Count, History, JudgePlan, Measured, PlannedDistribution, ReadBy, plan, stretched};
use crate::metrics::past::{DAY, Past};
use crate::metrics::{Asked, Of, Series, SeriesQuery, measured, queries};
use crate::ports::{Fault, MetricSource};
use crate::recording::{Arm, Histogram, Latency, Line, Rate, Readings, When};
use crate::spec::{CheckKind, RolloutSpec, Version};
use crate::units::Minute;

/// What is recorded.
#[derive(Debug, Clone)]
pub struct Window {
    /// Its target and its checks.
    pub spec: RolloutSpec,
    pub baseline: Version,
    pub canary: Version,
    /// From this minute up to, not including, `until`.
    pub from: Minute,
    pub until: Minute,
    /// Minutes of the old version's past before the new one's first request.
    pub history: i64,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Recorded {
    /// In rising order. A minute of which nothing is known is left out.
    pub lines: Vec<Line>,
    /// Minutes with data of both versions.
    pub minutes: usize,
    pub history_minutes: usize,
    /// Checks of which there is no data.
    pub left_out: Vec<String>,
}

/// Reads the window's metrics. Minutes before the new version's first request are history; a distribution's edges are
/// chosen from it, as for a rollout.
///
/// # Errors
///
/// The first series that could not be read: half a recording would be taken for a whole one.
pub async fn record(source: &impl MetricSource, window: &Window) -> Result<Recorded, Fault> {
    let unknown = plan(&window.spec);
    let canary = Of::Canary(&window.canary);
    let counted = arms(source, window, &unknown, canary).await?;
    let first = match counted.first() {
        Some((minute, _)) => *minute,
        // Without edges nothing can be asked of a distribution.
        None if unknown.checks.iter().all(|check| check.distribution.is_some()) => window.from,
        None => return Ok(Recorded::default()),
    };
    let (plan, history) = look_back(source, window, &unknown, first).await?;
    let mut recorded = Recorded::default();
    for minute in history.minutes.iter().filter(|minute| minute.minute >= first.plus(-window.history)) {
        let arm = arm(window, &plan, false, |place| minute.measured.get(place).cloned().flatten());
        recorded.lines.push(line(minute.minute, Some(arm), None));
    }
    recorded.history_minutes = recorded.lines.len();
    let baseline = arms(source, window, &plan, Of::Baseline(&window.baseline)).await?;
    let canary = arms(source, window, &plan, canary).await?;
    let (mut baseline, mut canary) = (baseline.into_iter().peekable(), canary.into_iter().peekable());
    for minute in (first.index()..window.until.index()).map(Minute::from_index) {
        let of = |arms: &mut std::iter::Peekable<std::vec::IntoIter<(Minute, Arm)>>| {
            while arms.next_if(|(at, _)| *at < minute).is_some() {}
            arms.next_if(|(at, _)| *at == minute).map(|(_, arm)| arm)
        };
        let (old, new) = (of(&mut baseline), of(&mut canary));
        recorded.minutes += usize::from(old.is_some() && new.is_some());
        if old.is_some() || new.is_some() {
            recorded.lines.push(line(minute, old, new));
        }
    }
    recorded.left_out = left_out(window, &recorded.lines);
    Ok(recorded)
}

/// The edges, and the past by them. Without any history to be recorded, a day still says where edges belong.
async fn look_back(
    source: &impl MetricSource,
    window: &Window,
    unknown: &JudgePlan,
    first: Minute,
) -> Result<(JudgePlan, History), Fault> {
    let from = first.plus(-window.history.max(DAY));
    let mut plan = past(window, unknown, from, first)
        .with_edges(&read(source, &past(window, unknown, from, first).quantile_queries()).await?);
    let all: Vec<usize> = (0..plan.checks.len()).collect();
    let series = read(source, &past(window, &plan, from, first).queries(&all)).await?;
    let uncountable = past(window, &plan, from, first).uncountable(&all, &series);
    if uncountable.is_empty() {
        let history = past(window, &plan, from, first).history(&all, &series);
        return Ok((plan, history));
    }
    for place in uncountable {
        if let Some(distribution) = plan.checks.get_mut(place).and_then(|check| check.distribution.as_mut()) {
            distribution.read = ReadBy::Percentiles;
        }
    }
    let series = read(source, &past(window, &plan, from, first).queries(&all)).await?;
    let history = past(window, &plan, from, first).history(&all, &series);
    Ok((plan, history))
}

fn past<'a>(window: &'a Window, plan: &'a JudgePlan, from: Minute, until: Minute) -> Past<'a> {
    Past { spec: &window.spec, plan, baseline: &window.baseline, canary: &window.canary, from, until }
}

/// The weight is not in CloudWatch; the canary's share of the requests tells it.
fn line(minute: Minute, baseline: Option<Arm>, canary: Option<Arm>) -> Line {
    Line { case: None, minute: When::Time(minute), weight: None, baseline, canary }
}

/// One version's minutes that have data, in rising order.
async fn arms(
    source: &impl MetricSource,
    window: &Window,
    plan: &JudgePlan,
    of: Of<'_>,
) -> Result<Vec<(Minute, Arm)>, Fault> {
    let checks = window.spec.checks.iter().zip(&plan.checks);
    let asked: Vec<Asked<'_>> =
        checks.map(|(check, planned)| Asked { check, planned, target: &window.spec.target }).collect();
    let of_each: Vec<Vec<SeriesQuery>> =
        asked.iter().map(|asked| queries(*asked, of, window.from, window.until)).collect();
    let series = read(source, &of_each.concat()).await?;
    let mut rest = series.as_slice();
    let mut own: Vec<Vec<Option<&Series>>> = Vec::new();
    for queries in &of_each {
        let (taken, others) = rest.split_at(queries.len().min(rest.len()));
        own.push(taken.iter().map(Some).collect());
        rest = others;
    }
    let minutes = (window.from.index()..window.until.index()).map(Minute::from_index);
    let arms = minutes.map(|minute| {
        let found = |place: usize| measured(asked[place], of, &own[place], minute);
        (minute, arm(window, plan, matches!(of, Of::Canary(_)), found))
    });
    Ok(arms.filter(|(_, arm)| *arm != Arm::default()).collect())
}

async fn read(source: &impl MetricSource, queries: &[SeriesQuery]) -> Result<Vec<Series>, Fault> {
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    source.fetch(queries).await.into_iter().collect()
}

/// What was measured, one per check, in the places that a recording has for it.
fn arm(window: &Window, plan: &JudgePlan, canary: bool, measured: impl Fn(usize) -> Option<Measured>) -> Arm {
    let mut arm = Arm::default();
    for (place, (check, planned)) in window.spec.checks.iter().zip(&plan.checks).enumerate() {
        match (measured(place), &planned.distribution) {
            (Some(Measured::Count(Count { requests, events })), _) => match check.kind {
                CheckKind::Errors { .. } => (arm.requests, arm.errors) = (Some(requests), Some(events)),
                CheckKind::Rate { .. }
                | CheckKind::Latency { .. }
                | CheckKind::Distribution { .. }
                | CheckKind::Mean { .. }
                | CheckKind::Gauge { .. } => {
                    arm.rates.insert(check.name.clone(), Rate { events, requests });
                }
            },
            (Some(Measured::Bins(bins)), Some(distribution)) => {
                let Histogram { edges, counts } = histogram(bins, distribution, canary);
                if matches!(check.kind, CheckKind::Latency { .. }) {
                    arm.latency = Some(Latency { edges, counts });
                } else {
                    arm.distributions.insert(check.name.clone(), Histogram { edges, counts });
                }
            }
            (Some(Measured::Level(level)), _) => {
                arm.levels.insert(check.name.clone(), Readings { readings: level.readings, sum: level.sum });
            }
            (Some(Measured::Bins(_)) | None, _) => {}
        }
    }
    arm
}

fn histogram(bins: Bins, distribution: &PlannedDistribution, canary: bool) -> Histogram {
    let edges = &distribution.edges;
    let edges = if canary { stretched(edges, distribution.stretch) } else { edges.clone() };
    Histogram { edges, counts: bins.counts }
}

fn left_out(window: &Window, lines: &[Line]) -> Vec<String> {
    let known = |name: &str, arm: &Arm| match name {
        "errors" => arm.errors.is_some(),
        "latency" => arm.latency.is_some(),
        name => arm.rates.contains_key(name) || arm.distributions.contains_key(name) || arm.levels.contains_key(name),
    };
    let there = |name: &str| lines.iter().any(|line| line.canary.as_ref().is_some_and(|arm| known(name, arm)));
    let names = window.spec.checks.iter().map(|check| check.name.clone());
    names.filter(|name| !there(name)).collect()
}
