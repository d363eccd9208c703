//! What a distribution's past says, minute by minute and bin by bin.

use crate::units::Minute;

use super::edges::{rebinned, stretched};
use super::history::{DistributionHistory, History, Learned};
use super::stats::{Dispersion, Exposure, PastMinute, Reference, mid_ranks};
use super::{Bins, PlannedCheck};

/// How long CloudWatch keeps minutes.
const MOST_MINUTES: i64 = 15 * 24 * 60;

/// Minutes of the past that say what is expected of the rollout's first ones.
const RECENT_MINUTES: i64 = 60;

/// `None` without any minute that was counted by the plan's edges.
pub(super) fn learn(check: &PlannedCheck, index: usize, history: &History) -> Option<Learned> {
    let distribution = check.distribution.as_ref()?;
    let edges = &distribution.edges;
    let minutes = counted(index, history, edges.len() + 1);
    let last = minutes.last()?.0;
    let first = minutes.first()?.0.max(last.plus(1 - MOST_MINUTES));
    let counts = total(edges.len() + 1, &minutes);
    let requests: f64 = counts.iter().sum();
    if edges.is_empty() || requests <= 0.0 {
        return None;
    }
    let past = |score: &dyn Fn(&[f64]) -> PastMinute| gapless(first, last, &minutes, score);
    let mut set_aside = Vec::new();
    let mut dispersion = |score: &dyn Fn(&[f64]) -> PastMinute| {
        let (learned, aside) = Dispersion::learn(&past(score), Exposure::Requests);
        set_aside.extend(aside);
        learned
    };
    let above = (0..edges.len()).map(|edge| dispersion(&|bins| requests_above(bins, edge))).collect();
    let scores = mid_ranks(&counts);
    let ranks = dispersion(&|bins| ranked(bins, &scores));
    set_aside.sort_unstable();
    set_aside.dedup();
    let since = |offset: usize| i64::try_from(offset).map_or(last, |offset| first.plus(offset));
    let recent = minutes.iter().filter(|(minute, _)| last.minutes_since(*minute) < RECENT_MINUTES);
    let recent = Reference::of(counts.len(), recent.map(|(minute, bins)| (minute.index(), bins.counts.as_slice())));
    let seen = history.stretched.get(index).and_then(Option::as_ref).filter(|bins| bins.counts.len() == counts.len());
    let stretched = seen.map(|bins| bins.counts.clone());
    let stretched = stretched.or_else(|| rebinned(&counts, edges, &stretched_edges(distribution)))?;
    Some(Learned {
        minutes: u32::try_from(minutes.len()).unwrap_or(u32::MAX),
        set_aside: set_aside.into_iter().map(since).collect(),
        events: None,
        distribution: Some(DistributionHistory { recent: recent.bins().to_vec(), counts, stretched, above, ranks }),
    })
}

fn stretched_edges(distribution: &super::PlannedDistribution) -> Vec<f64> {
    stretched(&distribution.edges, distribution.stretch)
}

/// The minutes that have as many bins as they should, and requests in them.
fn counted(index: usize, history: &History, bins: usize) -> Vec<(Minute, &Bins)> {
    let minutes = history.minutes.iter().filter_map(|minute| {
        let measured = minute.measured.get(index)?.as_ref()?;
        Some((minute.minute, measured.bins()?))
    });
    let mut last = None;
    let mut once = |minute: Minute| last.replace(minute).is_none_or(|last| last < minute);
    minutes
        .filter(|(_, found)| found.counts.len() == bins && found.requests() > 0.0)
        .filter(|(m, _)| once(*m))
        .collect()
}

fn total(bins: usize, minutes: &[(Minute, &Bins)]) -> Vec<f64> {
    let mut total = vec![0.0; bins];
    for (_, found) in minutes {
        total.iter_mut().zip(&found.counts).for_each(|(sum, count)| *sum += count);
    }
    total
}

/// Every minute from the first to the last, oldest first; those without data have no requests.
fn gapless(
    first: Minute,
    last: Minute,
    minutes: &[(Minute, &Bins)],
    score: &dyn Fn(&[f64]) -> PastMinute,
) -> Vec<PastMinute> {
    let length = usize::try_from(last.minutes_since(first).saturating_add(1)).unwrap_or(0);
    let mut past = vec![PastMinute::default(); length];
    for (minute, bins) in minutes {
        let place = usize::try_from(minute.minutes_since(first)).ok().and_then(|place| past.get_mut(place));
        if let Some(place) = place {
            *place = score(&bins.counts);
        }
    }
    past
}

fn requests_above(bins: &[f64], edge: usize) -> PastMinute {
    let (below, above) = bins.split_at((edge + 1).min(bins.len()));
    let above: f64 = above.iter().sum();
    PastMinute::events(below.iter().sum::<f64>() + above, above)
}

fn ranked(bins: &[f64], scores: &[f64]) -> PastMinute {
    let sum = |power: i32| bins.iter().zip(scores).map(|(count, score)| count * score.powi(power)).sum();
    PastMinute { requests: bins.iter().sum(), sum: sum(1), squares: sum(2) }
}
