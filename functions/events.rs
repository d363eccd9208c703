//! Every file in `events/`, read by the function it is for.

use std::collections::BTreeSet;

use coalmine_core::probe::mutated;
use coalmine_core::units::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

use crate::alarm::{self, Heard};
use crate::command::{self, Allowed};
use crate::hook::{self, EcsCall};
use crate::tick::{self, Due};
use crate::{macros, probe, report, resource};

#[derive(Debug, Clone, PartialEq)]
enum Action {
    Tick(&'static str),
    Command(Allowed, &'static str),
    Fired(&'static str),
    Ignored(&'static str),
    Hook(&'static str),
    Resource(&'static str),
    Report(&'static str),
    Macro(&'static str),
}

fn expected() -> Vec<(&'static str, Action)> {
    [ordered(), alarms(), hooks(), stacks()].concat()
}

fn ordered() -> Vec<(&'static str, Action)> {
    use Action::*;
    vec![
        ("abort", Command(Allowed::Stopping, "abort")),
        ("command-abort", Command(Allowed::Everything, "abort")),
        ("command-approve", Command(Allowed::Everything, "approve")),
        ("command-check", Command(Allowed::Everything, "check")),
        ("command-deployments", Command(Allowed::Everything, "deployments")),
        ("command-list", Command(Allowed::Everything, "list")),
        ("command-list-ended", Command(Allowed::Everything, "list")),
        ("command-minutes", Command(Allowed::Everything, "minutes")),
        ("command-pause", Command(Allowed::Everything, "pause")),
        ("command-promote", Command(Allowed::Everything, "promote")),
        ("command-resume", Command(Allowed::Everything, "resume")),
        ("command-start", Command(Allowed::Everything, "start")),
        ("command-start-alb", Command(Allowed::Everything, "start")),
        ("command-status", Command(Allowed::Everything, "status")),
        ("tick", Tick("2026-11-21T14:02:00Z")),
    ]
}

fn stacks() -> Vec<(&'static str, Action)> {
    use Action::*;
    vec![
        ("macro", Macro("CheckoutAliasliveRollout")),
        ("report", Report("checkout-42")),
        ("resource-create", Resource("Create: checkout:live gets 42 for shop")),
        ("resource-delete", Resource("Delete: checkout:live gets 43 for shop")),
        ("resource-update", Resource("Update { from: Some(Version(\"42\")) }: checkout:live gets 43 for shop")),
    ]
}

fn alarms() -> Vec<(&'static str, Action)> {
    use Action::*;
    vec![
        ("alarm-alb-5xx", Fired("shop-elb-5xx at 2026-11-21T14:02:40Z")),
        ("alarm-direct-composite-fires-at-first", Fired("checkout at 2026-11-21T14:02:40Z")),
        ("alarm-direct-composite-fires", Fired("checkout at 2026-11-21T14:02:40Z")),
        ("alarm-direct-composite-no-data", Ignored("checkout: it is INSUFFICIENT_DATA")),
        ("alarm-direct-composite-ok", Ignored("checkout: it is OK")),
        ("alarm-direct-composite-still-red", Ignored("checkout: it was in ALARM before")),
        ("alarm-direct-composite-still-suppressed", Ignored("checkout: its actions are suppressed (Alarm)")),
        ("alarm-direct-composite-suppressed", Ignored("checkout: its actions are suppressed (Alarm)")),
        ("alarm-direct-composite-suppression-over", Fired("checkout at 2026-11-21T14:02:40Z")),
        ("alarm-direct-metric-fires-at-first", Fired("checkout-5xx at 2026-11-21T14:02:40Z")),
        ("alarm-direct-metric-fires", Fired("checkout-5xx at 2026-11-21T14:02:40Z")),
        ("alarm-direct-metric-no-data", Ignored("checkout-5xx: it is INSUFFICIENT_DATA")),
        ("alarm-direct-metric-ok", Ignored("checkout-5xx: it is OK")),
        ("alarm-direct-metric-still-red", Ignored("checkout-5xx: it was in ALARM before")),
        ("alarm-eventbridge-anomaly-fires", Fired("checkout-slow at 2026-11-21T14:02:40Z")),
        ("alarm-eventbridge-composite-fires-at-first", Fired("checkout at 2026-11-21T14:02:40Z")),
        ("alarm-eventbridge-composite-fires", Fired("checkout at 2026-11-21T14:02:40Z")),
        ("alarm-eventbridge-composite-no-data", Ignored("checkout: it is INSUFFICIENT_DATA")),
        ("alarm-eventbridge-composite-ok", Ignored("checkout: it is OK")),
        ("alarm-eventbridge-composite-still-red", Ignored("checkout: it was in ALARM before")),
        ("alarm-eventbridge-composite-still-suppressed", Ignored("checkout: its actions are suppressed (Alarm)")),
        ("alarm-eventbridge-composite-suppressed", Ignored("checkout: its actions are suppressed (WaitPeriod)")),
        ("alarm-eventbridge-composite-suppression-over", Fired("checkout at 2026-11-21T14:02:40Z")),
        ("alarm-eventbridge-metric-fires-at-first", Fired("checkout-5xx at 2026-11-21T14:02:40Z")),
        ("alarm-eventbridge-metric-fires", Fired("checkout-5xx at 2026-11-21T14:02:40Z")),
        ("alarm-eventbridge-metric-no-data", Ignored("checkout-5xx: it is INSUFFICIENT_DATA")),
        ("alarm-eventbridge-metric-ok", Ignored("checkout-5xx: it is OK")),
        ("alarm-eventbridge-metric-still-red", Ignored("checkout-5xx: it was in ALARM before")),
    ]
}

fn hooks() -> Vec<(&'static str, Action)> {
    [
        ("hook-codedeploy", "CodeDeploy deployment d-8FQ5W7X2R asks, at 2026-11-21T14:02:10Z"),
        ("hook-ecs-again", "Amazon ECS deployment tTaQpXbE: PRE_PRODUCTION_TRAFFIC_SHIFT at 20 % since 2026-11-21T13:58:12Z, with a spec"),
        ("hook-ecs-details", "Amazon ECS deployment tTaQpXbE: PRE_PRODUCTION_TRAFFIC_SHIFT at 20 % since 2026-11-21T14:02:10Z, with a spec"),
        ("hook-ecs-older", "Amazon ECS deployment tTaQpXbE: POST_PRODUCTION_TRAFFIC_SHIFT at 100 % since 2026-11-21T14:02:10Z"),
        ("hook-ecs-post-production-traffic-shift", "Amazon ECS deployment tTaQpXbE: POST_PRODUCTION_TRAFFIC_SHIFT at 100 % since 2026-11-21T14:02:10Z"),
        ("hook-ecs-post-scale-up", "Amazon ECS deployment tTaQpXbE: POST_SCALE_UP since 2026-11-21T14:02:10Z"),
        ("hook-ecs-post-test-traffic-shift", "Amazon ECS deployment tTaQpXbE: POST_TEST_TRAFFIC_SHIFT at 0 % since 2026-11-21T14:02:10Z"),
        ("hook-ecs-pre-production-traffic-shift", "Amazon ECS deployment tTaQpXbE: PRE_PRODUCTION_TRAFFIC_SHIFT at 20 % since 2026-11-21T14:02:10Z"),
        ("hook-ecs-pre-scale-up", "Amazon ECS deployment tTaQpXbE: PRE_SCALE_UP since 2026-11-21T14:02:10Z"),
        ("hook-ecs-production-traffic-shift", "Amazon ECS deployment tTaQpXbE: PRODUCTION_TRAFFIC_SHIFT at 30 % since 2026-11-21T14:02:10Z"),
        ("hook-ecs-reconcile-service", "Amazon ECS deployment tTaQpXbE: RECONCILE_SERVICE at 0 % since 2026-11-21T14:02:10Z"),
        ("hook-ecs-rollback-of-tests", "Amazon ECS deployment tTaQpXbE: TEST_TRAFFIC_SHIFT at 0 % since 2026-11-21T14:02:10Z"),
        ("hook-ecs-rollback", "Amazon ECS deployment tTaQpXbE: PRODUCTION_TRAFFIC_SHIFT at 0 % since 2026-11-21T14:02:10Z"),
        ("hook-ecs-test-traffic-shift", "Amazon ECS deployment tTaQpXbE: TEST_TRAFFIC_SHIFT at 100 % since 2026-11-21T14:02:10Z"),
        ("hook-news-failure", "news of CodeDeploy deployment d-8FQ5W7X2R"),
        ("hook-news-ready", "news of CodeDeploy deployment d-8FQ5W7X2R"),
        ("hook-news-start", "news of CodeDeploy deployment d-8FQ5W7X2R"),
        ("hook-news-stop", "news of CodeDeploy deployment d-8FQ5W7X2R"),
        ("hook-news-success", "news of CodeDeploy deployment d-8FQ5W7X2R"),
    ]
    .map(|(name, heard)| (name, Action::Hook(heard)))
    .into()
}

/// What a hook was read as, in a line.
fn heard(heard: &hook::Heard) -> String {
    match heard {
        hook::Heard::CodeDeploy(hook) => format!("{} asks, at {}", hook.deployment, hook.received),
        hook::Heard::News(deployment) => format!("news of {deployment}"),
        hook::Heard::Ecs(EcsCall { question, .. }) => {
            let asked = question.as_ref().unwrap();
            let weight = asked.weight.map(|weight| format!(" at {weight}")).unwrap_or_default();
            let spec = if asked.spec.is_some() { ", with a spec" } else { "" };
            format!("{}: {}{weight} since {}{spec}", asked.deployment, asked.stage.name(), asked.since)
        }
    }
}

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("events")
}

fn event(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_event_asks_for_what_its_name_says() {
    let clock: Timestamp = "2026-11-21T14:02:10Z".parse().unwrap();
    for (name, action) in expected() {
        let event = event(name);
        let matches = match &action {
            Action::Tick(time) => tick::read(&event, clock) == Ok(Due::Now(time.parse().unwrap())),
            Action::Command(allowed, kind) => command::read(&event, *allowed).unwrap().kind() == *kind,
            Action::Fired(what) => {
                let Ok(Heard::Fired { alarm, at }) = alarm::read(&event) else { panic!("{name} was ignored") };
                format!("{alarm} at {at}") == *what
            }
            Action::Ignored(what) => {
                let Ok(Heard::Ignored { alarm, why }) = alarm::read(&event) else { panic!("{name} fired") };
                format!("{alarm}: {why}").starts_with(what)
            }
            Action::Hook(what) => heard(&hook::read(&event, clock).unwrap()) == *what,
            Action::Resource(what) => {
                let Ok(resource::Heard::Asked(asked)) = resource::read(&event, clock, false) else { panic!("{name}") };
                let (wish, stack) = (&asked.wish, asked.caller.stack_name());
                format!("{:?}: {} gets {} for {stack}", asked.kind, wish.target(), wish.version.0) == *what
            }
            Action::Report(rollout) => report::read(&event).unwrap().rollout == *rollout,
            Action::Macro(added) => {
                let answer = macros::answered("arn:aws:lambda:eu-west-1:111122223333:function:r", &event).unwrap();
                answer["status"] == "success"
                    && answer["requestId"] == event["requestId"]
                    && answer["fragment"]["Resources"][added]["Type"] == "Custom::Rollout"
            }
        };
        assert!(matches, "{name}.json does not ask for {action:?}");
    }
}

#[test]
fn every_file_has_a_row() {
    let file_name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let files: BTreeSet<String> = std::fs::read_dir(folder()).unwrap().map(file_name).collect();
    let rows: BTreeSet<String> = expected().iter().map(|(name, _)| format!("{name}.json")).collect();
    assert_eq!(files, rows);
}

#[test]
fn the_abort_function_only_stops() {
    for (name, action) in expected() {
        let Action::Command(_, kind) = action else { continue };
        let allowed = command::read(&event(name), Allowed::Stopping);
        if ["abort", "pause"].contains(&kind) {
            assert!(allowed.is_ok(), "{name}");
        } else {
            let message =
                format!("`{kind}` is not for this function, which only aborts and pauses; ask the command function");
            assert_eq!(allowed.unwrap_err()[0].message, message);
        }
    }
}

/// Words that lead into the parsers, texts of people, and texts of somebody who means harm.
fn word() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "source",
        "aws.events",
        "aws.cloudwatch",
        "detail-type",
        "Scheduled Event",
        "CloudWatch Alarm State Change",
        "detail",
        "alarmData",
        "alarmName",
        "state",
        "previousState",
        "value",
        "actionsSuppressedBy",
        "ALARM",
        "OK",
        "time",
        "2026-11-21T14:02:00Z",
        "+999999999-12-31T23:59:60Z",
        "command",
        "start",
        "abort",
        "rollout",
        "by",
        "reason",
        "spec",
        "coalmine",
        "v1",
        "target",
        "lambda",
        "function",
        "lifecycleStage",
        "DeploymentId",
        "LifecycleEventHookExecutionId",
        "RequestType",
        "ResourceProperties",
        "Version",
        "Spec",
        "fragment",
        "Coalmine Rollout State Change",
        "phase",
        "rolledBack",
        "Resources",
    ]);
    prop_oneof![4 => known.prop_map(str::to_owned), 1 => any::<String>(), 1 => Just("\u{1b}[2J\n".repeat(10_000))]
}

fn any_event() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => word().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            4 => prop::collection::btree_map(word(), inner, 0..8).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// An event that a parser knows, with one field replaced.
fn nearly_an_event() -> impl Strategy<Value = Value> {
    let names: Vec<&str> = expected().into_iter().map(|(name, _)| name).collect();
    (prop::sample::select(names), any::<prop::sample::Index>(), any_event()).prop_map(|(name, place, value)| {
        let mut event = event(name);
        let mut paths = Vec::new();
        pointers(&event, String::new(), &mut paths);
        if let Some(field) = event.pointer_mut(&paths[place.index(paths.len())]) {
            *field = value;
        }
        event
    })
}

fn pointers(value: &Value, path: String, found: &mut Vec<String>) {
    for (key, inner) in value.as_object().into_iter().flatten() {
        pointers(inner, format!("{path}/{key}"), found);
    }
    found.push(path);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    /// What is said ends up in a log, an answer and on a terminal: it is short, and one line.
    #[test]
    fn whatever_comes_is_read_or_refused_in_one_short_line(event in prop_oneof![any_event(), nearly_an_event()]) {
        let kept = probe::event(event.to_string().as_bytes());
        prop_assert!(kept.is_ok(), "{kept:?}");
    }
}

/// As many as a second allows; a fuzzer goes on from here.
const RUNS: u64 = 60;

#[test]
fn mutated_events_break_no_promise() {
    for (name, _) in expected() {
        let document = event(name).to_string();
        for seed in 0..RUNS {
            let bytes = mutated(document.as_bytes(), seed, 20_000);
            probe::event(&bytes).unwrap_or_else(|broken| panic!("{name}, seed {seed}: {broken}"));
        }
    }
}
