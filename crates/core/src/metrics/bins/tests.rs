use super::*;
use crate::analysis::{choose_edges, plan};

fn start() -> Minute {
    Minute::from_index(29_921_160)
}

fn named(name: &str) -> MetricRef {
    MetricRef { namespace: "AWS/Lambda".into(), metric: name.into(), dimensions: [].into() }
}

fn sampled() -> Sampled {
    let told = Told { requests: named("Invocations"), unsampled: Vec::new(), share: 1.0 };
    Sampled { metric: named("Duration"), scale: 1.0, told: Some(told) }
}

/// A latency check with the edges 50, 100, 200 ms, and 400 as twice the p99.
fn check(read: ReadBy) -> PlannedCheck {
    let text = "{coalmine: v1, target: {lambda: {function: checkout, alias: live}}}";
    let plan = plan(&crate::spec::parse(text).unwrap().spec);
    let plan = choose_edges(&plan, 1, &[(0.5, 50.0), (0.9, 100.0), (0.99, 200.0)]);
    let mut check = plan.checks[1].clone();
    check.distribution.as_mut().unwrap().read = read;
    check
}

fn minute_span() -> Span {
    Span { period: Period::Minute, from: start(), until: start().plus(5) }
}

/// The bins of a minute from the values of each series there; `None` is a minute without a datapoint.
fn binned(check: &PlannedCheck, values: &[Option<f64>]) -> Option<Vec<f64>> {
    let edges = edges_of(check.distribution.as_ref().unwrap(), false);
    let series: Vec<Series> =
        values.iter().map(|value| value.map(|value| (start(), value)).into_iter().collect()).collect();
    let series: Vec<Option<&Series>> = series.iter().map(Some).collect();
    bins(&sampled(), check, &edges, InMinute { series: &series, minute: start() }).map(|bins| bins.counts)
}

fn stats(queries: &[SeriesQuery]) -> Vec<String> {
    queries.iter().map(|query| format!("{} {}", query.metric.metric, query.stat)).collect()
}

#[test]
fn both_versions_are_counted_in_equal_bins_the_canary_at_stretched_edges() {
    let check = check(ReadBy::Counts);
    let distribution = check.distribution.as_ref().unwrap();
    let asked = |canary| stats(&queries(&sampled(), &check, &edges_of(distribution, canary), minute_span()));
    assert_eq!(
        asked(false),
        [
            "Duration SampleCount",
            "Invocations Sum",
            "Duration TC(:50)",
            "Duration TC(50:100)",
            "Duration TC(100:200)",
            "Duration TC(200:400)",
            "Duration TC(400:)",
        ]
    );
    assert_eq!(asked(true)[2..4], ["Duration TC(:52.5)", "Duration TC(52.5:105)"]);
}

#[test]
fn nothing_is_asked_without_edges_or_with_impossible_ones() {
    let mut check = check(ReadBy::Counts);
    for edges in [vec![], vec![-1.0, 2.0], vec![f64::NAN], vec![1e300]] {
        check.distribution.as_mut().unwrap().edges = edges;
        let edges = edges_of(check.distribution.as_ref().unwrap(), false);
        assert_eq!(queries(&sampled(), &check, &edges, minute_span()), []);
    }
}

#[test]
fn a_minute_counts_only_when_every_request_is_in_a_bin() {
    let check = check(ReadBy::Counts);
    let whole = Some(vec![50.0, 40.0, 8.0, 1.5, 0.5]);
    let none: Option<Vec<f64>> = None;
    let row = |head: [Option<f64>; 2], bins: [Option<f64>; 5]| [head.to_vec(), bins.to_vec()].concat();
    let all = [Some(50.0), Some(40.0), Some(8.0), Some(1.5), Some(0.5)];
    for (why, values, expected) in [
        ("all of them", row([Some(100.0), Some(100.0)], all), &whole),
        ("more durations than invocations", row([Some(100.0), Some(90.0)], all), &whole),
        ("an invocation without its duration yet", row([Some(100.0), Some(101.0)], all), &none),
        ("no samples", row([None, Some(100.0)], all), &none),
        ("invocations not a number", row([Some(100.0), Some(f64::NAN)], all), &none),
        ("invocations unknown", row([Some(100.0), None], all), &none),
        ("fewer in the bins", row([Some(150.0), Some(100.0)], all), &none),
        ("more in the bins", row([Some(50.0), Some(50.0)], all), &none),
        ("nobody", row([Some(0.0), Some(0.0)], [Some(0.0); 5]), &none),
        ("not a number", row([Some(f64::NAN), Some(100.0)], all), &none),
        (
            "a negative bin",
            row([Some(100.0), Some(100.0)], [Some(60.0), Some(40.0), Some(-1.0), Some(0.5), Some(0.5)]),
            &none,
        ),
    ] {
        assert_eq!(binned(&check, &values), *expected, "{why}");
    }
    // No point for an empty bin, as long as the others have everybody.
    let values = row([Some(98.0), Some(98.0)], [Some(50.0), Some(40.0), Some(8.0), None, None]);
    assert_eq!(binned(&check, &values), Some(vec![50.0, 40.0, 8.0, 0.0, 0.0]));
    let values = row([Some(98.0), Some(98.0)], [Some(50.0), Some(40.0), None, None, None]);
    assert_eq!(binned(&check, &values), None, "eight requests are nowhere");
    assert_eq!(bins(&sampled(), &check, &[50.0], InMinute { series: &[], minute: start() }), None);
}

