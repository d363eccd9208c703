use coalmine_core::ports::Deployments;
use coalmine_core::units::{Span, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::testing::{Reply, Script, scripted, target};

const ID: &str = "d-3GSL8P2NK";

fn reference() -> DeploymentRef {
    DeploymentRef::CodeDeploy(ID.to_owned())
}

fn info(more: &Value) -> Value {
    let mut info = json!({
        "applicationName": "checkout-app",
        "deploymentGroupName": "checkout-group",
        "deploymentConfigName": "CodeDeployDefault.LambdaCanary10Percent5Minutes",
        "deploymentId": ID,
        "status": "InProgress",
        "creator": "user",
        "computePlatform": "Lambda",
    });
    let fields = info.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    fields.retain(|_, value| !value.is_null());
    info
}

fn deployment(more: &Value) -> Reply {
    Reply::json(200, &json!({ "deploymentInfo": info(more) }))
}

fn ids(ids: &[&str]) -> Reply {
    Reply::json(200, &json!({ "targetIds": ids }))
}

/// A target with the function's fields and the lifecycle events.
fn lambda(function: &Value, events: &[(&str, &str)]) -> Value {
    let events = events.iter().map(|(name, status)| json!({ "lifecycleEventName": name, "status": status }));
    let lambda = json!({
        "targetId": "checkout",
        "status": "InProgress",
        "lifecycleEvents": events.collect::<Vec<_>>(),
        "lambdaFunctionInfo": function,
    });
    json!({ "deploymentTargetType": "LambdaTarget", "lambdaTarget": lambda })
}

fn checkout() -> Value {
    json!({
        "functionName": "checkout",
        "functionAlias": "live",
        "currentVersion": "41",
        "targetVersion": "42",
        "targetVersionWeight": 10.0,
    })
}

fn targets(targets: &[Value]) -> Reply {
    Reply::json(200, &json!({ "deploymentTargets": targets }))
}

async fn look(replies: Vec<Reply>) -> (Result<Deployment, LookError>, Script) {
    let (aws, script) = scripted(replies);
    let seen = aws.deployment(&reference()).await;
    assert_eq!(script.unused(), 0);
    (seen, script)
}

fn operations(script: &Script) -> Vec<String> {
    script.asked().iter().map(|asked| asked.operation.clone()).collect()
}

fn moving(old: &str, new: &str) -> Shift {
    let (function, alias) = ("checkout".to_owned(), "live".to_owned());
    let target = Target::Lambda(LambdaTarget { function, alias, owner: Owner::Codedeploy });
    Shift { target, baseline: Version(old.to_owned()), canary: Version(new.to_owned()) }
}

#[tokio::test]
async fn a_deployment_is_told_with_its_alias_versions_and_timetable() {
    let events =
        [("BeforeAllowTraffic", "Succeeded"), ("AllowTraffic", "InProgress"), ("AfterAllowTraffic", "Pending")];
    let replies = vec![deployment(&json!({})), ids(&["checkout"]), targets(&[lambda(&checkout(), &events)])];
    let (seen, script) = look(replies).await;
    let expected = Deployment {
        reference: reference(),
        state: DeploymentState::InProgress,
        rolls_back: false,
        shift: Some(moving("41", "42")),
        unjudged: None,
        strategy: "CodeDeployDefault.LambdaCanary10Percent5Minutes".to_owned(),
        steps: Stage::canary(Weight::from_basis_points(1000).unwrap(), Span::from_minutes(5)),
        awaits: None,
        owner: "checkout-app/checkout-group".to_owned(),
    };
    assert_eq!(seen.unwrap(), expected);
    let asked = script.asked();
    assert_eq!(operations(&script), ["GetDeployment", "ListDeploymentTargets", "BatchGetDeploymentTargets"]);
    assert_eq!(asked[0].json(), json!({ "deploymentId": ID }));
    assert_eq!(asked[1].json(), json!({ "deploymentId": ID }));
    assert_eq!(asked[2].json(), json!({ "deploymentId": ID, "targetIds": ["checkout"] }));
}

#[tokio::test]
async fn every_status_is_told_as_a_state_with_codedeploys_reason() {
    let failed = |why: &str| DeploymentState::Failed { why: why.to_owned() };
    let stopped = |why: &str| DeploymentState::Stopped { why: why.to_owned() };
    let alarm = json!({ "code": "ALARM_ACTIVE", "message": "One or more alarms" });
    for (more, state) in [
        (json!({ "status": "Created" }), DeploymentState::Waiting),
        (json!({ "status": "Queued" }), DeploymentState::Waiting),
        (json!({ "status": "InProgress" }), DeploymentState::InProgress),
        (json!({ "status": "Baking" }), DeploymentState::InProgress),
        (json!({ "status": "Ready" }), DeploymentState::InProgress),
        (json!({ "status": "Succeeded" }), DeploymentState::Succeeded),
        (json!({ "status": "Failed" }), failed("CodeDeploy gives no reason")),
        (json!({ "status": "Failed", "errorInformation": { "code": "TIMEOUT" } }), failed("TIMEOUT")),
        (json!({ "status": "Failed", "errorInformation": { "message": "what" } }), failed("what")),
        (json!({ "status": "Stopped", "errorInformation": alarm }), stopped("ALARM_ACTIVE: One or more alarms")),
        (
            json!({ "status": "Stopped", "errorInformation": { "code": "MANUAL_STOP", "message": "" },
                    "rollbackInfo": { "rollbackMessage": "Deployment d-9 rolls back" } }),
            stopped("MANUAL_STOP: Deployment d-9 rolls back"),
        ),
    ] {
        let (seen, _) = look(vec![deployment(&more), ids(&[])]).await;
        assert_eq!(seen.unwrap().state, state, "{more}");
    }
}

#[tokio::test]
async fn who_made_it_tells_a_rollback() {
    for (creator, rolls_back) in [
        ("user", false),
        ("CloudFormation", false),
        ("CodeDeploy", false),
        ("CodeDeployAutoUpdate", false),
        ("autoscaling", false),
        ("somebody new", false),
        ("codeDeployRollback", true),
        ("CloudFormationRollback", true),
    ] {
        // Nothing more need be known of a rollback, and so nothing more can fail.
        let more = (!rolls_back).then(|| ids(&[]));
        let replies = [deployment(&json!({ "creator": creator }))].into_iter().chain(more).collect();
        let (seen, _) = look(replies).await;
        assert_eq!(seen.unwrap().rolls_back, rolls_back, "{creator}");
    }
    // What is stopped knows its rollback, and is none.
    let stopped = json!({ "status": "Stopped", "rollbackInfo": { "rollbackDeploymentId": "d-9" } });
    let (seen, _) = look(vec![deployment(&stopped), ids(&[])]).await;
    assert!(!seen.unwrap().rolls_back);
}

#[tokio::test]
async fn what_is_not_told_yet_is_not_known_yet() {
    let not_started = || Reply::error(400, "DeploymentNotStartedException");
    let untold = |field: &str| {
        let mut function = checkout();
        function.as_object_mut().unwrap().remove(field);
        vec![ids(&["checkout"]), targets(&[lambda(&function, &[])])]
    };
    for rest in [
        vec![not_started()],
        vec![ids(&[])],
        vec![Reply::json(200, &json!({}))],
        vec![ids(&["checkout"]), not_started()],
        vec![ids(&["checkout"]), Reply::error(400, "DeploymentTargetDoesNotExistException")],
        vec![ids(&["checkout"]), targets(&[])],
        vec![ids(&["checkout"]), targets(&[json!({ "deploymentTargetType": "LambdaTarget" })])],
        vec![ids(&["checkout"]), targets(&[json!({ "lambdaTarget": {} })])],
        untold("functionName"),
        untold("functionAlias"),
        untold("currentVersion"),
        untold("targetVersion"),
    ] {
        let shown = format!("{rest:?}");
        let (seen, _) = look([vec![deployment(&json!({ "status": "Created" }))], rest].concat()).await;
        let seen = seen.unwrap();
        assert_eq!((seen.shift, seen.unjudged, seen.awaits), (None, None, None), "{shown}");
    }
}

#[tokio::test]
async fn the_hook_that_runs_tells_at_which_weight_it_waits() {
    let (before, allow, after) = ("BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic");
    let (pending, running, succeeded) = ("Pending", "InProgress", "Succeeded");
    for (status, events, awaits) in [
        ("InProgress", [(before, pending), (allow, pending), (after, pending)], None),
        ("InProgress", [(before, running), (allow, pending), (after, pending)], Some(Weight::ZERO)),
        ("InProgress", [(before, succeeded), (allow, running), (after, pending)], None),
        ("InProgress", [(before, succeeded), (allow, succeeded), (after, running)], Some(Weight::FULL)),
        ("InProgress", [(before, "Skipped"), (allow, succeeded), (after, "Failed")], None),
        // Nobody waits at what is over, whatever the events say.
        ("Stopped", [(before, running), (allow, pending), (after, pending)], None),
    ] {
        let replies = [deployment(&json!({ "status": status })), ids(&["a"]), targets(&[lambda(&checkout(), &events)])];
        let (seen, _) = look(replies.to_vec()).await;
        assert_eq!(seen.unwrap().awaits, awaits, "{status} {events:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_compared_says_why() {
    let same =
        json!({ "functionName": "checkout", "functionAlias": "live", "currentVersion": "41", "targetVersion": "41" });
    let alone = "checkout:live is on version 41 already; there is nothing to compare".to_owned();
    let replies = vec![deployment(&json!({})), ids(&["a"]), targets(&[lambda(&same, &[])])];
    let (seen, _) = look(replies).await;
    let seen = seen.unwrap();
    assert_eq!((seen.shift, seen.unjudged), (None, Some(Unjudged::Alone(alone))));
    // When it is over, the new version is the one that is live.
    let replies = vec![deployment(&json!({ "status": "Succeeded" })), ids(&["a"]), targets(&[lambda(&same, &[])])];
    assert_eq!(look(replies).await.0.unwrap().unjudged, None);

    let two = [lambda(&checkout(), &[]), lambda(&checkout(), &[])];
    let (seen, _) = look(vec![deployment(&json!({})), ids(&["a", "b"]), targets(&two)]).await;
    let several = Unjudged::Foreign("it shifts 2 aliases at once".to_owned());
    assert_eq!(seen.unwrap().unjudged, Some(several));

    for platform in ["ECS", "Server", "Moon"] {
        let (seen, _) = look(vec![deployment(&json!({ "computePlatform": platform }))]).await;
        let Some(Unjudged::Foreign(why)) = seen.unwrap().unjudged else { panic!("{platform}") };
        assert!(why.starts_with(&format!("its compute platform is {platform}; ")), "{why}");
    }
}

#[tokio::test]
async fn a_function_may_be_named_by_its_arn() {
    for name in [
        "checkout",
        "arn:aws:lambda:eu-west-1:111122223333:function:checkout",
        "arn:aws:lambda:eu-west-1:111122223333:function:checkout:live",
    ] {
        let mut function = checkout();
        function["functionName"] = json!(name);
        let (seen, _) = look(vec![deployment(&json!({})), ids(&["a"]), targets(&[lambda(&function, &[])])]).await;
        assert_eq!(seen.unwrap().shift, Some(moving("41", "42")), "{name}");
    }
}

fn config(routing: &Value) -> Reply {
    Reply::json(200, &json!({ "deploymentConfigInfo": { "trafficRoutingConfig": routing } }))
}

fn named(name: &str) -> Reply {
    deployment(&json!({ "deploymentConfigName": name }))
}

#[tokio::test]
async fn a_timetable_of_the_users_own_is_asked_for_once() {
    let linear =
        json!({ "type": "TimeBasedLinear", "timeBasedLinear": { "linearPercentage": 40, "linearInterval": 3 } });
    let canary =
        json!({ "type": "TimeBasedCanary", "timeBasedCanary": { "canaryPercentage": 1, "canaryInterval": 7 } });
    let all = json!({ "type": "AllAtOnce" });
    for (routing, steps) in [(linear, "4000 180 8000 180"), (canary, "100 420"), (all, "")] {
        let (aws, script) = scripted([named("Careful"), ids(&[]), config(&routing), named("Careful"), ids(&[])]);
        for _ in 0..2 {
            let seen = aws.deployment(&reference()).await.unwrap();
            let steps_seen =
                seen.steps.iter().map(|stage| format!("{} {}", stage.weight.basis_points(), stage.bake.seconds()));
            assert_eq!(steps_seen.collect::<Vec<_>>().join(" "), steps, "{routing}");
            assert_eq!(seen.strategy, "Careful");
        }
        assert_eq!(script.asked()[2].json(), json!({ "deploymentConfigName": "Careful" }));
        assert_eq!(script.unused(), 0);
    }
}

#[tokio::test]
async fn an_answer_that_says_nonsense_is_a_fault() {
    let linear = |percent: i64, interval: i64| {
        let linear = json!({ "linearPercentage": percent, "linearInterval": interval });
        config(&json!({ "type": "TimeBasedLinear", "timeBasedLinear": linear }))
    };
    let canary =
        json!({ "type": "TimeBasedCanary", "timeBasedCanary": { "canaryPercentage": 101, "canaryInterval": 5 } });
    let own = |reply| vec![named("Careful"), ids(&[]), reply];
    for (replies, told) in [
        (vec![Reply::json(200, &json!({}))], "GetDeployment failed: the answer has no deploymentInfo"),
        (vec![deployment(&json!({ "status": null }))], "GetDeployment failed: the answer has no status"),
        (vec![deployment(&json!({ "status": "Moonwalk" }))], "GetDeployment failed: the status Moonwalk is not known"),
        (
            vec![deployment(&json!({ "computePlatform": null }))],
            "GetDeployment failed: the answer has no computePlatform",
        ),
        (own(Reply::json(200, &json!({}))), "GetDeploymentConfig failed: the answer has no trafficRoutingConfig"),
        (own(config(&json!({}))), "GetDeploymentConfig failed: the traffic routing without a type is not known"),
        (
            own(config(&json!({ "type": "Spiral" }))),
            "GetDeploymentConfig failed: the traffic routing Spiral is not known",
        ),
        (
            own(config(&json!({ "type": "TimeBasedLinear" }))),
            "GetDeploymentConfig failed: the traffic routing TimeBasedLinear is not known",
        ),
        (own(config(&canary)), "GetDeploymentConfig failed: canaryPercentage is 101 %"),
        (own(linear(0, 3)), "GetDeploymentConfig failed: linearPercentage is 0 %"),
        (own(linear(-5, 3)), "GetDeploymentConfig failed: linearPercentage is -5 %"),
        (own(linear(10, -3)), "GetDeploymentConfig failed: linearInterval is -3 minutes"),
    ] {
        assert_eq!(look(replies).await.0.unwrap_err().to_string(), told);
    }
    for garbage in ["", "no json", "[]", "{\"deploymentInfo\": 7}"] {
        let reply = Reply::Http { status: 200, headers: Vec::new(), body: garbage.as_bytes().to_vec() };
        let LookError::Fault(fault) = look(vec![reply]).await.0.unwrap_err() else { panic!("{garbage}") };
        assert_eq!((fault.operation, fault.kind), ("GetDeployment", FaultKind::Failed), "{garbage}");
    }
}

#[tokio::test]
async fn every_call_of_a_look_may_be_refused() {
    let denied = || Reply::error(400, "AccessDeniedException");
    for (before, told) in [
        (vec![], "GetDeployment was denied: AccessDeniedException: because (it needs codedeploy:GetDeployment)"),
        (
            vec![named("Careful")],
            "ListDeploymentTargets was denied: AccessDeniedException: because (it needs codedeploy:ListDeploymentTargets)",
        ),
        (
            vec![named("Careful"), ids(&["a"])],
            "BatchGetDeploymentTargets was denied: AccessDeniedException: because (it needs \
             codedeploy:BatchGetDeploymentTargets)",
        ),
        (
            vec![named("Careful"), ids(&["a"]), targets(&[])],
            "GetDeploymentConfig was denied: AccessDeniedException: because (it needs codedeploy:GetDeploymentConfig)",
        ),
    ] {
        let (seen, _) = look([before, vec![denied()]].concat()).await;
        assert_eq!(seen.unwrap_err().to_string(), told);
    }
    for code in ["DeploymentDoesNotExistException", "InvalidDeploymentIdException"] {
        let (seen, _) = look(vec![Reply::error(400, code)]).await;
        let told = "there is no CodeDeploy deployment d-3GSL8P2NK in this account and region";
        assert!(matches!(seen, Err(LookError::NotFound(why)) if why == told), "{code}");
    }
}

#[tokio::test]
async fn stopping_puts_the_old_version_back_and_one_that_is_over_is_no_error() {
    for (reply, told) in [
        (Reply::json(200, &json!({ "status": "Pending" })), None),
        (Reply::json(200, &json!({ "status": "Succeeded" })), None),
        (Reply::error(400, "DeploymentAlreadyCompletedException"), None),
        (
            Reply::error(400, "DeploymentDoesNotExistException"),
            Some("StopDeployment was rejected: DeploymentDoesNotExistException: because"),
        ),
        (
            Reply::error(400, "AccessDeniedException"),
            Some(
                "StopDeployment was denied: AccessDeniedException: because (it needs codedeploy:StopDeployment in applications that match the stack's parameter TargetApplications)",
            ),
        ),
    ] {
        let (aws, script) = scripted([reply]);
        let stopped = aws.stop(&reference()).await;
        assert_eq!(stopped.err().map(|fault| fault.to_string()).as_deref(), told);
        assert_eq!(script.asked()[0].operation, "StopDeployment");
        assert_eq!(script.asked()[0].json(), json!({ "deploymentId": ID, "autoRollbackEnabled": true }));
    }
}

fn hook() -> Hook {
    Hook { deployment: reference(), execution: "opaque==".to_owned(), received: Timestamp::from_epoch_seconds(0) }
}

#[tokio::test]
async fn a_hook_is_answered_succeeded_or_failed() {
    for (goes_on, status) in [(true, "Succeeded"), (false, "Failed")] {
        let (aws, script) = scripted([Reply::json(200, &json!({ "lifecycleEventHookExecutionId": "opaque==" }))]);
        aws.answer(&hook(), &HookAnswer { goes_on, why: "because".to_owned() }).await.unwrap();
        assert_eq!(script.asked()[0].operation, "PutLifecycleEventHookExecutionStatus");
        let sent = json!({ "deploymentId": ID, "lifecycleEventHookExecutionId": "opaque==", "status": status });
        assert_eq!(script.asked()[0].json(), sent);
    }
}

#[tokio::test]
async fn a_hook_that_nobody_waits_for_is_answered() {
    let unknown = || Reply::error(400, "InvalidLifecycleEventHookExecutionIdException");
    let still =
        "PutLifecycleEventHookExecutionStatus was rejected: InvalidLifecycleEventHookExecutionIdException: because";
    for (replies, told) in [
        (vec![Reply::error(400, "LifecycleEventAlreadyCompletedException")], None),
        (vec![Reply::error(400, "DeploymentDoesNotExistException")], None),
        (vec![Reply::error(400, "InvalidDeploymentIdException")], None),
        (vec![unknown(), deployment(&json!({ "status": "Stopped" }))], None),
        (vec![unknown(), deployment(&json!({ "status": "Succeeded" }))], None),
        (vec![unknown(), Reply::error(400, "DeploymentDoesNotExistException")], None),
        (vec![unknown(), deployment(&json!({}))], Some(still)),
        // Not knowing is not being over.
        (vec![unknown(), Reply::error(400, "AccessDeniedException")], Some(still)),
        (
            vec![Reply::error(400, "AccessDeniedException")],
            Some(
                "PutLifecycleEventHookExecutionStatus was denied: AccessDeniedException: because (it needs \
                 codedeploy:PutLifecycleEventHookExecutionStatus in applications that match the stack's parameter TargetApplications)",
            ),
        ),
        (
            vec![Reply::error(400, "UnsupportedActionForDeploymentTypeException")],
            Some(
                "PutLifecycleEventHookExecutionStatus was rejected: UnsupportedActionForDeploymentTypeException: because",
            ),
        ),
    ] {
        let (aws, script) = scripted(replies);
        let answered = aws.answer(&hook(), &HookAnswer { goes_on: true, why: String::new() }).await;
        assert_eq!(answered.err().map(|fault| fault.to_string()).as_deref(), told);
        assert_eq!(script.unused(), 0);
    }
    let of_ecs = Hook { deployment: DeploymentRef::Ecs("arn:x/y".to_owned()), ..hook() };
    let (aws, script) = scripted([]);
    let answered = aws.answer(&of_ecs, &HookAnswer { goes_on: true, why: String::new() }).await.unwrap_err();
    assert_eq!(answered.detail, "Amazon ECS deployment y is answered by the reply to its own call");
    assert!(script.asked().is_empty());
}

fn listed(ids: &[&str], next: Option<&str>) -> Reply {
    Reply::json(200, &json!({ "deployments": ids, "nextToken": next }))
}

fn infos(infos: &[Value]) -> Reply {
    Reply::json(200, &json!({ "deploymentsInfo": infos }))
}

fn one(id: &str, platform: &str, status: &str) -> Value {
    info(&json!({ "deploymentId": id, "computePlatform": platform, "status": status }))
}

fn of_alias(function: &str, alias: &str) -> Reply {
    let function =
        json!({ "functionName": function, "functionAlias": alias, "currentVersion": "1", "targetVersion": "2" });
    targets(&[lambda(&function, &[])])
}

#[tokio::test]
async fn the_deployment_that_shifts_an_alias_is_found_among_all_that_are_active() {
    let active = [
        one("d-1", "Server", "InProgress"),
        one("d-2", "Lambda", "Succeeded"),
        one("d-3", "Lambda", "Queued"),
        one("d-4", "Lambda", "InProgress"),
        one("d-5", "Lambda", "InProgress"),
    ];
    let found = [listed(&["d-1", "d-2"], Some("more")), listed(&["d-3", "d-4", "d-5"], None), infos(&active)];
    let not_started = Reply::error(400, "DeploymentNotStartedException");
    let looks = [not_started, ids(&["a"]), of_alias("checkout", "beta"), ids(&["a"]), of_alias("checkout", "live")];
    let (aws, script) = scripted(found.into_iter().chain(looks));
    let found = aws.shifting(&target()).await.unwrap();
    assert_eq!(found, Some(DeploymentRef::CodeDeploy("d-5".to_owned())));
    let asked = script.asked();
    let statuses = json!(["Created", "Queued", "InProgress", "Baking", "Ready"]);
    assert_eq!(asked[0].json(), json!({ "includeOnlyStatuses": statuses }));
    assert_eq!(asked[1].json(), json!({ "includeOnlyStatuses": statuses, "nextToken": "more" }));
    assert_eq!(asked[2].json(), json!({ "deploymentIds": ["d-1", "d-2", "d-3", "d-4", "d-5"] }));
    assert_eq!(script.unused(), 0);
}

#[tokio::test]
async fn an_alias_that_nobody_shifts_costs_one_call() {
    let (aws, script) = scripted([listed(&[], None)]);
    assert_eq!(aws.shifting(&target()).await.unwrap(), None);
    assert_eq!(operations(&script), ["ListDeployments"]);
}

#[tokio::test]
async fn a_search_that_is_cut_short_is_a_fault_and_no_all_clear() {
    let denied = || Reply::error(400, "AccessDeniedException");
    for (replies, told) in [
        (
            vec![denied()],
            "ListDeployments was denied: AccessDeniedException: because (it needs codedeploy:ListDeployments)",
        ),
        (
            vec![listed(&["d-1"], None), denied()],
            "BatchGetDeployments was denied: AccessDeniedException: because (it needs codedeploy:BatchGetDeployments)",
        ),
        (
            vec![listed(&["d-1"], None), infos(&[one("d-1", "Lambda", "InProgress")]), denied()],
            "ListDeploymentTargets was denied: AccessDeniedException: because (it needs codedeploy:ListDeploymentTargets)",
        ),
        // An answer that leaves one out says nothing of it.
        (
            vec![listed(&["d-1"], None), infos(&[]), denied()],
            "ListDeploymentTargets was denied: AccessDeniedException: because (it needs codedeploy:ListDeploymentTargets)",
        ),
    ] {
        let (aws, _) = scripted(replies);
        assert_eq!(aws.shifting(&target()).await.unwrap_err().to_string(), told);
    }
    let names: Vec<String> = (0..101).map(|i| format!("d-{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let all =
        names.chunks(25).map(|some| infos(&some.iter().map(|id| one(id, "Lambda", "InProgress")).collect::<Vec<_>>()));
    let (aws, script) = scripted([listed(&names, None)].into_iter().chain(all));
    let told = "ListDeployments was rejected: 101 deployments of Lambda functions are in progress; 100 can be searched";
    assert_eq!(aws.shifting(&target()).await.unwrap_err().to_string(), told);
    assert_eq!(script.unused(), 0);
}
