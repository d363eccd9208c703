//! Events that were made to hurt: each is refused at once, and says which limit it is beyond.

use std::time::{Duration, Instant};

use coalmine_core::command::Request;
use coalmine_core::probe::{problems, told};
use coalmine_core::recording::Reader;
use serde_json::{Value, json};

use crate::command::{self, Allowed};
use crate::{alarm, hook, probe, report};

/// Far more than any takes, on a slow machine and without optimisation.
const AT_ONCE: Duration = Duration::from_secs(20);

fn started(spec: Value) -> Vec<String> {
    let refused = command::read(&json!({ "command": "start", "spec": spec }), Allowed::Everything).unwrap_err();
    problems(&refused).unwrap();
    refused.iter().map(ToString::to_string).collect()
}

fn with(field: &str, value: Value) -> Value {
    let mut spec = json!({ "coalmine": "v1", "target": { "lambda": { "function": "f", "alias": "a" } } });
    spec[field] = value;
    spec
}

#[test]
fn hostile_specs_are_refused_with_the_limit() {
    let deep = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    let alias_bomb = (1..10).fold("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, n| {
        let again = format!("*a{},", n - 1).repeat(9);
        format!("{text}a{n}: &a{n} [{again}]\n")
    });
    let large = "the document is too large: at most 262144 bytes, 32 levels deep, and keys of 256 bytes";
    for (name, spec, limit) in [
        ("10 MB of text", json!("a: b # c\n".repeat(1_200_000)), "at most 262144 are read"),
        ("10 MB in one value", with("name", json!("a".repeat(10_000_000))), large),
        ("100,000 checks", with("checks", json!(vec![json!({ "errors": {} }); 100_000])), large),
        ("10,000 checks", with("checks", json!(vec![json!("errors"); 10_000])), "at most 20 are allowed"),
        ("1,000,000 alarms", with("alarms", json!(vec!["a"; 1_000_000])), large),
        ("100,000 alarms", with("alarms", json!(vec!["a"; 100_000])), "at most 95 are allowed"),
        ("100 levels of a value", with("tests", deep(100)), large),
        ("100,000 levels of text", json!(format!("coalmine: {}", "[".repeat(100_000))), "this is not YAML"),
        ("a billion laughs", json!(alias_bomb), "YAML aliases (`*name`) are not supported"),
        ("a key of a megabyte", json!({ "k".repeat(1_000_000): 1 }), large),
        ("a key of a kilobyte, as text", json!(format!("{}: 1", "k".repeat(1000))), "at most 256 bytes long"),
    ] {
        let began = Instant::now();
        let refused = started(spec);
        assert!(refused.iter().any(|line| line.contains(limit)), "{name}: {refused:?}");
        assert!(began.elapsed() < AT_ONCE, "{name} took {:?}", began.elapsed());
    }
}

#[test]
fn hostile_events_are_refused_with_the_limit() {
    let endless = "x".repeat(5_000_000);
    let fired = |name: &str| {
        json!({ "source": "aws.cloudwatch", "time": "2026-11-21T14:02:00Z",
            "alarmData": { "alarmName": name, "state": { "value": "ALARM" } } })
    };
    let now = "2026-11-21T14:02:00Z".parse().unwrap();
    let limit = "has 5000000 bytes; at most 2048 are read";
    let refused = [
        alarm::read(&fired(&endless)).unwrap_err().to_string(),
        hook::read(&json!({ "DeploymentId": endless }), now).unwrap_err().to_string(),
        hook::read(&json!({ "source": endless }), now).unwrap_err().to_string(),
        report::read(&json!({ "source": "coalmine", "detail-type": endless })).unwrap_err().to_string(),
    ];
    for line in refused {
        assert!(line.contains(limit), "{line}");
        told(&line, 700).unwrap();
    }
    let evil = alarm::read(&fired("a\u{1b}[2J\u{202e}")).unwrap_err().to_string();
    assert!(evil.contains("with characters that no name has"), "{evil}");
    told(&evil, 700).unwrap();
    let rollout = json!({ "command": "abort", "rollout": "a\u{1b}[2J" });
    problems(&Request::parse(&rollout).unwrap_err()).unwrap();
    for event in
        [json!({ "command": endless }), json!(endless), json!({ "lifecycleStage": endless }), json!([[[endless]]])]
    {
        probe::event(event.to_string().as_bytes()).unwrap();
    }
    // Found so: the nearest known command was looked for in minutes and hundreds of megabytes.
    let began = Instant::now();
    let unknown = command::read(&json!({ "command": "x".repeat(5_000_000) }), Allowed::Stopping).unwrap_err();
    problems(&unknown).unwrap();
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    // serde_json reads no deeper than 128 levels, wherever an event comes from.
    assert!(serde_json::from_str::<Value>(&"[".repeat(100_000)).is_err());
}

#[test]
fn hostile_recordings_are_refused_with_the_limit() {
    for (name, line, limit) in [
        ("10 MB", vec![b' '; 10_000_000], None),
        ("10 MB of a number", vec![b'1'; 10_000_000], Some("more than the 262144 that are read")),
        ("100,000 levels", vec![b'['; 100_000], Some("recursion limit exceeded")),
        (
            "a key of 200 KB",
            format!("{{\"{}\": 1}}", "k\u{7f}".repeat(100_000)).into_bytes(),
            Some("is no field of a recording"),
        ),
        (
            "10,000 rates",
            format!(
                "{{\"minute\": 0, \"baseline\": {{\"rates\": {{{}}}}}}}",
                (0..10_000).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(",")
            )
            .into_bytes(),
            Some("at most 64 are read"),
        ),
    ] {
        let began = Instant::now();
        match (Reader::default().read(&line), limit) {
            (Ok(None), None) => {}
            (Err(refused), Some(limit)) => {
                problems(std::slice::from_ref(&refused.problem)).unwrap();
                assert!(refused.problem.to_string().contains(limit), "{name}: {}", refused.problem);
            }
            (other, _) => panic!("{name}: {other:?}"),
        }
        assert!(began.elapsed() < AT_ONCE, "{name} took {:?}", began.elapsed());
    }
}