#[test]
fn a_series_that_could_not_be_read_is_no_empty_bin() {
    let check = check(ReadBy::Counts);
    let edges = edges_of(check.distribution.as_ref().unwrap(), false);
    let one: Series = [(start(), 10.0)].into();
    let zero: Series = [(start(), 0.0)].into();
    let all = [&one, &one, &one, &zero, &zero, &zero, &zero];
    let counts = |failed: Option<usize>| {
        let series: Vec<Option<&Series>> =
            all.iter().enumerate().map(|(place, series)| (Some(place) != failed).then_some(*series)).collect();
        bins(&sampled(), &check, &edges, InMinute { series: &series, minute: start() })
    };
    assert!(counts(None).is_some());
    for failed in 0..all.len() {
        assert_eq!(counts(Some(failed)), None, "{failed}");
    }
}

#[test]
fn the_probe_tells_whether_cloudwatch_counts() {
    let series = |values: [f64; 3]| values.map(|value| Series::from([(start(), value)]));
    let probed = |samples: f64, low: f64, high: f64| {
        let [samples, low, high] = series([samples, low, high]);
        probe(&sampled(), &[Some(&samples), Some(&samples.clone()), Some(&low), Some(&high)])
    };
    assert_eq!(probed(100.0, 60.0, 40.0), Some(true));
    assert_eq!(probed(100.0, 60.2, 39.9), Some(true), "interpolated");
    assert_eq!(probed(100.0, 83.0, 83.0), Some(false), "an emulator that answers with the average");
    assert_eq!(probed(100.0, 0.0, 0.0), Some(false));
    let empty = Series::new();
    assert_eq!(probe(&sampled(), &[Some(&empty); 4]), None);
}

#[test]
fn percentiles_become_bins_that_hold_everybody() {
    let edges = [50.0, 100.0, 200.0, 400.0];
    let known = [(0.05, 20.0), (0.5, 50.0), (0.9, 100.0), (0.99, 200.0)];
    let bins = from_percentiles(&known, 1000.0, &edges).unwrap();
    let expected = [500.0, 400.0, 90.0, 10.0, 0.0];
    for (bin, expected) in bins.iter().zip(expected) {
        assert!((bin - expected).abs() < 1e-9, "{bins:?}");
    }
    // Half as far on a logarithmic scale is half of them.
    let shifted = from_percentiles(&known, 1000.0, &[(50.0_f64 * 100.0).sqrt(), 300.0]).unwrap();
    assert!((shifted[0] - 700.0).abs() < 1e-9, "{shifted:?}");
    assert!((shifted.iter().sum::<f64>() - 1000.0).abs() < 1e-9);
    // A single request is all percentiles at once.
    let one = from_percentiles(&[(0.05, 70.0), (0.5, 70.0), (0.99, 70.0)], 1.0, &edges).unwrap();
    assert!(one[1] > 0.9, "{one:?}");
    for hostile in
        [vec![], vec![(0.5, f64::NAN)], vec![(0.5, f64::INFINITY)], vec![(0.5, -1.0)], vec![(0.5, 10.0), (0.9, 5.0)]]
    {
        assert_eq!(from_percentiles(&hostile, 10.0, &edges), None, "{hostile:?}");
    }
    assert_eq!(from_percentiles(&known, 10.0, &[]), None);
    let zero = from_percentiles(&[(0.5, 0.0), (0.9, 0.0)], 10.0, &edges).unwrap();
    assert!(zero.iter().all(|bin| bin.is_finite()) && (zero.iter().sum::<f64>() - 10.0).abs() < 1e-9, "{zero:?}");
}

#[test]
fn the_newest_hours_with_enough_requests_say_where_the_edges_go() {
    let check = check(ReadBy::Counts);
    let count = edge_quantiles(&check).len();
    let hour = |ago: i64| start().plus(-60 * ago);
    let series = |values: &[(i64, f64)]| -> Series { values.iter().map(|(ago, v)| (hour(*ago), *v)).collect() };
    let mut all = vec![series(&[(5, 9000.0), (2, 900.0), (1, 100.0)])];
    all.extend((0..count).map(|_| series(&[(5, 500.0), (2, 100.0), (1, 200.0)])));
    let found = quantiles(&sampled(), &check, &all);
    assert_eq!(found.len(), count);
    assert!(found.iter().all(|(_, value)| (value - 110.0).abs() < 1e-9), "the last 1000: {found:?}");
    assert_eq!(quantiles(&sampled(), &check, &[]), []);
    assert_eq!(quantiles(&sampled(), &check, &vec![Series::new(); count + 1]), []);
}
