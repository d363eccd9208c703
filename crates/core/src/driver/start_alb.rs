//! Starting between two target groups: which of them is new is read, and so is what stands around them.

use futures_util::future::join;

use super::Context;
use super::problems::{failed, problem, unseen};
use super::start::{Opened, Scene, behind, check_still_live, may_have_set, on_target};
use crate::alb::{self, Found};
use crate::command::Answer;
use crate::observation::{Routing, Surroundings};
use crate::ports::{Budget, LookError, Ports};
use crate::rollout::Rollout;
use crate::spec::{AlbTarget, Problem, RolloutSpec, Version};

const TARGET: &str = "target.alb";

pub(super) async fn open<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    spec: &RolloutSpec,
    alb: &AlbTarget,
) -> Result<Opened, Vec<Problem>> {
    let ports = context.ports;
    // Before anything is read of the target: a release that is under way, or was, may have changed all of it.
    let id = spec.name.clone().unwrap_or_else(|| alb.default_id(&spec.release));
    if let Some(existing) = ports.load(&id).await.map_err(failed)? {
        return again(context, existing, spec).await.map(Opened::Answered);
    }
    let (routing, around) = join(ports.look(&spec.target), ports.survey(&spec.target)).await;
    let rollouts = on_target(context, &spec.target).await?;
    check_pairs(&rollouts, spec)?;
    let moved = routing.as_ref().is_ok_and(|routing| may_have_set(&rollouts, routing));
    let around = around.map_err(|error| looked(&error))?;
    let Found { mut problems, mut warnings } = alb::problems(alb, &around, spec.mode, moved);
    // The survey says it better, where it knows.
    if let (Ok(routing), true) = (&routing, problems.is_empty()) {
        problems.extend(routing.lost.iter().flat_map(|why| problem(TARGET, why)));
    }
    let (routing, canary) = match (routing, canary(&around, &rollouts)) {
        (Ok(routing), Some(canary)) => (routing, canary),
        // The survey says it better.
        (Err(_) | Ok(_), _) if !problems.is_empty() => return Err(problems),
        (Err(error), _) => return Err(looked(&error)),
        (Ok(routing), None) => {
            return Err(problem(TARGET, format!("which group is the new one cannot be told: all is on {routing}")));
        }
    };
    // While a rollout divides a rule neither group comes first in it. The other one of the two is the old one.
    let old = around.groups.iter().map(|group| &group.arn).find(|group| **group != canary);
    let routing = Routing { primary: old.unwrap_or(&routing.primary).clone(), ..routing };
    let version = ports.version(&spec.target, Some(&canary)).await.map_err(|error| looked(&error))?;
    let behind = behind(&rollouts, spec, &canary)?;
    warnings.extend(unseen_errors(spec));
    Ok(Opened::Begins(Box::new(Scene { id, routing, version, behind, problems, warnings, spills: false })))
}

/// A group of the pair may be another pair's, too: then there is a third one, and one rollout would disturb the other.
fn check_pairs(rollouts: &[Rollout], spec: &RolloutSpec) -> Result<(), Vec<Problem>> {
    let (key, mut others) = (spec.target.key(), rollouts.iter());
    let Some(Rollout { id, baseline, canary, .. }) = others.find(|other| other.spec.target.key() != key) else {
        return Ok(());
    };
    let message = format!(
        "rollout {id} ({baseline} to {canary}) is in progress on one of these groups and a third one; start this one when it \
         has ended"
    );
    Err(problem("target.alb.targetGroups", message))
}

fn looked(error: &LookError) -> Vec<Problem> {
    unseen(TARGET, error)
}

/// The group without traffic. While a rollout divides it, that one's: a newer release takes its place there.
fn canary(around: &Surroundings, rollouts: &[Rollout]) -> Option<Version> {
    let running = || rollouts.last().map(|rollout| &rollout.canary);
    alb::idle(around).or_else(running).cloned()
}

/// The same name and spec is the same rollout. One that has ended is no answer where its end is not what is live: then
/// this is another release under its name.
async fn again<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    existing: Rollout,
    spec: &RolloutSpec,
) -> Result<Answer, Vec<Problem>> {
    let Rollout { id, baseline, canary, .. } = &existing;
    if existing.spec != *spec {
        let message =
            format!("a rollout {id} exists with another spec ({baseline} to {canary}); give this one another name");
        return Err(problem("name", message));
    }
    if existing.left_live().is_some() {
        let routing = context.ports.look(&spec.target).await.map_err(|error| looked(&error))?;
        check_still_live(&existing, &routing)?;
    }
    Ok(Answer::about(existing, Vec::new()))
}

/// What the load balancer answers by itself is counted for no target group.
fn unseen_errors(spec: &RolloutSpec) -> Vec<Problem> {
    if !spec.alarms.names.is_empty() {
        return Vec::new();
    }
    let message = "none is named, so nothing sees the errors that the load balancer itself answers with (502, 503, 504: targets \
                   that hang, hang up or are gone): they are counted for no target group. Name an alarm on HTTPCode_ELB_5XX_Count";
    problem("alarms", message)
}
