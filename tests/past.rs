//! What the real functions learn from the past in an emulated CloudWatch, and what they do with it.

use serde_json::{Value, json};

use crate::harness::{Live, Served, Stage, Traffic};

const HEALTHY: Traffic = Traffic { requests: 2400, old_fails: 0.004, new_fails: 0.004 };

/// A check of the plan as `status` shows it.
fn planned(status: &Value, name: &str) -> Value {
    let checks = status["plan"]["checks"].as_array().unwrap_or_else(|| panic!("no plan in {status:#}"));
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {status:#}")).clone()
}

fn learned_sentences(status: &Value) -> Vec<String> {
    let history = status["history"].as_array().unwrap_or_else(|| panic!("no history in {status:#}"));
    let learned = history.iter().filter(|event| event["why"]["kind"] == "learned");
    let sentences = learned.filter_map(|event| event["why"]["sentences"].as_array()).flatten();
    sentences.filter_map(|sentence| sentence.as_str().map(str::to_owned)).collect()
}

#[test]
fn hours_of_errors_are_learned_and_the_minutes_of_an_earlier_rollout_are_left_out() {
    let stage = Stage::without_history(51);
    for ago in 1..=200 {
        stage.put_past(ago, Served { requests: 600, errors: 6 }, None);
    }
    // Half an hour in which version 1 had 90 % of it.
    for ago in 100..130 {
        stage.put_version_alone("1", ago, Served { requests: 540, errors: 5 });
    }
    stage.start(&json!({}));
    let status = stage.status();
    let learned = planned(&status, "errors")["learned"].clone();
    let minutes = learned["minutes"].as_u64().unwrap_or_else(|| panic!("nothing learned: {status:#}"));
    assert!((160..=170).contains(&minutes), "{minutes} minutes: {learned:#}");
    let events = &learned["events"];
    let (requests, failed) = (events["requests"].as_f64().unwrap(), events["events"].as_f64().unwrap());
    assert!((failed / requests - 0.01).abs() < 1e-9, "{events}");
    let said = learned_sentences(&status);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("errors: "), "{said:?}");
}

#[test]
fn an_empty_past_is_an_answer() {
    let mut stage = Stage::without_history(52);
    stage.start(&json!({}));
    assert!(stage.status()["learnedAt"].is_string(), "{:#}", stage.status());
    stage.next();
    assert_eq!(stage.live(), Live::with("1", "2", 0.05));
}

/// The emulator answers `TC` with an average, which the probe notices; its percentiles are right.
#[test]
fn latency_is_judged_by_percentiles_where_counts_do_not_add_up() {
    let spec = json!({
        "checks": [{ "errors": { "tolerate": "1pt" } }, { "latency": {} }],
        "strategy": { "steps": [{ "weight": "20%", "bake": "3m" }] },
        "after": { "watch": "5m" },
    });
    for (slower, end) in [(1.0, "promoted"), (2.0, "rolledBack")] {
        let mut stage = Stage::without_history(53);
        for ago in 1..=90 {
            stage.put_past(ago, Served { requests: 600, errors: 2 }, Some(1.0));
        }
        stage.start(&spec);
        let latency = planned(&stage.status(), "latency");
        assert_eq!(latency["distribution"]["read"], "percentiles", "{latency:#}");
        let counted = latency["learned"]["distribution"]["counts"].as_array().map_or(0, Vec::len);
        assert!(counted > 10, "{latency:#}");
        for _ in 0..60 {
            stage.serve_as_routed_taking(&Traffic { requests: 1200, ..HEALTHY }, slower);
            stage.next();
            if stage.has_ended() {
                break;
            }
        }
        assert_eq!(stage.phase(), end, "{slower}: {:#}", stage.status());
        let why = stage.status()["phase"]["why"].to_string();
        assert!(end == "promoted" || why.contains("latency: "), "{why}");
    }
}
