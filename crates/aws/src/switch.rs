//! The dead man's switch: one-time schedules of EventBridge Scheduler that call Lambda or Elastic Load Balancing by
//! themselves, whoever is dead by then.
//!
//! An alias has one schedule, and each rule of a load balancer one of its own. A schedule goes off within the minute that
//! begins with its time, and is gone after that.

use aws_sdk_scheduler::error::{BuildError, SdkError};
use aws_sdk_scheduler::operation::create_schedule::CreateScheduleError;
use aws_sdk_scheduler::operation::update_schedule::UpdateScheduleError;
use aws_sdk_scheduler::types::{
    ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, RetryPolicy, Target,
};
use coalmine_core::ports::{DeadMansSwitch, Fault, FaultKind, Switch};
use coalmine_core::spec::{LambdaTarget, Target as SpecTarget};
use coalmine_core::units::Timestamp;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::errors::{Call, refused_as};
use crate::{Aws, SwitchConfig, digest};

const CREATE_SCHEDULE: Call = Call::new("CreateSchedule", "scheduler:CreateSchedule");
const UPDATE_SCHEDULE: Call = Call::new("UpdateSchedule", "scheduler:UpdateSchedule");
const DELETE_SCHEDULE: Call = Call::new("DeleteSchedule", "scheduler:DeleteSchedule");

/// How long it is tried again when Lambda or the load balancer refuses, with growing pauses. A rollout forgets a switch ten
/// minutes after its time; what comes later than that would undo what nobody remembers.
const TRIED_FOR_SECONDS: i32 = 300;
/// As many as the pauses leave room for in that time.
const TRIES: i32 = 20;

/// The longest name that a schedule may have, without the number of the rule.
const NAME_LENGTH: usize = 60;
const DESCRIPTION_LENGTH: usize = 512;
/// What is left of a name that is longer than that, or has other characters, before its digest.
const KEPT_OF_NAME: usize = 40;

/// A schedule as it is to be.
struct Schedule<'a> {
    group: &'a str,
    name: String,
    description: String,
    expression: String,
    window: FlexibleTimeWindow,
    target: Target,
}

impl DeadMansSwitch for Aws {
    async fn arm(&self, switch: &Switch<'_>) -> Result<(), Fault> {
        let config = self.switch_config()?;
        let calls = match switch.target {
            SpecTarget::Lambda(alias) => {
                vec![Some(("lambda:updateAlias".to_owned(), put_back_alias(alias, switch)))]
            }
            SpecTarget::Alb(balancer) => {
                let rules = self.put_back_rules(balancer, switch).await?;
                let named = |rule: crate::elb::PutBack| (format!("elasticloadbalancingv2:{}", rule.action), rule.input);
                rules.into_iter().map(|rule| rule.map(named)).collect()
            }
        };
        let one = |(place, call): (usize, Option<(String, Value)>)| async move {
            let name = name(switch.rollout, place);
            let Some((action, input)) = call else { return self.delete(config, &name).await };
            let description = description(switch);
            let target = target(config, &action, &input).map_err(unbuilt)?;
            let window = FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().map_err(unbuilt)?;
            let (group, expression) = (&config.group, at(switch.at));
            self.put(&Schedule { group, name, description, expression, window, target }).await
        };
        join_all(calls.into_iter().enumerate().map(one)).await.into_iter().collect()
    }

    async fn disarm(&self, rollout: &str, target: &SpecTarget) -> Result<(), Fault> {
        let config = self.switch_config()?;
        let schedules = match target {
            SpecTarget::Lambda(_) => 1,
            SpecTarget::Alb(balancer) => balancer.rules.len(),
        };
        let one = |place| async move { self.delete(config, &name(rollout, place)).await };
        join_all((0..schedules).map(one)).await.into_iter().collect()
    }
}

impl Aws {
    fn switch_config(&self) -> Result<&SwitchConfig, Fault> {
        let detail = "the dead man's switch needs a schedule group and a role: set COALMINE_SWITCH_GROUP and \
                      COALMINE_SWITCH_ROLE_ARN, or COALMINE_SWITCH to `off`";
        self.config.switch.as_ref().ok_or_else(|| UPDATE_SCHEDULE.refusal(FaultKind::Rejected, detail))
    }

