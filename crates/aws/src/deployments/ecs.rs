//! Amazon ECS, which shifts a service between two target groups.

use aws_sdk_ecs::types::{
    DeploymentConfiguration, ServiceDeployment, ServiceRevision, ServiceRevisionSummary, StopServiceDeploymentStopType,
};
use coalmine_core::deployment::{Deployment, DeploymentRef, DeploymentState, Shift, Stage, Unjudged};
use coalmine_core::ports::{Fault, FaultKind, LookError};
use coalmine_core::spec::{AlbTarget, KeepBaseline, RuleRef, Stickiness, Target, Version};
use coalmine_core::text;
use coalmine_core::units::Weight;

use super::{minutes, weight};
use crate::Aws;
use crate::errors::{Call, REASON_CHARS, refused_as};

const DESCRIBE_DEPLOYMENTS: Call = Call::new("DescribeServiceDeployments", "ecs:DescribeServiceDeployments");
const DESCRIBE_REVISIONS: Call = Call::new("DescribeServiceRevisions", "ecs:DescribeServiceRevisions");
const STOP: Call = Call::new("StopServiceDeployment", "ecs:StopServiceDeployment");

/// DescribeServiceRevisions' own limit.
const REVISIONS_PER_CALL: usize = 20;

impl Aws {
    pub(super) async fn service_deployment(&self, arn: &str) -> Result<Deployment, LookError> {
        let found = self.described_deployment(arn).await?;
        let (state, rolls_back) = state(&found)?;
        let configuration = found.deployment_configuration();
        let strategy = configuration.and_then(|configuration| configuration.strategy());
        // Services from before there was a choice do not tell it.
        let strategy = strategy.map_or("ROLLING", |strategy| strategy.as_str()).to_owned();
        let unknown = Deployment {
            reference: DeploymentRef::Ecs(arn.to_owned()),
            state,
            rolls_back,
            shift: None,
            unjudged: None,
            steps: Vec::new(),
            awaits: None,
            owner: service_name(arn),
            strategy,
        };
        let steps = match (unknown.strategy.as_str(), configuration) {
            ("LINEAR" | "CANARY" | "BLUE_GREEN", Some(configuration)) => stages(&unknown.strategy, configuration)?,
            (other, _) => {
                let why = format!("its strategy is {other}; Coalmine judges LINEAR, CANARY and BLUE_GREEN");
                return Ok(Deployment { unjudged: Some(Unjudged::Foreign(why)), ..unknown });
            }
        };
        // Nobody begins to judge what is over, and its revisions may be gone.
        if unknown.state.has_ended() {
            return Ok(Deployment { steps, ..unknown });
        }
        let (shift, unjudged) = self.shift_of(&found, &unknown.owner).await?;
        Ok(Deployment { shift, unjudged, steps, ..unknown })
    }

    async fn described_deployment(&self, arn: &str) -> Result<ServiceDeployment, LookError> {
        let missing = || LookError::NotFound(format!("there is no service deployment {arn}"));
        match self.ecs().describe_service_deployments().service_deployment_arns(arn).send().await {
            Ok(answer) => {
                if let Some(found) = answer.service_deployments.unwrap_or_default().pop() {
                    return Ok(found);
                }
                let failure = answer.failures.unwrap_or_default().pop();
                match failure.as_ref().and_then(|failure| failure.reason()) {
                    Some("MISSING") | None => Err(missing()),
                    Some(reason) => Err(DESCRIBE_DEPLOYMENTS.refusal(FaultKind::Failed, reason).into()),
                }
            }
            Err(error)
                if refused_as(&error, |e| e.is_service_not_found_exception() || e.is_cluster_not_found_exception()) =>
            {
                Err(missing())
            }
            Err(error) => Err(DESCRIBE_DEPLOYMENTS.fault(error).into()),
        }
    }

