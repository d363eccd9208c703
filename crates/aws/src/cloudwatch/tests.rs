use proptest::prelude::*;
use serde_json::{Value, json};

use coalmine_core::metrics::Bound;

use super::*;
use crate::testing::{Reply, scripted};

/// A whole minute.
const START: i64 = 29_921_160;

fn query(metric: &str, stat: Stat, from: i64, until: i64) -> SeriesQuery {
    let dimensions = [("FunctionName", "checkout"), ("Resource", "checkout:live"), ("ExecutedVersion", "42")];
    let dimensions = dimensions.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    SeriesQuery {
        metric: MetricRef { namespace: "AWS/Lambda".to_owned(), metric: metric.to_owned(), dimensions },
        stat,
        period: Period::Minute,
        from: Minute::from_index(START + from),
        until: Minute::from_index(START + until),
    }
}

fn result(id: &str, status: &str, points: &[(i64, f64)]) -> Value {
    let times: Vec<Value> = points.iter().map(|(minute, _)| json!({ "$time": (START + minute) * 60 })).collect();
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    json!({ "Id": id, "Label": "x", "Timestamps": times, "Values": values, "StatusCode": status })
}

fn page(results: &[Value], next: Option<&str>) -> Reply {
    let mut body = json!({ "MetricDataResults": results, "Messages": [] });
    if let Some(next) = next {
        body["NextToken"] = json!(next);
    }
    Reply::cbor(200, &body)
}

fn refused(code: &str) -> Reply {
    Reply::cbor(400, &json!({ "__type": code, "message": "because" }))
}

async fn fetch(queries: &[SeriesQuery], replies: Vec<Reply>) -> (Vec<Result<Series, String>>, Vec<Value>) {
    let (aws, script) = scripted(replies);
    let results = aws.fetch(queries).await.into_iter().map(|result| result.map_err(|fault| fault.to_string()));
    let results = results.collect();
    assert_eq!(script.unused(), 0);
    (results, script.asked().iter().map(crate::testing::Asked::cbor).collect())
}

fn series(points: &[(i64, f64)]) -> Series {
    points.iter().map(|(minute, value)| (Minute::from_index(START + minute), *value)).collect()
}

#[tokio::test]
async fn a_query_is_asked_as_cloudwatch_wants_it() {
    let answer = page(&[result("m0", "Complete", &[(0, 3.0), (2, 0.5)])], None);
    let (results, asked) = fetch(&[query("Errors", Stat::SampleCount, 0, 3)], vec![answer]).await;
    assert_eq!(results, [Ok(series(&[(0, 3.0), (2, 0.5)]))], "the minute without a point stays absent");
    let metric = json!({
        "Namespace": "AWS/Lambda",
        "MetricName": "Errors",
        "Dimensions": [
            { "Name": "ExecutedVersion", "Value": "42" },
            { "Name": "FunctionName", "Value": "checkout" },
            { "Name": "Resource", "Value": "checkout:live" },
        ],
    });
    let wanted = json!({
        "MetricDataQueries": [{
            "Id": "m0",
            "MetricStat": { "Metric": metric, "Period": 60, "Stat": "SampleCount" },
            "ReturnData": true,
        }],
        "StartTime": { "$time": START * 60 },
        "EndTime": { "$time": (START + 3) * 60 },
        "ScanBy": "TimestampAscending",
    });
    assert_eq!(asked, [wanted]);
}

#[tokio::test]
async fn statistics_and_periods_are_named_as_cloudwatch_names_them() {
    let bound = |value: f64| Bound::new(value).unwrap();
    let stats = [
        (Stat::Average, "Average"),
        (Stat::Percentile(bound(99.9)), "p99.9"),
        (Stat::Between(None, Some(bound(0.05))), "TC(:0.05)"),
        (Stat::Between(Some(bound(0.05)), Some(bound(88.2))), "TC(0.05:88.2)"),
        (Stat::Between(Some(bound(88.2)), None), "TC(88.2:)"),
    ];
    let queries: Vec<SeriesQuery> = stats.iter().map(|(stat, _)| query("Duration", *stat, 0, 3)).collect();
    let (_, asked) = fetch(&queries, vec![page(&[], None)]).await;
    let asked = asked[0]["MetricDataQueries"].as_array().unwrap();
    let mut named: Vec<&str> = asked.iter().map(|query| query["MetricStat"]["Stat"].as_str().unwrap()).collect();
    let mut wanted: Vec<&str> = stats.iter().map(|(_, name)| *name).collect();
    named.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(named, wanted);
}

