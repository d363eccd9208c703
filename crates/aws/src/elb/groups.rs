//! Target groups: which one is new, whether it is ready, how its targets are.

use aws_sdk_elasticloadbalancingv2::types::{
    TargetHealth, TargetHealthDescription, TargetHealthReasonEnum, TargetHealthStateEnum,
};
use coalmine_core::observation::{GroupHealth, Health, Readiness, Routing, VersionInfo};
use coalmine_core::ports::{FaultKind, LookError};
use coalmine_core::spec::{AlbTarget, Version};
use coalmine_core::units::Span;
use futures_util::future::{try_join, try_join4};

use super::{DESCRIBE_RULES, balancer_arn, no_group, routing};
use crate::Aws;
use crate::errors::{Call, refused_as};

const DESCRIBE_HEALTH: Call = Call::new("DescribeTargetHealth", "elasticloadbalancing:DescribeTargetHealth");
const GROUP_ATTRIBUTES: Call =
    Call::new("DescribeTargetGroupAttributes", "elasticloadbalancing:DescribeTargetGroupAttributes");
const BALANCER_ATTRIBUTES: Call =
    Call::new("DescribeLoadBalancerAttributes", "elasticloadbalancing:DescribeLoadBalancerAttributes");

/// What a load balancer does where nothing else is configured.
const DEFAULT_IDLE_TIMEOUT: Span = Span::from_seconds(60);

impl Aws {
    /// One of the two groups; `None` asks for the one that is not live.
    pub(crate) async fn target_group(
        &self,
        target: &AlbTarget,
        version: Option<&Version>,
    ) -> Result<VersionInfo, LookError> {
        let version = match version {
            Some(version) => version.clone(),
            None => self.not_live(target).await?,
        };
        let (_, targets, slow_start, timeout) = try_join4(
            self.group(&version.0),
            self.targets(&version),
            self.slow_start(&version),
            self.idle_timeout(target),
        )
        .await?;
        let readiness = if targets.is_empty() {
            Readiness::NotYet("it has no registered target".to_owned())
        } else {
            Readiness::Active
        };
        let (code_hash, published) = (String::new(), String::new());
        Ok(VersionInfo { version, readiness, timeout, code_hash, published, slow_start })
    }

    async fn not_live(&self, target: &AlbTarget) -> Result<Version, LookError> {
        let configured = self.configured(target).await?;
        let refused = |detail: String| LookError::from(DESCRIBE_RULES.refusal(FaultKind::Rejected, detail));
        let Routing { primary, .. } = routing(&configured).map_err(refused)?;
        let [first, second] = configured.pair;
        match (first == primary, second == primary) {
            (true, _) => Ok(second),
            (_, true) => Ok(first),
            (false, false) => {
                let detail = format!("all traffic is on {primary}, so neither {first} nor {second} is the new one");
                Err(LookError::NotFound(detail))
            }
        }
    }

    pub(crate) async fn health_of_groups(&self, baseline: &Version, canary: &Version) -> Result<Health, LookError> {
        let (baseline, canary) = try_join(self.targets(baseline), self.targets(canary)).await?;
        Ok(Health { baseline: health(&baseline), canary: health(&canary) })
    }

    async fn targets(&self, group: &Version) -> Result<Vec<TargetHealthDescription>, LookError> {
        match self.elb().describe_target_health().target_group_arn(&group.0).send().await {
            Ok(answer) => Ok(answer.target_health_descriptions.unwrap_or_default()),
            Err(error) if refused_as(&error, |e| e.is_target_group_not_found_exception()) => Err(no_group(&group.0)),
            Err(error) => Err(DESCRIBE_HEALTH.fault(error).into()),
        }
    }

    async fn slow_start(&self, group: &Version) -> Result<Span, LookError> {
        match self.elb().describe_target_group_attributes().target_group_arn(&group.0).send().await {
            Ok(answer) => {
                let attributes = answer.attributes().iter().map(|attribute| (attribute.key(), attribute.value()));
                Ok(seconds(attributes, "slow_start.duration_seconds").unwrap_or(Span::ZERO))
            }
            Err(error) if refused_as(&error, |e| e.is_target_group_not_found_exception()) => Err(no_group(&group.0)),
            Err(error) => Err(GROUP_ATTRIBUTES.fault(error).into()),
        }
    }

