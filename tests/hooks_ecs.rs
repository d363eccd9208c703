//! Whole deployments of Amazon ECS, judged through the lifecycle hook: payloads in, replies out, ECS on loopback, the rule
//! that it writes on moto.

use serde_json::{Value, json};

use crate::harness::{Mishap, StageEcs, Strategy, Traffic};
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

/// Whether the deployment goes on, or its traffic is still to go back.
fn runs(stage: &StageEcs) -> bool {
    ["PENDING", "IN_PROGRESS", "ROLLBACK_IN_PROGRESS"].contains(&stage.state().0)
}

/// Passes minutes until the deployment is over; the weights that were seen. Without tests the first one is let through by
/// the very call that asks.
fn pass_all(stage: &mut StageEcs, traffic: &Traffic, limit: usize) -> Vec<u32> {
    let mut weights = vec![0, stage.state().1];
    while runs(stage) {
        assert!(weights.len() < limit, "{weights:?}: {:#}\n{:#?}", stage.status(), stage.calls.last());
        stage.pass(traffic);
        weights.push(stage.state().1);
    }
    weights.dedup();
    weights
}

#[test]
fn a_good_deployment_goes_through_step_by_step() {
    let canary = Strategy::Canary { percent: 10, minutes: 5 };
    for (strategy, stages, weights) in [
        (LINEAR, ALL_STAGES.as_slice(), &[0, 25, 50, 75, 100][..]),
        (canary, STAGES.as_slice(), &[0, 10, 100]),
        (Strategy::BlueGreen, STAGES.as_slice(), &[0, 100]),
    ] {
        let mut stage = StageEcs::set_up(231);
        stage.release(strategy, stages, details());
        assert_eq!(pass_all(&mut stage, &HEALTHY, 90), weights);
        assert_eq!(stage.state(), ("SUCCESSFUL", 100), "{:#}\n{:#?}", stage.status(), stage.calls.last());
        let steps = ["PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT"].repeat(weights.len() - 1);
        let all = [&ALL_STAGES[..5], &steps, &ALL_STAGES[7..]].concat();
        let called: Vec<&str> = all.into_iter().filter(|one| stages.contains(one)).collect();
        assert_eq!(told(&stage), succeed(&called));
        let waited = stage.calls.iter().filter(|call| status(&call.reply) == "IN_PROGRESS");
        waited.for_each(|call| assert_given_back(call.reply.as_ref().unwrap()));
        stage.tick();
        assert_eq!((stage.phase().as_str(), stage.ecs.calls("StopServiceDeployment")), ("promoted", vec![]));
    }
}

#[test]
fn harm_is_answered_with_failed_or_stops_it_and_the_traffic_goes_back() {
    let mut stage = StageEcs::set_up(233);
    stage.release(LINEAR, &ALL_STAGES, details());
    pass_all(&mut stage, &BROKEN, 15);
    assert_eq!(stage.state(), ("ROLLBACK_SUCCESSFUL", 0), "{:#}", stage.status());
    // Between two calls of the hook it is stopped; in one it is told so.
    let stops = stage.ecs.calls("StopServiceDeployment");
    let failures = told(&stage).into_iter().filter(|(_, status)| status == "FAILED").count();
    assert_eq!(stops.len() + failures, 1, "{stops:?} {:?}", told(&stage));
    let last = stage.calls.last().unwrap();
    let back = json!([100, 0]);
    assert_eq!(json!(weights(&last.payload)), back, "the hook is called on the way back");
    assert_eq!(status(&last.reply), "SUCCEEDED", "the way back is not held up");
    (0..3).for_each(|_| stage.pass(&HEALTHY));
    assert_eq!(stage.phase(), "rolledBack");
}

/// Whoever may not stop it still has the hook's answer.
#[test]
fn harm_in_a_deployment_that_cannot_be_stopped_is_answered_with_failed() {
    let mut stage = StageEcs::set_up(234);
    stage.ecs.break_down("StopServiceDeployment", Mishap::Denied);
    stage.release(LINEAR, &STAGES, details());
    pass_all(&mut stage, &BROKEN, 15);
    assert_eq!(stage.state(), ("ROLLBACK_SUCCESSFUL", 0), "{:#}", stage.status());
    let answers: Vec<String> = told(&stage).into_iter().map(|(_, status)| status).collect();
    assert_eq!(answers, ["SUCCEEDED", "SUCCEEDED", "FAILED"]);
}

#[test]
fn faults_and_doubts_are_waited_out_and_are_no_rollback() {
    let mut stage = StageEcs::set_up(235);
    stage.release(LINEAR, &STAGES, details());
    let quiet = Traffic { requests: 100, ..HEALTHY };
    (0..8).for_each(|_| stage.pass(&quiet));
    let last = stage.calls.last().unwrap();
    assert_eq!(stage.state(), ("IN_PROGRESS", 25), "what is not proven is not left");
    assert_eq!(weights(&last.payload), [75, 25]);
    assert_eq!(status(&last.reply), "IN_PROGRESS");
    let asked = last.payload.clone();
    a_fault_at_any_call_is_waited_out(&stage, &asked);
    a_service_that_is_away_is_waited_for(&stage, &asked);
    assert_eq!(stage.state(), ("IN_PROGRESS", 25));
}

fn a_fault_at_any_call_is_waited_out(stage: &StageEcs, asked: &Value) {
    let operations = stage.ecs.operations();
    for wanted in ["DescribeServiceDeployments", "DescribeServiceRevisions"] {
        assert!(operations.iter().any(|operation| operation == wanted), "{operations:?}");
    }
    for operation in operations {
        for mishap in [Mishap::Denied, Mishap::Throttled, Mishap::Failed] {
            stage.ecs.break_down(&operation, mishap);
            let reply = stage.try_invoke("hook", asked);
            assert_eq!(status(&reply), "IN_PROGRESS", "{operation}: {reply:?}");
            assert_given_back(&reply.unwrap());
            stage.ecs.mend();
        }
    }
}

/// Nobody listens there.
fn a_service_that_is_away_is_waited_for(stage: &StageEcs, asked: &Value) {
    std::thread::scope(|scope| {
        for service in ["DYNAMODB", "CLOUDWATCH", "ELASTIC_LOAD_BALANCING_V2", "ECS"] {
            let mut environment = stage.environment();
            environment[format!("AWS_ENDPOINT_URL_{service}")] = json!("http://127.0.0.1:1");
            let cloud = &stage.cloud;
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

/// Percent of the production traffic on the old revision and on the new one.
fn weights(payload: &Value) -> [u64; 2] {
    let details = &payload["executionDetails"];
    let new = details["targetServiceRevisionArn"].as_str().unwrap();
    let mut found = [0, 0];
    for (revision, weight) in details["productionTrafficWeights"].as_object().unwrap() {
        found[usize::from(revision == new)] = weight.as_u64().unwrap();
    }
    found
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
