//! What people and pipelines may ask of a rollout, in every phase.

use serde::{Deserialize, Serialize};

use super::{Decision, guest, live, transition};
use crate::report;
use crate::rollout::{DeadlineClock, Held, PauseReason, Phase, RollBackEnd, Rollout, Why};
use crate::spec::Mode;
use crate::units::{Span, Timestamp, Weight};

/// A request about an existing rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub kind: OrderKind,
    pub by: String,
    pub reason: String,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OrderKind {
    Pause,
    Resume,
    Approve,
    Promote,
    Abort,
}

/// Why an order cannot be carried out now, and what could be done instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// Carries out an order, or says why not. Asking for what is already so is no error.
///
/// # Errors
/// [`Refusal`] when the order makes no sense in the present phase.
pub fn order(rollout: &Rollout, order: &Order, now: Timestamp) -> Result<Decision, Refusal> {
    let now = now.max(rollout.now);
    let mut next = rollout.clone();
    if rollout.spec.mode == Mode::Observe {
        observed(&mut next, order, now)?;
    } else {
        match order.kind {
            OrderKind::Abort => abort(&mut next, order, now)?,
            OrderKind::Pause => pause(&mut next, order, now)?,
            OrderKind::Resume => resume(&mut next, order, now)?,
            OrderKind::Approve => approve(&mut next, order, now)?,
            OrderKind::Promote => promote(&mut next, order, now)?,
        }
    }
    if next != *rollout {
        next.now = now;
        next.revision = rollout.revision + 1;
    }
    Ok(Decision { next, effects: Vec::new(), record: None, holding: Vec::new() })
}

fn refuse<T>(rollout: &Rollout, hint: &str) -> Result<T, Refusal> {
    Err(Refusal(format!("rollout {} {}; {hint}", rollout.id, report::standing(&rollout.phase))))
}

/// Nothing is moved in observe mode, so there is nothing to steer; the watching itself can be ended.
fn observed(next: &mut Rollout, order: &Order, now: Timestamp) -> Result<(), Refusal> {
    if order.kind != OrderKind::Abort {
        return Err(Refusal(format!(
            "rollout {} is only observed: Coalmine moves nothing that could be steered",
            next.id
        )));
    }
    if next.is_terminal() {
        return Ok(());
    }
    let why = Why::AbortedBy { by: order.by.clone(), reason: order.reason.clone() };
    transition::enter(next, now, Phase::Superseded { at: now, why: why.clone() }, why, None);
    Ok(())
}

fn abort(next: &mut Rollout, order: &Order, now: Timestamp) -> Result<(), Refusal> {
    match &next.phase {
        Phase::RollingBack { .. } | Phase::RolledBack { .. } => Ok(()),
        Phase::Promoted { .. } => refuse(next, &format!("to go back, start a rollout of {}", next.baseline)),
        Phase::Superseded { .. } => refuse(next, "the target belongs to somebody else now"),
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. } => {
            let why = Why::AbortedBy { by: order.by.clone(), reason: order.reason.clone() };
            let phase = transition::roll_back_phase(next, now, &why, RollBackEnd::RolledBack);
            transition::enter(next, now, phase, why, None);
            Ok(())
        }
    }
}

/// CodeDeploy has no way to wait between two weights.
fn can_be_held(rollout: &Rollout) -> Result<(), Refusal> {
    match &rollout.guest {
        Some(guest) if guest::runs_by_the_clock(rollout) && !rollout.is_terminal() => {
            refuse(rollout, &format!("the clock of {} cannot be held; abort stops it", guest.deployment))
        }
        Some(_) | None => Ok(()),
    }
}

fn pause(next: &mut Rollout, order: &Order, now: Timestamp) -> Result<(), Refusal> {
    can_be_held(next)?;
    match &next.phase {
        Phase::Paused { .. } => Ok(()),
        Phase::Pending { behind: Some(_), .. } => refuse(next, "it gets no traffic before that; abort it instead"),
        Phase::Promoting { .. } => refuse(next, "there is no step left to hold; abort rolls back"),
        Phase::RollingBack { .. } => refuse(next, "a rollback is never held"),
        Phase::Promoted { .. } | Phase::RolledBack { .. } | Phase::Superseded { .. } => refuse(next, "it has ended"),
        Phase::Pending { behind: None, .. } | Phase::Shifting { .. } | Phase::Baking { .. } => {
            let (by, reason) = (order.by.clone(), order.reason.clone());
            let asked = PauseReason::Asked { by: by.clone(), reason: reason.clone() };
            let phase = transition::paused(next, now, transition::held(next), asked);
            transition::enter(next, now, phase, Why::PausedBy { by, reason }, None);
            Ok(())
        }
    }
}

