//! What the operations answer.

use coalmine_core::units::Timestamp;
use serde_json::{Value, json};

use super::{CodeDeploy, Deployment, EVENTS, Timetable};
use crate::harness::json_api::Refused;

/// Of the lists that come in pages. Small, so that who reads the first page alone is found out.
const PAGE: usize = 2;
/// The most of one call.
const BATCH: usize = 25;

pub fn run(state: &mut CodeDeploy, operation: &str, input: &Value) -> Result<Value, Refused> {
    match operation {
        "GetDeployment" => Ok(json!({ "deploymentInfo": info(known(state, input)?) })),
        "BatchGetDeployments" => infos(state, input),
        "ListDeployments" => list(state, input),
        "ListDeploymentTargets" => {
            let deployment = started(known(state, input)?)?;
            Ok(json!({ "targetIds": [target_id(deployment)] }))
        }
        "BatchGetDeploymentTargets" => targets(state, input),
        "GetDeploymentConfig" => config(state, input),
        "StopDeployment" => stop(state, input),
        "PutLifecycleEventHookExecutionStatus" => put_status(state, input),
        other => Err(Refused("ValidationException", format!("no such operation: {other}"))),
    }
}

fn known<'a>(state: &'a CodeDeploy, input: &Value) -> Result<&'a Deployment, Refused> {
    let id = input["deploymentId"].as_str().unwrap_or_default();
    if id.is_empty() {
        return Err(Refused("DeploymentIdRequiredException", "The Deployment ID is required".to_owned()));
    }
    if !id.starts_with("d-") || id.len() != 11 {
        return Err(Refused("InvalidDeploymentIdException", format!("The deployment ID {id} is invalid")));
    }
    state.find(id).ok_or_else(|| Refused("DeploymentDoesNotExistException", format!("{id} could not be found")))
}

fn started(deployment: &Deployment) -> Result<&Deployment, Refused> {
    if deployment.started.is_some() {
        return Ok(deployment);
    }
    Err(Refused("DeploymentNotStartedException", format!("{} has not started", deployment.id)))
}

fn info(deployment: &Deployment) -> Value {
    let Deployment { id, request, .. } = deployment;
    let mut info = json!({
        "applicationName": "checkout-app", "deploymentGroupName": "checkout-group",
        "deploymentConfigName": request.config, "deploymentId": id, "computePlatform": request.platform,
        "creator": request.creator, "createTime": time(deployment.created),
        // A stop that was asked for is not seen at once.
        "status": if deployment.status == "Stopping" { "InProgress" } else { deployment.status },
        "ignoreApplicationStopFailures": false, "updateOutdatedInstancesOnly": false,
        "instanceTerminationWaitTimeStarted": false, "fileExistsBehavior": "DISALLOW",
        "deploymentStyle": { "deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL" },
        // The content is never told.
        "revision": { "revisionType": "AppSpecContent", "appSpecContent": { "content": null, "sha256": "5d41402a" } },
        "autoRollbackConfiguration": {
            "enabled": true, "events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM", "DEPLOYMENT_STOP_ON_REQUEST"],
        },
    });
    for (field, at) in [("startTime", deployment.started), ("completeTime", deployment.completed)] {
        if let Some(at) = at {
            info[field] = time(at);
        }
    }
    if let Some((code, message)) = &deployment.reason {
        info["errorInformation"] = json!({ "code": code, "message": message });
    }
    let mut rollback = json!({});
    if let Some(other) = &deployment.rolled_back_by {
        rollback["rollbackDeploymentId"] = json!(other);
    }
    if let Some(other) = &deployment.triggered_by {
        rollback["rollbackTriggeringDeploymentId"] = json!(other);
    }
    if rollback != json!({}) {
        info["rollbackInfo"] = rollback;
    }
    info
}

fn time(at: Timestamp) -> Value {
    json!(at.epoch_seconds() as f64 + 0.25)
}

fn ids<'a>(input: &'a Value, field: &str) -> Result<Vec<&'a str>, Refused> {
    let ids: Vec<&str> = input[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if ids.len() > BATCH {
        let message = format!("{} where {BATCH} are allowed", ids.len());
        let code =
            if field == "targetIds" { "InvalidDeploymentTargetIdException" } else { "BatchLimitExceededException" };
        return Err(Refused(code, message));
    }
    Ok(ids)
}

fn infos(state: &CodeDeploy, input: &Value) -> Result<Value, Refused> {
    let asked = ids(input, "deploymentIds")?;
    let found: Vec<Value> = asked.into_iter().filter_map(|id| state.find(id)).map(info).collect();
    Ok(json!({ "deploymentsInfo": found }))
}

fn list(state: &CodeDeploy, input: &Value) -> Result<Value, Refused> {
    if input["applicationName"].is_string() != input["deploymentGroupName"].is_string() {
        let code = if input["applicationName"].is_string() {
            "DeploymentGroupNameRequiredException"
        } else {
            "ApplicationNameRequiredException"
        };
        return Err(Refused(code, "An application comes with its deployment group".to_owned()));
    }
    let wanted = input["includeOnlyStatuses"].as_array();
    let shown = |deployment: &&Deployment| {
        let status = &info(deployment)["status"];
        wanted.is_none_or(|wanted| wanted.contains(status))
    };
    let all: Vec<&str> = state.deployments.iter().rev().filter(shown).map(|found| found.id.as_str()).collect();
    let first: usize = match input["nextToken"].as_str().map(str::parse) {
        None => 0,
        Some(Ok(first)) => first,
        Some(Err(_)) => return Err(Refused("InvalidNextTokenException", "The next token is invalid".to_owned())),
    };
    let page: Vec<&&str> = all.iter().skip(first).take(PAGE).collect();
    let mut answer = json!({ "deployments": page });
    if first + PAGE < all.len() {
        answer["nextToken"] = json!((first + PAGE).to_string());
    }
    Ok(answer)
}

