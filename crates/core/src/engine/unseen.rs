//! Where there are too many rollouts to look at every target every minute: what may be decided without a look.

use super::{Decision, Effect};
use crate::observation::Routing;
use crate::rollout::{Held, Phase, Rollout};
use crate::spec::{Mode, Target};
use crate::units::{Timestamp, Weight};

/// What an alias routes to if nobody has touched it since it was last seen. `None` where that must be looked at: it was
/// not seen as it should be, or something may have moved it since.
#[must_use]
pub fn presumed(rollout: &Rollout, now: Timestamp) -> Option<Routing> {
    let weight = match &rollout.phase {
        Phase::Baking { step, .. } | Phase::Paused { held: Held::Step { step, .. }, .. } => {
            rollout.weight_of_step(*step)
        }
        Phase::Promoting { live_since: Some(_), .. } => Weight::FULL,
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. }
        | Phase::Promoted { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => return None,
    };
    let seen_so = rollout.weights.last().is_some_and(|seen| seen.weight == weight) && rollout.strange_since.is_none();
    let now = now.max(rollout.now);
    let may_have_fired = rollout.switch.is_some_and(|armed| now >= armed.earliest);
    let is_alias = matches!(rollout.spec.target, Target::Lambda(_)) && rollout.guest.is_none();
    // Who observes follows the weights that others set, as a matter of course.
    if !seen_so || may_have_fired || !is_alias || rollout.spec.mode == Mode::Observe {
        return None;
    }
    Some(match weight {
        Weight::FULL => Routing::of(rollout.canary.clone(), None),
        Weight::ZERO => Routing::of(rollout.baseline.clone(), None),
        weight => Routing::of(rollout.baseline.clone(), Some((rollout.canary.clone(), weight))),
    })
}

/// Whether a decision on what is [`presumed`] may stand: it leaves everything as it is, but for the dead man's switch, which it
/// pushes on, and for what is noted of a proof, which is acted on after a look. Whatever else is decided is decided on what is live.
#[must_use]
pub fn stands_unseen(before: &Rollout, decision: &Decision) -> bool {
    let Rollout { switch, now, revision, sealed_before, .. } = before.clone();
    let mut as_before = Rollout { switch, now, revision, sealed_before, ..decision.next.clone() };
    if let (Phase::Baking { proof: noted, .. }, Phase::Baking { proof, .. }) = (&mut as_before.phase, &before.phase) {
        noted.clone_from(proof);
    }
    as_before == *before && decision.effects.iter().all(|effect| matches!(effect, Effect::Arm { .. }))
}
