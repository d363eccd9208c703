//! A distribution in one minute: how many requests lie in each bin, and whether all of them are told of yet.

use super::{Bound, InMinute, Period, Series, SeriesQuery, Stat};
use crate::analysis::{Bins, PlannedCheck, PlannedDistribution, ReadBy, edge_quantiles, stretched};
use crate::spec::MetricRef;
use crate::units::Minute;

/// What the sum of the bins may differ from the number of samples, as a share, and in samples: CloudWatch interpolates.
const ROUNDING: f64 = 0.005;
const ROUNDING_SAMPLES: f64 = 0.5;

/// How much of the past shows whether CloudWatch can count.
const PROBED_MINUTES: i64 = 60;

/// Requests of the past that make its quantiles worth something: ten above the p99.
const ENOUGH_REQUESTS: f64 = 1000.0;

/// A distribution's metric, and what else says how many samples there are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sampled {
    pub metric: MetricRef,
    /// What one of the metric is in the unit of the edges: 1000 for seconds and edges in milliseconds.
    pub scale: f64,
    pub told: Option<Told>,
}

/// How it is known that a minute's samples are all there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    /// Counts every request, whether the other metric has it already or not.
    pub requests: MetricRef,
    /// Counters of requests that never have a sample; absent is zero.
    pub unsampled: Vec<MetricRef>,
    /// The share of the requests that must have a sample or be among those.
    pub share: f64,
}

impl Sampled {
    /// How many series come before those of the bins.
    fn ahead(&self) -> usize {
        1 + self.told.as_ref().map_or(0, |told| 1 + told.unsampled.len())
    }

    /// Whether the samples of a minute are as many as they should be. A NaN is not at least anything.
    fn complete(&self, samples: f64, seen: InMinute<'_>) -> Option<bool> {
        let Some(told) = &self.told else { return Some(true) };
        let unsampled: Option<Vec<f64>> = (0..told.unsampled.len()).map(|place| seen.or_zero(2 + place)).collect();
        Some(samples + unsampled?.iter().sum::<f64>() >= told.share * seen.value(1)?)
    }
}

/// Where the series of one version lie: samples; requests and those without a sample, if anything tells; then bins or
/// percentiles.
pub(super) fn queries(sampled: &Sampled, check: &PlannedCheck, edges: &[f64], span: Span) -> Vec<SeriesQuery> {
    let Some(distribution) = &check.distribution else { return Vec::new() };
    let Some(parts) = parts(sampled, check, distribution, edges) else { return Vec::new() };
    let mut all = vec![span.query(&sampled.metric, Stat::SampleCount)];
    let told = sampled.told.iter().flat_map(|told| [&told.requests].into_iter().chain(&told.unsampled));
    all.extend(told.map(|metric| span.query(metric, Stat::Sum)));
    all.extend(parts.into_iter().map(|stat| span.query(&sampled.metric, stat)));
    all
}

/// The edges by which a version is counted: the canary's are stretched.
pub(super) fn edges_of(distribution: &PlannedDistribution, canary: bool) -> Vec<f64> {
    if canary { stretched(&distribution.edges, distribution.stretch) } else { distribution.edges.clone() }
}

/// `None` without edges, or with some that cannot be asked for.
fn parts(
    sampled: &Sampled,
    check: &PlannedCheck,
    distribution: &PlannedDistribution,
    edges: &[f64],
) -> Option<Vec<Stat>> {
    match distribution.read {
        ReadBy::Counts => between(edges, sampled.scale),
        ReadBy::Percentiles => percentiles(&edge_quantiles(check)),
    }
}

fn between(edges: &[f64], scale: f64) -> Option<Vec<Stat>> {
    if edges.is_empty() {
        return None;
    }
    let bounds: Vec<Bound> = edges.iter().map(|edge| Bound::new(edge / scale)).collect::<Option<_>>()?;
    let below = [None].into_iter().chain(bounds.iter().copied().map(Some));
    let above = bounds.iter().copied().map(Some).chain([None]);
    Some(below.zip(above).map(|(above, up_to)| Stat::Between(above, up_to)).collect())
}

