use proptest::prelude::*;

use crate::analysis::{
    Analysis, JudgePlan, Measured, MinuteSample, Pair, PlannedCheck, ReadBy, Samples, Verdict, choose_edges, judge,
    plan,
};
use crate::metrics::{Asked, Of, SeriesQuery, Traffic, history_queries, measured, queries, traffic};
use crate::spec::{
    Check, CheckKind, CheckMode, KeepBaseline, OnNoData, Quantile, RateCounts, RolloutSpec, RuleRef, Stickiness,
    Target, Tolerance,
};
use crate::units::Weight;

use super::*;

const LISTENER: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener/app/shop/50dc6c495c0c9188/f2f7dc8efc522ab2";

fn start() -> Minute {
    Minute::from_index(29_921_160)
}

fn group(name: &str) -> Version {
    Version(format!("arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/{name}/73e2d6bc24d8a067"))
}

fn target_behind(rule: RuleRef) -> AlbTarget {
    AlbTarget {
        rules: vec![rule],
        target_groups: ["blue".into(), "green".into()],
        stickiness: Stickiness::Refuse,
        min_healthy_share: Weight::FULL,
        test_rule: None,
        keep_baseline: KeepBaseline::UntilNextRollout,
    }
}

fn target() -> Target {
    Target::Alb(target_behind(RuleRef::DefaultOf(LISTENER.to_owned())))
}

fn check(name: &str, kind: CheckKind) -> Check {
    Check { name: name.to_owned(), kind, mode: CheckMode::Enforce, on_no_data: OnNoData::Hold }
}

fn errors() -> Check {
    check("errors", CheckKind::Errors { tolerate: Tolerance { factor: 1.0, points: 0.005 } })
}

fn latency() -> Check {
    check("latency", CheckKind::Latency { tolerate: 0.05, at: vec![Quantile(0.5), Quantile(0.99)], warm_up: None })
}

fn spec(checks: Vec<Check>) -> RolloutSpec {
    let text = "{coalmine: v1, target: {lambda: {function: checkout, alias: live}}}";
    RolloutSpec { target: target(), checks, ..crate::spec::parse(text).unwrap().spec }
}

/// With the edges 50, 100 and 200 ms, and 400 as twice the p99.
fn with_edges(check: &Check, read: ReadBy) -> PlannedCheck {
    let plan = choose_edges(&plan(&spec(vec![check.clone()])), 0, &[(0.5, 50.0), (0.9, 100.0), (0.99, 200.0)]);
    let mut check = plan.checks[0].clone();
    check.distribution.as_mut().unwrap().read = read;
    check
}

fn asked<'a>(check: &'a Check, planned: &'a PlannedCheck, target: &'a Target) -> Asked<'a> {
    Asked { check, planned, target }
}

fn queries_of(check: &Check, planned: &PlannedCheck, of: Of<'_>) -> Vec<SeriesQuery> {
    queries(asked(check, planned, &target()), of, start(), start().plus(5))
}

/// `None` is a minute without a datapoint.
fn in_minute(values: &[Option<f64>]) -> Vec<Series> {
    values.iter().map(|value| value.map(|value| (start(), value)).into_iter().collect()).collect()
}

fn seen(check: &Check, planned: &PlannedCheck, values: &[Option<f64>]) -> Option<Measured> {
    let series = in_minute(values);
    let series: Vec<Option<&Series>> = series.iter().map(Some).collect();
    measured(asked(check, planned, &target()), Of::Baseline(&group("blue")), &series, start())
}

/// From requests, 5xx, failed connections, failed handshakes, and the two of Lambda.
fn counted(values: [Option<f64>; 6]) -> Option<(f64, f64)> {
    let check = errors();
    let planned = plan(&spec(vec![check.clone()])).checks.remove(0);
    seen(&check, &planned, &values)?.count().map(|count| (count.requests, count.events))
}

