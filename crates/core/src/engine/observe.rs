//! Observe mode: everything is judged and reported, nothing is moved. The phase follows what others make live.

use super::{Draft, health, transition};
use crate::analysis::Verdict;
use crate::observation::Split;
use crate::report;
use crate::rollout::{Phase, Rollout, UndecidedWhy, WeightSeen, Why};
use crate::spec::Mode;
use crate::units::Weight;

pub(super) fn decide(draft: &mut Draft<'_>) {
    draft.hold("observe mode: nothing is moved");
    note_what_would_be_done(draft);
    // A rollout that is to be enforced keeps its phase while the switch is on: it goes on from there afterwards.
    if draft.next.spec.mode != Mode::Observe {
        return;
    }
    if let Some(newer) = draft.seen.newer.clone() {
        draft.supersede(Why::NewerRollout { rollout: newer });
    } else if matches!(draft.before.phase, Phase::Pending { behind: Some(_), .. }) {
        super::pending::wait(draft);
    } else {
        // The phase follows what others do, whether the past could be read or not.
        if matches!(draft.before.phase, Phase::Pending { .. }) {
            super::pending::learn(draft);
        }
        follow(draft);
    }
}

fn note_what_would_be_done(draft: &mut Draft<'_>) {
    let verdict = draft.verdict();
    let red = draft.red_alarms();
    let what = if !red.is_empty() {
        format!("rolled back: {}", report::sentence(&Why::Alarm { names: red }))
    } else if verdict == Verdict::Fail {
        "rolled back: proven worse".to_owned()
    } else if let Some(why) = health::collapsed(draft) {
        format!("rolled back: {}", report::sentence(&why))
    } else if verdict == Verdict::Pass {
        "moved on: proven no worse than tolerated".to_owned()
    } else {
        return;
    };
    let why = Why::WouldHave { verdict, what };
    let last = draft.next.history.iter().rev().find(|event| matches!(event.why, Why::WouldHave { .. }));
    if last.is_none_or(|event| event.why != why) {
        draft.based_on_analysis = true;
        transition::note(&mut draft.next, draft.seen.now, why);
    }
}

fn follow(draft: &mut Draft<'_>) {
    let now = draft.now();
    let Some((routing, split)) = draft.split() else { return };
    let moved = Why::MovedByOthers { found: routing.to_string() };
    if split == Split::Foreign {
        draft.supersede(Why::TakenOver { found: routing.to_string() });
        return;
    }
    let weight = match split {
        Split::Ours(weight) => Some(weight),
        Split::Uneven { .. } | Split::Foreign => None,
    };
    // The watch at 100 % has a limit of its own.
    let watched = matches!(draft.before.phase, Phase::Promoting { .. }) && weight == Some(Weight::FULL);
    if !watched && draft.next.clock.spent_at(now) >= draft.next.spec.deadline {
        let after = draft.next.spec.deadline;
        let then = draft.next.spec.undecided.no_data;
        draft.supersede(Why::Undecided { why: UndecidedWhy::Stuck, after, then });
        return;
    }
    let Some(weight) = weight else {
        draft.hold("others have moved the traffic of some rules, and not yet of all");
        return;
    };
    let seen_before = draft.next.weights.last().map(|seen| seen.weight);
    if draft.next.chosen.is_some() && weight > Weight::ZERO && weight < Weight::FULL {
        draft.next.chosen = Some(weight);
    }
    let watch = draft.next.spec.after.watch;
    match draft.before.phase.clone() {
        Phase::Promoting { live_since: Some(since), .. } if weight == Weight::FULL => {
            if now.since(since) >= watch {
                draft.enter(Phase::Promoted { at: now }, Why::WatchOver { watched: now.since(since) });
            }
        }
        Phase::Pending { .. } if weight == Weight::ZERO => {}
        Phase::Pending { .. } | Phase::Baking { .. } | Phase::Promoting { .. } if seen_before != Some(weight) => {
            draft.next.weights.push(WeightSeen { at: now, weight });
            let seen = draft.seen.health.known().map(|health| health.baseline.healthy);
            draft.next.carried_by = draft.next.carried_by.or(seen);
            let phase = phase_at(&draft.next, weight, now, &moved);
            draft.enter(phase, moved);
        }
        Phase::Pending { .. }
        | Phase::Shifting { .. }
        | Phase::Baking { .. }
        | Phase::Paused { .. }
        | Phase::Promoting { .. }
        | Phase::RollingBack { .. }
        | Phase::Promoted { .. }
        | Phase::RolledBack { .. }
        | Phase::Superseded { .. } => {}
    }
}

fn phase_at(rollout: &Rollout, weight: Weight, now: crate::units::Timestamp, why: &Why) -> Phase {
    if weight == Weight::ZERO {
        return Phase::RolledBack { at: now, why: why.clone() };
    }
    if weight == Weight::FULL {
        return Phase::Promoting { from: Weight::ZERO, since: now, live_since: Some(now) };
    }
    let reached = rollout.spec.steps.iter().rposition(|step| step.weight <= weight);
    Phase::Baking { step: reached.unwrap_or(0), since: now, proof: None, approved: false }
}
