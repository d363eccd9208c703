//! After a promotion: the old target group is taken off the rules once it was kept as long as the spec says. By then the
//! rollout has ended, and the target may be anybody's.

use super::Draft;
use crate::alb;
use crate::observation::{Seen, Split};
use crate::rollout::Why;
use crate::spec::{KeepBaseline, Mode, Target};
use crate::units::{Span, Weight};

/// What cannot be detached for so long is left attached: nothing depends on it, and a tick has to look each minute.
const GIVEN_UP_AFTER: Span = Span::from_hours(24);

/// With the promotion.
pub(super) fn plan(draft: &mut Draft<'_>) {
    if let Target::Alb(alb) = &draft.before.spec.target
        && let KeepBaseline::For(kept) = alb.keep_baseline
    {
        draft.next.detach_at = Some(draft.now() + kept);
    }
}

/// Every tick from then on, until it is done or will not be.
pub(super) fn decide(draft: &mut Draft<'_>) {
    let Some(at) = draft.before.detach_at else { return };
    // Whoever has the target has both groups.
    if let Some(other) = draft.seen.target_held_by.clone() {
        end(draft, Why::StaysAttached { why: format!("the newer rollout {other} takes the target") });
        return;
    }
    let (now, name) = (draft.now(), alb::group_name(&draft.before.baseline.0));
    if draft.seen.mode == Mode::Observe {
        draft.hold(format!("observe mode: {name} is not detached"));
    } else if now < at {
        draft.hold(format!("{name} stays attached for another {}", at.since(now)));
    } else if let Some(why) = given_up(draft) {
        end(draft, Why::StaysAttached { why });
    } else {
        detach(draft);
    }
}

fn detach(draft: &mut Draft<'_>) {
    let Some((routing, split)) = draft.split() else {
        if let Seen::Missing(why) = &draft.seen.routing {
            draft.hold(format!("the live weights could not be read: {why}"));
        }
        return;
    };
    if split != Split::Ours(Weight::FULL) {
        end(draft, Why::StaysAttached { why: format!("others have changed the target, it is now on {routing}") });
    } else if routing.at_zero.contains(&draft.before.baseline) {
        draft.effects.push(super::Effect::Detach { seen: routing.clone() });
    } else {
        end(draft, Why::Detached);
    }
}

/// Why it is not tried again.
fn given_up(draft: &Draft<'_>) -> Option<String> {
    let late = draft.before.detach_at.is_some_and(|at| draft.now().since(at) >= GIVEN_UP_AFTER);
    match &draft.seen.routing {
        Seen::Missing(why) if draft.seen.target_gone || late => Some(why.clone()),
        Seen::Known(_) if late => Some(format!("it could not be for {GIVEN_UP_AFTER}")),
        Seen::Known(_) | Seen::Missing(_) | Seen::NotAsked => None,
    }
}

fn end(draft: &mut Draft<'_>, why: Why) {
    draft.next.detach_at = None;
    super::transition::note(&mut draft.next, draft.seen.now, why);
}
