//! What is read from CloudWatch, as data: which series a check needs, and how they become counts.
//!
//! Missing is never zero. A minute counts only when every series it needs has a sane value for it.

mod bins;
pub mod past;
mod query;

use std::collections::BTreeMap;

use bins::{Sampled, Span};

use crate::analysis::{Count, Level, Load, Measured, PlannedCheck, grouped};
use crate::spec::{Check, CheckKind, LambdaTarget, MetricRef, RateCounts, Target, Version};
use crate::units::Minute;

pub use query::{Bound, Period, Series, SeriesQuery, Stat};

/// Whose requests a series is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of<'a> {
    /// A version beside the other: what reached it through the alias.
    Baseline(&'a Version),
    /// The same; a distribution's edges are stretched.
    Canary(&'a Version),
    /// A version that had the whole alias: what reached the alias. Lambda may have no series per version while one has
    /// all the traffic.
    Alone(&'a Version),
}

impl<'a> Of<'a> {
    fn version(self) -> &'a Version {
        match self {
            Self::Baseline(version) | Self::Canary(version) | Self::Alone(version) => version,
        }
    }

    fn scope(self) -> Scope<'a> {
        match self {
            Self::Baseline(version) | Self::Canary(version) => Scope::Version(version),
            Self::Alone(_) => Scope::Alias,
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

/// What a check needs to know of one version. Nothing for a distribution without edges.
#[must_use]
pub fn queries(asked: Asked<'_>, of: Of<'_>, from: Minute, until: Minute) -> Vec<SeriesQuery> {
    let Target::Lambda(lambda) = asked.target else { return Vec::new() };
    let span = Span { period: Period::Minute, from, until };
    let query = |metric: MetricRef, stat: Stat| span.query(&metric, stat);
    match &asked.check.kind {
        CheckKind::Errors { .. } => {
            let metric = |name: &str| lambda_metric(name, lambda, of.scope());
            vec![
                query(metric("Errors"), Stat::Sum),
                query(metric("Errors"), Stat::SampleCount),
                query(metric("Invocations"), Stat::Sum),
            ]
        }
        CheckKind::Rate { counts, requests, .. } => {
            let (RateCounts::Events(events) | RateCounts::GoodEvents(events)) = counts;
            [events, requests].map(|metric| query(filled_in(metric, lambda, of.version()), Stat::Sum)).to_vec()
        }
        CheckKind::Mean { metric } | CheckKind::Gauge { metric, .. } => {
            let metric = filled_in(metric, lambda, of.version());
            vec![query(metric.clone(), Stat::Sum), query(metric, Stat::SampleCount)]
        }
        CheckKind::Latency { .. } | CheckKind::Distribution { .. } => {
            let Some((sampled, edges)) = sampled(asked, of) else { return Vec::new() };
            bins::queries(&sampled, asked.planned, &edges, span)
        }
    }
}

/// What one version's minute brought, from the series of [`queries`] in the same order.
#[must_use]
pub fn measured(asked: Asked<'_>, of: Of<'_>, series: &[Option<&Series>], minute: Minute) -> Option<Measured> {
    match &asked.check.kind {
        CheckKind::Errors { .. } | CheckKind::Rate { .. } => count(asked.check, series, minute).map(Measured::Count),
        CheckKind::Mean { .. } | CheckKind::Gauge { .. } => level(series, minute).map(Measured::Level),
        CheckKind::Latency { .. } | CheckKind::Distribution { .. } => {
            let (sampled, edges) = sampled(asked, of)?;
            bins::bins(&sampled, asked.planned, &edges, series, minute).map(Measured::Bins)
        }
    }
}

/// A distribution's metric, and the edges by which a version is counted; `None` for any other check.
fn sampled(asked: Asked<'_>, of: Of<'_>) -> Option<(Sampled, Vec<f64>)> {
    let Target::Lambda(lambda) = asked.target else { return None };
    let distribution = asked.planned.distribution.as_ref()?;
    let edges = bins::edges_of(distribution, matches!(of, Of::Canary(_)));
    match &asked.check.kind {
        CheckKind::Latency { .. } => {
            let metric = |name: &str| lambda_metric(name, lambda, of.scope());
            Some((Sampled { metric: metric("Duration"), requests: Some(metric("Invocations")) }, edges))
        }
        CheckKind::Distribution { metric, .. } => {
            Some((Sampled { metric: filled_in(metric, lambda, of.version()), requests: None }, edges))
        }
        CheckKind::Errors { .. } | CheckKind::Rate { .. } | CheckKind::Mean { .. } | CheckKind::Gauge { .. } => None,
    }
}

/// A level's readings in one minute: their sum, and how many there were.
fn level(series: &[Option<&Series>], minute: Minute) -> Option<Level> {
    let value = |index: usize| series.get(index).copied().flatten()?.get(&minute).copied();
    Level::new(value(1)?, value(0)?)
}

/// One version's count in one minute, from the series of [`queries`] in the same order; `None` for a series that could
/// not be read.
///
/// * `errors`: each invocation emits `Errors` as 0 or 1, so the exposure is that metric's SampleCount. While it falls
///   short of `Invocations`, the minute is not complete yet, and a late error must not be read as none.
/// * `rate`: an event metric without a datapoint is missing even where there were requests, for nobody knows whether it
///   is sent as zero, unless the spec says that it is not (`absentIsZero`). ALB counters are known to be left out.
#[must_use]
fn count(check: &Check, series: &[Option<&Series>], minute: Minute) -> Option<Count> {
    let value = |index: usize| series.get(index).copied().flatten()?.get(&minute).copied();
    match &check.kind {
        CheckKind::Errors { .. } => {
            let (errors, samples, invocations) = (value(0)?, value(1)?, value(2)?);
            // A NaN is not at least anything.
            if samples >= invocations { Count::new(samples, errors) } else { None }
        }
        CheckKind::Rate { counts, absent_is_zero, .. } => {
            let (RateCounts::Events(metric) | RateCounts::GoodEvents(metric)) = counts;
            let was_read = series.first().is_some_and(Option::is_some);
            let requests = value(1)?;
            let events = value(0).or_else(|| (was_read && (*absent_is_zero || never_zero(metric))).then_some(0.0))?;
            match counts {
                RateCounts::Events(_) => Count::new(requests, events),
                RateCounts::GoodEvents(_) => {
                    let good = Count::new(requests, events)?;
                    Count::new(requests, requests - good.events)
                }
            }
        }
        CheckKind::Latency { .. }
        | CheckKind::Distribution { .. }
        | CheckKind::Mean { .. }
        | CheckKind::Gauge { .. } => None,
    }
}

fn never_zero(metric: &MetricRef) -> bool {
    metric.namespace == "AWS/ApplicationELB"
}

/// How much traffic a target and its function got before the start.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Traffic {
    pub alias_invocations: f64,
    /// Through any alias, version or none.
    pub function_invocations: f64,
    /// Errors of the alias.
    pub errors: f64,
    /// Minutes in which the alias was invoked.
    pub minutes_with_data: usize,
    /// Minutes that were looked at.
    pub minutes: u32,
}

/// What [`traffic`] reads.
#[must_use]
pub fn history_queries(target: &Target, from: Minute, until: Minute) -> Vec<SeriesQuery> {
    let Target::Lambda(lambda) = target else { return Vec::new() };
    let query = |name: &str, scope: Scope<'_>| SeriesQuery {
        metric: lambda_metric(name, lambda, scope),
        stat: Stat::Sum,
        period: Period::Minute,
        from,
        until,
    };
    vec![query("Invocations", Scope::Function), query("Invocations", Scope::Alias), query("Errors", Scope::Alias)]
}

/// The traffic from `from` up to, not including, `until`, from the series of [`history_queries`] in the same order.
/// `None` when a series could not be read. A series without datapoints was read: nobody invoked.
#[must_use]
pub fn traffic(series: &[Option<&Series>], from: Minute, until: Minute) -> Option<Traffic> {
    let [Some(function), Some(alias), Some(errors)] = series else { return None };
    let values = |series: &Series| -> Vec<f64> {
        series.range(from..until.max(from)).map(|(_, value)| *value).filter(|v| v.is_finite() && *v > 0.0).collect()
    };
    let invoked = values(alias);
    Some(Traffic {
        alias_invocations: invoked.iter().sum(),
        function_invocations: values(function).iter().sum(),
        errors: values(errors).iter().sum(),
        minutes_with_data: invoked.len(),
        minutes: u32::try_from(until.minutes_since(from).max(0)).unwrap_or(u32::MAX),
    })
}

impl Traffic {
    /// What a forecast needs; `None` when nobody invoked the alias.
    #[must_use]
    pub fn load(&self) -> Option<Load> {
        (self.alias_invocations > 0.0 && self.minutes > 0).then(|| Load {
            requests_per_minute: self.alias_invocations / f64::from(self.minutes),
            error_rate: (self.errors / self.alias_invocations).min(1.0),
        })
    }
}

/// Traffic that does not pass through the alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bypass {
    /// All of it: a shift would move nothing.
    Refuse(String),
    /// More than half of it.
    Warn(String),
}

