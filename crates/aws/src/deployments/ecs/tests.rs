use coalmine_core::ports::Deployments;
use coalmine_core::units::Span;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Reply, Script, scripted};

const ARN: &str = "arn:aws:ecs:eu-west-1:111122223333:service-deployment/prod/cart/NCWGC2ZR";
const RULE: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener-rule/app/shop/9a8b/443/r1";
const TEST_RULE: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener-rule/app/shop/9a8b/8443/t1";
const LISTENER: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener/app/shop/9a8b/443";
const NETWORK: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener/net/shop/9a8b/443";

fn reference() -> DeploymentRef {
    DeploymentRef::Ecs(ARN.to_owned())
}

fn group(name: &str) -> String {
    format!("arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/{name}/1a2b")
}

/// A linear deployment from revision `old` to revision `new`.
fn deployment(more: &Value) -> Reply {
    let mut found = json!({
        "serviceDeploymentArn": ARN,
        "serviceArn": "arn:aws:ecs:eu-west-1:111122223333:service/prod/cart",
        "clusterArn": "arn:aws:ecs:eu-west-1:111122223333:cluster/prod",
        "sourceServiceRevisions": [{ "arn": "old" }],
        "targetServiceRevision": { "arn": "new" },
        "status": "IN_PROGRESS",
        "lifecycleStage": "PRE_SCALE_UP",
        "deploymentConfiguration": { "strategy": "LINEAR" },
    });
    let fields = found.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    fields.retain(|_, value| !value.is_null());
    Reply::json(200, &json!({ "serviceDeployments": [found], "failures": [] }))
}

/// As ECS tells a service's balancer, with its rules for production and for tests.
fn balancer(one: &str, other: &str, rule: &str, test: Option<&str>) -> Value {
    let advanced = json!({
        "alternateTargetGroupArn": group(other),
        "productionListenerRule": rule,
        "testListenerRule": test,
        "roleArn": "arn:aws:iam::111122223333:role/ecs",
    });
    json!({ "targetGroupArn": group(one), "containerName": "cart", "advancedConfiguration": advanced })
}

fn revision(arn: &str, balancers: &[Value], serves_in: Option<&str>) -> Value {
    let resolved = serves_in.map(|name| json!([{ "targetGroupArn": group(name), "productionListenerRule": RULE }]));
    json!({
        "serviceRevisionArn": arn,
        "loadBalancers": balancers,
        "resolvedConfiguration": { "loadBalancers": resolved.unwrap_or(json!([])) },
    })
}

fn revisions(revisions: &[Value]) -> Reply {
    Reply::json(200, &json!({ "serviceRevisions": revisions, "failures": [] }))
}

/// The two revisions of a service with one balancer, each with the group that it serves in.
fn both(balancers: &[Value], old: Option<&str>, new: Option<&str>) -> Reply {
    revisions(&[revision("new", balancers, new), revision("old", balancers, old)])
}

fn plain() -> Vec<Value> {
    vec![balancer("blue", "green", RULE, None)]
}

async fn look(replies: Vec<Reply>) -> (Result<Deployment, LookError>, Script) {
    let (aws, script) = scripted(replies);
    let seen = aws.deployment(&reference()).await;
    assert_eq!(script.unused(), 0);
    (seen, script)
}

fn target(rules: &[RuleRef], test_rule: Option<&str>) -> Target {
    Target::Alb(AlbTarget {
        rules: rules.to_vec(),
        target_groups: [group("blue"), group("green")],
        stickiness: Stickiness::Refuse,
        min_healthy_share: Weight::FULL,
        test_rule: test_rule.map(str::to_owned),
        keep_baseline: KeepBaseline::UntilNextRollout,
    })
}

#[tokio::test]
async fn a_deployment_is_told_with_its_groups_rules_and_timetable() {
    let balancers = [balancer("blue", "green", RULE, Some(TEST_RULE))];
    let (seen, script) = look(vec![deployment(&json!({})), both(&balancers, Some("blue"), Some("green"))]).await;
    let expected = Deployment {
        reference: reference(),
        state: DeploymentState::InProgress,
        rolls_back: false,
        shift: Some(Shift {
            target: target(&[RuleRef::Rule(RULE.to_owned())], Some(TEST_RULE)),
            baseline: Version(group("blue")),
            canary: Version(group("green")),
        }),
        unjudged: None,
        strategy: "LINEAR".to_owned(),
        steps: Stage::linear(Weight::from_basis_points(1000).unwrap(), Span::from_minutes(6)),
        awaits: None,
        owner: "prod/cart".to_owned(),
    };
    assert_eq!(seen.unwrap(), expected);
    let asked = script.asked();
    assert_eq!(
        (asked[0].operation.as_str(), asked[1].operation.as_str()),
        ("DescribeServiceDeployments", "DescribeServiceRevisions")
    );
    assert_eq!(asked[0].json(), json!({ "serviceDeploymentArns": [ARN] }));
    assert_eq!(asked[1].json(), json!({ "serviceRevisionArns": ["old", "new"] }));
}

