//! The dead man's switch: while traffic is split, AWS itself stands ready to put all of it back, and every live tick pushes
//! that into the future. It fires when nobody pushes it any more.

use super::{Decision, Draft, Effect, health, retreat};
use crate::analysis::Samples;
use crate::observation::{Seen, Split, SwitchTold};
use crate::rollout::{Held, Phase, PutBack, Rollout};
use crate::spec::Mode;
use crate::units::{Minute, Span, Timestamp, Weight};

/// The moments to which it is pushed lie this part of its time apart, so that most ticks have nothing to push.
const PUSHES: u64 = 3;

/// What is still there so long after its time has fired, or never will.
const GONE_AFTER: Span = Span::from_minutes(10);

/// How long after its time a switch is still pushed on for a rollout that no tick has time for.
const UNATTENDED: Span = Span::from_minutes(45);

/// Armed before every weight, pushed while any rule may have traffic on both versions, and removed after that, whatever
/// became of the rollout: it would undo what came later.
pub(super) fn keep(draft: &mut Draft<'_>, observed: bool) {
    let armed = draft.next.switch;
    match (draft.seen.switch.filter(|_| !observed && is_split(&draft.next.phase)), armed) {
        (Some(_), Some(armed)) if is_left_to_fire(draft, armed) => renew(draft, armed),
        (Some(_), Some(armed)) if is_blind(draft, armed) => {
            let until = armed.at.hour_minute();
            draft.hold(format!(
                "neither metrics nor alarms can be seen: if that lasts, all traffic is put back at {until}"
            ));
            // Who sees nothing has not attended to it: `earliest`, from which a push for those that wait counts, stays.
            tell_again(draft, armed);
        }
        (Some(time), armed) => arm(draft, time, armed),
        (None, Some(PutBack { at, earliest, .. })) => {
            if draft.seen.switch_told == SwitchTold::Removed || draft.now() >= at + GONE_AFTER {
                draft.next.switch = None;
                return;
            }
            // Saved before it is done: whoever needs it after all must arm it again.
            let sure = Some(PutBack { at, earliest: earliest.min(draft.now()), untold: false });
            draft.next.switch = sure.filter(|_| earliest == at).or(armed);
            let until = at.hour_minute();
            draft.hold(format!("at {until} all traffic is put back, until the switch that does it is removed"));
            draft.effects.push(Effect::Disarm);
        }
        (None, None) => {}
    }
}

/// It does what a rollback wants, by a way of its own: one that does not get on must not keep it from that. Not where
/// nobody would answer on the old version.
fn is_left_to_fire(draft: &Draft<'_>, armed: PutBack) -> bool {
    let rolls_back = matches!(draft.next.phase, Phase::RollingBack { .. });
    rolls_back && draft.now() < armed.at + GONE_AFTER && health::nobody_to_go_back_to(draft).is_none()
}

/// A tick that sees nothing of what would turn it back counts as none: who pushes the switch on at a release that nobody can
/// look at holds it there for as long as that lasts. Metrics without any datapoint were seen, for nobody may have come; and
/// alarms that can be read still turn back.
fn is_blind(draft: &Draft<'_>, armed: PutBack) -> bool {
    let judged = match &draft.seen.samples {
        Seen::Known(samples) => draft.seen.judge_failed.is_none() && reads_any(samples, draft.before.sealed_before),
        Seen::Missing(_) => false,
        // Before the first minute there is nothing to be read but the weights, which say whether it has begun; and what turns
        // back is judged no more.
        Seen::NotAsked => matches!(draft.next.phase, Phase::RollingBack { .. }) || draft.seen.routing.known().is_some(),
    };
    let counts = |name: &String| !draft.next.alarms_muted.contains(name);
    let rings = draft.seen.alarms.known().is_some_and(|states| states.keys().any(counts));
    let gives = draft.effects.iter().any(Effect::gives_traffic);
    !judged && !rings && !gives && draft.now() < armed.at + GONE_AFTER
}

/// Whether any of the metrics could be read this time.
fn reads_any(samples: &Samples, sealed_before: Option<Minute>) -> bool {
    let mut tail = samples.minutes.iter().filter(|sample| sealed_before.is_none_or(|before| sample.minute >= before));
    samples.unread.is_empty()
        || tail.any(|sample| sample.pairs.iter().any(|pair| pair.baseline.is_some() || pair.canary.is_some()))
}