/// Both periods in one call would be one window for CloudWatch, but different numbers of points.
#[tokio::test]
async fn hours_are_asked_apart_from_minutes() {
    let hours = SeriesQuery { period: Period::Hour, ..query("Duration", Stat::SampleCount, 0, 120) };
    let queries = [query("Duration", Stat::SampleCount, 0, 120), hours];
    let replies = vec![
        page(&[result("m0", "Complete", &[(0, 5.0)])], None),
        page(&[result("m0", "Complete", &[(60, 9.0)])], None),
    ];
    let (results, asked) = fetch(&queries, replies).await;
    assert_eq!(results, [Ok(series(&[(0, 5.0)])), Ok(series(&[(60, 9.0)]))]);
    let periods: Vec<&Value> = asked.iter().map(|body| &body["MetricDataQueries"][0]["MetricStat"]["Period"]).collect();
    assert_eq!(periods, [60, 3600]);
}

#[tokio::test]
async fn equal_queries_are_asked_once_and_empty_windows_never() {
    let queries = [
        query("Errors", Stat::Sum, 0, 3),
        query("Errors", Stat::Sum, 3, 3),
        query("Errors", Stat::SampleCount, 0, 3),
        query("Errors", Stat::Sum, 0, 3),
    ];
    let answer = page(&[result("m1", "Complete", &[(0, 7.0)]), result("m0", "Complete", &[(0, 1.0)])], None);
    let (results, asked) = fetch(&queries, vec![answer]).await;
    let (sum, count) = (Ok(series(&[(0, 1.0)])), Ok(series(&[(0, 7.0)])));
    assert_eq!(results, [sum.clone(), Ok(Series::new()), count, sum]);
    assert_eq!(asked.len(), 1);
}

#[tokio::test]
async fn pages_add_up_and_only_the_last_status_counts() {
    let queries = [query("A", Stat::Sum, 0, 3), query("B", Stat::Sum, 0, 3)];
    let first = [result("m0", "PartialData", &[(0, 1.0)]), result("m1", "Complete", &[(1, 5.0)])];
    let second = [result("m0", "Complete", &[(1, 2.0)])];
    let (results, asked) = fetch(&queries, vec![page(&first, Some("next")), page(&second, None)]).await;
    assert_eq!(results, [Ok(series(&[(0, 1.0), (1, 2.0)])), Ok(series(&[(1, 5.0)]))]);
    assert_eq!(asked[1]["NextToken"], "next");
}

#[tokio::test]
async fn anything_but_complete_data_is_an_error_of_that_query_alone() {
    let message = |mut result: Value| {
        result["Messages"] = json!([{ "Code": "Why", "Value": "try later" }]);
        result
    };
    let mut uneven = result("m0", "Complete", &[(0, 1.0)]);
    uneven["Values"] = json!([]);
    for (bad, told) in [
        (vec![result("m0", "PartialData", &[(0, 1.0)])], "GetMetricData failed: the answer is PartialData"),
        (
            vec![message(result("m0", "InternalError", &[]))],
            "GetMetricData failed: the answer is InternalError: try later",
        ),
        (
            vec![result("m0", "Forbidden", &[])],
            "GetMetricData was denied: the answer is Forbidden (it needs cloudwatch:GetMetricData)",
        ),
        (vec![result("m0", "SomethingNew", &[])], "GetMetricData failed: the answer is SomethingNew"),
        (vec![], "GetMetricData failed: the answer does not have this metric's data"),
        (vec![uneven], "GetMetricData failed: 1 times for 0 values"),
        (
            vec![result("m0", "Complete", &[(0, 1.0), (0, 2.0)])],
            "GetMetricData failed: two values, or none that is a number, for minute 2026-11-21T14:00:00Z",
        ),
    ] {
        let queries = [query("A", Stat::Sum, 0, 3), query("B", Stat::Sum, 0, 3)];
        let good = result("m1", "Complete", &[(2, 4.0)]);
        let results: Vec<Value> = bad.into_iter().chain([good]).collect();
        let (results, _) = fetch(&queries, vec![page(&results, None)]).await;
        assert_eq!(results, [Err(told.to_owned()), Ok(series(&[(2, 4.0)]))]);
    }
}

