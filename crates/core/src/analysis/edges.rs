//! Where a distribution's bins lie, and how requests that were counted at other edges are put into them.
//!
//! Edges are chosen once, before the rollout, from the old version's quantiles. The canary is counted at edges that are
//! [stretched] by the tolerated slowdown, so that equal bins of both versions mean "as slow as tolerated". A bin
//! is lower-exclusive and upper-inclusive, the last one is open, as CloudWatch's `TC(a:b)` counts.

use super::{JudgePlan, PlannedCheck};

/// Quantiles of the old version's last hour that become edges. Together with twice the p99 they make 17 edges, that is
/// 17 CloudWatch statistics for each version.
const QUANTILES: [f64; 16] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995, 0.999];

/// Edges for a metric of which nothing is known: three in each decade, from 1 to 200,000.
const UNKNOWN: [f64; 17] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5];

/// Two edges that differ by less than this share of themselves are one edge: two programs that stretch the same edge
/// may round differently.
const SAME: f64 = 5e-5;

/// The quantiles whose values [`choose_edges`] wants to know of the old version's last hour, rising. Those of the check
/// are among them: each takes the place of the nearest one that is not asked for.
#[must_use]
pub fn edge_quantiles(check: &PlannedCheck) -> Vec<f64> {
    let at = check.distribution.as_ref().map(|distribution| distribution.at.as_slice()).unwrap_or_default();
    let mut quantiles = QUANTILES.to_vec();
    for asked in at.iter().map(|at| at.quantile).filter(|quantile| (1e-6..1.0 - 1e-6).contains(quantile)) {
        let is_asked = |quantile: f64| at.iter().any(|at| same(at.quantile, quantile));
        let places = quantiles.iter_mut().filter(|quantile| same(**quantile, asked) || !is_asked(**quantile));
        let distance = |quantile: &f64| (logit(*quantile) - logit(asked)).abs();
        if let Some(nearest) = places.min_by(|a, b| distance(a).total_cmp(&distance(b))) {
            *nearest = asked;
        }
    }
    quantiles.sort_by(f64::total_cmp);
    quantiles.dedup();
    quantiles
}

/// Fixes a check's edges by the old version's quantiles, given as pairs of quantile and value. Without a single
/// usable value the edges are fixed ones, which fit any metric badly and none not at all. A plan whose check is not a
/// distribution stays as it is.
#[must_use]
pub fn choose_edges(plan: &JudgePlan, check: usize, quantiles: &[(f64, f64)]) -> JudgePlan {
    let mut plan = plan.clone();
    let Some(distribution) = plan.checks.get_mut(check).and_then(|check| check.distribution.as_mut()) else {
        return plan;
    };
    let known = rising(quantiles);
    distribution.edges = edges(&known);
    for at in &mut distribution.at {
        let value = known.iter().find(|(quantile, _)| same(*quantile, at.quantile)).map(|(_, value)| *value);
        at.edge = value.and_then(|value| distribution.edges.iter().copied().find(|edge| same(*edge, value)));
    }
    plan
}

/// Takes the edges at which a recording counts its old version.
#[must_use]
pub fn take_edges(plan: &JudgePlan, check: usize, edges: &[f64]) -> JudgePlan {
    let mut plan = plan.clone();
    if let Some(distribution) = plan.checks.get_mut(check).and_then(|check| check.distribution.as_mut()) {
        distribution.edges = edges.to_vec();
        distribution.at.iter_mut().for_each(|at| at.edge = None);
    }
    plan
}

/// The edges at which the canary is counted: higher by the tolerated share.
#[must_use]
pub fn stretched(edges: &[f64], stretch: f64) -> Vec<f64> {
    edges.iter().map(|edge| edge * (1.0 + stretch)).collect()
}