    async fn idle_timeout(&self, target: &AlbTarget) -> Result<Span, LookError> {
        let arn = balancer_arn(target)?;
        match self.elb().describe_load_balancer_attributes().load_balancer_arn(&arn).send().await {
            Ok(answer) => {
                let attributes = answer.attributes().iter().map(|attribute| (attribute.key(), attribute.value()));
                Ok(seconds(attributes, "idle_timeout.timeout_seconds").unwrap_or(DEFAULT_IDLE_TIMEOUT))
            }
            Err(error) if refused_as(&error, |e| e.is_load_balancer_not_found_exception()) => {
                Err(LookError::NotFound(format!("there is no load balancer {arn}")))
            }
            Err(error) => Err(BALANCER_ATTRIBUTES.fault(error).into()),
        }
    }
}

fn seconds<'a>(attributes: impl Iterator<Item = (Option<&'a str>, Option<&'a str>)>, name: &str) -> Option<Span> {
    let value = attributes.into_iter().find(|(key, _)| *key == Some(name))?.1;
    value?.parse().ok().map(Span::from_seconds)
}

/// Targets by state. What this code does not know is not healthy.
fn health(targets: &[TargetHealthDescription]) -> GroupHealth {
    let mut group = GroupHealth::default();
    for target in targets {
        let function = target.target().and_then(|target| target.id()).is_some_and(|id| id.starts_with("arn:"));
        let health = target.target_health();
        let count = match standing(health, function) {
            Standing::Healthy => &mut group.healthy,
            Standing::Unhealthy => &mut group.unhealthy,
            Standing::Waiting => &mut group.waiting,
            Standing::NotChecked => &mut group.not_checked,
            Standing::Gone => continue,
        };
        *count += 1;
    }
    group.why = reasons(targets);
    group
}

enum Standing {
    Healthy,
    Unhealthy,
    Waiting,
    NotChecked,
    /// It was taken out and finishes what it has.
    Gone,
}

/// A Lambda function is one target that is not checked unless someone wants it to be: it is taken for healthy then.
fn standing(health: Option<&TargetHealth>, function: bool) -> Standing {
    use TargetHealthReasonEnum as Reason;
    use TargetHealthStateEnum as State;
    let reason = health.and_then(TargetHealth::reason);
    match (health.and_then(TargetHealth::state), reason) {
        (Some(State::Healthy), _) => Standing::Healthy,
        (Some(State::Initial), _) => Standing::Waiting,
        (Some(State::Draining), _) => Standing::Gone,
        (Some(State::Unused), Some(Reason::NotInUse)) => Standing::NotChecked,
        (Some(State::Unavailable), Some(Reason::HealthCheckDisabled)) if function => Standing::Healthy,
        (Some(State::Unavailable), Some(Reason::HealthCheckDisabled)) => Standing::NotChecked,
        _ => Standing::Unhealthy,
    }
}

/// Why targets are not healthy, in the service's words, the commonest reason first.
fn reasons(targets: &[TargetHealthDescription]) -> Option<String> {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for health in targets.iter().filter_map(TargetHealthDescription::target_health) {
        let name = match (health.reason(), health.state()) {
            (Some(reason), _) => reason.as_str(),
            (None, Some(TargetHealthStateEnum::Healthy) | None) => continue,
            (None, Some(state)) => state.as_str(),
        };
        let text = match health.description() {
            Some(description) if !description.is_empty() => format!("{name} ({description})"),
            Some(_) | None => name.to_owned(),
        };
        match counts.iter_mut().find(|(known, _)| *known == text) {
            Some((_, count)) => *count += 1,
            None => counts.push((text, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let told: Vec<String> = counts.into_iter().map(|(text, count)| format!("{count} x {text}")).collect();
    (!told.is_empty()).then(|| told.join(", "))
}

#[cfg(test)]
mod tests;
