//! A rollout that judges another service's deployment: it never sets a weight. It says whether a weight may be left, and
//! stops the deployment.

use crate::deployment::{Asked, HookAnswer, Reply};
use crate::report;
use crate::rollout::{Phase, Rollout, Why};
use crate::spec::Mode;

/// What a hook of the deployment is told, from what is stored: asked again, it is told the same. `mode` is that of the
/// controller.
#[must_use]
pub fn answer(rollout: &Rollout, asked: &Asked, mode: Mode) -> Reply {
    if rollout.spec.mode == Mode::Observe {
        return go_on("observe mode: nothing is stopped");
    }
    match &rollout.phase {
        Phase::Promoted { .. } => go_on(&consent(rollout)),
        Phase::RollingBack { why, .. } | Phase::RolledBack { why, .. } | Phase::Superseded { why, .. } => {
            Reply::Answer(HookAnswer { goes_on: false, why: report::sentence(why) })
        }
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. }
            if mode == Mode::Observe =>
        {
            go_on("observe mode: nothing is stopped")
        }
        Phase::Pending { .. } | Phase::Shifting { .. } | Phase::Baking { .. } | Phase::Promoting { .. }
            if may_leave(rollout, asked) =>
        {
            go_on(&consent(rollout))
        }
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. } => {
            Reply::Wait(format!("rollout {} {}", rollout.id, report::standing(&rollout.phase)))
        }
    }
}

fn go_on(why: &str) -> Reply {
    Reply::Answer(HookAnswer { goes_on: true, why: why.to_owned() })
}

fn may_leave(rollout: &Rollout, asked: &Asked) -> bool {
    rollout.guest.as_ref().is_some_and(|guest| guest.may_leave >= Some(asked.at))
}

/// The newest reason for letting the deployment go on.
fn consent(rollout: &Rollout) -> String {
    let consents = |why: &Why| {
        matches!(
            why,
            Why::Cleared
                | Why::Proven { .. }
                | Why::NoHarm { .. }
                | Why::WatchOver { .. }
                | Why::PromotedBy { .. }
                | Why::Undecided { .. }
                | Why::PauseOver { .. }
                | Why::DeploymentEnded { .. }
        )
    };
    let newest = rollout.history.iter().rev().find(|event| consents(&event.why));
    newest.map_or_else(|| "it may go on".to_owned(), |event| report::sentence(&event.why))
}

/// Whether the deployment's new version is proven worse: what the metric of its verdict says.
#[must_use]
pub fn proven_worse(rollout: &Rollout) -> bool {
    match &rollout.phase {
        Phase::RollingBack { why, .. } | Phase::RolledBack { why, .. } => {
            matches!(why, Why::Harm { .. } | Why::Unhealthy { .. })
        }
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. }
        | Phase::Promoted { .. }
        | Phase::Superseded { .. } => false,
    }
}
