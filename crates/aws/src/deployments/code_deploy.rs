//! CodeDeploy, which shifts Lambda aliases.

use std::sync::PoisonError;

use aws_sdk_codedeploy::types::{
    DeploymentInfo, DeploymentStatus, DeploymentTarget, LambdaTarget as SdkTarget, LifecycleEventStatus,
    TrafficRoutingConfig,
};
use coalmine_core::deployment::{Deployment, DeploymentRef, DeploymentState, Hook, HookAnswer, Shift, Stage, Unjudged};
use coalmine_core::ports::{Fault, FaultKind, LookError};
use coalmine_core::spec::{LambdaTarget, Owner, Target, Version};
use coalmine_core::text;
use coalmine_core::units::Weight;

use super::{minutes, weight};
use crate::Aws;
use crate::errors::{Call, REASON_CHARS, refused_as};

const GET_DEPLOYMENT: Call = Call::new("GetDeployment", "codedeploy:GetDeployment");
const GET_CONFIG: Call = Call::new("GetDeploymentConfig", "codedeploy:GetDeploymentConfig");
const LIST_TARGETS: Call = Call::new("ListDeploymentTargets", "codedeploy:ListDeploymentTargets");
const GET_TARGETS: Call = Call::new("BatchGetDeploymentTargets", "codedeploy:BatchGetDeploymentTargets");
const LIST_DEPLOYMENTS: Call = Call::new("ListDeployments", "codedeploy:ListDeployments");
const GET_DEPLOYMENTS: Call = Call::new("BatchGetDeployments", "codedeploy:BatchGetDeployments");
const STOP: Call = Call::new("StopDeployment", "codedeploy:StopDeployment");
const ANSWER: Call =
    Call::new("PutLifecycleEventHookExecutionStatus", "codedeploy:PutLifecycleEventHookExecutionStatus");

/// BatchGetDeployments' and BatchGetDeploymentTargets' own limit.
const PER_CALL: usize = 25;

/// Deployments in progress that are searched for one alias: at two calls each, ten seconds.
const SEARCHED_MAX: usize = 100;

/// Timetables that are remembered. An account has some dozen configurations.
const TIMETABLES_MAX: usize = 100;

impl Aws {
    pub(super) async fn code_deployment(&self, id: &str) -> Result<Deployment, LookError> {
        let info = self.deployment_info(id).await?;
        let state = state(&info)?;
        let platform = info.compute_platform().ok_or_else(|| silent(GET_DEPLOYMENT, "computePlatform"))?.as_str();
        let creator = info.creator().map_or("", |creator| creator.as_str());
        let unknown = Deployment {
            reference: DeploymentRef::CodeDeploy(id.to_owned()),
            state,
            rolls_back: matches!(creator, "codeDeployRollback" | "CloudFormationRollback"),
            shift: None,
            unjudged: None,
            strategy: info.deployment_config_name().unwrap_or_default().to_owned(),
            steps: Vec::new(),
            awaits: None,
            owner: [info.application_name(), info.deployment_group_name()].map(Option::unwrap_or_default).join("/"),
        };
        if platform != "Lambda" {
            let why = format!(
                "its compute platform is {platform}; of CodeDeploy's deployments, Coalmine judges those of Lambda functions"
            );
            return Ok(Deployment { unjudged: Some(Unjudged::Foreign(why)), ..unknown });
        }
        // It is held up by nothing, so nothing more need be known.
        if unknown.rolls_back {
            return Ok(unknown);
        }
        let targets = self.lambda_targets(id).await?;
        let (shift, unjudged) = match targets.as_slice() {
            [] => (None, None),
            // Afterwards the new version may be told as the one that is live.
            [target] if unknown.state.has_ended() => (shift_of(target).0, None),
            [target] => shift_of(target),
            several => (None, Some(Unjudged::Foreign(format!("it shifts {} aliases at once", several.len())))),
        };
        let awaits = targets.first().filter(|_| !unknown.state.has_ended()).and_then(awaits);
        let steps = self.timetable(&unknown.strategy).await?;
        Ok(Deployment { shift, unjudged, awaits, steps, ..unknown })
    }

