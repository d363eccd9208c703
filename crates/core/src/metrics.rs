//! What is read from CloudWatch, as data: which series a check needs, and how they become counts.
//!
//! Missing is never zero. A minute counts only when every series it needs has a sane value for it; the counters of a load
//! balancer, which has no datapoint where there was nothing to count, are the one exception (see `metrics/alb.rs`).

mod alb;
mod bins;
mod lambda;
pub mod past;
mod query;
pub mod shifts;
pub mod week;

use bins::{Sampled, Span};

use crate::analysis::{Count, Level, Load, Measured, PlannedCheck};
use crate::spec::{Check, CheckKind, MetricRef, RateCounts, Target, Version};
use crate::units::Minute;

pub use lambda::{Bypass, bypass_problem};
pub use query::{Bound, Period, Series, SeriesQuery, Stat};

/// Whose requests a series is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of<'a> {
    /// A version beside the other: what reached it through the target.
    Baseline(&'a Version),
    /// The same; a distribution's edges are stretched.
    Canary(&'a Version),
    /// A version that had the whole target: what reached the target. Lambda may have no series per version while one has
    /// all the traffic; a target group has its own at any time.
    Alone(&'a Version),
}

impl<'a> Of<'a> {
    fn version(self) -> &'a Version {
        match self {
            Self::Baseline(version) | Self::Canary(version) | Self::Alone(version) => version,
        }
    }
}

/// A check with its plan.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub check: &'a Check,
    pub planned: &'a PlannedCheck,
    pub target: &'a Target,
}

/// The series of one version, in one minute.
#[derive(Debug, Clone, Copy)]
struct InMinute<'a> {
    series: &'a [Option<&'a Series>],
    minute: Minute,
}

impl InMinute<'_> {
    fn value(self, place: usize) -> Option<f64> {
        self.series.get(place).copied().flatten()?.get(&self.minute).copied()
    }

    /// 0 without a datapoint, for what is only told of where there is any. Still `None` for a series that could not be
    /// read, and for a value that is no count.
    fn or_zero(self, place: usize) -> Option<f64> {
        let value = self.series.get(place).copied().flatten()?.get(&self.minute).copied().unwrap_or(0.0);
        (value.is_finite() && value >= 0.0).then_some(value)
    }
}

/// What a check needs to know of one version. Nothing for a distribution without edges.
#[must_use]
pub fn queries(asked: Asked<'_>, of: Of<'_>, from: Minute, until: Minute) -> Vec<SeriesQuery> {
    let span = Span { period: Period::Minute, from, until };
    let named = |metric: &MetricRef| filled_in(metric, asked.target, of.version());
    let series: Option<Vec<(MetricRef, Stat)>> = match &asked.check.kind {
        CheckKind::Errors { .. } => match asked.target {
            Target::Lambda(lambda) => Some(lambda::errors(lambda, of)),
            Target::Alb(target) => alb::errors(target, of.version()),
        },
        CheckKind::Rate { counts, requests, .. } => {
            let (RateCounts::Events(events) | RateCounts::GoodEvents(events)) = counts;
            [events, requests].into_iter().map(|metric| Some((named(metric)?, Stat::Sum))).collect()
        }
        CheckKind::Mean { metric } | CheckKind::Gauge { metric, .. } => {
            named(metric).map(|metric| vec![(metric.clone(), Stat::Sum), (metric, Stat::SampleCount)])
        }
        CheckKind::Latency { .. } | CheckKind::Distribution { .. } => {
            let Some((sampled, edges)) = sampled(asked, of) else { return Vec::new() };
            return bins::queries(&sampled, asked.planned, &edges, span);
        }
    };
    series.unwrap_or_default().iter().map(|(metric, stat)| span.query(metric, *stat)).collect()
}

/// What one version's minute brought, from the series of [`queries`] in the same order.
#[must_use]
pub fn measured(asked: Asked<'_>, of: Of<'_>, series: &[Option<&Series>], minute: Minute) -> Option<Measured> {
    let seen = InMinute { series, minute };
    match &asked.check.kind {
        CheckKind::Errors { .. } => {
            let count = match asked.target {
                Target::Lambda(_) => lambda::failed(seen),
                Target::Alb(_) => alb::failed(seen),
            };
            count.map(Measured::Count)
        }
        CheckKind::Rate { counts, absent_is_zero, .. } => rate(counts, *absent_is_zero, seen).map(Measured::Count),
        CheckKind::Mean { .. } | CheckKind::Gauge { .. } => level(seen).map(Measured::Level),
        CheckKind::Latency { .. } | CheckKind::Distribution { .. } => {
            let (sampled, edges) = sampled(asked, of)?;
            bins::bins(&sampled, asked.planned, &edges, seen).map(Measured::Bins)
        }
    }
}