/// Requests counted at the edges `from`, put into bins at the edges `to`. Edges that are the same already are taken as
/// they are, and so is every edge that both have.
///
/// Inside a bin, requests are taken to lie evenly on a logarithmic scale; in the first one, which begins at 0, evenly;
/// the last one, which has no end, is taken to be as wide on the logarithmic scale as the one below it, and at least a
/// doubling. What is put in a wrong place by this costs a proof its sharpness, and can do harm only one way: the
/// canary's share above a stretched edge may be off by a part of one bin. Where both versions are counted at equal
/// edges, the canary's requests above a stretched edge are never more than those above the edge itself, so a release
/// that is no slower still fails with no more than the promised probability.
///
/// `None` when the numbers do not fit together: not one bin more than edges, or edges that do not rise.
#[must_use]
pub fn rebinned(counts: &[f64], from: &[f64], to: &[f64]) -> Option<Vec<f64>> {
    if counts.len() != from.len() + 1 || from.is_empty() || to.is_empty() || !rises(from) || !rises(to) {
        return None;
    }
    if from.len() == to.len() && from.iter().zip(to).all(|(a, b)| same(*a, *b)) {
        return Some(counts.to_vec());
    }
    let total: f64 = counts.iter().sum();
    let mut below = 0.0;
    let mut bins = Vec::with_capacity(to.len() + 1);
    for edge in to {
        let up_to = up_to(counts, from, *edge).clamp(below, total.max(below));
        bins.push(up_to - below);
        below = up_to;
    }
    bins.push((total - below).max(0.0));
    Some(bins)
}

/// Requests at or below `value`.
fn up_to(counts: &[f64], edges: &[f64], value: f64) -> f64 {
    // The bin that has the value: the first whose upper edge is not below it.
    let bin = edges.iter().position(|edge| *edge >= value || same(*edge, value)).unwrap_or(edges.len());
    let before: f64 = counts.iter().take(bin).sum();
    let inside = counts.get(bin).copied().unwrap_or(0.0);
    let lower = bin.checked_sub(1).and_then(|below| edges.get(below));
    let part = match (lower, edges.get(bin)) {
        (_, Some(upper)) if same(*upper, value) => 1.0,
        (None, Some(upper)) => value / upper,
        (Some(lower), Some(upper)) => (value / lower).ln() / (upper / lower).ln(),
        (Some(last), None) => (value / last).ln() / open_bin(edges).ln(),
        (None, None) => 1.0,
    };
    before + inside * part.clamp(0.0, 1.0)
}

/// How many times its lower edge the open bin's upper end is taken to be.
fn open_bin(edges: &[f64]) -> f64 {
    match edges {
        [.., before, last] => (last / before).max(2.0),
        [] | [_] => 2.0,
    }
}

fn edges(known: &[(f64, f64)]) -> Vec<f64> {
    let tail = known.iter().find(|(quantile, _)| *quantile >= 0.99 || same(*quantile, 0.99));
    let far = tail.or(known.last()).map(|(_, value)| rounded(2.0 * value));
    let mut edges: Vec<f64> = known.iter().map(|(_, value)| *value).chain(far).collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup_by(|a, b| same(*a, *b));
    if edges.is_empty() { UNKNOWN.to_vec() } else { edges }
}

/// By quantile, with values that can be edges, none lower than the one before. Different statistics of one hour may
/// contradict each other by an interpolation.
fn rising(quantiles: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let usable = |(quantile, value): &&(f64, f64)| (0.0..=1.0).contains(quantile) && (1e-9..=1e15).contains(value);
    let mut known: Vec<(f64, f64)> = quantiles.iter().filter(usable).copied().collect();
    known.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut most = 0.0;
    for (_, value) in &mut known {
        *value = rounded(value.max(most));
        most = *value;
    }
    known
}

/// To four digits: people read them, and CloudWatch takes ten decimals.
fn rounded(value: f64) -> f64 {
    let unit = 10_f64.powf(value.log10().floor() - 3.0);
    let rounded = (value / unit).round() * unit;
    // Multiplying by 0.1 leaves 123.40000000000001; what is written with so few digits reads back as it should be.
    format!("{rounded:.10}").parse().unwrap_or(rounded)
}

fn rises(edges: &[f64]) -> bool {
    let finite = edges.iter().all(|edge| edge.is_finite() && *edge > 0.0);
    finite && edges.windows(2).all(|pair| pair[0] < pair[1])
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= SAME * a.abs().max(b.abs())
}

/// ln of the odds.
pub(super) fn logit(share: f64) -> f64 {
    (share / (1.0 - share)).ln()
}
