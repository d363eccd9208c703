//! The dead man's switch: while traffic is split, AWS itself stands ready to put all of it back, and every live tick pushes
//! that into the future. It fires when nobody pushes it any more.

use super::{Draft, Effect};
use crate::observation::Split;
use crate::rollout::{Held, Phase};
use crate::units::{Span, Timestamp, Weight};

/// The moments to which it is pushed lie this part of its time apart, so that most ticks have nothing to push.
const PUSHES: u64 = 3;

/// What is still there so long after its time has fired, or never will.
const GONE_AFTER: Span = Span::from_minutes(10);

/// Armed before the first weight, pushed while any rule may have traffic on both versions, and removed after that, whatever
/// became of the rollout: it would undo what came later.
pub(super) fn keep(draft: &mut Draft<'_>, observed: bool) {
    let (now, armed) = (draft.now(), draft.next.switch);
    let time = draft.seen.switch.filter(|_| !observed && is_split(&draft.next.phase));
    match (time, armed) {
        (Some(time), armed) => {
            let until = pushed(now, time);
            if armed < Some(until) {
                draft.next.switch = Some(until);
                draft.effects.insert(0, Effect::Arm { until });
            }
        }
        (None, Some(until)) if draft.seen.disarmed || now >= until + GONE_AFTER => draft.next.switch = None,
        (None, Some(until)) => {
            draft.hold(format!(
                "at {} all traffic is put back, until the switch that does it is removed",
                until.hour_minute()
            ));
            draft.effects.push(Effect::Disarm);
        }
        (None, None) => {}
    }
}

/// At least `time` from now.
fn pushed(now: Timestamp, time: Span) -> Timestamp {
    let apart = (time.seconds() / PUSHES).max(60);
    let at = (now + time).epoch_seconds();
    let apart = i64::try_from(apart).unwrap_or(60);
    Timestamp::from_epoch_seconds((at + apart - 1).div_euclid(apart) * apart)
}

fn is_split(phase: &Phase) -> bool {
    match phase {
        Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { held: Held::Step { .. }, .. }
        | Phase::Promoting { live_since: None, .. }
        | Phase::RollingBack { .. } => true,
        Phase::Pending { .. }
        | Phase::Paused { held: Held::Pending, .. }
        | Phase::Promoting { live_since: Some(_), .. }
        | Phase::Promoted { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => false,
    }
}

/// Whether its time has come, and all traffic is back of which some should not be.
pub(super) fn has_fired(draft: &Draft<'_>, expected: &[Weight]) -> bool {
    let due = draft.before.switch.is_some_and(|until| draft.now() >= until);
    let back = match draft.split() {
        Some((_, Split::Ours(weight))) => weight == Weight::ZERO,
        Some((_, Split::Uneven { low, .. })) => low == Weight::ZERO,
        Some((_, Split::Foreign)) | None => false,
    };
    due && back && !expected.contains(&Weight::ZERO)
}
