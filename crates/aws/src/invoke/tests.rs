use serde_json::json;

use super::*;
use crate::testing::{Reply, scripted, target, version};

fn test(expect: Option<Value>, times: u32) -> Test {
    Test::Invoke(InvokeTest { payload: json!({ "path": "/health" }), expect, times })
}

#[test]
fn an_answer_may_have_more_than_was_expected_and_nothing_else() {
    for (expect, came, difference) in [
        (json!({}), json!({"a": 1}), None),
        (json!({"a": 1}), json!({"a": 1.0, "b": 2}), None),
        (json!({"a": {"b": [1, {"c": true}]}}), json!({"a": {"b": [1, {"c": true, "d": 0}], "e": null}}), None),
        (json!(null), json!(null), None),
        (json!("ok"), json!("ok"), None),
        (json!({"a": 1}), json!({"a": 2}), Some("the answer.a is 2, 1 was expected")),
        (json!({"a": 1}), json!({"a": "1"}), Some("the answer.a is \"1\", 1 was expected")),
        (json!({"a": {"b": 1}}), json!({"a": {}}), Some("the answer.a.b is missing, 1 was expected")),
        (json!({"a": null}), json!({}), Some("the answer.a is missing, null was expected")),
        (json!([1]), json!([1, 2]), Some("the answer is [1,2], [1] was expected")),
        (json!([1, {"a": 1}]), json!([1, {"a": 2}]), Some("the answer[1].a is 2, 1 was expected")),
        (json!({"a": 1}), json!([1]), Some("the answer is [1], {\"a\":1} was expected")),
        (json!({}), json!(null), Some("the answer is null, {} was expected")),
    ] {
        assert_eq!(super::difference("the answer", &expect, &came).as_deref(), difference, "{expect} {came}");
    }
}

#[tokio::test]
async fn a_test_asks_the_version_itself_and_reads_what_it_answers() {
    let ok = json!({ "statusCode": 200 });
    let answer = |body: &Value| Reply::json(200, body).with("x-amz-executed-version", "42");
    let cases: [(Reply, Option<Value>, Option<&str>); 6] = [
        (answer(&ok), Some(ok.clone()), None),
        (answer(&ok), None, None),
        (
            answer(&json!({ "statusCode": 500 })),
            Some(ok.clone()),
            Some("the answer.statusCode is 500, 200 was expected; v42 answered {\"statusCode\":500}"),
        ),
        (
            answer(&json!({ "errorMessage": "boom" })).with("x-amz-function-error", "Unhandled"),
            None,
            Some("v42 failed (Unhandled): {\"errorMessage\":\"boom\"}"),
        ),
        (
            Reply::json(200, &ok).with("x-amz-executed-version", "41"),
            Some(ok.clone()),
            Some("v41 answered in place of v42"),
        ),
        (
            Reply::Http { status: 200, headers: Vec::new(), body: b"fine".to_vec() },
            Some(ok.clone()),
            Some("v42 answered what is not JSON: fine"),
        ),
    ];
    for (reply, expect, failure) in cases {
        let (aws, script) = scripted([reply]);
        let outcome = aws.run(&target(), &version(42), &test(expect, 1)).await.unwrap();
        let expected = failure.map_or(TestOutcome::Passed, |text| TestOutcome::Failed(text.to_owned()));
        assert_eq!(outcome, expected);
        let asked = &script.asked()[0];
        assert_eq!(asked.line(), "POST /2015-03-31/functions/checkout/invocations?Qualifier=42");
        assert_eq!(asked.json(), json!({ "path": "/health" }));
    }
}

#[tokio::test(start_paused = true)]
async fn one_failure_among_many_fails_the_test_and_a_fault_is_not_a_failure() {
    let good = || Reply::json(200, &json!({}));
    let bad = || good().with("x-amz-function-error", "Unhandled");
    let (aws, _) = scripted((0..12).map(|i| if i == 9 { bad() } else { good() }));
    let outcome = aws.run(&target(), &version(42), &test(None, 10)).await.unwrap();
    assert_eq!(outcome, TestOutcome::Failed("v42 failed (Unhandled): {}".to_owned()));
    for (reply, kind) in [
        (Reply::Silence, FaultKind::TimedOut),
        (Reply::error(429, "TooManyRequestsException"), FaultKind::Throttled),
        (Reply::error(502, "EFSIOException"), FaultKind::Failed),
    ] {
        let (aws, script) = scripted([reply, good()]);
        let fault = aws.run(&target(), &version(42), &test(None, 1)).await.unwrap_err();
        assert_eq!(fault.kind, kind);
        assert_eq!(script.asked().len(), 1, "a test is never repeated behind one's back");
    }
}

/// A rollout has 20 s of an invocation, its look at the alias included: what is cut off there is not told from a bug.
#[tokio::test(start_paused = true)]
async fn a_silent_version_is_told_before_the_rollouts_time_is_over() {
    let (aws, _) = scripted([Reply::Silence]);
    let since = tokio::time::Instant::now();
    let fault = aws.run(&target(), &version(42), &test(None, 1)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::TimedOut);
    assert!(since.elapsed().as_secs() <= 15, "{:?}", since.elapsed());
}

#[test]
fn long_answers_are_cut_between_characters() {
    assert_eq!(quoted("ä"), "ä");
    assert_eq!(quoted(&"ä".repeat(301)), format!("{} ...", "ä".repeat(300)));
    assert_eq!(quoted(&"ä".repeat(300)), "ä".repeat(300));
}

/// It is shown on terminals, in notices and in the history.
#[test]
fn what_a_function_answers_does_nothing_where_it_is_shown() {
    let answer = InvokeOutput::builder().payload(Blob::new("{\"a\":\"\u{1b}[2J\u{202e}\u{9b}31m\"}")).build();
    let failed = outcome(&Version("7".to_owned()), Some(&serde_json::json!({ "a": "\u{1b}b" , "c\u{7}": 1 })), &answer);
    let TestOutcome::Failed(told) = failed else { panic!("{failed:?}") };
    assert!(!told.chars().any(text::is_harmful), "{told:?}");
    let missing = outcome(&Version("7".to_owned()), Some(&serde_json::json!({ "c\u{1b}]0;x\u{7}": 1 })), &answer);
    let TestOutcome::Failed(told) = missing else { panic!("{missing:?}") };
    assert!(!told.chars().any(text::is_harmful), "{told:?}");
}