fn percentiles(quantiles: &[f64]) -> Option<Vec<Stat>> {
    quantiles.iter().map(|quantile| Some(Stat::Percentile(Bound::new(100.0 * quantile)?))).collect()
}

/// One version's minute; `None` when there is none, when a series could not be read, and while not every request is told
/// of: what is late is not fast.
pub(super) fn bins(sampled: &Sampled, check: &PlannedCheck, edges: &[f64], seen: InMinute<'_>) -> Option<Bins> {
    let samples = samples(seen)?;
    if !sampled.complete(samples, seen)? {
        return None;
    }
    match check.distribution.as_ref()?.read {
        ReadBy::Counts => {
            let counts = counts(sampled, seen)?;
            let complete = counts.len() == edges.len() + 1 && adds_up(counts.iter().sum(), samples);
            if complete { Bins::new(counts) } else { None }
        }
        ReadBy::Percentiles => {
            let values = values(sampled, seen)?;
            let known: Option<Vec<(f64, f64)>> = edge_quantiles(check)
                .into_iter()
                .zip(values)
                .map(|(quantile, value)| Some((quantile, sampled.scale * value?)))
                .collect();
            Bins::new(from_percentiles(&known?, samples, edges)?)
        }
    }
}

fn samples(seen: InMinute<'_>) -> Option<f64> {
    seen.value(0).filter(|samples| samples.is_finite() && *samples > 0.0)
}

/// CloudWatch need not have a point for a bin without samples; whether that was the reason shows in the sum.
fn counts(sampled: &Sampled, seen: InMinute<'_>) -> Option<Vec<f64>> {
    Some(values(sampled, seen)?.into_iter().map(|value| value.unwrap_or(0.0)).collect())
}

fn values(sampled: &Sampled, seen: InMinute<'_>) -> Option<Vec<Option<f64>>> {
    let parts = seen.series.get(sampled.ahead()..)?;
    parts.iter().map(|series| Some((*series)?.get(&seen.minute).copied())).collect()
}

/// Bins from percentiles, for metrics that CloudWatch cannot count between bounds: what lies between two percentiles is
/// taken to lie evenly on a logarithmic scale, all of it at one value where they coincide, and what lies above the last
/// one as far up as twice that.
///
/// Weaker than counts: a bin is off by what the requests between two percentiles really did, for both versions alike
/// as long as they are alike. So a version that is the same does not look different, but the promised probabilities
/// rest on that, and a slow path that lies wholly above the last percentile is seen late.
///
/// `None` for percentiles that are not rising numbers.
fn from_percentiles(known: &[(f64, f64)], samples: f64, edges: &[f64]) -> Option<Vec<f64>> {
    let (last_quantile, last) = *known.last()?;
    let rises = known.windows(2).all(|pair| pair[0].1 <= pair[1].1);
    if edges.is_empty() || !rises || known.iter().any(|(_, value)| !value.is_finite() || *value < 0.0) {
        return None;
    }
    let mut segments = Vec::with_capacity(known.len() + 1);
    let mut below = (0.0, 0.0);
    for (quantile, value) in known.iter().copied().chain([(1.0, 2.0 * last)]) {
        segments.push((below.1, value, (quantile - below.0).max(0.0) * samples));
        below = (quantile, value);
    }
    if last_quantile >= 1.0 {
        segments.pop();
    }
    let up_to = |edge: f64| segments.iter().map(|(from, to, mass)| mass * part_below(*from, *to, edge)).sum::<f64>();
    let cumulated: Vec<f64> = edges.iter().map(|edge| up_to(*edge)).chain([samples]).collect();
    let mut before = 0.0;
    let count = |up_to: f64| {
        let count = (up_to - before).max(0.0);
        before = up_to.max(before);
        count
    };
    Some(cumulated.into_iter().map(count).collect())
}

/// The share of what lies above `from` and up to `to` that is not above `edge`.
fn part_below(from: f64, to: f64, edge: f64) -> f64 {
    if edge >= to {
        1.0
    } else if edge <= from {
        0.0
    } else if from > 0.0 {
        (edge / from).ln() / (to / from).ln()
    } else {
        edge / to
    }
}