/// A distribution's metric, and the edges by which a version is counted; `None` for any other check.
fn sampled(asked: Asked<'_>, of: Of<'_>) -> Option<(Sampled, Vec<f64>)> {
    let distribution = asked.planned.distribution.as_ref()?;
    let edges = bins::edges_of(distribution, matches!(of, Of::Canary(_)));
    let sampled = match &asked.check.kind {
        CheckKind::Latency { .. } => match asked.target {
            Target::Lambda(lambda) => lambda::durations(lambda, of),
            Target::Alb(target) => alb::durations(target, of.version())?,
        },
        CheckKind::Distribution { metric, .. } => {
            Sampled { metric: filled_in(metric, asked.target, of.version())?, scale: 1.0, told: None }
        }
        CheckKind::Errors { .. } | CheckKind::Rate { .. } | CheckKind::Mean { .. } | CheckKind::Gauge { .. } => {
            return None;
        }
    };
    Some((sampled, edges))
}

/// A level's readings in one minute: their sum, and how many there were.
fn level(seen: InMinute<'_>) -> Option<Level> {
    Level::new(seen.value(1)?, seen.value(0)?)
}

/// One version's rate in one minute. An event metric without a datapoint is missing even where there were requests, for
/// nobody knows whether it is sent as zero, unless the spec says that it is not (`absentIsZero`). A load balancer's
/// counters are known to be left out.
fn rate(counts: &RateCounts, absent_is_zero: bool, seen: InMinute<'_>) -> Option<Count> {
    let (RateCounts::Events(metric) | RateCounts::GoodEvents(metric)) = counts;
    let requests = seen.value(1)?;
    let of_balancer = alb::counts(metric);
    let events = if absent_is_zero || of_balancer { seen.or_zero(0)? } else { seen.value(0)? };
    match counts {
        RateCounts::Events(_) if of_balancer => alb::at_most(requests, events),
        RateCounts::Events(_) => Count::new(requests, events),
        RateCounts::GoodEvents(_) => {
            let good = Count::new(requests, events)?;
            Count::new(requests, requests - good.events)
        }
    }
}

/// How much traffic a target got before the start.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Traffic {
    pub requests: f64,
    /// Requests that the service got in another way, which is neither shifted nor judged; `None` where nobody counts
    /// them.
    pub around: Option<f64>,
    pub errors: f64,
    /// Minutes in which there were requests.
    pub minutes_with_data: usize,
    /// Minutes that were looked at.
    pub minutes: u32,
}

/// What [`traffic`] reads. `live`: the version that has the traffic.
#[must_use]
pub fn history_queries(target: &Target, live: &Version, from: Minute, until: Minute) -> Vec<SeriesQuery> {
    let metrics = match target {
        Target::Lambda(lambda) => lambda::history(lambda),
        Target::Alb(target) => alb::counters(target, live).unwrap_or_default(),
    };
    let span = Span { period: Period::Minute, from, until };
    metrics.iter().map(|metric| span.query(metric, Stat::Sum)).collect()
}

/// The traffic from `from` up to, not including, `until`, from the series of [`history_queries`] in the same order.
/// `None` when a series could not be read. A series without datapoints was read: nobody came.
#[must_use]
pub fn traffic(target: &Target, series: &[Option<&Series>], from: Minute, until: Minute) -> Option<Traffic> {
    let series: Vec<&Series> = series.iter().copied().collect::<Option<_>>()?;
    let (all, own) = match target {
        Target::Lambda(_) => series.split_first().map(|(all, own)| (Some(*all), own))?,
        Target::Alb(_) => (None, series.as_slice()),
    };
    let (requests, errors) = own.split_first()?;
    let values = |series: &Series| -> Vec<f64> {
        series.range(from..until.max(from)).map(|(_, value)| *value).filter(|v| v.is_finite() && *v > 0.0).collect()
    };
    let sum = |series: &Series| values(series).iter().sum::<f64>();
    let requested = values(requests);
    let requests = requested.iter().sum();
    Some(Traffic {
        requests,
        around: all.map(|all| (sum(all) - requests).max(0.0)),
        errors: errors.iter().map(|series| sum(series)).sum(),
        minutes_with_data: requested.len(),
        minutes: u32::try_from(until.minutes_since(from).max(0)).unwrap_or(u32::MAX),
    })
}

impl Traffic {
    /// What a forecast needs; `None` when nobody came.
    #[must_use]
    pub fn load(&self) -> Option<Load> {
        (self.requests > 0.0 && self.minutes > 0).then(|| Load {
            requests_per_minute: self.requests / f64::from(self.minutes),
            error_rate: (self.errors / self.requests).min(1.0),
        })
    }
}

/// A metric of the spec with its placeholders filled in; `None` for a version that has no such names.
pub(crate) fn filled_in(metric: &MetricRef, target: &Target, version: &Version) -> Option<MetricRef> {
    let words = match target {
        Target::Lambda(lambda) => lambda::placeholders(lambda, version),
        Target::Alb(target) => alb::placeholders(target, version)?,
    };
    let fill = |text: &str| words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value));
    let dimensions = metric.dimensions.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
    Some(MetricRef { dimensions, ..metric.clone() })
}

#[cfg(test)]
mod tests;