fn resume(next: &mut Rollout, order: &Order, now: Timestamp) -> Result<(), Refusal> {
    can_be_held(next)?;
    match &next.phase {
        Phase::Paused { why: PauseReason::Approval, .. } => refuse(next, "approve it, promote it or abort it"),
        Phase::Paused { held, why, .. } => {
            // Who lets an undecided rollout go on grants it another deadline.
            let undecided = matches!(why, PauseReason::Undecided(_));
            let phase = match held {
                _ if next.guest.is_some() => guest::resumed(next, now),
                Held::Pending => Phase::Pending { since: now, behind: None, ready: false },
                Held::Step { step, from } => Phase::Shifting { step: *step, from: *from, since: now },
            };
            if undecided {
                next.clock = DeadlineClock { spent: Span::ZERO, running_since: None };
            }
            let why = Why::ResumedBy { by: order.by.clone(), reason: order.reason.clone() };
            transition::enter(next, now, phase, why, None);
            Ok(())
        }
        Phase::Pending { .. } | Phase::Shifting { .. } | Phase::Baking { .. } | Phase::Promoting { .. } => Ok(()),
        Phase::RollingBack { .. } => refuse(next, "a rollback is never turned round; start a new rollout afterwards"),
        Phase::Promoted { .. } | Phase::RolledBack { .. } | Phase::Superseded { .. } => refuse(next, "it has ended"),
    }
}

fn approve(next: &mut Rollout, order: &Order, now: Timestamp) -> Result<(), Refusal> {
    can_be_held(next)?;
    let why = Why::Approved { by: order.by.clone(), reason: order.reason.clone() };
    match next.phase.clone() {
        Phase::Paused { held: Held::Step { step, .. }, why: PauseReason::Approval, .. } => {
            let phase = live::next_step(next, step, now);
            transition::enter(next, now, phase, why, None);
            Ok(())
        }
        Phase::Baking { step, approved, .. } => {
            if next.spec.steps.get(step).is_none_or(|step| step.approve.is_none()) {
                return refuse(next, "this step needs no approval");
            }
            if let (Phase::Baking { approved, .. }, false) = (&mut next.phase, approved) {
                *approved = true;
                transition::note(next, now, why);
            }
            Ok(())
        }
        Phase::Paused { .. } => refuse(next, "it does not wait for an approval: resume, promote or abort it"),
        Phase::Pending { .. } | Phase::Shifting { .. } | Phase::Promoting { .. } | Phase::RollingBack { .. } => {
            refuse(next, "there is nothing to approve now")
        }
        Phase::Promoted { .. } | Phase::RolledBack { .. } | Phase::Superseded { .. } => refuse(next, "it has ended"),
    }
}

fn promote(next: &mut Rollout, order: &Order, now: Timestamp) -> Result<(), Refusal> {
    if next.guest.is_some() && !next.is_terminal() {
        return let_through(next, order, now);
    }
    match &next.phase {
        Phase::Promoting { .. } | Phase::Promoted { .. } => Ok(()),
        Phase::Pending { .. } | Phase::Paused { held: Held::Pending, .. } => {
            refuse(next, "the version is not known to be ready; use `strategy: {allAtOnce: {}}` to skip the steps")
        }
        Phase::RollingBack { .. } => refuse(next, "a rollback is never turned round; start a new rollout afterwards"),
        Phase::RolledBack { .. } | Phase::Superseded { .. } => refuse(next, "it has ended; start a new rollout"),
        Phase::Shifting { .. } | Phase::Baking { .. } | Phase::Paused { held: Held::Step { .. }, .. } => {
            let why = Why::PromotedBy { by: order.by.clone(), reason: order.reason.clone() };
            let phase = transition::promoting(next, now);
            transition::enter(next, now, phase, why, None);
            Ok(())
        }
    }
}

/// The deployment that is judged may go on to its end, whatever is proven; harm and alarms still stop it.
fn let_through(next: &mut Rollout, order: &Order, now: Timestamp) -> Result<(), Refusal> {
    let why = Why::PromotedBy { by: order.by.clone(), reason: order.reason.clone() };
    let before = next.guest.as_ref().and_then(|guest| guest.may_leave);
    match next.phase {
        Phase::RollingBack { .. } => {
            return refuse(next, "a rollback is never turned round; start another deployment afterwards");
        }
        Phase::Pending { .. } | Phase::Paused { held: Held::Pending, .. } if before.is_none() => {
            return refuse(next, "what is asked before any traffic is not answered yet");
        }
        Phase::Paused { .. } => {
            guest::grant(next, Weight::FULL);
            let phase = guest::resumed(next, now);
            transition::enter(next, now, phase, why, None);
        }
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Promoting { .. }
        | Phase::Promoted { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => {
            if before < Some(Weight::FULL) {
                guest::grant(next, Weight::FULL);
                transition::note(next, now, why);
            }
        }
    }
    Ok(())
}