#[tokio::test]
async fn an_error_on_an_earlier_page_is_not_forgotten() {
    let queries = [query("A", Stat::Sum, 0, 3)];
    let pages = [page(&[result("m0", "InternalError", &[])], Some("n")), page(&[result("m0", "Complete", &[])], None)];
    let (results, _) = fetch(&queries, pages.to_vec()).await;
    assert_eq!(results, [Err("GetMetricData failed: the answer is InternalError".to_owned())]);
}

#[tokio::test]
async fn a_message_about_the_whole_answer_is_an_error_of_all() {
    let body = json!({
        "MetricDataResults": [result("m0", "Complete", &[])],
        "Messages": [{ "Code": "MaxMetricsExceeded", "Value": "too many" }],
    });
    let (results, _) = fetch(&[query("A", Stat::Sum, 0, 3)], vec![Reply::cbor(200, &body)]).await;
    assert_eq!(results, [Err("GetMetricData failed: too many".to_owned())]);
}

#[tokio::test]
async fn points_outside_of_the_window_are_not_taken() {
    let points = result("m0", "Complete", &[(-1, 1.0), (0, 2.0), (3, 3.0)]);
    let (results, _) = fetch(&[query("A", Stat::Sum, 0, 3)], vec![page(&[points], None)]).await;
    assert_eq!(results, [Ok(series(&[(0, 2.0)]))]);
}