/// Whether the traffic goes around the alias that is to be shifted. No traffic at all is no problem here.
#[must_use]
pub fn bypass_problem(target: &Target, traffic: &Traffic) -> Option<Bypass> {
    let Target::Lambda(LambdaTarget { function, alias, .. }) = target else { return None };
    let all = traffic.function_invocations;
    let got = traffic.alias_invocations;
    if all <= 0.0 || got >= 0.5 * all {
        return None;
    }
    let period = if traffic.minutes == 60 { "hour".to_owned() } else { format!("{} minutes", traffic.minutes) };
    let seen = |got: &str| {
        format!("alias {alias} of {function} got {got} of the {} invocations of the last {period}", grouped(all))
    };
    Some(if got <= 0.0 {
        Bypass::Refuse(format!(
            "{}: they use another alias or the function's ARN without alias, so a shift would move nothing. Point the \
             callers at {function}:{alias}",
            seen("none")
        ))
    } else {
        Bypass::Warn(format!(
            "{}: the others use another alias or the function's ARN without alias, and are neither shifted nor judged. \
             Point those callers at {function}:{alias}, too",
            seen(&grouped(got))
        ))
    })
}

/// What a Lambda metric is about.
#[derive(Clone, Copy)]
enum Scope<'a> {
    Function,
    Alias,
    /// A version, as far as it is reached through the alias.
    Version(&'a Version),
}

