//! Where the spec for a deployment comes from, and how deployments are observed that nobody is to touch.

use serde_json::{Value, json};

use crate::harness::{CANARY, LINEAR, Live, Request, Served, StageCodeDeploy, StageEcs, Strategy, Traffic};
use crate::hooks::{BROKEN, HEALTHY, spec, stage, succeeded};

fn watching(time: &str) -> String {
    spec(&json!({ "after": { "watch": time } }))
}

#[test]
fn the_most_specific_place_has_the_spec() {
    let mut stage = StageCodeDeploy::told(221, vec![("COALMINE_SPEC", watching("11m"))]);
    stage.cloud.create_alias("checkout", "second", "1");
    stage.cloud.create_target("cart");
    for description in ["old", "new"] {
        let version = stage.cloud.publish("cart", description);
        stage.cloud.wait_for_state("cart", &version, "Active");
    }
    stage.cloud.create_alias("cart", "live", "1");
    for (place, time) in [("checkout/second", "12m"), ("cart/live", "12m"), ("shops/cart", "13m")] {
        stage.cloud.put_parameter(&format!("/coalmine/{place}"), &watching(time));
    }
    stage.cloud.tag_function("cart", "coalmine:spec", "/coalmine/shops/cart");
    for (function, alias, time, place) in [
        ("checkout", "live", "11m", "the environment"),
        ("checkout", "second", "12m", "the parameter by convention"),
        ("cart", "live", "13m", "the function's tag"),
    ] {
        let (function, alias) = (function.to_owned(), alias.to_owned());
        stage.begin(Request { function, alias, ..StageCodeDeploy::request(LINEAR, [true, false]) });
        assert_eq!(stage.status()["spec"]["after"]["watch"], time, "from {place}: {:#}", stage.status());
    }
}

#[test]
fn an_ecs_service_has_its_spec_by_convention_or_by_its_tag() {
    for (tag, time) in [(None, "12m"), (Some("/coalmine/shops/cart"), "13m")] {
        let mut stage = StageEcs::set_up(228);
        for (place, time) in [("prod/cart", "12m"), ("shops/cart", "13m")] {
            stage.cloud.put_parameter(&format!("/coalmine/{place}"), &watching(time));
        }
        let tags = tag.map(|name| ("coalmine:spec".to_owned(), name.to_owned()));
        stage.ecs.with(|ecs| ecs.tags.extend(tags));
        let strategy = Strategy::Linear { percent: 25, minutes: 5 };
        stage.release(strategy, &["PRE_PRODUCTION_TRAFFIC_SHIFT"], Value::Null);
        assert_eq!(stage.status()["spec"]["after"]["watch"], time, "{tag:?}: {:#}", stage.status());
    }
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
        let mut stage = StageCodeDeploy::without_history(223);
        (1..=62).for_each(|ago| stage.put_past(ago, Served { requests: 600, errors: 2 }, Some(1.0)));
        let id = stage.release(CANARY, [true, true]);
        for _ in 0..60 {
            stage.serve_as_routed_taking(&Traffic { requests: 1200, ..HEALTHY }, slower);
            stage.pass_without_traffic();
            if !stage.runs(&id) {
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
        let passed = stage.pass_until(&BROKEN, 20, |stage| !stage.runs(&id));
        assert!(passed <= 11, "hooks are answered at once");
        assert_eq!(stage.deployment(&id), "Succeeded");
        assert_eq!(stage.answers(&id), [succeeded("BeforeAllowTraffic"), succeeded("AfterAllowTraffic")]);
        assert_eq!(meddled(&stage), Vec::<Value>::new());
        (0..5).for_each(|_| drop(stage.pass(&BROKEN)));
        let table = stage.command(&json!({ "command": "deployments" }));
        let rows = table["deployments"].as_array().unwrap_or_else(|| panic!("{table:#}"));
        assert_eq!(rows.len(), 1, "{table:#}");
        assert_eq!((&rows[0]["deployment"], &rows[0]["target"]), (&json!(id), &json!("checkout:live")));
        let said = |happened: &str, what: &str| rows[0][happened]["what"].as_str().is_some_and(|it| it.contains(what));
        assert!(said("ended", "succeeded") && said("coalmine", "would have rolled back"), "{table:#}");
        assert!(rows[0]["minutesEarlier"].as_i64() > Some(0), "{table:#}");
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
