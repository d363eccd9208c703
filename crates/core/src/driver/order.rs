//! Commands: start, steer, look.

use std::collections::BTreeSet;

use super::attend::Visits;
use super::problems::{failed, problem};
use super::start::Checked;
use super::{Context, Settings, minutes, start};
use crate::command::{Answer, Ended, List, Request, RolloutAnswer, Summary};
use crate::engine::{self, Order, OrderKind};
use crate::evidence::Evidence;
use crate::ports::{Budget, Fault, Ports, SaveError};
use crate::rollout::Rollout;
use crate::spec::Problem;
use crate::units::Timestamp;

/// A tick may save the rollout between our read and our write; it does so at most once a minute.
const TRIES: usize = 3;

/// Carries out a request. An order that changes a rollout is acted on at once, not by the next tick.
///
/// # Errors
/// What is wrong, each with its path. Nothing was written and no weight was moved then, unless a service's failure left
/// that open, which the message says.
pub async fn command(
    ports: &impl Ports,
    request: Request,
    now: Timestamp,
    budget: &impl Budget,
    settings: &Settings,
) -> Result<Answer, Vec<Problem>> {
    let context = Context { ports, budget, settings, now };
    let unknown =
        |cut| Err(problem("", format!("{cut}: whether it was done is unknown; ask `status`, then ask again")));
    context.guarded(budget.remaining(), answer(&context, request)).await.unwrap_or_else(unknown)
}

async fn answer<P: Ports, B: Budget>(context: &Context<'_, P, B>, request: Request) -> Result<Answer, Vec<Problem>> {
    let ports = context.ports;
    match request {
        Request::Start { spec, by } => start::start(context, *spec, by).await,
        Request::Check { spec } => Ok(match start::check(context, *spec, "nobody".to_owned()).await? {
            Checked::Answered(answer) => answer,
            Checked::Begins(rollout, warnings) => {
                Answer::Rollout(Box::new(RolloutAnswer::imagined(*rollout, warnings)))
            }
        }),
        Request::Status { rollout } => Ok(Answer::about(stored(ports, &rollout).await?, Vec::new())),
        Request::Minutes { rollout, from } => minutes::minutes(context, stored(ports, &rollout).await?, from).await,
        Request::List { ended } => {
            list(ports, ended, context.now).await.map(|list| Answer::List(Box::new(list))).map_err(failed)
        }
        Request::Deployments => {
            let judged = ports.judged().await.map_err(failed)?;
            Ok(Answer::Deployments { deployments: judged.iter().map(Evidence::of_stored).collect() })
        }
        Request::Order { rollout, order } => steer(context, &rollout, &order).await,
    }
}

async fn list(ports: &impl Ports, ended: Option<Ended>, now: Timestamp) -> Result<List, Fault> {
    let goes_on = ended.as_ref().is_some_and(|ended| ended.from.is_some());
    let active = if goes_on { Vec::new() } else { ports.active().await? };
    let mut rollouts: Vec<Summary> = active.iter().map(Summary::of_stored).collect();
    let Some(Ended { since, from }) = ended else { return Ok(List { rollouts, ended_since: None, next: None }) };
    let since = since.before(now);
    let page = ports.ended(since, from.as_deref()).await?;
    let told: BTreeSet<String> = rollouts.iter().map(|told| told.id.clone()).collect();
    // What still has something to tell is among the active ones, too.
    rollouts.extend(page.rollouts.iter().map(Summary::of_stored).filter(|ended| !told.contains(&ended.id)));
    Ok(List { rollouts, ended_since: Some(since), next: page.next })
}

async fn stored(ports: &impl Ports, id: &str) -> Result<Rollout, Vec<Problem>> {
    ports.load(id).await.map_err(failed)?.ok_or_else(|| unknown(id))
}

pub(super) async fn steer<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    id: &str,
    order: &Order,
) -> Result<Answer, Vec<Problem>> {
    let mut unrecorded = None;
    for _ in 0..TRIES {
        let before = stored(context.ports, id).await?;
        let decision = engine::order(&before, order, context.now).map_err(|refusal| problem("command", refusal))?;
        if decision.next == before {
            return Ok(Answer::about(before, Vec::new()));
        }
        match context.ports.save(&before, &decision.next, None).await {
            Ok(()) => {
                context.attend_all(vec![decision.next.clone()], false, &Visits::new()).await;
                let after = context.ports.load(id).await.ok().flatten();
                return Ok(Answer::about(after.unwrap_or(decision.next), Vec::new()));
            }
            Err(SaveError::Conflict) => {}
            // Whoever wants out tries again before it is done without a record.
            Err(SaveError::Fault(fault)) if order.kind == OrderKind::Abort => unrecorded = Some((decision.next, fault)),
            Err(error @ (SaveError::TargetTaken { .. } | SaveError::Fault(_))) => return Err(problem("", error)),
        }
    }
    match unrecorded {
        Some((aborted, fault)) => Err(abort_unrecorded(context, aborted, &fault).await),
        None => Err(problem("rollout", format!("{id} was changed by others {TRIES} times in a row; ask again"))),
    }
}

/// The store is down and somebody wants out: traffic goes back to the baseline all the same.
async fn abort_unrecorded<P: Ports, B: Budget>(
    context: &Context<'_, P, B>,
    aborted: Rollout,
    fault: &Fault,
) -> Vec<Problem> {
    let report = context.attend_all(vec![aborted], false, &Visits::new()).await;
    let (did, faults): (Vec<_>, Vec<_>) = report.lines.into_iter().map(|line| (line.did, line.faults)).unzip();
    let (did, faults) = (did.concat().join("; "), faults.concat().join("; "));
    let done =
        if did.is_empty() { format!("nothing was done ({faults})") } else { format!("done all the same: {did}") };
    problem("", format!("the abort could not be recorded ({fault}); {done}. Ask again"))
}

fn unknown(id: &str) -> Vec<Problem> {
    problem("rollout", format!("there is no rollout {id}; `list` shows the active ones"))
}