    async fn deployment_info(&self, id: &str) -> Result<DeploymentInfo, LookError> {
        match self.code_deploy().get_deployment().deployment_id(id).send().await {
            Ok(answer) => Ok(answer.deployment_info.ok_or_else(|| silent(GET_DEPLOYMENT, "deploymentInfo"))?),
            Err(error)
                if refused_as(&error, |e| {
                    e.is_deployment_does_not_exist_exception() || e.is_invalid_deployment_id_exception()
                }) =>
            {
                Err(LookError::NotFound(format!("there is no CodeDeploy deployment {id} in this account and region")))
            }
            Err(error) => Err(GET_DEPLOYMENT.fault(error).into()),
        }
    }

    /// The aliases that a deployment shifts. None as long as CodeDeploy does not tell them: it begins to soon after the
    /// start.
    async fn lambda_targets(&self, id: &str) -> Result<Vec<SdkTarget>, Fault> {
        let answer = self.code_deploy().list_deployment_targets().deployment_id(id).send().await;
        let ids = match answer {
            Ok(answer) => answer.target_ids.unwrap_or_default(),
            Err(error) if refused_as(&error, |e| e.is_deployment_not_started_exception()) => return Ok(Vec::new()),
            Err(error) => return Err(LIST_TARGETS.fault(error)),
        };
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let some = ids.into_iter().take(PER_CALL).collect();
        let answer =
            self.code_deploy().batch_get_deployment_targets().deployment_id(id).set_target_ids(Some(some)).send().await;
        match answer {
            Ok(answer) => {
                let targets = answer.deployment_targets.unwrap_or_default();
                Ok(targets.into_iter().filter_map(|target: DeploymentTarget| target.lambda_target).collect())
            }
            Err(error)
                if refused_as(&error, |e| {
                    e.is_deployment_not_started_exception() || e.is_deployment_target_does_not_exist_exception()
                }) =>
            {
                Ok(Vec::new())
            }
            Err(error) => Err(GET_TARGETS.fault(error)),
        }
    }

    /// The weights and times of a configuration. A configuration cannot be changed, so each is asked for once.
    async fn timetable(&self, name: &str) -> Result<Vec<Stage>, Fault> {
        let known = || self.timetables.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(stages) = Stage::predefined(name).or_else(known) {
            return Ok(stages);
        }
        let answer = self.code_deploy().get_deployment_config().deployment_config_name(name).send().await;
        let answer = answer.map_err(|error| GET_CONFIG.fault(error))?;
        let routing = answer.deployment_config_info().and_then(|info| info.traffic_routing_config());
        let stages = stages(routing.ok_or_else(|| silent(GET_CONFIG, "trafficRoutingConfig"))?)?;
        let mut timetables = self.timetables.lock().unwrap_or_else(PoisonError::into_inner);
        if timetables.len() < TIMETABLES_MAX {
            timetables.insert(name.to_owned(), stages.clone());
        }
        Ok(stages)
    }

    pub(super) async fn stop_code_deployment(&self, id: &str) -> Result<(), Fault> {
        match self.code_deploy().stop_deployment().deployment_id(id).auto_rollback_enabled(true).send().await {
            Ok(_) => Ok(()),
            Err(error) if refused_as(&error, |e| e.is_deployment_already_completed_exception()) => Ok(()),
            Err(error) => Err(STOP.fault(error)),
        }
    }