fn target_id(deployment: &Deployment) -> String {
    format!("{}:{}", deployment.request.function, deployment.request.alias)
}

fn targets(state: &CodeDeploy, input: &Value) -> Result<Value, Refused> {
    let deployment = started(known(state, input)?)?;
    let asked = ids(input, "targetIds")?;
    if asked.is_empty() {
        return Err(Refused("DeploymentTargetIdRequiredException", "A target ID is required".to_owned()));
    }
    if asked != [target_id(deployment)] {
        return Err(Refused("DeploymentTargetDoesNotExistException", format!("no target {asked:?}")));
    }
    Ok(json!({ "deploymentTargets": [target(deployment)] }))
}

fn target(deployment: &Deployment) -> Value {
    let request = &deployment.request;
    let events = EVENTS.iter().zip(&deployment.events).map(|(name, (began, status))| {
        let mut event = json!({ "lifecycleEventName": name, "status": status });
        if let Some(began) = began {
            event["startTime"] = time(*began);
        }
        event
    });
    let status = match deployment.status {
        "Succeeded" => "Succeeded",
        "Failed" | "Stopped" => "Failed",
        _ => "InProgress",
    };
    let arn = format!("arn:aws:lambda:us-east-1:000000000000:function:{}", target_id(deployment));
    json!({ "deploymentTargetType": "LambdaTarget", "lambdaTarget": {
        "deploymentId": deployment.id, "targetId": target_id(deployment), "targetArn": arn, "status": status,
        "lastUpdatedAt": time(deployment.created), "lifecycleEvents": events.collect::<Vec<_>>(),
        "lambdaFunctionInfo": {
            "functionName": request.function, "functionAlias": request.alias, "currentVersion": request.current,
            "targetVersion": request.target, "targetVersionWeight": f64::from(deployment.weight) / 100.0,
        },
    } })
}

fn config(state: &CodeDeploy, input: &Value) -> Result<Value, Refused> {
    let name = input["deploymentConfigName"].as_str().unwrap_or_default();
    let Some(timetable) = state.timetable(name) else {
        return Err(Refused("DeploymentConfigDoesNotExistException", format!("{name} could not be found")));
    };
    let routing = match timetable {
        Timetable::AllAtOnce => json!({ "type": "AllAtOnce" }),
        Timetable::Canary { percent, minutes } => json!({
            "type": "TimeBasedCanary", "timeBasedCanary": { "canaryPercentage": percent, "canaryInterval": minutes },
        }),
        Timetable::Linear { percent, minutes } => json!({
            "type": "TimeBasedLinear", "timeBasedLinear": { "linearPercentage": percent, "linearInterval": minutes },
        }),
    };
    Ok(json!({ "deploymentConfigInfo": {
        "deploymentConfigId": "00000000-0000-0000-0000-000000000001", "deploymentConfigName": name,
        "createTime": 1_511_829_500.5, "computePlatform": "Lambda", "trafficRoutingConfig": routing,
    } }))
}

fn stop(state: &mut CodeDeploy, input: &Value) -> Result<Value, Refused> {
    let id = known(state, input)?.id.clone();
    let slowly = state.stops_slowly;
    let place = state.deployments.iter().position(|deployment| deployment.id == id).expect("it is known");
    if state.deployments[place].has_ended() {
        return Err(Refused("DeploymentAlreadyCompletedException", format!("{id} has already completed")));
    }
    let roll_back = input["autoRollbackEnabled"].as_bool() == Some(true);
    assert!(roll_back, "who stops a deployment wants its traffic back: {input}");
    if slowly {
        state.deployments[place].status = "Stopping";
        return Ok(json!({ "status": "Pending", "statusMessage": "Stopping the deployment" }));
    }
    state.stop(place);
    Ok(json!({ "status": "Succeeded", "statusMessage": "The deployment was stopped" }))
}

fn put_status(state: &mut CodeDeploy, input: &Value) -> Result<Value, Refused> {
    let id = known(state, input)?.id.clone();
    let (execution, status) = (&input["lifecycleEventHookExecutionId"], &input["status"]);
    if !["Succeeded", "Failed"].iter().any(|allowed| status == allowed) {
        let message = format!("the status {status} is invalid");
        return Err(Refused("InvalidLifecycleEventHookExecutionStatusException", message));
    }
    let deployment = state.find_mut(&id).expect("it is known");
    // As the fake makes them.
    let of_event = |event: &&&str| *execution == super::execution(&id, event).as_str();
    let Some(event) = EVENTS.iter().find(of_event) else {
        return Err(Refused("InvalidLifecycleEventHookExecutionIdException", format!("{execution} is invalid")));
    };
    let waits = deployment.waits();
    match &mut deployment.hook {
        Some(hook) if waits && *execution == hook.execution.as_str() => {
            let status = status.as_str().expect("it is one of two").to_owned();
            hook.answer = Some(status.clone());
            deployment.answers.push((*event, status));
            Ok(json!({ "lifecycleEventHookExecutionId": execution }))
        }
        _ => Err(Refused("LifecycleEventAlreadyCompletedException", "the lifecycle event has completed".to_owned())),
    }
}