#[tokio::test(start_paused = true)]
async fn a_query_that_cloudwatch_refuses_does_not_blind_the_others() {
    let queries: Vec<SeriesQuery> = ["A", "B", "C", "D"].map(|metric| query(metric, Stat::Sum, 0, 3)).into();
    let two = page(&[result("m0", "Complete", &[(0, 1.0)]), result("m1", "Complete", &[(0, 2.0)])], None);
    let one = page(&[result("m0", "Complete", &[(0, 3.0)])], None);
    let refused = || refused("ValidationError");
    let (results, asked) = fetch(&queries, vec![refused(), two, refused(), one, refused()]).await;
    assert_eq!(results[..3], [1.0, 2.0, 3.0].map(|value| Ok(series(&[(0, value)]))));
    assert_eq!(results[3], Err("GetMetricData was rejected: ValidationError: because".to_owned()));
    let sizes: Vec<usize> = asked.iter().map(|asked| asked["MetricDataQueries"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [4, 2, 2, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_told_to_every_query_of_the_call() {
    let queries = [query("A", Stat::Sum, 0, 3), query("B", Stat::Sum, 0, 3), query("A", Stat::Sum, 0, 3)];
    let (results, asked) = fetch(&queries, vec![refused("ThrottlingException"); 3]).await;
    assert_eq!(results, vec![Err("GetMetricData was throttled: ThrottlingException: because".to_owned()); 3]);
    assert_eq!(asked.len(), 3);
}

#[test]
fn searching_for_refused_queries_ends() {
    // The worst case of one wrong query among 500 fits into the calls that are spent.
    let mut calls = 1;
    let mut size: usize = 500;
    while size > 1 {
        size = size.div_ceil(2);
        calls += 2;
    }
    assert!(calls <= SEARCH_CALLS, "{calls}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_hold_every_query_once_within_the_limits(
        shapes in proptest::collection::vec((0..700_u32, 0..3_i64, 0..2000_i64), 0..1200)
    ) {
        let queries: Vec<SeriesQuery> =
            shapes.iter().map(|(metric, from, length)| query(&metric.to_string(), Stat::Sum, *from, from + length / 700 * 300)).collect();
        let mut places: Vec<usize> = Vec::new();
        for batch in batches(&queries) {
            let window = batch[0].query;
            let minutes = window.until.minutes_since(window.from);
            prop_assert!(batch.len() <= QUERIES_PER_CALL);
            prop_assert!(batch.len() * usize::try_from(minutes).unwrap() <= DATAPOINTS_PER_CALL);
            for question in &batch {
                prop_assert_eq!((question.query.from, question.query.until), (window.from, window.until));
                prop_assert!(question.places.iter().all(|place| &queries[*place] == question.query));
                places.extend(&question.places);
            }
        }
        places.sort_unstable();
        let expected: Vec<usize> = (0..queries.len()).filter(|i| queries[*i].from < queries[*i].until).collect();
        prop_assert_eq!(places, expected);
    }
}

#[test]
fn a_window_longer_than_a_call_allows_is_asked_alone() {
    let long = i64::try_from(DATAPOINTS_PER_CALL).unwrap() * 2;
    let queries = [query("A", Stat::Sum, 0, long), query("B", Stat::Sum, 0, long)];
    assert_eq!(batches(&queries).iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
}

fn alarms(metric: &[(&str, &str)], composite: &[Value], next: Option<&str>) -> Reply {
    let metric: Vec<Value> =
        metric.iter().map(|(name, state)| json!({ "AlarmName": name, "StateValue": state })).collect();
    let mut body = json!({ "MetricAlarms": metric, "CompositeAlarms": composite });
    if let Some(next) = next {
        body["NextToken"] = json!(next);
    }
    Reply::cbor(200, &body)
}

#[tokio::test]
async fn metric_and_composite_alarms_are_told_and_absent_ones_stay_absent() {
    let suppressed = |by: &str| json!({ "AlarmName": by, "StateValue": "ALARM", "ActionsSuppressedBy": by });
    let loud = json!({ "AlarmName": "loud", "StateValue": "ALARM" });
    let first = alarms(&[("ok", "OK"), ("none", "INSUFFICIENT_DATA")], &[loud], Some("more"));
    let second = alarms(&[("red", "ALARM")], &[suppressed("Alarm"), suppressed("WaitPeriod")], None);
    let (aws, script) = scripted([first, second]);
    let names = ["red", "ok", "none", "loud", "Alarm", "WaitPeriod", "gone", "red"].map(str::to_owned);
    let states = aws.states(&names).await.unwrap();
    let expected = [
        ("Alarm", AlarmState::InsufficientData),
        ("WaitPeriod", AlarmState::InsufficientData),
        ("loud", AlarmState::Alarm),
        ("none", AlarmState::InsufficientData),
        ("ok", AlarmState::Ok),
        ("red", AlarmState::Alarm),
    ];
    assert_eq!(states, expected.map(|(name, state)| (name.to_owned(), state)).into());
    let asked = script.asked()[0].cbor();
    assert_eq!(asked["AlarmTypes"], json!(["MetricAlarm", "CompositeAlarm"]));
    assert_eq!(asked["AlarmNames"], json!(["Alarm", "WaitPeriod", "gone", "loud", "none", "ok", "red"]));
}

#[tokio::test]
async fn no_name_asks_nothing_and_many_names_several_times() {
    for (names, calls) in [(0, 0), (1, 1), (100, 1), (101, 2), (250, 3)] {
        let (aws, script) = scripted(vec![alarms(&[], &[], None); calls]);
        let names: Vec<String> = (0..names).map(|i| i.to_string()).collect();
        assert_eq!(aws.states(&names).await.unwrap(), BTreeMap::new());
        assert_eq!(script.asked().len(), calls);
    }
}

#[tokio::test]
async fn an_unknown_alarm_state_is_not_an_ok() {
    for (state, told) in [("GREEN", "DescribeAlarms failed: a is in the unknown state GREEN")] {
        let (aws, _) = scripted([alarms(&[("a", state)], &[], None)]);
        assert_eq!(aws.states(&["a".to_owned()]).await.unwrap_err().to_string(), told);
    }
    assert!(alarm_state("a", None, false).is_err());
}