#[tokio::test]
async fn one_group_tells_the_other() {
    for (old, new, canary) in [
        (Some("blue"), Some("green"), Some("green")),
        (Some("green"), Some("blue"), Some("blue")),
        // Before the new revision has its group.
        (Some("green"), None, Some("blue")),
        (None, Some("green"), Some("green")),
        (None, None, None),
        // Of another service's balancer.
        (Some("red"), None, None),
    ] {
        let (seen, _) = look(vec![deployment(&json!({})), both(&plain(), old, new)]).await;
        let seen = seen.unwrap();
        assert_eq!(seen.unjudged, None);
        let groups = seen.shift.map(|shift| (shift.baseline, shift.canary));
        let expected = canary.map(|canary| {
            let baseline = if canary == "green" { "blue" } else { "green" };
            (Version(group(baseline)), Version(group(canary)))
        });
        assert_eq!(groups, expected, "{old:?} {new:?}");
    }
    // As long as ECS does not tell the new revision, nothing is known.
    let (seen, _) = look(vec![deployment(&json!({ "targetServiceRevision": null }))]).await;
    let seen = seen.unwrap();
    assert_eq!((seen.shift, seen.unjudged), (None, None));
}

#[tokio::test]
async fn several_rules_of_one_pair_are_judged_together() {
    let balancers = [
        balancer("blue", "green", RULE, None),
        balancer("blue", "green", LISTENER, Some(LISTENER)),
        balancer("blue", "green", RULE, None),
        json!({ "targetGroupArn": group("internal") }),
    ];
    let (seen, _) = look(vec![deployment(&json!({})), both(&balancers, Some("blue"), None)]).await;
    // A listener for tests is no rule for tests.
    let rules = [RuleRef::Rule(RULE.to_owned()), RuleRef::DefaultOf(LISTENER.to_owned())];
    assert_eq!(seen.unwrap().shift.unwrap().target, target(&rules, None));
}

#[tokio::test]
async fn what_cannot_be_compared_says_why() {
    let foreign = |why: &str| Some(Unjudged::Foreign(why.to_owned()));
    for (balancers, unjudged) in [
        (vec![], foreign("it moves no target groups of an Application Load Balancer")),
        (
            vec![json!({ "targetGroupArn": group("blue") })],
            foreign("it moves no target groups of an Application Load Balancer"),
        ),
        (
            vec![balancer("blue", "green", RULE, None), balancer("a", "b", RULE, None)],
            foreign("it moves several pairs of target groups; Coalmine compares two groups"),
        ),
        (
            vec![balancer("blue", "green", NETWORK, None)],
            foreign("its production listener rule is not one of an Application Load Balancer"),
        ),
    ] {
        let (seen, _) = look(vec![deployment(&json!({})), both(&balancers, Some("blue"), None)]).await;
        let seen = seen.unwrap();
        assert_eq!((seen.shift, seen.unjudged), (None, unjudged));
    }
    let alone = "no revision of service prod/cart is running that it replaces; there is nothing to compare";
    for sources in [json!(null), json!([]), json!([{ "arn": "new" }])] {
        let (seen, _) = look(vec![deployment(&json!({ "sourceServiceRevisions": sources }))]).await;
        assert_eq!(seen.unwrap().unjudged, Some(Unjudged::Alone(alone.to_owned())), "{sources}");
        // What has not begun may not have said it yet.
        let (seen, _) =
            look(vec![deployment(&json!({ "sourceServiceRevisions": sources, "status": "PENDING" }))]).await;
        let seen = seen.unwrap();
        assert_eq!((seen.shift, seen.unjudged), (None, None), "{sources}");
    }
    for configuration in [json!(null), json!({}), json!({ "strategy": "ROLLING" })] {
        let (seen, _) = look(vec![deployment(&json!({ "deploymentConfiguration": configuration }))]).await;
        let why = "its strategy is ROLLING; Coalmine judges LINEAR, CANARY and BLUE_GREEN";
        assert_eq!(seen.unwrap().unjudged, foreign(why), "{configuration}");
    }
}

