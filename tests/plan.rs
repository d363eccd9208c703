//! `coalmine plan`, `fit` and `doctor`: the real command, which looks at an emulated account and changes nothing.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Live, Said, Served, Stage, StageAlb};

/// Minutes of the past: enough for hours, and for the history that a start reads.
const MINUTES: i64 = 180;

/// An alias with three hours of 100 requests a second, of which 0.4 % fail.
fn with_a_past(seed: u64) -> Stage {
    let stage = Stage::without_history(seed);
    (1..=MINUTES).for_each(|ago| stage.put_past(ago, Served { requests: 6000, errors: 24 }, Some(1.0)));
    stage
}

fn json_of(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

const PLAN: [&str; 8] = ["plan", "--function", "checkout", "--alias", "live", "--runs", "1", "--json"];

fn run_on(stage: &Stage, arguments: &[&str]) -> Said {
    stage.command_line(arguments).output().expect("coalmine runs").into()
}

#[test]
fn a_plan_is_of_the_traffic_that_there_was_and_changes_nothing() {
    let stage = with_a_past(71);
    let before = stage.alias_revision();
    let said = run_on(&stage, &PLAN);
    let plan = json_of(&said);
    assert_eq!(said.exit, Some(0), "{plan:#}\n{}", said.err);
    let number = |path: &str| plan.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {plan:#}"));
    assert!((number("/traffic/perSecond") - 100.0).abs() < 1.0, "{plan:#}");
    assert!((number("/traffic/errorRate") - 0.004).abs() < 1e-6, "{plan:#}");
    assert_eq!(plan["seen"]["newVersion"], "2", "{plan:#}");
    assert!(number("/numbers/total/usual") > 10.0 && plan["inTime"] == json!(true), "{plan:#}");
    assert!(plan["seen"]["learned"].as_array().is_some_and(|learned| !learned.is_empty()), "{plan:#}");
    assert_eq!(stage.alias_revision(), before);
    assert_eq!(stage.live(), Live::only("1"));
}

#[test]
fn what_a_start_would_be_refused_for_is_said() {
    let stage = with_a_past(72);
    stage.cloud.set_alias("checkout", "live", &Live::with("1", "2", 0.2));
    let said = run_on(&stage, &PLAN);
    let plan = json_of(&said);
    assert_eq!(said.exit, Some(2), "{plan:#}\n{}", said.err);
    assert!(plan["seen"]["refused"].as_array().is_some_and(|refused| !refused.is_empty()), "{plan:#}");

    let none = run_on(&stage, &["plan", "--function", "checkout", "--alias", "nobody"]);
    assert_eq!(none.exit, Some(2), "{none:?}");
    assert!(none.err.contains("has no alias nobody"), "{none:?}");
}

/// A rule with three hours of the same traffic, all of it on blue.
fn behind_a_balancer(seed: u64) -> StageAlb {
    let stage = StageAlb::without_history(seed);
    let served = [Served { requests: 6000, errors: 24 }, Served::default()];
    (1..=MINUTES).for_each(|ago| stage.serve(stage.minute.plus(-ago), served));
    stage
}

#[test]
fn a_plan_between_target_groups_is_of_their_traffic_and_changes_nothing() {
    let stage = behind_a_balancer(75);
    let before = stage.shop.elb.actions(&stage.shop.rule);
    let spec = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("plan-{}-alb.json", std::process::id()));
    std::fs::write(&spec, stage.spec(&json!({})).to_string()).expect("the spec is written");
    let file = spec.to_str().expect("a path");
    let said: Said =
        stage.command_line(&["plan", file, "--runs", "1", "--json"]).output().expect("coalmine runs").into();
    let plan = json_of(&said);
    assert_eq!(said.exit, Some(0), "{plan:#}\n{}", said.err);
    let number = |path: &str| plan.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {plan:#}"));
    assert!((number("/traffic/perSecond") - 100.0).abs() < 1.0, "{plan:#}");
    assert!((number("/traffic/errorRate") - 0.004).abs() < 1e-6, "{plan:#}");
    assert_eq!(plan["seen"]["versions"], "blue -> green", "{plan:#}");
    assert_eq!(stage.shop.elb.actions(&stage.shop.rule), before);

    // What the old group did is a past to try the spec on, too.
    let tried = ["backtest", file, "--last", "2h", "--runs", "2", "--json"];
    let said: Said = stage.command_line(&tried).output().expect("coalmine runs").into();
    let study = &json_of(&said)["study"];
    let traffic = &study["traffic"][0];
    assert_eq!(said.exit, Some(0), "{study:#}\n{}", said.err);
    assert!((100..=120).contains(&traffic["minutes"].as_u64().unwrap_or(0)), "{traffic:#}");
    assert!((traffic["events"]["share"].as_f64().unwrap_or(1.0) - 0.004).abs() < 1e-6, "{traffic:#}");
    assert!(study["worse"].as_array().is_some_and(|worse| worse.len() == 4), "{study:#}");
}

#[test]
fn a_doctor_finds_weights_that_are_left_over() {
    let stage = with_a_past(73);
    let examine = |more: &[&str]| {
        run_on(&stage, &[&["doctor", "--function", "checkout", "--alias", "live", "--json"], more].concat())
    };
    let wrong = |said: &Said| -> Vec<String> {
        let document = json_of(said);
        let findings = document["findings"].as_array().cloned().unwrap_or_default();
        let wrong = findings.iter().filter(|finding| finding["grade"] == "wrong");
        wrong.map(|finding| finding["said"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let fine = examine(&[]);
    let before = wrong(&fine);
    assert!(!before.iter().any(|said| said.contains("is divided")), "{before:?}");
    stage.cloud.set_alias("checkout", "live", &Live::with("1", "2", 0.1));
    let divided = examine(&[]);
    assert_eq!(divided.exit, Some(1), "{divided:?}");
    assert!(wrong(&divided).iter().any(|said| said.contains("is divided")), "{divided:?}");
    let stack = run_on(&stage, &["doctor", "--stack", "nowhere", "--json"]);
    assert_eq!(stack.exit, Some(1), "{stack:?}");
    assert!(wrong(&stack).iter().any(|said| said.contains("has no function Tick")), "{stack:?}");
}

#[test]
fn every_alias_of_the_account_is_in_the_table() {
    let stage = with_a_past(74);
    let said = run_on(&stage, &["fit", "--json"]);
    let table = json_of(&said);
    assert_eq!(said.exit, Some(0), "{table:#}");
    let rows = table["rows"].as_array().cloned().unwrap_or_default();
    let row = rows.iter().find(|row| row["target"] == "checkout:live").unwrap_or_else(|| panic!("{table:#}"));
    assert!((row["errorRate"].as_f64().unwrap_or(1.0) - 0.004).abs() < 1e-6, "{row:#}");
    assert_eq!(row["alarms"], 0, "{row:#}");
}
