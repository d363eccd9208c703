//! What is read of the old version's past, and how it becomes a [`History`].
//!
//! The past is that of the alias as a whole, because Lambda may have no series per version while one version has all the
//! traffic. Which version that was cannot be read. So a minute counts when one version alone had it: every series of a
//! version that was near (the rollout's two and the published ones before them) either has no datapoint in that minute
//! or has all of the alias' invocations. Minutes of earlier rollouts fall out, because there two versions share.

use std::collections::BTreeMap;

use super::{Of, Scope, Series, SeriesQuery, Stat, count, lambda_metric, queries};
use crate::analysis::{History, HistoryMinute, Measured};
use crate::spec::{Check, CheckKind, Target, Version};
use crate::units::Minute;

/// How far back is read in any case, in minutes: a day with its rise and fall.
pub const DAY: i64 = 24 * 60;

/// How far back where a day tells too little. CloudWatch keeps single minutes for 15 days; an hour less, because the
/// oldest of them go while they are read.
pub const FARTHEST: i64 = 15 * DAY - 60;

/// Below, a day tells too little: requests a second, and events in all.
const QUIET_PER_SECOND: f64 = 1.0;
const FEW_EVENTS: f64 = 30.0;

/// Versions published before the old one that may have shared the alias with it or with each other.
const VERSIONS_BEFORE: u64 = 4;

/// Versions looked at in all.
const VERSIONS_AT_MOST: usize = 12;

/// Minutes from `from` up to, not including, `until`, of the alias before a rollout.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    pub target: &'a Target,
    pub checks: &'a [Check],
    pub baseline: &'a Version,
    pub canary: &'a Version,
    pub from: Minute,
    pub until: Minute,
}

impl Past<'_> {
    /// The series to read: of the alias, of the versions that were near, then of each check.
    #[must_use]
    pub fn queries(&self) -> Vec<SeriesQuery> {
        let mut all = self.invocations();
        all.extend(self.checks.iter().flat_map(|check| self.of_check(check)));
        all
    }

    /// The past from the series of [`Self::queries`] in the same order.
    #[must_use]
    pub fn history(&self, series: &[Series]) -> History {
        let (invocations, mut rest) = series.split_at(self.invocations().len().min(series.len()));
        let mut minutes: BTreeMap<Minute, Vec<Option<Measured>>> = BTreeMap::new();
        for (place, check) in self.checks.iter().enumerate() {
            let (own, others) = rest.split_at(self.of_check(check).len().min(rest.len()));
            rest = others;
            let own: Vec<Option<&Series>> = own.iter().map(Some).collect();
            for minute in minutes_with_data(&own).filter(|minute| undivided(invocations, *minute)) {
                if let Some(measured) = measured(check, &own, minute) {
                    let of_minute = minutes.entry(minute).or_insert_with(|| vec![None; self.checks.len()]);
                    if let Some(of_check) = of_minute.get_mut(place) {
                        *of_check = Some(measured);
                    }
                }
            }
        }
        let minutes = minutes.into_iter().map(|(minute, measured)| HistoryMinute { minute, measured }).collect();
        History { minutes, stretched: vec![None; self.checks.len()] }
    }

    /// Of the alias, then of the versions that were near.
    fn invocations(&self) -> Vec<SeriesQuery> {
        let Target::Lambda(lambda) = self.target;
        let near = near(self.baseline, self.canary);
        let scopes = [Scope::Alias].into_iter().chain(near.iter().map(Scope::Version));
        let query = |scope| SeriesQuery {
            metric: lambda_metric("Invocations", lambda, scope),
            stat: Stat::Sum,
            from: self.from,
            until: self.until,
        };
        scopes.map(query).collect()
    }

    fn of_check(&self, check: &Check) -> Vec<SeriesQuery> {
        queries(check, self.target, Of::Alone(self.baseline), self.from, self.until)
    }
}

fn minutes_with_data<'a>(series: &[Option<&'a Series>]) -> impl Iterator<Item = Minute> + use<'a> {
    let widest = series.iter().flatten().copied().max_by_key(|series| series.len());
    widest.into_iter().flat_map(|series| series.keys().copied())
}

/// Whether one version alone had the alias in a minute.
fn undivided(invocations: &[Series], minute: Minute) -> bool {
    let Some((alias, versions)) = invocations.split_first() else { return false };
    let Some(all) = alias.get(&minute) else { return false };
    versions.iter().filter_map(|version| version.get(&minute)).all(|own| own >= all)
}

fn measured(check: &Check, series: &[Option<&Series>], minute: Minute) -> Option<Measured> {
    count(check, series, minute).map(Measured::Count)
}

/// The rollout's two versions and those published shortly before them or between them. Versions are counted from 1.
fn near(baseline: &Version, canary: &Version) -> Vec<Version> {
    let mut near = vec![baseline.clone(), canary.clone()];
    if let (Ok(old), Ok(new)) = (baseline.0.parse::<u64>(), canary.0.parse::<u64>()) {
        let (low, high) = (old.min(new).saturating_sub(VERSIONS_BEFORE).max(1), old.max(new));
        let others = (low..high).rev().map(|number| Version(number.to_string()));
        let others: Vec<Version> =
            others.filter(|version| !near.contains(version)).take(VERSIONS_AT_MOST - 2).collect();
        near.extend(others);
    }
    near
}

/// The checks of which this past tells too little, so that more of it is worth reading: `None` for all others. Only
/// counts: a distribution has something to tell in every request.
#[must_use]
pub fn tells_little(checks: &[Check], history: &History) -> Vec<Check> {
    let little = |place: usize| {
        let counts = history.minutes.iter().filter_map(|minute| minute.measured.get(place)?.as_ref()?.count());
        let (minutes, requests, events) = counts.fold((0.0, 0.0, 0.0), |(minutes, requests, events), count| {
            (minutes + 1.0, requests + count.requests, events + count.events)
        });
        minutes > 0.0 && (requests < QUIET_PER_SECOND * 60.0 * minutes || events < FEW_EVENTS)
    };
    let counted = |check: &Check| match check.kind {
        CheckKind::Errors { .. } | CheckKind::Rate { .. } => true,
        CheckKind::Latency { .. } => false,
    };
    let places = checks.iter().enumerate().filter(|(place, check)| counted(check) && little(*place));
    places.map(|(_, check)| check.clone()).collect()
}

/// Puts what an earlier past says of some of the checks before this one.
#[must_use]
pub fn preceded(checks: &[Check], history: History, earlier: History, of: &[Check]) -> History {
    let places: Vec<Option<usize>> =
        checks.iter().map(|check| of.iter().position(|other| other.name == check.name)).collect();
    let first = history.minutes.first().map(|minute| minute.minute);
    let before = earlier.minutes.into_iter().filter(|minute| first.is_none_or(|first| minute.minute < first));
    let mut minutes: Vec<HistoryMinute> = before
        .map(|HistoryMinute { minute, measured }| {
            let measured = places.iter().map(|place| measured.get((*place)?).cloned().flatten());
            HistoryMinute { minute, measured: measured.collect() }
        })
        .collect();
    minutes.extend(history.minutes);
    History { minutes, ..history }
}
