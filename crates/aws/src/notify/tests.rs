use coalmine_core::units::Weight;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Reply, rollout, scripted_with, target};
use crate::{AwsConfig, ReportsConfig};

fn notice() -> Notice {
    rollout().outbox.remove(0)
}

fn config(bus: bool, topic: bool) -> AwsConfig {
    AwsConfig {
        event_bus: bus.then(|| "releases".to_owned()),
        topic_arn: topic.then(|| "arn:aws:sns:eu-west-1:111122223333:releases".to_owned()),
        ..AwsConfig::default()
    }
}

fn events(failed: u32, entry: &Value) -> Reply {
    Reply::json(200, &json!({ "FailedEntryCount": failed, "Entries": [entry] }))
}

fn published() -> Reply {
    let body = "<PublishResponse><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";
    Reply::Http { status: 200, headers: Vec::new(), body: body.as_bytes().to_vec() }
}

#[tokio::test]
async fn a_notice_goes_where_it_is_wanted() {
    for (bus, topic) in [(false, false), (true, false), (false, true), (true, true)] {
        let wanted = [bus.then(|| events(0, &json!({ "EventId": "1" }))), topic.then(published)];
        let (aws, script) = scripted_with(config(bus, topic), wanted.into_iter().flatten());
        aws.publish(&notice()).await.unwrap();
        assert_eq!(script.asked().len(), usize::from(bus) + usize::from(topic));
    }
}

#[tokio::test]
async fn the_event_is_the_notice_and_the_message_too() {
    let (aws, script) = scripted_with(config(true, true), [events(0, &json!({ "EventId": "1" })), published()]);
    aws.publish(&notice()).await.unwrap();
    let asked = script.asked();
    let entry = &asked[0].json()["Entries"][0];
    assert_eq!(entry["Source"], "coalmine");
    assert_eq!(entry["DetailType"], "Coalmine Rollout State Change");
    assert_eq!(entry["EventBusName"], "releases");
    let detail: Notice = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
    assert_eq!(detail, notice());
    let form = String::from_utf8(asked[1].body.clone()).unwrap();
    assert!(form.contains("Subject=Coalmine%3A%20checkout%3Alive%20v42%20is%20watched%20%285%25%29"), "{form}");
    assert!(form.contains("Message=%7B%22key%22%3A%22checkout-42%2F2%22"), "{form}");
}

/// Whoever hears of an end has the address at hand, in whatever way it is heard; before an end there is nothing to read.
#[tokio::test]
async fn an_end_is_told_with_the_address_of_its_report() {
    let reports = |url: Option<&str>| {
        Some(ReportsConfig { bucket: "shop".to_owned(), prefix: "coalmine".to_owned(), url: url.map(str::to_owned) })
    };
    let link = "https://shop.s3.eu-west-1.amazonaws.com/coalmine/checkout-42.html";
    let ends = [PhaseName::Promoted, PhaseName::RolledBack, PhaseName::Superseded];
    let others = [PhaseName::Pending, PhaseName::Baking, PhaseName::Paused, PhaseName::RollingBack];
    let rows = ends.map(|phase| (phase, reports(None), Some(link))).into_iter();
    let rows = rows.chain(ends.map(|phase| (phase, None, None)));
    let rows = rows.chain(others.map(|phase| (phase, reports(None), None)));
    let elsewhere =
        (PhaseName::RolledBack, reports(Some("https://r.example")), Some("https://r.example/checkout-42.html"));
    for (phase, reports, expected) in rows.chain([elsewhere]) {
        let config = AwsConfig { reports, ..config(true, true) };
        let (aws, script) = scripted_with(config, [events(0, &json!({ "EventId": "1" })), published()]);
        let notice = Notice { phase, ..notice() };
        aws.publish(&notice).await.unwrap();
        let asked = script.asked();
        let detail = asked[0].json()["Entries"][0]["Detail"].as_str().unwrap().to_owned();
        let message = asked[1].form().into_iter().find(|(name, _)| name == "Message").unwrap().1;
        for told in [detail, message] {
            let told: Value = serde_json::from_str(&told).unwrap();
            assert_eq!(told.get("report").and_then(Value::as_str), expected, "{phase:?}");
            assert_eq!(serde_json::from_value::<Notice>(told).unwrap(), notice, "it is the notice as it was");
        }
    }
}

