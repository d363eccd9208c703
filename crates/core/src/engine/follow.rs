//! Somebody else sets the weights: the phase follows what is live.

use super::Draft;
use crate::observation::Split;
use crate::rollout::{Phase, Rollout, WeightSeen, Why};
use crate::units::{Timestamp, Weight};

/// The canary's weight that is live; nothing where that cannot be told. Another version's traffic ends the rollout.
pub(super) fn live_weight(draft: &mut Draft<'_>) -> Option<Weight> {
    let (routing, split) = draft.split()?;
    match split {
        Split::Ours(weight) => return Some(weight),
        Split::Uneven { .. } => draft.hold("others have moved the traffic of some rules, and not yet of all"),
        Split::Foreign => draft.supersede(Why::TakenOver { found: routing.to_string() }),
    }
    None
}

/// Enters the phase that belongs to a weight that others have made live; whether it was a new one.
pub(super) fn follow(draft: &mut Draft<'_>, weight: Weight) -> bool {
    if draft.next.chosen.is_some() && weight > Weight::ZERO && weight < Weight::FULL {
        draft.next.chosen = Some(weight);
    }
    let follows = match draft.before.phase {
        Phase::Pending { .. } => weight > Weight::ZERO,
        Phase::Baking { .. } | Phase::Promoting { .. } => true,
        Phase::Shifting { .. }
        | Phase::Paused { .. }
        | Phase::RollingBack { .. }
        | Phase::Promoted { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => false,
    };
    let Some((routing, _)) = draft.split() else { return false };
    if !follows || !note(draft, weight) {
        return false;
    }
    let moved = Why::MovedByOthers { found: routing.to_string() };
    let phase = match weight {
        Weight::ZERO => Phase::RolledBack { at: draft.now(), why: moved.clone() },
        _ => phase_at(&draft.next, weight, draft.now()),
    };
    draft.enter(phase, moved);
    true
}

/// Remembers a weight that is live; whether it is another one than before.
pub(super) fn note(draft: &mut Draft<'_>, weight: Weight) -> bool {
    let moved = draft.next.weights.last().map(|seen| seen.weight) != Some(weight);
    if moved {
        let at = draft.now();
        draft.next.weights.push(WeightSeen { at, weight });
        let seen = draft.seen.health.known().map(|health| health.baseline.healthy);
        draft.next.carried_by = draft.next.carried_by.or(seen);
    }
    moved
}

/// The phase in which some traffic is judged, or all of it.
pub(super) fn phase_at(rollout: &Rollout, weight: Weight, now: Timestamp) -> Phase {
    if weight == Weight::FULL {
        return Phase::Promoting { from: Weight::ZERO, since: now, live_since: Some(now) };
    }
    let reached = rollout.spec.steps.iter().rposition(|step| step.weight <= weight);
    Phase::Baking { step: reached.unwrap_or(0), since: now, proof: None, approved: false }
}
