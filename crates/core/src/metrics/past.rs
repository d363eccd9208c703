//! What is read of the old version's past, and how it becomes a [`History`].
//!
//! For Lambda the past is that of the alias as a whole, because Lambda may have no series per version while one version has
//! all the traffic. Which version that was cannot be read. So a minute counts when one version alone had it: every series
//! of a version that was near (the rollout's two and the published ones before them) either has no datapoint in that minute
//! or has all of the alias' invocations. Minutes of earlier rollouts fall out, because there two versions share.
//!
//! A target group has series of its own at all times, so there the past is that of the old group, as far as the other one
//! had no requests. What was on the group before counts, too, as earlier versions behind an alias do.

use std::collections::BTreeMap;

use super::bins::{self, Sampled, Span};
use super::{Asked, Of, Period, Series, SeriesQuery, Stat, alb, lambda, measured, queries, sampled};
use crate::analysis::{Bins, History, HistoryMinute, JudgePlan, Measure, Measured, PlannedCheck, ReadBy, choose_edges};
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

/// Minutes from `from` up to, not including, `until`, of the target before a rollout.
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
            if let Some((sampled, check)) = self.sampled(place) {
                plan = choose_edges(&plan, place, &bins::quantiles(&sampled, check, own));
            }
        }
        plan
    }

    /// The series of some checks: those that tell which minutes count, then those of each check.
    #[must_use]
    pub fn queries(&self, places: &[usize]) -> Vec<SeriesQuery> {
        let mut all = self.sharing();
        for place in places {
            all.extend(self.of_check(*place));
            all.extend(self.stretched_of(*place));
        }
        all
    }

    /// The past of some checks from the series of [`Self::queries`] in the same order.
    #[must_use]
    pub fn history(&self, places: &[usize], series: &[Series]) -> History {
        let (sharing, mut rest) = series.split_at(self.sharing().len().min(series.len()));
        let checks = self.plan.checks.len();
        let mut minutes: BTreeMap<Minute, Vec<Option<Measured>>> = BTreeMap::new();
        let mut stretched: Vec<Option<Bins>> = vec![None; checks];
        for place in places.iter().copied() {
            let (own, others) = rest.split_at(self.of_check(place).len().min(rest.len()));
            let (of_stretched, others) = others.split_at(self.stretched_of(place).len().min(others.len()));
            rest = others;
            let Some(asked) = self.asked(place) else { continue };
            let own: Vec<Option<&Series>> = own.iter().map(Some).collect();
            for minute in minutes_with_data(&own).filter(|minute| self.undivided(sharing, *minute)) {
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
        let mut rest = series.get(self.sharing().len()..).unwrap_or_default();
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

    fn sharing(&self) -> Vec<SeriesQuery> {
        let metrics = match &self.spec.target {
            Target::Lambda(target) => lambda::sharing(target, self.baseline, self.canary),
            Target::Alb(target) => alb::sharing(target, self.baseline, self.canary),
        };
        metrics.iter().map(|metric| self.span().query(metric, Stat::Sum)).collect()
    }

    /// Whether nothing was shared in a minute, from the series of [`Self::sharing`].
    fn undivided(&self, sharing: &[Series], minute: Minute) -> bool {
        match self.spec.target {
            Target::Lambda(_) => lambda::undivided(sharing, minute),
            Target::Alb(_) => alb::undivided(sharing, minute),
        }
    }

    /// Of a level the past says nothing: it is compared minute by minute.
    fn of_check(&self, place: usize) -> Vec<SeriesQuery> {
        let learns = |asked: &Asked<'_>| !matches!(asked.planned.measure, Measure::Mean | Measure::Gauge);
        let asked = self.asked(place).filter(learns);
        asked.map(|asked| queries(asked, Of::Alone(self.baseline), self.from, self.until)).unwrap_or_default()
    }

    /// Hour by hour, because only the sum is of use.
    fn stretched_of(&self, place: usize) -> Vec<SeriesQuery> {
        let Some((sampled, check)) = self.sampled(place) else { return Vec::new() };
        bins::stretched_queries(&sampled, check, self.span().hours())
    }

    fn quantiles_of(&self, place: usize) -> Vec<SeriesQuery> {
        let Some((sampled, check)) = self.sampled(place) else { return Vec::new() };
        bins::quantile_queries(&sampled, check, self.span().hours())
    }

    /// `None` for a check that is no distribution.
    fn sampled(&self, place: usize) -> Option<(Sampled, &'a PlannedCheck)> {
        let asked = self.asked(place)?;
        Some((sampled(asked, Of::Alone(self.baseline))?.0, asked.planned))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::plan;

    fn version(number: &str) -> Version {
        Version(number.to_owned())
    }

    fn end() -> Minute {
        Minute::from_index(29_921_160)
    }

    fn spec(checks: &str) -> RolloutSpec {
        let text = format!("{{coalmine: v1, target: {{lambda: {{function: f, alias: live}}}}, checks: {checks}}}");
        crate::spec::parse(&text).unwrap().spec
    }

    /// By statistic, version and minute.
    type Values<'a> = dyn Fn(&str, Option<&str>, i64) -> Option<f64> + 'a;

    /// What CloudWatch has of each series, by the query's metric and version.
    fn read(past: &Past<'_>, places: &[usize], value: &Values<'_>) -> History {
        let queries = past.queries(places);
        let series: Vec<Series> = queries
            .iter()
            .map(|query| {
                let version = query.metric.dimensions.get("ExecutedVersion").map(String::as_str);
                let minutes = (past.from.index()..past.until.index()).map(Minute::from_index);
                let name = format!("{} {}", query.metric.metric, query.stat);
                let at = |minute: Minute| Some((minute, value(&name, version, minute.minutes_since(end()))?));
                minutes.filter_map(at).collect()
            })
            .collect();
        past.history(places, &series)
    }

    fn ago(history: &History) -> Vec<i64> {
        history.minutes.iter().map(|minute| minute.minute.minutes_since(end())).collect()
    }

    #[test]
    fn minutes_in_which_versions_shared_the_alias_are_left_out() {
        let spec = spec("[{errors: {}}]");
        let plan = plan(&spec);
        let (old, new) = (version("41"), version("43"));
        let past = Past { spec: &spec, plan: &plan, baseline: &old, canary: &new, from: end().plus(-8), until: end() };
        let history = read(&past, &[0], &|name, version, minute| {
            let invoked = match (version, minute) {
                (None, -1) => return None,
                (None, _) => Some(100.0),
                // A version before shared with one before that.
                (Some("40"), -8) => Some(95.0),
                // The version that was rolled back in between.
                (Some("42"), -6) => Some(5.0),
                (Some("41"), -6) => Some(95.0),
                // One version alone, of which Lambda tells all the same.
                (Some("41"), -4) => Some(100.0),
                (Some(_), _) => None,
            };
            match name {
                "Invocations Sum" => invoked,
                "Errors Sum" if minute == -3 => None,
                "Errors Sum" => Some(1.0),
                _ => Some(100.0),
            }
        });
        assert_eq!(ago(&history), [-7, -5, -4, -2]);
        let counts: Vec<_> =
            history.minutes.iter().map(|minute| minute.measured[0].as_ref().unwrap().count()).collect();
        assert!(counts.iter().all(|count| (count.unwrap().requests - 100.0).abs() < 1e-9), "{counts:?}");
    }

    #[test]
    fn a_days_past_fits_one_call_and_names_no_version_in_what_is_counted() {
        let spec = spec("[{errors: {}}, {latency: {}}]");
        let with_edges =
            crate::analysis::choose_edges(&plan(&spec), 1, &[(0.05, 20.0), (0.5, 50.0), (0.9, 100.0), (0.99, 200.0)]);
        let (old, new) = (version("41"), version("42"));
        let past =
            Past { spec: &spec, plan: &with_edges, baseline: &old, canary: &new, from: end().plus(-DAY), until: end() };
        let queries = past.queries(&[0, 1]);
        let points: i64 = queries.iter().map(|q| q.until.minutes_since(q.from) / q.period.minutes()).sum();
        assert!(queries.len() <= 500 && points <= 100_800, "{} queries, {points} points", queries.len());
        let of_versions = queries.iter().filter(|query| query.metric.dimensions.contains_key("ExecutedVersion"));
        assert!(of_versions.clone().all(|query| query.metric.metric == "Invocations"));
        let near: Vec<&str> = of_versions.map(|query| query.metric.dimensions["ExecutedVersion"].as_str()).collect();
        assert_eq!(near, ["41", "42", "40", "39", "38", "37"]);
    }

    fn group(name: &str) -> Version {
        version(&format!("arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/{name}/73e2d6bc24d8a067"))
    }

    fn behind_a_balancer(checks: &str) -> RolloutSpec {
        let listener =
            "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2";
        let target = crate::spec::AlbTarget {
            rules: vec![crate::spec::RuleRef::DefaultOf(listener.to_owned())],
            target_groups: ["blue".to_owned(), "green".to_owned()],
            stickiness: crate::spec::Stickiness::Refuse,
            min_healthy_share: crate::units::Weight::FULL,
            test_rule: None,
            keep_baseline: crate::spec::KeepBaseline::UntilNextRollout,
        };
        RolloutSpec { target: Target::Alb(target), ..spec(checks) }
    }

    #[test]
    fn minutes_in_which_both_groups_had_requests_are_left_out() {
        let spec = behind_a_balancer("[{errors: {}}]");
        let plan = plan(&spec);
        let (blue, green) = (group("blue"), group("green"));
        let past =
            Past { spec: &spec, plan: &plan, baseline: &blue, canary: &green, from: end().plus(-8), until: end() };
        let series: Vec<Series> = past
            .queries(&[0])
            .iter()
            .map(|query| {
                let of_blue = query.metric.dimensions["TargetGroup"].contains("/blue/");
                let value = |minute: i64| match (query.metric.metric.as_str(), of_blue, minute) {
                    // Nobody came.
                    ("RequestCount", true, -1) => None,
                    ("RequestCount", true, _) => Some(100.0),
                    // The rollout before, its last sticky client, and one that had more than the old group.
                    ("RequestCount", false, -8) => Some(50.0),
                    ("RequestCount", false, -7) => Some(1.0),
                    ("RequestCount", false, -6) => Some(900.0),
                    ("RequestCount", false, -5) => Some(0.0),
                    ("HTTPCode_Target_5XX_Count", true, -3) => Some(4.0),
                    _ => None,
                };
                let minutes = (past.from.index()..past.until.index()).map(Minute::from_index);
                minutes.filter_map(|minute| Some((minute, value(minute.minutes_since(end()))?))).collect()
            })
            .collect();
        let history = past.history(&[0], &series);
        assert_eq!(ago(&history), [-5, -4, -3, -2]);
        let events: Vec<f64> =
            history.minutes.iter().map(|minute| minute.measured[0].as_ref().unwrap().count().unwrap().events).collect();
        assert_eq!(events, [0.0, 0.0, 4.0, 0.0]);
    }

    #[test]
    fn a_days_past_of_a_group_fits_one_call_and_has_edges_in_milliseconds() {
        let spec = behind_a_balancer("[{errors: {}}, {latency: {}}]");
        let unknown = plan(&spec);
        let (blue, green) = (group("blue"), group("green"));
        let past =
            |plan| Past { spec: &spec, plan, baseline: &blue, canary: &green, from: end().plus(-DAY), until: end() };
        let quantiles = past(&unknown).quantile_queries();
        assert!(quantiles.iter().all(|query| query.period == Period::Hour));
        let series: Vec<Series> = quantiles
            .iter()
            .map(|query| {
                // The p50 is 50 ms, the p99 99 ms.
                let value = match query.stat {
                    Stat::Percentile(percent) => percent.value() / 1000.0,
                    Stat::Sum | Stat::SampleCount | Stat::Average | Stat::Between(..) => 5000.0,
                };
                [(Period::Hour.start(end()).plus(-60), value)].into()
            })
            .collect();
        let with_edges = past(&unknown).with_edges(&series);
        let edges = &with_edges.checks[1].distribution.as_ref().unwrap().edges;
        assert!(edges.iter().any(|edge| (edge - 50.0).abs() < 0.01), "{edges:?}");
        assert!(edges.last().is_some_and(|last| (150.0..250.0).contains(last)), "{edges:?}");
        let queries = past(&with_edges).queries(&[0, 1]);
        let points: i64 = queries.iter().map(|q| q.until.minutes_since(q.from) / q.period.minutes()).sum();
        assert!(queries.len() <= 500 && points <= 100_800, "{} queries, {points} points", queries.len());
        let others: Vec<&str> = queries
            .iter()
            .filter(|query| query.metric.dimensions["TargetGroup"].contains("/green/"))
            .map(|query| query.metric.metric.as_str())
            .collect();
        assert_eq!(others, ["RequestCount"], "the other group only says which minutes count");
    }

    #[test]
    fn a_quiet_day_is_not_enough_and_what_was_before_it_comes_first() {
        let spec = spec("[{errors: {}}, {latency: {}}]");
        let plan = plan(&spec);
        let of = |minutes: std::ops::Range<i64>, requests: f64, errors: f64| {
            let count = crate::analysis::Count::new(requests, errors).unwrap();
            let minute =
                |minute| HistoryMinute { minute: end().plus(minute), measured: vec![Some(count.into()), None] };
            History { minutes: minutes.map(minute).collect(), stretched: vec![None, None] }
        };
        assert_eq!(tells_little(&plan, &of(-60..0, 600.0, 1.0)), [0usize; 0], "60 errors at ten a second");
        assert_eq!(tells_little(&plan, &of(-60..0, 600.0, 0.4)), [0], "24 errors");
        assert_eq!(tells_little(&plan, &of(-60..0, 59.0, 1.0)), [0], "less than one a second");
        assert_eq!(
            tells_little(&plan, &of(0..0, 1.0, 0.0)),
            [0usize; 0],
            "nobody came: there is nothing before either"
        );
        let both = preceded(of(-2..0, 600.0, 1.0), of(-5..-1, 300.0, 2.0));
        assert_eq!(ago(&both), [-5, -4, -3, -2, -1]);
        let newest = both.minutes[3].measured[0].as_ref().unwrap().count().unwrap();
        assert!((newest.requests - 600.0).abs() < 1e-9, "where both have a minute, the day's counts");
    }
}
