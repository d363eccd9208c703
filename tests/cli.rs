//! `coalmine start`, `status` and the others: the real command, the real functions, named as CloudFormation names them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Live, Said, Stage, Traffic, run_in, spawn_in};

const HEALTHY: Traffic = Traffic { requests: 2400, old_fails: 0.004, new_fails: 0.004 };

/// A stage with the two functions that people ask.
fn deployed(seed: u64) -> Stage {
    let stage = Stage::set_up(seed);
    for (name, handler) in [("coalmine-Command-1A2B3C", "command"), ("coalmine-Abort-4D5E6F", "abort")] {
        stage.cloud.create_bootstrap(name, handler, &stage.environment());
    }
    stage
}

fn spec_file(stage: &Stage, name: &str, fields: &Value) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{}-{name}.json", std::process::id()));
    std::fs::write(&path, stage.spec(fields).to_string()).expect("the spec is written");
    path
}

fn first_line(said: &Said) -> &str {
    said.out.lines().next().unwrap_or_else(|| panic!("{said:?}"))
}

fn json_of(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

#[test]
fn a_rollout_is_started_looked_at_held_and_stopped_from_the_command_line() {
    let mut stage = deployed(51);
    let spec = spec_file(&stage, "stopped", &json!({ "version": "1" }));
    let spec = spec.to_str().unwrap();
    let nothing = run_in(&stage.cloud, &["start", spec]);
    assert_eq!(
        (nothing.exit, nothing.out.as_str()),
        (Some(0), "v1 is live on checkout:live already: nothing to roll out\n")
    );
    let started = run_in(&stage.cloud, &["start", spec, "--version", "2", "--json"]);
    let rollout = json_of(&started);
    assert_eq!((started.exit, &rollout["id"], &rollout["startedBy"]), (Some(0), &json!("it"), &json!("mara")));
    stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");

    let status = run_in(&stage.cloud, &["status", "checkout"]);
    assert_eq!((status.exit, first_line(&status)), (Some(0), "BAKING  checkout:live  v1 -> v2 at 5 %  (it)"));
    let list = run_in(&stage.cloud, &["list"]);
    assert!(list.out.starts_with("> it  checkout:live      5%  bakes in step 1: "), "{list:?}");
    let paused = run_in(&stage.cloud, &["pause", "it", "--reason", "lunch"]);
    assert_eq!((paused.exit, first_line(&paused)), (Some(0), "PAUSED  checkout:live  v1 -> v2 at 5 %  (it)"));
    assert!(paused.out.contains("coalmine resume it   |   coalmine abort it"), "{paused:?}");
    let resumed = run_in(&stage.cloud, &["resume", "checkout:live"]);
    assert_eq!(resumed.exit, Some(0), "{resumed:?}");

    let aborted = run_in(&stage.cloud, &["abort", "it", "--reason", "wrong totals", "--by", "ada"]);
    assert_eq!((aborted.exit, stage.live()), (Some(0), Live::only("1")), "{aborted:?}");
    stage.next();
    let ended = run_in(&stage.cloud, &["status", "it"]);
    assert_eq!((ended.exit, first_line(&ended)), (Some(1), "ROLLED BACK  checkout:live  v1 -> v2  (it)"));
    let history = run_in(&stage.cloud, &["history", "it"]);
    assert!(history.out.contains("wrong totals") && history.out.contains("lunch"), "{history:?}");
    assert_eq!(json_of(&run_in(&stage.cloud, &["history", "it", "--json"]))["rollout"], "it");
    assert_eq!(run_in(&stage.cloud, &["list"]).out, "no rollout is running\n");
}

#[test]
fn a_pipeline_waits_for_the_end() {
    let mut stage = deployed(52);
    let spec = spec_file(&stage, "waits", &json!({ "after": { "watch": "5m" } }));
    let waits = spawn_in(&stage.cloud, &["start", spec.to_str().unwrap(), "--wait", "--timeout", "10m"]);
    let since = Instant::now();
    while stage.command(&json!({ "command": "list" }))["rollouts"].as_array().is_none_or(Vec::is_empty) {
        assert!(since.elapsed() < Duration::from_secs(60), "it does not start");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(stage.pass_until_ended(&HEALTHY, 120), "promoted");
    let said = Said::from(waits.wait_with_output().expect("it ends"));
    assert_eq!(said.exit, Some(0), "{said:?}");
    assert!(said.out.contains("\nPROMOTED  checkout:live  v1 -> v2  (it)\n"), "{said:?}");
}

#[test]
fn what_undo_prints_puts_traffic_back_without_coalmine() {
    let mut stage = deployed(53);
    stage.start(&json!({}));
    stage.pass_until(&HEALTHY, 5, |phase| phase == "baking");
    assert_eq!(stage.live(), Live::with("1", "2", 0.05));
    let undo = run_in(&stage.cloud, &["undo", "it", "--print"]);
    let (_, command) = undo.out.trim_end().split_once('\n').expect("a comment, then the command");
    let input =
        command.strip_prefix("aws lambda update-alias --cli-input-json '").and_then(|rest| rest.strip_suffix('\''));
    stage.cloud.update_alias(&serde_json::from_str(input.unwrap_or_else(|| panic!("{undo:?}"))).unwrap());
    assert_eq!(stage.live(), Live::only("1"));
}

#[test]
fn what_is_wrong_with_a_question_is_said_with_what_would_be_right() {
    let stage = deployed(54);
    let none = run_in(&stage.cloud, &["status", "nobody"]);
    assert_eq!(none.exit, Some(2), "{none:?}");
    assert!(none.err.contains("nobody"), "{none:?}");
    let elsewhere = run_in(&stage.cloud, &["list", "--stack", "canary"]);
    assert_eq!(elsewhere.exit, Some(2));
    assert!(elsewhere.err.starts_with("no function canary-Command-... is in this account and region"), "{elsewhere:?}");
    let spec = spec_file(&stage, "wrong", &json!({}));
    for (version, says) in [("$LATEST", "version: "), ("live", "version: ")] {
        let wrong = run_in(&stage.cloud, &["start", spec.to_str().unwrap(), "--version", version]);
        assert!(wrong.exit == Some(2) && wrong.err.starts_with(says), "{wrong:?}");
    }
    let stopping = run_in(&stage.cloud, &["promote", "it", "--function", "coalmine-Abort-4D5E6F"]);
    assert!(stopping.exit == Some(2) && stopping.err.contains("only aborts and pauses"), "{stopping:?}");
    let missing = run_in(&stage.cloud, &["list", "--function", "no-such-function"]);
    assert_eq!(missing.exit, Some(4), "{missing:?}");
}
