//! Whole deployments of CodeDeploy, judged through its hooks, the event and the minute's tick: the real `bootstrap`,
//! CodeDeploy on loopback, and all else in an emulated AWS.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::{AT_ONCE, Live, Mishap, Request, StageCodeDeploy, Timetable, Traffic, this_minute, with_fields};

pub const HEALTHY: Traffic = Traffic { requests: 2400, old_fails: 0.004, new_fails: 0.004 };
/// Half a percent of the requests fails, and ten percent of the new version's.
pub const BROKEN: Traffic = Traffic { requests: 2400, old_fails: 0.004, new_fails: 0.1 };
/// A quarter of the traffic for ten minutes.
const QUARTER: &str = "Quarter";
const BOTH: [bool; 2] = [true, true];
const STOP: &str = "StopDeployment";
const PUT_STATUS: &str = "PutLifecycleEventHookExecutionStatus";

/// A spec that judges errors alone, with more fields or others.
pub fn spec(fields: &Value) -> String {
    with_fields(json!({ "checks": [{ "errors": { "tolerate": "0.5pt" } }], "after": { "watch": "5m" } }), fields)
        .to_string()
}

/// A stage whose functions have this spec in their environment.
pub fn stage(seed: u64, fields: &Value) -> StageCodeDeploy {
    let stage = StageCodeDeploy::told(seed, vec![("COALMINE_SPEC", spec(fields))]);
    let quarter = (QUARTER.to_owned(), Timetable::Canary { percent: 25, minutes: 10 });
    stage.codedeploy.with(|codedeploy| codedeploy.configs.push(quarter));
    stage
}

pub fn succeeded(event: &'static str) -> (&'static str, String) {
    (event, "Succeeded".to_owned())
}

fn failed(event: &'static str) -> (&'static str, String) {
    (event, "Failed".to_owned())
}

fn ends(id: &str) -> impl Fn(&StageCodeDeploy) -> bool + use<'_> {
    move |stage| !stage.runs(id)
}

/// What all functions that hear of deployments have logged.
fn log(stage: &StageCodeDeploy) -> String {
    ["hook", "tick"].map(|handler| stage.cloud.log(&stage.deploy(handler))).join("\n")
}

/// The statuses of the answers that CodeDeploy took, in their order.
fn taken(stage: &StageCodeDeploy) -> Vec<Value> {
    let calls = stage.codedeploy.calls(PUT_STATUS);
    calls.into_iter().filter(|call| call.status == Some(200)).map(|call| call.input["status"].clone()).collect()
}

#[test]
fn a_good_deployment_goes_through_and_every_hook_is_told_so_once() {
    let mut stage = stage(201, &json!({}));
    let id = stage.release(QUARTER, BOTH);
    stage.pass_until(&HEALTHY, 40, ends(&id));
    assert_eq!(stage.deployment(&id), "Succeeded");
    assert_eq!(stage.answers(&id), [succeeded("BeforeAllowTraffic"), succeeded("AfterAllowTraffic")]);
    assert_eq!(taken(&stage), ["Succeeded", "Succeeded"]);
    assert_eq!(stage.codedeploy.calls(STOP), []);
    stage.pass(&HEALTHY);
    assert_eq!((stage.phase().as_str(), stage.live()), ("promoted", Live::only("2")));
}

#[test]
fn a_failed_test_fails_the_hook_before_any_traffic_and_the_log_says_why() {
    // Whichever comes first: the news may, and then there is no hook yet that could be told.
    for (news_first, status) in [(false, "Failed"), (true, "Stopped")] {
        let test = json!({ "invoke": { "payload": { "path": "/health" }, "expect": { "statusCode": 200 } } });
        let mut stage = stage(202, &json!({ "tests": [test] }));
        stage.tells_news = news_first;
        let id = stage.release(QUARTER, BOTH);
        stage.pass_until(&HEALTHY, 3, ends(&id));
        assert_eq!((stage.deployment(&id), stage.live()), (status, Live::only("1")));
        let answers = if news_first { vec![] } else { vec![failed("BeforeAllowTraffic")] };
        assert_eq!(stage.answers(&id), answers);
        assert!(log(&stage).contains("statusCode is missing"), "{}", log(&stage));
        assert_eq!(stage.phase(), "rolledBack");
    }
}