    pub(super) async fn answer_hook(&self, hook: &Hook, answer: &HookAnswer) -> Result<(), Fault> {
        let DeploymentRef::CodeDeploy(id) = &hook.deployment else {
            let detail = format!("{} is answered by the reply to its own call", hook.deployment);
            return Err(ANSWER.refusal(FaultKind::Rejected, detail));
        };
        let status = if answer.goes_on { LifecycleEventStatus::Succeeded } else { LifecycleEventStatus::Failed };
        let request = self
            .code_deploy()
            .put_lifecycle_event_hook_execution_status()
            .deployment_id(id)
            .lifecycle_event_hook_execution_id(&hook.execution)
            .status(status);
        let Err(error) = request.send().await else { return Ok(()) };
        let nobody_waits = refused_as(&error, |e| {
            e.is_lifecycle_event_already_completed_exception()
                || e.is_deployment_does_not_exist_exception()
                || e.is_invalid_deployment_id_exception()
        });
        // Either of a deployment that is over, or a name that nobody ever gave.
        let unknown = refused_as(&error, |e| e.is_invalid_lifecycle_event_hook_execution_id_exception());
        if nobody_waits || unknown && self.has_ended(id).await {
            return Ok(());
        }
        Err(ANSWER.fault(error))
    }

    /// Only if that is certain.
    async fn has_ended(&self, id: &str) -> bool {
        match self.deployment_info(id).await {
            Ok(info) => state(&info).is_ok_and(|state| state.has_ended()),
            Err(LookError::NotFound(_)) => true,
            Err(LookError::Fault(_)) => false,
        }
    }

    /// A deployment that waits for its turn and does not tell its alias yet is not found.
    pub(super) async fn shifting_alias(&self, alias: &LambdaTarget) -> Result<Option<DeploymentRef>, Fault> {
        for id in self.active_deployments().await? {
            let targets = self.lambda_targets(&id).await?;
            if targets.iter().any(|target| alias_of(target) == Some((&alias.function, &alias.alias))) {
                return Ok(Some(DeploymentRef::CodeDeploy(id)));
            }
        }
        Ok(None)
    }

    /// Those of Lambda functions that are not over.
    async fn active_deployments(&self) -> Result<Vec<String>, Fault> {
        use DeploymentStatus::{Baking, Created, InProgress, Queued, Ready};
        let statuses = vec![Created, Queued, InProgress, Baking, Ready];
        let request = self.code_deploy().list_deployments().set_include_only_statuses(Some(statuses));
        let mut pages = request.into_paginator().items().send();
        let mut ids = Vec::new();
        while let Some(id) = pages.next().await {
            ids.push(id.map_err(|error| LIST_DEPLOYMENTS.fault(error))?);
        }
        let mut active = Vec::new();
        for some in ids.chunks(PER_CALL) {
            let request = self.code_deploy().batch_get_deployments().set_deployment_ids(Some(some.to_vec()));
            let answer = request.send().await.map_err(|error| GET_DEPLOYMENTS.fault(error))?;
            let of_lambda = |info: &DeploymentInfo| {
                // It may have ended meanwhile. What cannot be read, or is left out, may be in progress.
                let over = state(info).is_ok_and(|state| state.has_ended());
                !over && info.compute_platform().is_none_or(|platform| platform.as_str() == "Lambda")
            };
            let infos = answer.deployments_info.unwrap_or_default();
            let told = |id: &&String| infos.iter().any(|info| info.deployment_id() == Some(id.as_str()));
            active.extend(some.iter().filter(|id| !told(id)).cloned());
            active.extend(infos.into_iter().filter(of_lambda).filter_map(|info| info.deployment_id));
        }
        if active.len() > SEARCHED_MAX {
            let detail = format!(
                "{} deployments of Lambda functions are in progress; {SEARCHED_MAX} can be searched",
                active.len()
            );
            return Err(LIST_DEPLOYMENTS.refusal(FaultKind::Rejected, detail));
        }
        Ok(active)
    }
}

fn silent(call: Call, field: &str) -> Fault {
    call.refusal(FaultKind::Failed, format!("the answer has no {field}"))
}

fn state(info: &DeploymentInfo) -> Result<DeploymentState, Fault> {
    let status = info.status().ok_or_else(|| silent(GET_DEPLOYMENT, "status"))?.as_str();
    Ok(match status {
        "Created" | "Queued" => DeploymentState::Waiting,
        "InProgress" | "Baking" | "Ready" => DeploymentState::InProgress,
        "Succeeded" => DeploymentState::Succeeded,
        "Failed" => DeploymentState::Failed { why: reason(info) },
        "Stopped" => DeploymentState::Stopped { why: reason(info) },
        other => return Err(GET_DEPLOYMENT.refusal(FaultKind::Failed, format!("the status {other} is not known"))),
    })
}

