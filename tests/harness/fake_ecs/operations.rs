//! What the operations answer.

use coalmine_core::units::Timestamp;
use serde_json::{Value, json};

use super::{CLUSTER, Ecs, SERVICE, ServiceDeployment, Strategy, cluster_arn, service_arn};
use crate::harness::json_api::Refused;

pub fn run(state: &mut Ecs, operation: &str, input: &Value) -> Result<Value, Refused> {
    match operation {
        "ListClusters" => Ok(json!({ "clusterArns": [cluster_arn()] })),
        "ListServices" => in_cluster(input).map(|()| json!({ "serviceArns": [service_arn()] })),
        "DescribeServices" => in_cluster(input).map(|()| services(state, input)),
        "DescribeServiceDeployments" => Ok(deployments(state, input)),
        "DescribeServiceRevisions" => Ok(revisions(state, input)),
        "StopServiceDeployment" => stop(state, input),
        other => Err(Refused("InvalidParameterException", format!("no such operation: {other}"))),
    }
}

/// By its name or its ARN.
fn in_cluster(input: &Value) -> Result<(), Refused> {
    let cluster = input["cluster"].as_str().unwrap_or("default");
    if cluster == CLUSTER || cluster == cluster_arn() {
        return Ok(());
    }
    Err(Refused("ClusterNotFoundException", "Cluster not found.".to_owned()))
}

fn is_service(name: &Value) -> bool {
    name.as_str().is_some_and(|name| name == SERVICE || name == service_arn())
}