#[test]
fn harm_in_mid_shift_stops_the_deployment_once_and_the_traffic_goes_back() {
    let mut stage = stage(203, &json!({}));
    stage.codedeploy.with(|codedeploy| codedeploy.stops_slowly = true);
    let id = stage.release(QUARTER, BOTH);
    stage.pass_until(&BROKEN, 12, ends(&id));
    assert_eq!(stage.deployment(&id), "Stopped");
    let stops = stage.codedeploy.calls(STOP);
    let inputs: Vec<&Value> = stops.iter().map(|call| &call.input).collect();
    assert_eq!(inputs, [&json!({ "deploymentId": id, "autoRollbackEnabled": true })]);
    let back = stage.rolled_back_by(&id);
    stage.pass_until(&HEALTHY, 3, |stage| stage.has_ended());
    assert_eq!((stage.phase().as_str(), stage.live()), ("rolledBack", Live::only("1")));
    assert_eq!(stage.status()["phase"]["why"]["kind"], "harm");
    assert_eq!(stage.deployment(&back), "Succeeded");
    let answers = [succeeded("BeforeAllowTraffic"), succeeded("AfterAllowTraffic")];
    assert_eq!(stage.answers(&back), answers, "what puts the old version back is not held up");
    stage.pass(&HEALTHY);
    assert_eq!(stage.codedeploy.calls(STOP).len(), 1, "what has ended is not stopped again");
}

#[test]
fn harm_after_all_of_the_traffic_fails_the_hook() {
    let mut stage = stage(204, &json!({ "after": { "watch": "20m" } }));
    let id = stage.release(QUARTER, BOTH);
    // Too little to prove anything by.
    let quiet = Traffic { requests: 600, ..HEALTHY };
    stage.pass_until(&quiet, 11, |stage| stage.live() == Live::only("2"));
    // At 100 % there is nothing to compare with, so only a catastrophe counts.
    let outage = Traffic { new_fails: 0.5, ..quiet };
    let passed = stage.pass_until(&outage, 19, ends(&id));
    assert!(passed < 19, "it is not the end of the watch that fails it");
    assert_eq!(stage.answers(&id), [succeeded("BeforeAllowTraffic"), failed("AfterAllowTraffic")]);
    assert_eq!((stage.deployment(&id), stage.codedeploy.calls(STOP)), ("Failed", vec![]));
    stage.pass_until(&HEALTHY, 3, |stage| stage.has_ended());
    assert_eq!((stage.phase().as_str(), stage.live()), ("rolledBack", Live::only("1")));
    assert_eq!(stage.status()["phase"]["why"]["kind"], "harm");
}

/// An alias for each configuration, all deployed to at once.
#[test]
fn without_a_verdict_by_55_minutes_the_hook_gets_the_configured_answer() {
    let mut stage = stage(205, &json!({}));
    stage.tells_news = false;
    let endings = [
        ("promote", "rollBack", "Succeeded"),
        ("rollBack", "promote", "Failed"),
        ("pause", "promote", "Succeeded"),
        ("pause", "rollBack", "Failed"),
    ];
    let begun = endings.map(|(undecided, pause, _)| {
        let alias = format!("{undecided}-{pause}");
        stage.cloud.create_alias("checkout", &alias, "1");
        let spec = spec(&json!({
            "advance": "onProof", "undecided": { "noData": undecided, "tooLittleTraffic": undecided },
            "pause": { "for": "12h", "then": pause },
        }));
        stage.cloud.put_parameter(&format!("/coalmine/checkout/{alias}"), &spec);
        stage.begin(Request { alias, ..StageCodeDeploy::request(QUARTER, BOTH) })
    });
    stage.minute = stage.minute.plus(10);
    stage.pass_without_traffic();
    // By the clock of the machine, because a hook has no time in it.
    stage.minute = this_minute().plus(53);
    stage.pass_without_traffic();
    for (id, ending) in begun.iter().zip(endings) {
        assert_eq!(stage.answers(id), [succeeded("BeforeAllowTraffic")], "{ending:?}: 54 minutes");
    }
    stage.pass_without_traffic();
    stage.pass_without_traffic();
    for (id, (undecided, pause, answer)) in begun.iter().zip(endings) {
        let answers = [succeeded("BeforeAllowTraffic"), ("AfterAllowTraffic", answer.to_owned())];
        assert_eq!(stage.answers(id), answers, "{undecided}, then {pause}");
    }
}