/// A topic's message is read in a mail, an event's detail in whatever it goes to.
#[tokio::test]
async fn hostile_names_do_nothing_in_a_notice_and_are_told_as_they_are() {
    let evil = "a\u{1b}[2J\u{9b}31m\r\n\u{202e}b\u{2066}\u{2028}\u{feff}<script>alert(1)</script>&\"'".to_owned();
    let names = || Notice { rollout: evil.clone(), target: evil.clone(), why: evil.clone(), ..notice() };
    let (aws, script) = scripted_with(config(true, true), [events(0, &json!({ "EventId": "1" })), published()]);
    aws.publish(&names()).await.unwrap();
    let asked = script.asked();
    let detail = asked[0].json()["Entries"][0]["Detail"].as_str().unwrap().to_owned();
    let form = String::from_utf8(asked[1].body.clone()).unwrap();
    let field = |name: &str| {
        let value = form.split('&').find_map(|field| field.strip_prefix(name)).unwrap();
        percent_decoded(value)
    };
    for text in [detail, field("Message="), field("Subject=")] {
        assert_eq!(text.chars().find(|c| coalmine_core::text::is_harmful(*c)), None, "{text:?}");
    }
    assert_eq!(serde_json::from_str::<Notice>(&field("Message=")).unwrap(), names());
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_failed_inside_of_a_successful_answer_is_a_fault() {
    for (code, kind) in [
        ("ThrottlingException", FaultKind::Throttled),
        ("InternalFailure", FaultKind::Failed),
        ("AccessDeniedException", FaultKind::Denied),
    ] {
        let entry = json!({ "ErrorCode": code, "ErrorMessage": "because" });
        let (aws, script) = scripted_with(config(true, true), [events(1, &entry)]);
        let fault = aws.publish(&notice()).await.unwrap_err();
        assert_eq!(fault.kind, kind);
        assert!(fault.detail.starts_with(&format!("{code}: because")), "{fault}");
        assert_eq!(script.asked().len(), 1, "the rest is told again with the repetition");
    }
}

#[tokio::test]
async fn a_verdict_is_a_metric_of_its_target() {
    let spec = json!({ "coalmine": "v1", "name": "shop-7", "target": { "alb": {
        "rule": "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener-rule/app/shop/9a8b7c6d5e4f3a2b/443/1a2b3c4d5e6f7a8b",
        "targetGroups": ["green", "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/blue/1a2b3c4d5e6f7a8b"],
    } } });
    let balancer = coalmine_core::spec::from_value(&spec).unwrap().spec.target;
    let alias = json!([{ "Name": "Function", "Value": "checkout" }, { "Name": "Alias", "Value": "live" }]);
    let groups = json!([{ "Name": "TargetKey", "Value": "alb/blue+green" }]);
    for (target, dimensions) in [(target(), alias), (balancer, groups)] {
        for (worse, value) in [(true, 1.0), (false, 0.0)] {
            let (aws, script) = scripted_with(config(false, false), [Reply::cbor(200, &json!({}))]);
            aws.measure(&target, worse).await.unwrap();
            let datum = json!({ "MetricName": "Verdict", "Dimensions": dimensions, "Value": value });
            assert_eq!(script.asked()[0].cbor(), json!({ "Namespace": "Coalmine", "MetricData": [datum] }));
            assert!(script.asked()[0].uri.ends_with("/operation/PutMetricData"), "{}", script.asked()[0].uri);
        }
    }
    let denied = Reply::cbor(400, &json!({ "__type": "AccessDeniedException", "message": "because" }));
    let (aws, _) = scripted_with(config(false, false), [denied]);
    let told = "PutMetricData was denied: AccessDeniedException: because (it needs cloudwatch:PutMetricData)";
    assert_eq!(aws.measure(&target(), true).await.unwrap_err().to_string(), told);
}

#[test]
fn a_subject_is_a_line_that_sns_takes() {
    let long = Notice { target: "f".repeat(200), ..notice() };
    let odd =
        Notice { target: "käse\n:live".to_owned(), phase: PhaseName::RolledBack, weight: Weight::ZERO, ..notice() };
    assert_eq!(subject(&long).len(), 100);
    assert_eq!(subject(&odd), "Coalmine: k?se?:live v42 was rolled back (0%)");
}