/// `ALARM_ACTIVE: One or more alarms have been activated...`
fn reason(info: &DeploymentInfo) -> String {
    let error = info.error_information();
    let code = error.and_then(|error| error.code()).map(|code| code.as_str());
    let said = error.and_then(|error| error.message()).filter(|message| !message.is_empty());
    let said = said.or_else(|| info.rollback_info().and_then(|rollback| rollback.rollback_message()));
    match [code, said].into_iter().flatten().collect::<Vec<_>>() {
        parts if parts.is_empty() => "CodeDeploy gives no reason".to_owned(),
        parts => text::shown(&parts.join(": "), REASON_CHARS),
    }
}

fn shift_of(target: &SdkTarget) -> (Option<Shift>, Option<Unjudged>) {
    let info = target.lambda_function_info();
    let versions = info.and_then(|info| info.current_version().zip(info.target_version()));
    let Some(((function, alias), (old, new))) = alias_of(target).zip(versions) else { return (None, None) };
    if old == new {
        let why = format!("{function}:{alias} is on version {new} already; there is nothing to compare");
        return (None, Some(Unjudged::Alone(why)));
    }
    let (function, alias) = (function.to_owned(), alias.to_owned());
    let target = Target::Lambda(LambdaTarget { function, alias, owner: Owner::Codedeploy });
    (Some(Shift { target, baseline: Version(old.to_owned()), canary: Version(new.to_owned()) }), None)
}

/// A function may be named by its ARN.
fn alias_of(target: &SdkTarget) -> Option<(&str, &str)> {
    let info = target.lambda_function_info()?;
    let (name, alias) = info.function_name().zip(info.function_alias())?;
    let name = name.split_once(":function:").map_or(name, |(_, rest)| rest);
    let name = name.split(':').next().unwrap_or(name);
    (!name.is_empty() && !alias.is_empty()).then_some((name, alias))
}

fn awaits(target: &SdkTarget) -> Option<Weight> {
    let newest_first = target.lifecycle_events().iter().rev();
    let mut running = newest_first.filter(|event| event.status() == Some(&LifecycleEventStatus::InProgress));
    running.find_map(|event| match event.lifecycle_event_name() {
        Some("BeforeAllowTraffic") => Some(Weight::ZERO),
        Some("AfterAllowTraffic") => Some(Weight::FULL),
        Some(_) | None => None,
    })
}

fn stages(routing: &TrafficRoutingConfig) -> Result<Vec<Stage>, Fault> {
    let kind = routing.r#type().map(|kind| kind.as_str());
    match (kind, routing.time_based_canary(), routing.time_based_linear()) {
        (Some("AllAtOnce"), ..) => Ok(Vec::new()),
        (Some("TimeBasedCanary"), Some(canary), _) => {
            let weight = weight(GET_CONFIG, "canaryPercentage", canary.canary_percentage().into())?;
            Ok(Stage::canary(weight, minutes(GET_CONFIG, "canaryInterval", canary.canary_interval())?))
        }
        (Some("TimeBasedLinear"), _, Some(linear)) => {
            let increment = weight(GET_CONFIG, "linearPercentage", linear.linear_percentage().into())?;
            if increment == Weight::ZERO {
                return Err(GET_CONFIG.refusal(FaultKind::Failed, "linearPercentage is 0 %"));
            }
            Ok(Stage::linear(increment, minutes(GET_CONFIG, "linearInterval", linear.linear_interval())?))
        }
        (kind, ..) => {
            let detail = format!("the traffic routing {} is not known", kind.unwrap_or("without a type"));
            Err(GET_CONFIG.refusal(FaultKind::Failed, detail))
        }
    }
}

#[cfg(test)]
mod tests;