fn asked<'a>(input: &'a Value, field: &str) -> Vec<&'a str> {
    input[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn missing(arn: &str) -> Value {
    json!({ "arn": arn, "reason": "MISSING" })
}

fn time(at: Timestamp) -> Value {
    json!(at.epoch_seconds() as f64 + 0.25)
}

fn services(state: &Ecs, input: &Value) -> Value {
    let known = |name: &&str| is_service(&json!(name));
    let (found, gone): (Vec<&str>, Vec<&str>) = asked(input, "services").into_iter().partition(known);
    let found: Vec<Value> = found.iter().map(|_| service(state, input)).collect();
    json!({ "services": found, "failures": gone.into_iter().map(missing).collect::<Vec<_>>() })
}

fn service(state: &Ecs, input: &Value) -> Value {
    let mut service = json!({
        "serviceArn": service_arn(), "serviceName": SERVICE, "clusterArn": cluster_arn(), "status": "ACTIVE",
        "desiredCount": 4, "runningCount": 4, "pendingCount": 0, "launchType": "FARGATE",
        "deploymentController": { "type": "ECS" }, "loadBalancers": [balancer(state)],
        "deploymentConfiguration": configuration(state.last()),
    });
    if let Some(deployment) = state.last() {
        service["currentServiceDeployment"] = json!(deployment.arn);
    }
    if asked(input, "include").contains(&"TAGS") {
        service["tags"] = shown_tags(state);
    }
    service
}

fn balancer(state: &Ecs) -> Value {
    let [live, next] = &state.balancing.groups;
    json!({
        "targetGroupArn": live, "containerName": "cart", "containerPort": 80,
        "advancedConfiguration": {
            "alternateTargetGroupArn": next, "productionListenerRule": state.balancing.rule,
            "roleArn": "arn:aws:iam::123456789012:role/ecsInfrastructure",
        },
    })
}

fn configuration(deployment: Option<&ServiceDeployment>) -> Value {
    let mut configuration = json!({ "maximumPercent": 200, "minimumHealthyPercent": 100, "bakeTimeInMinutes": 2 });
    let Some(deployment) = deployment else { return configuration };
    let (strategy, field, details) = match deployment.strategy {
        Strategy::BlueGreen => ("BLUE_GREEN", "", Value::Null),
        Strategy::Canary { percent, minutes } => {
            let details = json!({ "canaryPercent": f64::from(percent), "canaryBakeTimeInMinutes": minutes });
            ("CANARY", "canaryConfiguration", details)
        }
        Strategy::Linear { percent, minutes } => {
            let details = json!({ "stepPercent": f64::from(percent), "stepBakeTimeInMinutes": minutes });
            ("LINEAR", "linearConfiguration", details)
        }
    };
    configuration["strategy"] = json!(strategy);
    if !field.is_empty() {
        configuration[field] = details;
    }
    configuration["lifecycleHooks"] = json!([{
        "targetType": "AWS_LAMBDA", "lifecycleStages": deployment.hooks,
        "hookTargetArn": "arn:aws:lambda:us-east-1:123456789012:function:coalmine-hook",
        "roleArn": "arn:aws:iam::123456789012:role/ecsHooks",
    }]);
    configuration
}

fn shown_tags(state: &Ecs) -> Value {
    state.tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

fn deployments(state: &Ecs, input: &Value) -> Value {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in asked(input, "serviceDeploymentArns") {
        match state.deployments.iter().find(|deployment| deployment.arn == arn) {
            Some(deployment) => found.push(shown(deployment)),
            None => failures.push(missing(arn)),
        }
    }
    json!({ "serviceDeployments": found, "failures": failures })
}

fn shown(deployment: &ServiceDeployment) -> Value {
    let revision = |place: usize, weight: u32| {
        json!({
            "arn": deployment.revisions[place], "requestedTaskCount": 4, "runningTaskCount": 4, "pendingTaskCount": 0,
            "requestedProductionTrafficWeight": f64::from(weight),
        })
    };
    let mut shown = json!({
        "serviceDeploymentArn": deployment.arn, "serviceArn": service_arn(), "clusterArn": cluster_arn(),
        "createdAt": time(deployment.created), "updatedAt": time(deployment.since), "status": deployment.status,
        "sourceServiceRevisions": [revision(0, 100 - deployment.weight)],
        "targetServiceRevision": revision(1, deployment.weight),
        "lifecycleStage": shown_stage(deployment), "deploymentConfiguration": configuration(Some(deployment)),
    });
    if deployment.status != "PENDING" {
        shown["startedAt"] = time(deployment.created);
    }
    if let Some(at) = deployment.finished {
        shown["finishedAt"] = time(at);
    }
    if !deployment.why.is_empty() {
        shown["statusReason"] = json!(deployment.why);
        shown["rollback"] = json!({ "reason": deployment.why, "serviceRevisionArn": deployment.revisions[0] });
    }
    shown
}

/// The stage before a shift is one of hooks only: a look does not tell it.
fn shown_stage(deployment: &ServiceDeployment) -> &'static str {
    match deployment.stage() {
        "PRE_PRODUCTION_TRAFFIC_SHIFT" => "PRODUCTION_TRAFFIC_SHIFT",
        stage => stage,
    }
}

/// Of every deployment the old revision is in the first group, and the new one in the second.
fn revisions(state: &Ecs, input: &Value) -> Value {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for arn in asked(input, "serviceRevisionArns") {
        let place = state.deployments.iter().find_map(|one| one.revisions.iter().position(|other| other == arn));
        match place {
            Some(place) => found.push(json!({
                "serviceRevisionArn": arn, "serviceArn": service_arn(), "clusterArn": cluster_arn(),
                "taskDefinition": format!("arn:aws:ecs:us-east-1:123456789012:task-definition/cart:{}", place + 1),
                "launchType": "FARGATE", "loadBalancers": [balancer(state)],
                "resolvedConfiguration": { "loadBalancers": [{
                    "targetGroupArn": state.balancing.groups[place],
                    "productionListenerRule": state.balancing.rule,
                }] },
            })),
            None => failures.push(missing(arn)),
        }
    }
    json!({ "serviceRevisions": found, "failures": failures })
}

fn stop(state: &mut Ecs, input: &Value) -> Result<Value, Refused> {
    let (now, arn) = (state.now, input["serviceDeploymentArn"].clone());
    assert_ne!(input["stopType"], "ABORT", "who stops a deployment wants its traffic back");
    let Some(deployment) = state.deployments.iter_mut().find(|deployment| arn == deployment.arn.as_str()) else {
        return Err(Refused("ServiceDeploymentNotFoundException", "Service deployment not found.".to_owned()));
    };
    if deployment.has_ended() || deployment.status == "ROLLBACK_IN_PROGRESS" {
        return Err(Refused("ConflictException", format!("the deployment is {}", deployment.status)));
    }
    deployment.roll_back(now, "Service deployment rolled back because of a request to stop it.");
    Ok(json!({ "serviceDeploymentArn": arn }))
}