fn lambda_metric(name: &str, lambda: &LambdaTarget, scope: Scope<'_>) -> MetricRef {
    let LambdaTarget { function, alias, .. } = lambda;
    let mut dimensions = BTreeMap::from([("FunctionName".to_owned(), function.clone())]);
    // The resource is `name:alias`; with an ARN the series would be empty.
    let resource = format!("{function}:{alias}");
    match scope {
        Scope::Function => {}
        Scope::Alias => {
            dimensions.insert("Resource".to_owned(), resource);
        }
        Scope::Version(version) => {
            dimensions.insert("Resource".to_owned(), resource);
            dimensions.insert("ExecutedVersion".to_owned(), version.0.clone());
        }
    }
    MetricRef { namespace: "AWS/Lambda".to_owned(), metric: name.to_owned(), dimensions }
}

fn filled_in(metric: &MetricRef, lambda: &LambdaTarget, version: &Version) -> MetricRef {
    let fill = |text: &str| {
        text.replace("{version}", &version.0).replace("{function}", &lambda.function).replace("{alias}", &lambda.alias)
    };
    let dimensions = metric.dimensions.iter().map(|(name, value)| (name.clone(), fill(value))).collect();
    MetricRef { dimensions, ..metric.clone() }
}

#[cfg(test)]
mod tests {
    use crate::spec::{CheckMode, OnNoData, Owner, Quantile, Tolerance};

    use super::*;

    fn start() -> Minute {
        Minute::from_index(29_921_160)
    }

    fn target() -> Target {
        Target::Lambda(LambdaTarget { function: "checkout".into(), alias: "live".into(), owner: Owner::Coalmine })
    }