#[tokio::test]
async fn every_status_is_told_as_a_state_with_ecs_reason() {
    let failed = |why: &str| DeploymentState::Failed { why: why.to_owned() };
    let stopped = |why: &str| DeploymentState::Stopped { why: why.to_owned() };
    let rollback = json!({ "reason": "an alarm" });
    for (more, state, rolls_back) in [
        (json!({ "status": "PENDING" }), DeploymentState::Waiting, false),
        (json!({ "status": "IN_PROGRESS" }), DeploymentState::InProgress, false),
        (json!({ "status": "SUCCESSFUL" }), DeploymentState::Succeeded, false),
        (json!({ "status": "STOPPED", "statusReason": "by hand" }), stopped("by hand"), false),
        (json!({ "status": "STOP_REQUESTED" }), stopped("ECS gives no reason"), false),
        (
            json!({ "status": "ROLLBACK_REQUESTED", "statusReason": "" }),
            failed("ROLLBACK_REQUESTED: ECS gives no reason"),
            true,
        ),
        (
            json!({ "status": "ROLLBACK_IN_PROGRESS", "statusReason": "a", "rollback": rollback }),
            failed("ROLLBACK_IN_PROGRESS: an alarm"),
            true,
        ),
        (json!({ "status": "ROLLBACK_SUCCESSFUL", "statusReason": "a" }), failed("ROLLBACK_SUCCESSFUL: a"), true),
        (json!({ "status": "ROLLBACK_FAILED", "statusReason": "a" }), failed("ROLLBACK_FAILED: a"), true),
    ] {
        let mut replies = vec![deployment(&more)];
        if !state.has_ended() {
            replies.push(both(&plain(), Some("blue"), None));
        }
        let (seen, _) = look(replies).await;
        let seen = seen.unwrap();
        assert_eq!((seen.state, seen.rolls_back), (state, rolls_back), "{more}");
    }
}