#[test]
fn an_answer_that_did_not_arrive_is_given_by_the_next_tick_once() {
    let mut stage = stage(206, &json!({}));
    stage.codedeploy.break_down(PUT_STATUS, Mishap::Dropped);
    let id = stage.release(QUARTER, [true, false]);
    assert_eq!(stage.answers(&id), []);
    let revision = stage.alias_revision();
    stage.codedeploy.mend();
    stage.pass(&HEALTHY);
    assert_eq!((stage.answers(&id), stage.alias_revision()), (vec![succeeded("BeforeAllowTraffic")], revision));
    stage.pass(&HEALTHY);
    assert_eq!(taken(&stage), ["Succeeded"]);
    assert_eq!(stage.live(), Live::with("1", "2", 0.25));
}

#[test]
fn a_hook_function_that_is_killed_before_its_answer_leaves_it_to_the_next_tick() {
    let mut stage = stage(207, &json!({}));
    stage.tells_news = false;
    // Deleting a function kills what runs of it.
    let kill = stage.cloud.killer(&stage.deploy("hook"));
    stage.codedeploy.trouble(PUT_STATUS, [Mishap::Meanwhile(Arc::new(kill))]);
    let id = stage.release(QUARTER, [true, false]);
    assert!(stage.replies.iter().any(Result::is_err), "it was killed: {:?}", stage.replies);
    assert_eq!((stage.answers(&id), stage.codedeploy.calls(PUT_STATUS).len()), (vec![], 1));
    stage.pass(&HEALTHY);
    assert_eq!(stage.answers(&id), [succeeded("BeforeAllowTraffic")]);
    stage.pass(&HEALTHY);
    assert_eq!(taken(&stage), ["Succeeded"]);
}

#[test]
fn an_answer_that_has_arrived_without_our_knowing_is_a_success() {
    let mut stage = stage(208, &json!({}));
    stage.codedeploy.break_down(PUT_STATUS, Mishap::Lost);
    let id = stage.release(QUARTER, [true, false]);
    stage.codedeploy.mend();
    assert_eq!(stage.answers(&id), [succeeded("BeforeAllowTraffic")]);
    stage.pass(&HEALTHY);
    let calls = stage.codedeploy.calls(PUT_STATUS);
    stage.pass(&HEALTHY);
    assert_eq!(stage.codedeploy.calls(PUT_STATUS), calls, "it is not answered for ever");
    assert_eq!(stage.answers(&id).len(), 1);
    assert_eq!(stage.live(), Live::with("1", "2", 0.25));
}

#[test]
fn a_deployment_that_puts_the_old_version_back_is_never_held_up() {
    let mut stage = stage(209, &json!({}));
    for (creator, current, target) in [("codeDeployRollback", "1", "2"), ("CloudFormationRollback", "2", "1")] {
        let (current, target) = (current.to_owned(), target.to_owned());
        let id = stage.begin(Request { creator, current, target, ..StageCodeDeploy::request(AT_ONCE, BOTH) });
        assert_eq!(stage.deployment(&id), "Succeeded");
        assert_eq!(stage.answers(&id), [succeeded("BeforeAllowTraffic"), succeeded("AfterAllowTraffic")]);
        assert!(stage.items().is_empty(), "nothing is opened, and no hook is kept: {:?}", stage.items());
    }
}