    fn check(kind: CheckKind) -> Check {
        Check { name: "any".into(), kind, mode: CheckMode::Enforce, on_no_data: OnNoData::Hold }
    }

    const TOLERATE: Tolerance = Tolerance { factor: 1.0, points: 0.005 };

    fn errors() -> Check {
        check(CheckKind::Errors { tolerate: TOLERATE })
    }

    fn metric(namespace: &str, metric: &str) -> MetricRef {
        let dimensions = [("Version", "{version}"), ("Where", "{function}/{alias}"), ("Stage", "prod")];
        let dimensions = dimensions.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        MetricRef { namespace: namespace.into(), metric: metric.into(), dimensions }
    }

    fn rate(namespace: &str, good: bool) -> Check {
        let events = metric(namespace, "Events");
        let counts = if good { RateCounts::GoodEvents(events) } else { RateCounts::Events(events) };
        let requests = metric(namespace, "Requests");
        check(CheckKind::Rate { counts, requests, tolerate: TOLERATE, absent_is_zero: false })
    }

    fn planned(check: &Check) -> PlannedCheck {
        let text = "{coalmine: v1, target: {lambda: {function: checkout, alias: live}}}";
        let spec = crate::spec::RolloutSpec { checks: vec![check.clone()], ..crate::spec::parse(text).unwrap().spec };
        crate::analysis::plan(&spec).checks.remove(0)
    }