/// It fires when it was to, and is sure to, and leaves alone what others have taken by now.
fn renew(draft: &mut Draft<'_>, armed: PutBack) {
    let told = draft.seen.switch_told;
    if told == SwitchTold::Armed(armed.at) {
        draft.next.switch = Some(PutBack { at: armed.at, earliest: armed.at, untold: false });
    } else {
        tell_again(draft, armed);
    }
}

/// Until it is sure when it fires, and where there is less to put back than it was told.
fn tell_again(draft: &mut Draft<'_>, armed: PutBack) {
    let taken = draft.split().is_some_and(|(routing, split)| split == Split::Foreign || !routing.lost.is_empty());
    let unsure = armed.earliest < armed.at;
    if (taken || unsure) && draft.seen.switch_told == SwitchTold::Nothing && draft.now() < armed.at {
        draft.effects.push(Effect::Arm { at: armed.at });
    }
}

/// What could not be told is told again with the next tick; what was told is remembered, so that its work is known for it.
fn arm(draft: &mut Draft<'_>, time: Span, armed: Option<PutBack>) {
    let at = pushed(draft.now(), time);
    let pushed = PutBack { at, earliest: armed.map_or(draft.now(), |armed| armed.earliest), untold: false };
    let mut next = PutBack { untold: false, ..armed.filter(|armed| armed.at >= at).unwrap_or(pushed) };
    if draft.seen.switch_told == SwitchTold::Armed(next.at) {
        next.earliest = next.at;
    }
    let is_news = armed.map(|armed| armed.at) != Some(next.at) || next.earliest < next.at;
    let untold = is_news && draft.seen.switch_told != SwitchTold::Failed;
    draft.next.switch = Some(next);
    if draft.effects.iter().any(Effect::gives_traffic) {
        draft.effects.insert(0, Effect::Arm { at: next.at });
    } else if untold {
        // No retreat waits for it.
        draft.effects.push(Effect::Arm { at: next.at });
    }
}

/// For a rollout for which a tick has no time: its switch must not fire because there are many. What nobody has attended
/// to for an hour is left to it, as is a rollback, unless nobody would answer on the old version.
#[must_use]
pub fn push(rollout: &Rollout, now: Timestamp, time: Span) -> Option<Decision> {
    let armed = rollout.switch?;
    let mut decision = Decision { next: rollout.clone(), effects: Vec::new(), record: None, holding: Vec::new() };
    if !is_split(&rollout.phase) {
        decision.effects.push(Effect::Disarm);
        return Some(decision);
    }
    let left = matches!(rollout.phase, Phase::RollingBack { .. }) && !retreat::has_waited(rollout);
    let (now, observed) = (now.max(rollout.now), rollout.spec.mode == Mode::Observe);
    let told = armed.at >= pushed(now, time) && !armed.untold;
    let at = pushed(now, time).max(armed.at);
    // The earliest moves only when somebody has attended to it.
    if left || observed || told || now >= armed.earliest + UNATTENDED {
        return None;
    }
    decision.next.switch = Some(PutBack { at, untold: false, ..armed });
    decision.next.revision += 1;
    decision.effects.push(Effect::Arm { at });
    Some(decision)
}

/// After a [push](push) that failed: the next tick makes up for it. It need not be the last word, for what is lost with this is
/// five minutes of the fifteen and more that are left.
#[must_use]
pub fn untold(pushed: &Rollout) -> Option<Rollout> {
    let switch = Some(PutBack { untold: true, ..pushed.switch? });
    Some(Rollout { switch, revision: pushed.revision + 1, ..pushed.clone() })
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

/// Whether its time may have come, and all traffic is back of which some should not be.
pub(super) fn has_fired(draft: &Draft<'_>, expected: &[Weight]) -> bool {
    let due = draft.before.switch.is_some_and(|armed| draft.now() >= armed.earliest);
    let back = match draft.split() {
        // Lambda itself holds all traffic on the old version while it readies a promoted one.
        Some((routing, _)) if routing.in_transition => false,
        Some((_, Split::Ours(weight))) => weight == Weight::ZERO,
        Some((_, Split::Uneven { low, .. })) => low == Weight::ZERO,
        Some((_, Split::Foreign)) | None => false,
    };
    due && back && !expected.contains(&Weight::ZERO)
}
