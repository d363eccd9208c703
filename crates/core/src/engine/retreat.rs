//! Rolling back: all traffic to the baseline, verified, and fenced against writes that are still in flight.

use super::{Draft, health, live, transition};
use crate::observation::{Routing, Seen, Split};
use crate::rollout::{Fence, Phase, RollBackEnd, Rollout, WeightSeen, Why};
use crate::units::{Span, Weight};

/// Without revisions nothing makes a write stale that is still in flight. By then it has ended: it lives no longer than its
/// invocation, fifty seconds. `since` is the time of the event that turned back, which may have been two minutes old, and
/// whose own invocation may have saved that only at its end.
pub(super) const QUIET: Span = Span::from_minutes(4);

/// What does not exist that long after the turn back is not coming back: a rule that is made anew is another one. It sends
/// nobody anywhere, and must not hold the target for ever.
const GONE_FOR_GOOD: Span = Span::from_minutes(10);

pub(super) fn decide(draft: &mut Draft<'_>) {
    let Phase::RollingBack { since, why, fence, ends_as } = &draft.before.phase else { return };
    if let Seen::Missing(reason) = &draft.seen.routing {
        draft.hold(format!("the live weights could not be read: {reason}"));
        if draft.seen.target_gone && draft.now().since(*since) >= GONE_FOR_GOOD {
            draft.supersede(Why::TakenOver { found: format!("nothing: {reason}") });
            return;
        }
    }
    let Some((routing, split)) = draft.split() else { return };
    draft.lost_rules().into_iter().for_each(|why| draft.hold(why));
    draft.stuck_clients().into_iter().for_each(|why| draft.hold(why));
    let is_back = match split {
        Split::Ours(_) | Split::Uneven { .. } => {
            live::seen_as_known(draft);
            is_back(routing, split)
        }
        // Where somebody else has taken some of the rules, the others are still ours to put back.
        Split::Foreign => match routing.still_ours(&draft.next.baseline, &draft.next.canary) {
            Some(weight) => weight == Weight::ZERO,
            None => {
                let found = routing.to_string();
                if live::seen_again(draft, &found) {
                    draft.supersede(Why::TakenOver { found });
                }
                return;
            }
        },
    };
    if waits(draft) {
        return;
    }
    match fence {
        Fence::Open => start(draft, routing),
        Fence::Read { revision: None } if is_back && draft.now().since(*since) < QUIET => {
            note_zero(draft);
            draft.hold("all traffic is back; an earlier write could still arrive");
        }
        Fence::Read { revision } if is_back && (revision.is_none() || *revision != routing.revision) => {
            if split == Split::Foreign {
                finish(draft, &Why::PartlyTaken { found: routing.to_string() }, RollBackEnd::Superseded);
            } else {
                finish(draft, why, *ends_as);
            }
        }
        Fence::Read { .. } if routing.in_transition => {
            draft.hold_in_transition();
            draft.set_weight(Weight::ZERO, routing);
        }
        Fence::Read { .. } => draft.set_weight(Weight::ZERO, routing),
    }
}

/// Lambda itself may hold all traffic on the baseline for a while, on an alias that points to the canary already.
pub(super) fn is_back(routing: &Routing, split: Split) -> bool {
    split == Split::Ours(Weight::ZERO) && routing.additional.is_none() && !routing.in_transition
}

/// Where the target was read in the very tick that turns back, the write need not wait for the next one.
pub(super) fn begin(draft: &mut Draft<'_>) {
    let Some((routing, split)) = draft.split() else { return };
    let ours = split != Split::Foreign || routing.still_ours(&draft.next.baseline, &draft.next.canary).is_some();
    if matches!(draft.next.phase, Phase::RollingBack { .. }) && ours && !waits(draft) {
        start(draft, routing);
        health::warn_of_no_way_back(draft);
    }
}

/// Whether a rollback has waited since it began, because nobody would answer.
pub(super) fn has_waited(rollout: &Rollout) -> bool {
    let mut since = rollout.history.iter().rev().take_while(|event| event.entered.is_none());
    since.any(|event| matches!(event.why, Why::NobodyToGoBackTo { .. }))
}

/// Nobody would answer: that is said at once and told once, and looked at again every minute.
fn waits(draft: &mut Draft<'_>) -> bool {
    let Some(sentence) = health::nobody_to_go_back_to(draft) else { return false };
    draft.hold(sentence.clone());
    if !has_waited(&draft.next) {
        transition::announce(&mut draft.next, draft.seen.now, Why::NobodyToGoBackTo { sentence });
    }
    true
}

/// Writes 0 even if 0 is live: the write makes every earlier look at the target stale, and with it every write that is
/// still in flight.
fn start(draft: &mut Draft<'_>, routing: &Routing) {
    if let Phase::RollingBack { fence, .. } = &mut draft.next.phase {
        *fence = Fence::Read { revision: routing.revision.clone() };
    }
    draft.set_weight(Weight::ZERO, routing);
}

pub(super) fn finish(draft: &mut Draft<'_>, why: &Why, ends_as: RollBackEnd) {
    let now = draft.now();
    note_zero(draft);
    let phase = match ends_as {
        RollBackEnd::RolledBack => Phase::RolledBack { at: now, why: why.clone() },
        RollBackEnd::Superseded => Phase::Superseded { at: now, why: why.clone() },
    };
    draft.enter(phase, why.clone());
}

/// From here on nobody comes to the new version, although the rollback goes on: once.
fn note_zero(draft: &mut Draft<'_>) {
    let at = draft.now();
    if draft.next.weights.last().is_none_or(|last| last.weight > Weight::ZERO) {
        draft.next.weights.push(WeightSeen { at, weight: Weight::ZERO });
    }
}
