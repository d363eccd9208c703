//! `coalmine record` and `coalmine analyze`: from an emulated CloudWatch to a verdict, by the real command.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coalmine_core::units::Minute;
use serde_json::{Value, json};

use crate::harness::{Live, Served, Stage, Traffic, coalmine, command_in};

/// Minutes of both versions, and of the old one alone before them.
pub const BOTH: i64 = 20;
const ALONE: i64 = 90;
/// CloudWatch is complete up to three minutes ago; one more, in case the minute ends while the stage is set up.
const AGO: i64 = 4;

pub const FINE: Traffic = Traffic { requests: 6000, old_fails: 0.004, new_fails: 0.004 };

/// A stage whose past has both versions side by side, and the minute they begin with.
pub fn recorded_past(seed: u64, traffic: &Traffic, slower: f64) -> (Stage, Minute) {
    let mut stage = Stage::without_history(seed);
    let now = stage.minute;
    for ago in 1..=ALONE {
        stage.put_past(AGO + BOTH + ago, Served { requests: 6000, errors: 24 }, Some(1.0));
    }
    stage.cloud.set_alias("checkout", "live", &Live::with("1", "2", 0.2));
    for ago in (1..=BOTH).rev() {
        stage.minute = now.plus(-(AGO + ago));
        stage.serve_as_routed_taking(traffic, slower);
    }
    stage.minute = now;
    (stage, now.plus(-(AGO + BOTH)))
}

fn record(stage: &Stage, from: Minute, canary: &str, out: &Path) -> Output {
    let (from, to) = (from.start().to_string(), from.plus(BOTH).start().to_string());
    command_in(&stage.cloud, &[])
        .args(["record", "--function", "checkout", "--alias", "live", "--baseline", "1", "--canary", canary])
        .args(["--from", &from, "--to", &to, "--history", "80m", "--out"])
        .arg(out)
        .output()
        .expect("coalmine runs")
}

fn analyze(stage: &Stage, recording: &Path) -> (Option<i32>, Value) {
    let spec = recording.with_extension("spec.json");
    let checks = json!([{ "errors": { "tolerate": "1pt" } }, { "latency": {} }]);
    std::fs::write(&spec, stage.spec(&json!({ "checks": checks })).to_string()).expect("the spec is written");
    let output = Command::new(coalmine())
        .arg("analyze")
        .arg("--spec")
        .arg(&spec)
        .arg(recording)
        .arg("--json")
        .output()
        .expect("coalmine runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let verdict = serde_json::from_str(&said);
    let verdict = verdict.unwrap_or_else(|error| panic!("{error}: {said}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), verdict)
}

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("recording-{}-{name}.jsonl", std::process::id()))
}

/// Every minute's requests are all there, and the histograms hold about as many.
fn expect_what_was_served(lines: &[Value]) {
    let (past, both) = lines.split_at(lines.len() - BOTH as usize);
    assert!((75..=80).contains(&past.len()), "{} minutes of history", past.len());
    for line in past {
        assert_eq!(line["baseline"]["requests"], 6000.0, "{line}");
        assert_eq!(line["baseline"]["errors"], 24.0, "{line}");
        assert!(line.get("canary").is_none(), "{line}");
    }
    for line in both {
        let of = |arm: &str, count: &str| line[arm][count].as_f64().unwrap_or_else(|| panic!("no {count}: {line}"));
        let (old, new) = (of("baseline", "requests"), of("canary", "requests"));
        assert!((old + new - 6000.0).abs() < 1e-9, "{line}");
        assert!((1000.0..1400.0).contains(&new), "a fifth: {line}");
        for (arm, requests) in [("baseline", old), ("canary", new)] {
            let counts = line[arm]["latency"]["counts"].as_array().unwrap_or_else(|| panic!("no latency: {line}"));
            let counted: f64 = counts.iter().filter_map(Value::as_f64).sum();
            assert!((counted / requests - 1.0).abs() < 0.01, "{counted} of {requests}: {line}");
        }
    }
}

#[test]
fn what_cloudwatch_has_of_two_versions_is_recorded_and_judged() {
    let failing = Traffic { new_fails: 0.02, ..FINE };
    for (name, traffic, slower, verdict, exit, worse) in [
        ("fine", FINE, 1.0, "pass", 0, None),
        ("failing", failing, 1.0, "fail", 1, Some("errors")),
        ("slow", FINE, 1.5, "fail", 1, Some("latency")),
    ] {
        let (stage, from) = recorded_past(61, &traffic, slower);
        let path = scratch(name);
        let recorded = record(&stage, from, "2", &path);
        let said = String::from_utf8_lossy(&recorded.stderr).into_owned();
        assert_eq!(recorded.status.code(), Some(0), "{name}: {said}");
        assert!(said.contains("20 minutes of both versions"), "{name}: {said}");
        let text = std::fs::read_to_string(&path).expect("the recording is there");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
        expect_what_was_served(&lines);

        let (code, judged) = analyze(&stage, &path);
        assert_eq!((code, judged["verdict"].as_str()), (Some(exit), Some(verdict)), "{name}: {judged:#}");
        let checks = judged["checks"].as_array().expect("there are checks");
        let failed =
            checks.iter().filter(|check| check["verdict"] == "fail").filter_map(|check| check["check"].as_str());
        assert_eq!(failed.collect::<Vec<_>>(), worse.into_iter().collect::<Vec<_>>(), "{name}: {judged:#}");
    }
}

#[test]
fn a_version_without_requests_is_nothing_to_record() {
    let (stage, from) = recorded_past(62, &FINE, 1.0);
    let path = scratch("nobody");
    let recorded = record(&stage, from, "3", &path);
    assert_eq!(recorded.status.code(), Some(3), "{}", String::from_utf8_lossy(&recorded.stderr));
    assert!(!path.exists());
}
