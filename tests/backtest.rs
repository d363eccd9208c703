//! `coalmine backtest` on an emulated CloudWatch, by the real command.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Stage, Traffic, run_in};
use crate::recordings::{BOTH, FINE, recorded_past};

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("backtest-{}-{name}", std::process::id()))
}

/// The exit status, and the answer as JSON.
fn backtest(stage: &Stage, options: &[&str]) -> (Option<i32>, Value) {
    let spec = scratch("spec.json");
    let checks = json!([{ "errors": { "tolerate": "1pt" } }, { "latency": {} }]);
    std::fs::write(&spec, stage.spec(&json!({ "checks": checks })).to_string()).expect("the spec is written");
    let words = [&["backtest", spec.to_str().expect("a path"), "--json"], options].concat();
    let said = run_in(&stage.cloud, &words);
    let answer = serde_json::from_str(&said.out);
    (said.exit, answer.unwrap_or_else(|error| panic!("{error}: {}{}", said.out, said.err)))
}

#[test]
fn a_spec_is_tried_on_what_cloudwatch_has() {
    let failing = Traffic { new_fails: 0.02, ..FINE };
    for (name, traffic, verdict, exit) in [("failing", failing, "fail", 0), ("fine", FINE, "pass", 1)] {
        let (stage, from) = recorded_past(63, &traffic, 1.0);
        let (from, to) = (from.start().to_string(), from.plus(BOTH).start().to_string());
        let span = ["--from", &from, "--to", &to];

        // Would it have been caught?
        let (code, answer) = backtest(&stage, &[&span[..], &["--old", "1", "--new", "2"]].concat());
        let happened = &answer["happened"][0];
        assert_eq!((code, happened["verdict"].as_str()), (Some(exit), Some(verdict)), "{name}: {answer:#}");
        assert_eq!((happened["old"].as_str(), happened["new"].as_str()), (Some("1"), Some("2")), "{name}: {answer:#}");

        // The same release, found by itself.
        let (code, answer) = backtest(&stage, &["--last", "2h", "--find"]);
        let found = answer["happened"].as_array().expect("there are releases");
        assert_eq!((code, found.len()), (Some(0), 1), "{name}: {answer:#}");
        let seen = ["old", "new", "how", "verdict"].map(|field| found[0][field].as_str().unwrap_or_default());
        assert_eq!(seen, ["1", "2", "beside", verdict], "{name}: {answer:#}");
    }
}

#[test]
fn the_old_versions_past_is_split_and_can_be_kept() {
    let (stage, _) = recorded_past(64, &FINE, 1.0);
    let kept = scratch("kept.jsonl");
    let kept = kept.to_str().expect("a path");
    let (code, answer) = backtest(&stage, &["--last", "3h", "--runs", "3", "--save", kept]);
    assert_eq!(code, Some(0), "{answer:#}");
    let traffic = &answer["study"]["traffic"][0];
    assert!((80..=90).contains(&traffic["minutes"].as_u64().unwrap_or(0)), "those of one version: {answer:#}");
    assert_eq!(traffic["leftOut"], json!([]), "{answer:#}");
    let worse = answer["study"]["worse"].as_array().expect("there are worse releases");
    assert_eq!(worse.len(), 6, "{answer:#}");
    let (code, again) = backtest(&stage, &["--recording", kept, "--runs", "3"]);
    assert_eq!(code, Some(0), "{again:#}");
    assert_eq!(&again["study"]["traffic"][0], traffic, "what was kept is what was read");
}