    async fn shift_of(
        &self,
        found: &ServiceDeployment,
        service: &str,
    ) -> Result<(Option<Shift>, Option<Unjudged>), Fault> {
        let Some(new) = found.target_service_revision().and_then(ServiceRevisionSummary::arn) else {
            return Ok((None, None));
        };
        let old = found.source_service_revisions().iter().filter_map(|revision| revision.arn());
        let old: Vec<&str> = old.filter(|arn| *arn != new).collect();
        // Before it has begun, ECS may not have said yet what it replaces.
        let has_begun = found.status().is_some_and(|status| status.as_str() != "PENDING");
        if old.is_empty() && !has_begun {
            return Ok((None, None));
        }
        if old.is_empty() {
            let why =
                format!("no revision of service {service} is running that it replaces; there is nothing to compare");
            return Ok((None, Some(Unjudged::Alone(why))));
        }
        let revisions: Vec<String> = old.iter().copied().chain([new]).map(str::to_owned).collect();
        let answer = match revisions.len() {
            0..=REVISIONS_PER_CALL => {
                self.ecs().describe_service_revisions().set_service_revision_arns(Some(revisions))
            }
            several => {
                let detail = format!("the deployment has {several} revisions, and ECS describes {REVISIONS_PER_CALL}");
                return Err(DESCRIBE_REVISIONS.refusal(FaultKind::Rejected, detail));
            }
        };
        let answer = answer.send().await.map_err(|error| DESCRIBE_REVISIONS.fault(error))?;
        let (new, old): (Vec<_>, Vec<_>) =
            answer.service_revisions().iter().partition(|revision| revision.service_revision_arn() == Some(new));
        match new.first() {
            Some(new) => Ok(shift(new, &old)),
            None => Err(DESCRIBE_REVISIONS.refusal(FaultKind::Failed, "the answer lacks the new revision")),
        }
    }

    pub(super) async fn stop_service_deployment(&self, arn: &str) -> Result<(), Fault> {
        let request = self.ecs().stop_service_deployment().service_deployment_arn(arn);
        let Err(error) = request.stop_type(StopServiceDeploymentStopType::Rollback).send().await else { return Ok(()) };
        // ECS has no error of its own for a deployment that is over, or that is being stopped.
        let may_be_over = refused_as(&error, |e| {
            e.is_conflict_exception()
                || e.is_invalid_parameter_exception()
                || e.is_client_exception()
                || e.is_service_deployment_not_found_exception()
        });
        let fault = STOP.fault(error);
        if may_be_over {
            let found = self.described_deployment(arn).await;
            if found.is_ok_and(|found| state(&found).is_ok_and(|(state, _)| state.has_ended())) {
                return Ok(());
            }
        }
        Err(fault)
    }
}

/// `prod/cart` of `arn:aws:ecs:eu-west-1:111122223333:service-deployment/prod/cart/NCWGC2ZR-taawPAYrIaU5`.
fn service_name(arn: &str) -> String {
    let rest = arn.split_once(":service-deployment/").map_or(arn, |(_, rest)| rest);
    rest.rsplit_once('/').map_or(rest, |(service, _)| service).to_owned()
}

/// How far it is, and whether the old revision is being put back. A deployment that is rolled back has failed: what is
/// left of it moves traffic in one direction only, and nothing may hold that up.
fn state(found: &ServiceDeployment) -> Result<(DeploymentState, bool), Fault> {
    let broken = |detail: String| DESCRIBE_DEPLOYMENTS.refusal(FaultKind::Failed, detail);
    let status = found.status().ok_or_else(|| broken("the answer has no status".to_owned()))?.as_str();
    let said = found.rollback().and_then(|rollback| rollback.reason()).or(found.status_reason());
    let why = text::shown(said.filter(|text| !text.is_empty()).unwrap_or("ECS gives no reason"), REASON_CHARS);
    Ok(match status {
        "PENDING" => (DeploymentState::Waiting, false),
        "IN_PROGRESS" => (DeploymentState::InProgress, false),
        "SUCCESSFUL" => (DeploymentState::Succeeded, false),
        "STOP_REQUESTED" | "STOPPED" => (DeploymentState::Stopped { why }, false),
        "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS" | "ROLLBACK_SUCCESSFUL" | "ROLLBACK_FAILED" => {
            (DeploymentState::Failed { why: format!("{status}: {why}") }, true)
        }
        other => return Err(broken(format!("the status {other} is not known"))),
    })
}

