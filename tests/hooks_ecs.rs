//! Whole deployments of Amazon ECS, judged through the lifecycle hook: payloads in, replies out, ECS on loopback, the rule
//! that it writes on moto.

use serde_json::{Value, json};

use crate::harness::{Mishap, StageEcs, Strategy};
use crate::hooks::{BROKEN, HEALTHY};

/// A quarter more every five minutes.
const LINEAR: Strategy = Strategy::Linear { percent: 25, minutes: 5 };
/// Those that the documentation asks for, and the one where tests can be run.
const STAGES: [&str; 3] = ["POST_TEST_TRAFFIC_SHIFT", "PRE_PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT"];
const ALL_STAGES: [&str; 8] = [
    "RECONCILE_SERVICE",
    "PRE_SCALE_UP",
    "POST_SCALE_UP",
    "TEST_TRAFFIC_SHIFT",
    "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT",
    "PRODUCTION_TRAFFIC_SHIFT",
    "POST_PRODUCTION_TRAFFIC_SHIFT",
];

/// What a service's own configuration says to its hook.
fn details() -> Value {
    let spec = json!({ "checks": [{ "errors": { "tolerate": "0.5pt" } }], "after": { "watch": "5m" } });
    json!({ "coalmine": spec, "team": "shop", "nested": { "list": [1, null, "two"] } })
}

fn stage_of(payload: &Value) -> String {
    payload["lifecycleStage"].as_str().unwrap_or_else(|| panic!("no stage in {payload}")).to_owned()
}

fn status(reply: &Result<Value, Value>) -> String {
    let reply = reply.as_ref().unwrap_or_else(|error| panic!("an error is a refusal to ECS: {error}"));
    reply["hookStatus"].as_str().unwrap_or_else(|| panic!("no status in {reply}")).to_owned()
}

/// Everything that the user put there is still there.
fn assert_given_back(reply: &Value) {
    for (name, value) in details().as_object().unwrap() {
        assert_eq!(&reply["hookDetails"][name], value, "{reply}");
    }
}

/// The answers by stage, each once: waiting as often as it takes.
fn told(stage: &StageEcs) -> Vec<(String, String)> {
    let mut told: Vec<(String, String)> =
        stage.calls.iter().map(|call| (stage_of(&call.payload), status(&call.reply))).collect();
    told.retain(|(_, status)| status != "IN_PROGRESS");
    told
}

fn succeed(stages: &[&str]) -> Vec<(String, String)> {
    stages.iter().map(|stage| ((*stage).to_owned(), "SUCCEEDED".to_owned())).collect()
}

#[test]
fn a_good_linear_deployment_goes_through_step_by_step() {
    for stages in [STAGES.as_slice(), ALL_STAGES.as_slice()] {
        let mut stage = StageEcs::set_up(231);
        stage.release(LINEAR, stages, details());
        let mut weights = vec![0];
        for _ in 0..90 {
            stage.pass(&HEALTHY);
            weights.push(stage.state().1);
            if stage.state().0 != "IN_PROGRESS" {
                break;
            }
        }
        assert_eq!(stage.state(), ("SUCCESSFUL", 100), "{:#}\n{:#?}", stage.status(), stage.calls.last());
        weights.dedup();
        assert_eq!(weights, [0, 25, 50, 75, 100]);
        let steps = ["PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT"].repeat(4);
        let before = &ALL_STAGES[..5];
        let all = [before, &steps, &ALL_STAGES[7..]].concat();
        let called: Vec<&str> = all.into_iter().filter(|one| stages.contains(one)).collect();
        assert_eq!(told(&stage), succeed(&called));
        let waited = stage.calls.iter().filter(|call| status(&call.reply) == "IN_PROGRESS");
        waited.for_each(|call| assert_given_back(call.reply.as_ref().unwrap()));
        stage.tick();
        assert_eq!((stage.phase().as_str(), stage.ecs.calls("StopServiceDeployment")), ("promoted", vec![]));
    }
}

#[test]
fn a_step_that_is_not_proven_is_not_left() {
    let mut stage = StageEcs::set_up(232);
    stage.release(LINEAR, &STAGES, details());
    for _ in 0..4 {
        stage.pass(&HEALTHY);
    }
    assert_eq!(stage.state(), ("IN_PROGRESS", 25));
    for _ in 0..20 {
        stage.minute = stage.minute.plus(1);
        stage.shift();
        stage.tick();
    }
    let last = stage.calls.last().unwrap();
    assert_eq!((stage.state(), status(&last.reply).as_str()), (("IN_PROGRESS", 25), "IN_PROGRESS"), "{last:#?}");
    assert_given_back(last.reply.as_ref().unwrap());
}

