//! What is read of the old version's past, and how it becomes a [`History`].
//!
//! The past is that of the alias as a whole, because Lambda may have no series per version while one version has all the
//! traffic. Which version that was cannot be read. So a minute counts when one version alone had it: every series of a
//! version that was near (the rollout's two and the published ones before them) either has no datapoint in that minute
//! or has all of the alias' invocations. Minutes of earlier rollouts fall out, because there two versions share.

use std::collections::BTreeMap;

use super::bins::{self, Span};
use super::{Asked, Of, Period, Scope, Series, SeriesQuery, Stat, lambda_metric, measured, queries, sampled};
use crate::analysis::{Bins, History, HistoryMinute, JudgePlan, Measure, Measured, ReadBy, choose_edges};
use crate::spec::{RolloutSpec, Target, Version};
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
    pub spec: &'a RolloutSpec,
    /// One planned check for each of the spec.
    pub plan: &'a JudgePlan,
    pub baseline: &'a Version,
    pub canary: &'a Version,
    pub from: Minute,
    pub until: Minute,
}

impl<'a> Past<'a> {
    /// What tells where the edges of the distributions should be: their quantiles, hour by hour.
    #[must_use]
    pub fn quantile_queries(&self) -> Vec<SeriesQuery> {
        self.distributions().flat_map(|place| self.quantiles_of(place)).collect()
    }

    /// The plan with edges, from the series of [`Self::quantile_queries`] in the same order.
    #[must_use]
    pub fn with_edges(&self, series: &[Series]) -> JudgePlan {
        let (mut plan, mut rest) = (self.plan.clone(), series);
        for place in self.distributions() {
            let (own, others) = rest.split_at(self.quantiles_of(place).len().min(rest.len()));
            rest = others;
            if let Some(check) = self.plan.checks.get(place) {
                plan = choose_edges(&plan, place, &bins::quantiles(check, own));
            }
        }
        plan
    }

    /// The series of some checks: of the alias, of the versions that were near, then of each check.
    #[must_use]
    pub fn queries(&self, places: &[usize]) -> Vec<SeriesQuery> {
        let mut all = self.invocations();
        for place in places {
            all.extend(self.of_check(*place));
            all.extend(self.stretched_of(*place));
        }
        all
    }

    /// The past of some checks from the series of [`Self::queries`] in the same order.
    #[must_use]
    pub fn history(&self, places: &[usize], series: &[Series]) -> History {
        let (invocations, mut rest) = series.split_at(self.invocations().len().min(series.len()));
        let checks = self.plan.checks.len();
        let mut minutes: BTreeMap<Minute, Vec<Option<Measured>>> = BTreeMap::new();
        let mut stretched: Vec<Option<Bins>> = vec![None; checks];
        for place in places.iter().copied() {
            let (own, others) = rest.split_at(self.of_check(place).len().min(rest.len()));
            let (of_stretched, others) = others.split_at(self.stretched_of(place).len().min(others.len()));
            rest = others;
            let Some(asked) = self.asked(place) else { continue };
            let own: Vec<Option<&Series>> = own.iter().map(Some).collect();
            for minute in minutes_with_data(&own).filter(|minute| undivided(invocations, *minute)) {
                if let Some(measured) = measured(asked, Of::Alone(self.baseline), &own, minute) {
                    let of_minute = minutes.entry(minute).or_insert_with(|| vec![None; checks]);
                    of_minute.iter_mut().skip(place).take(1).for_each(|of_check| *of_check = Some(measured.clone()));
                }
            }
            let all: Vec<f64> = of_stretched.iter().map(|bin| bin.values().sum()).collect();
            stretched.iter_mut().skip(place).take(1).for_each(|of_check| *of_check = Bins::new(all.clone()));
        }
        let minutes = minutes.into_iter().map(|(minute, measured)| HistoryMinute { minute, measured }).collect();
        History { minutes, stretched }
    }

