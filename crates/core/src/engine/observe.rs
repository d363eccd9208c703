//! Observe mode: everything is judged and reported, nothing is moved. The phase follows what others make live.

use super::{Draft, follow, health, transition};
use crate::analysis::Verdict;
use crate::report;
use crate::rollout::{Phase, UndecidedWhy, Why};
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

pub(super) fn note_what_would_be_done(draft: &mut Draft<'_>) {
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
    note_would_have(draft, verdict, what);
}

/// Once, until something else would be done.
pub(super) fn note_would_have(draft: &mut Draft<'_>, verdict: Verdict, what: String) {
    let why = Why::WouldHave { verdict, what };
    let last = draft.next.history.iter().rev().find(|event| matches!(event.why, Why::WouldHave { .. }));
    if last.is_none_or(|event| event.why != why) {
        draft.based_on_analysis = true;
        transition::note(&mut draft.next, draft.seen.now, why);
    }
}

fn follow(draft: &mut Draft<'_>) {
    let now = draft.now();
    if draft.split().is_none() {
        return;
    }
    let weight = follow::live_weight(draft);
    if draft.next.is_terminal() {
        return;
    }
    // The watch at 100 % has a limit of its own.
    let watched = matches!(draft.before.phase, Phase::Promoting { .. }) && weight == Some(Weight::FULL);
    if !watched && draft.next.clock.spent_at(now) >= draft.next.spec.deadline {
        let after = draft.next.spec.deadline;
        let then = draft.next.spec.undecided.no_data;
        draft.supersede(Why::Undecided { why: UndecidedWhy::Stuck, after, then });
        return;
    }
    let Some(weight) = weight else { return };
    if follow::follow(draft, weight) {
        return;
    }
    let watch = draft.next.spec.after.watch;
    if let Phase::Promoting { live_since: Some(since), .. } = draft.before.phase
        && now.since(since) >= watch
    {
        draft.enter(Phase::Promoted { at: now }, Why::WatchOver { watched: now.since(since) });
    }
}
