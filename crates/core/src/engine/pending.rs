//! Before the first weight: the target must be free, the version active, the alarms quiet, the tests passed.

use super::live::end_undecided;
use super::{Draft, Effect, health, knows_past, transition};
use crate::analysis::findings;
use crate::observation::{Readiness, Routing, Seen, TestOutcome};
use crate::rollout::{Phase, RollBackEnd, UndecidedWhy, Why};
use crate::units::Weight;

pub(super) fn decide(draft: &mut Draft<'_>) {
    let Phase::Pending { since, behind, ready } = draft.before.phase.clone() else { return };
    if let Some(newer) = draft.seen.newer.clone() {
        draft.supersede(Why::NewerRollout { rollout: newer });
        return;
    }
    if behind.is_some() {
        wait(draft);
        return;
    }
    if draft.next.clock.spent_at(draft.now()) >= draft.next.spec.deadline {
        end_undecided(draft, UndecidedWhy::Stuck, draft.next.spec.deadline);
        return;
    }
    let learned = learn(draft);
    if let Some(holder) = draft.seen.target_held_by.clone() {
        draft.hold(format!("waits until the switch of rollout {holder} is removed"));
        return;
    }
    if !check_target(draft) || !check_attached(draft) || !check_version(draft) || !check_alarms(draft) || !learned {
        return;
    }
    if !health::carries(draft, draft.next.weight_of_step(0)) {
        return;
    }
    if !draft.next.spec.tests.is_empty() {
        if !ready {
            draft.next.phase = Phase::Pending { since, behind: None, ready: true };
            return;
        }
        if !check_tests(draft) {
            return;
        }
    }
    begin(draft);
}

/// Behind another rollout.
pub(super) fn wait(draft: &mut Draft<'_>) {
    match draft.seen.target_held_by.clone() {
        Some(holder) => draft.hold(format!("waits for rollout {holder} to end")),
        None => leave_queue(draft),
    }
}

/// The rollout before has ended. What it left live is the baseline now.
fn leave_queue(draft: &mut Draft<'_>) {
    let Some(routing) = draft.seen.routing.known() else {
        draft.hold_blind();
        return;
    };
    if routing.in_transition {
        draft.hold_in_transition();
        return;
    }
    // The rollout before left none of its own weights: these are somebody else's. Nor is there anything to roll out
    // when what it left is this rollout's own version.
    if !is_alone(routing) || routing.primary == draft.next.canary {
        draft.supersede(Why::TakenOver { found: routing.to_string() });
        return;
    }
    draft.next.baseline = routing.primary.clone();
    draft.next.learned_at = None;
    draft.enter(Phase::Pending { since: draft.now(), behind: None, ready: false }, Why::Ready);
}

/// Freezes what the old version's past says; whether that is known now. What is learned is kept whatever else holds the
/// start, for reading it is a lot of work.
pub(super) fn learn(draft: &mut Draft<'_>) -> bool {
    if knows_past(&draft.next, draft.now()) {
        return true;
    }
    match &draft.seen.learned {
        Seen::Known(plan) => {
            draft.next.plan = plan.clone();
            draft.next.learned_at = Some(draft.now());
            transition::note(&mut draft.next, draft.seen.now, Why::Learned { sentences: findings(plan) });
            return true;
        }
        Seen::Missing(why) => draft.hold(format!("the old version's past could not be read: {why}")),
        Seen::NotAsked => draft.hold("the old version's past was not read"),
    }
    false
}

fn check_target(draft: &mut Draft<'_>) -> bool {
    let Some(routing) = draft.seen.routing.known() else {
        draft.hold_blind();
        return false;
    };
    if routing.in_transition {
        draft.hold_in_transition();
        return false;
    }
    if routing.primary != draft.next.baseline || !is_alone(routing) {
        draft.supersede(Why::TakenOver { found: routing.to_string() });
        return false;
    }
    true
}

/// Whether one version has all the traffic, of every rule.
fn is_alone(routing: &Routing) -> bool {
    routing.additional.is_none() && routing.others.is_empty()
}

/// A target group that nothing forwards to is not health-checked, so the canary's is attached first, at weight 0. What is seen of
/// its health in that very minute may be of an earlier attachment.
pub(super) fn check_attached(draft: &mut Draft<'_>) -> bool {
    let now = draft.now();
    if let Some(routing) = draft.seen.routing.known().filter(|routing| !routing.attached) {
        draft.effects.push(Effect::Attach { seen: routing.clone() });
        match draft.next.history.last_mut().filter(|event| event.why == Why::Attached) {
            Some(again) => again.at = now,
            None => transition::note(&mut draft.next, now, Why::Attached),
        }
    } else if !draft.next.history.iter().any(|event| event.why == Why::Attached && event.at == now) {
        return true;
    }
    draft.hold(format!("{} is attached at weight 0; its health checks begin", draft.next.canary));
    false
}

pub(super) fn check_version(draft: &mut Draft<'_>) -> bool {
    match &draft.seen.canary {
        Seen::Known(info) => match &info.readiness {
            Readiness::Active => return true,
            Readiness::NotYet(why) => draft.hold(format!("{} is not ready: {why}", info.version)),
            Readiness::Never(why) => {
                let why = Why::VersionUnusable { why: why.clone() };
                draft.roll_back(why, RollBackEnd::RolledBack);
            }
        },
        Seen::Missing(why) => draft.hold(format!("the new version could not be read: {why}")),
        Seen::NotAsked => draft.hold("the new version was not looked at"),
    }
    false
}

/// A red alarm holds the start rather than ending it: the release that made it red may just have been rolled back.
pub(super) fn check_alarms(draft: &mut Draft<'_>) -> bool {
    let red = draft.red_alarms();
    let clear = draft.blind_spots().is_empty() && red.is_empty();
    draft.hold_blind();
    red.into_iter().for_each(|name| draft.hold(format!("alarm {name} is in ALARM")));
    clear
}

pub(super) fn check_tests(draft: &mut Draft<'_>) -> bool {
    match &draft.seen.tests {
        Seen::Known(outcomes) => {
            let failed = outcomes.iter().find_map(|outcome| match outcome {
                TestOutcome::Passed => None,
                TestOutcome::Failed(what) => Some(what.clone()),
            });
            let Some(what) = failed else { return true };
            draft.roll_back(Why::TestFailed { what }, RollBackEnd::RolledBack);
        }
        Seen::Missing(why) => draft.hold(format!("the tests could not be run: {why}")),
        Seen::NotAsked => draft.hold("the tests were not run"),
    }
    false
}

fn begin(draft: &mut Draft<'_>) {
    let now = draft.now();
    let (phase, why) = if draft.next.spec.steps.is_empty() {
        (Phase::Promoting { from: Weight::ZERO, since: now, live_since: None }, Why::NoSteps)
    } else {
        (Phase::Shifting { step: 0, from: Weight::ZERO, since: now }, Why::Ready)
    };
    draft.next.carried_by = draft.seen.health.known().map(|health| health.baseline.healthy);
    draft.enter(phase, why);
    super::live::apply(draft);
}
