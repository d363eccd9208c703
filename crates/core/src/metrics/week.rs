//! A target's last week, hour by hour: for looking at before anything is started.

use std::collections::BTreeMap;

use super::{Period, Series, SeriesQuery, Stat, alb, bins, lambda};
use crate::spec::{MetricRef, Target, Version};
use crate::units::Minute;

/// Hours that are looked at.
pub const HOURS: i64 = 7 * 24;

const MINUTES_PER_HOUR: i64 = 60;
const HOURS_PER_DAY: i64 = 24;
const SECONDS_PER_HOUR: f64 = 3600.0;

/// What the series of [`queries`] say.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Week {
    pub requests: f64,
    pub failed: f64,
    /// Requests a second in the newest hour that is over.
    pub per_second_now: f64,
    /// On average, over the hours in which there were any.
    pub per_second: f64,
    /// The hour of the day (UTC) with the fewest requests, and how many a second it has.
    pub quietest: (u8, f64),
    /// Hours with requests.
    pub hours: u32,
    /// Of the middle hour, by requests. Milliseconds.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
}

impl Week {
    /// The share of requests that failed.
    #[must_use]
    pub fn error_rate(&self) -> f64 {
        if self.requests > 0.0 { (self.failed / self.requests).min(1.0) } else { 0.0 }
    }
}

/// The hours that are over by a minute: from and until.
fn span(now: Minute) -> (Minute, Minute) {
    let until = Period::Hour.start(now);
    (until.plus(-HOURS * MINUTES_PER_HOUR), until)
}

/// What of a version is counted: requests first, then each kind of failure.
fn counters(target: &Target, version: &Version) -> Vec<MetricRef> {
    match target {
        // The first one is what goes around the alias.
        Target::Lambda(alias) => lambda::history(alias).into_iter().skip(1).collect(),
        Target::Alb(balancer) => alb::counters(balancer, version).unwrap_or_default(),
    }
}

/// An alias counts all its requests, a target group its own: `live` are the versions that had the target.
fn versions<'a>(target: &Target, live: &'a [Version]) -> &'a [Version] {
    let most = match target {
        Target::Lambda(_) => 1,
        Target::Alb(_) => live.len(),
    };
    live.get(..most).unwrap_or(live)
}

/// What to read. The first version is the one that is live now.
#[must_use]
pub fn queries(target: &Target, live: &[Version], now: Minute) -> Vec<SeriesQuery> {
    let (from, until) = span(now);
    let query = |metric: MetricRef, stat| SeriesQuery { metric, stat, period: Period::Hour, from, until };
    let counted = versions(target, live).iter().flat_map(|version| counters(target, version));
    let mut queries: Vec<SeriesQuery> = counted.map(|metric| query(metric, Stat::Sum)).collect();
    if let Some(sampled) = live.first().and_then(|version| durations(target, version)) {
        let quantiles = [50.0, 99.0].into_iter().filter_map(super::Bound::new);
        queries.extend(quantiles.map(|percent| query(sampled.metric.clone(), Stat::Percentile(percent))));
    }
    queries
}

fn durations(target: &Target, version: &Version) -> Option<bins::Sampled> {
    match target {
        Target::Lambda(alias) => Some(lambda::durations(alias, super::Of::Alone(version))),
        Target::Alb(balancer) => alb::durations(balancer, version),
    }
}

/// The week, from the series of [`queries`] in the same order. An hour without a datapoint had no requests.
#[must_use]
pub fn week(target: &Target, live: &[Version], series: &[Series], now: Minute) -> Week {
    let (from, until) = span(now);
    let mut hours: BTreeMap<Minute, (f64, f64)> = BTreeMap::new();
    let mut rest = series;
    for version in versions(target, live) {
        let (own, others) = rest.split_at(counters(target, version).len().min(rest.len()));
        rest = others;
        for (place, series) in own.iter().enumerate() {
            for (hour, value) in series.range(from..until).filter(|(_, value)| value.is_finite() && **value >= 0.0) {
                let (requests, failed) = hours.entry(*hour).or_default();
                *(if place == 0 { requests } else { failed }) += value;
            }
        }
    }
    let rate = |requests: f64| requests / SECONDS_PER_HOUR;
    let (requests, failed) = hours.values().fold((0.0, 0.0), |(n, x), (requests, failed)| (n + requests, x + failed));
    let busy = hours.values().filter(|(requests, _)| *requests > 0.0).count();
    let last = hours.get(&until.plus(-MINUTES_PER_HOUR)).map_or(0.0, |(requests, _)| *requests);
    let scale = live.first().and_then(|version| durations(target, version)).map_or(1.0, |sampled| sampled.scale);
    let quantile = |place: usize| rest.get(place).and_then(|series| middle(series, &hours)).map(|value| value * scale);
    Week {
        requests,
        failed,
        per_second_now: rate(last),
        per_second: if busy > 0 { rate(requests) / count(busy) } else { 0.0 },
        quietest: quietest(&hours, until),
        hours: u32::try_from(busy).unwrap_or(u32::MAX),
        p50_ms: quantile(0),
        p99_ms: quantile(1),
    }
}