#[tokio::test]
async fn a_timetable_has_ecs_own_defaults() {
    let linear = |more: Value| json!({ "strategy": "LINEAR", "linearConfiguration": more });
    let canary = |more: Value| json!({ "strategy": "CANARY", "canaryConfiguration": more });
    for (configuration, steps) in [
        (linear(json!({ "stepPercent": 33.3, "stepBakeTimeInMinutes": 0 })), "3330 0 6660 0 9990 0"),
        (linear(json!({ "stepPercent": 100.0, "stepBakeTimeInMinutes": 5 })), ""),
        (linear(json!({ "stepPercent": 50.0 })), "5000 360"),
        (
            linear(json!({ "stepBakeTimeInMinutes": 1440 })),
            "1000 86400 2000 86400 3000 86400 4000 86400 5000 86400 6000 86400 7000 86400 8000 86400 9000 86400",
        ),
        (canary(json!({ "canaryPercent": 0.1, "canaryBakeTimeInMinutes": 3 })), "10 180"),
        (canary(json!({})), "500 600"),
        (json!({ "strategy": "CANARY" }), "500 600"),
        (canary(json!({ "canaryPercent": 100.0 })), ""),
        (json!({ "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 5 }), ""),
    ] {
        let more = json!({ "status": "SUCCESSFUL", "deploymentConfiguration": configuration });
        let (seen, _) = look(vec![deployment(&more)]).await;
        let told = seen
            .unwrap()
            .steps
            .into_iter()
            .map(|stage| format!("{} {}", stage.weight.basis_points(), stage.bake.seconds()));
        assert_eq!(told.collect::<Vec<_>>().join(" "), steps, "{configuration}");
    }
}

#[tokio::test]
async fn an_answer_that_says_nonsense_is_a_fault() {
    let configured = |configuration: Value| deployment(&json!({ "deploymentConfiguration": configuration }));
    let linear = |more: Value| configured(json!({ "strategy": "LINEAR", "linearConfiguration": more }));
    let many: Vec<Value> = (0..20).map(|i| json!({ "arn": format!("old{i}") })).collect();
    for (replies, told) in [
        (vec![deployment(&json!({ "status": null }))], "DescribeServiceDeployments failed: the answer has no status"),
        (
            vec![deployment(&json!({ "status": "DANCING" }))],
            "DescribeServiceDeployments failed: the status DANCING is not known",
        ),
        (vec![linear(json!({ "stepPercent": 0.0 }))], "DescribeServiceDeployments failed: stepPercent is 0 %"),
        (vec![linear(json!({ "stepPercent": 101.0 }))], "DescribeServiceDeployments failed: stepPercent is 101 %"),
        (
            vec![linear(json!({ "stepBakeTimeInMinutes": -1 }))],
            "DescribeServiceDeployments failed: stepBakeTimeInMinutes is -1 minutes",
        ),
        (
            vec![configured(json!({ "strategy": "CANARY", "canaryConfiguration": { "canaryPercent": -0.1 } }))],
            "DescribeServiceDeployments failed: canaryPercent is -0.1 %",
        ),
        (
            vec![deployment(&json!({})), revisions(&[])],
            "DescribeServiceRevisions failed: the answer lacks the new revision",
        ),
        (
            vec![deployment(&json!({ "sourceServiceRevisions": many }))],
            "DescribeServiceRevisions was rejected: the deployment has 21 revisions, and ECS describes 20",
        ),
        (
            vec![Reply::json(200, &json!({ "failures": [{ "arn": ARN, "reason": "SHRUG" }] }))],
            "DescribeServiceDeployments failed: SHRUG",
        ),
    ] {
        assert_eq!(look(replies).await.0.unwrap_err().to_string(), told);
    }
    for garbage in ["no json", "[]", "{\"serviceDeployments\": 7}"] {
        let reply = Reply::Http { status: 200, headers: Vec::new(), body: garbage.as_bytes().to_vec() };
        let LookError::Fault(fault) = look(vec![reply]).await.0.unwrap_err() else { panic!("{garbage}") };
        assert_eq!((fault.operation, fault.kind), ("DescribeServiceDeployments", FaultKind::Failed), "{garbage}");
    }
}

#[tokio::test]
async fn a_look_may_be_refused_and_a_deployment_be_gone() {
    let denied = || Reply::error(400, "AccessDeniedException");
    for (replies, told) in [
        (
            vec![denied()],
            "DescribeServiceDeployments was denied: AccessDeniedException: because (it needs ecs:DescribeServiceDeployments on services that match the stack's parameter TargetServices)",
        ),
        (
            vec![deployment(&json!({})), denied()],
            "DescribeServiceRevisions was denied: AccessDeniedException: because (it needs ecs:DescribeServiceRevisions on services that match the stack's parameter TargetServices)",
        ),
    ] {
        assert_eq!(look(replies).await.0.unwrap_err().to_string(), told);
    }
    for gone in [
        Reply::json(200, &json!({ "serviceDeployments": [], "failures": [] })),
        Reply::json(200, &json!({ "failures": [{ "arn": ARN, "reason": "MISSING" }] })),
        Reply::error(400, "ServiceNotFoundException"),
        Reply::error(400, "ClusterNotFoundException"),
    ] {
        let shown = format!("{gone:?}");
        let (seen, _) = look(vec![gone]).await;
        assert!(
            matches!(seen, Err(LookError::NotFound(why)) if why == format!("there is no service deployment {ARN}")),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn stopping_rolls_back_and_one_that_is_over_is_no_error() {
    let over = || deployment(&json!({ "status": "ROLLBACK_IN_PROGRESS" }));
    let goes_on = || deployment(&json!({}));
    let conflict = || Reply::error(400, "ConflictException");
    let refused = Some("StopServiceDeployment was rejected: ConflictException: because");
    for (replies, told) in [
        (vec![Reply::json(200, &json!({ "serviceDeploymentArn": ARN }))], None),
        (vec![conflict(), over()], None),
        (vec![Reply::error(400, "InvalidParameterException"), over()], None),
        (vec![Reply::error(400, "ClientException"), deployment(&json!({ "status": "SUCCESSFUL" }))], None),
        (vec![conflict(), goes_on()], refused),
        (vec![conflict(), Reply::error(400, "AccessDeniedException")], refused),
        (
            vec![Reply::error(400, "ServiceDeploymentNotFoundException"), Reply::json(200, &json!({}))],
            Some("StopServiceDeployment was rejected: ServiceDeploymentNotFoundException: because"),
        ),
        (
            vec![Reply::error(400, "AccessDeniedException")],
            Some(
                "StopServiceDeployment was denied: AccessDeniedException: because (it needs ecs:StopServiceDeployment on services that match the stack's parameter TargetServices)",
            ),
        ),
    ] {
        let (aws, script) = scripted(replies);
        let stopped = aws.stop(&reference()).await;
        assert_eq!(stopped.err().map(|fault| fault.to_string()).as_deref(), told);
        assert_eq!(script.asked()[0].operation, "StopServiceDeployment");
        assert_eq!(script.asked()[0].json(), json!({ "serviceDeploymentArn": ARN, "stopType": "ROLLBACK" }));
        assert_eq!(script.unused(), 0);
    }
}

/// The rules of a service that shifts them belong to it at any time, and a survey finds that.
#[tokio::test]
async fn target_groups_are_not_searched_for_deployments() {
    let (aws, script) = scripted([]);
    assert_eq!(aws.shifting(&target(&[], None)).await.unwrap(), None);
    assert!(script.asked().is_empty());
}
