//! From CloudWatch to a recording: what both versions did in a window, and the old one before it.

use crate::analysis::{Bins, Count, Measured};
use crate::metrics::past::Past;
use crate::metrics::{Of, Series, SeriesQuery, count, queries};
use crate::ports::{Fault, MetricSource};
use crate::recording::{Arm, Line, Rate, When};
use crate::spec::{Check, CheckKind, Target, Version};
use crate::units::Minute;

/// What is recorded.
#[derive(Debug, Clone)]
pub struct Window {
    pub target: Target,
    pub checks: Vec<Check>,
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
    /// Checks of which the format has no place, or CloudWatch no data.
    pub left_out: Vec<String>,
}

/// Reads the window's metrics. Minutes before the new version's first request are history.
///
/// # Errors
///
/// The first series that could not be read: half a recording would be taken for a whole one.
pub async fn record(source: &impl MetricSource, window: &Window) -> Result<Recorded, Fault> {
    let canary = arms(source, window, &window.canary).await?;
    let Some(first) = canary.iter().find(|(_, arm)| served(arm)).map(|(minute, _)| *minute) else {
        return Ok(Recorded::default());
    };
    let baseline = arms(source, window, &window.baseline).await?;
    let mut recorded = Recorded::default();
    let past = Past {
        target: &window.target,
        checks: &window.checks,
        baseline: &window.baseline,
        canary: &window.canary,
        from: first.plus(-window.history.max(0)),
        until: first,
    };
    if window.history > 0 {
        let history = past.history(&read(source, &past.queries()).await?);
        for minute in history.minutes {
            let arm = arm(&window.checks, |place| minute.measured.get(place).cloned().flatten());
            recorded.lines.push(line(minute.minute, Some(arm), None));
        }
        recorded.history_minutes = recorded.lines.len();
    }
    let (mut baseline, mut canary) = (baseline.into_iter().peekable(), canary.into_iter().peekable());
    for index in first.index()..window.until.index() {
        let minute = Minute::from_index(index);
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
    recorded.left_out = left_out(&window.checks, &recorded.lines);
    Ok(recorded)
}

/// The weight is not in CloudWatch; the canary's share of the requests tells it.
fn line(minute: Minute, baseline: Option<Arm>, canary: Option<Arm>) -> Line {
    Line { case: None, minute: When::Time(minute), weight: None, baseline, canary }
}

fn served(arm: &Arm) -> bool {
    arm.requests.into_iter().chain(arm.rates.values().map(|rate| rate.requests)).any(|requests| requests > 0.0)
}

/// One version's minutes that have data, in rising order.
async fn arms(source: &impl MetricSource, window: &Window, version: &Version) -> Result<Vec<(Minute, Arm)>, Fault> {
    let of = |check: &Check| queries(check, &window.target, Of::Version(version), window.from, window.until);
    let asked: Vec<Vec<SeriesQuery>> = window.checks.iter().map(of).collect();
    let series = read(source, &asked.concat()).await?;
    let mut rest = series.as_slice();
    let mut own: Vec<Vec<Option<&Series>>> = Vec::new();
    for queries in &asked {
        let (taken, others) = rest.split_at(queries.len().min(rest.len()));
        own.push(taken.iter().map(Some).collect());
        rest = others;
    }
    let minutes = (window.from.index()..window.until.index()).map(Minute::from_index);
    let arms = minutes.map(|minute| {
        let of_check = |place: usize| count(&window.checks[place], &own[place], minute).map(Measured::Count);
        (minute, arm(&window.checks, of_check))
    });
    Ok(arms.filter(|(_, arm)| *arm != Arm::default()).collect())
}

async fn read(source: &impl MetricSource, queries: &[SeriesQuery]) -> Result<Vec<Series>, Fault> {
    source.fetch(queries).await.into_iter().collect()
}

/// What was measured, one per check, in the places that a recording has for it.
fn arm(checks: &[Check], measured: impl Fn(usize) -> Option<Measured>) -> Arm {
    let mut arm = Arm::default();
    for (place, check) in checks.iter().enumerate() {
        match (&check.kind, measured(place)) {
            (CheckKind::Errors { .. }, Some(Measured::Count(Count { requests, events }))) => {
                arm.requests = Some(requests);
                arm.errors = Some(events);
            }
            (CheckKind::Rate { .. }, Some(Measured::Count(Count { requests, events }))) => {
                arm.rates.insert(check.name.clone(), Rate { events, requests });
            }
            // Bins are of no use without the edges that a rollout fixes at its start.
            (_, None | Some(Measured::Count(_) | Measured::Bins(Bins { .. }) | Measured::Level(_))) => {}
        }
    }
    arm
}

fn left_out(checks: &[Check], lines: &[Line]) -> Vec<String> {
    let known = |check: &Check, arm: &Arm| match check.kind {
        CheckKind::Errors { .. } => arm.errors.is_some(),
        CheckKind::Rate { .. } => arm.rates.contains_key(&check.name),
        CheckKind::Latency { .. } => arm.latency.is_some(),
    };
    let there = |check: &Check| lines.iter().any(|line| line.canary.as_ref().is_some_and(|arm| known(check, arm)));
    checks.iter().filter(|check| !there(check)).map(|check| check.name.clone()).collect()
}