    /// It is mostly there: each but the first call pushes it on.
    async fn put(&self, schedule: &Schedule<'_>) -> Result<(), Fault> {
        match self.update(schedule).await {
            Err(error) if refused_as(&error, UpdateScheduleError::is_resource_not_found_exception) => {}
            done => return done.map_err(|error| UPDATE_SCHEDULE.fault(error)),
        }
        match self.create(schedule).await {
            // Another invocation was quicker.
            Err(error) if refused_as(&error, CreateScheduleError::is_conflict_exception) => {
                self.update(schedule).await.map_err(|error| UPDATE_SCHEDULE.fault(error))
            }
            done => done.map_err(|error| CREATE_SCHEDULE.fault(error)),
        }
    }

    /// Whatever is not named here gets its default.
    async fn update(&self, schedule: &Schedule<'_>) -> Result<(), SdkError<UpdateScheduleError>> {
        let request = self
            .scheduler()
            .update_schedule()
            .group_name(schedule.group)
            .name(&schedule.name)
            .description(&schedule.description)
            .schedule_expression(&schedule.expression)
            .flexible_time_window(schedule.window.clone())
            .target(schedule.target.clone())
            .action_after_completion(ActionAfterCompletion::Delete);
        request.send().await.map(drop)
    }

    async fn create(&self, schedule: &Schedule<'_>) -> Result<(), SdkError<CreateScheduleError>> {
        let request = self
            .scheduler()
            .create_schedule()
            .group_name(schedule.group)
            .name(&schedule.name)
            .description(&schedule.description)
            .schedule_expression(&schedule.expression)
            .flexible_time_window(schedule.window.clone())
            .target(schedule.target.clone())
            .action_after_completion(ActionAfterCompletion::Delete);
        request.send().await.map(drop)
    }

    async fn delete(&self, config: &SwitchConfig, name: &str) -> Result<(), Fault> {
        let request = self.scheduler().delete_schedule().group_name(&config.group).name(name);
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if refused_as(&error, |e| e.is_resource_not_found_exception()) => Ok(()),
            Err(error) => Err(DELETE_SCHEDULE.fault(error)),
        }
    }
}

/// For people who find it.
fn description(Switch { rollout, target, baseline, .. }: &Switch<'_>) -> String {
    let target = target.key();
    let whole = format!(
        "Coalmine's dead man's switch: gives all traffic of {target} back to {baseline} unless rollout {rollout} pushes it on"
    );
    whole.chars().take(DESCRIPTION_LENGTH).collect()
}

/// `action` is the SDK's name of the service, and that of the operation.
fn target(config: &SwitchConfig, action: &str, input: &Value) -> Result<Target, BuildError> {
    let retries = RetryPolicy::builder().maximum_event_age_in_seconds(TRIED_FOR_SECONDS).maximum_retry_attempts(TRIES);
    // The role is in the partition that everything is in.
    let partition = config.role_arn.split(':').nth(1).unwrap_or("aws");
    Target::builder()
        .arn(format!("arn:{partition}:scheduler:::aws-sdk:{action}"))
        .role_arn(&config.role_arn)
        .input(input.to_string())
        .retry_policy(retries.build())
        .build()
}

fn unbuilt(error: BuildError) -> Fault {
    CREATE_SCHEDULE.refusal(FaultKind::Rejected, error.to_string())
}

/// Without a revision: it would be stale after a weight that was set since. What somebody else has written meanwhile is
/// written over.
pub(crate) fn put_back_alias(LambdaTarget { function, alias, .. }: &LambdaTarget, switch: &Switch<'_>) -> Value {
    json!({
        "FunctionName": function,
        "Name": alias,
        "FunctionVersion": switch.baseline.0,
        "RoutingConfig": { "AdditionalVersionWeights": {} },
    })
}

/// Whether a schedule of this name is the rollout's switch, or a part of it.
#[must_use]
pub fn is_switch_of(schedule: &str, rollout: &str) -> bool {
    schedule.rsplit_once('.').is_some_and(|(named, _)| named == stem(rollout))
}

/// The schedule's name.
fn name(rollout: &str, place: usize) -> String {
    format!("{}.{place}", stem(rollout))
}

/// Of the characters that a schedule's name may have.
fn stem(rollout: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if rollout.len() <= NAME_LENGTH && rollout.chars().all(allowed) {
        return rollout.to_owned();
    }
    let kept: String = rollout.chars().map(|c| if allowed(c) { c } else { '_' }).take(KEPT_OF_NAME).collect();
    format!("{kept}-{:016x}", digest(rollout))
}

/// In UTC, which is what a schedule without a time zone is in.
fn at(time: Timestamp) -> String {
    format!("at({})", time.to_string().trim_end_matches('Z'))
}

#[cfg(test)]
mod tests;