#[test]
fn a_groups_series_have_both_dimensions() {
    let (blue, green) = (group("blue"), group("green"));
    let dimensions = "LoadBalancer=app/shop/50dc6c495c0c9188,TargetGroup=targetgroup/green/73e2d6bc24d8a067";
    let shown = |queries: &[SeriesQuery]| -> Vec<String> {
        let dimensions = |query: &SeriesQuery| {
            let pairs: Vec<String> = query.metric.dimensions.iter().map(|(k, v)| format!("{k}={v}")).collect();
            pairs.join(",")
        };
        let line = |query: &SeriesQuery| {
            let (namespace, metric) = (&query.metric.namespace, &query.metric.metric);
            format!("{namespace} {metric} {} {}", query.stat, dimensions(query))
        };
        queries.iter().map(line).collect()
    };
    let counters = [
        "RequestCount",
        "HTTPCode_Target_5XX_Count",
        "TargetConnectionErrorCount",
        "TargetTLSNegotiationErrorCount",
        "LambdaUserError",
        "LambdaInternalError",
    ];
    let sums = counters.map(|name| format!("AWS/ApplicationELB {name} Sum {dimensions}"));
    let check = errors();
    let planned = plan(&spec(vec![check.clone()])).checks.remove(0);
    for of in [Of::Canary(&green), Of::Baseline(&green), Of::Alone(&green)] {
        assert_eq!(shown(&queries_of(&check, &planned, of)), sums);
    }
    assert_eq!(shown(&history_queries(&target(), &green, start(), start().plus(60))), sums);
    // The same balancer by one of its rules.
    let rule = LISTENER.replace(":listener/", ":listener-rule/") + "/9683b2d02a6cabee";
    let by_rule = Target::Alb(target_behind(RuleRef::Rule(rule)));
    let series = queries(asked(&check, &planned, &by_rule), Of::Canary(&green), start(), start().plus(5));
    assert_eq!(shown(&series), sums);

    let placed = |name: &str| MetricRef {
        namespace: "Shop".to_owned(),
        metric: name.to_owned(),
        dimensions: [("Of", "{targetGroup} at {loadBalancer}"), ("Stage", "prod")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    let own = check_of_rate(placed("Events"), placed("Requests"));
    let planned = plan(&spec(vec![own.clone()])).checks.remove(0);
    let blue_one = "Of=targetgroup/blue/73e2d6bc24d8a067 at app/shop/50dc6c495c0c9188,Stage=prod";
    assert_eq!(
        shown(&queries_of(&own, &planned, Of::Baseline(&blue))),
        [format!("Shop Events Sum {blue_one}"), format!("Shop Requests Sum {blue_one}")]
    );
}

fn check_of_rate(events: MetricRef, requests: MetricRef) -> Check {
    let tolerate = Tolerance { factor: 1.0, points: 0.005 };
    check("own", CheckKind::Rate { counts: RateCounts::Events(events), requests, tolerate, absent_is_zero: false })
}

/// An alias has no target group, a Network Load Balancer no such metrics; the other balancer's would be somebody else's.
#[test]
fn what_is_no_group_of_a_balancer_has_no_series() {
    let network = LISTENER.replace("/app/", "/net/");
    let no_group = Version("42".to_owned());
    for (rule, group) in [(LISTENER, no_group), (network.as_str(), group("green")), ("checkout", group("green"))] {
        let target = Target::Alb(target_behind(RuleRef::DefaultOf(rule.to_owned())));
        for check in [errors(), latency()] {
            let planned = choose_edges(&plan(&spec(vec![check.clone()])), 0, &[(0.5, 50.0)]).checks.remove(0);
            let asked = asked(&check, &planned, &target);
            assert_eq!(queries(asked, Of::Canary(&group), start(), start().plus(5)), [], "{rule}");
            assert_eq!(measured(asked, Of::Canary(&group), &[], start()), None);
        }
        assert_eq!(history_queries(&target, &group, start(), start().plus(60)), []);
        assert_eq!(traffic(&target, &[], start(), start().plus(60)), None);
    }
}

#[test]
fn an_absent_counter_is_zero_where_requests_were_counted_and_nowhere_else() {
    let counted_as = |values: [Option<f64>; 6], expected: Option<(f64, f64)>| {
        assert_eq!(counted(values), expected, "{values:?}");
    };
    counted_as([Some(100.0), None, None, None, None, None], Some((100.0, 0.0)));
    counted_as([Some(100.0), Some(3.0), None, None, None, None], Some((100.0, 3.0)));
    counted_as([Some(100.0), Some(1.0), Some(2.0), None, Some(3.0), Some(4.0)], Some((100.0, 10.0)));
    counted_as([Some(100.0), None, None, Some(5.0), None, None], Some((100.0, 5.0)));
    counted_as([Some(0.0), None, None, None, None, None], Some((0.0, 0.0)));
    // A quiet minute is not one without failures, and failures of nobody knows how many requests are no rate.
    counted_as([None, None, None, None, None, None], None);
    counted_as([None, Some(3.0), None, None, None, None], None);
    counted_as([None, None, Some(7.0), None, None, None], None);
    for hostile in [f64::NAN, f64::INFINITY, -1.0] {
        for place in 0..6 {
            let mut values = [Some(100.0), Some(1.0), None, None, None, Some(2.0)];
            values[place] = Some(hostile);
            counted_as(values, None);
        }
    }
}

/// A Lambda function in a target group has no status of its own where it throws: the balancer answers 502.
#[test]
fn a_function_in_a_group_fails_by_counters_of_its_own() {
    assert_eq!(counted([Some(100.0), None, None, None, Some(5.0), None]), Some((100.0, 5.0)));
    assert_eq!(counted([Some(100.0), None, None, None, None, Some(5.0)]), Some((100.0, 5.0)));
    assert_eq!(
        counted([Some(100.0), Some(2.0), None, None, Some(5.0), None]),
        Some((100.0, 7.0)),
        "500s that it answered"
    );
}

#[test]
fn a_counter_that_could_not_be_read_is_no_zero() {
    let check = errors();
    let planned = plan(&spec(vec![check.clone()])).checks.remove(0);
    let known: Series = [(start(), 50.0)].into();
    for failed in 0..6 {
        let series: Vec<Option<&Series>> = (0..6).map(|place| (place != failed).then_some(&known)).collect();
        let green = group("green");
        assert_eq!(
            measured(asked(&check, &planned, &target()), Of::Canary(&green), &series, start()),
            None,
            "{failed}"
        );
    }
}

/// What the judge says of a canary beside a baseline with one failure in 900 requests, after so many minutes.
fn judged(canary: [Option<f64>; 6], minutes: i64) -> Analysis {
    let check = errors();
    let plan: JudgePlan = plan(&spec(vec![check.clone()]));
    let of = |values: &[Option<f64>; 6]| seen(&check, &plan.checks[0], values);
    let baseline = [Some(900.0), Some(1.0), None, None, None, None];
    let half = Weight::from_basis_points(1000).unwrap();
    let sample = |minute: i64| MinuteSample {
        minute: start().plus(minute),
        weight: half,
        pairs: vec![Pair { baseline: of(&baseline), canary: of(&canary) }],
    };
    let minutes: Vec<MinuteSample> = (0..minutes).map(sample).collect();
    let settled_before = minutes.last().map(|minute| minute.minute.plus(1));
    judge(&plan, &Samples { minutes, settled_before, ..Samples::default() })
}

/// Connections are counted by attempts, so there are more failures than requests. Such minutes must not be missing: a
/// canary in which nothing works would never be proven bad.
#[test]
fn a_canary_whose_every_connection_fails_is_proven_bad() {
    for attempts in [100.0, 130.0, 300.0] {
        let canary = [Some(100.0), None, Some(attempts), None, None, None];
        assert_eq!(counted(canary), Some((100.0, 100.0)));
        assert_eq!(judged(canary, 3).verdict, Verdict::Fail, "{attempts} failed connections");
    }
    // 500s that are answered a minute after their requests.
    assert_eq!(judged([Some(100.0), Some(104.0), None, None, None, None], 3).verdict, Verdict::Fail);
    // And the same canary without failures is not.
    assert_ne!(judged([Some(100.0), None, None, None, None, None], 3).verdict, Verdict::Fail);
    assert_ne!(
        judged([None, None, Some(130.0), None, None, None], 30).verdict,
        Verdict::Pass,
        "no data is never good news"
    );
}

/// How many of the values (in seconds, as the balancer sends them) the statistic has; or their percentile.
fn answer(query: &SeriesQuery, seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    match query.stat {
        Stat::Between(above, up_to) => {
            let inside = |value: &&f64| {
                above.is_none_or(|above| **value > above.value()) && up_to.is_none_or(|up_to| **value <= up_to.value())
            };
            sorted.iter().filter(inside).count() as f64
        }
        Stat::Percentile(percent) => {
            let rank = (percent.value() / 100.0 * sorted.len() as f64).ceil() as usize;
            sorted[rank.clamp(1, sorted.len()) - 1]
        }
        Stat::Sum if query.metric.metric != "RequestCount" => 0.0,
        Stat::Sum | Stat::SampleCount => sorted.len() as f64,
        Stat::Average => unreachable!("nobody asks for it"),
    }
}

fn bins_of(read: ReadBy, of: Of<'_>, seconds: &[f64]) -> Option<Vec<f64>> {
    let check = latency();
    let planned = with_edges(&check, read);
    let values: Vec<Series> =
        queries_of(&check, &planned, of).iter().map(|query| [(start(), answer(query, seconds))].into()).collect();
    let series: Vec<Option<&Series>> = values.iter().map(Some).collect();
    measured(asked(&check, &planned, &target()), of, &series, start())?.bins().map(|bins| bins.counts.clone())
}

#[test]
fn response_times_are_asked_for_in_seconds_and_judged_in_milliseconds() {
    let check = latency();
    let planned = with_edges(&check, ReadBy::Counts);
    let asked_for = |of: Of<'_>| -> Vec<String> {
        let shown = |query: &SeriesQuery| format!("{} {}", query.metric.metric, query.stat);
        queries_of(&check, &planned, of).iter().map(shown).collect()
    };
    let (blue, green) = (group("blue"), group("green"));
    assert_eq!(
        asked_for(Of::Baseline(&blue)),
        [
            "TargetResponseTime SampleCount",
            "RequestCount Sum",
            "TargetConnectionErrorCount Sum",
            "TargetTLSNegotiationErrorCount Sum",
            "LambdaUserError Sum",
            "LambdaInternalError Sum",
            "TargetResponseTime TC(:0.05)",
            "TargetResponseTime TC(0.05:0.1)",
            "TargetResponseTime TC(0.1:0.2)",
            "TargetResponseTime TC(0.2:0.4)",
            "TargetResponseTime TC(0.4:)",
        ]
    );
    assert_eq!(
        asked_for(Of::Canary(&green))[6..8],
        ["TargetResponseTime TC(:0.0525)", "TargetResponseTime TC(0.0525:0.105)"]
    );
    // 10, 51, 99, 150 ms and a second.
    let seconds = [0.010, 0.051, 0.099, 0.150, 1.0];
    assert_eq!(bins_of(ReadBy::Counts, Of::Baseline(&blue), &seconds), Some(vec![1.0, 2.0, 1.0, 0.0, 1.0]));
    assert_eq!(bins_of(ReadBy::Counts, Of::Canary(&green), &seconds), Some(vec![2.0, 1.0, 1.0, 0.0, 1.0]));
    let rebuilt = bins_of(ReadBy::Percentiles, Of::Baseline(&blue), &[0.150; 20]).unwrap();
    assert!(rebuilt[2] > 18.0, "all of them are between 100 and 200 ms: {rebuilt:?}");
}

/// Of requests, samples and failed connections, with everybody who has a sample in one bin.
fn told(requests: f64, samples: f64, unconnected: Option<f64>) -> bool {
    let check = latency();
    let planned = with_edges(&check, ReadBy::Counts);
    let mut values = vec![Some(samples), Some(requests), unconnected, None, None, None];
    values.extend([Some(samples), None, None, None, None]);
    seen(&check, &planned, &values).is_some()
}

/// A request that timed out, or whose caller left, has no response time and is in no counter of its group.
#[test]
fn a_few_requests_may_have_no_response_time_and_not_a_tenth() {
    for (requests, samples, unconnected, complete) in [
        (1000.0, 1000.0, None, true),
        (1000.0, 1003.0, None, true),
        (1000.0, 995.0, None, true),
        (1000.0, 900.0, None, true),
        (1000.0, 899.0, None, false),
        (1000.0, 500.0, None, false),
        // Those that were never connected have none to wait for.
        (1000.0, 500.0, Some(500.0), true),
        (1000.0, 500.0, Some(399.0), false),
        (1000.0, 1.0, Some(1300.0), true),
        (1000.0, 500.0, Some(f64::NAN), false),
        (f64::NAN, 1000.0, None, false),
        (1000.0, 0.0, Some(1000.0), false),
    ] {
        assert_eq!(told(requests, samples, unconnected), complete, "{requests} {samples} {unconnected:?}");
    }
}

#[test]
fn a_minute_is_the_old_groups_when_the_other_had_no_request() {
    for (own, other, expected) in [
        (Some(100.0), None, true),
        (Some(100.0), Some(0.0), true),
        (Some(100.0), Some(1.0), false),
        (Some(100.0), Some(100.0), false),
        // More than the old one is not all of it, as it is for an alias.
        (Some(100.0), Some(900.0), false),
        (Some(100.0), Some(f64::NAN), false),
        (Some(f64::NAN), None, false),
        (Some(0.0), None, false),
        (None, None, false),
        (None, Some(100.0), false),
    ] {
        let series = in_minute(&[own, other]);
        assert_eq!(undivided(&series, start()), expected, "{own:?} {other:?}");
    }
    assert!(!undivided(&[], start()));
    assert!(!undivided(&in_minute(&[Some(100.0)]), start()), "nothing is known of the other");
}

#[test]
fn nobody_counts_what_goes_around_a_balancer() {
    let requests: Series = [(start(), 100.0), (start().plus(1), 300.0), (start().plus(3), 99.0)].into();
    let failed: Series = [(start().plus(1), 6.0)].into();
    let none = Series::new();
    let series = [Some(&requests), Some(&failed), None, Some(&none), Some(&none), Some(&none)];
    let until = start().plus(3);
    assert_eq!(traffic(&target(), &series, start(), until), None, "a failed look");
    let series = [Some(&requests), Some(&failed), Some(&failed), Some(&none), Some(&none), Some(&none)];
    let seen = traffic(&target(), &series, start(), until).unwrap();
    let expected = Traffic { requests: 400.0, around: None, errors: 12.0, minutes_with_data: 2, minutes: 3 };
    assert_eq!(seen, expected);
    assert_eq!(crate::metrics::bypass_problem(&target(), &seen), None);
    let silent = [Some(&none); 6];
    assert_eq!(traffic(&target(), &silent, start(), until).unwrap().load(), None);
}

fn counter() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        2 => Just(None),
        5 => (0u32..2000).prop_map(|value| Some(f64::from(value))),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-1.0)].prop_map(Some),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// With requests and sane counters there is a count, it has every failure or all requests, and one failure more never
    /// makes it look better.
    #[test]
    fn failures_are_never_lost(values in prop::array::uniform6(counter()), place in 1usize..6) {
        let sane = |value: &Option<f64>| value.is_none_or(|value| value.is_finite() && value >= 0.0);
        let count = counted(values);
        prop_assert_eq!(count.is_some(), values[0].is_some() && values.iter().all(sane));
        if let Some((requests, events)) = count {
            let failures: f64 = values[1..].iter().flatten().sum();
            prop_assert!((events - failures.min(requests)).abs() <= 0.0);
            let mut worse = values;
            worse[place] = Some(worse[place].unwrap_or(0.0) + 1.0);
            let (_, more) = counted(worse).unwrap();
            prop_assert!(more >= events);
        }
    }

    /// A response time lies in the bin that its milliseconds belong to.
    #[test]
    fn seconds_and_milliseconds_agree(microseconds in prop::collection::vec(1u32..2_000_000, 1..200)) {
        let milliseconds: Vec<f64> = microseconds.iter().map(|value| f64::from(*value) / 1000.0).collect();
        let seconds: Vec<f64> = microseconds.iter().map(|value| f64::from(*value) / 1e6).collect();
        let found = bins_of(ReadBy::Counts, Of::Baseline(&group("blue")), &seconds).unwrap();
        let edges = [0.0, 50.0, 100.0, 200.0, 400.0, f64::INFINITY];
        for (bin, ends) in found.iter().zip(edges.windows(2)) {
            let inside = milliseconds.iter().filter(|value| **value > ends[0] && **value <= ends[1]).count();
            prop_assert!((bin - f64::from(u32::try_from(inside).unwrap())).abs() < 1e-9);
        }
    }
}
