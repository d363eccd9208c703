//! Where the spec for a deployment comes from, and how deployments are observed that nobody is to touch.

use serde_json::{Value, json};

use crate::harness::{LINEAR, Live, StageCodeDeploy, Traffic};
use crate::hooks::{BROKEN, HEALTHY, spec, stage, succeeded};

/// How long the rollout of the stage's deployment watches after it: tells which spec it has.
fn watch(stage: &StageCodeDeploy) -> Value {
    stage.status()["spec"]["after"]["watch"].clone()
}

fn watching(time: &str) -> String {
    spec(&json!({ "after": { "watch": time } }))
}

#[test]
fn the_most_specific_place_has_the_spec() {
    let mut stage = StageCodeDeploy::set_up(221);
    stage.release(LINEAR, [true, false]);
    let by_default = watch(&stage);
    let mut stage = StageCodeDeploy::told(221, vec![("COALMINE_SPEC", watching("11m"))]);
    stage.release(LINEAR, [true, false]);
    assert_ne!(by_default, json!("11m"));
    assert_eq!(watch(&stage), json!("11m"), "from the environment");

    let mut stage = StageCodeDeploy::told(221, vec![("COALMINE_SPEC", watching("11m"))]);
    stage.cloud.put_parameter("/coalmine/checkout/live", &watching("12m"));
    stage.release(LINEAR, [true, false]);
    assert_eq!(watch(&stage), json!("12m"), "by convention");

    let mut stage = StageCodeDeploy::told(221, vec![("COALMINE_SPEC", watching("11m"))]);
    stage.cloud.put_parameter("/coalmine/checkout/live", &watching("12m"));
    stage.cloud.put_parameter("/coalmine/shops/checkout", &watching("13m"));
    stage.cloud.tag_function("checkout", "coalmine:spec", "/coalmine/shops/checkout");
    stage.release(LINEAR, [true, false]);
    assert_eq!(watch(&stage), json!("13m"), "by the function's tag");
}

#[test]
fn a_wrong_spec_fails_the_hook_and_the_log_has_all_that_is_wrong_with_it() {
    let mut stage = StageCodeDeploy::set_up(222);
    let wrong = json!({ "version": "7", "strategy": "steps", "deadlin": "1h" });
    stage.cloud.put_parameter("/coalmine/checkout/live", &wrong.to_string());
    let id = stage.release(LINEAR, [true, true]);
    assert_eq!(stage.answers(&id), [("BeforeAllowTraffic", "Failed".to_owned())]);
    let log = stage.cloud.log(&stage.deploy("hook"));
    for problem in ["/coalmine/checkout/live", "deadlin", "strategy", "version"] {
        assert!(log.contains(problem), "{problem} is not in {log}");
    }
    stage.shift();
    assert_eq!((stage.deployment(&id), stage.live()), ("Failed", Live::only("1")));
}

#[test]
fn nothing_need_be_configured() {
    for (slower, status) in [(1.0, "Succeeded"), (3.0, "Stopped")] {
        let mut stage = StageCodeDeploy::set_up(223);
        let id = stage.release(LINEAR, [true, true]);
        for _ in 0..70 {
            stage.serve_as_routed_taking(&HEALTHY, slower);
            stage.pass_without_traffic();
            if stage.deployment(&id) != "InProgress" {
                break;
            }
        }
        assert_eq!(stage.deployment(&id), status, "{slower} times as slow: {:#}", stage.status());
    }
}

/// What was asked of CodeDeploy that changes anything there, but for answers that let it go on.
fn meddled(stage: &StageCodeDeploy) -> Vec<Value> {
    let stopped = stage.codedeploy.calls("StopDeployment").into_iter().map(|call| call.input);
    let told = stage.codedeploy.calls("PutLifecycleEventHookExecutionStatus").into_iter().map(|call| call.input);
    stopped.chain(told.filter(|input| input["status"] != "Succeeded")).collect()
}

#[test]
fn who_observes_stops_nothing_and_has_the_table_of_what_would_have_been_done() {
    let observing = [
        vec![("COALMINE_SPEC", spec(&json!({ "mode": "observe" })))],
        vec![("COALMINE_SPEC", spec(&json!({}))), ("COALMINE_MODE", "observe".to_owned())],
    ];
    for told in observing {
        let mut stage = StageCodeDeploy::told(224, told);
        let id = stage.release(LINEAR, [true, true]);
        let passed = stage.pass_until(&BROKEN, 20, |stage| stage.deployment(&id) != "InProgress");
        assert!(passed <= 11, "hooks are answered at once");
        assert_eq!(stage.deployment(&id), "Succeeded");
        assert_eq!(stage.answers(&id), [succeeded("BeforeAllowTraffic"), succeeded("AfterAllowTraffic")]);
        assert_eq!(meddled(&stage), Vec::<Value>::new());
        let table = stage.command(&json!({ "command": "deployments" }));
        let rows = table["deployments"].as_array().unwrap_or_else(|| panic!("{table:#}"));
        assert_eq!(rows.len(), 1, "{table:#}");
        for said in [id.as_str(), "checkout:live", "succeeded", "rollBack"] {
            assert!(rows[0].to_string().contains(said), "{said} is not in {:#}", rows[0]);
        }
    }
}

#[test]
fn a_spec_from_ssm_judges_like_any_other() {
    let mut stage = stage(225, &json!({}));
    stage.cloud.put_parameter("/coalmine/checkout/live", &spec(&json!({ "alarms": ["checkout-5xx"] })));
    stage.cloud.create_alarm("checkout-5xx");
    let id = stage.release(LINEAR, [true, true]);
    stage.pass_until(&Traffic { requests: 40, ..HEALTHY }, 4, |stage| stage.new_share() > 0.15);
    stage.cloud.set_alarm("checkout-5xx", "ALARM");
    stage.tick();
    assert_eq!(stage.deployment(&id), "Stopped");
    assert_eq!(stage.status()["phase"]["why"], json!({ "kind": "alarm", "names": ["checkout-5xx"] }));
}
