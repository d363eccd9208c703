use crate::spec::{CheckMode, LambdaTarget, OnNoData, Owner, Quantile, Tolerance};

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
        shown(&history_queries(&target(), &Version("41".into()), start(), start().plus(60))),
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

fn count(check: &Check, series: &[Option<&Series>], minute: Minute) -> Option<Count> {
    let version = Version("42".into());
    measured(asked(check, &planned(check), &target()), Of::Canary(&version), series, minute)?.count()
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
        // An answer may come in the minute after its request.
        ("AWS/ApplicationELB", false, Some(51.0), Some(50.0), Some((50.0, 50.0))),
        ("AWS/ApplicationELB", false, Some(f64::NAN), Some(50.0), None),
        ("AWS/ApplicationELB", false, Some(2.0), Some(f64::NAN), None),
        ("AWS/ApplicationELB", true, Some(51.0), Some(50.0), None),
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
    let around = Some((function - alias).max(0.0));
    Traffic { requests: alias, around, errors: 0.0, minutes_with_data: 60, minutes: 60 }
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
        let level = level(InMinute { series: &series, minute: start() }).and_then(Level::mean);
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
    let series = |values: &[f64]| -> Series { (0..).map(|at| start().plus(at)).zip(values.iter().copied()).collect() };
    let (function, alias) = (series(&[10.0, 20.0, 30.0, 99.0]), series(&[5.0, f64::NAN, 15.0, 99.0]));
    let errors = series(&[1.0, 0.0, -4.0, 99.0]);
    let until = start().plus(3);
    let seen = traffic(&target(), &[Some(&function), Some(&alias), Some(&errors)], start(), until).unwrap();
    let expected = Traffic { requests: 20.0, around: Some(40.0), errors: 1.0, minutes_with_data: 2, minutes: 3 };
    assert_eq!(seen, expected);
    assert_eq!(seen.load(), Some(Load { requests_per_minute: 20.0 / 3.0, error_rate: 0.05 }));
    let silent = Series::new();
    let nobody = traffic(&target(), &[Some(&silent), Some(&silent), Some(&silent)], start(), until).unwrap();
    assert_eq!((nobody.load(), bypass_problem(&target(), &nobody)), (None, None));
    assert_eq!(traffic(&target(), &[Some(&function), None, Some(&errors)], start(), until), None, "a failed look");
    assert_eq!(traffic(&target(), &[], start(), until), None);
}