/// With ECS's own defaults where the service has none of its own.
fn stages(strategy: &str, configuration: &DeploymentConfiguration) -> Result<Vec<Stage>, Fault> {
    let call = DESCRIBE_DEPLOYMENTS;
    match strategy {
        "LINEAR" => {
            let linear = configuration.linear_configuration();
            let percent = linear.and_then(|linear| linear.step_percent()).unwrap_or(10.0);
            let bake = linear.and_then(|linear| linear.step_bake_time_in_minutes()).unwrap_or(6);
            let increment = weight(call, "stepPercent", percent)?;
            if increment == Weight::ZERO {
                return Err(call.refusal(FaultKind::Failed, "stepPercent is 0 %"));
            }
            Ok(Stage::linear(increment, minutes(call, "stepBakeTimeInMinutes", bake)?))
        }
        "CANARY" => {
            let canary = configuration.canary_configuration();
            let percent = canary.and_then(|canary| canary.canary_percent()).unwrap_or(5.0);
            let bake = canary.and_then(|canary| canary.canary_bake_time_in_minutes()).unwrap_or(10);
            let weight = weight(call, "canaryPercent", percent)?;
            Ok(Stage::canary(weight, minutes(call, "canaryBakeTimeInMinutes", bake)?))
        }
        _ => Ok(Vec::new()),
    }
}

/// What a revision says of load balancing.
#[derive(Default)]
struct Balanced {
    /// The two groups between which ECS shifts, each pair once.
    pairs: Vec<[String; 2]>,
    rules: Vec<String>,
    test_rule: Option<String>,
}

impl Balanced {
    fn of(revision: &ServiceRevision) -> Self {
        let mut balanced = Self::default();
        for balancer in revision.load_balancers() {
            let Some(advanced) = balancer.advanced_configuration() else { continue };
            if let Some((one, other)) = balancer.target_group_arn().zip(advanced.alternate_target_group_arn()) {
                let pair = [one.to_owned(), other.to_owned()];
                if !balanced.pairs.contains(&pair) {
                    balanced.pairs.push(pair);
                }
            }
            let rule = advanced.production_listener_rule().map(str::to_owned);
            balanced.rules.extend(rule.filter(|rule| !balanced.rules.contains(rule)));
            balanced.test_rule = balanced.test_rule.or_else(|| advanced.test_listener_rule().map(str::to_owned));
        }
        balanced
    }
}

fn shift(new: &ServiceRevision, old: &[&ServiceRevision]) -> (Option<Shift>, Option<Unjudged>) {
    let foreign = |why: &str| (None, Some(Unjudged::Foreign(why.to_owned())));
    let balanced = Balanced::of(new);
    let pair = match balanced.pairs.as_slice() {
        [pair] => pair,
        [] => return foreign("it moves no target groups of an Application Load Balancer"),
        [..] => return foreign("it moves several pairs of target groups; Coalmine compares two groups"),
    };
    let rules: Option<Vec<RuleRef>> = balanced.rules.iter().map(|arn| rule(arn)).collect();
    let Some(rules) = rules.filter(|rules| !rules.is_empty()) else {
        return foreign("its production listener rule is not one of an Application Load Balancer");
    };
    let other = |group: &str| pair.iter().find(|other| *other != group).cloned();
    let serving = |revision: &ServiceRevision| {
        let resolved = revision.resolved_configuration().map(|resolved| resolved.load_balancers()).unwrap_or_default();
        resolved
            .iter()
            .filter_map(|balancer| balancer.target_group_arn())
            .find(|arn| pair.iter().any(|one| one == arn))
            .map(str::to_owned)
    };
    // Which group is whose is settled as the deployment goes. Of two groups, one tells the other.
    let canary = serving(new).or_else(|| old.iter().find_map(|old| serving(old)).and_then(|group| other(&group)));
    let Some((canary, baseline)) = canary.and_then(|canary| Some((canary.clone(), other(&canary)?))) else {
        return (None, None);
    };
    let test_rule = balanced.test_rule.filter(|arn| arn.contains(":listener-rule/app/"));
    let target = Target::Alb(AlbTarget {
        rules,
        target_groups: pair.clone(),
        stickiness: Stickiness::Refuse,
        min_healthy_share: Weight::FULL,
        test_rule,
        keep_baseline: KeepBaseline::UntilNextRollout,
    });
    (Some(Shift { target, baseline: Version(baseline), canary: Version(canary) }), None)
}

/// `None` for a Network Load Balancer's listener.
fn rule(arn: &str) -> Option<RuleRef> {
    if arn.contains(":listener-rule/app/") {
        Some(RuleRef::Rule(arn.to_owned()))
    } else {
        arn.contains(":listener/app/").then(|| RuleRef::DefaultOf(arn.to_owned()))
    }
}

#[cfg(test)]
mod tests;
