//! The report of a rollout that has ended, in a bucket: the real function, with what its role allows.

use serde_json::{Value, json};

use crate::events::event;
use crate::harness::Stage;
use crate::hooks::HEALTHY;
use crate::permissions::{REPORTS, fires, long_release};

/// As the rule hands it on.
fn ended(stage: &Stage, rollout: &str) -> Value {
    let mut event = event("report");
    event["detail"]["rollout"] = rollout.into();
    event["detail"]["phase"] = stage.phase().into();
    event
}

/// Names in the bucket.
fn files(stage: &Stage) -> Vec<String> {
    let listed = stage.cloud.list_bucket(REPORTS);
    listed.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned())).collect()
}

#[test]
fn the_end_of_a_rollout_is_reported_and_the_same_again() {
    let mut stage = long_release(75, "checkout-5xx");
    assert_eq!(stage.status()["report"], Value::Null, "it has not ended");
    // Whoever says so does not make it so.
    let mut early = ended(&stage, "it");
    early["detail"]["phase"] = "promoted".into();
    let message = "no rollout it has ended; no report was written";
    assert_eq!(stage.invoke("report", &early)["errors"][0]["message"], message);
    fires(&stage, "checkout-5xx");
    assert_eq!(stage.pass_until_ended(&HEALTHY, 3), "rolledBack");
    let status = stage.status();
    assert!(status["report"].as_str().is_some_and(|link| link.ends_with("/coalmine/it.html")), "{status:#}");

    let event = ended(&stage, "it");
    let refused = stage.try_invoke("report", &event).unwrap_err();
    assert_eq!(refused["errorType"], "ServiceFault", "{refused}");
    let message = refused["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("PutObject was rejected: NoSuchBucket: "), "{message}");

    stage.cloud.create_bucket(REPORTS);
    let before = stage.items();
    let first = stage.invoke("report", &event);
    let link = first["report"].as_str().unwrap_or_else(|| panic!("{first:#}"));
    assert!(link.ends_with(&format!("/{REPORTS}/coalmine/it.html")), "{link}");
    assert_eq!(first["unread"], json!([]), "{first:#}");
    let (content_type, page) = stage.cloud.object(REPORTS, "coalmine/it.html").unwrap();
    assert_eq!(content_type, "text/html; charset=utf-8");
    says_what_happened(&page);

    let second = stage.invoke("report", &event);
    assert_eq!(second["report"], first["report"]);
    assert_eq!(files(&stage), ["coalmine/it.html"]);
    assert_eq!(stage.items(), before, "it changes nothing");

    // What never was, and what would lead elsewhere. It would not help to ask again, so it is an answer and no failure.
    for (id, shown) in [("nobody", "nobody"), ("../../it", "../../it")] {
        let gone = stage.invoke("report", &ended(&stage, id));
        let message = format!("no rollout {shown} has ended; no report was written");
        assert_eq!(gone, json!({ "errors": [{ "path": "detail.rollout", "message": message }] }));
    }
    let wrong = stage.try_invoke("report", &ended(&stage, "a\u{1b}[2J")).unwrap_err();
    assert!(wrong["errorMessage"].as_str().unwrap().contains("with characters that no name has"), "{wrong}");
    assert_eq!(files(&stage), ["coalmine/it.html"]);
}

/// It is a document, whose first words are the verdict, and everything that was counted stands in it.
fn says_what_happened(page: &str) {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    let document =
        roxmltree::Document::parse_with_options(page, options).unwrap_or_else(|error| panic!("{error}: {page}"));
    let first = |name: &str| {
        let node = document.descendants().find(|node| node.has_tag_name(name)).unwrap_or_else(|| panic!("no {name}"));
        node.descendants().filter(|node| node.is_text()).filter_map(|node| node.text()).collect::<String>()
    };
    assert_eq!(first("title"), "ROLLED BACK: checkout:live v1 to v2 - Coalmine");
    assert_eq!(first("h1"), "checkout:live v1 to v2");
    for said in ["checkout-5xx", "https://us-east-1.console.aws.amazon.com/"] {
        assert!(page.contains(said), "no {said}");
    }
    let rows = document.descendants().filter(|node| node.has_tag_name("tr")).count();
    assert!(rows > 30, "{rows} rows of 40 minutes");
}