#[test]
fn a_deployment_that_cannot_be_judged_is_failed_with_the_reason() {
    let mut stage = stage(214, &json!({}));
    stage.tells_news = false;
    let id = stage.begin(Request { platform: "ECS", ..StageCodeDeploy::request(QUARTER, BOTH) });
    assert_eq!(stage.answers(&id), [failed("BeforeAllowTraffic")]);
    let log = stage.cloud.log(&stage.deploy("hook"));
    assert!(log.contains("its compute platform is ECS"), "{log}");
    assert!(stage.items().is_empty(), "nothing is opened, and no hook is kept: {:?}", stage.items());
}

#[test]
fn the_event_alone_is_enough_to_stop_on_harm() {
    let mut stage = stage(210, &json!({}));
    let id = stage.release(QUARTER, [false, false]);
    stage.pass_until(&BROKEN, 12, ends(&id));
    assert_eq!(stage.deployment(&id), "Stopped");
    stage.pass_until(&HEALTHY, 3, |stage| stage.has_ended());
    assert_eq!((stage.phase().as_str(), stage.live()), ("rolledBack", Live::only("1")));
    assert_eq!(stage.codedeploy.calls(PUT_STATUS), []);
}

#[test]
fn a_deployment_that_ends_well_ends_its_rollout_without_any_hook() {
    let mut stage = stage(211, &json!({}));
    let id = stage.release(QUARTER, [false, false]);
    stage.pass_until(&HEALTHY, 12, ends(&id));
    stage.pass_until(&HEALTHY, 12, |stage| stage.has_ended());
    assert_eq!((stage.deployment(&id), stage.phase().as_str()), ("Succeeded", "promoted"));
}

#[test]
fn the_verdict_is_a_metric() {
    let mut stage = stage(212, &json!({}));
    let first = stage.now().epoch_seconds();
    let id = stage.release(QUARTER, [false, false]);
    stage.pass_until(&BROKEN, 12, ends(&id));
    stage.pass_until(&HEALTHY, 3, |stage| stage.has_ended());
    let dimensions = json!({ "Function": "checkout", "Alias": "live" });
    let verdicts = stage.cloud.metric("Coalmine", "Verdict", &dimensions, first - 600, first + 3600);
    assert!(verdicts.contains(&1.0), "{verdicts:?}");
    assert!(verdicts.iter().all(|verdict| [0.0, 1.0].contains(verdict)), "{verdicts:?}");
}

#[test]
fn our_own_rollout_does_not_begin_on_an_alias_that_codedeploy_shifts() {
    let mut stage = stage(213, &json!({}));
    stage.tells_news = false;
    let id = stage.release(QUARTER, [false, false]);
    // Others', and newer ones, so that the one that matters is not on the first page.
    for number in 0..4 {
        let request = StageCodeDeploy::request(QUARTER, [true, false]);
        let other = Request { function: format!("other-{number}"), ..request };
        stage.codedeploy.with(|codedeploy| codedeploy.create(other));
    }
    stage.codedeploy.with(|codedeploy| codedeploy.hold("other-"));
    let answer = stage.command(&json!({ "command": "start", "spec": stage.spec(&json!({})) }));
    let errors = answer["errors"].to_string();
    assert!(errors.contains(&id) && errors.contains("checkout:live"), "{answer}");
    assert_eq!(stage.command(&json!({ "command": "list" }))["rollouts"], json!([]));

    // Who may not look does not know.
    stage.codedeploy.break_down("ListDeployments", Mishap::Denied);
    let answer = stage.command(&json!({ "command": "start", "spec": stage.spec(&json!({})) }));
    assert!(answer["errors"].to_string().contains("codedeploy:ListDeployments"), "{answer}");
}