    fn asked<'a>(check: &'a Check, planned: &'a PlannedCheck, target: &'a Target) -> Asked<'a> {
        Asked { check, planned, target }
    }

    fn shown(queries: &[SeriesQuery]) -> Vec<String> {
        let dimensions = |query: &SeriesQuery| {
            let pairs: Vec<String> = query.metric.dimensions.iter().map(|(k, v)| format!("{k}={v}")).collect();
            pairs.join(",")
        };
        queries
            .iter()
            .map(|query| {
                format!("{} {} {:?} {}", query.metric.namespace, query.metric.metric, query.stat, dimensions(query))
            })
            .collect()
    }

    fn queries_of(check: &Check) -> Vec<SeriesQuery> {
        queries(asked(check, &planned(check), &target()), Of::Canary(&Version("42".into())), start(), start().plus(5))
    }

    #[test]
    fn series_are_named_as_cloudwatch_names_them() {
        let dimensions = "ExecutedVersion=42,FunctionName=checkout,Resource=checkout:live";
        assert_eq!(
            shown(&queries_of(&errors())),
            [
                format!("AWS/Lambda Errors Sum {dimensions}"),
                format!("AWS/Lambda Errors SampleCount {dimensions}"),
                format!("AWS/Lambda Invocations Sum {dimensions}"),
            ]
        );
        assert_eq!(
            shown(&queries_of(&rate("Shop", false))),
            [
                "Shop Events Sum Stage=prod,Version=42,Where=checkout/live",
                "Shop Requests Sum Stage=prod,Version=42,Where=checkout/live",
            ]
        );
        assert_eq!(
            shown(&history_queries(&target(), start(), start().plus(60))),
            [
                "AWS/Lambda Invocations Sum FunctionName=checkout",
                "AWS/Lambda Invocations Sum FunctionName=checkout,Resource=checkout:live",
                "AWS/Lambda Errors Sum FunctionName=checkout,Resource=checkout:live",
            ]
        );
        let latency = check(CheckKind::Latency { tolerate: 0.05, at: vec![Quantile(0.5)], warm_up: None });
        assert_eq!(queries_of(&latency), [], "nothing without edges");
        assert!(queries_of(&errors()).iter().all(|query| (query.from, query.until) == (start(), start().plus(5))));
    }

    /// The count of a minute from values of each series there; `None` is a minute without a datapoint.
    fn counted(check: &Check, values: &[Option<f64>]) -> Option<(f64, f64)> {
        let series: Vec<Series> =
            values.iter().map(|value| value.map(|value| (start(), value)).into_iter().collect()).collect();
        let series: Vec<Option<&Series>> = series.iter().map(Some).collect();
        count(check, &series, start()).map(|count| (count.requests, count.events))
    }

    #[test]
    fn lambda_errors_are_counted_only_when_every_invocation_has_reported() {
        for (errors_sum, samples, invocations, expected) in [
            (Some(3.0), Some(100.0), Some(100.0), Some((100.0, 3.0))),
            (Some(0.0), Some(100.0), Some(100.0), Some((100.0, 0.0))),
            // Invocations may lag behind as well; then what has reported is the exposure.
            (Some(3.0), Some(100.0), Some(90.0), Some((100.0, 3.0))),
            (Some(3.0), Some(99.0), Some(100.0), None),
            (None, Some(100.0), Some(100.0), None),
            (Some(3.0), None, Some(100.0), None),
            (Some(3.0), Some(100.0), None, None),
            (None, None, Some(100.0), None),
            (None, None, None, None),
            (Some(f64::NAN), Some(100.0), Some(100.0), None),
            (Some(3.0), Some(f64::NAN), Some(100.0), None),
            (Some(3.0), Some(100.0), Some(f64::NAN), None),
            (Some(3.0), Some(f64::INFINITY), Some(100.0), None),
            (Some(-1.0), Some(100.0), Some(100.0), None),
            (Some(101.0), Some(100.0), Some(100.0), None),
        ] {
            let values = [errors_sum, samples, invocations];
            assert_eq!(counted(&errors(), &values), expected, "{values:?}");
        }
    }

    #[test]
    fn absent_events_are_zero_for_alb_counters_only() {
        for (namespace, good, events, requests, expected) in [
            ("Shop", false, Some(2.0), Some(50.0), Some((50.0, 2.0))),
            ("Shop", false, None, Some(50.0), None),
            ("Shop", false, Some(2.0), None, None),
            ("Shop", false, Some(51.0), Some(50.0), None),
            ("Shop", true, Some(48.0), Some(50.0), Some((50.0, 2.0))),
            ("Shop", true, Some(51.0), Some(50.0), None),
            ("Shop", true, Some(-1.0), Some(50.0), None),
            ("Shop", true, Some(f64::NAN), Some(50.0), None),
            ("Shop", true, None, Some(50.0), None),
            ("AWS/ApplicationELB", false, None, Some(50.0), Some((50.0, 0.0))),
            ("AWS/ApplicationELB", true, None, Some(50.0), Some((50.0, 50.0))),
            ("AWS/ApplicationELB", false, None, None, None),
        ] {
            let values = [events, requests];
            assert_eq!(counted(&rate(namespace, good), &values), expected, "{namespace} {good} {values:?}");
        }
    }

    /// A series that could not be read is not one without datapoints.
    #[test]
    fn a_failed_look_is_missing() {
        let known: Series = [(start(), 50.0)].into();
        for check in [errors(), rate("Shop", false), rate("AWS/ApplicationELB", false)] {
            let queries = queries_of(&check).len();
            for failed in 0..queries {
                let series: Vec<Option<&Series>> = (0..queries).map(|i| (i != failed).then_some(&known)).collect();
                assert_eq!(count(&check, &series, start()), None, "{failed}");
            }
            assert_eq!(count(&check, &[], start()), None);
            assert_eq!(count(&check, &vec![Some(&known); queries], start().plus(1)), None);
        }
    }

    fn traffic_of(function: f64, alias: f64) -> Traffic {
        Traffic {
            alias_invocations: alias,
            function_invocations: function,
            errors: 0.0,
            minutes_with_data: 60,
            minutes: 60,
        }
    }

    #[test]
    fn absent_events_are_zero_where_the_spec_says_so_and_requests_came() {
        let mut check = rate("Shop", false);
        let CheckKind::Rate { absent_is_zero, .. } = &mut check.kind else { unreachable!() };
        *absent_is_zero = true;
        for (events, requests, expected) in [
            (None, Some(50.0), Some((50.0, 0.0))),
            (Some(2.0), Some(50.0), Some((50.0, 2.0))),
            (None, None, None),
            (Some(2.0), None, None),
            (Some(f64::NAN), Some(50.0), None),
        ] {
            assert_eq!(counted(&check, &[events, requests]), expected, "{events:?} {requests:?}");
        }
        let requests = Series::from([(start(), 50.0)]);
        assert_eq!(count(&check, &[None, Some(&requests)], start()), None, "a failed look is no zero");
    }

    #[test]
    fn a_level_is_the_sum_of_its_readings() {
        let gauge = check(CheckKind::Gauge { metric: metric("Shop", "Memory"), tolerate: 0.1 });
        assert_eq!(
            shown(&queries_of(&gauge)),
            ["Sum", "SampleCount"].map(|stat| format!("Shop Memory {stat} Stage=prod,Version=42,Where=checkout/live"))
        );
        for (sum, readings, expected) in [
            (Some(120.0), Some(2.0), Some(60.0)),
            (Some(-3.0), Some(1.0), Some(-3.0)),
            (Some(0.0), Some(4.0), Some(0.0)),
            (Some(120.0), Some(0.0), None),
            (Some(120.0), None, None),
            (None, Some(2.0), None),
            (Some(f64::NAN), Some(2.0), None),
            (Some(f64::INFINITY), Some(2.0), None),
            (Some(120.0), Some(f64::NAN), None),
            (Some(120.0), Some(-2.0), None),
            (Some(1e300), Some(1.0), None),
        ] {
            let series: Vec<Series> =
                [sum, readings].map(|value| value.map(|value| (start(), value)).into_iter().collect()).into();
            let series: Vec<Option<&Series>> = series.iter().map(Some).collect();
            let level = level(&series, start()).and_then(Level::mean);
            assert_eq!(level, expected, "{sum:?} {readings:?}");
        }
    }

    #[test]
    fn traffic_that_bypasses_the_alias_is_said_with_the_numbers() {
        for (function, alias) in [(0.0, 0.0), (1240.0, 1240.0), (1240.0, 620.0), (0.0, 10.0)] {
            assert_eq!(bypass_problem(&target(), &traffic_of(function, alias)), None, "{alias} of {function}");
        }
        assert_eq!(
            bypass_problem(&target(), &traffic_of(1240.0, 0.0)),
            Some(Bypass::Refuse(
                "alias live of checkout got none of the 1,240 invocations of the last hour: they use another alias or \
                 the function's ARN without alias, so a shift would move nothing. Point the callers at checkout:live"
                    .into()
            ))
        );
        assert_eq!(
            bypass_problem(&target(), &Traffic { minutes: 30, ..traffic_of(1240.0, 619.0) }),
            Some(Bypass::Warn(
                "alias live of checkout got 619 of the 1,240 invocations of the last 30 minutes: the others use another \
                 alias or the function's ARN without alias, and are neither shifted nor judged. Point those callers at \
                 checkout:live, too"
                    .into()
            ))
        );
    }

    #[test]
    fn history_becomes_traffic() {
        let series =
            |values: &[f64]| -> Series { (0..).map(|at| start().plus(at)).zip(values.iter().copied()).collect() };
        let (function, alias) = (series(&[10.0, 20.0, 30.0, 99.0]), series(&[5.0, f64::NAN, 15.0, 99.0]));
        let errors = series(&[1.0, 0.0, -4.0, 99.0]);
        let until = start().plus(3);
        let seen = traffic(&[Some(&function), Some(&alias), Some(&errors)], start(), until).unwrap();
        let expected = Traffic {
            alias_invocations: 20.0,
            function_invocations: 60.0,
            errors: 1.0,
            minutes_with_data: 2,
            minutes: 3,
        };
        assert_eq!(seen, expected);
        assert_eq!(seen.load(), Some(Load { requests_per_minute: 20.0 / 3.0, error_rate: 0.05 }));
        let silent = Series::new();
        let nobody = traffic(&[Some(&silent), Some(&silent), Some(&silent)], start(), until).unwrap();
        assert_eq!((nobody.load(), bypass_problem(&target(), &nobody)), (None, None));
        assert_eq!(traffic(&[Some(&function), None, Some(&errors)], start(), until), None, "a failed look");
        assert_eq!(traffic(&[], start(), until), None);
    }
}