#[test]
fn harm_is_answered_with_failed_and_the_traffic_goes_back() {
    let mut stage = StageEcs::set_up(233);
    stage.release(LINEAR, &ALL_STAGES, details());
    for _ in 0..15 {
        stage.pass(&BROKEN);
        if stage.state().0 != "IN_PROGRESS" {
            break;
        }
    }
    assert_eq!(stage.state(), ("ROLLBACK_SUCCESSFUL", 0), "{:#}", stage.status());
    // Between two calls of the hook it is stopped; in one it is told so.
    let stops = stage.ecs.calls("StopServiceDeployment");
    let failures = told(&stage).into_iter().filter(|(_, status)| status == "FAILED").count();
    assert_eq!(
        stops.iter().filter(|call| call.status == Some(200)).count() + failures,
        1,
        "{stops:?} {:?}",
        told(&stage)
    );
    let last = stage.calls.last().unwrap();
    assert_eq!(last.payload["executionDetails"]["productionTrafficWeights"].to_string().matches(":0").count(), 1);
    assert_eq!(status(&last.reply), "SUCCEEDED", "the way back is not held up");
    (0..3).for_each(|_| stage.pass(&HEALTHY));
    assert_eq!(stage.phase(), "rolledBack");
}

#[test]
fn a_fault_at_any_call_is_waited_out_and_not_a_rollback() {
    let mut stage = StageEcs::set_up(234);
    stage.release(LINEAR, &STAGES, details());
    (0..3).for_each(|_| stage.pass(&HEALTHY));
    let asked = stage.calls.last().unwrap().payload.clone();
    assert_eq!(stage_of(&asked), "PRE_PRODUCTION_TRAFFIC_SHIFT");
    let at_25 = with_weight(&asked, 25);
    let operations = stage.ecs.operations();
    assert!(operations.iter().any(|operation| operation == "DescribeServiceDeployments"), "{operations:?}");
    for operation in operations {
        for mishap in [Mishap::Denied, Mishap::Failed] {
            stage.ecs.break_down(&operation, mishap);
            let reply = stage.try_invoke("hook", &at_25);
            assert_eq!(status(&reply), "IN_PROGRESS", "{operation}: {reply:?}");
            assert_given_back(&reply.unwrap());
            stage.ecs.mend();
        }
    }
}

/// The same question when the new revision has this many percent.
fn with_weight(payload: &Value, percent: u32) -> Value {
    let mut payload = payload.clone();
    let target = payload["executionDetails"]["targetServiceRevisionArn"].as_str().unwrap().to_owned();
    let weights = payload["executionDetails"]["productionTrafficWeights"].as_object_mut().unwrap();
    for (revision, weight) in weights {
        *weight = json!(if *revision == target { percent } else { 100 - percent });
    }
    payload
}

/// Of every service that the hook needs, all calls at once: nobody listens there.
#[test]
fn a_service_that_is_away_is_waited_for() {
    let mut stage = StageEcs::set_up(235);
    stage.release(LINEAR, &STAGES, details());
    (0..3).for_each(|_| stage.pass(&HEALTHY));
    let asked = with_weight(&stage.calls.last().unwrap().payload, 25);
    let away = ["DYNAMODB", "CLOUDWATCH", "ELASTIC_LOAD_BALANCING_V2", "ECS"];
    std::thread::scope(|scope| {
        for service in away {
            let mut environment = stage.environment();
            environment[format!("AWS_ENDPOINT_URL_{service}")] = json!("http://127.0.0.1:1");
            let (cloud, asked) = (&stage.cloud, &asked);
            scope.spawn(move || {
                let name = format!("without-{}", service.to_ascii_lowercase());
                cloud.create_bootstrap(&name, "hook", &environment);
                let reply = cloud.invoke(&name, asked);
                assert_eq!(status(&reply), "IN_PROGRESS", "{service}: {reply:?}");
                assert_given_back(&reply.unwrap());
            });
        }
    });
}

#[test]
fn what_a_hook_is_asked_decides_what_it_replies() {
    let mut stage = StageEcs::set_up(236);
    stage.release(LINEAR, &[], details());
    let payload = |lifecycle: &str, percent: u32| {
        let payload = stage.ecs.with(|ecs| ecs.last().unwrap().payload());
        crate::harness::with_fields(with_weight(&payload, percent), &json!({ "lifecycleStage": lifecycle }))
    };
    let mut wrong = payload("RECONCILE_SERVICE", 0);
    wrong["hookDetails"]["coalmine"] = json!({ "strategy": "steps" });
    let mut unknown = payload("PRE_PRODUCTION_TRAFFIC_SHIFT", 0);
    unknown["resourceArn"] = json!("arn:aws:ecs:us-east-1:123456789012:service-deployment/prod/cart/gone");
    for (asked, wanted) in [
        (payload("RECONCILE_SERVICE", 0), "SUCCEEDED"),
        (payload("PRE_SCALE_UP", 0), "SUCCEEDED"),
        (payload("POST_SCALE_UP", 0), "SUCCEEDED"),
        (payload("TEST_TRAFFIC_SHIFT", 0), "SUCCEEDED"),
        (payload("PRODUCTION_TRAFFIC_SHIFT", 0), "SUCCEEDED"),
        (wrong, "FAILED"),
        (unknown, "IN_PROGRESS"),
        (crate::events::event("hook-ecs-post-test-traffic-shift"), "IN_PROGRESS"),
    ] {
        let reply = stage.try_invoke("hook", &asked);
        assert_eq!(status(&reply), wanted, "{asked:#}: {reply:#?}");
    }
}