    /// The distributions of which CloudWatch cannot count what lies between edges, from the series of [`Self::queries`].
    #[must_use]
    pub fn uncountable(&self, places: &[usize], series: &[Series]) -> Vec<usize> {
        let mut rest = series.get(self.invocations().len()..).unwrap_or_default();
        let mut found = Vec::new();
        for place in places.iter().copied() {
            let (own, others) = rest.split_at(self.of_check(place).len().min(rest.len()));
            rest = others.get(self.stretched_of(place).len()..).unwrap_or_default();
            let counted =
                |asked: &Asked<'_>| asked.planned.distribution.as_ref().is_some_and(|d| d.read == ReadBy::Counts);
            let Some(asked) = self.asked(place).filter(counted) else { continue };
            let Some((sampled, _)) = sampled(asked, Of::Alone(self.baseline)) else { continue };
            let own: Vec<Option<&Series>> = own.iter().map(Some).collect();
            if bins::probe(&sampled, &own) == Some(false) {
                found.push(place);
            }
        }
        found
    }

    /// Of the alias, then of the versions that were near.
    fn invocations(&self) -> Vec<SeriesQuery> {
        let Target::Lambda(lambda) = &self.spec.target;
        let near = near(self.baseline, self.canary);
        let scopes = [Scope::Alias].into_iter().chain(near.iter().map(Scope::Version));
        let span = self.span();
        scopes.map(|scope| span.query(&lambda_metric("Invocations", lambda, scope), Stat::Sum)).collect()
    }

    /// Of a level the past says nothing: it is compared minute by minute.
    fn of_check(&self, place: usize) -> Vec<SeriesQuery> {
        let learns = |asked: &Asked<'_>| !matches!(asked.planned.measure, Measure::Mean | Measure::Gauge);
        let asked = self.asked(place).filter(learns);
        asked.map(|asked| queries(asked, Of::Alone(self.baseline), self.from, self.until)).unwrap_or_default()
    }

    /// Hour by hour, because only the sum is of use.
    fn stretched_of(&self, place: usize) -> Vec<SeriesQuery> {
        let sampled =
            self.asked(place).and_then(|asked| Some((asked.planned, sampled(asked, Of::Alone(self.baseline))?)));
        let Some((check, (sampled, _))) = sampled else { return Vec::new() };
        bins::stretched_queries(&sampled.metric, check, self.span().hours())
    }

    fn quantiles_of(&self, place: usize) -> Vec<SeriesQuery> {
        let sampled =
            self.asked(place).and_then(|asked| Some((asked.planned, sampled(asked, Of::Alone(self.baseline))?)));
        let Some((check, (sampled, _))) = sampled else { return Vec::new() };
        bins::quantile_queries(&sampled.metric, check, self.span().hours())
    }

    fn distributions(&self) -> impl Iterator<Item = usize> + use<'_> {
        let checks = self.plan.checks.iter().enumerate();
        checks.filter(|(_, check)| check.distribution.is_some()).map(|(place, _)| place)
    }

    fn asked(&self, place: usize) -> Option<Asked<'a>> {
        let (check, planned) = (self.spec.checks.get(place)?, self.plan.checks.get(place)?);
        Some(Asked { check, planned, target: &self.spec.target })
    }

    fn span(&self) -> Span {
        Span { period: Period::Minute, from: self.from, until: self.until }
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

/// The checks of which this past tells too little, so that more of it is worth reading. Only those that count: a
/// distribution has something to tell in every request.
#[must_use]
pub fn tells_little(plan: &JudgePlan, history: &History) -> Vec<usize> {
    let little = |place: usize| {
        let counts = history.minutes.iter().filter_map(|minute| minute.measured.get(place)?.as_ref()?.count());
        let (minutes, requests, events) = counts.fold((0.0, 0.0, 0.0), |(minutes, requests, events), count| {
            (minutes + 1.0, requests + count.requests, events + count.events)
        });
        minutes > 0.0 && (requests < QUIET_PER_SECOND * 60.0 * minutes || events < FEW_EVENTS)
    };
    let counted = plan.checks.iter().enumerate().filter(|(_, check)| check.measure == Measure::Counts);
    counted.map(|(place, _)| place).filter(|place| little(*place)).collect()
}

/// A past with an earlier one before it.
#[must_use]
pub fn preceded(history: History, earlier: History) -> History {
    let first = history.minutes.first().map(|minute| minute.minute);
    let before = earlier.minutes.into_iter().filter(|minute| first.is_none_or(|first| minute.minute < first));
    History { minutes: before.chain(history.minutes).collect(), ..history }
}