#[allow(clippy::cast_precision_loss, reason = "hours of a week")]
fn count(hours: usize) -> f64 {
    hours as f64
}

/// Of the days since the first hour with requests: a function that is new had no quiet nights before.
fn quietest(hours: &BTreeMap<Minute, (f64, f64)>, until: Minute) -> (u8, f64) {
    let Some(first) = hours.iter().find(|(_, (requests, _))| *requests > 0.0).map(|(hour, _)| *hour) else {
        return (0, 0.0);
    };
    let mut by_hour: BTreeMap<u8, (f64, usize)> = BTreeMap::new();
    for number in 0..until.minutes_since(first) / MINUTES_PER_HOUR {
        let hour = first.plus(number * MINUTES_PER_HOUR);
        let of_day = (hour.index() / MINUTES_PER_HOUR).rem_euclid(HOURS_PER_DAY);
        let (requests, days) = by_hour.entry(u8::try_from(of_day).unwrap_or(0)).or_default();
        *requests += hours.get(&hour).map_or(0.0, |(requests, _)| *requests);
        *days += 1;
    }
    let means = by_hour.iter().map(|(hour, (requests, days))| (*hour, requests / count(*days) / SECONDS_PER_HOUR));
    means.min_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or((0, 0.0))
}

/// The value of the hour in the middle, hours counting by their requests.
fn middle(series: &Series, hours: &BTreeMap<Minute, (f64, f64)>) -> Option<f64> {
    let weight = |hour: &Minute| hours.get(hour).map_or(0.0, |(requests, _)| *requests);
    let mut values: Vec<(f64, f64)> = series
        .iter()
        .filter(|(_, value)| value.is_finite() && **value > 0.0)
        .map(|(hour, value)| (*value, weight(hour)))
        .collect();
    values.sort_by(|one, other| one.0.total_cmp(&other.0));
    let half = values.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut below = 0.0;
    values.into_iter().find_map(|(value, weight)| {
        below += weight;
        (below >= half && half > 0.0).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{LambdaTarget, Owner};

    #[test]
    fn a_week_is_told_by_its_hours() {
        let alias = LambdaTarget { function: "f".to_owned(), alias: "live".to_owned(), owner: Owner::Coalmine };
        let (target, live) = (Target::Lambda(alias), [Version("1".to_owned())]);
        let now = Minute::from_index(29_921_160 + 17);
        let asked = queries(&target, &live, now);
        let read: Vec<Series> = asked
            .iter()
            .map(|query| {
                assert_eq!((query.period, query.until.minutes_since(query.from)), (Period::Hour, HOURS * 60));
                // Two days of the week; at 03:00 a tenth.
                let hours = (1..=48).map(|ago| query.until.plus(-60 * ago));
                let quiet = |hour: Minute| (hour.index() / 60).rem_euclid(24) == 3;
                let value = |hour: Minute| match (query.metric.metric.as_str(), query.stat) {
                    ("Invocations", _) => {
                        if quiet(hour) {
                            3_600.0
                        } else {
                            36_000.0
                        }
                    }
                    ("Errors", _) => {
                        if quiet(hour) {
                            36.0
                        } else {
                            360.0
                        }
                    }
                    (_, Stat::Percentile(percent)) => percent.value() * if quiet(hour) { 10.0 } else { 1.0 },
                    (other, _) => panic!("{other}"),
                };
                hours.map(|hour| (hour, value(hour))).collect()
            })
            .collect();
        let week = week(&target, &live, &read, now);
        assert!((week.error_rate() - 0.01).abs() < 1e-12, "{week:?}");
        assert_eq!((week.hours, week.quietest), (48, (3, 1.0)));
        assert_eq!((week.p50_ms, week.p99_ms), (Some(50.0), Some(99.0)));
        assert!((week.per_second_now - 10.0).abs() < 1e-9 && week.per_second < 10.0, "{week:?}");
    }

    #[test]
    fn nobody_came() {
        let alias = LambdaTarget { function: "f".to_owned(), alias: "live".to_owned(), owner: Owner::Coalmine };
        let (target, live) = (Target::Lambda(alias), [Version("1".to_owned())]);
        let now = Minute::from_index(29_921_160);
        let read = vec![Series::new(); queries(&target, &live, now).len()];
        assert_eq!(week(&target, &live, &read, now), Week::default());
    }
}