fn adds_up(counted: f64, samples: f64) -> bool {
    (counted - samples).abs() <= ROUNDING * samples + ROUNDING_SAMPLES
}

/// Whether the bins of the newest hour add up to the samples: whether CloudWatch can count this metric at all. `None`
/// without a sample.
pub(super) fn probe(sampled: &Sampled, series: &[Option<&Series>]) -> Option<bool> {
    let (mut counted, mut sampled_in_all) = (0.0, 0.0);
    let minutes = series.first().copied().flatten()?;
    let since = minutes.last_key_value()?.0.plus(-PROBED_MINUTES);
    let minutes = minutes.range(since..).map(|(minute, _)| *minute);
    for minute in minutes {
        let seen = InMinute { series, minute };
        if let (Some(samples), Some(counts)) = (samples(seen), counts(sampled, seen)) {
            counted += counts.iter().sum::<f64>();
            sampled_in_all += samples;
        }
    }
    (sampled_in_all > 0.0).then(|| adds_up(counted, sampled_in_all))
}

/// Bins at the stretched edges, for metrics that can be counted.
pub(super) fn stretched_queries(sampled: &Sampled, check: &PlannedCheck, span: Span) -> Vec<SeriesQuery> {
    let counted = check.distribution.as_ref().filter(|distribution| distribution.read == ReadBy::Counts);
    let stats = counted.and_then(|distribution| between(&edges_of(distribution, true), sampled.scale));
    stats.unwrap_or_default().into_iter().map(|stat| span.query(&sampled.metric, stat)).collect()
}

/// Hours whose quantiles tell where the edges should be: samples, then the percentiles.
pub(super) fn quantile_queries(sampled: &Sampled, check: &PlannedCheck, span: Span) -> Vec<SeriesQuery> {
    let Some(percentiles) = percentiles(&edge_quantiles(check)) else { return Vec::new() };
    let stats = [Stat::SampleCount].into_iter().chain(percentiles);
    stats.map(|stat| span.query(&sampled.metric, stat)).collect()
}

/// Quantile and value in the unit of the edges, from the series of [`quantile_queries`]: those of the newest hours that
/// have enough requests together.
pub(super) fn quantiles(sampled: &Sampled, check: &PlannedCheck, series: &[Series]) -> Vec<(f64, f64)> {
    let Some((samples, percentiles)) = series.split_first() else { return Vec::new() };
    let mut left = ENOUGH_REQUESTS;
    let newest = samples.iter().rev().filter(|(_, samples)| samples.is_finite() && **samples > 0.0);
    let hours: Vec<(Minute, f64)> = newest
        .take_while(|(_, samples)| {
            let wanted = left > 0.0;
            left -= **samples;
            wanted
        })
        .map(|(hour, samples)| (*hour, *samples))
        .collect();
    let mean = |percentile: &Series| {
        let known = hours.iter().filter_map(|(hour, samples)| Some((percentile.get(hour)?, samples)));
        let (sum, weight) = known.fold((0.0, 0.0), |(sum, weight), (value, n)| (sum + value * n, weight + n));
        (weight > 0.0).then(|| sampled.scale * sum / weight)
    };
    let pairs = edge_quantiles(check).into_iter().zip(percentiles);
    pairs.filter_map(|(quantile, percentile)| Some((quantile, mean(percentile)?))).collect()
}

/// Of which time a series is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub period: Period,
    pub from: Minute,
    pub until: Minute,
}

impl Span {
    pub fn query(self, metric: &MetricRef, stat: Stat) -> SeriesQuery {
        SeriesQuery { metric: metric.clone(), stat, period: self.period, from: self.from, until: self.until }
    }

    /// The whole hours that have any of it.
    pub fn hours(self) -> Self {
        let until = Period::Hour.start(self.until.plus(Period::Hour.minutes() - 1));
        Self { period: Period::Hour, from: Period::Hour.start(self.from), until }
    }
}

#[cfg(test)]
mod tests;
